"""A network of a pipeline: what Keras says of it, if that is known or costs no start of a job's."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.errors import Fault
from deepforge_hpc.libraries.keras.trial.findings import of_loss
from deepforge_hpc.libraries.keras.trial.notices import not_tried, notice, notices
from deepforge_hpc.libraries.keras.trial.result import NoTrial
from deepforge_hpc.libraries.keras.trial.setting import PACKAGES, TrialSetting
from deepforge_hpc.libraries.keras.trial.tried import NOT_ASKED, Tried, try_out
from deepforge_hpc.libraries.networks.graph import Graph, LayerCall
from deepforge_hpc.plugins.library import Examination, Use

_CURE = (
    "leave it out, and write synchronize: true for deepforge_hpc.operations:Train, or call "
    "deepforge_hpc.training.synchronize_batch_normalization(model)"
)


def examine(graph: Graph, source: str, use: Use) -> Examination:
    """Return what the Keras beside `dfh` says, else what that of the job has said before."""
    if faults := tuple(_alone(graph)) if use.ranks > 1 else ():
        return Examination(faults)
    why = NoTrial("no keras")
    loss = use.attributes.get("loss")
    for python in dict.fromkeys((use.own_python, use.job_python)):
        found = _tried(graph, python, use)
        if isinstance(found, Tried):
            faults = tuple(one.fault for one in found.refused())
            return Examination(faults, tuple(notices(found, loss)))
        why = why if found == NOT_ASKED else found
    known = map(notice, of_loss(graph, {}, loss))
    return Examination(notices=(*known, not_tried(why, source)))


def _alone(graph: Graph) -> Iterator[Fault]:
    """Yield layers that claim to see all ranks' rows and, in Keras, see their own rank's alone."""
    for call in graph.calls:
        if call.model is not None:
            yield from _alone(call.model)
        if any(map(_is_synchronized, ({call.kind: _data(call)}, *_data(call).values()))):
            message = f"{call.name}: synchronized: true does nothing between the ranks of a job"
            yield call.place.fault(message, _CURE)


def _data(call: LayerCall) -> dict[str, object]:
    return {name: item.data for name, item in call.arguments.items()}


def _is_synchronized(value: object) -> bool:
    """Tell whether a layer, or one that it wraps, is such a BatchNormalization."""
    if isinstance(value, list):
        return any(map(_is_synchronized, value))
    if not isinstance(value, dict):
        return False
    own = value.get("BatchNormalization")
    is_one = isinstance(own, dict) and own.get("synchronized") is True
    return is_one or any(map(_is_synchronized, value.values()))


def _tried(graph: Graph, python: str, use: Use) -> Tried | NoTrial:
    is_own = python == use.own_python
    software = use.software(python, PACKAGES)
    if not any(name == "keras" for name, _ in software):
        return NOT_ASKED
    setting = TrialSetting.of(python, is_jobs=not is_own)
    return try_out(graph, setting, software, may_start=is_own)
