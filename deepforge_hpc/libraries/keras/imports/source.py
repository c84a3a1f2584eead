"""The JSON of a model: from a .keras file, or as it is. Nothing is unpacked, sizes are bounded."""

from __future__ import annotations

import json
import lzma
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

from deepforge_hpc.errors import Fault, InvalidInputError

_CONFIG = "config.json"
_MAX_BYTES = 20 << 20
_MAX_MEMBERS = 1000
"""A model has a handful: more are read as nothing but a burden."""
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),
)
"""What reading a damaged or encrypted archive raises."""


def read_model(path: Path) -> dict[str, Any]:
    """Return the JSON of a saved model; InvalidInputError says what is wrong with the file."""
    text = _text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it holds no JSON that can be read: {error}") from error
    if not isinstance(found, dict):
        raise _refused(path, "it holds no model of Keras")
    return found


def _refused(path: Path, message: str) -> InvalidInputError:
    hint = "import takes a .keras file, or the JSON of model.to_json()"
    return InvalidInputError([Fault(message=message, file=str(path), hint=hint)])


def _text(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _refused(path, "it is not a file")
    with os.fdopen(handle, "rb") as stream:
        if stream.read(2) != b"PK":
            stream.seek(0)
            return _bounded(path, stream.read(_MAX_BYTES + 1))
        stream.seek(0)
        try:
            with zipfile.ZipFile(stream) as archive:
                return _member(path, archive)
        except BROKEN as error:
            raise _refused(path, f"the archive is damaged: {error}") from error


def _member(path: Path, archive: zipfile.ZipFile) -> bytes:
    """Return the configuration of an archive; no more of it than may be read is unpacked."""
    names = archive.namelist()
    if any(name.endswith("/data.pkl") for name in names[:_MAX_MEMBERS]):
        what = "it is of PyTorch, which saves weights or code: no network can be read from it"
        raise _refused(path, what)
    if len(names) > _MAX_MEMBERS or _CONFIG not in names:
        raise _refused(path, f"it is no .keras file: there is no {_CONFIG} among few members")
    with archive.open(_CONFIG) as member:
        return _bounded(path, member.read(_MAX_BYTES + 1))


def _bounded(path: Path, data: bytes) -> bytes:
    if len(data) > _MAX_BYTES:
        raise _refused(path, f"the model's configuration is larger than {_MAX_BYTES >> 20} MiB")
    return data
