"""What a scheduler is asked for."""

from __future__ import annotations

from dataclasses import dataclass


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
