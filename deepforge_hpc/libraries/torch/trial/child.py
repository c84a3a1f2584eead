"""The trial itself: PyTorch builds networks layer by layer and says what it thinks of each.

Its text is sent to the Python of an environment, which needs PyTorch, and nothing of ours, after
that of `networks.trial.contained`.

A layer is made from source text that was generated: names that were checked, and literals. All
tensors are on the meta device, so nothing is computed and memory does not depend on the network.
Sizes are numbers there: a network is gone through with two sizes of batch and of other unknown
dimensions, and what differs between them is unknown.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
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


def start(request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - it has one backend
    """Import PyTorch and return what is to be known of it."""
    os.environ.update(CUDA_VISIBLE_DEVICES="", HIP_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")
    if importlib.util.find_spec("torch") is None:
        return {"ready": False, "why": "none", "text": ""}
    try:
        import torch

        _warm_up()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an installation
        return {"ready": False, "why": "import", "text": words_of(error)}
    return {"ready": True, "version": str(torch.__version__).partition("+")[0], "backend": ""}


def _warm_up() -> None:
    """Let PyTorch load what it loads when it is first used, while files may still be written."""
    import tempfile

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    tempfile.gettempdir()
    with FlopCounterMode(display=False), torch.device("meta"):
        torch.nn.Linear(2, 2)(torch.empty(2, 2)) * torch.ones(2)


class MetaBuild:
    """One network while it is built."""

    def __init__(self, denied: list[str]) -> None:
        self.denied = denied
        self.outputs: tuple[dict[str, Any], ...] = tuple({} for _ in PROBES)
        """What each layer gives, once for each probe."""
        self.items: dict[str, dict[str, Any]] = {}
        self.layers: dict[str, Any] = {}

    def add(self, item: dict[str, Any]) -> dict[str, Any]:
        """Add an input, a layer or a model of those before, and return what is to be said of it."""
        self.items[item["name"]] = item
        if "code" not in item and "shape" not in item:  # it is left out
            return {}
        seen = len(self.denied)
        found = self._input(item) if "shape" in item else self._tried(item)
        new = self.denied[seen : seen + 8]
        return {**found, "denied": new} if new else found

    def _input(self, item: dict[str, Any]) -> dict[str, Any]:
        import torch

        for (batch, other), known in zip(PROBES, self.outputs, strict=True):
            shape = (batch, *(size or other for size in item["shape"]))
            dtype = getattr(torch, item["dtype"])
            known[item["name"]] = torch.empty(shape, dtype=dtype, device="meta")
        return {}

    def _tried(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            layer = self._layer(item)
            if layer is None or any(name not in self.outputs[0] for name, _ in reads(item)):
                return {}
            given = [[picked(known, one) for one in reads(item)] for known in self.outputs]
        except Exception as error:  # noqa: BLE001 - layers raise anything
            return {"error": _told("make", error)}
        found: dict[str, Any] = {"inputs": _shapes(given)}
        found.update(kind=type(layer).__name__, family=type(layer).__module__)
        try:
            made = [self._counted(layer, item, known) for known in self.outputs]
        except Exception as error:  # noqa: BLE001 - layers raise anything
            return {**found, "error": _told("call", error)}
        for known, (output, _) in zip(self.outputs, made, strict=True):
            known[item["name"]] = output
        return {**found, **_facts(layer, made)}

    def _layer(self, item: dict[str, Any]) -> Any:
        """Return the module or function that is called; None if what it is made of is not known."""
        import torch

        if "shares" in item:
            return self.layers.get(item["shares"])
        if "model" in item:
            if any(name not in self.outputs[0] for name, _ in item["model"]["outputs"]):
                return None
            layer: Any = _Model(self, item)
        else:
            names = {"__builtins__": {"dict": dict}, "torch": torch, "nn": torch.nn}
            for module in item["modules"]:
                importlib.import_module(module)
                top = module.partition(".")[0]
                names[top] = sys.modules[top]
            with torch.device("meta"):
                layer = _made(item, names)
        self.layers[item["name"]] = layer
        return layer

    def _counted(self, layer: Any, item: dict[str, Any], known: dict[str, Any]) -> tuple[Any, int]:
        """Call a layer; return what it gives, and the multiply-accumulates of the batch."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.device("meta"):
            output = self.called(layer, item, known)
        return output, counter.get_total_flops() // 2

    def called(self, layer: Any, item: dict[str, Any], known: dict[str, Any]) -> Any:
        """Call a layer on what is known of one probe."""
        sources = [picked(known, one) for one in item["sources"]]
        named = {
            name: picked(known, value["one"])
            if "one" in value
            else tuple(picked(known, one) for one in value["many"])
            if "many" in value
            else value["plain"]
            for name, value in item["keywords"].items()
        }
        if item["merges"]:
            return layer(sources, **named)
        while _is_fold(layer) and len(sources) > 2:
            sources[:2] = [layer(*sources[:2])]
        return layer(*sources, **named)

    def finish(self, network: dict[str, Any]) -> dict[str, Any]:
        """Look whether what the network gives are tensors, if all of it could be built."""
        import torch

        try:
            found = [picked(self.outputs[0], one) for one in network["outputs"]]
        except KeyError:
            return {}
        except Exception as error:  # noqa: BLE001 - layers raise anything
            return {"error": _told("model", error)}
        for one, (name, _) in zip(found, network["outputs"], strict=True):
            if not isinstance(one, torch.Tensor):
                text = f"{name} gives several tensors: name one of them, as in {name}.0"
                return {"error": {"stage": "model", "type": "TypeError", "text": text}}
        return {}


class _Model:
    """A model within another: its layers, called on what it is given."""

    def __init__(self, owner: MetaBuild, item: dict[str, Any]) -> None:
        self._owner, self._network = owner, item["model"]
        within = f"{item['name']}."
        self._items = [one for name, one in owner.items.items() if name.startswith(within)]
        direct = [one for one in self._items if "." not in one["name"].removeprefix(within)]
        self._direct = [one for one in direct if "shape" not in one]

    def __call__(self, *sources: Any) -> Any:
        known = dict(zip(self._network["inputs"], sources, strict=True))
        for item in self._direct:
            layer = self._owner.layers[item.get("shares", item["name"])]
            known[item["name"]] = self._owner.called(layer, item, known)
        found = tuple(picked(known, one) for one in self._network["outputs"])
        return found[0] if len(found) == 1 else found


def _made(item: dict[str, Any], names: dict[str, Any]) -> Any:
    """Return a module, or a function with its arguments."""
    import torch

    kind = eval(item["code"], names)  # noqa: S307 - generated, see above
    if isinstance(kind, type):
        layer = eval(f"{item['code']}({item['words']})", names)  # noqa: S307
        if not isinstance(layer, torch.nn.Module):
            raise TypeError(f"{item['code']} makes no module of PyTorch")
        return layer
    arguments = eval(f"dict({item['words']})", names)  # noqa: S307
    return functools.partial(kind, **arguments) if arguments else kind


def _is_fold(layer: Any) -> bool:
    """Tell whether a layer is a plain function, which takes two tensors at a time."""
    return inspect.isbuiltin(layer)


def _tensors(value: Any) -> Iterator[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _shapes(probes: list[Any]) -> list[list[int | None]]:
    """Return the shapes of tensors; a size that differs between the probes is not known."""
    tensors = [list(_tensors(probe)) for probe in probes]
    return [
        [one if one == two else None for one, two in zip(first.shape, second.shape, strict=True)]
        for first, second in zip(*tensors, strict=True)
    ]


def _of_batch(shapes: list[list[int | None]]) -> list[list[int | None]]:
    """Return those that have the batch first; states of a recurrent layer have it elsewhere."""
    return [shape for shape in shapes if shape[:1] == [None]] or shapes


def _facts(layer: Any, made: list[tuple[Any, int]]) -> dict[str, Any]:
    """Return what a layer gives and holds."""
    import torch

    outputs = [output for output, _ in made]
    types = {str(one.dtype).removeprefix("torch.") for one in _tensors(outputs[0])}
    products = {count / batch for (_, count), (batch, _) in zip(made, PROBES, strict=True)}
    is_module = isinstance(layer, torch.nn.Module)
    weights = layer.named_parameters() if is_module else ()
    return {
        "outputs": _of_batch(_shapes(outputs))[:MAX_TENSORS],
        "dtype": next(iter(types)) if len(types) == 1 else "",
        "weights": [[name, list(one.shape), one.requires_grad] for name, one in weights][
            :MAX_WEIGHTS
        ],
        "operations": int(products.pop()) if len(products) == 1 else None,
    }


def _told(stage: str, error: Exception) -> dict[str, Any]:
    """Return an exception as what is said of it."""
    text, by = words_of(error), _raised_in(error)
    return {"stage": stage, "type": type(error).__name__, "text": text, "by": by}


def _raised_in(error: Exception) -> str:
    """Return who refused: the `framework`, or other `code`."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files = [name for name in files if name != "<trial>"]  # which refuses what layers may not do
    last = files[-1] if files else ""
    return "framework" if "/torch/" in last or last.startswith("<") else "code"


def build_all(
    networks: list[dict[str, Any]],
    write: Write,
    request: dict[str, Any],  # noqa: ARG001 - of backends
    denied: list[str],
) -> None:
    """Build networks and write what becomes of each layer."""
    for index, network in enumerate(networks):
        build(network, index, MetaBuild(denied), write)


if __name__ == "__main__":
    converse(start, build_all)
