"""Two tiny jobs, the second on two ranks, submitted as any pipeline would be."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from deepforge_hpc.api.find import all_executions, find_execution
from deepforge_hpc.api.manage import cancel, least_pause_s, live_jobs, status
from deepforge_hpc.api.submission import submit
from deepforge_hpc.doctor.finding import error, ok
from deepforge_hpc.doctor.launchers import used
from deepforge_hpc.errors import DeepforgeHpcError, SchedulerError
from deepforge_hpc.plugins.launcher import launcher_named
from deepforge_hpc.runtime.base.notice import INFO
from deepforge_hpc.runtime.base.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.api.target import Target
    from deepforge_hpc.runtime.base.notice import Notice
    from deepforge_hpc.runtime.state.status import ExecutionStatus
    from deepforge_hpc.site.request import LaunchMethod

CHECK = "proof"
_POLL_S = 2.0
_OPERATIONS = '''\
"""What dfh doctor --submit runs."""

import platform


def first() -> dict:
    where = {"host": platform.node(), "python": platform.python_version()}
    return where


def second(where: dict) -> dict:
    both = {"first": where, "second": {"host": platform.node()}}
    return both
'''
_PIPELINE = """\
pipeline: doctor
operations:
  first: {{uses: operations.py:first}}
  second:
    uses: operations.py:second
    inputs: {{where: first.where}}
    launch: {launch}
    resources: {{ntasks_per_node: {ranks}}}
"""


def prove(target: Target, request: Request, *, limit_s: float) -> Notice:
    """Return what became of the jobs. What they left is removed, unless something went wrong.

    The second job starts its ranks as the pipeline does, else as the site starts MPI.
    """
    folder = Path(tempfile.mkdtemp(prefix="dfh-doctor-", dir=target.project))
    lines = used(target.site, target.plan) or used(target.site, None)
    launch = _meeting(lines)
    tiny = _write(target, request, folder, launch)
    try:
        submission = submit(tiny)
    except DeepforgeHpcError as fault:
        # Not what to do with an execution: there is none any more, or it is named here.
        step = (fault.step if isinstance(fault, SchedulerError) else fault.hint) or "see above"
        left = next(filter(_may_run, all_executions(folder)), None)
        if left is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            step = f"dfh cancel {quote(str(left.layout.root))} takes back what is left; {step}"
        return error(CHECK, f"the jobs were refused: {fault.message}", step)
    except BaseException:
        _cancel_all(folder)
        raise
    try:
        found = find_execution(str(submission.layout.root), folder)
        finding = _follow(found, folder, launch, limit_s)
    except BaseException:
        _cancel_all(folder)
        raise
    if finding.level == INFO:
        # The user's settings may keep executions apart from projects.
        shutil.rmtree(found.layout.root, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    return finding


def _meeting(lines: Mapping[str, LaunchMethod]) -> str:
    """Return the launcher by which ranks meet through MPI, else one that MPI may be told to."""
    may = [
        name
        for name, line in lines.items()
        if launcher_named(name).needs_mpi or line.starter.has_mpi_option
    ]
    return max(may, key=lambda name: launcher_named(name).needs_mpi, default="none")


def _may_run(found: FoundExecution) -> bool:
    try:
        return bool(live_jobs(found))
    except DeepforgeHpcError:
        return True


def _cancel_all(folder: Path) -> None:
    """Let no job stay behind: this was left by Ctrl-C, or nobody answers."""
    for found in all_executions(folder):
        with suppress(DeepforgeHpcError):
            cancel(found, is_closed=False)


def _write(target: Target, request: Request, folder: Path, launch: str) -> Request:
    """Write a project of its own, so that the user's ledger and executions stay as they are."""
    (folder / ".dfh").mkdir()
    sites = target.project / "site-configs"
    if sites.is_dir():
        shutil.copytree(sites, folder / "site-configs")
    ranks = 1 if launch == "none" else 2
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(_PIPELINE.format(launch=launch, ranks=ranks), encoding="utf-8")
    (folder / "operations.py").write_text(_OPERATIONS, encoding="utf-8")
    named = request.site or target.site.name
    if named.endswith((".yaml", ".yml")):
        named = str(Path(named).absolute())
    return dataclasses.replace(request, pipeline=pipeline, site=named)


def _follow(found: FoundExecution, folder: Path, launch: str, limit_s: float) -> Notice:
    deadline, pause = time.monotonic() + limit_s, max(_POLL_S, least_pause_s(found))
    seen = status(found)
    while not seen.is_over:
        if time.monotonic() > deadline:
            waiting = _unfinished(seen)
            with suppress(DeepforgeHpcError):
                cancel(found, is_closed=False)
            message = f"no end within {limit_s:g} s, so the jobs were cancelled: {waiting}"
            return error(CHECK, message, f"--timeout SECONDS waits longer; it lies in {folder}")
        time.sleep(pause)
        seen = status(found)
    if seen.state is State.SUCCEEDED:
        _settle(found, deadline)
        ranks = "" if launch == "none" else f", the second on two ranks (launch: {launch})"
        return ok(CHECK, f"two jobs ran one after the other{ranks}")
    hint = next((job.hint for job in seen.jobs if job.hint), "the folder was kept")
    return error(CHECK, f"it broke: {_unfinished(seen)}", f"dfh logs {quote(seen.path)}; {hint}")


def _settle(found: FoundExecution, deadline: float) -> None:
    """Wait for the final job, which still writes into the folder that is to be removed."""
    while time.monotonic() < deadline:
        if status(found).is_closed:
            return
        time.sleep(_POLL_S / 4)


def _unfinished(seen: ExecutionStatus) -> str:
    jobs = [job for job in seen.jobs if not job.state.is_success]
    return "; ".join(f"{job.name} {job.state}: {job.reason or job.raw}" for job in jobs[:2])
