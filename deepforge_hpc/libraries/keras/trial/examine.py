"""A network of a pipeline: what Keras says of it, if that is known or costs no start of a job's."""

from __future__ import annotations

from deepforge_hpc.libraries.keras.trial.notices import not_tried, notices
from deepforge_hpc.libraries.keras.trial.result import NoTrial
from deepforge_hpc.libraries.keras.trial.setting import PACKAGES, TrialSetting
from deepforge_hpc.libraries.keras.trial.tried import NOT_ASKED, Tried, try_out
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.plugins.library import Examination, Use


def examine(graph: Graph, source: str, use: Use) -> Examination:
    """Return what the Keras beside `dfh` says, else what that of the job has said before."""
    why = NoTrial("no keras")
    for python in dict.fromkeys((use.own_python, use.job_python)):
        found = _tried(graph, python, use)
        if isinstance(found, Tried):
            faults = tuple(one.fault for one in found.refused())
            return Examination(faults, tuple(notices(found, use.attributes.get("loss"))))
        why = why if found == NOT_ASKED else found
    return Examination(notices=(not_tried(why, source),))


def _tried(graph: Graph, python: str, use: Use) -> Tried | NoTrial:
    is_own = python == use.own_python
    software = use.software(python, PACKAGES)
    if not any(name == "keras" for name, _ in software):
        return NOT_ASKED
    setting = TrialSetting.of(python, is_jobs=not is_own)
    return try_out(graph, setting, software, may_start=is_own)
