"""Where the time of an epoch went, as the page and `dfh status` tell it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepforge_hpc.cli.views.status import COLUMNS
from deepforge_hpc.runtime.base.epochs import WAITS_NEXT, epoch_split
from deepforge_hpc.runtime.report.refresh import read_status, render_report
from deepforge_hpc.runtime.state.read import last_metrics
from deepforge_hpc.submit.inspect import _waiting_for_data

TIMES = {"waiting": 3.1, "compute": 5.0, "communication": 0.4, "validation": 1, "checkpoint": 0.02}


def line(step: int = 1, **times: float) -> dict[str, Any]:
    told = {f"time/{name}": value for name, value in {**TIMES, "epoch": 10.0, **times}.items()}
    return {"step": step, "loss": 0.5 / step, **told, "memory/peak_mib": 512, "gpu/use": 0.31}


def test_it_is_told_in_words() -> None:
    split = epoch_split(line())
    assert split is not None
    assert split.words == (
        "An epoch: 10 s · 50% computing, 31% waiting for data, 4% between ranks, 10% validation"
        " · GPU at 31% · 512 MiB of memory"
    )
    assert split.waits == "31% of an epoch is waiting for data"
    assert epoch_split(line(waiting=2.0)).waits == ""  # type: ignore[union-attr]
    assert epoch_split({"loss": 1.0, "time/epoch": "x", "time/waiting": 3}) is None
    assert epoch_split({"time/epoch": 0.0}) is None


@pytest.fixture
def made(executions: ModuleType, tmp_path: Path) -> Any:
    made = executions.Made(tmp_path / "redshift-0007")
    made.job("train")
    made.plan()
    made.submitted()
    made.state("train", "running", began=60)
    made.metrics("train", [line(1), line(2)])
    return made


def test_the_page_has_a_bar_of_it_and_says_what_to_do(made: Any) -> None:
    page = render_report(made.root).decode()
    assert "An epoch: 10 s" in page
    assert f"31% of an epoch is waiting for data: {WAITS_NEXT}" in page
    assert "time/" not in page  # no charts and no tiles of it
    assert page.count('class="chart"') == 1
    made.metrics("train", [line(1), line(2, waiting=0.1)])
    page = render_report(made.root).decode()
    assert "1% waiting for data" in page
    assert WAITS_NEXT not in page


def test_status_names_the_job_and_the_next_step(made: Any) -> None:
    (job, *_) = read_status(made.root).jobs
    job = job._replace(metrics=last_metrics(made.root, "jobs/train"))
    (notice,) = _waiting_for_data((job,))
    assert str(notice) == f"train: 31% of an epoch is waiting for data ({WAITS_NEXT})"
    assert notice.kind == "waits_for_data"
    remark = COLUMNS[-1][1]
    assert remark(job) == "step 2  loss 0.25"  # type: ignore[operator]
    assert _waiting_for_data((job._replace(metrics={}),)) == []
