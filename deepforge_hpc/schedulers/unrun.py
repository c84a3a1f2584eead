"""Schedulers that scripts are rendered for and that this version does not talk to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.native import NativeStatus


class NotRunScheduler(Scheduler):
    """Refuses to submit, and says what can be done instead."""

    runs: ClassVar[bool] = False

    def require_submit(self) -> None:
        self._refuse()

    def submit(self, request: SubmitRequest) -> str:
        self._refuse()

    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        self._refuse()

    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        self._refuse()

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        """Know of nothing: no job was ever submitted."""
        return {}

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        return {}

    def _refuse(self) -> NoReturn:
        message = f"jobs for {self.title} are rendered, not run, in this version"
        raise SchedulerError(message)  # who submits knows the command that renders them


def take_gpus(options: dict[str, str], nodes: int, ranks: int) -> int:
    """Return the GPUs of each node, and leave of the options `gres` what is none.

    `ranks`: those of each node.
    """
    gres = options.pop("gres", "").split(",")
    if others := [item for item in gres if item.partition(":")[0] not in ("gpu", "")]:
        options["gres"] = ",".join(others)
    asked = [("gres", item) for item in gres if item.partition(":")[0] == "gpu"]
    asked += [(name, options.pop(name, "")) for name in ("gpus", "gpus-per-node", "gpus-per-task")]
    gpus = 0
    for name, value in asked:
        if value:
            count = int(value.rpartition(":")[2])
            gpus = {"gpus": count // nodes, "gpus-per-task": count * ranks}.get(name, count)
    return gpus
