"""Turn a job of the plan into what the scheduler is asked for. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.layout import LAYOUT
from deepforge_hpc.runtime.base.plan import JobKind, Plan
from deepforge_hpc.submit.select import Selected, dependencies, without

_FIRST_STAND_IN = 9_000_000_001


def request_for(
    info: ExecutionInfo, item: Selected, attempt: int, after: Sequence[str]
) -> SubmitRequest:
    """Return the request for a job of which the upstream jobs have the ids `after`."""
    job = item.job
    about = {"execution": info.id, "job": job.name, "token": info.token, "attempt": attempt}
    task = "%a" if job.kind is JobKind.ARRAY else None
    resources = job.resources
    return SubmitRequest(
        job=job.name,
        script=str(LAYOUT.script(job.name)),
        arguments=(
            *("--uuid", info.uuid),
            *("--attempt", str(attempt)),
            *("--plan", info.plan_sha256),
            *("--code", info.code_sha256),
        ),
        directory=info.home,
        name=f"{job.name}.{info.token}",
        comment=json.dumps(about, sort_keys=True, separators=(",", ":")),
        output=str(LAYOUT.log(job.name, attempt, task)),
        account=job.account,
        after=tuple(after),
        dependency=job.dependency,
        hold=not after,
        array=item.array,
        inherits_shell=job.inherits_shell,
        cores=resources.nodes * resources.ntasks_per_node * resources.cpus_per_task,
        time_s=resources.time_s,
    )


def check_widest(
    info: ExecutionInfo, scheduler: Scheduler, selected: Sequence[Selected], attempt: int
) -> None:
    """Raise SchedulerError if the job that waits for most cannot be told to, whatever their ids."""
    needs = dependencies(selected)
    widest = max(selected, key=lambda item: len(needs[item.job.name]))
    after = [str(_FIRST_STAND_IN + n) for n in range(len(needs[widest.job.name]))]
    scheduler.describe(request_for(info, widest, attempt, after))


def preview(
    info: ExecutionInfo,
    plan: Plan,
    scheduler: Scheduler,
    reused: frozenset[tuple[str, int | None]] = frozenset(),
) -> dict[str, list[str]]:
    """Return the words of the commands that a submission would run, by job.

    `<job>` stands for the id that the scheduler will give to it. `reused` are the jobs and array
    tasks that need not run.
    """
    selected = without(plan, reused)
    needs = dependencies(selected)
    # Adapters check ids, so they get numbers of the right form, which are then replaced.
    stand_ins = {item.job.name: str(_FIRST_STAND_IN + n) for n, item in enumerate(selected)}
    names = {number: f"<{name}>" for name, number in stand_ins.items()}
    pattern = re.compile(r"\b9\d{9}\b")
    commands = {}
    for item in selected:
        after = [stand_ins[name] for name in needs[item.job.name]]
        words = scheduler.describe(request_for(info, item, 1, after))
        commands[item.job.name] = [
            pattern.sub(lambda match: names.get(match[0], match[0]), word) for word in words
        ]
    return commands
