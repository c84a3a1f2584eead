"""Check, before a pipeline is submitted, that all is there that it will need."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.api.target import Target, target_of
from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.runtime.base.notice import ERROR, Notice

if TYPE_CHECKING:
    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.runtime.base.plan import Environment
    from deepforge_hpc.schedulers.command import Completed
    from deepforge_hpc.site.model import SiteSpec

_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(JsonResult, schema="dfh/doctor/2"):
    """All findings, in the order of the checks."""

    site: str
    findings: tuple[Notice, ...]

    @property
    def has_errors(self) -> bool:
        """Return whether something will go wrong."""
        return any(item.level == ERROR for item in self.findings)

    def with_more(self, other: Diagnosis) -> Diagnosis:
        """Return the findings of both."""
        return Diagnosis(site=self.site, findings=(*self.findings, *other.findings))


def doctor(request: Request, cwd: Path) -> Diagnosis:
    """Check the site, and the pipeline if its file is there. Nothing is submitted.

    InvalidInputError if there is no such site, or if its file has faults.
    """
    target = target_of(request, cwd)
    findings = (*target.problems, *_examine(target))
    return Diagnosis(site=target.site.name, findings=findings)


def prove(request: Request, cwd: Path, *, limit_s: float) -> Diagnosis:
    """Submit two tiny jobs, one after the other, by the site's own settings, and wait for them."""
    from deepforge_hpc.api.proof import prove as run

    target = target_of(request, cwd)
    return Diagnosis(site=target.site.name, findings=(run(target, request, limit_s=limit_s),))


def _examine(target: Target) -> Iterator[Notice]:
    from deepforge_hpc.doctor import cluster, launchers, software, storage
    from deepforge_hpc.plugins.scheduler import scheduler_named

    site = target.site
    scheduler = scheduler_named(site.scheduler)
    here = scheduler.is_this_machine
    yield from cluster.check_commands(scheduler.programs, shutil.which)
    if scheduler.is_probed:
        yield from _probed(target)
    used = launchers.used(site, target.plan)
    yield from launchers.check_programs(used, shutil.which, scheduler.programs)
    yield from software.check_software(_environments(target), shutil.which, _ask, here)
    if target.plan is not None:
        yield from software.check_runtimes(target.plan, shutil.which)
        yield from software.check_packages(target.plan)
    folders = {
        "project": target.project,
        "executions": target.executions,
        "ledger": target.project / LEDGER,
    }
    for what, folder in folders.items():
        yield from storage.check_folder(what, folder)
    if not here:
        yield from _file_system(target)
        yield from _globus(site)


def _environments(target: Target) -> Mapping[Environment, str]:
    """Return what jobs run in: those of the plan, else those of any pipeline that says nothing."""
    from deepforge_hpc.doctor.software import environments
    from deepforge_hpc.pipeline.environment import EnvironmentBase, resolve_environment

    if target.plan is not None:
        return environments(target.plan)
    base = EnvironmentBase(
        folder=target.project, submitter=sys.executable, site=target.site.environment
    )
    return {resolve_environment((), base): "the operations"}


def _probed(target: Target) -> Iterator[Notice]:
    from deepforge_hpc.api.probing import read
    from deepforge_hpc.doctor import cluster, launchers, software
    from deepforge_hpc.probe.draft import hidden_rules

    machine = read(target.site.submit.cluster, must_answer=False)
    now = datetime.now()  # noqa: DTZ005 -- scontrol prints local time without a zone
    yield from cluster.check_controller(target.site, machine)
    if not machine.config:
        return
    yield from cluster.check_clock(machine, now)
    yield from cluster.check_account(target.site, machine, target.account, proof=target.proof)
    yield from cluster.check_queues(target.site, machine, named=target.named)
    lines = launchers.used(target.site, target.plan)
    yield from launchers.check_plugins(lines, machine, proof=target.proof)
    version = _ask(launchers.VERSION_ARGV)
    yield from launchers.check_library(lines, machine, version.stdout if version else "")
    if target.plan is not None:
        yield from software.check_modules(target.plan, machine.modules)
    yield from hidden_rules(machine, target.proof)


def _file_system(target: Target) -> Iterator[Notice]:
    from deepforge_hpc.doctor import quota, storage

    site, folder, mounts = target.site, target.executions, _mounts()
    yield from storage.check_shared(folder, mounts)
    yield from storage.check_place(site, folder, os.environ)
    base = storage.existing(folder)
    completed = _ask(quota.quota_argv(base, storage.kind_of(base, mounts), getpass.getuser()))
    usage = quota.parse_quota(completed.stdout) if completed else None
    yield from storage.check_quota(site, folder, os.environ, usage)
    time_s = storage.longest_s(target.plan) if target.plan else None
    yield from storage.check_purge(site, folder, os.environ, time_s)


def _globus(site: SiteSpec) -> Iterator[Notice]:
    from deepforge_hpc.doctor import globus

    if globus.collections(site):
        yield from globus.check_globus(site, _ask(globus.WHOAMI_ARGV))


def _ask(argv: Sequence[str]) -> Completed | None:
    """Return what a command left; None if it is not there, or does not answer."""
    from deepforge_hpc.schedulers.command import CommandRunner

    try:
        return CommandRunner(timeout_s=_TIMEOUT_S).run(argv)
    except (SchedulerError, OSError):
        return None


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
