"""Close an execution in the place of its final job, if that could not."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from deepforge_hpc.runtime.base.context import timestamp
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.report.refresh import refresh
from deepforge_hpc.runtime.state import statefile
from deepforge_hpc.submit import own

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deepforge_hpc.runtime.base.layout import ExecutionLayout
    from deepforge_hpc.submit.status import TaskStatus


def write_ends(layout: ExecutionLayout, units: Sequence[tuple[str, TaskStatus]]) -> None:
    """Write the state of each job or task whose end stands in no file yet, and the report anew.

    The caller sees to it that nothing of the execution is live: a state file has one writer. A
    folder that cannot be written is left as it is, and the next command says the same again.
    """
    for job, unit in units:
        if unit.is_written or not State(unit.state).is_final:
            continue
        folder = layout.job(job, unit.task)
        begun = own.read_state(folder) or {}
        same = begun.get("attempt") == unit.attempt
        state = statefile.build(
            job=job,
            task=unit.task,
            attempt=unit.attempt,
            state=State(unit.state),
            since=timestamp(),
            started=begun.get("started") if same else None,
            ended=timestamp(),
            host=begun.get("host", "") if same else "",
            pid=begun.get("pid", 0) if same else 0,
            native_id=unit.native_id,
            reason=unit.reason,
            hint=unit.hint,
            again=unit.again,
        )
        with suppress(OSError):
            folder.root.mkdir(parents=True, exist_ok=True)
            publish_json(folder.state, state)
    refresh(layout.root, force=True)
