"""Tables in the files of other programs: one function to read and one to write each kind."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError, fits, needed
from deepforge_hpc.operations.fields import typed, with_gaps
from deepforge_hpc.operations.tables import storable

SUFFIXES = {"csv": "csv", "npz": "npz", "npy": "npy", "parquet": "parquet", "hdf5": "h5"}
_BY_SUFFIX = {".csv": "csv", ".npz": "npz", ".npy": "npy", ".parquet": "parquet", ".pq": "parquet"}
_BY_SUFFIX |= dict.fromkeys((".h5", ".hdf5", ".hdf"), "hdf5") | {".tsv": "csv", ".txt": "csv"}


Names = Sequence[str] | None
"""Columns that are wanted; None for all."""


def open_table(source: Any, kind: str, delimiter: str, names: Names = None) -> Any:
    """Return the columns of a file, or of what was read from it; OperationError if it is none.

    `names`: what alone is read if all of it is there. Whole numbers with gaps are a masked array.
    """
    if isinstance(source, np.ndarray):
        return _of_array(source)
    if isinstance(source, Mapping):  # also an open HDF5 file
        return source
    if hasattr(source, "columns"):  # of pandas
        return {str(name): _plain(name, source[name].to_numpy()) for name in source.columns}
    if not isinstance(source, Path | str):
        raise OperationError(f"a {type(source).__name__} is no table")
    path = Path(source)
    kind = kind or _BY_SUFFIX.get(path.suffix.lower(), "")
    if not kind:
        known = ", ".join(SUFFIXES)
        raise OperationError(f"the ending of {path.name} says no format; set format: {known}")
    if path.suffix.lower() == ".tsv" and delimiter == ",":
        delimiter = "\t"
    try:
        with fits(path.name):
            return _READERS[kind](path, delimiter, names)
    except (OSError, ValueError, EOFError) as error:
        raise OperationError(f"{path.name} cannot be read as {kind}: {error}") from error


def write_table(path: Path, kind: str, table: Mapping[str, Any]) -> None:
    """Write columns as a file."""
    _WRITERS[kind](path, table)


def _wanted(found: Sequence[str], names: Names) -> Sequence[str]:
    return names if names and set(names) <= set(found) else found


def _of_array(array: Any) -> dict[str, Any]:
    if array.dtype.names:
        return {name: np.asarray(array[name]) for name in array.dtype.names}
    return {"values": array}


def _plain(name: object, found: Any) -> Any:
    """Return a column without Python objects: text as text, lists of one length as an array."""
    if found.dtype.kind != "O":
        return found
    gaps = [item is None or (isinstance(item, float) and np.isnan(item)) for item in found]
    texts = ["" if gap else item for gap, item in zip(gaps, found, strict=True)]
    if all(isinstance(text, str) for text in texts):
        return np.asarray(texts, dtype="U")
    try:
        stacked = np.asarray([np.asarray(item) for item in found])
    except ValueError:
        stacked = found
    if stacked.dtype.kind == "O":
        raise OperationError(f"{name!r} holds Python objects: neither numbers, text nor arrays")
    return stacked


def _read_csv(path: Path, delimiter: str, names: Names) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            header = next(lines, [])
            # A blank line is no row, but of one column an empty field.
            blank = [""] if len(header) == 1 else []
            rows = [(lines.line_num, row or blank) for row in lines if row or blank]
        except csv.Error as error:
            raise OperationError(f"{path.name}:{lines.line_num}: {error}") from error
    if not header or len(set(header)) < len(header) or "" in header:
        raise OperationError(f"{path.name}:1: needs a header with a name of its own a column")
    wrong = (
        f"{path.name}:{line}: {len(row)} fields, and the header has {len(header)}"
        for line, row in rows
        if len(row) != len(header)
    )
    if faults := list(islice(wrong, 5)):
        raise OperationError("; ".join(faults))
    return _columns(path, header, rows, names)


def _columns(path: Path, header: list[str], rows: Any, names: Names) -> dict[str, Any]:
    """Return the columns of a CSV that are wanted; OperationError with the faults of all."""
    lines = [line for line, _ in rows]
    fields = zip(*(row for _, row in rows), strict=True) if rows else ((),) * len(header)
    texts = dict(zip(header, fields, strict=True))
    found: dict[str, Any] = {}
    faults = []
    for name in _wanted(header, names):
        with fits(f"{path.name}: {name!r}"):
            found[name], fault = typed(name, texts[name], lines)
        faults += [f"{path.name}:{fault}"] if fault else []
    if faults:
        hint = "columns: leaves a column out; a letter before all of its numbers makes it text"
        raise OperationError(f"{'; '.join(faults)} ({hint})")
    return found


def _read_npz(path: Path, _delimiter: str, names: Names) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        found: dict[str, Any] = {}
        for name in _wanted(archive.files, names):
            with fits(f"{path.name}: {name!r}"):
                found[name] = archive[name]
        return found


def _read_npy(path: Path, _delimiter: str, _names: Names) -> dict[str, Any]:
    return _of_array(np.load(path, allow_pickle=False))


def _read_parquet(path: Path, _delimiter: str, names: Names) -> dict[str, Any]:
    with needed("pyarrow", "parquet"):
        import pyarrow.parquet
    found: dict[str, Any] = {}
    has = pyarrow.parquet.read_schema(path).names
    table = pyarrow.parquet.read_table(path, columns=list(_wanted(has, names)))
    for name in table.column_names:
        column = table[name]
        if pyarrow.types.is_integer(column.type) and column.null_count:  # numpy's would be rounded
            found[name] = with_gaps(column.fill_null(0).to_numpy(), column.is_null().to_numpy())
        else:
            found[name] = _plain(name, column.to_numpy(zero_copy_only=False))
    return found


def _read_hdf5(path: Path, _delimiter: str, _names: Names) -> Any:
    with needed("h5py", "hdf5"):
        import h5py
    return h5py.File(path, "r")


def _write_csv(path: Path, table: Mapping[str, Any]) -> None:
    flat: dict[str, Any] = {}
    for name, item in table.items():
        if item.ndim > 2:
            raise OperationError(f"{name!r} has {item.ndim} axes: a CSV has no place for it")
        one = {name: item} if item.ndim == 1 else {f"{name}_{n}": x for n, x in enumerate(item.T)}
        if twice := sorted(flat.keys() & one.keys()):
            raise OperationError(f"two columns of the CSV would be called {twice[0]!r}: rename one")
        flat |= one
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(flat)
        writer.writerows(zip(*(item.tolist() for item in flat.values()), strict=True))


def _write_npz(path: Path, table: Mapping[str, Any]) -> None:
    if "file" in table:  # np.savez takes names as its own arguments
        raise OperationError("a column of an npz cannot be called 'file': rename it")
    np.savez(path, **table)


def _write_npy(path: Path, table: Mapping[str, Any]) -> None:
    if len(table) != 1:
        raise OperationError(f"a npy holds one column: choose one of {', '.join(table)}")
    np.save(path, next(iter(table.values())), allow_pickle=False)


def _write_parquet(path: Path, table: Mapping[str, Any]) -> None:
    with needed("pyarrow", "parquet"):
        import pyarrow as pa
        import pyarrow.parquet
    arrays = {name: pa.array(list(x) if x.ndim > 1 else x) for name, x in table.items()}
    pyarrow.parquet.write_table(pa.table(arrays), path)


def _write_hdf5(path: Path, table: Mapping[str, Any]) -> None:
    with needed("h5py", "hdf5"):
        import h5py
    with h5py.File(path, "w") as file:
        for name, item in table.items():
            file[name] = storable(item)


_READERS: dict[str, Callable[[Path, str, Names], Any]] = {
    "csv": _read_csv,
    "npz": _read_npz,
    "npy": _read_npy,
    "parquet": _read_parquet,
    "hdf5": _read_hdf5,
}
_WRITERS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    "csv": _write_csv,
    "npz": _write_npz,
    "npy": _write_npy,
    "parquet": _write_parquet,
    "hdf5": _write_hdf5,
}
