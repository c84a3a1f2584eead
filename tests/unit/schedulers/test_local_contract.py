"""The local adapter keeps the public contract of schedulers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.schedulers.local import LocalScheduler
from deepforge_hpc.schedulers.local_queue import LocalQueue
from deepforge_hpc.testing.scheduler import SchedulerContract


class TestLocalScheduler(SchedulerContract):
    unknown_id = "L999"

    @pytest.fixture
    def scheduler(self, execution: Path) -> Iterator[Scheduler]:
        adapter = LocalScheduler()
        yield adapter
        queue = LocalQueue.of(str(execution))
        adapter.cancel(str(execution), [job.id for job in queue.jobs()[0]])
        deadline = time.monotonic() + 20
        while queue.has_engine:
            assert time.monotonic() < deadline
            time.sleep(0.05)
