"""Figures of real executions: what their records say, and what a copy answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

OPERATIONS = """\
import os
import matplotlib.pyplot as plt


def draw(rows: list[int], flag: str) -> int:
    plt.figure("loss")
    plt.plot(rows)
    plt.show()
    if os.path.exists(flag):
        raise ValueError("the flag is up")
    total = sum(rows)
    return total
"""
PIPELINE = """\
pipeline: plots
inputs: {rows: rows.json}
operations:
  draw: {uses: operations.py:draw, inputs: {rows: rows}, attributes: {flag: FLAG}}
outputs: {total: {from: draw.total, to: results/total.json}}
"""


@pytest.fixture
def plots(make_project: Callable[..., Path], tmp_path: Path) -> Path:
    pipeline = PIPELINE.replace("FLAG", str(tmp_path / "flag"))
    files = {"operations.py": OPERATIONS, "pipeline.yaml": pipeline, "rows.json": "[1, 2, 3]"}
    return make_project(files)


def figures(project: Path, execution: str) -> Path:
    return project / "executions" / execution / "jobs" / "draw" / "figures"


def test_a_copied_figure_answers_with_its_job_its_inputs_and_whether_it_holds(
    dfh: Any, plots: Path, tmp_path: Path
) -> None:
    dfh("run", cwd=plots)
    dfh("run", cwd=plots)  # takes it over, with its figures
    (tmp_path / "talk").mkdir()
    for suffix in ("png", "svg", "json"):
        copy = shutil.copy(figures(plots, "plots-0001") / f"loss.{suffix}", tmp_path / "talk" / "x")
        shown = dfh("prov", "show", copy, cwd=plots).stdout
        drew = f"plots-0001/draw drew this figure as loss.{suffix}"
        for part in ("  unchanged\n", f"a copy, byte for byte: {drew}\n", "rows.json"):
            assert part in shown
        assert re.search(r"^made by    plots-0001/draw  attempt 1 ", shown, re.MULTILINE)
        assert dfh("prov", "verify", copy, cwd=plots).stdout.startswith("sound: ")
    reused = dfh("prov", "show", figures(plots, "plots-0002") / "loss.png", cwd=plots).stdout
    assert "reused     from plots-0001/draw\n" in reused
    found = json.loads(dfh("prov", "verify", "plots-0002", "--json", cwd=plots).stdout)
    assert (found["ok"], found["figures"]) == (True, 3)

    (tmp_path / "other" / ".dfh").mkdir(parents=True)
    refused = dfh("prov", "show", copy, cwd=tmp_path / "other", expect=7).stderr
    said = "its id says loss.json of plots-0001/draw, attempt 1, but no project here knows"
    assert said in refused

    drawing = figures(plots, "plots-0002") / "loss.svg"
    text = drawing.read_text()
    drawing.unlink()  # else it is edited in both, which share it
    drawing.write_text(text.replace("#ffffff", "#ff0000"))
    found = json.loads(dfh("prov", "verify", "plots-0002", "--json", cwd=plots, expect=7).stdout)
    assert [(item["kind"], item["subject"]) for item in found["findings"]] == [
        ("figure_modified", str(drawing))
    ]
    assert dfh("prov", "verify", "plots-0001", cwd=plots).stdout.startswith("sound: ")


def test_figures_of_a_failed_attempt_are_recorded_and_those_of_the_next_are_its_own(
    dfh: Any, plots: Path, tmp_path: Path
) -> None:
    (tmp_path / "flag").touch()
    dfh("run", cwd=plots, expect=None)
    picture = figures(plots, "plots-0001") / "loss.png"
    first = shutil.copy(picture, tmp_path / "first.png")
    (tmp_path / "flag").unlink()
    dfh("resume", "plots-0001", cwd=plots)
    dfh("status", "--watch", cwd=plots)
    for copy, attempt in ((first, 1), (picture, 2)):
        shown = dfh("prov", "show", copy, cwd=plots).stdout
        assert f"made by    plots-0001/draw  attempt {attempt} " in shown
        assert "  unchanged\n" in shown
    edited = tmp_path / "edited.png"
    edited.write_bytes(picture.read_bytes() + b"more")
    shown = dfh("prov", "show", edited, cwd=plots).stdout
    assert "  modified\n" in shown
    assert "made by    plots-0001/draw  attempt 2 " in shown
    assert dfh("prov", "verify", "plots-0001", cwd=plots).stdout.startswith("sound: ")


def test_a_figure_of_a_rescue_is_of_the_execution_that_drew_it(
    dfh: Any, plots: Path, tmp_path: Path
) -> None:
    code = OPERATIONS.replace("-> int", "").replace("sum(rows)", "{*rows}")
    (plots / "operations.py").write_text(code)
    dfh("run", cwd=plots, expect=9)  # no format by itself takes a set
    pipeline = (plots / "pipeline.yaml").read_text().replace("results/total.json", "results/")
    (plots / "pipeline.yaml").write_text(
        pipeline.replace("py:draw,", "py:draw, types: {total: pickle},")
    )
    assert "draw does not run again" in dfh("run", cwd=plots).stderr
    copy = shutil.copy(figures(plots, "plots-0002") / "loss.png", tmp_path / "x.png")
    assert "plots-0001/draw drew this figure" in dfh("prov", "show", copy, cwd=plots).stdout
