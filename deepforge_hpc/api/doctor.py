"""Check, before a pipeline is submitted, that all is there that it will need."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import DeepforgeHpcError, InvalidInputError
from deepforge_hpc.paths import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.doctor.finding import Finding
    from deepforge_hpc.model.plan import Plan
    from deepforge_hpc.model.site import SiteSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    site: str
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        """Return whether something will go wrong."""
        return any(item.level == "ERROR" for item in self.findings)

    def with_more(self, other: Diagnosis) -> Diagnosis:
        """Return the findings of both."""
        return Diagnosis(site=self.site, findings=(*self.findings, *other.findings))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {"schema": "dfh/doctor/1", **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is looked at."""

    site: SiteSpec
    account: str
    project: Path
    executions: Path
    plan: Plan | None
    problems: tuple[Finding, ...]


def doctor(request: Request, cwd: Path) -> Diagnosis:
    """Check the site, and the pipeline if its file is there. Nothing is submitted.

    InvalidInputError if there is no such site, or if its file has faults.
    """
    subject = _subject(request, cwd)
    findings = (*subject.problems, *_examine(subject))
    return Diagnosis(site=subject.site.name, findings=findings)


def prove(request: Request, cwd: Path, *, limit_s: float) -> Diagnosis:
    """Submit two tiny jobs, one after the other, by the site's own settings, and wait for them."""
    from deepforge_hpc.api.proof import prove as run

    subject = _subject(request, cwd)
    findings = run(subject.site, request, subject.project, limit_s=limit_s)
    return Diagnosis(site=subject.site.name, findings=tuple(findings))


def _subject(request: Request, cwd: Path) -> _Subject:
    from deepforge_hpc.api.find import project_above
    from deepforge_hpc.api.pipelines import DEFAULT_SITE
    from deepforge_hpc.api.probing import find
    from deepforge_hpc.doctor.finding import error
    from deepforge_hpc.paths import user_folder
    from deepforge_hpc.spec.settings import load_user_settings

    user = load_user_settings(user_folder())
    named = request.site or os.environ.get("DEEPFORGE_HPC_SITE") or user.site or DEFAULT_SITE
    site = find(named, cwd).spec
    problems: list[Finding] = []
    if request.pipeline.exists():
        try:
            return _with_pipeline(request)
        except InvalidInputError as fault:
            problems.append(error("pipeline", fault.message, "dfh check shows it whole"))
    project = project_above(cwd)
    environ = os.environ.get("DEEPFORGE_HPC_ACCOUNT")
    account = request.account or environ or site.account.value or user.account
    if site.account.env:
        account = account or os.environ.get(site.account.env, "")
    return _Subject(
        site=site,
        account=account,
        project=project,
        executions=project / (user.executions or site.executions or "executions"),
        plan=None,
        problems=tuple(problems),
    )


def _with_pipeline(request: Request) -> _Subject:
    from deepforge_hpc.api.pipelines import DEFAULT_SITE, load
    from deepforge_hpc.doctor.finding import error, ok, warn
    from deepforge_hpc.plan.resolve import resolve

    loaded = load(request, default_site=DEFAULT_SITE)
    assert loaded.site is not None
    problems: list[Finding] = []
    plan = None
    try:
        plan = resolve(loaded)
    except DeepforgeHpcError as fault:
        problems.append(error("pipeline", fault.message, fault.hint))
    else:
        jobs = len(plan.jobs)
        problems.append(ok("pipeline", f"{plan.pipeline}: {jobs} jobs fit on {plan.site}"))
        problems += [warn("pipeline", text, "dfh plan --origins") for text in plan.warnings]
    return _Subject(
        site=loaded.site,
        account=loaded.account,
        project=loaded.project,
        executions=loaded.executions,
        plan=plan,
        problems=tuple(problems),
    )


def _examine(subject: _Subject) -> Iterator[Finding]:
    from deepforge_hpc.doctor import cluster, python, storage, walltime

    site = subject.site
    yield from cluster.check_commands(site, shutil.which)
    if site.scheduler == "slurm":
        yield from _slurm(subject)
    yield from python.check_python(site, shutil.which)
    folders = {
        "project": subject.project,
        "executions": subject.executions,
        "ledger": subject.project / LEDGER,
    }
    for what, folder in folders.items():
        yield from storage.check_folder(what, folder)
    if site.scheduler != "local":
        yield from storage.check_shared(subject.executions, _mounts())
        time_s = walltime.longest_s(subject.plan) if subject.plan else 0
        yield from storage.check_rules(site, subject.executions, os.environ, time_s)


def _slurm(subject: _Subject) -> Iterator[Finding]:
    from deepforge_hpc.api.probing import read
    from deepforge_hpc.doctor import cluster
    from deepforge_hpc.doctor.finding import warn
    from deepforge_hpc.probe.draft import hidden_rules

    machine = read(must_answer=False)
    now = datetime.now()  # noqa: DTZ005 -- scontrol prints local time without a zone
    yield from cluster.check_controller(subject.site, machine)
    if not machine.config:
        return
    yield from cluster.check_clock(machine, now)
    yield from cluster.check_account(subject.site, machine, subject.account)
    yield from cluster.check_queues(subject.site, machine)
    yield from cluster.check_mpi(subject.site, machine)
    for rule in hidden_rules(machine):
        yield warn("rules", rule, "dfh doctor --submit tries what the site takes")


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
