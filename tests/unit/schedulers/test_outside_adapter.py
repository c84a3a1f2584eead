"""An adapter of another package, tests/fixtures/lsf, keeps the public contract with both halves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.testing.scheduler import SchedulerContract

FOLDER = Path(__file__).parents[2] / "fixtures" / "lsf"


class TestLsfScheduler(SchedulerContract):
    unknown_id = "99999"

    @pytest.fixture
    def scheduler(self, execution: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
        monkeypatch.syspath_prepend(str(FOLDER))
        from dfh_lsf import LsfScheduler

        adapter: Scheduler = LsfScheduler()
        yield adapter
        adapter.cancel(str(execution), [path.name for path in execution.glob("lsf/*")])
        for name in [name for name in sys.modules if name.startswith("dfh_lsf")]:
            del sys.modules[name]
