"""Rank 0 writes the outputs of the operation to the work folder; nobody reads them there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.codec import encode
from ..base.failure import JobError, disk_hint, explain_os_error, os_hint, resume
from ..base.files import publish_json, remove, sync_path
from ..base.layout import OUTPUTS, SAVED
from ..base.limits import limit_hint
from ..base.plan import Job, OutputPort
from ..formats import FORMATS
from ..formats.base import Format, FormatError, kind_of
from ..formats.file import choose
from .messages import RankSpec, Saved

_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (float, int),
    "int": (int,),
    "list": (list, tuple),
    "str": (str,),
}
"""What an annotation promises: the types that keep it."""


def check_formats(spec: RankSpec, formats: Mapping[str, Format]) -> None:
    """Raise JobError if an output could never be saved, before the operation has made it."""
    taken = spec.taken.formats if spec.taken is not None else {}
    for port in spec.job.outputs:
        kind = taken.get(port.name, port.type)
        if kind in formats and not port.file and (lack := _lack(formats[kind])):
            reason = f"Output {port.name} cannot be saved: {lack}."
            raise JobError(reason, _installing(spec), is_retryable=True)


def _installing(spec: RankSpec) -> str:
    return (  # the plan is frozen, so another format is another plan
        f"Install it there, then: dfh resume {spec.execution}. Or name another format under "
        "`types:` and submit again."
    )


class _LackError(FormatError):
    """A format that wants a package which is not there."""

    def __init__(self, lack: str, wanted: str) -> None:
        super().__init__(lack)
        self.wanted = wanted


def _lack(fmt: Format) -> str:
    """Return what is missing for a format; empty if nothing is."""
    from importlib.util import find_spec

    missing = [name for name in fmt.needs if not find_spec(name)]
    return f"format {fmt.id} needs {missing[0]}, which {sys.executable} lacks" if missing else ""


def save_outputs(spec: RankSpec, values: Mapping[str, Any], formats: Mapping[str, Format]) -> None:
    """Write each output and sync it, then the list of them; JobError names the one that fails."""
    try:
        _save(spec, values, formats)
    except OSError as error:
        raise _disk_error(spec, "The outputs", error) from error


def _save(spec: RankSpec, values: Mapping[str, Any], formats: Mapping[str, Format]) -> None:
    work = Path(spec.work)
    folder = work / OUTPUTS
    folder.mkdir()
    ports = spec.job.outputs
    entries: dict[str, Saved] = {}
    refused: dict[str, JobError] = {}
    lacking: dict[str, str] = {}
    if spec.taken is not None:
        from .rescue import take_up

        values, entries = take_up(spec, spec.taken, folder)
        ports = tuple(OutputPort(*named) for named in spec.taken.formats.items())
    for port in ports:
        name = port.name
        try:
            _check_promise(spec.job, port, values[name])
            entries[name] = _save_one(spec, port, values[name], formats, folder)
        except OSError as error:
            if disk_hint(error, spec.execution):  # nothing else could be kept there either
                raise _disk_error(spec, f"Output {name}", error) from error
            reason = f"Output {name} cannot be saved: {explain_os_error(error)}."
            limit = limit_hint(error, resume(spec.execution))
            hint = limit or _to_write(port) or "Return what is there and can be read."
            refused[name] = JobError(reason, hint, is_retryable=bool(limit))
        except JobError as error:
            refused[name] = error
        except Exception as error:  # noqa: BLE001 - hours of work: whatever a library raises
            reason = f"Output {name} cannot be saved: {_cause(error, values[name])}."
            refused[name] = JobError(reason, _to_write(port))
            if isinstance(error, _LackError):
                lacking[name] = error.wanted
                refused[name].hint = "Install it there, or name another format under `types:`."
    if refused:
        from .rescue import rescue

        raise rescue(spec, values, entries, refused, lacking, formats)
    publish_json(work / SAVED, encode(entries))


def _cause(error: Exception, value: object) -> str:
    """Return why a value was not saved: a library's own words may be a mere key."""
    if isinstance(error, FormatError) and str(error):
        return str(error)
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"it is {kind_of(value)}, and saving it raised {said}"


def _to_write(port: OutputPort) -> str:
    """Return what a program has to do for an output; nothing for an operation that returns it."""
    return f"The program has to write {port.file}." if port.file else ""


def _save_one(
    spec: RankSpec, port: OutputPort, value: Any, formats: Mapping[str, Format], folder: Path
) -> Saved:
    chosen = choose(value) if port.type == "any" else port.type
    fmt = _find(formats, chosen)
    if not port.file and (lack := _lack(fmt)):
        raise _LackError(lack, chosen)
    try:
        path = _write(fmt, port, value, folder / port.name)
        if chosen not in FORMATS:
            fmt.verify(path)  # the supervisor verifies the others; it has no foreign code
        sync_path(path)
        rows = fmt.part_rows(path) if spec.task is not None else None
        is_path = isinstance(value, Path) or chosen in {"file", "directory"}
        return Saved(path.name, chosen, rows, source=os.path.realpath(value) if is_path else "")
    except Exception:
        remove(folder / f"{port.name}{fmt.suffix}")  # the beginning of a file
        raise


def _write(fmt: Format, port: OutputPort, value: Any, stem: Path) -> Path:
    if not port.file:
        return fmt.save(value, stem)
    from .program import adopt

    return adopt(fmt, value, port.file, stem)


def _check_promise(job: Job, port: OutputPort, value: Any) -> None:
    """Raise JobError if a value is not what the annotation of its output says."""
    annotation = port.annotation
    if value is None and not port.optional:
        what, hint = "None", f"Return a value, or annotate it {annotation} | None."
    elif value is not None and not _is_one_of(value, port.types):
        what = f"of type {type(value).__name__}"
        hint = "Return what the annotation says, or correct the annotation."
    else:
        return
    reason = (
        f"Output {port.name} of {job.name} ({job.source.object if job.source else ''}) is {what}, "
        f"and its annotation is {annotation}."
    )
    raise JobError(reason, hint)


def _is_one_of(value: Any, types: tuple[str, ...]) -> bool:
    """Tell whether a value has one of the types; without any it may have every one."""
    kind = type(value)
    if kind.__module__ == "numpy" and hasattr(value, "ndim"):  # JSON gets Python's in their place
        kind = list if value.ndim else type(value.item())
    return not types or any(issubclass(kind, _TYPES[name]) for name in types)


def _find(formats: Mapping[str, Format], name: str) -> Format:
    if name not in formats:
        raise FormatError(f"there is no format {name}")
    return formats[name]


def _disk_error(spec: RankSpec, what: str, error: OSError) -> JobError:
    hint = os_hint(error, resume(spec.execution))
    reason = f"{what} cannot be saved: {explain_os_error(error)}."
    return JobError(reason, hint, is_retryable=bool(hint))
