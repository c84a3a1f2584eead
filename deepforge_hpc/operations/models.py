"""A model as one function of a batch, whatever made it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepforge_hpc.operations.errors import OperationError

Outputs = dict[str, Any]
"""Output -> array of the batch; the only one of a model is called ``."""


@dataclass(frozen=True)
class Predictor:
    """What a model is given, and what it makes of it."""

    columns: tuple[str, ...]
    predict: Callable[[list[Any]], Outputs]
    identity: str
    """Of the model, as far as it can be told."""


def predictor(
    model: Any, columns: list[str] | None, layer: str, average: str, network: Any = None
) -> Predictor:
    """Return a model's function; OperationError of what is no model, or has no such layer.

    Weights alone, a state_dict of PyTorch, are those of the network that is given beside.
    """
    if hasattr(model, "predict_on_batch"):
        return _of_keras(model, columns, layer, average)
    if isinstance(model, Mapping) and model and all(hasattr(x, "shape") for x in model.values()):
        if network is None:
            raise OperationError(
                "model holds weights of PyTorch without their network, which is code: name its "
                "file, references: {network: FILE.yaml}"
            )
        from deepforge_hpc.operations.torch_model import predictor as of_torch

        return of_torch(network, model, columns, layer, average)
    if not hasattr(model, "predict"):
        raise OperationError(
            f"a {type(model).__name__} is no model of Keras, PyTorch or scikit-learn"
        )
    if layer or average or not columns:
        raise OperationError(
            f"a {type(model).__name__} needs columns, and has neither layers nor images to average"
        )
    function = getattr(model, "predict_proba", model.predict)

    places = _class_numbers(model) if function != model.predict else None

    def predict(given: list[Any]) -> Outputs:
        flat = [item.reshape(len(item), -1) for item in given]
        found = np.asarray(function(np.concatenate(flat, axis=1)))
        if places is not None and len(places) <= places[-1]:  # classes that it has not learnt
            whole = np.zeros((len(found), places[-1] + 1), dtype=found.dtype)
            whole[:, places] = found
            found = whole
        return {"": found}

    # Each rank has loaded its own: where it lies in memory is not what it is.
    return Predictor(tuple(columns), predict, re.sub(r" at 0x[0-9a-f]+", "", repr(model)))


_MOST_CLASSES = 100_000


def _class_numbers(model: Any) -> Any:
    """Return the class of each column of predict_proba, ascending; None if the model says none.

    OperationError of classes that are no whole numbers from 0, by which all else tells columns.
    """
    given = getattr(model, "classes_", None)
    if given is None:
        return None
    classes = np.asarray(given) if not isinstance(given, list) else np.empty((0, 0))
    if (
        classes.ndim != 1
        or classes.dtype.kind not in "biuf"
        or not np.isin(classes, np.arange(_MOST_CLASSES)).all()
    ):
        shown = ", ".join(str(one) for one in list(given)[:5])
        raise OperationError(
            f"a {type(model).__name__} has learnt the classes {shown}: the columns of its "
            "probabilities are told by class numbers from 0, so number them before it is fitted"
        )
    return classes.astype(np.int64)


def _of_keras(model: Any, columns: list[str] | None, layer: str, average: str) -> Predictor:
    names = [item.name for item in model.inputs]
    if columns and len(columns) != len(names):
        raise OperationError(f"columns has {len(columns)}, and the network the inputs {names}")
    network = _until(model, layer) if layer else model

    def predict(given: list[Any]) -> Outputs:
        return averaged(lambda view: _outputs(_run(network, view)), given, average)

    return Predictor(tuple(columns or names), predict, _identity(model))


def averaged(
    run: Callable[[list[Any]], Outputs],
    given: list[Any],
    average: str,
    *,
    channels_first: bool = False,
) -> Outputs:
    """Return the outputs of a batch, means over the positions of its images that are asked for."""
    found = [run(view) for view in _views(given, average, (2, 3) if channels_first else (1, 2))]
    if len(found) == 1:
        return found[0]
    return {
        name: np.mean([one[name] for one in found], axis=0, dtype=np.float64).astype(
            found[0][name].dtype
        )
        for name in found[0]
    }


def _run(network: Any, given: list[Any]) -> Any:
    return network.predict_on_batch(given if len(given) > 1 else given[0])


def _outputs(found: Any) -> Outputs:
    if isinstance(found, dict):
        return {str(name): np.asarray(item) for name, item in found.items()}
    if isinstance(found, list | tuple):
        if len(found) == 1:
            return {"": np.asarray(found[0])}
        return {str(number): np.asarray(item) for number, item in enumerate(found)}
    return {"": np.asarray(found)}


def _views(given: list[Any], average: str, axes: tuple[int, int]) -> Iterator[list[Any]]:
    """Yield a batch in each position that is averaged; only images, 4 axes, have several."""
    turns = {"": [(0, False)], "flip": [(0, False), (0, True)]}.get(
        average, [(turn, mirror) for mirror in (False, True) for turn in range(4)]
    )
    for turn, mirror in turns:
        yield [_turned(item, turn, mirror, axes) if item.ndim == 4 else item for item in given]


def _turned(images: Any, turn: int, mirror: bool, axes: tuple[int, int]) -> Any:
    images = np.flip(images, axes[1]) if mirror else images
    return np.ascontiguousarray(np.rot90(images, turn, axes=axes))


def _until(model: Any, layer: str) -> Any:
    """Return the network that ends at a layer, by its name or its number from the end."""
    import keras

    names = [item.name for item in model.layers]
    if layer in names:
        found = model.get_layer(layer)
    elif layer.removeprefix("-").isdecimal() and -len(names) <= int(layer) < 0:
        found = model.layers[int(layer)]
    else:
        raise OperationError(f"the network has no layer {layer!r}; it has {', '.join(names)}")
    return keras.Model(model.inputs, found.output)


def _identity(model: Any) -> str:
    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
