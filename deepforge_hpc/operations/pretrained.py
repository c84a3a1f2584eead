"""Weights that others have trained: of keras.applications, and of the Hugging Face hub."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from deepforge_hpc.operations.hub import downloaded, exact, short
from deepforge_hpc.operations.weights import by_place
from deepforge_hpc.training.backend import keras_home
from deepforge_hpc.training.errors import TrainingError, meant

_CONNECT_S = 30
"""A node without a network may answer nothing at all."""
_WANTED = ("*.keras", "*.safetensors", "config.json", "metadata.json", "model.weights.h5")


def pretrained(source: str) -> tuple[Mapping[str, Any], str]:
    """Return weights by their place, and where exactly they came from.

    `keras-app:NAME` is a network of keras.applications with the weights of ImageNet;
    `hf://REPO@REV` the one `.keras` or `.safetensors` file of a repository of the hub, or a network
    that Keras itself saved there. Raises TrainingError with what to do where there is no network.
    """
    if source.startswith("keras-app:"):
        name = source.partition(":")[2]
        return by_place(_application(name)), f"{source} (imagenet)"
    folder = downloaded(source, _WANTED)
    weights, file = _read(folder, source)
    return weights, exact(source, folder, file)


def _application(name: str) -> Any:
    maker = getattr(keras.applications, name, None)
    if not inspect.isfunction(maker):
        known = [n for n, item in vars(keras.applications).items() if inspect.isfunction(item)]
        near = meant(name, known)
        hint = f"did you mean {near}?" if near else f"it has {', '.join(sorted(known))}"
        raise TrainingError(f"init_from: keras.applications has no {name}; {hint}")
    try:
        with _patience():
            return maker(weights="imagenet")
    except Exception as error:  # Keras raises a plain one for what it cannot fetch
        home = Path(keras_home()) / "models"
        raise TrainingError(
            f"init_from: the weights of {name} are not in {home}, and cannot be fetched from here "
            f"({short(error)}). Where there is a network, fetch them once: python -c "
            f"\"import keras; keras.applications.{name}(weights='imagenet')\""
        ) from error


def _read(folder: Path, source: str) -> tuple[Mapping[str, Any], str]:
    found = sorted(path.name for path in folder.glob("*"))
    models, tensors = ([n for n in found if n.endswith(e)] for e in (".keras", ".safetensors"))
    if len(models) == 1 or (not models and {"config.json", "model.weights.h5"} <= {*found}):
        name = models[0] if models else "model.weights.h5"
        return by_place(_model(folder / name if models else folder, source)), name
    if not models and len(tensors) == 1:
        from safetensors.numpy import load_file

        return load_file(folder / tensors[0]), tensors[0]
    raise TrainingError(
        f"init_from: {source} has no network of Keras and no single .safetensors file, but "
        f"{', '.join(found) or 'nothing of either'}"
    )


def _model(path: Path, source: str) -> Any:
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever is in a file of others
        raise TrainingError(f"init_from: {source} cannot be loaded: {short(error)}") from error


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
