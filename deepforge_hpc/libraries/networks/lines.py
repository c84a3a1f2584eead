"""Lines of Python that are no longer than one likes to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines as they stand in a function."""
    return (f"    {line}" for line in lines)


def wrapped(
    before: str,
    callee: str,
    arguments: Sequence[str | Sequence[str]],
    after: str,
    width: int = _WIDTH,
) -> Iterator[str]:
    """Yield a call on one line, or on several if it is long.

    An argument is source, or the members of a list. Without a callee, `arguments` are the parts of
    an expression, each with its sign.
    """
    texts = [one if isinstance(one, str) else f"[{', '.join(one)}]" for one in arguments]
    line = f"{before}{callee}({', '.join(texts)}){after}" if callee else before + " ".join(texts)
    if len(line) <= width:
        yield line
        return
    yield f"{before}{callee}("
    for argument, text in zip(arguments, texts, strict=True):
        if isinstance(argument, str) or len(text) + 5 <= width:
            yield f"    {text}," if callee else f"    {text}"
        else:
            yield from ("    [", *(f"        {one}," for one in argument), "    ],")
    yield f"){after}"


def one_or_list(names: Sequence[str]) -> str:
    """Return one name, or the list of several."""
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"
