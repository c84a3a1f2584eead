"""The registry of formats: how a value of an operation becomes a file, and a file a value.

A format is chosen by its id, never by a file's name. numpy, h5py and keras are imported when a
value of theirs is read or written, so the login node and the supervisor can use this table freely.
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..base.failure import JobError
from ..base.files import read_json
from .array import Npy, Npz
from .base import Format, FormatError, Json, Text
from .file import Any_, Directory, File, Keras, Pickle
from .hdf5 import Hdf5

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FORMATS", "Format", "FormatError", "load_formats"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        known.id: known
        for known in (
            Json(),
            Text(),
            Npy(),
            Npz(),
            Hdf5(),
            Keras(),
            File(),
            Directory(),
            Pickle(),
            Any_(),
        )
    }
)
"""The formats of this package by id; third parties' come by `load_formats`."""


def load_formats(code: Path) -> Mapping[str, Format]:
    """Return all formats of an execution: ours, and those that `code/formats.json` names.

    A third party's module lies as source in `code/library`. JobError if it cannot be loaded.
    """
    try:
        named = read_json(code / "formats.json")
    except FileNotFoundError:
        return FORMATS
    library = str(code / "library")
    if library not in sys.path:
        sys.path.append(library)
    from importlib import import_module

    formats = dict(FORMATS)
    for name, target in named.items():
        module, _, attribute = target.partition(":")
        try:
            formats[name] = getattr(import_module(module), attribute)()
        except Exception as error:  # the code of another package may raise anything
            what = f"{type(error).__name__}: {error}".rstrip(".")
            reason = f"The format {name} ({target}) cannot be loaded: {what}."
            hint = "Update or replace the package that brings it, then submit again."
            raise JobError(reason, hint) from error
    return formats
