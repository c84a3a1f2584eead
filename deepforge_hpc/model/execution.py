"""One run of a pipeline as it lies on disk, and what the scheduler says of its jobs."""

from __future__ import annotations

from dataclasses import dataclass

from deepforge_hpc.runtime.base.native import NativeStatus

__all__ = ["EXECUTION_SCHEMA", "PLAN_SCHEMA", "ExecutionInfo", "NativeStatus", "SubmitRequest"]

EXECUTION_SCHEMA = "dfh/execution/1"
PLAN_SCHEMA = "dfh/plan/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionInfo:
    """The content of `execution.json`, written once when the execution is created."""

    id: str
    """`<pipeline>-NNNN`, unique in the project."""
    uuid: str
    """32 hex digits."""
    pipeline: str
    pipeline_file: str
    """Path relative to the project."""
    site: str
    scheduler: str
    project: str
    """Absolute path of the project's root."""
    home: str
    """Absolute path at which the execution was created: a copy elsewhere is read-only."""
    ledger: str
    """Absolute path of the project's `.dfh`."""
    created: str
    """UTC, ISO 8601."""
    user: str
    version: str
    """Version of deepforge_hpc."""
    plan_sha256: str
    code_sha256: str
    pipeline_sha256: str = ""
    """Of `pipeline.yaml`, as the user wrote it."""
    site_sha256: str = ""
    """Of `site.yaml`, all layers merged."""
    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Words that followed `dfh submit PIPELINE`, for the command that does it again."""
    schema: str = EXECUTION_SCHEMA

    @property
    def token(self) -> str:
        """Return the 8 hex digits that name the execution in the scheduler's queue."""
        return self.uuid[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """One submission: the script of a job, and what must not stand in the script."""

    job: str
    script: str
    """Path relative to the execution folder, e.g. `jobs/train/job.sh`."""
    arguments: tuple[str, ...]
    """Arguments of the script: attempt and the digests that its guard checks."""
    directory: str
    """Absolute path of the execution."""
    name: str
    """`<job>.<token>`"""
    comment: str
    """JSON: execution, job, token, attempt."""
    output: str
    """Log file relative to the execution; `%a` stands for the array task."""
    account: str = ""
    after: tuple[str, ...] = ()
    """Native ids."""
    dependency: str = "afterok"
    hold: bool = False
    array: str = ""
    """Task indices, e.g. `0-7` or `3,5`; empty for a single job."""
    inherits_shell: bool = False
    """Whether the job gets the variables of the submitting shell."""
    cores: int = 1
    """Cores that one task needs; for schedulers that do not read the script's directives."""
    time_s: int | None = None
