"""HDF5: a dict of arrays goes out, an open read-only `h5py.File` comes in.

A block of rows, or the parts of a gathered value, is a small HDF5 file whose datasets are virtual:
they point at rows of the files on disk, and nothing is read before the operation asks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .array import unmasked
from .base import Format, FormatError, Rows, part_blocks, row_samples, unfit
from .integrity import check_hdf5, common_rows


class Hdf5(Format):
    """An HDF5 file; datasets whose first axis is the common one are split by rows."""

    id = "hdf5"
    suffix = ".h5"
    expects = "a dict {dataset name: array}, or the Path of an HDF5 file"
    needs = ("h5py",)
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        from ..storage.landing import copy_path

        path = stem.with_name(stem.name + self.suffix)
        if isinstance(value, Path):
            check_hdf5(value)
            copy_path(value, path)
            return path
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise unfit(self, value)
        import h5py

        # track_times=False (h5py's default) keeps the bytes free of the clock.
        with h5py.File(path, "w") as file:
            for key, item in value.items():
                _write(file, key, item)
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        import h5py

        if rows is None:
            return h5py.File(path, "r")
        return _virtual([(path, rows)], [(path, self.rows(path))])

    def rows(self, path: Path) -> int:
        import h5py

        with h5py.File(path, "r") as file:
            return _rows(file, path)

    def verify(self, path: Path) -> None:
        check_hdf5(path)

    def load_parts(self, folder: Path, rows: Rows | None = None) -> Any:
        return _virtual(part_blocks(folder, rows), row_samples(folder))


def _write(file: Any, key: str, item: Any) -> None:
    try:
        if key.startswith("@"):
            file.attrs[key[1:]] = item
        else:
            file.create_dataset(key, data=_storable(item))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{key!r} cannot be kept in HDF5: {error}") from error


def _storable(item: Any) -> Any:
    """Return an array of text as h5py wants it: numpy's fixed-width unicode has no HDF5 type."""
    import h5py

    array = unmasked(item)
    return array.astype(h5py.string_dtype()) if array.dtype.kind == "U" else array


def _datasets(file: Any) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _rows(file: Any, path: Path) -> int:
    count = common_rows([item.shape or () for item in _datasets(file).values()])
    if count is None:
        raise FormatError(f"{path.name} has no dataset with rows")
    return count


def _virtual(blocks: list[tuple[Path, Rows | None]], samples: list[tuple[Path, int]]) -> Any:
    """Return a read-only file that shows blocks of rows of several files as one.

    A dataset is split by rows if in each sample it is as long as the sample; else it is constant.
    """
    import tempfile

    import h5py

    sources = [(h5py.File(path, "r"), rows) for path, rows in blocks]
    # Not HDF5's own files in memory (driver "core"): it opens the sources by the same driver, and
    # so reads the whole of each for every slice (seen with h5py 3.16).
    scratch = tempfile.TemporaryDirectory(
        dir=os.environ.get("DFH_SCRATCH"), ignore_cleanup_errors=True
    )
    try:
        with scratch as folder:
            path = f"{folder}/rows.h5"
            _build(path, sources, _split_names(samples))
            return h5py.File(path, "r")  # open, it outlives its name
    finally:
        for file, _ in sources:
            file.close()


def _build(path: str, sources: list[tuple[Any, Rows | None]], by_rows: set[str]) -> None:
    import h5py

    first = sources[0][0]
    _refuse_unlike([file for file, _ in sources])
    with h5py.File(path, "w") as target:
        _copy_frame(first, target)
        for name, item in _datasets(first).items():
            if name in by_rows:
                _lay_rows(target, name, [(file[name], rows) for file, rows in sources])
            else:
                first.copy(item, target, name)


def _refuse_unlike(files: list[Any]) -> None:
    expected = set(_datasets(files[0]))
    for file in files[1:]:
        names = expected.symmetric_difference(_datasets(file))
        if names:
            raise FormatError(f"dataset {min(names)!r} is in some of the parts only")


def _split_names(samples: list[tuple[Path, int]]) -> set[str]:
    import h5py

    found: list[set[str]] = []
    for path, count in samples:
        with h5py.File(path, "r") as file:
            shapes = {name: item.shape or () for name, item in _datasets(file).items()}
            found.append({name for name, shape in shapes.items() if shape[:1] == (count,)})
    return set.intersection(*found)


def _copy_frame(source: Any, target: Any) -> None:
    """Copy groups and attributes, without the datasets."""
    import h5py

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            target.require_group(name).attrs.update(item.attrs)

    target.attrs.update(source.attrs)
    source.visititems(visit)


def _lay_rows(target: Any, name: str, parts: list[tuple[Any, Rows | None]]) -> None:
    import h5py

    first = parts[0][0]
    spans = [(0, len(part)) if rows is None else rows for part, rows in parts]
    for part, _ in parts[1:]:
        if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
            message = (
                f"dataset {name!r} is {first.dtype}{list(first.shape[1:])} in one part and "
                f"{part.dtype}{list(part.shape[1:])} in another"
            )
            raise FormatError(message)
    total = sum(stop - start for start, stop in spans)
    layout = h5py.VirtualLayout(shape=(total, *first.shape[1:]), dtype=first.dtype)
    begin = 0
    for (part, _), (start, stop) in zip(parts, spans, strict=True):
        if stop > start:
            layout[begin : begin + stop - start] = h5py.VirtualSource(part)[start:stop]
        begin += stop - start
    target.create_virtual_dataset(name, layout).attrs.update(first.attrs)
