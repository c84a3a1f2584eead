"""What a person should know of a trial, besides the errors; and that there was none."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.libraries.networks.trial.judge import Finding, Judge
from deepforge_hpc.libraries.networks.trial.result import NoTrial
from deepforge_hpc.libraries.networks.trial.tried import Tried
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.runtime.base.text import count, listed

_WHY = {
    "none": "there is no {} beside dfh",
    "no backend": "{} has no {} to work with",
    "import": "{} cannot be imported",
    "start": "its Python cannot be started",
    "time": "{} was not imported in time",
    "end": "its process ended while {} was imported",
}

_GUARDS = {
    "kernel": "the kernel let it write nothing but what is removed again (Landlock)",
    "limits": "no file could grow; this kernel has no Landlock, so compiled code might remove some",
}


def _reason(judge: Judge, why: NoTrial) -> str:
    return _WHY[why.why].format(judge.framework, judge.backends) + (
        f" ({why.text})" if why.text else ""
    )


def not_there(judge: Judge, why: NoTrial) -> str:
    """Return why the Python that a user named cannot be asked."""
    return f"it has no {judge.framework}" if why.why == "none" else _reason(judge, why)


def not_tried(judge: Judge, why: NoTrial, subject: str) -> Notice:
    """Return that names, arguments and wiring were checked, and shapes not."""
    text = f"{subject}: shapes and costs were not checked: {_reason(judge, why)}"
    install = f"pip install 'deepforge-hpc[{judge.package}]'"
    job = "the job, which builds the network before it reads data"
    how = f"{install} beside dfh, or leave it to {job}, or dfh arch check FILE --python PATH"
    return Notice("not_tried", text, subject=subject, next=how, level=INFO)


def notice(finding: Finding) -> Notice:
    """Return what was found, as a person reads it."""
    return finding.call.fault(finding.said.message, finding.said.hint).notice(finding.kind)


def notices(tried: Tried, loss: object = None) -> Iterator[Notice]:
    """Yield what else was found."""
    yield from map(notice, tried.findings(loss))
    for call in tried.doubtful():
        what = f"{tried.trial.backend} refuses it, and {tried.job_backend} may not"
        hint = f"check with a Python that has {tried.job_backend}: --python PATH"
        yield call.fault(what, hint).notice("other_backend")
    if unseen := tried.unseen:
        text = f"the check ended too often, so {count(unseen, 'layer')} was not checked"
        hint = "mend the layers that it ended at, and check again"
        yield Notice("not_tried", text, subject=tried.graph.name, next=hint)
    if guard := _GUARDS.get(tried.trial.guard):
        text = f"code of the project was run, and {guard}"
        yield Notice("user_code", text, subject=tried.graph.name, level=INFO)
    if names := tried.request.left_out:
        text = f"code of the project was not run, so these were not checked: {listed(names)}"
        hint = "dfh arch check FILE --exact runs it, in a limited process"
        yield Notice("user_code", text, subject=tried.graph.name, next=hint, level=INFO)
