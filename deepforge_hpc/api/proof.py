"""Two tiny jobs, the second after the first, submitted as any pipeline would be."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.doctor.finding import error, ok
from deepforge_hpc.errors import DeepforgeHpcError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.doctor.finding import Finding
    from deepforge_hpc.model.site import SiteSpec
    from deepforge_hpc.submit.status import ExecutionStatus

CHECK = "proof"
_POLL_S = 2.0
_ENDED = ("succeeded", "reused", "failed", "interrupted", "cancelled", "never_ran")
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
"""


def prove(site: SiteSpec, request: Request, project: Path, *, limit_s: float) -> Iterator[Finding]:
    """Yield what became of the jobs. What they left is removed, unless something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="dfh-doctor-", dir=project))
    tiny = _write(site, request, project, folder)
    finding = _run(tiny, folder, limit_s)
    if finding.level == "OK":
        shutil.rmtree(folder, ignore_errors=True)
    yield finding


def _write(site: SiteSpec, request: Request, project: Path, folder: Path) -> Request:
    """Write a project of its own, so that the user's ledger and executions stay as they are."""
    (folder / ".dfh").mkdir()
    sites = project / "site-configs"
    if sites.is_dir():
        shutil.copytree(sites, folder / "site-configs")
    launcher = site.launchers.get("srun")
    launch = "srun" if launcher is not None and not launcher.clamp else "none"
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(_PIPELINE.format(launch=launch), encoding="utf-8")
    (folder / "operations.py").write_text(_OPERATIONS, encoding="utf-8")
    named = request.site or ""
    if named.endswith((".yaml", ".yml")):
        named = str(Path(named).absolute())
    return dataclasses.replace(request, pipeline=pipeline, site=named or None)


def _run(tiny: Request, folder: Path, limit_s: float) -> Finding:
    from deepforge_hpc.api.find import find_execution
    from deepforge_hpc.api.manage import cancel, status
    from deepforge_hpc.api.submission import submit

    try:
        submission = submit(tiny)
    except DeepforgeHpcError as fault:
        return error(CHECK, f"the jobs were refused: {fault.message}", fault.hint or "see above")
    found = find_execution(str(submission.layout.root), folder)
    deadline = time.monotonic() + limit_s
    seen = status(found)
    while seen.state not in _ENDED:
        if time.monotonic() > deadline:
            waiting = _unfinished(seen)
            with suppress(DeepforgeHpcError):
                cancel(found)
            message = f"no end within {limit_s:g} s, so the jobs were cancelled: {waiting}"
            return error(CHECK, message, f"--timeout SECONDS waits longer; it lies in {folder}")
        time.sleep(_POLL_S)
        seen = status(found)
    if seen.state == "succeeded":
        _settle(found.layout.root)
        return ok(CHECK, f"two jobs ran one after the other on {submission.plan.site}")
    return error(CHECK, f"it broke: {_unfinished(seen)}", f"dfh logs {seen.path}; {_hint(seen)}")


def _settle(root: Path) -> None:
    """Wait for the final job, which still writes into the folder that is to be removed."""
    from deepforge_hpc.api.find import find_execution
    from deepforge_hpc.api.manage import status

    found = find_execution(str(root), root)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if all(job.state in _ENDED for job in status(found).jobs):
            return
        time.sleep(_POLL_S / 4)


def _unfinished(seen: ExecutionStatus) -> str:
    jobs = [job for job in seen.jobs if job.state not in ("succeeded", "reused")]
    return "; ".join(f"{job.name} {job.state}: {job.reason or job.raw}" for job in jobs[:2])


def _hint(seen: ExecutionStatus) -> str:
    return next((job.hint for job in seen.jobs if job.hint), "the folder was kept")
