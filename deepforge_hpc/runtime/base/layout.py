"""Where everything of an execution and of a ledger lies. The one place that knows these names.

Named tuples, not dataclasses: every rank of every job imports this, and `dataclasses` pulls in
`inspect`, `ast` and `dis`: a hundred file-system calls and 10 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_JOBS, _BLOBS = "jobs", "blobs"
OUTPUTS = "outputs"
"""In a job's folder, in its work folder, and in `rescue/`: the files of its outputs."""
RANK_SPEC = "rank.json"
"""In the work folder: what the supervisor wants its ranks to do."""
SAVED = "outputs.json"
"""In the work folder: what rank 0 has saved, and in which formats."""
RESCUE = "rescue"
"""In the work folder, then beside the job: what an attempt made that could not save all of it."""
LEFT = "left"
"""Likewise: what lay in working folders; in the work folder, of other nodes."""
RESCUE_INDEX, RESCUE_FORMATS = "index.json", "formats.json"
"""In there: what it is, and which formats `dfh resume` found for what is kept."""
_METRICS, FIGURES = "metrics.jsonl", "figures"
TAKEN_ALONG = (_METRICS, FIGURES)
"""Beside a job's outputs: what comes with them to an execution that takes them over."""
PACKAGES = "packages.txt"
"""In the work folder: what rank 0 could import."""
PLUGINS = "plugins.json"
"""In `code/`: what installed packages bring, `{kind: {name: "module:object"}}`."""
DONE = "done"
"""In the work folder of several ranks: a byte for each, 0 until it has returned."""
RESERVE = "reserve"
"""In the work folder: space that a rank frees to say why it failed when the disk is full."""

_STEP = r"step-[0-9]{10}\.(?:npz|shards|json)"
"""Of a checkpoint that `training.Checkpoints` writes."""


class _Root(NamedTuple):
    root: Path


class _Below:
    """What has a fixed name below the root."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, layout: _Root, _owner: type | None = None) -> Path:
        return layout.root / self._name


class JobLayout(_Root):
    """The folder of a job, or of one task of a job array."""

    __slots__ = ()

    state = _Below("state.json")
    """`dfh/state/1`: what happens now; one writer, the job itself."""
    success = _Below("success.json")
    """`dfh/success/1`: the marker, written last."""
    metrics = _Below(_METRICS)
    """JSON lines; `$DFH_METRICS`."""
    figures = _Below(FIGURES)
    """PNG, SVG and JSON of each captured figure."""
    checkpoints = _Below("checkpoints")
    """`$DFH_CHECKPOINT_DIR`."""
    outputs = _Below(OUTPUTS)
    """Published outputs, `outputs/<name>[.suffix]`."""
    rescue = _Below(RESCUE)
    """What an attempt made that could not save all of it; see `rank/rescue.py`."""
    left = _Below(LEFT)
    """Files that the operation left in its working folder; no outputs."""

    def has_checkpoint(self) -> bool:
        """Tell whether something lies among the checkpoints that an attempt could go on from.

        Not what is hidden, which is half written; of `training.Checkpoints` a step that is whole:
        its description is written last. What else lies there is the user's own, of any name.
        """
        try:
            names = {path.name for path in self.checkpoints.iterdir() if path.name[0] != "."}
        except OSError:
            return False
        steps = {name for name in names if re.fullmatch(_STEP, name)}
        described = {name.partition(".")[0] for name in steps if name.endswith(".json")}
        return bool(names - steps) or any(
            name.partition(".")[0] in described for name in steps if not name.endswith(".json")
        )

    def work(self, attempt: int) -> Path:
        """Return the folder of an attempt's unpublished files; removed when it has ended."""
        return self.root / f".work-{attempt}"


def log_name(attempt: int, task: int | str | None) -> str:
    """Return what the log of a job, or of an array task, is called in the job's folder.

    `task` may be what the scheduler writes a task's number in place of.
    """
    return f"out.{attempt}.log" if task is None else f"out.{attempt}.{task}.log"


_LOG = re.compile(r"out\.(\d{1,9})\.")


class ExecutionLayout(_Root):
    """The folder of an execution."""

    __slots__ = ()

    execution = _Below("execution.json")
    """`dfh/execution/1`; written once."""
    plan = _Below("plan.json")
    """`dfh/plan/1`; written once."""
    submitted = _Below("submitted.jsonl")
    """JSON lines by the submitter alone: intents, then native ids as they come."""
    pipeline = _Below("pipeline.yaml")
    """The pipeline file as it was."""
    site = _Below("site.yaml")
    """The site file as it was."""
    code = _Below("code")
    """The frozen code."""
    manifest = _Below("code/MANIFEST.json")
    """`dfh/code/1`: {"files": {path below code/: "sha256:..."}}; its digest names the code."""
    report = _Below("report.html")
    """One self-contained HTML file, refreshed by the jobs."""
    jobs = _Below(_JOBS)
    """One folder a job."""

    def script(self, job: str) -> Path:
        """Return the batch script of a job."""
        return self.jobs / job / "job.sh"

    def job(self, job: str, task: int | None = None) -> JobLayout:
        """Return the folder of a job, or of one of its array tasks."""
        # Joined at once: each join costs as much as to read a small file.
        task_name = () if task is None else (f"task-{task:05d}",)
        return JobLayout(self.root.joinpath(_JOBS, job, *task_name))

    def marked(self, job: str = "*") -> Iterator[JobLayout]:
        """Yield the folders of jobs and tasks that have a success marker; no plan is asked."""
        name = JobLayout(self.root).success.name
        for pattern in (f"{job}/{name}", f"{job}/task-*/{name}"):
            yield from (JobLayout(path.parent) for path in sorted(self.jobs.glob(pattern)))

    def log(self, job: str, attempt: int, task: int | str | None = None) -> Path:
        """Return the file that holds what the job's script and its ranks printed."""
        return self.root.joinpath(_JOBS, job, log_name(attempt, task))

    def logged(self) -> int:
        """Return the latest attempt that a log is of; 0: there is none."""
        logs = self.jobs.glob("*/out.*.log")
        return max((int(found[1]) for path in logs if (found := _LOG.match(path.name))), default=0)

    def rank_log(self, job: str, attempt: int, rank: int, task: int | None = None) -> Path:
        """Return the file that holds what one rank printed, if there is more than one rank."""
        return self.job(job, task).root / f"out.{attempt}.rank-{rank:05d}.log"


LAYOUT = ExecutionLayout(Path())
"""Names of files and folders, relative to the execution."""


class LedgerLayout(_Root):
    """The folder `.dfh` of a project."""

    __slots__ = ()

    format = _Below("FORMAT")
    """Which format it has; see `ledger/store.py`."""
    loose = _Below("loose")
    """Records: `<user>/<YYYYMMDD>/<id>.<plan key>.json`."""
    blobs = _Below(_BLOBS)
    """What records name by its digest."""
    claims = _Below("claims")
    """Locks of destinations; see `submit/destinations.py`."""
    executions = _Below("executions.json")
    """Folders in which the project's executions lie besides the default one."""
    numbers = _Below("numbers.json")
    """The highest number that an execution of each pipeline had."""

    def blob(self, sha256: str) -> Path:
        """Return the file of a blob."""
        name = sha256.removeprefix("sha256:")
        return self.root.joinpath(_BLOBS, name[:2], name)
