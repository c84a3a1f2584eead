"""Whether what a reused result was made with, below the packages that its code imports, changed.

Of what the code imports itself, the plan key has the versions. What that needs in turn changes with
every update of an environment, mostly without a change of any result: so it is told, not refused.
Where nothing of an environment can be seen from here, that is told: then the key has no versions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import Ledger
from deepforge_hpc.pipeline.installed import Installed, is_seen, unseen
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Environment, Job, JobKind, Plan
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.submit.reuse import Reused

_SHOWN = 4


def changed_packages(
    plan: Plan, reused: Reused, ledger: Ledger, installed: Installed, again: str
) -> tuple[Notice, ...]:
    """Return what there is to say of results that were made with other packages.

    By the lists that their records name, against the files of the environments as they are now;
    what cannot be seen is left out. `again`: the command that reuses nothing.
    """
    compare = _Compared(ledger, installed)
    changed: dict[str, None] = {}
    jobs: list[str] = []
    for job in plan.jobs:
        found = [one for made in reused.made_with.get(job.name, ()) for one in compare(job, made)]
        changed.update(dict.fromkeys(found))
        jobs += [job.name] if found else []
    if not jobs:
        return ()
    text = (
        f"reused: {listed(jobs, _SHOWN)}, made with other versions of what the imported packages "
        f"need: {listed(changed, _SHOWN)}"
    )
    return (Notice("packages_changed", text, ", ".join(jobs), next=f"to run all again: {again}"),)


def unseen_packages(
    plan: Plan, reused: Reused, again: str, known: Collection[str] = ()
) -> tuple[Notice, ...]:
    """Return what there is to say of results whose software cannot be looked at from here.

    `known`: of which software an earlier submission said so.
    """
    units = {name for name, _ in reused.units}.union(reused.jobs)
    whats = {
        job.name: [one for one in _unseen(job) if one not in known]
        for job in plan.jobs
        if job.name in units
    }
    jobs = [name for name, what in whats.items() if what]
    if not jobs:
        return ()
    what = dict.fromkeys(one for name in jobs for one in whats[name])
    text = (
        f"reused: {listed(jobs, _SHOWN)}, though versions of {listed(what, _SHOWN)} cannot be "
        "seen from here"
    )
    return (Notice("packages_unseen", text, ", ".join(jobs), next=f"to run all again: {again}"),)


def told_before(plan: Plan, earlier: Iterable[tuple[ExecutionLayout, Plan]]) -> set[str]:
    """Return of which software the last execution on a plan's site was told that nobody sees it."""
    for layout, before in earlier:
        if before.site == plan.site:
            return {one for job in before.jobs for one in _unseen(job) if _has_reused(layout, job)}
    return set()


def _unseen(job: Job) -> list[str]:
    """Return what is not seen of a job's software: all of it, or packages by their names."""
    if job.kind is JobKind.GATHER:
        return []
    return unseen(job.software) if is_seen(job.software) else [_named(job.environment)]


def _has_reused(layout: ExecutionLayout, job: Job) -> bool:
    """Tell whether an execution has taken over a job, or a task of it."""
    for folder in layout.marked(job.name):
        with suppress(OSError, ValueError):
            if (found := marker.read(folder)) and found.reused_from:
                return True
    return False


def _named(environment: Environment) -> str:
    """Return what brings the packages of a job, as the pipeline names it."""
    conda = f"conda environment {environment.conda}" if environment.conda else ""
    what = environment.container or conda or environment.python
    return f"{what} ({', '.join(environment.modules)})" if environment.modules else what


class _Compared:
    """Compares lists of packages with environments, each pair once."""

    def __init__(self, ledger: Ledger, installed: Installed) -> None:
        self._ledger = ledger
        self._installed = installed
        self._lists: dict[str, dict[str, str]] = {}
        self._done: dict[object, list[str]] = {}

    def __call__(self, job: Job, made_with: str) -> list[str]:
        """Return what is another now: `numpy 2.1.0 (was 2.0.2)`."""
        known = (made_with, job.environment, job.software)
        if known not in self._done:
            self._done[known] = self._compare(job, self._list(made_with))
        return self._done[known]

    def _compare(self, job: Job, before: dict[str, str]) -> list[str]:
        modules = [name for name, _ in job.software if name not in {"python", "image"}]
        if not modules or not before:
            return []
        own = self._installed.below(job.environment, modules, deep=False)
        if any(before.get(name) != version for name, version in own.items()):
            return []  # modules or variables gave the job others than those that are seen from here
        now = self._installed.below(job.environment, modules)
        return [
            f"{name} {version} (was {before.get(name, 'not there')})"
            for name, version in sorted(now.items())
            if before.get(name) != version
        ]

    def _list(self, sha256: str) -> dict[str, str]:
        if sha256 not in self._lists:
            self._lists[sha256] = {}
            with suppress(LedgerError):
                lines = (self._ledger.blob(sha256) or b"").decode("utf-8", "replace").split()
                self._lists[sha256] = dict(line.partition("==")[::2] for line in lines)
        return self._lists[sha256]
