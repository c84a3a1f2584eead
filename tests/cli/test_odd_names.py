"""Whatever a person gives for a path or an id, no command of `dfh` takes it for a bug of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from deepforge_hpc.cli.main import dfh, main

PIPELINE = "pipeline: mine\noperations: {one: {uses: 'operations.py:one'}}\n"
OPERATION = "def one() -> int:\n    number = 1\n    return number\n"
NAMES = (
    *("", ".", "..", "./", "../..", "/", "//", "~", "~nobody/x", "-", " ", "\n", "*", "0", "\u202e", "٣"),
    *("a" * 300, "a/" * 3000, "é" * 200, "9" * 25, "sha256:", "\udcff/x", "\udcff", "a\udcff.keras"),
    *("mine-0001/\udcff", "mine-0001/" + "a" * 300, "mine-0001/one[99999999999999]", "mine-0001//"),
    *("mine-0001/..", "latest/..", "mine-0001/one[-1]", "/dev/null", "/dev/zero", "/proc/self/mem"),
    *("odd/fifo", "odd/dangling", "odd/loop", "odd/loop/x", "odd/empty", "odd/x\udcff", "odd/x.json"),
    *("odd/noise.keras", "odd/zero", "odd/to_folder", "odd/to_folder/..", "odd/to_jobs/..", "odd/d\udcff"),
    *("odd/.mine.json.dfh-tmp-1", "executions", "executions/mine-0001/plan.json/x", "executions/mine-0001/code"),
)  # fmt: skip
NO_UTF8 = "odd\udcff"
LEFT_OUT = {"render", "submit", "run", "probe"}
"""They write, or talk to a scheduler, and take what `check` or `show` take."""


def _commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the commands that take an argument."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))
        elif command and any(isinstance(one, click.Argument) for one in command.params):
            yield (*words, name)


COMMANDS = [words for words in _commands(dfh) if words[-1] not in LEFT_OUT]


@pytest.fixture
def project(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    project = make_project({"pipeline.yaml": PIPELINE, "operations.py": OPERATION})
    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.parent / "config"))
    return project


def _odd_files(folder: Path, jobs: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    targets = {"dangling": "nowhere", "loop": "loop", "zero": "/dev/zero", "to_folder": "folder"}
    for name, target in {**targets, "to_jobs": str(jobs)}.items():
        (folder / name).symlink_to(target)
    for name in ("folder", "d\udcff"):
        (folder / name).mkdir()
    for name, data in {
        "empty": b"",
        "x\udcff": b"x",
        "x.json": b"{",
        "noise.keras": b"PK\x03\x04",
    }.items():
        (folder / name).write_bytes(data)
    (folder / ".mine.json.dfh-tmp-1").touch()


def test_no_name_is_taken_for_a_bug(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--site", "local"]) == 0
    _odd_files(project / "odd", project / "executions" / "mine-0001" / "jobs")
    assert {("status",), ("prov", "verify"), ("site", "show"), ("arch", "import")} <= set(COMMANDS)
    found = []
    for words in COMMANDS:
        for name in NAMES:
            capsys.readouterr()
            code = main([*words, "--", name])
            said = "".join(capsys.readouterr())
            if "a bug in dfh" in said or "Traceback" in said:
                found.append((words, name, said[-300:]))
            assert code == 0 or said, (words, name)
    assert found == []


def test_what_is_no_result_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "x\udcff").touch()
    (project / "folder").mkdir()
    (project / "loop").symlink_to("loop")
    for words, said in (
        (("prov", "show", "/"), "/: a whole machine, not a result"),
        (("prov", "trace", "//"), "a whole machine, not a result"),
        (("prov", "verify", "\udcff/x"), "there is no such file, and it is no record id"),
        (("prov", "show", "x\udcff"), "is not Unicode"),
        (("prov", "show", "loop"), "loop"),
        (("arch", "import", "folder"), "it is not a file"),
    ):
        assert main(list(words)) not in {0, 1}
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "plan", "submit", "run", "doctor"])
def test_a_folder_whose_name_no_file_of_ours_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    project = tmp_path / NO_UTF8
    project.mkdir()
    (project / "pipeline.yaml").write_text(PIPELINE)
    (project / "operations.py").write_text(OPERATION)
    monkeypatch.chdir(project)
    assert main([verb, "pipeline.yaml"]) == (5 if verb == "doctor" else 3)
    said = "".join(capsys.readouterr())
    assert "a name of its path is not UTF-8" in said
    assert "a bug in dfh" not in said
    assert not (project / "executions").exists()
