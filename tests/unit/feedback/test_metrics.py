from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepforge_hpc import runtime
from deepforge_hpc.runtime.base.metrics import decimate, is_main_rank, parse_metrics


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("DFH_METRICS", str(path))
    monkeypatch.delenv("DFH_WORLD_SIZE", raising=False)
    return path


def test_a_call_is_one_line_with_time_step_and_numbers(metrics: Path) -> None:
    runtime.log(3, loss=0.25, batches=np.int64(7), accuracy=np.float32(0.5))
    (line,) = metrics.read_text().splitlines()
    row = json.loads(line)
    assert row.pop("t") > 1.6e9
    assert row == {"step": 3, "loss": 0.25, "batches": 7, "accuracy": 0.5}


def test_what_is_not_finite_becomes_null_and_is_named(metrics: Path) -> None:
    runtime.log(loss=math.nan, norm=-math.inf, fine=1)
    row = json.loads(metrics.read_text())
    assert row["loss"] is None
    assert row["fine"] == 1
    assert row["not_finite"] == {"loss": "nan", "norm": "-inf"}


@pytest.mark.parametrize("values", [{"loss": "high"}, {"loss": [1, 2]}, {"t": 1}, {"loss": None}])
def test_what_is_not_a_number_is_refused_and_nothing_is_written(
    metrics: Path, values: dict[str, object]
) -> None:
    with pytest.raises(TypeError, match=next(iter(values))):
        runtime.log(**values)
    assert not metrics.exists()


def test_outside_of_a_job_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DFH_METRICS", raising=False)
    monkeypatch.chdir(tmp_path)
    runtime.log(1, loss=1.0)
    assert list(tmp_path.iterdir()) == []


def test_only_rank_zero_writes(metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFH_WORLD_SIZE", "2")
    monkeypatch.setenv("DFH_RANK", "1")
    runtime.log(loss=1)
    assert not metrics.exists()
    monkeypatch.setenv("DFH_RANK", "0")
    runtime.log(loss=1)
    assert metrics.exists()


def test_a_single_process_is_rank_zero_whatever_a_batch_step_says() -> None:
    assert is_main_rank({"DFH_WORLD_SIZE": "1", "SLURM_PROCID": "3"})
    assert not is_main_rank({"DFH_WORLD_SIZE": "4", "DFH_RANK": "2", "SLURM_PROCID": "0"})


def test_lines_of_several_threads_do_not_mix(metrics: Path) -> None:
    def work(number: int) -> None:
        for step in range(200):
            runtime.log(step, **{f"series_{number}": step, "padding" * 30: 1.0})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in metrics.read_text().splitlines()]) == 800


def test_the_reader_passes_over_torn_and_foreign_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"t": 1, "step": 1, "loss": 2.0}\n\xff\xfe\n[1, 2]\nnull\n'
        b'{"t": 1, "step": 2, "loss": "x", "deep": {"a": 1}, "flag": true}\n'
        b'{"t": "?", "step": 3, "loss": 1.5, "huge": 1' + b"0" * 400 + b"}\n"
        b"[" * 5000 + b"\n"
        b'{"t": 2, "step": 4, "lo'
    )
    (series,) = parse_metrics(path.read_bytes().split(b"\n"))
    assert (series.name, series.points, series.last) == ("loss", ((1.0, 2.0), (3.0, 1.5)), 1.5)


def test_an_empty_file_has_no_series() -> None:
    assert parse_metrics([b""]) == []


def test_values_of_an_earlier_attempt_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"t": 10, "step": 0, "loss": 9}\n{"t": 20, "step": 0, "loss": 1}\n')
    assert parse_metrics(path.read_bytes().split(b"\n"), since=15)[0].points == ((0.0, 1.0),)


def test_without_steps_the_line_is_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"t": 1, "step": null, "loss": 3}\n{"t": 2, "step": null, "loss": null}\n')
    (series,) = parse_metrics(path.read_bytes().split(b"\n"))
    assert not series.has_steps
    assert series.points == ((0.0, 3.0),)
    assert (series.last, series.total) == (None, 2)


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=3000),
    st.integers(4, 500),
)
def test_decimation_keeps_ends_and_extremes(values: list[float], limit: int) -> None:
    points = list(enumerate(values))
    kept = decimate(points, limit)
    assert len(kept) <= limit
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert min(value for _, value in kept) == min(values)
    assert max(value for _, value in kept) == max(values)
