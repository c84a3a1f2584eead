"""One output that cannot be saved costs neither the others nor the hours that made it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.base.layout import RESCUE_FORMATS, RESCUE_INDEX
from deepforge_hpc.runtime.rank import rescue
from deepforge_hpc.runtime.rank.messages import Rescue, TakenUp
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.ends import write_ends
from deepforge_hpc.runtime.state.read import read_files

if TYPE_CHECKING:
    from conftest import Execution

MAKE = """
import os
from pathlib import Path

class Model:
    weights = 1
    def __init__(self, score): self.score = score

def operation():
    with open(os.environ["RUNS"], "a") as log:
        log.write("ran\\n")
    numbers, model, note = [1, 2, 3], Model(0.5), "fine"
    return numbers, model, note
"""


def start(execution: Execution, text: str = MAKE, **outputs: str) -> None:
    outputs = outputs or {"numbers": "json", "model": "any", "note": "text"}
    execution.operation("job", text, outputs=outputs, returns="tuple")
    done = execution.run("job", RUNS=str(execution.project / "runs"))
    assert done.returncode == 1, done.stderr
    assert not execution.folder("job").success.exists()


def again(execution: Execution, **formats: str) -> int:
    if formats:
        publish_json(execution.folder("job").rescue / RESCUE_FORMATS, formats)
    return execution.run("job", attempt=2, RUNS=str(execution.project / "runs")).returncode


def runs(execution: Execution) -> int:
    return len((execution.project / "runs").read_text().splitlines())


def test_all_that_can_be_kept_is(execution: Execution) -> None:
    start(execution)
    folder = execution.folder("job").rescue
    assert (folder / "outputs" / "note.txt").read_text() == "fine"
    assert json.loads((folder / "outputs" / "numbers.json").read_bytes()) == [1, 2, 3]
    assert (folder / "model.pickle").stat().st_size > 0
    state = execution.state("job")
    assert state["reason"].startswith(
        "Output model cannot be saved: no format fits by itself: value is a "
    )
    for part in (
        "Name a format for model under `types:` (",
        "pickle, which takes most objects).",
        "jobs/job/rescue keeps note, numbers, model; then dfh submit ",
        " saves what it keeps, without a second run unless you edit its code.",
    ):
        assert part in state["hint"]
    assert state["again"] is False  # the frozen plan names no format
    assert execution.leftovers() == []


def test_a_format_named_later_takes_up_what_was_kept(execution: Execution) -> None:
    start(execution)
    assert again(execution, model="pickle") == 0
    assert runs(execution) == 1
    assert execution.value("job", "numbers") == [1, 2, 3]
    assert execution.marker("job")["outputs"]["model"]["format"] == "pickle"
    assert not execution.folder("job").rescue.exists()
    record = next(item for item in execution.records() if item["status"] == "succeeded")
    assert record["reason"].startswith("Made by attempt 1 of demo-0001, which could not save it")


@pytest.mark.parametrize(
    ("change", "formats"),
    [
        ({"value_key": "sha256:0"}, {"model": "pickle"}),
        ({"lost": {"table": "no pickle"}}, {"model": "pickle"}),
        ({}, {"model": "pickle", "table": "pickle"}),
    ],
)
def test_of_another_plan_or_in_part_it_is_not_taken_up(
    execution: Execution, change: dict[str, Any], formats: dict[str, str]
) -> None:
    start(execution)
    index = execution.folder("job").rescue / RESCUE_INDEX
    publish_json(index, {**json.loads(index.read_bytes()), **change})
    assert again(execution, **formats) == 1
    assert runs(execution) == 2


def test_without_a_format_the_operation_runs_again(execution: Execution) -> None:
    start(execution)
    assert again(execution) == 1
    assert runs(execution) == 2


def test_a_format_that_does_not_fit_either_loses_nothing(execution: Execution) -> None:
    start(execution)
    assert again(execution, model="hdf5") == 1
    assert "format hdf5 expects" in execution.state("job")["reason"]
    folder = execution.folder("job").rescue
    assert json.loads((folder / RESCUE_INDEX).read_bytes())["attempt"] == 2
    publish_json(folder / RESCUE_FORMATS, {"model": "pickle"})
    done = execution.run("job", attempt=3, RUNS=str(execution.project / "runs"))
    assert done.returncode == 0, done.stderr
    assert runs(execution) == 1


@pytest.mark.parametrize("name", ["model.pickle", "outputs/note.txt"])
def test_what_was_changed_since_is_not_loaded(execution: Execution, name: str) -> None:
    start(execution)
    with (execution.folder("job").rescue / name).open("ab") as stream:
        stream.write(b"x")
    assert again(execution, model="pickle") == 1
    assert f"cannot be read again: {name}: it was changed" in execution.state("job")["reason"]


def test_what_no_pickle_can_hold_is_lost_and_the_rest_is_kept(execution: Execution) -> None:
    text = "def operation():\n    a, b = (lambda: 0), 5\n    return a, b\n"
    start(execution, text, a="any", b="json")
    state = execution.state("job")
    told = (
        "Return another value for a: no format keeps this one, nor does pickle. Then submit again."
    )
    assert state["hint"].startswith(f"{told} jobs/job/rescue keeps b; a could not be kept (")
    # Nothing takes up what lies in rescue/ without the rest.
    assert state["hint"].endswith(
        "), so the next submission runs it again and makes all of them anew."
    )
    assert "types:" not in state["hint"]
    assert (execution.folder("job").rescue / "outputs" / "b.json").is_file()
    assert again(execution, a="pickle") == 1  # it runs again, for nothing else can make it
    assert state["again"] is False


def test_a_value_that_breaks_its_promise_does_not_cost_the_others(execution: Execution) -> None:
    text = "def operation():\n    a, b = None, 5\n    return a, b\n"
    job = execution.operation("job", text, outputs={"a": "json", "b": "json"}, returns="tuple")
    port = job.outputs[0]._replace(annotation="dict", types=("dict",), optional=False)
    execution.jobs[0] = job._replace(outputs=(port, job.outputs[1]))
    assert execution.run("job").returncode == 1
    assert execution.state("job")["reason"] == (
        "Output a of job (operation) is None, and its annotation is dict."
    )
    told = (
        "To keep it as it is, name a format for a under `types:`. jobs/job/rescue keeps b, a; then"
    )
    assert told in execution.state("job")["hint"]
    publish_json(execution.folder("job").rescue / RESCUE_FORMATS, {"a": "json"})
    assert execution.run("job", attempt=2).returncode == 0
    assert execution.value("job", "a") is None


KILLED = """
import os, signal, sys
from dfh_runtime.job.destination import Destination
from dfh_runtime.__main__ import main

publish = Destination.publish

def half(self, record):
    publish(self._replace(copies=self.copies[:{copies}]), record)
    os.kill(os.getpid(), signal.SIGKILL)

Destination.publish = half
sys.exit(main(sys.argv[1:]))
"""
TWO = """
import os

def operation():
    with open(os.environ["RUNS"], "a") as log:
        log.write("ran\\n")
    number, note = 1, "fine"
    return number, note
"""


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_a_kill_while_copies_are_laid_costs_no_run(execution: Execution, copies: int) -> None:
    """The next attempt lays all of them, of one and the same run."""
    outputs = {"number": "json", "note": "text"}
    execution.operation("job", TWO, outputs=outputs, returns="tuple")
    places = [execution.project / "to" / name for name in ("number.json", "note.txt")]
    for name, place in zip(outputs, places, strict=True):
        execution.declare(name, f"job.{name}", place)
    execution.freeze()
    _, _, _, *words = execution.argv("job")
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(copies=copies), *words],
        cwd=execution.root,
        env=execution.environ(RUNS=str(execution.project / "runs")),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert sum(place.exists() for place in places) == copies
    publish_json(execution.folder("job").rescue / RESCUE_FORMATS, {})  # as `dfh resume` does
    assert again(execution) == 0
    assert runs(execution) == 1
    assert [place.read_text().strip() for place in places] == ["1", "fine"]
    assert not execution.folder("job").rescue.exists()
    assert sorted(path.name for path in execution.folder("job").outputs.iterdir()) == [
        "note.txt",
        "number.json",
    ]


SIGNALLED = """
import os, signal

class Signals:
    def __reduce__(self):
        with open(os.environ["RUNS"], "a") as log:
            log.write("ran\\n")
        os.kill(os.getpid() if "KILL" in "{name}" else os.getppid(), signal.{name})
        return list, ()

def operation():
    first, signals, last = 1, Signals(), "fine"
    return first, signals, last
"""
SAVED = {"first": "json", "signals": "pickle", "last": "text"}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_what_is_made_is_saved_when_the_job_is_asked_to_stop(
    execution: Execution, name: str
) -> None:
    text = SIGNALLED.format(name=name)
    execution.operation("job", text, outputs=SAVED, returns="tuple")
    done = execution.run("job", RUNS=str(execution.project / "runs"))
    assert done.returncode == 0, done.stderr
    assert execution.state("job")["state"] == "succeeded"
    assert execution.marker("job")["outputs"].keys() == SAVED.keys()


def test_a_kill_while_outputs_are_saved_leaves_none_and_the_next_attempt_makes_all(
    execution: Execution,
) -> None:
    start(execution, SIGNALLED.format(name="SIGKILL"), **SAVED)
    state, folder = execution.state("job"), execution.folder("job")
    assert state["state"] == "failed"
    assert state["reason"].startswith("The operation was killed from outside (SIGKILL)")
    assert not folder.outputs.exists()
    assert not folder.rescue.exists()
    assert execution.leftovers() == []
    assert again(execution) == 1
    assert runs(execution) == 2


KILLED_READING = """
import os, signal, sys
from dfh_runtime.job import publish
from dfh_runtime.__main__ import main

given = publish.{step}
left = [{calls}]

def killed(*words):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return given(*words)

publish.{step} = killed
sys.exit(main(sys.argv[1:]))
"""
LARGE = """
import os
from pathlib import Path

def operation():
    with open(os.environ["RUNS"], "a") as log:
        log.write("ran\\n")
    number, blob, many = 1, Path("blob.bin"), Path("many")
    with blob.open("wb") as stream:
        stream.truncate(65 << 20)
    many.mkdir()
    (many / "one").write_text("1")
    return number, blob, many
"""


def killed_reading(execution: Execution, step: str, calls: int) -> None:
    outputs = {"number": "json", "blob": "file", "many": "directory"}
    execution.operation("job", LARGE, outputs=outputs, returns="tuple")
    execution.freeze()
    _, _, _, *words = execution.argv("job")
    done = subprocess.run(
        [sys.executable, "-c", KILLED_READING.format(step=step, calls=calls), *words],
        cwd=execution.root,
        env=execution.environ(RUNS=str(execution.project / "runs")),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    write_ends(
        build(read_files(execution.root), None, now=0)
    )  # the final job takes work folders away
    publish_json(execution.folder("job").rescue / RESCUE_FORMATS, {})  # as `dfh resume` does


@pytest.mark.parametrize(("step", "calls"), [("_verify", 0), ("verify", 1), ("_place", 1)])
def test_a_kill_while_large_outputs_are_read_costs_no_run(
    execution: Execution, step: str, calls: int
) -> None:
    killed_reading(execution, step, calls)
    assert again(execution) == 0
    assert runs(execution) == 1
    folder = execution.folder("job")
    assert (folder.outputs / "blob.bin").stat().st_size == 65 << 20
    assert (execution.value("job", "number"), (folder.outputs / "many/one").read_text()) == (1, "1")
    assert not folder.rescue.exists()


def test_what_was_not_read_yet_is_not_taken_up_once_it_was_changed(execution: Execution) -> None:
    killed_reading(execution, "verify", 0)
    blob = execution.folder("job").rescue / "outputs" / "blob.bin"
    with blob.open("r+b") as stream:
        stream.write(b"x")
    assert again(execution) == 1
    assert "blob.bin: it was changed since it was written" in execution.state("job")["reason"]


def test_what_was_not_read_yet_and_is_gone_is_made_again(execution: Execution) -> None:
    killed_reading(execution, "verify", 0)
    (execution.folder("job").rescue / "outputs" / "blob.bin").unlink()
    assert again(execution) == 0
    assert runs(execution) == 2


def test_large_outputs_that_could_not_be_published_are_kept(execution: Execution) -> None:
    outputs = {"number": "json", "blob": "file", "many": "directory"}
    execution.operation("job", LARGE, outputs=outputs, returns="tuple")
    blocked = execution.folder("job").outputs
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    assert execution.run("job", RUNS=str(execution.project / "runs")).returncode == 89
    blocked.unlink()
    publish_json(execution.folder("job").rescue / RESCUE_FORMATS, {})
    assert again(execution) == 0
    assert runs(execution) == 1
    assert execution.value("job", "number") == 1


def test_by_hand_nothing_is_moved(execution: Execution) -> None:
    execution.operation("job", MAKE, outputs={"a": "json", "b": "any", "c": "any"}, returns="tuple")
    done = execution.run("job", attempt=0, RUNS=str(execution.project / "runs"))
    assert done.returncode == 1
    assert not execution.folder("job").rescue.exists()


@pytest.mark.parametrize(
    ("value", "words", "end"),
    [
        (
            "Odd()",
            "None of the formats that an array can have keeps a: return arrays, tables, text",
            "rescue keeps a; no submission takes up a, which `pickle.load` reads.",
        ),
        (
            "{'b': 1j}",
            "Name a format for a under `types:` (hdf5 or npz).",
            "without a second run unless you edit its code.",
        ),
    ],
)
def test_of_an_array_the_formats_are_named_that_join_and_keep_it(
    execution: Execution, value: str, words: str, end: str
) -> None:
    text = f"class Odd: pass\n\ndef operation(rows):\n    return {value}\n"
    data = execution.project / "rows.json"
    data.write_text("[1, 2]")
    execution.external("rows", data, "json")
    given = {"rows": "rows"}
    execution.operation("job", text, outputs={"a": "any"}, inputs=given, tasks=2, over="rows")
    assert execution.run("job", task=0).returncode == 1
    hint = json.loads(execution.folder("job", 0).state.read_bytes())["hint"]
    assert words in hint
    assert hint.endswith(end)
    assert [path.name for path in execution.folder("job", 0).rescue.glob("trial*")] == []


@pytest.mark.parametrize("kind", ["any", "npy"])
def test_the_format_that_has_just_failed_is_not_named(execution: Execution, kind: str) -> None:
    text = "import numpy\n\ndef operation():\n    return numpy.array([{}, None], dtype=object)\n"
    execution.operation("job", text, outputs={"a": kind})
    assert execution.run("job").returncode == 1
    hint = execution.state("job")["hint"]
    assert "(json or pickle, which takes most objects)." in hint.replace("joblib, ", "")


def test_only_formats_that_keep_the_value_are_named_once_for_values_alike(
    execution: Execution,
) -> None:
    text = """\
    def operation():
        a, b, c, d = {1: 2}, {3: 4}, {"x": 1j}, 1j
        return a, b, c, d
    """
    start(execution, text, a="json", b="json", c="json", d="json")
    hint = execution.state("job")["hint"].replace("joblib or ", "").replace("joblib, ", "")
    assert "Name a format for a, b, d under `types:` (pickle, which takes most objects)." in hint
    assert "for c under `types:` (hdf5, npz or pickle, which takes most objects)." in hint
    assert hint.count("Name a format") == 2
    assert [path.name for path in execution.folder("job").rescue.glob("trial*")] == []


def test_a_large_value_is_not_written_by_every_format(execution: Execution) -> None:
    text = "def operation(): return {1: bytes(65 << 20)}"
    execution.operation("job", text, outputs={"a": "json"})
    assert execution.run("job").returncode == 1
    told = "Name a format for a under `types:` (pickle, which takes most objects)."
    assert told in execution.state("job")["hint"]


def test_a_path_that_is_no_output_is_told_the_formats_of_paths(execution: Execution) -> None:
    text = "from pathlib import Path\n\ndef operation():\n    return Path('x')\n"
    execution.operation("job", text, outputs={"a": "json"})
    assert execution.run("job").returncode == 1
    told = (
        "Name file or directory for a under `types:`, or return what is in it. Then submit again."
    )
    assert execution.state("job")["hint"] == told


def test_a_path_where_nothing_is_does_not_cost_the_others(execution: Execution) -> None:
    text = """\
    from pathlib import Path

    def operation():
        note, table = "fine", Path("missing.h5")
        return note, table
    """
    start(execution, text, note="text", table="hdf5")
    state = execution.state("job")
    told = "Output table cannot be saved: No such file or directory: missing.h5."
    assert state["reason"] == told
    assert "Return what is there and can be read. Then submit again." in state["hint"]
    folder = execution.folder("job").rescue
    assert (folder / "outputs" / "note.txt").read_text() == "fine"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize(("owner", "told"), [(0, ""), (1, "it belongs to another user")])
def test_whose_a_pickle_is_is_judged_of_what_is_open(tmp_path: Path, owner: int, told: str) -> None:
    """Between a look at its name and this another user may have put a file in its place."""
    (tmp_path / "model.pickle").write_bytes(pickle.dumps([1]))
    os.chown(tmp_path / "model.pickle", owner, owner)
    made = Rescue(1, {}, {"model": "model.pickle"}, {}, {})
    taken = TakenUp(str(tmp_path), made, {})
    spec: Any = SimpleNamespace(execution="demo-0001")
    if not told:
        assert rescue._load(spec, taken, "model.pickle") == [1]
        return
    with pytest.raises(JobError) as caught:
        rescue._load(spec, taken, "model.pickle")
    assert told in caught.value.reason
