"""Is a file whole? Answers from the first bytes and the size alone, with the standard library.

A job that was killed, or a disk that was full, leaves files that are too short. Their digests are
taken after this check, so that a broken file never gets a success marker.
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

from .base import FormatError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def common_rows(shapes: list[tuple[int, ...]]) -> int | None:
    """Return the first dimension that most shapes share (of equals, the larger), or None."""
    counts = Counter(shape[0] for shape in shapes if shape)
    return max(counts, key=lambda rows: (counts[rows], rows), default=None)


def _npy_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a .npy file and where its data begin."""
    with path.open("rb") as stream:
        start = stream.read(12)
        long = start[6:7] in {b"\x02", b"\x03"}
        if start[:6] != b"\x93NUMPY" or len(start) < 12:
            raise FormatError(f"{path.name} is not a whole .npy file")
        begin = 12 if long else 10
        (length,) = struct.unpack("<I" if long else "<H", start[8:begin])
        stream.seek(begin)
        text = stream.read(length).decode("latin-1")
    import ast

    try:
        header = ast.literal_eval(text.strip())
        assert isinstance(header["shape"], tuple)
    except (ValueError, SyntaxError, KeyError, TypeError, AssertionError) as error:
        raise FormatError(f"{path.name}: the .npy header is damaged") from error
    return header, begin + length


def npy_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of the array in a .npy file."""
    shape: tuple[int, ...] = _npy_header(path)[0]["shape"]
    return shape


def check_npy(path: Path) -> None:
    """Raise FormatError if a .npy file is shorter than its header says."""
    header, begin = _npy_header(path)
    descr = header["descr"]
    if not isinstance(descr, str) or not descr[2:].isdigit():
        return  # a structured type, or a time unit: numpy alone knows its size
    size = int(descr[2:]) * (4 if descr[1] == "U" else 1)
    for length in header["shape"]:
        size *= length
    if path.stat().st_size < begin + size:
        message = f"{path.name} is too short: {path.stat().st_size} of {begin + size} bytes"
        raise FormatError(message)


def check_zip(path: Path, *names: str) -> None:
    """Raise FormatError unless a zip archive has a directory with these names, all in place."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            missing = [name for name in names if name not in archive.namelist()]
    except (BadZipFile, OSError) as error:
        raise FormatError(f"{path.name} is not a whole archive: {error}") from error
    if missing:
        raise FormatError(f"{path.name} lacks {', '.join(missing)}")


def check_parquet(path: Path) -> None:
    """Raise FormatError unless a Parquet file begins and ends as one, with its footer inside."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(4)
        stream.seek(max(0, size - 8))
        end = stream.read(8)
    if start != b"PAR1" or end[4:] != b"PAR1" or int.from_bytes(end[:4], "little") + 12 > size:
        raise FormatError(f"{path.name} is not a whole Parquet file")


def check_safetensors(path: Path) -> None:
    """Raise FormatError if a safetensors file is not as long as its header says."""
    import json

    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(min(length, size))
    try:
        tensors = {
            name: item for name, item in json.loads(header).items() if name != "__metadata__"
        }
        end = max((item["data_offsets"][1] for item in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise FormatError(f"{path.name}: the header is damaged or cut short") from error
    if size != 8 + length + end:
        raise FormatError(f"{path.name} has {size} bytes, and its header says {8 + length + end}")


def check_hdf5(path: Path) -> None:
    """Raise FormatError if an HDF5 file has no superblock, or ends before the end it states."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        base, block = 0, stream.read(96)
        while block[:8] != HDF5_SIGNATURE:  # a user block may stand before it: 512, 1024, ...
            base = base * 2 or 512
            if base >= size:
                raise FormatError(f"{path.name} is not an HDF5 file")
            stream.seek(base)
            block = stream.read(96)
    version, end = block[8], _end_of_file(block)
    if end is None:
        message = f"{path.name}: superblock version {version} of HDF5 is damaged or unknown"
        raise FormatError(message)
    if size < end:
        raise FormatError(f"{path.name} is too short: {size} of {end} bytes")


def _end_of_file(block: bytes) -> int | None:
    """Return the end-of-file address of a superblock (HDF5 File Format Specification, II.A)."""
    version = block[8]
    if version in {0, 1}:
        width, offset = block[13], 24 if version == 0 else 28
        position = offset + 2 * width  # base address, address of free space, then the end
    elif version in {2, 3}:
        width = block[9]
        position = 12 + 2 * width  # base address, superblock extension, then the end
    else:
        return None
    data = block[position : position + width]
    return int.from_bytes(data, "little") if len(data) == width > 0 else None
