"""The registry of formats: how a value of an operation becomes a file, and a file a value.

A format is chosen by its id, never by a file's name. numpy, h5py and keras are imported when a
value of theirs is read or written, so the login node and the supervisor can use this table freely.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..base.plugins import load_plugins
from .array import Arrays, Npy, Npz
from .base import Format, FormatError, Json, TextFormat
from .estimator import Joblib, Skops
from .file import Any_, Directory, File, Keras, Pickle
from .frame import Parquet
from .hdf5 import Hdf5
from .tensors import Safetensors

__all__ = ["FORMATS", "Format", "FormatError", "load_formats"]

_KINDS: tuple[type[Format], ...] = (
    *(Json, TextFormat, Npy, Npz, Arrays, Parquet, Safetensors, Skops, Joblib),
    *(Hdf5, Keras, File, Directory, Pickle, Any_),
)
FORMATS: Mapping[str, Format] = MappingProxyType({kind.id: kind() for kind in _KINDS})
"""The formats of this package by id; third parties' come by `load_formats`."""


def load_formats(code: Path) -> Mapping[str, Format]:
    """Return all formats of an execution: ours, and those of installed packages that it carries.

    JobError if one cannot be loaded.
    """
    return {**FORMATS, **load_plugins(code, "formats")}
