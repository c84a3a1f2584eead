"""Before a retry, what became of the attempt: complete it if its submitter died, or see it out.

What is queued is found by its token (the end of the job's name), never by an id alone: Slurm gives
the ids of jobs that it lost in a crash to new jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepforge_hpc.errors import UsageError
from deepforge_hpc.runtime.base.context import timestamp
from deepforge_hpc.runtime.base.plan import FINAL_JOB
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.journal import Cancelled
from deepforge_hpc.runtime.state.read import read_files
from deepforge_hpc.submit import journal
from deepforge_hpc.submit.live_jobs import wait_for_submitters
from deepforge_hpc.submit.select import Selected, dependencies

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.plan import Plan
    from deepforge_hpc.runtime.state.journal import Attempt
    from deepforge_hpc.submit.reports import SubmitReport
    from deepforge_hpc.submit.submitter import Submitter


def recover(submitter: Submitter, attempt: Attempt) -> SubmitReport | None:
    """Complete an attempt whose submitter died; nothing of it has started, unless at the end.

    What is queued is kept if the missing jobs can still be joined to it. Otherwise (jobs were
    lost in between) it is cancelled, and all is submitted afresh. None: it had been let go
    before its submitter died, and has ended.
    """
    wait_for_submitters(submitter.info.token)
    selected = _intended(submitter.plan, attempt)
    needs = dependencies(selected)
    found = submitter.live_jobs.adopt(attempt.ids)
    if all(name in attempt.ids for name in needs):
        # It died after the last id: the roots may have been released, and have run.
        roots = [found[name] for name in needs if not needs[name] and name in found]
        if found:
            submitter.publish_reused()
        submitter.release(attempt.number, roots)
        if not found:
            return None
        ids = tuple(attempt.ids.items())
        return submitter.report(attempt.number, ids, "Released: every job had been queued.")
    is_whole = all(name in found for name in attempt.ids) and all(
        upstream in found for name in found for upstream in needs.get(name, ())
    )
    if not is_whole:
        submitter.live_jobs.clear()
        lost = Cancelled(attempt.number, timestamp(), "jobs were lost")
        journal.append(submitter.layout, lost, durable=True)
        return submitter.submit()
    for name in [name for name in found if attempt.ids.get(name) != found[name]]:
        submitter.note(attempt.number, name, found[name], healed=True)
    return submitter.queue_jobs(attempt.number, selected, found)


def _intended(plan: Plan, attempt: Attempt) -> tuple[Selected, ...]:
    jobs = {job.name: job for job in plan.jobs}
    return tuple(Selected(job=jobs[name], tasks=attempt.tasks.get(name)) for name in attempt.jobs)


def settle(submitter: Submitter, last: Attempt) -> SubmitReport | None:
    """Bring the queue to rest, so that a new attempt can begin.

    A report says that the attempt goes on instead. Raises UsageError if jobs are live.

    What there is to bring to rest, the queue's listing alone says, also where the judge does not
    know: it finds by token what the journal may have lost, and what it does not have cannot run.
    What it holds is released by its ids. Which of the rest may still do something, the judge says.
    """
    live = submitter.live_jobs.live()
    answers = submitter.live_jobs.answers(live)
    states = submitter.live_jobs.states(live, answers)
    held = sorted(name for name, state in states.items() if state is State.HELD)
    if held and not last.is_cancelled and not submitter.live_jobs.has_lost(last.ids):
        submitter.scheduler.release(submitter.info.home, [i for name in held for i in live[name]])
        message = f"Released {len(held)} held jobs of attempt {last.number}."
        return submitter.report(last.number, tuple(last.ids.items()), message)
    files = read_files(submitter.layout.root)
    # What has written its end is only leaving the queue; a final job need not be waited for.
    by_files = build(files, None, now=0).jobs
    ending = {job.name for job in by_files if job.is_over and job.state is not State.PLANNED}
    ending &= set(live)
    # Of an id that the journal does not know the judge knows nothing either.
    known = {name for name, ids in live.items() if ids == [last.ids.get(name)]}
    over = {job.name for job in build(files, answers, now=0).jobs if job.is_over} & known
    busy = [] if held else sorted(set(live) - ending - over - {FINAL_JOB})
    if busy or (staying := submitter.live_jobs.leave(ending)):
        busy = busy or staying
        some = listed((f"{name} ({states.get(name, '?')})" for name in busy), 9)
        message = f"{submitter.info.id} is not over: {some}"
        hint = f"Wait for it: dfh status {submitter.info.id}. Or: dfh cancel {submitter.info.id}"
        raise UsageError(message, hint)
    submitter.live_jobs.clear()
    return None
