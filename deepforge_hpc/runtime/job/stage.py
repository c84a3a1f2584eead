"""Stage-in: find every input, and check that it is what its producer published."""

from __future__ import annotations

from pathlib import Path

from ..base.context import Context
from ..base.failure import JobError, explain_os_error, resume_hint
from ..base.layout import JobLayout
from ..base.plan import ExternalInput, InputBinding, Job
from ..base.text import title
from ..state import marker
from ..state.check import check
from ..state.marker import Marker, Output
from ..state.record import StagedInput
from ..state.record_data import Producer
from ..storage.base import Stat
from ..storage.fault import DAMAGED, MISSING, NOT_PLAIN, PlaceError
from ..storage.local import LocalStorage
from .guard import upstream_error


def stage_inputs(context: Context) -> list[StagedInput]:
    """Return the inputs of a job; JobError if one is missing, damaged or not the same any more."""
    jobs = {job.name: job for job in context.plan.jobs}
    externals = {item.name: item for item in context.plan.inputs}

    def stage(binding: InputBinding) -> StagedInput:
        try:
            if binding.external is not None:
                return _from_external(context, binding, externals[binding.external])
            return _from_job(context, binding, jobs[binding.job or ""])
        except OSError as error:
            reason = f"Input {binding.port} of {context.title} cannot be read: "
            reason += explain_os_error(error) + "."
            hint = resume_hint(error, context.info.id)
            raise JobError(reason, hint, is_retryable=True) from error

    return [stage(binding) for binding in context.job.inputs]


def _from_job(context: Context, binding: InputBinding, producer: Job) -> StagedInput:
    what = f"Input {binding.port} of {context.title}"
    found, _ = take_published(context, producer, None, binding.output or "", what)
    return found._replace(port=binding.port, mapped=binding.mapped)


def take_published(
    context: Context, producer: Job, task: int | None, name: str, what: str
) -> tuple[StagedInput, Output]:
    """Return an output of another job, and its entry in the marker; JobError if it is not sound."""
    folder = context.layout.job(producer.name, task)
    found = marker.find(folder, producer.name, task, producer.plan_key)
    maker = title(producer.name, task)
    if found.marker is None:
        raise upstream_error(context, f"{what}: {maker} {found.fault}.")
    made = found.marker.outputs.get(name)
    if made is None:
        raise unsound(context, folder, f"{what}: {maker} has not published {name}.")
    if fault := _format_fault(context, producer, found.marker, name):
        raise unsound(context, folder, f"{what}: {fault}.")
    path = folder.root / made.path
    checked = check(path, made)
    if checked.fault:
        shown = path.relative_to(context.layout.root)
        reason = f"{what}: {shown}, made by {maker}, {checked.fault}."
        raise unsound(context, folder, reason)
    staged = StagedInput(
        port=name,
        format=made.format,
        path=path,
        parts=made.parts,
        sha256=made.sha256,
        size=made.size,
        trust=checked.trust,
        by=Producer(found.marker.record, producer.name, name, task),
    )
    return staged, made


def unsound(context: Context, folder: JobLayout, reason: str) -> JobError:
    """Return the error of an output that its marker, as it is, would bring back for ever."""
    import shlex

    marked = shlex.quote(str(folder.success))
    hint = f"Make it again: rm {marked} && dfh resume {context.info.id}"
    return JobError(reason, hint, is_retryable=True)


def _format_fault(context: Context, producer: Job, said: Marker, name: str) -> str:
    """Say so if a marker says another format than was made: it would be read as that.

    What was taken up from a rescue has the format that was named for it: its record says so too.
    Where the plan says none, its record alone knows; without one, a name that only it gives.
    """
    from ..state.record import find_record

    made = said.outputs[name]
    planned = next((port.type for port in producer.outputs if port.name == name), ANY_TYPE)
    if made.format == planned != ANY_TYPE:
        return ""
    text = f"the success marker of {producer.name} says that it is {made.format}, and "
    if record := find_record(context.ledger, said.record, said.plan_key):
        formats = {output.name: output.format for output in record.outputs}
        return "" if formats.get(name) == made.format else f"{text}its record says another format"
    if planned == ANY_TYPE:
        return "" if _has_own_suffix(made) else f"{text}its file says another format"
    return f"{text}the plan says another format"


def _has_own_suffix(made: Output) -> bool:
    """Tell whether a file is named as its format, and no other, names files."""
    from ..formats import FORMATS

    named = [fmt.id for fmt in FORMATS.values() if fmt.suffix and made.path.endswith(fmt.suffix)]
    return named == [made.format]


ANY_TYPE = "any"
"""In a plan: the runtime chooses the format by the value."""


def _from_external(context: Context, binding: InputBinding, declared: ExternalInput) -> StagedInput:
    from ..storage.known import known_digest

    name = binding.external
    path = Path(declared.path)
    where = f" (declared at {declared.origin})" if declared.origin else ""
    try:
        place, below = LocalStorage.at(path)
        found = place.stat(below)
        _refuse_changed(context, f"The input {name}{where}", declared, found)
        if declared.listing not in {"", place.listing(below)}:
            reason = f"The input {name}{where} changed since the submission: a file of it did."
            raise JobError(reason, _again_as_it_is(context))
        sha256 = known_digest(context.ledger, place, found)
    except PlaceError as error:
        if error.kind == MISSING:
            reason = f"The input {name}{where} is missing: {path}."
            hint = f"Bring it back, then: dfh resume {context.info.id}"
            raise JobError(reason, hint, is_retryable=True) from error
        if error.kind not in {DAMAGED, NOT_PLAIN}:
            raise
        reason = f"The input {name}{where} cannot be used: {error}."
        raise JobError(reason, f"Mend it, then: {context.info.submit_command}") from error
    if declared.sha256 not in {None, sha256}:
        reason = f"The input {name}{where} changed since the submission: its content is another."
        raise JobError(reason, _again_as_it_is(context))
    return StagedInput(
        port=binding.port,
        format=declared.type,
        path=path,
        mapped=binding.mapped,
        sha256=sha256,
        size=found.size,
        trust="content",
        by=None,
        uri=declared.uri,
    )


def _refuse_changed(context: Context, what: str, declared: ExternalInput, found: Stat) -> None:
    """Compare size and time; where the digest is known, it decides instead of the time."""
    keys = {"size": "size"} if declared.sha256 else {"size": "size", "mtime_ns": "time of change"}
    changed = [
        f"its {label} was {getattr(declared, key)} and is {getattr(found, key)}"
        for key, label in keys.items()
        if getattr(declared, key) != getattr(found, key)
    ]
    if changed:
        reason = f"{what} changed since the submission: {', '.join(changed)}."
        raise JobError(reason, _again_as_it_is(context))


def _again_as_it_is(context: Context) -> str:
    return f"Submit again to use it as it is now: {context.info.submit_command}"
