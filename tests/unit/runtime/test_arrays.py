"""Job arrays: each task gets its rows, and a gather job makes one value of the parts."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from deepforge_hpc.runtime.base.files import digest_file, digest_path

if TYPE_CHECKING:
    from conftest import Execution

ROWS = 7


def prepare(
    execution: Execution, kind: str, make: str, use: str, read: str, tasks: int = 3
) -> None:
    """Build make -> use (an array over rows, twice) -> read."""
    execution.operation("make", make, outputs={"table": kind})
    execution.operation(
        "use",
        use,
        inputs={"table": "make.table"},
        outputs={"part": kind},
        over="table",
        tasks=tasks,
        parameters=("shard", "shards"),
    )
    execution.operation(
        "again",
        "def operation(part): return __import__('helper').copy(part)",
        inputs={"part": "use.gather.part"},
        outputs={"part": kind},
        over="part",
        tasks=2,
    )
    execution.operation(
        "read",
        read,
        inputs={"part": "use.gather.part", "copied": "again.gather.part"},
        outputs={"sums": "json"},
    )
    execution.run_all("make", "use", "use.gather", "again", "again.gather", "read")


def test_arrays_of_npy(execution: Execution) -> None:
    execution.code("project/helper.py", "copy = lambda part: part")
    prepare(
        execution,
        "npy",
        f"import numpy as np\ndef operation(): return np.arange({ROWS * 2}.).reshape({ROWS}, 2)",
        "def operation(table, shard, shards): return table * 10 + shard",
        "def operation(part, copied): return [part.tolist(), (part == copied).all().item()]",
    )
    expected = np.arange(ROWS * 2.0).reshape(ROWS, 2) * 10
    expected[2:4] += 1
    expected[4:] += 2
    assert execution.value("read", "sums") == [expected.tolist(), True]
    assert [execution.marker("use", task)["outputs"]["part"]["rows"] for task in range(3)] == [
        2,
        2,
        3,
    ]


def test_arrays_of_hdf5(execution: Execution) -> None:
    execution.code(
        "project/helper.py",
        """
        def copy(part):
            return {**{key: part[key][:] for key in ("x", "g/name", "edges")}, "@unit": "mag"}
        """,
    )
    prepare(
        execution,
        "hdf5",
        f"""
        import numpy as np

        def operation():
            return {{
                "x": np.arange({ROWS * 2}.).reshape({ROWS}, 2),
                "g/name": np.array([f"galaxy {{i}}" for i in range({ROWS})]),
                "edges": np.linspace(0, 1, 5),
                "@unit": "mag",
            }}
        """,
        """
        from helper import copy

        def operation(table, shard, shards):
            assert table.mode == "r", table.mode
            assert table.attrs["unit"] == "mag"
            found = copy(table)
            found["x"] = found["x"] + 100 * shard
            return found
        """,
        """
        def operation(part, copied):
            first, last = part["x"][0].tolist(), part["x"][-1].tolist()
            names = [name.decode() for name in part["g/name"][:]]
            same = all((part[key][:] == copied[key][:]).all() for key in ("x", "g/name", "edges"))
            return [part["x"].shape, first, last, names, part["edges"][:].tolist(), bool(same)]
        """,
    )
    shape, first, last, names, edges, same = execution.value("read", "sums")
    assert shape == [ROWS, 2]
    assert (first, last) == ([0.0, 1.0], [212.0, 213.0])
    assert names == [f"galaxy {i}" for i in range(ROWS)]
    assert edges == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert same


def test_arrays_of_json_and_text(execution: Execution) -> None:
    execution.code("project/helper.py", "copy = lambda part: part")
    prepare(
        execution,
        "json",
        f"def operation(): return list(range({ROWS}))",
        "def operation(table, shard, shards): return [[shard, shards, item] for item in table]",
        "def operation(part, copied): return [part, part == copied]",
    )
    part, same = execution.value("read", "sums")
    assert part == [[i * 3 // ROWS if i else 0, 3, i] for i in range(ROWS)] or same
    assert [item[2] for item in part] == list(range(ROWS))
    assert [item[0] for item in part] == [0, 0, 1, 1, 2, 2, 2]


def test_a_mapped_operation_that_returns_no_rows_gathers_one_item_a_task(
    execution: Execution,
) -> None:
    execution.operation("make", "def operation(): return [1, 2, 3, 4]")
    execution.operation(
        "use",
        "def operation(rows): return {'sum': sum(rows)}",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.operation(
        "read", "def operation(sums): return sums", inputs={"sums": "use.gather.result"}
    )
    execution.run_all("make", "use", "use.gather", "read")
    assert execution.value("read") == [{"sum": 3}, {"sum": 7}]


def test_a_gathered_value_names_every_part_in_marker_and_record(execution: Execution) -> None:
    execution.operation("make", "def operation(): return [1, 2, 3]")
    execution.operation(
        "use",
        "def operation(rows): return rows",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.run_all("make", "use", "use.gather")
    entry = execution.marker("use.gather")["outputs"]["result"]
    folder = execution.output("use.gather")
    assert (entry["path"], entry["parts"], entry["rows"]) == ("outputs/result", True, 3)
    assert (entry["sha256"], entry["size"]) == digest_path(folder)
    index = json.loads((folder / "index.json").read_text())
    assert index["schema"] == "dfh/parts/1"
    assert [part["file"] for part in index["parts"]] == ["part-00000.json", "part-00001.json"]
    assert [part["sha256"] for part in index["parts"]] == [
        digest_file(folder / part["file"]) for part in index["parts"]
    ]
    part = execution.output("use", task=0)
    assert part.samefile(folder / "part-00000.json")  # no second copy of the data
    record = next(item for item in execution.records() if item["job"] == "use.gather")
    assert [(used["by"]["task"], used["by"]["record"]) for used in record["inputs"]] == [
        (task, execution.marker("use", task)["record"]) for task in range(2)
    ]
    task = next(item for item in execution.records() if item["task"] == 1)
    assert task["job"] == "use"
    assert (
        task["result_key"] != next(i for i in execution.records() if i["task"] == 0)["result_key"]
    )


def test_a_damaged_part_is_named_and_not_gathered(execution: Execution) -> None:
    execution.operation("make", "def operation(): return [1, 2, 3]")
    execution.operation(
        "use",
        "def operation(rows): return rows",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.run_all("make", "use")
    part = execution.output("use", task=1)
    good = part.read_text()
    part.write_text(good.replace("3", "4"))
    assert execution.run("use.gather").returncode == 1
    reason = execution.state("use.gather")["reason"]
    assert "jobs/use/task-00001/outputs/result.json, made by use task 1, is damaged" in reason
    part.unlink()
    assert execution.run("use.gather").returncode == 1
    assert "is missing" in execution.state("use.gather")["reason"]
    part.write_text(good)
    execution.run_all("use.gather")


def test_rows_that_only_a_marker_says_are_not_believed(execution: Execution) -> None:
    """The tasks of another array get their rows by them: some would be lost without a word."""
    execution.operation("make", "def operation(): return [1, 2, 3]")
    execution.operation(
        "use",
        "def operation(rows): return rows",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.run_all("make", "use")
    folder = execution.folder("use", 1)
    good = folder.success.read_text()
    folder.success.chmod(0o644)
    folder.success.write_text(good.replace('"rows":2', '"rows":1'))
    assert execution.run("use.gather").returncode == 1
    state = execution.state("use.gather")
    reason = "The success marker of use task 1 says that result has 1 rows, and its record 2."
    assert (state["reason"], state["hint"].partition(" ")[0]) == (reason, "Make")
    folder.success.write_text(good)
    execution.run_all("use.gather")


def test_a_gather_job_reads_large_parts_if_all_is_to_be_verified(execution: Execution) -> None:
    execution.operation("make", "def operation(): return [1, 2]")
    execution.operation(
        "use",
        "def operation(rows, shard): return '.' * ((64 << 20) + 1 if shard else 1)",
        inputs={"rows": "make.result"},
        outputs={"part": "any"},
        over="rows",
        tasks=2,
        parameters=("shard",),
    )
    execution.run_all("make", "use")
    part = execution.output("use", "part", task=1)
    made = part.stat()
    part.chmod(0o644)
    with part.open("r+b") as stream:
        stream.write(b"!")
    os.utime(part, ns=(made.st_atime_ns, made.st_mtime_ns))
    assert execution.run("use.gather", DFH_VERIFY="full").returncode == 1
    reason = execution.state("use.gather")["reason"]
    assert "made by use task 1, is damaged: its content is not what was made" in reason
    execution.run_all("use.gather")  # by size and time, as far as nobody asks for more


def test_a_gather_job_waits_for_every_task(execution: Execution) -> None:
    execution.operation("make", "def operation(): return [1, 2, 3]")
    execution.operation(
        "use",
        "def operation(rows): return rows",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.run_all("make")
    assert execution.run("use", 0).returncode == 0
    assert execution.run("use.gather").returncode == 86
    assert "use task 1, which has no success marker" in execution.state("use.gather")["reason"]


def test_parts_of_several_formats_are_no_value(execution: Execution) -> None:
    execution.operation("make", "def operation(): return [1, 2, 3]")
    execution.operation(
        "use",
        "def operation(rows, shard): return 'text' if shard else 5",
        inputs={"rows": "make.result"},
        outputs={"part": "any"},
        over="rows",
        tasks=2,
        parameters=("shard",),
    )
    execution.run_all("make", "use")
    assert execution.run("use.gather").returncode == 1
    state = execution.state("use.gather")
    assert "are of format json, text" in state["reason"]
    assert "types:" in state["hint"]


@pytest.mark.parametrize(
    ("value", "said", "todo"),
    [
        (
            "[1]",
            "has fewer rows (1) than the array has tasks (2).",
            "Set `shards:` under `map:` to 1",
        ),
        ("[]", "has no rows, so there is nothing to share out.", "See what made it"),
        ("{'a': 1}", "read as json: only a JSON list has rows, and this is a dict", "`type:`"),
    ],
)
def test_an_input_that_cannot_be_shared_out(
    execution: Execution, value: str, said: str, todo: str
) -> None:
    execution.operation("make", f"def operation(): return {value}")
    execution.operation(
        "use",
        "def operation(rows): return rows",
        inputs={"rows": "make.result"},
        over="rows",
        tasks=2,
    )
    execution.run_all("make")
    for task in (0, 1):  # each of them: half an array is of no use
        assert execution.run("use", task).returncode == 1
        state = execution.state("use", task)
        assert said in state["reason"]
        assert todo in state["hint"]
        assert "resume" not in state["hint"]


def test_a_task_reads_no_more_than_its_rows(execution: Execution) -> None:
    path = execution.project / "big.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros((4000, 4096))  # 125 MiB
    execution.external("table", path, "hdf5")
    execution.operation(
        "use",
        """
        from pathlib import Path

        def operation(table):
            rows = len(table["x"][:])
            status = Path("/proc/self/status").read_text().splitlines()
            return [rows, next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))]
        """,
        inputs={"table": "table"},
        over="table",
        tasks=40,
    )
    assert execution.run("use", 7).returncode == 0
    rows, kib = execution.value("use", task=7)
    assert rows == 100
    assert kib < 100 << 10
