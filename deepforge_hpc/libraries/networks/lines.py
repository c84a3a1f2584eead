"""Lines of Python that are no longer than one likes to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_WIDTH = 96


def enumerated(turn: str, rows: Mapping[str, tuple[str, ...]], start: int) -> Iterator[str]:
    """Yield the head of a loop over numbers of turns, and values of names beside them."""
    names, turns = ", ".join(rows), list(zip(*rows.values(), strict=True))
    values = [f"({', '.join(row)})" if len(row) > 1 else row[0] for row in turns]
    names = f"({names})" if len(rows) > 1 else names
    begin = f", {start}" if start else ""
    line = f"for {turn}, {names} in enumerate([{', '.join(values)}]{begin}):"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"for {turn}, {names} in enumerate("
    yield from ("    [", *(f"        {value}," for value in values), "    ],")
    yield from ((f"    {start},",) if start else ())
    yield "):"


def returned(lines: list[str], result: str) -> list[str]:
    """Return the lines of a function: what is made last has no variable, but is returned."""
    starts = [at for at, line in enumerate(lines) if not line.startswith((" ", ")"))]
    if not lines[starts[-1]].startswith(f"{result} = "):
        return [*lines, f"return {result}"]
    last = lines[starts[-1] :]
    return [*lines[: starts[-1]], f"return {last[0].removeprefix(f'{result} = ')}", *last[1:]]


def wrapped(before: str, callee: str, arguments: Sequence[str], after: str) -> Iterator[str]:
    """Yield a call on one line, or on several if it is long."""
    line = f"{before}{callee}({', '.join(arguments)}){after}"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"{before}{callee}("
    for argument in arguments:
        yield f"    {argument},"
    yield f"){after}"


def one_or_list(names: Sequence[str]) -> str:
    """Return one name, or the list of several."""
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"
