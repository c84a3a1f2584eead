"""What a submission looks like as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from deepforge_hpc.api.submission import DryRun, Submission
from deepforge_hpc.cli.views.display import listing
from deepforge_hpc.ledger.store import short
from deepforge_hpc.runtime.base.plan import Job
from deepforge_hpc.runtime.base.text import count, listed


def submission_lines(submission: Submission) -> Iterator[str]:
    """Yield the jobs with their ids, what was taken over, and the next commands."""
    report = submission.report
    name = report.execution
    yield f"{name}: {count(len(report.submitted), 'job')} submitted to {submission.plan.site}"
    ids = {**dict(report.submitted), **dict.fromkeys(submission.reused, "reused")}

    def remark(job: Job) -> str:
        if source := submission.reused.get(job.name):
            return f"from {source.execution}/{source.job}"
        return f"after {listed(job.after)}" if job.after else ""

    columns = (("JOB", "name"), ("ID", lambda job: ids.get(job.name, "")), ("", remark))
    yield from (f"  {line}" for line in listing(columns, submission.plan.jobs))
    yield from why_lines(submission.why)
    yield "next"
    yield from next_commands(name)
    yield f"report  {submission.layout.report}"


def why_lines(why: Mapping[str, str]) -> Iterator[str]:
    """Yield why jobs run that an earlier execution has the results of, each reason once."""
    names: dict[str, list[str]] = {}
    for job, reason in why.items():
        names.setdefault(reason, []).append(job)
    for reason, jobs in names.items():
        yield f"{listed(jobs)} run{'s' * (len(jobs) == 1)}: {reason}"


def next_commands(name: str) -> list[str]:
    """Return the commands that one wants after a submission."""
    return [
        f"  dfh status {name} --watch    follow it",
        f"  dfh logs {name} JOB          what a job printed",
        f"  dfh cancel {name}            stop it",
    ]


def dry_run_lines(found: DryRun) -> Iterator[str]:
    """Yield the exact command of each job, with its script and digest."""
    yield f"# {found.execution} would be created in {found.folder}"
    yield f"# plan {found.plan_sha256}"
    yield f"# code {found.code_sha256}"
    yield "# <JOB> stands for the id that the scheduler gives to JOB; the uuid is drawn at submit."
    for job, source in found.reused.items():
        yield f"# {job}: not sent, reused from {source.execution}/{source.job}"
    yield from (f"# {line}" for line in why_lines(found.why))
    for job, argv in found.commands.items():
        path, sha256 = found.scripts[job]
        yield f"# {job}: {path}  {short(sha256)}"
        yield shlex.join(argv)
