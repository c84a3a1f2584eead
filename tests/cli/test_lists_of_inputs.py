"""A list of outputs from a user's file to its result, and what is told of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CODE = """\
def make(n: int) -> int:
    value = n
    return value


def twice(rows: list) -> list:
    doubled = [2 * row for row in rows]
    return doubled


def merge(parts: list) -> list:
    joined = list(parts)
    return joined


def total(*parts: list, scale: int = 1) -> int:
    number = scale * sum(len(part) for part in parts)
    return number
"""
PIPELINE = """\
pipeline: lists
inputs: {rows: rows.json}
operations:
  a: {uses: "ops.py:make", attributes: {n: 1}}
  b: {uses: "ops.py:make", attributes: {n: 2}}
  array: {uses: "ops.py:twice", inputs: {rows: rows}, map: {over: rows, shards: 2}}
  merge:
    uses: ops.py:merge
    inputs: {parts: [b.value, array.doubled, a.value, rows, b.value]}
  total: {uses: "ops.py:total", inputs: {parts: [merge.joined, array.doubled]}}
outputs: {joined: {from: merge.joined, to: joined.json}, number: {from: total.number, to: n.json}}
"""


@pytest.fixture
def ran(make_project: Callable[..., Path], dfh: Any) -> Path:
    """Return a project with one execution that succeeded."""
    files = {"ops.py": CODE, "rows.json": "[1, 2, 3]", "pipeline.yaml": PIPELINE}
    project = make_project(files, name="lists")
    dfh("run", cwd=project)
    return project


def why(dfh: Any, project: Path) -> dict[str, str]:
    told: dict[str, str] = json.loads(dfh("submit", "--dry-run", "--json", cwd=project).stdout)[
        "why"
    ]
    return told


def test_members_of_all_kinds_come_in_order_and_are_told_of(dfh: Any, ran: Path) -> None:
    assert json.loads((ran / "joined.json").read_text()) == [2, [2, 4, 6], 1, [1, 2, 3], 2]
    assert json.loads((ran / "n.json").read_text()) == 5 + 3
    lines = dfh("prov", "trace", "lists-0001/merge", cwd=ran).stdout.splitlines()
    members = [line.split() for line in lines if line.startswith("  parts[")]
    assert [(member[0], member[1 if "rows" in member[2] else 3]) for member in members] == [
        ("parts[0]", "lists-0001/b"),
        ("parts[1]", "lists-0001/array.gather"),
        ("parts[2]", "lists-0001/a"),
        ("parts[3]", "<-"),
        ("parts[4]", "(see"),
    ]
    assert "parts[4]  " in dfh("prov", "show", "lists-0001/merge", cwd=ran).stdout
    assert dfh("prov", "verify", "lists-0001", cwd=ran).stdout.startswith("sound:")
    nodes = json.loads(dfh("prov", "trace", "lists-0001/merge", "--json", cwd=ran).stdout)["nodes"]
    edges = [item["port"] for item in nodes[0]["inputs"]]
    assert edges == [f"parts[{index}]" for index in range(5)]


def test_all_is_reused_and_another_order_runs_what_reads_it(dfh: Any, ran: Path) -> None:
    again = json.loads(dfh("submit", "--json", cwd=ran).stdout)
    assert set(again["reused"]) >= {"a", "b", "merge", "total"}
    file = ran / "pipeline.yaml"
    file.write_text(PIPELINE.replace("[b.value, array", "[a.value, array"))
    assert why(dfh, ran) == {
        "merge": "its input parts[0] is made by a, and was by b since lists-0002",
        "total": "merge, which makes its input parts[0], runs again since lists-0002",
    }
    file.write_text(PIPELINE.replace(", rows, b.value]", "]"))
    assert why(dfh, ran)["merge"] == "its input parts is 3 outputs, and was 5 since lists-0002"


def test_a_long_list_is_told_shortly(dfh: Any, ran: Path) -> None:
    file = ran / "pipeline.yaml"
    given = ", ".join(["a.value", "b.value"] * 20)
    file.write_text(PIPELINE.replace("b.value, array.doubled, a.value, rows, b.value", given))
    dfh("run", cwd=ran)
    other = ", ".join(["b.value", "a.value"] * 20)
    file.write_text(PIPELINE.replace("b.value, array.doubled, a.value, rows, b.value", other))
    told = why(dfh, ran)["merge"]
    assert told.startswith("its input parts[0] is made by b, and was by a; its input parts[1] is")
    assert "; 37 more of its input parts since" in told


def test_a_member_that_was_damaged_is_made_again(dfh: Any, ran: Path) -> None:
    """What is resumed stages a list in as what is submitted does."""
    folder = ran / "executions" / "lists-0001" / "jobs"
    made = folder / "a" / "outputs" / "value.json"
    made.chmod(0o644)
    made.write_text("7")
    found = dfh("prov", "verify", "lists-0001", cwd=ran, expect=None)
    assert "NOT SOUND" in found.stdout
    for job in ("a", "merge", "total"):
        (folder / job / "success.json").unlink()
    dfh("resume", "lists-0001", cwd=ran)
    dfh("status", "lists-0001", "--watch", cwd=ran)
    assert json.loads(made.read_text()) == 1
    assert json.loads((folder / "merge/outputs/joined.json").read_text())[2] == 1


def test_the_plan_and_the_page_of_a_wide_join(dfh: Any, make_project: Callable[..., Path]) -> None:
    names = [f"a{n}" for n in range(12)]
    made = [f"  {name}: {{uses: 'ops.py:make', attributes: {{n: 1}}}}\n" for name in names]
    given = ", ".join(f"{name}.value" for name in names)
    text = f"  merge: {{uses: 'ops.py:merge', inputs: {{parts: [{given}]}}}}\n"
    pipeline = f"pipeline: wide\noperations:\n{''.join(made)}{text}outputs: {{j: merge.joined}}\n"
    project = make_project({"ops.py": CODE, "pipeline.yaml": pipeline}, name="wide")
    lines = dfh("plan", cwd=project).stdout.splitlines()
    (merge,) = [line for line in lines if line.startswith("merge ")]
    assert merge.endswith("a0, a1, a10, a11 and 8 more")
    jobs = json.loads(dfh("plan", "--json", cwd=project).stdout)["jobs"]
    (job,) = [job for job in jobs if job["name"] == "merge"]
    assert job["after"] == sorted(names)
    assert [item["port"] for item in job["inputs"]] == [f"parts[{n}]" for n in range(12)]
