"""What an array makes lies in parts: where it may go, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deepforge_hpc
from deepforge_hpc.errors import InvalidInputError

CODE = "def double(rows: list) -> list:\n    twice = [2 * row for row in rows]\n    return twice\n"
PIPELINE = """\
pipeline: parts
inputs: {rows: rows.json}
operations:
  double: {uses: "ops.py:double", inputs: {rows: rows}, map: {over: rows, shards: 3}}
outputs: {twice: {from: double.twice, to: %s}}
"""


@pytest.fixture
def project(make_project: Callable[..., Path]) -> Path:
    return make_project({"ops.py": CODE, "rows.json": json.dumps(list(range(10)))}, name="parts")


def test_a_file_is_refused_and_the_folder_is_read_as_one_value(dfh: Any, project: Path) -> None:
    file = project / "pipeline.yaml"
    file.write_text(PIPELINE % "results/twice.json")
    told = dfh("check", cwd=project, expect=3).stderr
    assert "outputs.twice.to: 'results/twice.json' would be a folder" in told
    assert "write to: results/twice and read it by deepforge_hpc.load_parts" in told
    file.write_text(PIPELINE % "results/twice.d/")  # named as a folder
    dfh("check", cwd=project)
    file.write_text(PIPELINE % "results/twice")
    dfh("run", cwd=project)
    chosen = dfh("logs", "latest", "double", cwd=project).stderr
    assert "double[2]" in chosen
    assert "--task N shows another" in chosen
    assert "another" not in dfh("logs", "1", "double", "--task", "0", cwd=project).stderr
    told = dfh("logs", "1", "double[1]", cwd=project).stderr  # as it is printed
    assert "double[1], attempt 1" in told
    folder = project / "results" / "twice"
    assert deepforge_hpc.load_parts(folder) == [2 * n for n in range(10)]
    assert deepforge_hpc.load_parts(str(folder), (2, 5)) == [4, 6, 8]


def test_execute_of_a_class_is_told_shard_shards_and_seed(dfh: Any, project: Path) -> None:
    (project / "ops.py").write_text(
        "class Told:\n"
        "    def __init__(self, shards: int = 0, seed: int = 0):\n"
        "        self.told = [shards, seed]\n"
        "    def execute(self, rows: list, shard: int, seed: int, shards: int = 1) -> list:\n"
        "        twice = [[*self.told, shard, shards, seed]]\n"
        "        return twice\n"
    )
    told = (PIPELINE % "twice").replace("ops.py:double", "ops.py:Told")
    (project / "pipeline.yaml").write_text(told.replace("map:", "seed: 5, map:"))
    dfh("run", cwd=project)
    made = deepforge_hpc.load_parts(project / "twice")
    assert made == [[3, 5, shard, 3, 5] for shard in range(3)]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({}, "schema None, this version reads"),
        (
            {"schema": "dfh/parts/1", "format": "json", "parts": [{"file": "../x"}]},
            "not in the folder",
        ),
        ({"schema": "dfh/parts/1", "format": "telepathy", "parts": []}, "no format 'telepathy'"),
        ({"schema": "dfh/parts/1", "format": "pickle", "parts": []}, "cannot be joined"),
        (
            {"schema": "dfh/parts/1", "format": "json", "parts": [{"file": "x", "rows": 1}]},
            "No such file",
        ),
    ],
)
def test_a_folder_that_holds_no_parts_is_refused(
    tmp_path: Path, index: dict[str, Any], words: str
) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidInputError, match=words):
        deepforge_hpc.load_parts(tmp_path)
