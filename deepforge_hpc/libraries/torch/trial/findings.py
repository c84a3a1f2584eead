"""What PyTorch accepts in silence, and a learning curve never forgives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepforge_hpc.libraries.networks.graph import Graph, LayerCall, Tensor
from deepforge_hpc.libraries.networks.trial.bottlenecks import bottlenecks
from deepforge_hpc.libraries.networks.trial.judge import Advice, Finding, Outcome, within
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer
from deepforge_hpc.libraries.torch.catalogue import shipped
from deepforge_hpc.operations.spec import is_by_output, parse

_SOFTMAX = ("Softmax", "LogSoftmax", "Softmin")
_ALONG = {"cat", "stack", "mean", "amax", "select", "narrow", *_SOFTMAX}
_PASSING = re.compile(
    r"\w*Dropout\w*|Identity|(Unf|F)latten|select|narrow|permute|transpose|unsqueeze"
)
"""Layers after which numbers still mean what they did before."""
_MAKES = {
    "CrossEntropyLoss": ("", "numbers of any size (logits), and makes a softmax of them itself"),
    "BCEWithLogitsLoss": ("", "numbers of any size (logits), and makes a sigmoid of them itself"),
    "NLLLoss": ("LogSoftmax", "logarithms of probabilities"),
    "BCELoss": ("Sigmoid", "probabilities from 0 to 1"),
    "KLDivLoss": ("LogSoftmax", "logarithms of probabilities"),
}
"""What must stand before a loss, and what it wants."""
_WITHIN = {"NLLLoss": "CrossEntropyLoss", "BCELoss": "BCEWithLogitsLoss"}
"""Losses that make it themselves."""


def findings(graph: Graph, outcome: Outcome) -> Iterator[Finding]:
    """Yield what can be told from the network alone."""
    for call in graph.calls:
        if call.model is not None and not call.shared:
            yield from findings(call.model, within(outcome, call.name))
        built = outcome.get(call.name, BuiltLayer())
        for said in (
            _softmax(call, built),
            _batch(call),
            _batch_first(call),
            _unbatched(call, built),
        ):
            if said is not None:
                yield said
    yield from bottlenecks(graph, outcome, _channels)


def _channels(call: LayerCall) -> int:
    return 1 if re.search(r"\dd\Z", call.kind) else -1


def _softmax(call: LayerCall, built: BuiltLayer) -> Finding | None:
    if call.kind not in _SOFTMAX:
        return None
    dim = call.arguments.get("dim")
    if dim is None or dim.data is None:
        what = "without dim, PyTorch guesses along what the numbers are to add up to 1"
        return Finding("batch", call, Advice(what, "write dim: 1 for classes, or dim: -1"))
    shape = built.outputs[0] if built.outputs else ()
    if isinstance(dim.data, int) and shape and shape[dim.data % len(shape)] == 1:
        what = "a softmax over one class is 1 whatever comes in, so nothing is learnt"
        hint = "use Sigmoid for yes or no, or a unit for each class"
        return Finding("one_class", call, Advice(what, hint))
    return None


def _batch(call: LayerCall) -> Finding | None:
    dim = call.arguments.get("dim")
    along = dim.data if dim is not None else None
    if call.kind in _ALONG and (along == 0 or (isinstance(along, list) and 0 in along)):
        what = "dimension 0 is the batch, so what one example gives depends on the others"
        return Finding("batch", call, Advice(what, "count from 1: dim: 1"))
    return None


def _batch_first(call: LayerCall) -> Finding | None:
    thing = shipped().find("layer", call.kind)
    given = call.arguments.get("batch_first")
    if thing is None or "batch_first" not in thing.sorts or (given and given.data is True):
        return None
    what = f"without batch_first: true, {call.kind} takes the batch for the steps of a sequence"
    return Finding("batch", call, Advice(what, "write batch_first: true"))


def _unbatched(call: LayerCall, built: BuiltLayer) -> Finding | None:
    found = re.search(r"(\d)d\Z", call.kind)
    shape = built.inputs[0] if built.inputs else ()
    if found is None or "Norm" in call.kind or "Pad" in call.kind:
        return None
    if len(shape) != int(found[1]) + 1:
        return None
    what = (
        f"{call.kind} is given one dimension less than it wants, and takes the batch for channels"
    )
    return Finding("batch", call, Advice(what, "give the input a dimension of channels"))


def losses() -> dict[str, str]:
    """Return the losses by their names."""
    return {name: name for name in shipped().known("loss")}


def of_loss(graph: Graph, outcome: Outcome, loss: object) -> Iterator[Finding]:
    """Yield what does not fit between the outputs and a loss: its name, or {name: arguments}.

    Or one for each output, by the outputs' names.
    """
    calls = {call.name: call for call in graph.calls}
    is_each = isinstance(loss, dict) and is_by_output(loss, losses().__contains__)
    for tensor in graph.outputs:
        name = _loss(loss.get(str(tensor)) if is_each and isinstance(loss, dict) else loss)
        call, built = calls.get(tensor.name), outcome.get(tensor.name, BuiltLayer())
        if call is not None and name:
            shape = next(iter(built.outputs[tensor.index or 0 :]), ())
            last = _applied(graph, tensor)
            kind = last.kind if last is not None else ""
            found = _misfit(name, kind, shape)
            if found is None and name == "NLLLoss" and last is call:
                found = _other_dimension(call, len(shape))
            if found:
                yield Finding("loss", call, found)


def _applied(graph: Graph, tensor: Tensor) -> LayerCall | None:
    """Return the layer that gives an output its meaning: those behind it keep that."""
    found = None
    for call in graph.chain(tensor):
        found = call
        if not _PASSING.fullmatch(call.kind):
            break
    return found


def _other_dimension(call: LayerCall, rank: int) -> Advice | None:
    """Return that probabilities add up over another dimension than that of the classes."""
    dim = call.arguments.get("dim")
    if dim is None or not isinstance(dim.data, int) or rank < 2 or dim.data % rank == 1:
        return None
    what = f"NLLLoss takes dimension 1 for the classes, and {call.kind} adds up over {dim.data}"
    return Advice(what, "write dim: 1, and bring the classes there")


def _loss(loss: object) -> str:
    try:
        return parse(loss)[0]
    except ValueError:
        return ""


def _misfit(name: str, last: str, shape: tuple[int | None, ...]) -> Advice | None:
    """Return what does not fit between a loss and the layer that gives the output."""
    wanted, takes = _MAKES.get(name, ("", ""))
    is_squashed = last in {"Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid"}
    if name in {"CrossEntropyLoss", "NLLLoss"} and shape[1:2] == (1,):
        what = f"{name} wants a number for each class, and the output is one number"
        return Advice(what, "use BCEWithLogitsLoss for yes or no, or a unit for each class")
    if takes and not wanted and is_squashed:
        return Advice(f"{name} wants {takes}, and the output is a {last}", f"leave out {last}")
    if wanted and last != wanted:
        so = f"the output is a {last}" if is_squashed else "nothing makes the output such"
        hint = f"write {wanted} for {last}" if is_squashed else f"add {wanted}"
        if name in _WITHIN:
            hint += f", or use {_WITHIN[name]}"
        return Advice(f"{name} wants {takes}, and {so}", hint)
    if name in {"MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"} and last == "Softmax":
        what = f"{name} compares numbers, and the output is a softmax over classes"
        return Advice(what, "use CrossEntropyLoss without the Softmax, or leave the Softmax out")
    return None
