"""Where everything of an execution lies. The one place that knows these names.

Named tuples, not dataclasses: every rank of every job imports this, and `dataclasses` pulls in
`inspect`, `ast` and `dis`: a hundred file-system calls and 10 ms.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

RANK_SPEC = "rank.json"
"""In the work folder: what the supervisor wants its ranks to do."""
SAVED = "outputs.json"
"""In the work folder: what rank 0 has saved, and in which formats."""
RESCUE = "rescue"
"""In the work folder, then beside the job: what an attempt made that could not save all of it."""
RESCUE_INDEX, RESCUE_FORMATS = "index.json", "formats.json"
"""In there: what it is, and which formats `dfh resume` found for what is kept."""
PACKAGES = "packages.txt"
"""In the work folder: what rank 0 could import."""
PLUGINS = "plugins.json"
"""In `code/`: what installed packages bring, `{kind: {name: "module:object"}}`."""
DONE = "done"
"""In the work folder of several ranks: a byte for each, 0 until it has returned."""
RESERVE = "reserve"
"""In the work folder: space that a rank frees to say why it failed when the disk is full."""


class JobLayout(NamedTuple):
    """The folder of a job, or of one task of a job array."""

    root: Path

    @property
    def state(self) -> Path:
        """`dfh/state/1`: what happens now; one writer, the job itself."""
        return self.root / "state.json"

    @property
    def success(self) -> Path:
        """`dfh/success/1`: the marker, written last."""
        return self.root / "success.json"

    @property
    def metrics(self) -> Path:
        """JSON lines; `$DFH_METRICS`."""
        return self.root / "metrics.jsonl"

    @property
    def figures(self) -> Path:
        """PNG, SVG and JSON of each captured figure."""
        return self.root / "figures"

    @property
    def checkpoints(self) -> Path:
        """`$DFH_CHECKPOINT_DIR`."""
        return self.root / "checkpoints"

    @property
    def outputs(self) -> Path:
        """Published outputs, `outputs/<name>[.suffix]`."""
        return self.root / "outputs"

    @property
    def rescue(self) -> Path:
        """What an attempt made that could not save all of it; see `rank/rescue.py`."""
        return self.root / RESCUE

    @property
    def left(self) -> Path:
        """Files that the operation left in its working folder; no outputs."""
        return self.root / "left"

    def work(self, attempt: int) -> Path:
        """Return the folder of an attempt's unpublished files; removed when it has ended."""
        return self.root / f".work-{attempt}"


class ExecutionLayout(NamedTuple):
    """The folder of an execution."""

    root: Path

    @property
    def execution(self) -> Path:
        """`dfh/execution/1`; written once."""
        return self.root / "execution.json"

    @property
    def plan(self) -> Path:
        """`dfh/plan/1`; written once."""
        return self.root / "plan.json"

    @property
    def submitted(self) -> Path:
        """JSON lines by the submitter alone: intents, then native ids as they come."""
        return self.root / "submitted.jsonl"

    @property
    def pipeline(self) -> Path:
        """The pipeline file as it was."""
        return self.root / "pipeline.yaml"

    @property
    def site(self) -> Path:
        """The site file as it was."""
        return self.root / "site.yaml"

    @property
    def code(self) -> Path:
        """The frozen code."""
        return self.root / "code"

    @property
    def manifest(self) -> Path:
        """`dfh/code/1`: {"files": {path below code/: "sha256:..."}}; its digest names the code."""
        return self.root / "code" / "MANIFEST.json"

    @property
    def report(self) -> Path:
        """One self-contained HTML file, refreshed by the jobs."""
        return self.root / "report.html"

    @property
    def jobs(self) -> Path:
        """One folder a job."""
        return self.root / "jobs"

    def script(self, job: str) -> Path:
        """Return the batch script of a job."""
        return self.jobs / job / "job.sh"

    def job(self, job: str, task: int | None = None) -> JobLayout:
        """Return the folder of a job, or of one of its array tasks."""
        folder = self.jobs / job
        return JobLayout(folder if task is None else folder / f"task-{task:05d}")

    def log(self, job: str, attempt: int, task: int | None = None) -> Path:
        """Return the file that holds what the job's script and its ranks printed."""
        suffix = "" if task is None else f".{task}"
        return self.jobs / job / f"out.{attempt}{suffix}.log"

    def rank_log(self, job: str, attempt: int, rank: int, task: int | None = None) -> Path:
        """Return the file that holds what one rank printed, if there is more than one rank."""
        return self.job(job, task).root / f"out.{attempt}.rank-{rank:05d}.log"
