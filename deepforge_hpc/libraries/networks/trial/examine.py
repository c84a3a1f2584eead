"""What a framework says of a pipeline's network, if known or without starting a job's Python."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall, Tensor
from deepforge_hpc.libraries.networks.trial.judge import Advice, Finding, Judge, Outcome
from deepforge_hpc.libraries.networks.trial.notices import not_tried, notice, notices
from deepforge_hpc.libraries.networks.trial.result import NoTrial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import NOT_ASKED, Tried, try_out
from deepforge_hpc.plugins.library import Examination, Use

_SIZES = ("units", "out_features")
"""Arguments that say how many numbers a layer gives for each row."""


def examine(judge: Judge, graph: Graph, source: str, use: Use) -> Examination:
    """Return what the framework beside `dfh` says, else what that of the job has said before."""
    faults = (*_inputs(judge, graph, use), *_weights(graph, use))
    faults += tuple(judge.of_ranks(graph)) if use.ranks > 1 else ()
    if faults:
        return Examination(faults)
    why = NoTrial("none")
    loss = use.attributes.get("loss")
    for python in dict.fromkeys((use.own_python, use.job_python)):
        found = _tried(judge, graph, python, use)
        if isinstance(found, Tried):
            faults = tuple(one.fault for one in found.refused())
            outcome = {name: one for name, _, one in found.layers if one}
            doubts = (*notices(found, loss), *map(notice, _labels(graph, outcome, use)))
            return Examination(faults, doubts)
        why = why if found == NOT_ASKED else found
    known = map(notice, (*judge.of_loss(graph, {}, loss), *_labels(graph, {}, use)))
    return Examination(notices=(*known, not_tried(judge, why, source)))


def _inputs(judge: Judge, graph: Graph, use: Use) -> Iterator[Fault]:
    """Yield the inputs that want rows of other axes than their data sets have."""
    if "inputs" not in use.attributes:  # of a training: who it gives which data set
        return
    given = use.attributes["inputs"] or {}
    for item in graph.inputs:
        name = given.get(item.name, item.name)
        has, wanted = use.shape(name), list(item.shape)
        if has is None or len(has) == len(wanted):
            continue
        more = max(has, wanted, key=len)[min(len(has), len(wanted)) :]
        if judge.adds_axis and [*more] == [1]:
            continue
        message = f"input {item.name} is {wanted}, and a row of the data set {name} {list(has)}"
        if not has and wanted == [1]:
            message += ", one number without an axis"
        yield item.place.fault(message, f"write {item.name}: {list(has)}")


def _weights(graph: Graph, use: Use) -> Iterator[Fault]:
    """Yield that no output counts in the loss."""
    given = use.attributes.get("loss_weights")
    if isinstance(given, dict) and all(given.get(str(one)) == 0 for one in graph.outputs):
        yield graph.calls[-1].place.fault(
            "loss_weights of the training gives every output 0, so nothing would be learnt",
            "leave out one of them, for 1",
        )


def _labels(graph: Graph, outcome: Outcome, use: Use) -> Iterator[Finding]:
    """Yield an output with fewer classes than the data record of their labels."""
    target = use.attributes.get("target")
    calls = {call.name: call for call in graph.calls}
    if "loss" not in use.attributes:
        return
    for tensor in graph.outputs:
        name = target.get(tensor.name) if isinstance(target, dict) else target
        call = calls.get(tensor.name)
        if not isinstance(name, str) or call is None or not (has := _size(call, tensor, outcome)):
            continue
        recorded = use.classes(name)
        if recorded is not None and recorded > max(2, has):
            what = f"the data set {name} records {recorded} classes, and this output has {has}"
            yield Finding("loss", call, Advice(what, "give it a unit for each class"))


def _size(call: LayerCall, tensor: Tensor, outcome: Outcome) -> int | None:
    """Return how many numbers an output has for each row, as far as that is known."""
    built = outcome.get(call.name)
    if built is not None and built.outputs:
        return built.outputs[tensor.index or 0][-1]
    said = (call.arguments[name].data for name in _SIZES if name in call.arguments)
    return next((one for one in said if isinstance(one, int)), None)


def _tried(judge: Judge, graph: Graph, python: str, use: Use) -> Tried | NoTrial:
    is_own = python == use.own_python
    software = use.software(python, judge.packages)
    if not any(name == judge.package for name, _ in software):
        return NOT_ASKED
    setting = TrialSetting.of(judge, python, is_jobs=not is_own)
    return try_out(graph, setting, software, may_start=is_own)
