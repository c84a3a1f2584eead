"""An operation that gets a list of outputs: in order, by name or by position, each with its edge."""

from __future__ import annotations

import resource
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from deepforge_hpc.runtime.base.files import digest_file

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execution

NUMBER = "def operation(n): return n"
JOIN = """
class operation:
    def __init__(self, scale):
        self.scale = scale

    def execute(self, first, *parts, last):
        return [self.scale, first, last, *parts]
"""
OPEN_FILES = 128


def numbers(execution: Execution, count: int) -> list[str]:
    """Add jobs that return 0, 1, ...; return their outputs."""
    for n in range(count):
        execution.operation(f"n{n}", NUMBER, attributes={"n": n})
    return [f"n{n}.result" for n in range(count)]


def test_the_members_come_in_the_order_of_the_list(execution: Execution) -> None:
    made = numbers(execution, 12)
    given = [*made[::-1], made[3], made[3]]
    text = "def operation(parts, first): return [first, type(parts).__name__, *parts]"
    execution.operation("join", text, inputs={"parts": given, "first": made[1]})
    run(execution)
    assert execution.value("join") == [1, "list", *range(11, -1, -1), 3, 3]


def run(execution: Execution) -> None:
    execution.run_all(*(job.name for job in execution.jobs))


@pytest.mark.parametrize(
    ("text", "kind", "star", "expected"),
    [
        ("def operation(*parts): return list(parts)", "function", ("parts",), [2, 0, 1]),
        (
            "def operation(scale, *parts, more=0): return [scale, more, *parts]",
            "function",
            ("scale", "parts"),
            [7, 0, 2, 0, 1],
        ),
        (
            JOIN,
            "class",
            ("first", "parts"),
            [7, 0, 1, 2, 0, 1],
        ),
    ],
)
def test_a_star_gets_them_by_position(
    execution: Execution, text: str, kind: str, star: tuple[str, ...], expected: list[int]
) -> None:
    made = numbers(execution, 3)
    inputs: dict[str, str | list[str]] = {"parts": [made[2], made[0], made[1]]}
    if kind == "class":
        inputs |= {"first": made[0], "last": made[1]}
    attributes = {"scale": 7} if "scale" in text else {}
    execution.operation("join", text, inputs=inputs, attributes=attributes, kind=kind, star=star)
    run(execution)
    assert execution.value("join") == expected


def test_a_list_of_one_is_a_list(execution: Execution) -> None:
    made = numbers(execution, 1)
    execution.operation("join", "def operation(parts): return parts", inputs={"parts": made})
    run(execution)
    assert execution.value("join") == [0]


def test_an_array_is_one_member_and_so_is_a_file(execution: Execution, tmp_path: Path) -> None:
    rows, extra = tmp_path / "rows.npy", tmp_path / "extra.npy"
    np.save(rows, np.arange(6))
    np.save(extra, np.full(2, 9))
    execution.external("rows", rows, "npy")
    execution.external("extra", extra, "npy", known=True)
    execution.operation(
        "twice",
        "def operation(rows): return 2 * rows",
        inputs={"rows": "rows"},
        outputs={"result": "npy"},
        tasks=3,
        over="rows",
    )
    text = "def operation(parts): return [part.tolist() for part in parts]"
    given = ["extra", "twice.gather.result", "rows"]
    execution.operation("join", text, inputs={"parts": given})
    execution.freeze()
    for task in range(3):
        assert execution.run("twice", task).returncode == 0
    for name in ("twice.gather", "join"):
        done = execution.run(name)
        assert done.returncode == 0, done.stderr
    assert execution.value("join") == [[9, 9], [0, 2, 4, 6, 8, 10], [0, 1, 2, 3, 4, 5]]


def test_each_member_has_its_edge_in_the_record(execution: Execution) -> None:
    made = numbers(execution, 3)
    text = "def operation(parts): return sum(parts)"
    execution.operation("join", text, inputs={"parts": [made[2], made[0], made[2]]})
    run(execution)
    record = next(item for item in execution.records() if item["job"] == "join")
    assert [(item["port"], item["by"]["job"]) for item in record["inputs"]] == [
        ("parts[0]", "n2"),
        ("parts[1]", "n0"),
        ("parts[2]", "n2"),
    ]
    sums = {f"n{n}": digest_file(execution.output(f"n{n}")) for n in range(3)}
    assert [item["sha256"] for item in record["inputs"]] == [sums["n2"], sums["n0"], sums["n2"]]


def test_the_order_is_part_of_the_result_key(execution: Execution) -> None:
    made = numbers(execution, 2)
    text = "def operation(parts): return len(parts)"
    execution.operation("join", text, inputs={"parts": made})
    execution.operation("other", text, inputs={"parts": made[::-1]})
    execution.operation("same", text, inputs={"parts": made})
    run(execution)
    keys = {item["job"]: item["result_key"] for item in execution.records()}
    assert keys["join"] == keys["same"] != keys["other"]


def test_a_damaged_member_is_named_by_its_place(execution: Execution) -> None:
    made = numbers(execution, 3)
    execution.operation("join", "def operation(parts): return 1", inputs={"parts": made})
    execution.run_all("n0", "n1", "n2")
    path = execution.output("n1")
    path.chmod(0o644)
    path.write_text("[1, 2, 3]")
    assert execution.run("join").returncode != 0
    reason = execution.state("join")["reason"]
    assert reason.startswith("Input parts[1] of join: jobs/n1/outputs/result.json, made by n1, ")


@pytest.fixture
def many_arrays(execution: Execution, tmp_path: Path) -> Execution:
    """Return an execution whose job `join` reads twice as many arrays as OPEN_FILES."""
    given = []
    for n in range(2 * OPEN_FILES):
        path = tmp_path / f"table{n}.npy"
        np.save(path, np.array([n]))
        execution.external(f"table{n}", path, "npy", known=True)
        given.append(f"table{n}")
    text = "def operation(parts): return [int(part[0]) for part in parts]"
    execution.operation("join", text, inputs={"parts": given})
    execution.freeze()
    return execution


def test_more_arrays_than_a_shell_may_open_files(many_arrays: Execution) -> None:
    execution = many_arrays
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    try:
        done = execution.run("join")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert done.returncode == 0, execution.state("join")
    assert execution.value("join") == list(range(2 * OPEN_FILES))


def test_more_arrays_than_a_machine_may_open_files(many_arrays: Execution) -> None:
    argv = ["prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}", *many_arrays.argv("join")]
    done = subprocess.run(argv, env=many_arrays.environ(), capture_output=True, check=False)
    assert done.returncode != 0
    state = many_arrays.state("join")
    assert "Too many open files" in state["reason"]
    assert f"may have {OPEN_FILES} files open at once here (ulimit -n)" in state["hint"]
