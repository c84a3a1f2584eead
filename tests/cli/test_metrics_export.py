"""`dfh metrics export`: what other programs read of a run."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepforge_hpc.cli.main import main

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*words: object, code: int = 0) -> str:
        found = main(["metrics", "export", *map(str, words)])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.out or said.err

    return call


@pytest.fixture
def made(executions: ModuleType, tmp_path: Path) -> Any:
    """An execution of a job that logs steps, one that logs none, and an array of two tasks."""
    made = executions.Made(tmp_path / "executions" / "redshift-0007")
    for name in ("train", "count", "quiet"):
        made.job(name)
    made.job("scan", kind="array", tasks=2)
    made.plan()
    made.submitted()
    made.metrics("train", [{"step": n, "loss": 1 / n, "acc": n / 10} for n in range(1, 6)])
    made.metrics("count", [{"step": None, "=rows": 3}, {"step": None, "=rows": 4}])
    for task in (0, 1):
        made.metrics("scan", [{"step": 1, "loss": task}], task)
    return made


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def logged_by(made: Any, job: str = "train") -> list[dict[str, Any]]:
    path = made.root / "jobs" / job / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_csv_has_a_line_for_each_number_with_step_and_time(run: Run, made: Any) -> None:
    rows = rows_of(run("--to", "csv"))
    assert list(rows[0]) == ["run", "metric", "step", "time", "value"]
    losses = [row for row in rows if (row["run"], row["metric"]) == ("train", "loss")]
    assert [row["step"] for row in losses] == ["1", "2", "3", "4", "5"]
    assert [float(row["value"]) for row in losses] == [1 / n for n in range(1, 6)]
    logged = [row["t"] for row in logged_by(made)]
    assert [datetime.fromisoformat(row["time"]).timestamp() for row in losses] == logged
    assert {row["run"] for row in rows} == {"train", "count", "scan/task-00000", "scan/task-00001"}
    # Numbers without a step are counted, and no spreadsheet runs what a job called them.
    assert [(r["metric"], r["step"]) for r in rows if r["run"] == "count"] == [
        ("'=rows", "0"), ("'=rows", "1"),
    ]  # fmt: skip


def test_one_job_alone_by_its_name_or_its_folder(run: Run, made: Any, tmp_path: Path) -> None:
    by_name = run("redshift-0007/train", "--to", "csv")
    assert {row["run"] for row in rows_of(by_name)} == {"train"}
    assert run(made.root / "jobs" / "train", "--to", "csv") == by_name
    path = run("7/train", "--to", "csv", "-o", "train.csv").strip()
    assert Path(path).read_text() == by_name
    assert "is there already" in run("7/train", "--to", "csv", "-o", "train.csv", code=2)
    assert "no job 'trian'" in run("7/trian", "--to", "csv", code=2)
    assert "has logged no metrics" in run("7/quiet", "--to", "csv", code=2)


def resume(made: Any, executions: ModuleType, *, job: str = "train") -> None:
    """Let a second attempt go on from step 3, after the first had come to step 5."""
    path = made.root / "jobs" / job / "metrics.jsonl"
    begin = executions.NOW.timestamp() - 10
    with path.open("a") as file:
        for step in (4, 5, 6):
            line = {"t": begin + step, "step": step, "loss": 100 + step}
            file.write(json.dumps(line) + "\n")
    intent = {"event": "intent", "attempt": 2, "jobs": [job], "tasks": {}, "token": "x"}
    made.submitted({**intent, "at": executions.stamp(12)}, {"event": "released", "attempt": 2})


def test_steps_that_a_resumed_job_did_again_stand_once(
    run: Run, made: Any, executions: ModuleType
) -> None:
    resume(made, executions)
    rows = rows_of(run("7/train", "--to", "csv"))
    losses = {row["step"]: float(row["value"]) for row in rows if row["metric"] == "loss"}
    assert len(losses) == len([row for row in rows if row["metric"] == "loss"]) == 6
    assert [losses[step] for step in "456"] == [104, 105, 106]
    assert losses["3"] == 1 / 3
    # Nobody logged this one again: it stands as it was.
    assert [row["step"] for row in rows if row["metric"] == "acc"] == ["1", "2", "3", "4", "5"]


def test_within_an_attempt_a_step_may_come_again(run: Run, made: Any) -> None:
    made.metrics("train", [{"step": n % 3, "loss": n} for n in range(6)])
    rows = rows_of(run("7/train", "--to", "csv"))
    assert [row["step"] for row in rows] == ["0", "1", "2", "0", "1", "2"]


def test_without_tensorboard_one_line_says_how_to_get_it(
    run: Run, made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "deepforge_hpc.api.events", raising=False)
    monkeypatch.delattr("deepforge_hpc.api.events", raising=False)
    for name in ("tensorboard", "tensorboard.compat.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    told = run("--to", "tensorboard", code=2)
    assert "pip install 'deepforge-hpc[tensorboard]'" in told
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.extras
def test_tensorboard_reads_runs_steps_and_times(
    run: Run, made: Any, executions: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "tensorboard.compat.notf", ModuleType("notf")
    )  # its own switch
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made.metrics("count", [{"step": 2.0, "a": None, "not_finite": {"a": "-inf"}}])
    resume(made, executions)
    folder = tmp_path / run("--to", "tensorboard").splitlines()[-1]
    assert folder == tmp_path / "tensorboard" / "redshift-0007"
    runs = {path.parent.relative_to(folder).as_posix(): path for path in folder.rglob("events.*")}
    assert set(runs) == {"train", "count", "scan/task-00000", "scan/task-00001"}
    read = {name: EventAccumulator(str(path.parent)).Reload() for name, path in runs.items()}
    assert read["train"].Tags()["scalars"] == ["loss", "acc"]
    losses = read["train"].Scalars("loss")
    assert [item.step for item in losses] == [1, 2, 3, 4, 5, 6]
    assert [item.value for item in losses[:3]] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [item.value for item in losses[3:]] == [104, 105, 106]
    times = {row["step"]: row["t"] for row in logged_by(made)}
    assert [item.wall_time for item in losses] == [times[step] for step in range(1, 7)]
    assert read["count"].Scalars("a")[0].value == -math.inf

    assert "is there already" in run("--to", "tensorboard", code=2)
    run("--to", "tensorboard", "--force")
    (folder / "train" / "mine.txt").write_text("kept")
    assert "other files" in run("--to", "tensorboard", "--force", code=2)
    assert (folder / "train" / "mine.txt").exists()
