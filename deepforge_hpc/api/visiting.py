"""Send one small job to each kind of node, and wait for what they see."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from deepforge_hpc.errors import SchedulerError, StorageError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import Scheduler, scheduler_named
from deepforge_hpc.runtime.base.notice import Notice

if TYPE_CHECKING:
    from deepforge_hpc.api.probing import Probed
    from deepforge_hpc.probe.visit import Visit

_POLL_S = 1.0


def planned(probed: Probed) -> tuple[Visit, ...]:
    """Return the jobs that `visit` would send."""
    from deepforge_hpc.probe.draft import node_kinds
    from deepforge_hpc.probe.visit import visits

    return tuple(visits(probed.machine, node_kinds(probed.machine.nodes)))


def visit(probed: Probed, *, folder: Path, date: str, account: str, limit_s: float) -> Probed:
    """Return the draft with what a job on each kind of node saw.

    The jobs' script and output lie in a folder of their own below `folder`, which compute nodes
    have to see, and are removed. A job that does not end in time is cancelled, and told.
    """
    from deepforge_hpc.probe.visit import add_visit, notes, parse_visit
    from deepforge_hpc.probe.write import site_yaml

    remarks = list(probed.notes)
    try:
        work = TemporaryDirectory(prefix="dfh-probe-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        hint = "Change to a folder of yours that compute nodes see."
        raise StorageError(f"{folder}: {error.strerror}", hint) from error
    with work as name:
        scheduler = scheduler_named(probed.data["scheduler"])
        ended, failures = _run(planned(probed), scheduler, Path(name), account, limit_s)
        for job, output in ended.items():
            text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
            seen = parse_visit(text)
            if not seen:
                failures.append(f"the job on {job.node_type} left nothing that {folder} shows")
            elif seen.get("node") not in (None, *job.nodes):
                failures.append(f"the job for {job.node_type} ran on another kind: {seen['node']}")
            else:
                add_visit(probed.data, job.node_type, seen, date)
                remarks += notes(job.node_type, seen)
    warnings = (*probed.warnings, *(Notice("visit", text) for text in failures))
    text = site_yaml(probed.data, warnings, remarks)
    return dataclasses.replace(probed, text=text, warnings=warnings, notes=tuple(remarks))


def _run(
    jobs: tuple[Visit, ...], scheduler: Scheduler, folder: Path, account: str, limit_s: float
) -> tuple[dict[Visit, Path], list[str]]:
    """Return the output of each job that has ended, and what went wrong with others.

    None is left in the queue, whatever happens.
    """
    waiting: dict[str, Visit] = {}
    ended: dict[Visit, Path] = {}
    failures: list[str] = []
    try:
        for job in jobs:
            try:
                waiting[_submit(scheduler, job, folder, account)] = job
            except SchedulerError as error:  # noqa: PERF203 - a try costs a process
                failures.append(f"the job on {job.node_type} was refused: {error.message}")
        deadline = time.monotonic() + limit_s
        while waiting and time.monotonic() < deadline:
            for native_id, status in scheduler.query("", list(waiting)).items():
                if status.state.is_final and native_id in waiting:
                    job = waiting.pop(native_id)
                    ended[job] = folder / f"{job.node_type}.txt"
            time.sleep(_POLL_S if waiting else 0)
        failures += [f"the job on {job.node_type} did not end in time" for job in waiting.values()]
    finally:
        try:  # by the name too: an id alone may be another job's by now
            seen = scheduler.query("", list(waiting)) if waiting else {}
            own = [native_id for native_id, job in seen.items() if job.name.endswith(_mark(folder))]
            scheduler.cancel(str(folder), own)
        except SchedulerError as error:
            failures.append(f"{' '.join(waiting)} could not be cancelled: {error.message}")
    return ended, failures


def _mark(folder: Path) -> str:
    """Return the end of the names of the jobs of one probe, which has a folder of its own."""
    return f".{folder.name.rpartition('-')[2]}"


def _submit(scheduler: Scheduler, job: Visit, folder: Path, account: str) -> str:
    """Queue a job by a script of its own; return its id."""
    from deepforge_hpc.probe.visit import SCRIPT

    name = job.node_type
    script = "\n".join(("#!/bin/bash", *scheduler.header(job.options), SCRIPT))
    (folder / f"{name}.sh").write_text(script, encoding="utf-8")
    request = SubmitRequest(
        job=name,
        script=f"{name}.sh",
        arguments=(),
        directory=str(folder),
        name=f"dfh-probe-{name}{_mark(folder)}",
        comment=str(folder),
        output=f"{name}.txt",
        account=account,
    )
    return scheduler.submit(request)
