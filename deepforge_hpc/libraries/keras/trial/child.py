"""The trial itself: Keras builds networks layer by layer and says what it thinks of each.

Its text is sent to the Python of an environment, which needs Keras and a backend of it, and nothing
of ours, after that of `networks.trial.contained`.

A layer is made from source text that was generated: names that were checked, and literals. Its
weights are abstract, so nothing is computed and memory does not depend on the network.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from deepforge_hpc.libraries.networks.trial.contained import (
    MAX_TENSORS,
    MAX_WEIGHTS,
    PROBES,
    Write,
    build,
    converse,
    picked,
    reads,
    words_of,
)

_BACKENDS = ("tensorflow", "jax", "torch")
_GUESTS = ("matplotlib", "mpl_toolkits", "pandas", "sklearn")
"""What Keras imports if it is there, and no layer needs: with SciPy a third of its start."""
_DEEPEST = 60_000
_NAMES_BACKEND = re.compile(r"\b(?:tensorflow|jax|torch|pytorch)\b", re.IGNORECASE)


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Import Keras and return what is to be known of it."""
    os.environ.update(
        TF_CPP_MIN_LOG_LEVEL="3",
        CUDA_VISIBLE_DEVICES="",
        JAX_PLATFORMS="cpu",
        TF_ENABLE_ONEDNN_OPTS="0",
        OMP_NUM_THREADS="1",
    )
    wanted = request["backend"] or _configured()
    names = filter(None, (wanted, *_BACKENDS))  # the wanted one, else another
    backend = next((name for name in names if importlib.util.find_spec(name)), "")
    if importlib.util.find_spec("keras") is None:
        return {"ready": False, "why": "none", "text": ""}
    if not backend:
        return {"ready": False, "why": "no backend", "text": "none of " + ", ".join(_BACKENDS)}
    os.environ["KERAS_BACKEND"] = backend
    guests = _GUESTS if backend == "jax" else (*_GUESTS, "scipy")  # which JAX is built on
    absent = {name: None for name in guests if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        import keras
    except Exception as error:  # noqa: BLE001 - layers raise anything
        return {"ready": False, "why": "import", "text": words_of(error)}
    finally:
        for name in absent:  # layers of the project may import them
            sys.modules.pop(name, None)
    keras.config.disable_traceback_filtering()
    return {"ready": True, "version": keras.__version__, "backend": keras.backend.backend()}


def _configured() -> str:
    """Return the backend that Keras would take here."""
    if name := os.environ.get("KERAS_BACKEND", ""):
        return name
    folder = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")  # noqa: PTH111
    try:
        with open(os.path.join(folder, "keras.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            return str(json.load(file).get("backend", ""))
    except (OSError, ValueError, AttributeError):
        return _BACKENDS[0]


class TrialBuild:
    """One network while it is built."""

    def __init__(
        self,
        job_backend: str,
        denied: list[str],
        last: tuple[str, ...] = (),
        precision: str = "",
        scope: Any = None,
    ) -> None:
        """Begin; all layers but the `last` compute in a precision, if one is given.

        `scope`: what weights have no values in.
        """
        import keras

        self.scope = scope or contextlib.nullcontext()

        self.last, self.precision = last, precision or keras.config.dtype_policy().name
        self.usual = keras.config.dtype_policy().name

        self.keras = keras
        self.is_jobs = keras.backend.backend() == job_backend
        self.denied = denied
        self.outputs: dict[str, Any] = {}
        """Of what could be built."""
        self.layers: dict[str, Any] = {}
        self.traced: set[str] = set()
        self.loose = False  # some tensor does not lead back to the inputs: it was retried

    def add(self, item: dict[str, Any]) -> dict[str, Any]:
        """Add an input, a layer or a model of those before, and return what is to be said of it."""
        if "shape" in item:
            shape = tuple(item["shape"])
            try:
                words = {"dtype": item["dtype"], **item.get("options", {})}
                self.outputs[item["name"]] = self.keras.Input(shape=shape, **words)
            except Exception as error:  # noqa: BLE001 - layers raise anything
                return {"error": self._told("make", error)}
            return {}
        if "code" not in item:  # it is left out
            return {}
        seen = len(self.denied)
        found = self._tried(item)
        new = self.denied[seen : seen + 8]
        return {**found, "denied": new} if new else found

    def _tried(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            layer = self._layer(item)
            if layer is None or any(name not in self.outputs for name, _ in reads(item)):
                return {}
            given = self.keras.tree.flatten([self._tensor(one) for one in reads(item)])
        except Exception as error:  # noqa: BLE001 - layers raise anything
            return {"error": self._told("make", error)}
        shapes = [list(tensor.shape) for tensor in given]
        found: dict[str, Any] = {"inputs": shapes}
        found.update(kind=type(layer).__name__, family=type(layer).__module__)
        try:
            with self._concrete() if _keeps_state(layer) else contextlib.nullcontext():
                output = self._call(layer, item, self._tensor)
        except Exception as error:  # noqa: BLE001 - layers raise anything
            retried = None if self.is_jobs or "model" in item else self._retried(item)
            if retried is None:
                return {**found, "error": self._told("call", error)}
            self.loose = found["retried"] = True
            layer, output = retried
        try:
            self._trace(layer, item, shapes)
        except Exception as error:  # noqa: BLE001 - layers raise anything
            if self._retried(item) is None:  # data has sizes when it comes
                return {**found, "error": self._told("call", error)}
        self.outputs[item["name"]] = output
        return {**found, **self._facts(layer, output)}

    def _layer(self, item: dict[str, Any]) -> Any:
        """Return the layer that is called; None if what it is made of is not known."""
        if "model" in item:
            inner = item["model"]
            if not self._is_whole(inner):
                return None
            layer = self._model(inner)
        elif "shares" in item:  # tried again, too: its weights have the size of their first use
            return self.layers.get(item["shares"])
        else:
            words = ", ".join(filter(None, (item["words"], f"name={item['name']!r}")))
            source = f"{item['code']}({words})"
            is_last = item["name"] in self.last
            self.keras.config.set_dtype_policy(self.usual if is_last else self.precision)
            layer = eval(source, {"__builtins__": {}, **self._names(item)})  # noqa: S307 - generated, see above
            if not isinstance(layer, self.keras.layers.Layer):
                raise TypeError(f"{item['code']} makes no Keras layer")
        self.layers[item["name"]] = layer
        return layer

    def _is_whole(self, network: dict[str, Any]) -> bool:
        outputs = network["outputs"]
        return bool(outputs) and all(name in self.outputs for name, _ in outputs)

    def _model(self, network: dict[str, Any]) -> Any:
        inputs = [self.outputs[name] for name in network["inputs"]]
        outputs = [self._tensor(one) for one in network["outputs"]]
        # One is not a list of one: a model gives what it was made with.
        one_or_all = [found[0] if len(found) == 1 else found for found in (inputs, outputs)]
        return self.keras.Model(*one_or_all)

    def _names(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return what the source of a layer may name."""
        names = {"keras": self.keras}
        for module in item["modules"]:
            importlib.import_module(module)
            top = module.partition(".")[0]
            names[top] = sys.modules[top]
        return names

    def _tensor(self, one: list[Any]) -> Any:
        return picked(self.outputs, one)

    def _call(self, layer: Any, item: dict[str, Any], tensor: Callable[[list[Any]], Any]) -> Any:
        """Call a layer on symbolic tensors."""
        sources = [tensor(one) for one in item["sources"]]
        named = {
            name: tensor(value["one"])
            if "one" in value
            else [tensor(one) for one in value["many"]]
            if "many" in value
            else value["plain"]
            for name, value in item["keywords"].items()
        }
        return layer(sources, **named) if item["merges"] else layer(*sources, **named)

    def _trace(self, layer: Any, item: dict[str, Any], shapes: list[list[int | None]]) -> None:
        """Follow the body of a layer too: many are called by their rule for shapes alone.

        Equal layers on equal shapes once.
        """
        signature = [item["code"], item["words"], shapes, item["keywords"], item["sources"][1:]]
        if "model" in item or (known := json.dumps(signature)) in self.traced:
            return
        self._call(_body(layer), item, self._tensor)
        self.traced.add(known)

    @contextlib.contextmanager
    def _concrete(self) -> Iterator[None]:
        """Let weights have values: Keras makes the state between batches of no others."""
        self.scope.__exit__(None, None, None)
        try:
            yield
        finally:
            self.scope.__enter__()

    def _retried(self, item: dict[str, Any]) -> tuple[Any, Any] | None:
        """Try with concrete sizes what this backend refuses with unknown ones."""
        found = []
        for batch, other in PROBES:

            def concrete(one: list[Any], batch: int = batch, other: int = other) -> Any:
                def sized(tensor: Any) -> Any:
                    unknown = (batch, *[other] * (len(tensor.shape) - 1))
                    pairs = zip(tensor.shape, unknown, strict=True)
                    shape = tuple(size or instead for size, instead in pairs)
                    return self.keras.KerasTensor(shape, dtype=tensor.dtype)

                return self.keras.tree.map_structure(sized, self._tensor(one))

            try:
                layer = self._layer(item)
                found.append(self._call(layer, item, concrete))
                self._call(_body(layer), item, concrete)
            except Exception:  # noqa: BLE001 - layers raise anything
                return None
        first, second = found
        if not hasattr(first, "shape"):
            return None
        both = zip(first.shape, second.shape, strict=True)
        shape = tuple(one if one == two else None for one, two in both)
        return layer, self.keras.KerasTensor(shape, dtype=first.dtype)

    def _facts(self, layer: Any, output: Any) -> dict[str, Any]:
        outputs = self.keras.tree.flatten(output)[:MAX_TENSORS]
        wrapped = getattr(layer, "layer", None) or getattr(layer, "forward_layer", None)
        return {
            "wraps": "" if wrapped is None else type(wrapped).__name__,
            "outputs": [list(item.shape) for item in outputs],
            "dtype": str(outputs[0].dtype) if outputs else "",
            "weights": [_weight(item, layer) for item in layer.weights[:MAX_WEIGHTS]],
        }

    def _told(self, stage: str, error: Exception) -> dict[str, str]:
        by = _raised_in(error, self.keras.backend.backend())
        return {"stage": stage, "type": type(error).__name__, "text": words_of(error), "by": by}

    def finish(self, network: dict[str, Any]) -> dict[str, Any]:
        """Put the network together, if all of it could be built."""
        try:
            if not self.loose and self._is_whole(network):
                self._model(network)
        except Exception as error:  # noqa: BLE001 - layers raise anything
            return {"error": self._told("model", error)}
        return {}


def _body(layer: Any) -> Callable[..., Any]:
    """Return what follows the `call` of a layer on symbolic tensors, without computing."""
    import keras

    return lambda *sources, **named: keras.Operation.compute_output_spec(layer, *sources, **named)


def _keeps_state(layer: Any) -> bool:
    """Tell whether a layer, or the one within it, goes on in a batch where the last one ended."""
    within = (layer, getattr(layer, "layer", None), getattr(layer, "forward_layer", None))
    return any(getattr(one, "stateful", False) is True for one in within)


def _weight(variable: Any, layer: Any) -> list[Any]:
    trained = bool(variable.trainable and layer.trainable)
    return [str(variable.path), list(variable.shape), trained]


def _raised_in(error: BaseException, backend: str) -> str:
    """Return who refused: Keras as the `framework`, its `backend`, or other `code`.

    What is refused for the backend's sake says so by its name: Keras itself has no StringLookup
    without TensorFlow.
    """
    if _NAMES_BACKEND.search(str(error)):
        return "backend"
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    frames = [name for name in files if name != inspect.__file__]  # binds arguments for others
    last = frames[-1] if frames else ""
    if f"/keras/src/backend/{backend}/" in last:
        return "backend"
    if "/keras/" in last or last.startswith("<"):
        return "framework"
    through = any(f"/keras/src/backend/{backend}/" in name for name in frames)
    return "backend" if through else "code"


def _abstract() -> Any:
    """Return what lets weights have a shape and no values, where this Keras can do so."""
    import keras

    scope = getattr(keras, "StatelessScope", None)
    return scope(initialize_variables=False) if scope else contextlib.nullcontext()


def build_all(
    networks: list[dict[str, Any]], write: Write, request: dict[str, Any], denied: list[str]
) -> None:
    """Build networks and write what becomes of each layer."""
    import keras

    sys.setrecursionlimit(_DEEPEST)  # Keras follows a network from its outputs, layer by layer
    for index, network in enumerate(networks):
        keras.utils.clear_session()
        with _abstract() as scope:
            job, last = request["job_backend"] or request["backend"], tuple(network.get("last", ()))
            one = TrialBuild(job, denied, last, request.get("precision", ""), scope)
            build(network, index, one, write)
        keras.config.set_dtype_policy(one.usual)


if __name__ == "__main__":
    converse(start, build_all)
