"""What a framework says of a pipeline's network, if known or without starting a job's Python."""

from __future__ import annotations

from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.trial.judge import Judge
from deepforge_hpc.libraries.networks.trial.notices import not_tried, notice, notices
from deepforge_hpc.libraries.networks.trial.result import NoTrial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import NOT_ASKED, Tried, try_out
from deepforge_hpc.plugins.library import Examination, Use


def examine(judge: Judge, graph: Graph, source: str, use: Use) -> Examination:
    """Return what the framework beside `dfh` says, else what that of the job has said before."""
    if faults := tuple(judge.of_ranks(graph)) if use.ranks > 1 else ():
        return Examination(faults)
    why = NoTrial("none")
    loss = use.attributes.get("loss")
    for python in dict.fromkeys((use.own_python, use.job_python)):
        found = _tried(judge, graph, python, use)
        if isinstance(found, Tried):
            faults = tuple(one.fault for one in found.refused())
            return Examination(faults, tuple(notices(found, loss)))
        why = why if found == NOT_ASKED else found
    known = map(notice, judge.of_loss(graph, {}, loss))
    return Examination(notices=(*known, not_tried(judge, why, source)))


def _tried(judge: Judge, graph: Graph, python: str, use: Use) -> Tried | NoTrial:
    is_own = python == use.own_python
    software = use.software(python, judge.packages)
    if not any(name == judge.package for name, _ in software):
        return NOT_ASKED
    setting = TrialSetting.of(judge, python, is_jobs=not is_own)
    return try_out(graph, setting, software, may_start=is_own)
