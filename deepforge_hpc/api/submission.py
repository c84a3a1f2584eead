"""Submit a pipeline, or show what would be submitted."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.api.pipelines import Request, load, planned, refuse_bad_texts
from deepforge_hpc.errors import NoSchedulerError, SchedulerError
from deepforge_hpc.files.yaml12 import collector_paused
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.advice import file_word, pipeline_command
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.files import digest
from deepforge_hpc.runtime.base.layout import LAYOUT
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.site.unknown import known

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.load import Loaded
    from deepforge_hpc.plugins.scheduler import Scheduler
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.runtime.base.plan import Plan
    from deepforge_hpc.runtime.state.marker import ReusedFrom
    from deepforge_hpc.site.model import SiteSpec
    from deepforge_hpc.submit.earlier import EarlierExecutions
    from deepforge_hpc.submit.orphans import HeldOrphan
    from deepforge_hpc.submit.reports import SubmitReport
    from deepforge_hpc.submit.reuse import Reused


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An execution that was just submitted."""

    layout: ExecutionLayout
    plan: Plan
    report: SubmitReport
    reused: Mapping[str, ReusedFrom]
    """Job -> the earlier execution and job whose result it took over."""
    why: Mapping[str, str] = field(default_factory=dict)
    """Job that succeeded earlier -> why it runs again."""
    notices: tuple[Notice, ...] = ()
    """What there is to say of this submission, besides its plan."""
    new_warnings: tuple[Notice, ...] = ()
    """The plan's warnings, less those of facts that nobody knows and that were told before."""
    orphans: tuple[HeldOrphan, ...] = ()
    """Earlier submissions of the project that broke off, and hold jobs in the queue."""

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """Return what the user should know, besides the jobs, and was not told the last time."""
        return (*self.new_warnings, *self.notices, *(orphan.notice for orphan in self.orphans))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            **self.report.to_dict(),
            "site": self.plan.site,
            "reused": encode(dict(self.reused)),
            "why": dict(self.why),
            "report": str(self.layout.report),
            "warnings": [
                notice.to_dict() for notice in dict.fromkeys((*self.plan.warnings, *self.warnings))
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a submission would send."""

    execution: str
    """The id that the next execution gets, if nobody is faster."""
    folder: str
    plan_sha256: str
    code_sha256: str
    commands: Mapping[str, list[str]]
    """Job -> words of the command; `<job>` stands for the native id of a job."""
    scripts: Mapping[str, tuple[str, str]]
    """Job -> path below the folder, and digest."""
    reused: Mapping[str, ReusedFrom]
    """Job -> the earlier execution and job whose result it would take over."""
    why: Mapping[str, str]
    """Job that succeeded earlier -> why it would run again."""
    warnings: tuple[Notice, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "schema": "dfh/dry-run/2",
            "execution": self.execution,
            "folder": self.folder,
            "plan": self.plan_sha256,
            "code": self.code_sha256,
            "jobs": [
                {"job": job, "argv": argv, "script": path, "sha256": sha256}
                for job, argv in self.commands.items()
                for path, sha256 in [self.scripts[job]]
            ],
            "reused": encode(dict(self.reused)),
            "why": dict(self.why),
            "warnings": [notice.to_dict() for notice in self.warnings],
        }


@collector_paused()
def submit(
    request: Request,
    *,
    name: str = "",
    note: str = "",
    tags: tuple[str, ...] = (),
    reuse: bool = True,
) -> Submission:
    """Create an execution and submit its jobs; those whose result still holds are taken over."""
    from datetime import datetime, timezone

    from deepforge_hpc.submit import execution
    from deepforge_hpc.submit.earlier import EarlierExecutions
    from deepforge_hpc.submit.new_warnings import new_warnings
    from deepforge_hpc.submit.orphans import held_orphans
    from deepforge_hpc.submit.reuse import Reused, apply

    refuse_bad_texts({"--name": name, "--note": note, "--tag": " ".join(tags)})
    layout, taken, found = None, Reused(), _Earlier()

    def fill(fresh: ExecutionLayout, info: ExecutionInfo) -> None:
        nonlocal layout, taken, found
        layout = fresh
        if reuse:
            earlier = EarlierExecutions(plan.pipeline, loaded.project)
            taken = apply(layout, info, plan, earlier)
            found = _look_back(request, loaded, plan, earlier, taken, layout)

    try:
        loaded, plan, scripts, examined = _prepared(request, reuse=reuse)
        scheduler = _scheduler(plan)
        _require_submit(scheduler, request)
        orphans = held_orphans(loaded.project)
        layout = execution.create(
            loaded,
            plan,
            scripts,
            name=name,
            note=note,
            tags=tags,
            options=request.options(plan.site),
            now=datetime.now(timezone.utc),
            user=user_name(),
            uuid=os.urandom(16).hex(),
            fill=fill,
        )
        report = _send(layout, scheduler, loaded.site, plan, taken)
    except KeyboardInterrupt as error:
        if layout is not None:
            error.args = error.args or (_left_by_interrupt(layout),)
        raise
    return Submission(
        layout=layout,
        plan=plan,
        report=report,
        reused=taken.jobs,
        why=found.why,
        notices=(*examined, *_place(loaded), *_unheard(plan), *found.notices),
        new_warnings=new_warnings(layout, plan),
        orphans=orphans,
    )


class _Earlier(NamedTuple):
    """What there is to say of earlier executions."""

    why: dict[str, str] = {}  # noqa: RUF012 - nobody writes to what a tuple holds
    notices: tuple[Notice, ...] = ()


def _look_back(
    request: Request,
    loaded: Loaded,
    plan: Plan,
    earlier: EarlierExecutions,
    reused: Reused,
    layout: ExecutionLayout | None = None,
) -> _Earlier:
    """Take up what earlier executions could not save, and say why the other jobs run.

    `layout`: of the new execution, without which nothing is written.
    """
    from deepforge_hpc.ledger.store import Ledger
    from deepforge_hpc.paths import LEDGER
    from deepforge_hpc.pipeline.installed import Installed, path_of_jobs
    from deepforge_hpc.submit import rescue
    from deepforge_hpc.submit.packages import changed_packages, told_before, unseen_packages
    from deepforge_hpc.submit.why import reasons

    types = {name: spec.types for name, spec in loaded.pipeline.operations.items()}
    found = tuple(rescue.kept(plan, earlier, types, reused))
    if layout is not None:
        for item in found:
            item.lay(layout)
    done = {*reused.jobs, *(item.job.name for item in found)}
    options = (*request.options(), "--no-reuse")
    again = pipeline_command("submit", str(request.pipeline), options, "")
    known = told_before(plan, earlier) if layout is not None else ()  # a dry run tells all
    installed, ledger = Installed(path_of_jobs(loaded.site)), Ledger(loaded.project / LEDGER)
    notices = (
        *rescue.notices(found),
        *changed_packages(plan, reused, ledger, installed, again),
        *unseen_packages(plan, reused, again, known),
    )
    return _Earlier(reasons(plan, loaded.operations, earlier, done), notices)


def _require_submit(scheduler: Scheduler, request: Request) -> None:
    """Raise SchedulerError if jobs cannot be submitted from here, before anything is written."""
    try:
        scheduler.require_submit()
    except NoSchedulerError:
        raise
    except SchedulerError as error:
        error.hint = f"Write the scripts, to be looked at: {_render_command(request)}"
        raise


def _send(
    layout: ExecutionLayout, scheduler: Scheduler, site: SiteSpec | None, plan: Plan, taken: Reused
) -> SubmitReport:
    import shutil

    from deepforge_hpc.submit import chain, journal
    from deepforge_hpc.submit.submitter import RateLimit

    try:
        rate_limit = RateLimit(known(site.submit.rate_per_min) if site else None)
        return chain.submit(layout, scheduler, plan=plan, reused=taken.units, rate_limit=rate_limit)
    except SchedulerError as error:
        _add_hint_of_site(error, site)
        # A controller that is down may come back, and `dfh resume` goes on; here it never will.
        if isinstance(error, NoSchedulerError) and not journal.read(layout).attempts:
            shutil.rmtree(layout.root, ignore_errors=True)
            first = error.__cause__ if isinstance(error.__cause__, SchedulerError) else error
            message = f"{first.message.rstrip('.')}. Nothing was submitted, and nothing is left."
            raise error.again(message, first.hint, "Then submit again") from error
        raise


def _render_command(request: Request) -> str:
    words = ["dfh", "render", file_word(str(request.pipeline)), *request.options(), "-o", "scripts"]
    return shlex.join(words)


def _place(loaded: Loaded) -> tuple[Notice, ...]:
    """Return what the site has against the folder that its jobs are submitted from, if anything."""
    from deepforge_hpc.doctor.storage import misplaced

    text = misplaced(loaded.site, loaded.executions, os.environ) if loaded.site else ""
    return (Notice("place", text, str(loaded.executions), ("submit.from",)),) if text else ()


def _unheard(plan: Plan) -> Iterator[Notice]:
    """Yield what this shell says to the scheduler's own command, and no job is submitted with."""
    asked = {one for job in plan.jobs for one in (*job.directives, ("account", job.account))}
    for name, (option, instead) in _scheduler(plan).unheard.items():
        value = os.environ.get(name, "")
        if value and (option, value) not in asked:
            text = f"{name}={value} of this shell is not used"
            yield Notice("unheard", text, name, next=instead.format(shlex.quote(value)))


def _left_by_interrupt(layout: ExecutionLayout) -> str:
    """Remove an execution of which nothing was submitted, and say what is left."""
    from deepforge_hpc.submit import journal

    name = layout.root.name
    if not journal.read(layout).attempts:
        import shutil

        shutil.rmtree(layout.root, ignore_errors=True)
        return f"Stopped. Nothing was submitted, and {name} was removed again."
    return (
        f"Stopped. Some jobs of {name} may be queued. See them: dfh status {name}. "
        f"Complete it: dfh resume {name}. Or: dfh cancel {name}"
    )


def _add_hint_of_site(error: SchedulerError, site: SiteSpec | None) -> None:
    """Say what the site's file knows about a message, in place of what is true of any Slurm."""
    said = f"{error.message}\n{error.stderr}"
    for rule in site.errors if site else ():
        if re.search(rule.match, said, re.IGNORECASE):
            error.advise(rule.hint)
            return


def dry_run(request: Request, *, name: str = "", note: str = "", reuse: bool = True) -> DryRun:
    """Return the commands that `submit` would run now; nothing is written."""
    from deepforge_hpc.submit import destinations, execution
    from deepforge_hpc.submit.earlier import EarlierExecutions
    from deepforge_hpc.submit.requests import preview
    from deepforge_hpc.submit.reuse import Reused, foresee

    loaded, plan, scripts, examined = _prepared(request, reuse=reuse)
    root = execution.next_folder(loaded, plan.pipeline)
    # The uuid is all zeros, for it is drawn at submit.
    info = execution.describe(
        loaded,
        plan,
        root,
        plan_sha256=digest(execution.plan_file(plan)),
        code_sha256=digest(execution.manifest_bytes(loaded.snapshot)),
        uuid="0" * 32,
        created="",
        user=user_name(),
        name=name,
        note=note,
    )
    destinations.check(info, plan)
    foreseen, found = Reused(), _Earlier()
    if reuse:
        earlier = EarlierExecutions(plan.pipeline, loaded.project)
        foreseen = foresee(plan, earlier)
        found = _look_back(request, loaded, plan, earlier, foreseen)
    return DryRun(
        execution=info.id,
        folder=info.home,
        plan_sha256=info.plan_sha256,
        code_sha256=info.code_sha256,
        commands=preview(info, plan, _scheduler(plan), foreseen.units),
        scripts={
            job: (str(LAYOUT.script(job)), digest(script.encode()))
            for job, script in scripts.items()
        },
        reused=foreseen.jobs,
        why=found.why,
        warnings=(*plan.warnings, *examined, *_place(loaded), *_unheard(plan), *found.notices),
    )


def _prepared(
    request: Request, *, reuse: bool
) -> tuple[Loaded, Plan, dict[str, str], tuple[Notice, ...]]:
    from deepforge_hpc.api.examination import examine
    from deepforge_hpc.render.script import render_scripts
    from deepforge_hpc.runtime.base.notice import INFO

    loaded = load(request)
    examined = tuple(notice for notice in examine(loaded) if notice.level != INFO)
    plan = planned(loaded, reuse=reuse)
    return loaded, plan, render_scripts(plan), examined


def _scheduler(plan: Plan) -> Scheduler:
    from deepforge_hpc.plugins.scheduler import JobScope, scheduler_named

    return scheduler_named(plan.scheduler).scoped(JobScope(site_cluster=plan.cluster))
