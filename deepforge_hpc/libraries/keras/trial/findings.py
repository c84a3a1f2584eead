"""What Keras accepts in silence, and a learning curve never forgives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress

from deepforge_hpc.files.faults import nearest, shown
from deepforge_hpc.libraries.keras.named_values import spellings
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall, Tensor
from deepforge_hpc.libraries.networks.trial.bottlenecks import bottlenecks
from deepforge_hpc.libraries.networks.trial.judge import Advice, Finding, Outcome, within
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer
from deepforge_hpc.operations.spec import is_by_output, parse

_BINARY = ("BinaryCrossentropy", "BinaryFocalCrossentropy")
_CLASSES = (
    *("CategoricalCrossentropy", "SparseCategoricalCrossentropy"),
    "CategoricalFocalCrossentropy",
)
_CROSSENTROPIES = (*_CLASSES, *_BINARY)
_OF_SHARES = (*_CROSSENTROPIES, "KLDivergence", "Dice", "Tversky")
_SHARES = frozenset({"softmax", "sigmoid", "hard_sigmoid", "sparsemax"})
"""Activations whose numbers can be probabilities."""
_ABOVE = _SHARES | {"exponential", "relu", "relu6", "softplus"}
"""Those whose numbers are never below 0."""
_LAYERS = {"Softmax": "softmax", "ReLU": "relu", "ELU": "elu", "LeakyReLU": "leaky_relu"}
"""Layers that are an activation."""


_PASSING = re.compile(r"\w*Dropout\w*|Reshape|Flatten|Permute|Identity|Activation|ActivityReg\w*")
"""Layers after which numbers still mean what they did before."""


def findings(graph: Graph, outcome: Outcome) -> Iterator[Finding]:
    """Yield what can be told from the network alone."""
    for call in graph.calls:
        if call.model is not None and not call.shared:
            yield from findings(call.model, within(outcome, call.name))
        if "training" in call.keywords:
            what = "fit and predict say themselves whether they train, so training has no effect"
            hint = "trainable: false keeps the weights and statistics of a layer"
            yield Finding("overridden", call, Advice(what, hint))
        built = outcome.get(call.name, BuiltLayer())
        for shape in built.outputs[:1]:
            if shape[-1:] == (1,) and _is_softmax(call):
                what = "a softmax over one class is 1 whatever comes in, so nothing is learnt"
                hint = "use sigmoid for yes or no, or a unit for each class"
                yield Finding("one_class", call, Advice(what, hint))
    yield from bottlenecks(graph, outcome, _channels)


def _channels(call: LayerCall) -> int:
    given = call.arguments.get("data_format")
    return 1 if given is not None and given.data == "channels_first" else -1


def _is_softmax(call: LayerCall) -> bool:
    """Tell whether a softmax over the last axis is applied."""
    axis = call.arguments.get("axis")
    return activation(call) == "softmax" and (axis is None or axis.data in {-1, None})


def activation(call: LayerCall) -> str:
    """Return what a layer applies to its output last; empty for nothing."""
    given = call.arguments.get("activation")
    kind, found = call.kind, None if given is None else given.data
    if kind == "TimeDistributed" and "layer" in call.arguments:
        with suppress(ValueError):
            kind, inner = parse(call.arguments["layer"].data)
            found = inner.get("activation")
    if kind in _LAYERS:
        return _LAYERS[kind]
    return found if isinstance(found, str) and found != "linear" else ""


def _applied(graph: Graph, tensor: Tensor) -> tuple[str, object]:
    """Return what is applied last to what an output gives, behind layers that keep its meaning.

    And over which axis of it; None where others have moved the axes since.
    """
    is_moved = False
    for call in graph.chain(tensor):
        found = activation(call)
        if found or not _PASSING.fullmatch(call.kind):
            axis = call.arguments.get("axis") if call.kind == "Softmax" else None
            return found, None if is_moved else -1 if axis is None else axis.data
        is_moved |= call.kind in {"Reshape", "Flatten", "Permute"}
    return "", None


def of_loss(graph: Graph, outcome: Outcome, loss: object) -> Iterator[Finding]:
    """Yield what does not fit between the outputs and a loss: its name, or {name: arguments}.

    Or one for each output, by the outputs' names. Shapes that are not known stay unchecked.
    """
    calls = {call.name: call for call in graph.calls}
    each = (
        loss
        if isinstance(loss, dict) and is_by_output(loss, spellings("loss").__contains__)
        else None
    )
    for tensor in graph.outputs:
        call, built = calls.get(tensor.name), outcome.get(tensor.name, BuiltLayer())
        name, arguments = _loss(loss if each is None else each.get(tensor.name))
        if call is not None and name:
            shape = built.outputs[tensor.index or 0] if built.outputs else ()
            applied, axis = _applied(graph, tensor)
            is_logits = arguments.get("from_logits") is True
            last = shape[-1] if shape else None
            found = _misfit(name, applied, last, from_logits=is_logits)
            if name in _CLASSES and applied == "softmax" and not found:
                found = _other_axis(name, axis, arguments.get("axis", -1), len(shape))
            if found:
                yield Finding("loss", call, found)
    yield from _without_output(graph, each or {}, calls)


def _other_axis(name: str, applied: object, wanted: object, rank: int) -> Advice | None:
    """Return that a softmax goes over another axis than that of the classes, as far as is known."""
    axes = (applied, wanted)
    if not all(isinstance(axis, int) and -rank <= axis < rank for axis in axes):
        return None
    over, classes = (axis % rank for axis in axes if isinstance(axis, int))
    if over == classes:
        return None
    what = (
        f"{name} takes axis {wanted} for the classes, and the softmax adds up over axis {applied}"
    )
    return Advice(what, "use one axis for both: that of the classes, mostly the last")


def _without_output(
    graph: Graph, each: Mapping[str, object], calls: Mapping[str, LayerCall]
) -> Iterator[Finding]:
    """Yield losses of what is no output."""
    names = [tensor.name for tensor in graph.outputs]
    found = [calls[name] for name in names if name in calls]
    for name in each:
        if found and name not in names:
            what = f"the operation's loss is of {shown(name)}, which is no output of the network"
            yield Finding("loss", found[0], Advice(what, nearest(name, names)))


def _loss(loss: object) -> tuple[str, Mapping[str, object]]:
    """Return the class of a loss, and its arguments."""
    try:
        name, arguments = parse(loss)
    except ValueError:
        return "", {}
    return spellings("loss").get(name, name), arguments


def _misfit(name: str, applied: str, last: int | None, *, from_logits: bool) -> Advice | None:
    """Return what does not fit between a loss and an output."""
    is_classes, is_crossentropy = name in _CLASSES, name in _CROSSENTROPIES
    is_binary, is_known = name in _BINARY, ":" not in applied
    wanted = "sigmoid" if is_binary else "softmax"
    rules = (
        (
            is_classes and last == 1,
            "wants a number for each class, and the output is one number",
            "use BinaryCrossentropy for yes or no, or a unit for each class",
        ),
        (
            is_crossentropy and from_logits and applied in {"softmax", "sigmoid"},
            f"with from_logits: true applies {applied} itself, and the output has it too",
            "leave out the activation, or from_logits",
        ),
        (
            name in _OF_SHARES and not from_logits and is_known and applied not in _SHARES,
            f"wants probabilities, and {applied} gives other numbers"
            if applied
            else "wants probabilities, and nothing makes the output such",
            f"add activation: {wanted}" + ", or from_logits: true to the loss" * is_crossentropy,
        ),
        (
            name == "Poisson" and is_known and applied not in _ABOVE,
            "wants numbers above 0, and those of the output may be below",
            "use activation: exponential or softplus",
        ),
        (
            name.endswith("Hinge") and applied in _SHARES,
            f"wants scores below and above 0, and {applied} gives none below",
            "use no activation, or tanh",
        ),
        (
            is_classes and applied == "sigmoid",
            "wants probabilities that add up to 1, and sigmoid gives each its own",
            "use softmax, or BinaryCrossentropy",
        ),
        (
            is_binary and applied == "softmax",
            "judges each output by itself, and softmax ties them together",
            "use sigmoid, or CategoricalCrossentropy",
        ),
        (
            name.startswith(("Mean", "Huber", "LogCosh")) and applied == "softmax",
            "compares numbers, and the output is a softmax over classes",
            "use a crossentropy, or no activation",
        ),
    )
    return next((Advice(f"{name} {what}", hint) for is_so, what, hint in rules if is_so), None)
