"""What a person should know of a trial, besides the errors; and that there was none."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.libraries.keras.trial.findings import Finding
from deepforge_hpc.libraries.keras.trial.result import NoTrial
from deepforge_hpc.libraries.keras.trial.tried import Tried
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.runtime.base.text import listed

_HOW = "pip install 'deepforge-hpc[keras]' beside dfh, or dfh arch check FILE --python PATH"
_WHY = {
    "no keras": "there is no Keras beside dfh",
    "no backend": "Keras has no TensorFlow, JAX or PyTorch to work with",
    "import": "Keras cannot be imported",
    "start": "its Python cannot be started",
    "time": "Keras was not imported in time",
    "end": "its process ended while Keras was imported",
}


def not_there(why: NoTrial) -> str:
    """Return why the Python that a user named cannot be asked."""
    reason = "it has no Keras" if why.why == "no keras" else _WHY[why.why]
    return reason + (f" ({why.text})" if why.text else "")


def not_tried(why: NoTrial, subject: str) -> Notice:
    """Return that names, arguments and wiring were checked, and shapes not."""
    reason = _WHY[why.why] + (f" ({why.text})" if why.text else "")
    text = f"{subject}: shapes and costs were not checked: {reason}"
    return Notice("not_tried", text, subject=subject, next=_HOW, level=INFO)


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
    if names := tried.request.left_out:
        text = f"code of the project was not run, so these were not checked: {listed(names)}"
        hint = "dfh arch check FILE --exact runs it, in a limited process"
        yield Notice("user_code", text, subject=tried.graph.name, next=hint, level=INFO)
