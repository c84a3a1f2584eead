"""Tables: columns of arrays under names, as an HDF5 file or a dict holds them; rows come first.

What is not as long as the table has rows is a constant and goes along as it is; so do attributes of
the file, which a dict has as `@name`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError, fits, needed
from deepforge_hpc.operations.fields import is_number

BLOCK_BYTES = 64 << 20
"""What is read of a column at a time."""
_IN_MEMORY = 256 << 20
"""A larger table is written to a file in the job's scratch folder, block by block."""

Change = Callable[[Any, Any], Any]
"""(values of a block, their places in the result) -> new values, as many."""


def columns(table: Any) -> dict[str, Any]:
    """Return all data sets by name, not yet read."""
    if isinstance(table, Mapping) and not hasattr(table, "visititems"):
        return {name: np.asanyarray(item) for name, item in table.items() if name[:1] != "@"}
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            found.update(_linked(item))
        elif isinstance(item, h5py.Dataset):
            if item.external:
                raise OperationError(f"{name!r} has its values in another file: {_COPY}")
            found[name] = item

    visit("", table)
    table.visititems(visit)
    return found


_COPY = "copy them into this one"


def _linked(group: Any) -> dict[str, Any]:
    """Return the data sets that links of a group lead to; OperationError of what is not here."""
    import h5py

    found = {}
    for key in group:
        name = f"{group.name}/{key}".lstrip("/")
        kind = group.get(key, getclass=True, getlink=True)
        if kind is h5py.ExternalLink:
            raise OperationError(f"{name!r} is a link to another file: {_COPY}")
        if kind is h5py.SoftLink:
            target = group.get(key)
            if target is None:
                raise OperationError(f"{name!r} is a link that leads nowhere: remove it")
            if isinstance(target, h5py.Dataset):
                found[name] = target
    return found


def attributes(table: Any) -> dict[str, Any]:
    """Return the attributes of a table, each as `@name`."""
    if hasattr(table, "visititems"):
        return {f"@{name}": value for name, value in table.attrs.items()}
    return {name: value for name, value in table.items() if name[:1] == "@"}


def column(table: Any, name: str, by: str = "") -> Any:
    """Return one data set, not yet read; OperationError with the names that there are.

    `by`: the attribute that asked for it.
    """
    found = columns(table)
    if name not in found:
        asked = f"{by}: " if by else ""
        has = ", ".join(sorted(found))
        raise OperationError(f"{asked}the table has no {name!r}; it has {has}")
    return found[name]


def values(table: Any, name: str, by: str = "") -> Any:
    """Return one data set as an array; text as numpy's text."""
    return held(name, column(table, name, by))


def held(name: str, item: Any) -> Any:
    """Return a data set in memory, as `values` does."""
    with fits(f"the column {name!r}"):
        return read(item)


def read(item: Any, rows: Any = ...) -> Any:
    """Return rows of a data set as an array: h5py has text as objects, numpy has a type for it."""
    if item.dtype.kind != "O":
        return np.asanyarray(item[rows])
    found = item.asstr() if hasattr(item, "asstr") else item
    return np.asarray(found[rows]).astype("U")


def numbers(table: Any, name: str, by: str = "") -> Any:
    """Return one data set in float64; OperationError if it holds no numbers."""
    found = values(table, name, by)
    if found.dtype.kind not in "biuf":
        raise no_numbers(name, found)
    with fits(f"the column {name!r}"):
        found = found.astype(np.float64)
    return found.filled(np.nan) if hasattr(found, "filled") else found


def no_numbers(name: str, item: Any) -> OperationError:
    """Return what to raise of a column that is none of numbers; of text, what made it that."""
    if item.dtype.kind not in "OSU":
        return OperationError(f"{name!r} holds no numbers, but {item.dtype}")
    found = read(item)
    texts = np.char.decode(found, errors="replace") if found.dtype.kind == "S" else found
    places = (place for place, text in np.ndenumerate(texts) if not is_number(text))
    if (place := next(places, None)) is None:
        return OperationError(f"{name!r} holds no numbers, but text that would be some")
    what = f"{str(texts[place])[:40]!r}" + (f" of row {place[0]} (from 0)" if place else "")
    return OperationError(f"{name!r} holds no numbers, but text: {what} is none")


def refuse_names(names: Collection[str], hint: str) -> None:
    """Raise OperationError of names that no column of a file can have, all of them at once."""
    odd = [n for n in names if n[:1] == "@" or "\0" in n or {"", ".", ".."} & {*n.split("/")}]
    odd += [name for name in names if any(other.startswith(f"{name}/") for other in names)]
    if odd:
        raise OperationError(
            f"no column of an HDF5 file can have the name {', '.join(map(repr, odd))} (not empty, "
            f"no '.' alone, no '@' first, no 'a' beside 'a/b'): {hint}"
        )


def row_count(table: Any) -> int:
    """Return the length that most data sets have (of equals, the larger)."""
    counts = Counter(item.shape[0] for item in columns(table).values() if item.shape)
    if not counts:
        raise OperationError("the table has no column with rows")
    return max(counts, key=lambda length: (counts[length], length))


def by_rows(table: Any, count: int) -> dict[str, Any]:
    """Return the data sets that have a value for each row."""
    return {name: item for name, item in columns(table).items() if item.shape[:1] == (count,)}


def blocks(item: Any) -> Iterator[slice]:
    """Yield the rows of a data set in pieces that fit into memory."""
    step = max(1, BLOCK_BYTES // max(1, item.dtype.itemsize * int(np.prod(item.shape[1:]))))
    yield from (slice(at, at + step) for at in range(0, item.shape[0], step))


def rewrite(
    table: Any,
    rows: Any,
    change: Mapping[str, Change] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Any:
    """Return a table of some rows, with columns changed and added.

    `rows`: their numbers, ascending; a number may stand there several times. A large result is a
    file in the job's scratch folder, and its path is returned; any other is a dict of arrays.
    """
    count = row_count(table)
    own = by_rows(table, count)
    kept = {**attributes(table)}
    kept |= {name: held(name, item) for name, item in columns(table).items() if name not in own}
    kept |= extra or {}
    own = {name: item for name, item in own.items() if name not in kept}
    size = len(rows) * sum(item.dtype.itemsize * _width(item) for item in own.values())
    pieces = {name: _pieces(own[name], rows, (change or {}).get(name)) for name in own}
    scratch = os.environ.get("DFH_SCRATCH", "")
    if scratch and size > _IN_MEMORY and hasattr(table, "visititems"):
        return _written(Path(scratch), pieces, kept, len(rows))
    return {**{name: _joined(name, parts) for name, parts in pieces.items()}, **kept}


def _joined(name: str, parts: Iterator[Any]) -> Any:
    with fits(f"the column {name!r}"):
        return np.concatenate(list(parts))


def _width(item: Any) -> int:
    return int(np.prod(item.shape[1:]))


def _pieces(item: Any, rows: Any, change: Change | None) -> Iterator[Any]:
    times = max(1, len(rows) // max(1, item.shape[0]))  # how often a row is wanted
    step = max(1, BLOCK_BYTES // max(1, times * item.dtype.itemsize * _width(item)))
    for start in range(0, max(1, item.shape[0]), step):
        first, last = np.searchsorted(rows, [start, start + step])
        if first < last or not (start or len(rows)):  # of no row at all, the shape
            part = read(item, slice(start, start + step))[rows[first:last] - start]
            yield part if change is None else change(part, np.arange(first, last))


def _written(scratch: Path, pieces: Mapping[str, Iterator[Any]], kept: Any, count: int) -> Path:
    with needed("h5py", "hdf5"):
        import h5py
    number = sum(1 for _ in scratch.glob("table-*.h5"))
    path = scratch / f"table-{number}.h5"
    with h5py.File(path, "w") as file:
        for name, parts in pieces.items():
            start = 0
            for part in map(storable, parts):
                if not start:
                    file.create_dataset(name, (count, *part.shape[1:]), part.dtype)
                file[name][start : start + len(part)] = part
                start += len(part)
        for name, value in kept.items():
            if name[:1] == "@":
                file.attrs[name[1:]] = value
            else:
                file[name] = storable(np.asarray(value))
    return path


def storable(array: Any) -> Any:
    """Return an array as h5py takes it: numpy's text has no type in HDF5."""
    if array.dtype.kind != "U":
        return array
    import h5py

    return array.astype(h5py.string_dtype())
