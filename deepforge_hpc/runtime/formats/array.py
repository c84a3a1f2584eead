"""Formats of numpy: one array (npy) and several under names (npz)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .base import Format, FormatError, Rows, part_blocks, row_samples, unfit
from .integrity import check_npy, check_zip, common_rows, npy_shape


class Npy(Format):
    """One array; rows are its first axis."""

    id = "npy"
    suffix = ".npy"
    expects = "a numpy array"
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        import numpy as np

        if not isinstance(value, (np.ndarray, np.generic)):
            raise unfit(self, value)
        path = stem.with_name(stem.name + self.suffix)
        np.save(path, plain_array(value), allow_pickle=False)
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        import numpy as np

        # numpy cannot map an empty file region, nor an array without elements.
        empty = 0 in npy_shape(path)
        array = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
        return array if rows is None else array[slice(*rows)]

    def rows(self, path: Path) -> int:
        shape = npy_shape(path)
        if not shape:
            raise FormatError(f"{path.name} holds a single number, which has no rows")
        return shape[0]

    def verify(self, path: Path) -> None:
        check_npy(path)

    def join(self, values: list[Any]) -> Any:
        import numpy as np

        if len(values) == 1:
            return values[0]
        joined = np.concatenate(values)
        joined.flags.writeable = False
        return joined


class Npz(Format):
    """Arrays under names; those whose first axis is the common one are split by rows."""

    id = "npz"
    suffix = ".npz"
    expects = "a dict of numpy arrays"
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        import numpy as np

        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise unfit(self, value)
        arrays = {key: plain_array(item) for key, item in value.items()}
        path = stem.with_name(stem.name + self.suffix)
        # Not np.savez: it takes names as keyword arguments, so `file` could not be one.
        from zipfile import ZipFile

        with ZipFile(path, "w", allowZip64=True) as archive:
            for key, array in arrays.items():
                with archive.open(key + ".npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)  # type: ignore[no-untyped-call]
        return path

    def load(self, path: Path, rows: Rows | None = None) -> dict[str, Any]:
        import numpy as np

        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if rows is None:
            return arrays
        count = _common(arrays)
        return {
            key: array[slice(*rows)] if array.shape[:1] == (count,) else array
            for key, array in arrays.items()
        }

    def rows(self, path: Path) -> int:
        return _common(self.load(path))

    def verify(self, path: Path) -> None:
        check_zip(path)

    def load_parts(self, folder: Path, rows: Rows | None = None) -> dict[str, Any]:
        samples = [(self.load(path), count) for path, count in row_samples(folder)]
        blocks = [
            (self.load(path), slice(None) if block is None else slice(*block))
            for path, block in part_blocks(folder, rows)
        ]
        return {
            key: _join([part[key][block] for part, block in blocks])
            if all(part[key].shape[:1] == (count,) for part, count in samples)
            else constant
            for key, constant in samples[0][0].items()
        }


class Arrays(Format):
    """A list of arrays of any shapes; rows are the items of the list."""

    id = "arrays"
    suffix = ".npz"
    expects = "a list of numpy arrays"
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        if not isinstance(value, (list, tuple)) or not is_arrays(value):
            raise unfit(self, value)
        return Npz().save({str(number): item for number, item in enumerate(value)}, stem)

    def load(self, path: Path, rows: Rows | None = None) -> list[Any]:
        import numpy as np

        with np.load(path, allow_pickle=False) as archive:
            numbers = range(len(archive.files))
            return [
                archive[str(number)] for number in numbers[slice(*rows) if rows else slice(None)]
            ]

    def rows(self, path: Path) -> int:
        import zipfile

        with zipfile.ZipFile(path) as archive:
            return len(archive.namelist())

    def verify(self, path: Path) -> None:
        check_zip(path)

    def join(self, values: list[Any]) -> list[Any]:
        return [array for value in values for array in value]


def is_arrays(value: list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether a list has arrays alone, at least one."""
    import numpy as np

    return bool(value) and all(isinstance(item, np.ndarray) for item in value)


def _join(arrays: list[Any]) -> Any:
    import numpy as np

    return np.concatenate(arrays)


def _common(arrays: dict[str, Any]) -> int:
    count = common_rows([array.shape for array in arrays.values()])
    if count is None:
        raise FormatError("none of the arrays has rows")
    return count


def plain_array(value: Any) -> Any:
    """Return an array of numbers or text; FormatError for what a file would not give back."""
    array = unmasked(value)
    if array.dtype.hasobject:
        message = "an array of Python objects cannot be kept; give it a dtype of numbers or text"
        raise FormatError(message)
    return array


def unmasked(value: Any) -> Any:
    """Return an array; FormatError for a masked one, of which a file would show what is masked."""
    import numpy as np

    is_masked: Callable[[Any], bool] = np.ma.is_masked  # some versions of numpy give it no types
    if is_masked(value):
        message = "a masked array would lose its mask: return its filled() or its data and mask"
        raise FormatError(message)
    return np.asarray(value)
