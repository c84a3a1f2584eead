"""What another user has put above one's own folder does not act as oneself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MALLORY, ALICE = 1, 65534
PIPELINE = "pipeline: mine\noperations: {one: {uses: 'operations.py:one'}}\n"
OPERATION = "def one() -> int:\n    number = 1\n    return number\n"
PLANTED = """\
site: local
extends: local
environment: {python: PYTHON}
"""


def give(path: Path, uid: int) -> None:
    for item in (path, *path.rglob("*")):
        os.chown(item, uid, uid)


@pytest.fixture
def parent(shared: Path) -> Path:
    """Return a project of one user, in which another has a folder with a pipeline."""
    parent = shared / "lab"
    for name, text in (("mine/pipeline.yaml", PIPELINE), ("mine/operations.py", OPERATION)):
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_text(text)
    (parent / "site-configs").mkdir()
    program = parent / "python"
    program.write_text(f'#!/bin/sh\ntouch {shared}/planted-$(id -u)\nexec /usr/bin/python3 "$@"\n')
    program.chmod(0o755)
    (parent / "site-configs" / "local.yaml").write_text(PLANTED.replace("PYTHON", str(program)))
    (parent / ".dfh").mkdir()
    give(parent, MALLORY)
    give(parent / "mine", ALICE)
    return parent


def test_another_users_project_above_is_not_ones_own(
    as_user: Callable[..., Any], parent: Path, shared: Path
) -> None:
    alice = as_user(ALICE)
    mine = parent / "mine"
    told = alice("check", "--site", "local", cwd=mine).stderr
    assert f"{parent}/.dfh belongs to daemon" in told
    assert f"trust: [{parent}]" in told
    alice("run", "--site", "local", cwd=mine, expect=None)  # she may not start root's interpreter
    assert (mine / "executions" / "mine-0001").is_dir()
    assert (mine / ".dfh").is_dir()
    assert not list(shared.glob("planted-*"))


def test_site_files_alone_of_another_user_are_left_out(
    as_user: Callable[..., Any], parent: Path, shared: Path
) -> None:
    """A folder that all may write to is root's: what counts is whose the files in it are."""
    alice = as_user(ALICE)
    give(parent / ".dfh", ALICE)
    for folder in (parent, parent / ".dfh"):
        os.chown(folder, 0, 0)
        folder.chmod(0o1777)
    told = alice("run", "--site", "local", cwd=parent / "mine", expect=None).stderr
    assert f"{parent}/site-configs belongs to daemon" in told
    assert (parent / "executions" / "mine-0001").is_dir()
    assert not list(shared.glob("planted-*"))


@pytest.fixture
def sticky(parent: Path) -> Path:
    """Return a project of one user in which all may write, with a site file of another."""
    give(parent, ALICE)
    for folder in (parent, *parent.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o1777)
    os.chown(parent / "site-configs" / "local.yaml", MALLORY, MALLORY)
    return parent


@pytest.mark.parametrize("how", ["file", "link", "base", "searched"])
def test_a_site_file_of_another_user_in_ones_own_folder_is_left_out(
    how: str, as_user: Callable[..., Any], sticky: Path, shared: Path
) -> None:
    """The sticky bit keeps what is there, and lets anyone add a file."""
    alice, folder, site = as_user(ALICE), sticky / "site-configs", "local"
    planted = folder / "local.yaml"
    if how == "link":
        os.chown(planted.rename(folder / "text"), ALICE, ALICE)
        planted.symlink_to("text")
        os.chown(planted, MALLORY, MALLORY, follow_symlinks=False)
    elif how == "base":
        site = "own"
        (folder / "own.yaml").write_text("site: own\nextends: local\n")
        os.chown(folder / "own.yaml", ALICE, ALICE)
    elif how == "searched":
        alice.environ["DEEPFORGE_HPC_PATH"] = str(shared / "sites")
        (shared / "sites").mkdir()
        folder = folder.rename(shared / "sites" / "site-configs")
        planted = folder / "local.yaml"
    told = alice("run", "--site", site, cwd=sticky / "mine", expect=None).stderr
    assert f"{planted} belongs to daemon, and is left out" in told
    assert f"trust: [{folder}]" in told
    assert (sticky / "executions" / "mine-0001").is_dir()
    assert not list(shared.glob("planted-*"))
    planted.rename(folder / "theirs.yaml")
    told = alice("check", "--site", "theirs", cwd=sticky / "mine", expect=3).stderr
    assert "no site 'theirs'" in told
    assert f"{folder}/theirs.yaml belongs to daemon" in told


def plant_newest(executions: Path) -> Path:
    """Lay a copy of the first execution as the second, of another user, among them."""
    planted = executions / "mine-0002"
    shutil.copytree(executions / "mine-0001", planted)
    text = (planted / "execution.json").read_text()
    (planted / "execution.json").write_text(text.replace("mine-0001", "mine-0002"))
    give(planted, MALLORY)
    return planted


def test_an_execution_of_another_user_among_ones_own_is_not_acted_on(
    as_user: Callable[..., Any], sticky: Path
) -> None:
    """It can name itself the newest, and its code would run as who resumes it."""
    alice, mine, executions = as_user(ALICE), sticky / "mine", sticky / "executions"
    alice("run", "--site", "local", cwd=mine, expect=None)
    planted = plant_newest(executions)
    for words in (("resume",), ("resume", "2"), ("cancel", "mine-0002"), ("executions", "rm", "2")):
        told = alice(*words, cwd=mine, expect=2).stderr
        assert f"{planted} belongs to daemon: it is not acted on" in told
    give(planted, ALICE)
    os.chown(planted / "plan.json", MALLORY, MALLORY)
    told = alice("resume", cwd=mine, expect=2).stderr
    assert f"{planted}/plan.json belongs to daemon" in told
    give(planted, ALICE)
    os.chown(executions, MALLORY, MALLORY)  # which a centre, or a group, may have made
    assert "belongs to" not in alice("cancel", "2", cwd=mine, expect=None).stderr


@pytest.mark.parametrize("name", ["helper.py", "helper/__init__.py", "pipeline.yaml"])
def test_code_that_another_user_laid_where_all_may_write_is_refused(
    as_user: Callable[..., Any], sticky: Path, name: str, trust: Callable[[Path], None]
) -> None:
    alice, mine = as_user(ALICE), sticky / "mine"
    (mine / "operations.py").write_text(f"import helper\n{OPERATION}")
    planted = mine / name
    planted.parent.mkdir(exist_ok=True)
    (mine / "helper.py").touch() if name == "pipeline.yaml" else planted.write_text("x = 1\n")
    give(mine / "helper" if "/" in name else planted, MALLORY)
    other = mine / Path(name).parts[0]
    told = alice("check", cwd=mine, expect=3).stderr
    assert f"{other}: belongs to daemon, in a folder that all may write to" in told
    assert f"trust: [{mine}]" in told
    mine.chmod(0o775)  # who may write there by a group is a colleague
    alice("check", cwd=mine)
    mine.chmod(0o1777)
    trust(mine)
    alice("check", cwd=mine)


@pytest.mark.parametrize("named", [(), ("pipeline.yaml",)])
@pytest.mark.parametrize("what", ["pipeline.yaml", "helper.py", "operations.py", "step.py", "runs"])
def test_a_link_that_another_user_laid_where_all_may_write_is_refused(
    as_user: Callable[..., Any], sticky: Path, shared: Path, what: str, named: tuple[str, ...]
) -> None:
    """It leads where they like: to a project of theirs, or to what is Alice's own."""
    alice, mine = as_user(ALICE), sticky / "mine"
    shutil.rmtree(sticky / "site-configs")
    (mine / "operations.py").write_text(f"import helper\n{OPERATION}")
    (mine / "helper.py").touch()
    if what == "runs":
        (mine / "runs").mkdir()
        (mine / "pipeline.yaml").write_text(f"executions: runs\n{PIPELINE}")
    if what == "step.py":  # named by the pipeline, and a link of a link
        (mine / "step.py").symlink_to("operations.py")
        (mine / "pipeline.yaml").write_text(PIPELINE.replace("operations.py:", "step.py:"))
    give(mine, ALICE)
    target = mine / f"real-{what}"
    if what == "pipeline.yaml":
        target = shared / "theirs" / what
        shutil.copytree(mine, target.parent)
        give(target.parent, MALLORY)
        (mine / what).unlink()
    else:
        (mine / what).rename(target)
    link = mine / what
    link.symlink_to(target)
    os.chown(link, ALICE, ALICE, follow_symlinks=False)
    if what != "pipeline.yaml":
        alice("check", *named, cwd=mine)  # her own link, to what is hers
    os.chown(link, MALLORY, MALLORY, follow_symlinks=False)
    for verb in ("check", "run", "submit"):
        told = alice(verb, *named, "--site", "local", cwd=mine, expect=3).stderr
        assert f"{link}: belongs to daemon, in a folder that all may write to" in told
        assert f"trust: [{mine}]" in told
    mine.chmod(0o755)
    alice("check", *named, cwd=mine)


def test_what_can_run_code_is_not_reused_from_another_user(
    as_user: Callable[..., Any], sticky: Path, trust: Callable[[Path], None]
) -> None:
    """Where all may write, the result of anyone is among those that a submission looks at."""
    mallory, mine = as_user(MALLORY, umask="0"), sticky / "mine"
    alice, text = as_user(ALICE, umask="0"), PIPELINE.replace("py:one'", "py:one', KIND")
    shutil.rmtree(sticky / "site-configs")
    for kind, is_reused in (("json", True), ("pickle", False)):
        (mine / "pipeline.yaml").write_text(
            "environment: {python: /usr/bin/python3}\n"
            + text.replace("KIND", f"types: {{number: {kind}}}")
        )
        mallory("run", "pipeline.yaml", "--site", "local", cwd=mine)
        told = alice("submit", "--dry-run", "--site", "local", cwd=mine)
        assert ("not sent, reused" in told.stdout) is is_reused
        said = "its output number is a pickle of daemon, and that can run code"
        assert (said in told.stdout + told.stderr) is not is_reused
    trust(sticky)
    assert "reused" in alice("submit", "--dry-run", "--site", "local", cwd=mine).stdout


def test_a_link_of_another_user_acts_as_little_as_what_is_theirs(
    as_user: Callable[..., Any], parent: Path, shared: Path
) -> None:
    """It leads to a folder of root's, to which all may write, as `/tmp` is."""
    alice = as_user(ALICE)
    room = shared / "room"
    room.mkdir()
    for name in (".dfh", "site-configs"):
        (parent / name).rename(room / name)
        (room / name).chmod(0o1777)
        os.chown(room / name, 0, 0)
        (parent / name).symlink_to(room / name)
        os.chown(parent / name, MALLORY, MALLORY, follow_symlinks=False)
    os.chown(parent, 0, 0)
    parent.chmod(0o1777)
    alice("run", "--site", "local", cwd=parent / "mine", expect=None)
    assert (parent / "mine" / "executions" / "mine-0001").is_dir()
    assert not list(shared.glob("planted-*"))


def test_trusted_by_name_it_acts_and_says_what_it_replaces(
    as_user: Callable[..., Any], parent: Path, shared: Path, trust: Callable[[Path], None]
) -> None:
    alice = as_user(ALICE)
    trust(parent)
    for command in ("check", "plan"):
        told = alice(command, "--site", "local", cwd=parent / "mine").stderr
        assert (
            f"site local is {parent}/site-configs/local.yaml, in place of the shipped one" in told
        )
        assert "belongs to" not in told


def test_looking_works_anywhere_and_acting_wants_a_path(
    as_user: Callable[..., Any], parent: Path
) -> None:
    mallory, alice = as_user(MALLORY), as_user(ALICE)
    for name in ("pipeline.yaml", "operations.py"):
        (parent / name).write_bytes((parent / "mine" / name).read_bytes())
    give(parent, MALLORY)
    give(parent / "mine", ALICE)
    mallory("run", "--site", "local", cwd=parent, expect=None)
    mine = parent / "mine"
    for argv in (("status",), ("logs",), ("prov", "show", "mine-0001/one"), ("executions", "list")):
        alice(*argv, cwd=mine)
    page = parent / "executions" / "mine-0001" / "report.html"
    page.touch()
    found = alice("report", cwd=mine)
    assert (found.stdout, found.stderr) == (f"{page}\n", "not written anew: Permission denied\n")
    for verb in ("resume", "cancel"):
        told = alice(verb, "mine-0001", cwd=mine, expect=2).stderr
        assert f"{parent}/.dfh belongs to daemon" in told


def test_the_base_of_a_site_that_a_projects_file_replaces_is_told(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    files = {"pipeline.yaml": PIPELINE, "operations.py": OPERATION}
    files["site-configs/tacc.yaml"] = "site: tacc\nextends: tacc\n"
    project = make_project(files)
    for command in ("check", "plan"):
        told = dfh(command, "--site", "vista", "--account", "a", cwd=project).stderr
        assert f"site tacc is {project}/site-configs/tacc.yaml, in place of the shipped" in told


@pytest.fixture
def below(as_user: Callable[..., Any], sticky: Path) -> tuple[Any, Path]:
    """Return a user, and their project in a folder that is an execution of another."""
    alice, mine = as_user(ALICE), sticky / "mine"
    shutil.rmtree(sticky / ".dfh")
    alice("run", "--site", "local", cwd=mine, expect=None)
    shutil.copytree(mine / "executions" / "mine-0001", sticky, dirs_exist_ok=True)
    give(sticky, MALLORY)
    give(mine, ALICE)
    return alice, mine


def test_what_lies_above_ones_project_is_no_execution_that_one_is_in(below: Any) -> None:
    alice, mine = below
    made = mine / "executions" / "mine-0001"
    for words in (("resume",), ("cancel", "latest"), ("executions", "rm", "latest", "--yes")):
        told = alice(*words, cwd=mine, expect=None)
        assert str(mine.parent / "plan.json") not in told.stderr
    assert not made.exists()
    told = alice("resume", "./nothing", cwd=mine, expect=2).stderr
    assert "not an execution folder" in told
    shutil.rmtree(mine / ".dfh")
    for reference in ("latest", "./nothing"):
        told = alice("resume", reference, cwd=mine, expect=2).stderr
        assert f"{mine.parent} belongs to daemon: it is not acted on" in told


def test_to_stand_in_another_users_project_names_nothing(
    as_user: Callable[..., Any], parent: Path, shared: Path, trust: Callable[[Path], None]
) -> None:
    """It is one `cd` away; what acts there is named by its path, or trusted."""
    mallory, alice = as_user(MALLORY), as_user(ALICE)
    theirs, words = parent / "mine", ("--site", "local")
    give(parent, MALLORY)
    shutil.rmtree(parent / ".dfh")
    mallory("run", *words, cwd=theirs, expect=None)
    (parent / "site-configs").rename(theirs / "site-configs")
    for path in shared.glob("planted-*"):
        path.unlink()
    executions = theirs / "executions"
    acts: tuple[tuple[str, ...], ...]
    acts = (("submit", *words), ("run", *words), ("doctor", *words), ("resume",), ("resume", "1"))
    acts += (
        ("cancel", "latest"),
        ("executions", "rm", "1"),
        ("executions", "prune", "--keep", "0"),
    )
    for act in acts:
        told = alice(*act, cwd=theirs, expect=2).stderr
        assert f"{theirs}/.dfh belongs to daemon: " in told
        assert f"Name one by its path; or if it is meant: trust: [{theirs}]" in told
    for look in (("check", *words), ("plan", *words), ("submit", *words, "--dry-run")):
        alice(*look, cwd=theirs)
    for look in (("status",), ("logs",), ("executions", "list"), ("site", "list")):
        alice(*look, cwd=theirs)
    shutil.rmtree(theirs / ".dfh")  # as it came out of an archive
    for act in acts[:3]:
        told = alice(*act, cwd=theirs, expect=2).stderr
        assert f"{theirs} belongs to daemon: what it holds is not run" in told
    assert not list(shared.glob("planted-*"))

    trusting = (("submit", "./pipeline.yaml", *words), ("resume", str(executions / "mine-0001")))
    for act in trusting:
        assert "Name one by its path" not in alice(*act, cwd=theirs, expect=None).stderr
    trust(theirs)
    for act in acts:
        assert "Name one by its path" not in alice(*act, cwd=theirs, expect=None).stderr


def test_an_execution_that_another_user_laid_is_neither_pruned_nor_counted(
    as_user: Callable[..., Any], sticky: Path
) -> None:
    alice, mine, executions = as_user(ALICE), sticky / "mine", sticky / "executions"
    alice("run", "--site", "local", cwd=mine, expect=None)
    planted = plant_newest(executions)
    for keep, left in ((1, {"mine-0001", "mine-0002"}), (0, {"mine-0002"})):
        told = alice("executions", "prune", "--keep", str(keep), "--yes", cwd=mine).stderr
        assert f"{planted} belongs to daemon: it is not acted on" in told
        assert {path.name for path in executions.iterdir()} == left
