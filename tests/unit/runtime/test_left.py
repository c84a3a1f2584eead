"""Files in the working folder are named and kept, however the job ends; what was returned is not."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.job import left
from deepforge_hpc.runtime.rank.left import carried, carry, files_below
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.read import read_files

if TYPE_CHECKING:
    from conftest import Execution

WRITE = """
import os
from pathlib import Path

def operation():
    os.makedirs("deep/er")
    Path("deep/er/model.bin").write_bytes(b"m" * 10)
    Path("notes.txt").write_text("note")
    Path("out.dat").write_text("out")
    os.mkdir("tree"); Path("tree/leaf").write_text("leaf")
    os.symlink("/etc/passwd", "link")
    {end}
"""


@pytest.mark.parametrize("local", [True, False])
def test_what_was_not_returned_is_named_and_kept(
    execution: Execution, local: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = WRITE.format(end="out, tree = Path('out.dat'), Path('tree'); return out, tree")
    execution.operation("job", text, outputs={"out": "file", "tree": "directory"}, returns="tuple")
    given = {"TMPDIR": str(tmp_path_factory.mktemp("node"))} if local else {}
    done = execution.run("job", **given)
    assert done.returncode == 0, done.stderr
    sentence = (
        "left 3 files (25 B) in the working folder: deep/er/model.bin, link, notes.txt; "
        "2 of them kept in jobs/job/left"
    )
    assert execution.state("job")["left"].replace("(24 B)", "(25 B)") == sentence
    assert f"This job {execution.state('job')['left']}" in done.stderr
    left = execution.folder("job").left
    found = {path.relative_to(left).as_posix() for path in left.rglob("*") if path.is_file()}
    assert found == {"deep/er/model.bin", "notes.txt"}
    assert set(execution.marker("job")["outputs"]) == {"out", "tree"}
    assert execution.leftovers() == []
    (notice,) = [
        notice
        for notice in build(read_files(execution.root), None, now=0).warnings
        if notice.kind == "files_left"
    ]
    assert notice.text.startswith("job left 3 files")
    assert "left 3 files" in (execution.root / "report.html").read_text()


def test_a_rank_that_leaves_without_a_word_keeps_them_too(execution: Execution) -> None:
    code = "import os\ndef operation():\n    open('out.dat', 'w').write('out')\n    os._exit(0)\n"
    execution.operation("job", code)
    assert execution.run("job").returncode == 1
    assert "left 1 file" in execution.state("job")["left"]
    assert (execution.folder("job").left / "out.dat").read_text() == "out"


def test_a_job_that_fails_keeps_them_too(execution: Execution) -> None:
    execution.operation("job", WRITE.format(end="raise ValueError('no')"))
    assert execution.run("job").returncode == 1
    assert "left 5 files" in execution.state("job")["left"]
    assert (execution.folder("job").left / "out.dat").read_text() == "out"


def test_there_is_a_limit_to_what_is_kept(execution: Execution) -> None:
    text = """
    from pathlib import Path

    def operation():
        Path("a-large").write_bytes(bytes(11 << 20))
        for number in range(120):
            Path(f"b-{number:03d}").touch()
        return 1
    """
    execution.operation("job", text)
    assert execution.run("job").returncode == 0
    assert (
        "a-large, b-000, b-001, b-002 and 117 more; 100 of them kept"
        in execution.state("job")["left"]
    )
    names = sorted(path.name for path in execution.folder("job").left.iterdir())
    assert names == [f"b-{number:03d}" for number in range(100)]


def test_what_is_kept_has_room_together_and_is_copied_where_it_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    for name, size in {"a": 6 << 20, "b": 6 << 20, "c": 5}.items():
        with (tmp_path / "scratch" / name).open("wb") as stream:
            stream.truncate(size)
    (tmp_path / "left").mkdir()
    (tmp_path / "left/old").touch()

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "rename", refuse)
    places = SimpleNamespace(left=tmp_path / "left", root=tmp_path)
    context: Any = SimpleNamespace(attempt=2, folder=places, layout=places, work=tmp_path)
    said = left.keep(context, tmp_path / "scratch")
    kept = {path.name: path.stat().st_size for path in (tmp_path / "left").iterdir()}
    assert kept == {"a": 6 << 20, "c": 5}  # and nothing of an earlier attempt
    assert "left 3 files" in said
    assert "2 of them kept in left" in said
    assert len(files_below(str(tmp_path / "left"), most=1)) == 1


def test_a_job_that_leaves_nothing_says_nothing(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    assert execution.run("job").returncode == 0
    assert "left" not in execution.state("job")
    assert not execution.folder("job").left.exists()


def test_strange_names_are_shown_without_harm(execution: Execution) -> None:
    text = """
    def operation():
        for name in (b"a\\xff", b"b\\x1b[31m", b"c\\n"):
            open(name, "w").close()
        return 1
    """
    execution.operation("job", text)
    assert execution.run("job").returncode == 0
    said = execution.state("job")["left"]
    assert "left 3 files" in said
    assert said.isprintable()
    json.dumps(said).encode()
    assert len(list(execution.folder("job").left.iterdir())) == 3


def test_tasks_of_an_array_are_told_once(execution: Execution) -> None:
    text = "def operation(x):\n    open('a', 'w').close()\n    return x\n"
    execution.operation("first", "def operation(): return [1, 2, 3]")
    execution.operation("job", text, inputs={"x": "first.result"}, tasks=3, over="x")
    execution.run_all("first", "job")
    (notice,) = build(read_files(execution.root), None, now=0).warnings
    assert notice.text.endswith("kept in jobs/job/task-00000/left, as did 2 more of its tasks")


def test_nodes_share_the_limits_and_carry_what_is_new(tmp_path: Path) -> None:
    scratch, work = tmp_path / "scratch", tmp_path / "work"
    scratch.mkdir()
    work.mkdir()
    for number in range(60):
        (scratch / f"{number:02d}").write_text("first")
    job = SimpleNamespace(resources=SimpleNamespace(nodes=3))
    spec: Any = SimpleNamespace(home="another", work=str(work), job=job)
    host = os.uname().nodename
    carry(spec, scratch)
    copies = work / "left" / host
    assert sorted(path.name for path in copies.iterdir()) == [f"{n:02d}" for n in range(50)]
    inodes = {path.name: path.stat().st_ino for path in copies.iterdir()}
    (scratch / "07").write_text("second rank")  # it ends later, and has written more
    carry(spec, scratch)
    assert (copies / "07").read_text() == "second rank"
    assert inodes["08"] == (copies / "08").stat().st_ino
    assert len(carried(work)) == 60
    assert carried(work)[f"{host}/07"] == (copies / "07", 11)


def test_nothing_is_carried_at_home_or_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    job = SimpleNamespace(resources=SimpleNamespace(nodes=2))
    for home in ("", os.uname().nodename, "another"):
        spec: Any = SimpleNamespace(home=home, work=str(tmp_path / "work"), job=job)
        carry(spec, tmp_path / "scratch")
        if home != "another":
            carry(spec, tmp_path)
    carry(spec, tmp_path / "none")
    assert not (tmp_path / "work").exists()
