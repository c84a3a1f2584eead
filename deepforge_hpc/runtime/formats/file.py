"""Formats of whole files: raw files, folders, Keras models, pickles; and `any`, which chooses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .array import is_arrays
from .base import Format, FormatError, Rows, to_json, unfit, whole
from .estimator import is_estimator
from .integrity import check_zip
from .tensors import is_tensors


class File(Format):
    """A file as it is, with the suffix that the operation gave it."""

    id = "file"
    expects = "the Path of a file"

    def save(self, value: Any, stem: Path) -> Path:
        from ..storage.landing import copy_path

        source = _given(self, value)
        if not source.is_file():
            raise FormatError(f"{source} is not a file")
        suffix = source.suffix if source.suffix[1:].isalnum() else ""
        path = stem.with_name(stem.name + suffix)
        copy_path(source, path)
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Path:
        return whole(self, path, rows)


class Directory(Format):
    """A folder and all below it."""

    id = "directory"
    expects = "the Path of a folder"

    def save(self, value: Any, stem: Path) -> Path:
        from ..storage.landing import copy_path

        source = _given(self, value)
        if not source.is_dir():
            raise FormatError(f"{source} is not a folder")
        copy_path(source, stem)
        return stem

    def load(self, path: Path, rows: Rows | None = None) -> Path:
        return whole(self, path, rows)


class Keras(Format):
    """A Keras model in a .keras file."""

    id = "keras"
    suffix = ".keras"
    expects = "a keras.Model, or the Path of a .keras file"
    needs = ("keras",)

    def save(self, value: Any, stem: Path) -> Path:
        from ..storage.landing import copy_path

        path = stem.with_name(stem.name + self.suffix)
        if isinstance(value, Path):
            copy_path(value, path)
        elif _is_keras(value):
            value.save(path)
        else:
            raise unfit(self, value)
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        import keras

        # safe_mode refuses pickled functions (Lambda layers) inside the file.
        return keras.saving.load_model(whole(self, path, rows), safe_mode=True)

    def verify(self, path: Path) -> None:
        check_zip(path, "config.json", "metadata.json", "model.weights.h5")


class Pickle(Format):
    """Any object, as a pickle; only where the pipeline's `types:` says so."""

    id = "pickle"
    suffix = ".pickle"
    expects = "an object that pickle can keep"
    runs_code = True

    def save(self, value: Any, stem: Path) -> Path:
        import pickle

        path = stem.with_name(stem.name + self.suffix)
        try:
            with path.open("wb") as stream:
                pickle.dump(value, stream, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise FormatError(f"pickle cannot keep it: {error}") from error
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        import pickle

        with whole(self, path, rows).open("rb") as stream:
            return pickle.load(stream)  # noqa: S301 - asked for by name, bytes checked by digest


class Any_(Format):  # noqa: N801 - the id is `any`
    """Not a format of its own: the value chooses one, which the marker then names."""

    id = "any"
    expects = "a value of a known format"
    can_split = True
    can_gather = True


def choose(value: object) -> str:
    """Return the id of the format that fits a value of undeclared type."""
    if isinstance(value, Path):
        return "directory" if value.is_dir() else "file"
    if isinstance(value, str):
        return "text"
    if (found := _of_numpy(value) or _of_library(value)) is not None:
        return found
    try:
        to_json(value)
    except FormatError as error:
        raise FormatError(f"no format fits by itself: {error}") from error
    return "json"


def _of_numpy(value: object) -> str | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return "npy"
    members = list(value.values()) if isinstance(value, dict) else value
    if isinstance(members, (list, tuple)) and is_arrays(members):
        return "npz" if isinstance(value, dict) else "arrays"
    return None


def _of_library(value: object) -> str | None:
    """Return the format of a value of a library that the operation has imported."""
    if _is_keras(value):
        return "keras"
    if isinstance(value, getattr(sys.modules.get("pandas"), "DataFrame", ())):
        return "parquet"
    if "torch" in sys.modules and is_tensors(value):
        return "safetensors"
    if isinstance(value, getattr(sys.modules.get("torch.nn"), "Module", ())):
        raise FormatError("a torch module is code and tensors: return its state_dict()")
    return "skops" if is_estimator(value) else None


def _is_keras(value: object) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Model)


def _given(fmt: Format, value: object) -> Path:
    if not isinstance(value, (Path, str)):
        raise unfit(fmt, value)
    return Path(value)
