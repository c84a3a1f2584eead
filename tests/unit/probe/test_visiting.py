"""What a probe takes back from the queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepforge_hpc.api import visiting
from deepforge_hpc.probe.visit import Visit
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State


class Queue:
    """A queue that gives the second job's number to somebody else's; real ones do so after weeks."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.cancelled: list[str] = []

    def header(self, options: object) -> list[str]:
        return []

    def submit(self, request: Any) -> str:
        native_id = str(len(self.names) + 1)
        self.names[native_id] = request.name
        return native_id

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        names = {**self.names, "2": "dfh-probe-cpu.another"}
        return {one: NativeStatus(one, State.RUNNING, name=names[one]) for one in native_ids}

    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        self.cancelled += native_ids


def test_a_number_that_is_another_job_s_by_now_is_not_cancelled(tmp_path: Path) -> None:
    folder = tmp_path / "dfh-probe-a1b2"
    folder.mkdir()
    jobs = tuple(
        Visit(node_type=kind, partition="all", gpus=0, nodes=frozenset()) for kind in ("cpu", "gpu")
    )
    queue: Any = Queue()
    ended, failures = visiting._run(jobs, queue, folder, "", 0)
    assert (ended, len(failures)) == ({}, 2)
    assert queue.names["1"] == "dfh-probe-cpu.a1b2"
    assert queue.cancelled == ["1"]
