"""Looks into a saved model, or writes it for other programs: run by an interpreter that has Keras.

This file is one script, which needs Keras with a backend, and nothing of ours but the file
`inside.py` that it is told of. It reads one JSON object from stdin and writes one to where stdout
was: what was found, or `{"error": {...}}`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import resource
import sys
from collections.abc import Iterator
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MIB = 1 << 20
_MAP = 96
"""Most cells of a side of a saliency map that is told."""
_LISTED = 10_000
_SHOWN = 4
"""Examples whose saliency is told."""
_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"}


class Refused(Exception):  # noqa: N818 - the end of the script, in words for a person
    """What is asked for cannot be."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


def limit(memory_mib: int, cpu_s: int, file_mib: int) -> None:
    """Take no more than this from the machine."""
    for which, most in (
        (resource.RLIMIT_DATA, memory_mib * _MIB),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_mib * _MIB),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(which, (most, most))


def main() -> None:
    """Answer one question."""
    request = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what frameworks print is no answer
    try:
        found = _answer(request)
    except Refused as error:
        found = {"error": {"why": error.why, "text": str(error)}}
    except Exception as error:  # noqa: BLE001 - Keras and layers raise anything
        text = _ANSI.sub("", str(error)).strip() or type(error).__name__
        found = {"error": {"why": type(error).__name__, "text": text[:2000]}}
    answer.write(json.dumps(found) + "\n")
    answer.flush()
    os._exit(0)  # threads of a framework shall not hold the answer up


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    limit(request["memory_mib"], request["cpu_s"], request["file_mib"])
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    _require("keras", "no keras")
    if request["backend"]:
        os.environ["KERAS_BACKEND"] = request["backend"]
    elif "KERAS_BACKEND" not in os.environ:
        at_hand = (b for b in ("tensorflow", "jax", "torch") if importlib.util.find_spec(b))
        os.environ["KERAS_BACKEND"] = next(at_hand, "tensorflow")
    _require(os.environ["KERAS_BACKEND"], "no backend")
    import keras

    if request["folder"]:  # a trusted model's own code
        sys.path.insert(0, request["folder"])
    model = keras.saving.load_model(request["path"], compile=False, safe_mode=not request["folder"])
    head = {
        "name": model.name,
        "keras": str(keras.__version__),
        "backend": keras.backend.backend(),
        "parameters": int(model.count_params()),
    }
    tasks = {"inspect": inspect, "safetensors": to_safetensors, "onnx": to_onnx}
    return head | tasks[request["task"]](model, request)


def _require(package: str, why: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise Refused(why, package)


def _inside(request: dict[str, Any]) -> Any:
    spec = importlib.util.spec_from_file_location("inside", request["inside"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- looking into it


def inspect(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Return layers with their weights, and with inputs what is dead, and what outputs look at."""
    inside = _inside(request)
    rows = {path: _layer(layer) for path, layer in list(inside.layers(model))[:_LISTED]}
    if not request["inputs"]:
        return {"layers": _listed(rows), "examples": 0, "saliency": []}
    inputs, count = _inputs(model, request["inputs"], request["examples"])
    for path, layer, value in inside.layer_outputs(model, inputs):
        if path in rows:
            rows[path] |= _activity(layer, value)
    few = [one[:_SHOWN] for one in inputs] if isinstance(inputs, list) else inputs[:_SHOWN]
    try:
        grads, units = inside.saliency(model, few, request["unit"])
    except inside.NoUnitError as error:
        raise Refused("unit", str(error)) from error
    names = [one.name for one in model.inputs]
    maps = [
        {"example": example, "input": name, "unit": unit, **_map(grad[example])}
        for name, grad in zip(names, grads, strict=True)
        if grad is not None
        for example, unit in enumerate(units)
    ]
    return {"layers": _listed(rows), "examples": count, "saliency": maps}


def _listed(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": path, **row} for path, row in rows.items()]


def _layer(layer: Any) -> dict[str, Any]:
    import numpy as np

    values = [_array(one).astype(np.float64) for one in layer.weights if _is_number(one)]
    finite = all(np.isfinite(one).all() for one in values)
    try:
        shape: Any = list(layer.output.shape)
    except (AttributeError, ValueError, TypeError):
        shape = []
    kernel = next((one for one in values if one.ndim >= 2), None)
    silent = None if kernel is None else ~kernel.reshape(-1, kernel.shape[-1]).any(axis=0)
    return {
        "kind": type(layer).__name__,
        "output": shape,
        "parameters": int(sum(one.size for one in values)),
        "norm": float(np.sqrt(sum(np.square(one).sum() for one in values))) if finite else None,
        "largest": float(max((np.abs(one).max(initial=0) for one in values), default=0))
        if finite
        else None,
        "units": None if silent is None else int(silent.size),
        "zero_units": None if silent is None else int(silent.sum()),
    }


def _activity(layer: Any, value: Any) -> dict[str, Any]:
    """Return how active the units of a layer are: its last axis, or that of its channels."""
    import numpy as np

    axis = 1 if getattr(layer, "data_format", "") == "channels_first" else value.ndim - 1
    flat = np.moveaxis(value, axis, -1).reshape(-1, value.shape[axis])
    return {
        "active_units": int(flat.shape[1]),
        "dead_units": int((~(flat != 0).any(axis=0)).sum()),
        "activation": float(np.abs(flat).mean()),
        "zeros": float((flat == 0).mean()),
    }


def _array(variable: Any) -> Any:
    import keras

    value = variable.value
    if variable.dtype == "bfloat16":  # which numpy alone has not
        value = keras.ops.cast(value, "float32")
    return keras.ops.convert_to_numpy(value)


def _is_number(variable: Any) -> bool:
    return "seed_generator" not in variable.path and "string" not in str(variable.dtype)


def _inputs(model: Any, path: str, most: int) -> tuple[Any, int]:
    """Return the first examples of a file: one array (.npy), or one for each input (.npz)."""
    import numpy as np

    names = [one.name for one in model.inputs]
    given = _loaded(path, names[0])
    if missing := [name for name in names if name not in given]:
        raise Refused("inputs", f"it has no {', '.join(missing)}; the model's inputs: {names}")
    values = [np.asarray(given[name][:most], "float32") for name in names]
    for name, value, wanted in zip(names, values, model.inputs, strict=True):
        declared = tuple(wanted.shape[1:])
        fits = value.ndim == len(declared) + 1 and all(
            size in {None, mine} for size, mine in zip(declared, value.shape[1:], strict=True)
        )
        if not fits:
            raise Refused(
                "inputs", f"{name} wants examples of {declared}, and has {value.shape[1:]}"
            )
    if not len(values[0]) or len({len(value) for value in values}) > 1:
        raise Refused("inputs", "it needs examples, as many for each input")
    return (values if len(values) > 1 else values[0]), len(values[0])


def _loaded(path: str, name: str) -> dict[str, Any]:
    import numpy as np

    with open(path, "rb") as file:  # noqa: PTH123
        is_archive = file.read(2) == b"PK"
    if not is_archive:
        return {name: np.load(path, allow_pickle=False, mmap_mode="r")}
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive.items())


def _map(gradient: Any) -> dict[str, Any]:
    """Return how much an output depends on each place of an input: |gradient|, over channels.

    Of what is flat, one row. Large maps are told in blocks, by their largest value.
    """
    import numpy as np

    size = np.abs(np.asarray(gradient, np.float64))
    if size.ndim >= 3:
        size = size.reshape(*size.shape[:2], -1).max(axis=2)
    size = np.atleast_2d(size)
    steps = [-(-side // _MAP) for side in size.shape]
    blocks = np.maximum.reduceat(
        np.maximum.reduceat(size, range(0, size.shape[0], steps[0]), axis=0),
        range(0, size.shape[1], steps[1]),
        axis=1,
    )
    return {"shape": list(np.shape(gradient)), "rows": np.round(blocks, 12).tolist()}


# -- other forms


def to_safetensors(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Write all weights by their paths, and compare what lies there with them, bit by bit.

    The format: 8 bytes, the length of a header; the header in JSON; the numbers, little-endian
    (github.com/huggingface/safetensors).
    """
    arrays = dict(_named(model, _inside(request)))
    header: dict[str, Any] = {"__metadata__": {"format": "keras", "model": model.name}}
    end = 0
    for name, (kind, array) in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(request["out"], "wb") as file:  # noqa: PTH123
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays.values():
            file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())
    _compare_bytes(request["out"], len(text), arrays)
    return {"tensors": len(arrays), "compared": "bit by bit with the weights that Keras has"}


def _named(model: Any, inside: Any) -> Iterator[tuple[str, tuple[str, Any]]]:
    seen: set[int] = set()
    for path, layer in inside.layers(model):
        names: set[str] = set()
        for variable in layer.weights:
            if id(variable) in seen:
                continue  # of a layer that is used in two places
            seen.add(id(variable))
            name = variable.path.rpartition("/")[2]
            if name in names:  # a Bidirectional has two kernels
                name = variable.path.partition("/")[2]
            names.add(name)
            yield f"{path}/{name}", _plain(variable)


def _plain(variable: Any) -> tuple[str, Any]:
    """Return the format's word for a type, and the numbers in little-endian order."""
    import keras
    import numpy as np

    array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
    name = str(variable.dtype)
    if name == "bfloat16":
        if array.dtype.itemsize == 4:  # torch has given them wider: the upper half is the number
            array = np.ascontiguousarray(array).view(np.uint32) >> 16
            array = array.astype(np.uint16)
        return "BF16", array
    kind = _TYPES.get(name) or name.replace("uint", "U").replace("int", "I").upper()
    return kind, array.astype(array.dtype.newbyteorder("<"))


def _compare_bytes(path: str, header: int, arrays: dict[str, tuple[str, Any]]) -> None:
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(8 + header)
        for name, (_, array) in arrays.items():
            if file.read(array.nbytes) != array.tobytes():
                raise Refused("differs", f"{name} was not written as it is")
        if file.read(1):
            raise Refused("differs", "there is more in the file than the weights")


def to_onnx(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Write a network for ONNX, run it there, and compare its outputs with Keras' own."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package, "no onnx")
    import keras
    import numpy as np
    import onnxruntime

    rng, worst = np.random.default_rng(0), 0.0
    _call(model, [_example(one, 1, rng) for one in model.inputs])  # else Keras does not export it
    model.export(request["out"], format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(request["out"], providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    for count in (1, 3):  # another batch than it was traced with
        given = [_example(one, count, rng) for one in model.inputs]
        wanted = _call(model, given)
        found = session.run(None, dict(zip(names, given, strict=True)))
        for mine, theirs in zip(keras.tree.flatten(wanted), found, strict=True):
            own = keras.ops.convert_to_numpy(keras.ops.cast(mine, "float32"))
            if own.shape != theirs.shape or not np.isfinite(theirs).all():
                raise Refused("differs", f"ONNX gives {theirs.shape}, and Keras {own.shape}")
            worst = max(worst, float((np.abs(own - theirs) / (1 + np.abs(own))).max(initial=0)))
    if worst > (bound := request["bound"]):
        raise Refused("differs", f"the outputs differ by {worst:.2g}, more than {bound:g}")
    return {"worst": worst, "compared": "outputs for 4 random examples with Keras' own"}


def _call(model: Any, given: list[Any]) -> Any:
    return model(given if len(given) > 1 else given[0], training=False)


def _example(tensor: Any, count: int, rng: Any) -> Any:
    shape = (count, *(8 if size is None else size for size in tensor.shape[1:]))
    if "int" in str(tensor.dtype):
        return rng.integers(0, 2, shape).astype(str(tensor.dtype))
    return rng.normal(size=shape).astype(str(tensor.dtype))


if __name__ == "__main__":
    main()
