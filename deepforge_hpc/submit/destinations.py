"""The lock of a declared `outputs.to`: one live execution at a time may write there.

`.dfh/claims/<digest of the path>.json` names the execution that has a destination. Such a
lock needs no end: it holds as long as its execution is live.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import DeepforgeHpcError, StorageError, UsageError
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.base.files import digest, publish_json, read_json
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.submit.frozen import read_info
from deepforge_hpc.submit.inspect import status
from deepforge_hpc.submit.lease import lease

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.execution import ExecutionInfo
    from deepforge_hpc.runtime.base.plan import Plan


def lock(ledger: Path, info: ExecutionInfo, plan: Plan) -> None:
    """Lock the destinations of a plan for an execution, all or none.

    Raises UsageError if a live execution has one of them, OSError if that cannot be written.
    """
    paths = {os.path.realpath(output.to): output.name for output in plan.outputs if output.to}
    if not paths:
        return
    folder = ledger / "claims"
    folder.mkdir(exist_ok=True)
    with lease(ledger / "claims.lease", f"the destinations of {ledger}"):
        for path, name in paths.items():
            _check_free(_file(folder, path), info, f"outputs.{name}.to {path}")
        for path in paths:
            data = {"to": path, "execution": info.id, "home": info.home, "uuid": info.uuid}
            publish_json(_file(folder, path), data)


def _file(folder: Path, path: str) -> Path:
    return folder / f"{digest(path.encode()).removeprefix('sha256:')[:32]}.json"


def _check_free(file: Path, info: ExecutionInfo, what: str) -> None:
    try:
        holder = read_json(file)
    except FileNotFoundError:
        return
    except ValueError as error:
        message = f"{file}: damaged, so it cannot be told who writes to {what}"
        raise StorageError(message, f"Look at it, then remove it: rm {file}") from error
    if holder["uuid"] != info.uuid and _is_live(holder):
        message = f"{what} is being written by {holder['execution']}, which is not over"
        hint = (
            f"Wait for it, or cancel it: dfh cancel {holder['execution']}. Where nobody knows how "
            f"it ended: dfh executions rm --force {holder['execution']}. Where its folder cannot "
            f"be read: rm {file}"
        )
        raise UsageError(message, hint)


def _is_live(holder: dict[str, Any]) -> bool:
    layout = ExecutionLayout(Path(holder["home"]))
    try:
        layout.root.lstat()
        info = read_info(layout)
        if info.uuid != holder["uuid"]:
            return False
        jobs = status(layout, scheduler_named(info.scheduler)).jobs
    except (FileNotFoundError, NotADirectoryError):
        return False  # removed: dfh executions rm
    except (DeepforgeHpcError, OSError):
        return True  # its jobs may run all the same
    return not all(unit.is_over for job in jobs for unit in job.units)
