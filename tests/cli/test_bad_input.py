"""Bad input gets one clear answer: what, where, what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

OPERATION = (
    "def count(limit: int = 3) -> list:\n    numbers = list(range(limit))\n    return numbers\n"
)
BOMB = "".join(
    f"{name}: &{name} [{', '.join([value] * 9)}]\n"
    for name, value in [("a", "x"), ("b", "*a"), ("c", "*b"), ("d", "*c"), ("e", "*d")]
)
GOOD = "pipeline: small\noperations:\n  count: {uses: 'operations.py:count'}\n"


@pytest.mark.parametrize(
    ("pipeline", "parts"),
    [
        ("pipeline: small\noperations: {a: [}\n", ["pipeline.yaml:2:", "not valid YAML"]),
        (GOOD + "pipeline: again\n", ["pipeline.yaml:4:1", "duplicate key"]),
        (GOOD + "operatons: {}\n", ["pipeline.yaml:4:1", "'operatons'", "operations"]),
        (GOOD + "sweep: {}\n", ["sweep", "not in this version"]),
        (GOOD + 'description: "\\u001b[2J"\n', ["pipeline.yaml:4:", "remove it"]),
        ("pipeline: '$(touch pwned)'\noperations: {}\n", ["pipeline.yaml:1:11", "a name of"]),
        (
            "pipeline: small\noperations:\n  '../up; rm': {uses: 'operations.py:count'}\n",
            ["pipeline.yaml:3:3"],
        ),
        (
            "pipeline: small\noperations:\n  count: {uses: '../passwd.py:count'}\n",
            ["pipeline.yaml:3:17", "leaves the project"],
        ),
        (BOMB, ["write out what is needed"]),
    ],
)
def test_fault_of_the_pipeline_is_named_with_its_place(
    dfh: Any, make_project: Callable[..., Path], pipeline: str, parts: list[str]
) -> None:
    project = make_project({"pipeline.yaml": pipeline, "operations.py": OPERATION})
    for command in ("check", "submit"):
        done = dfh(command, cwd=project, expect=3)
        for part in ("error: ", *parts):
            assert part in done.stderr
        assert "\x1b" not in done.stderr
    assert sorted(path.name for path in project.iterdir()) == ["operations.py", "pipeline.yaml"]


def test_all_faults_come_at_once_and_as_json(dfh: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(
        {
            "pipeline.yaml": "pipeline: small\noperations:\n"
            "  count: {uses: 'operations.py:count', attributes: {limit: many, speed: 3}}\n"
            "  other: {uses: 'operations.py:countt', inputs: {x: nobody.y}}\n",
            "operations.py": OPERATION,
        }
    )
    done = dfh("check", "--json", cwd=project, expect=3)
    error = json.loads(done.stdout)["error"]
    assert error["exit_code"] == 3
    assert len(error["faults"]) >= 4
    assert done.stderr.count("error: ") == len(error["faults"])


def test_bad_number_does_not_hide_the_other_faults(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project(
        {
            "pipeline.yaml": "pipeline: small\noperations:\n"
            "  count: {uses: 'operations.py:count', attributes: {limit: .nan, limt: 3}}\n",
            "operations.py": OPERATION,
        }
    )
    done = dfh("check", cwd=project, expect=3)
    number, name = done.stderr.splitlines()
    assert number.startswith("error: pipeline.yaml:3:60: .nan is not a number")
    assert "did you mean 'limit'?" in name


def test_setting_that_would_be_ignored_is_refused(dfh: Any, project: Path) -> None:
    done = dfh("check", cwd=project, env={"DEEPFORGE_HPC_SIET": "local"}, expect=3)
    assert "$DEEPFORGE_HPC_SIET: no such setting" in done.stderr
    assert "'DEEPFORGE_HPC_SITE'" in done.stderr


def test_interpreter_that_is_not_there_is_refused_before_anything_is_queued(
    dfh: Any, project: Path
) -> None:
    done = dfh("submit", "--python", "/no/python", cwd=project, expect=2)
    assert "--python '/no/python': there is no such program" in done.stderr
    assert not (project / "executions").exists()


def test_operation_with_a_syntax_error_is_named(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project({"pipeline.yaml": GOOD, "operations.py": "def count(:\n"})
    assert "operations.py:1" in dfh("check", cwd=project, expect=3).stderr


def test_override_is_checked_like_the_file(dfh: Any, project: Path) -> None:
    error = dfh("check", "--set", "count.limit=many", cwd=project, expect=3).stderr
    assert "--set count.limit" in error
    error = dfh("check", "--set", "cuont.limit=3", cwd=project, expect=3).stderr
    assert "did you mean 'count'" in error


def test_unknown_site_lists_the_known_ones(dfh: Any, project: Path) -> None:
    error = dfh("plan", "--site", "slurm-generc", cwd=project, expect=3).stderr
    assert "slurm-generic" in error


def _path_without_slurm(tmp_path: Path) -> str:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "python3"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


@pytest.mark.parametrize("command", ["check", "plan", "submit", "run", "doctor"])
def test_a_site_that_is_empty_is_not_this_machine(dfh: Any, project: Path, command: str) -> None:
    # As in: dfh run --site "$SITE", where nobody has set SITE.
    error = dfh(command, "--site", "", cwd=project, expect=2).stderr
    assert "--site: it is empty" in error
    assert "dfh site list" in error
    assert not (project / "executions").exists()


@pytest.mark.parametrize("command", ["submit", "run"])
@pytest.mark.parametrize("scheduler", ["pbs", "flux"])
def test_a_site_whose_jobs_are_not_run_is_refused_before_anything_is_written(
    dfh: Any, project: Path, command: str, scheduler: str
) -> None:
    (project / "site-configs").mkdir()
    site = f"site: x\nscheduler: {scheduler}\nenvironment: {{python: /usr/bin/python3}}\n"
    (project / "site-configs/x.yaml").write_text(site)
    before = sorted(project.rglob("*"))
    done = dfh(command, "--site", "x", cwd=project, expect=5)
    assert "rendered, not run" in done.stderr
    assert sorted(project.rglob("*")) == before
    (hint,) = [line for line in done.stderr.splitlines() if "dfh render" in line]
    assert "submit again" not in done.stderr
    words = hint.partition(": dfh ")[2].split()
    dfh(*words, cwd=project)
    assert (project / "scripts/jobs/count/job.sh").is_file()
    dfh("submit", "--dry-run", "--site", "x", cwd=project)


def test_no_slurm_on_path_is_said_and_nothing_is_used_up(
    dfh: Any, project: Path, tmp_path: Path
) -> None:
    environ = {"PATH": _path_without_slurm(tmp_path)}
    done = dfh("submit", "--site", "slurm-generic", cwd=project, env=environ, expect=5)
    assert "error: sbatch is not on PATH" in done.stderr
    assert "hint: Run this on a login node" in done.stderr
    assert not (project / "executions").exists()


def test_slurm_that_is_not_set_up_leaves_no_execution_behind(
    dfh: Any, project: Path, tmp_path: Path
) -> None:
    dfh("run", "--site", "local", cwd=project)
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("sbatch", "scontrol", "squeue", "sacct"):  # as Slurm without a configuration
        said = "fatal: Could not establish a configuration source"
        (commands / name).write_text(f"#!/bin/sh\necho '{name}: {said}' >&2\nexit 1\n")
        (commands / name).chmod(0o755)
    environ = {"PATH": f"{commands}:{_path_without_slurm(tmp_path)}"}
    done = dfh("submit", "--site", "slurm-generic", cwd=project, env=environ, expect=5)
    assert "Nothing was submitted, and nothing is left." in done.stderr
    assert "hint: Slurm is not set up on this host" in done.stderr
    assert done.stderr.rstrip().endswith("Then submit again")
    assert [path.name for path in (project / "executions").iterdir()] == ["small-0001"]
    listed = dfh("status", "small-0004", cwd=project, expect=2).stderr
    assert "Known: small-0001." in listed


@pytest.mark.slurm
def test_controller_that_is_down_is_said(dfh: Any, project: Path, tmp_path: Path) -> None:
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed: apt-get install slurm-client")
    conf = tmp_path / "slurm.conf"
    conf.write_text(
        "ClusterName=down\nSlurmctldHost=localhost\nSlurmctldPort=1\nAuthType=auth/munge\n"
        f"AuthInfo=socket={tmp_path}/munge.socket\nMessageTimeout=5\nSlurmctldTimeout=5\n"
        "NodeName=n1 CPUs=1\nPartitionName=p Nodes=n1\n"
    )
    environ = {"SLURM_CONF": str(conf)}
    done = dfh("submit", "--site", "slurm-generic", cwd=project, env=environ, expect=5, timeout=280)
    assert "error: " in done.stderr
    assert "hint: " in done.stderr


@pytest.fixture
def read_only(project: Path) -> Iterator[Path]:
    """Return the project on a read-only mount: root ignores the modes of files."""
    if os.geteuid() != 0:
        project.chmod(0o555)
        yield project
        project.chmod(0o755)
        return
    bind = ["mount", "--bind", str(project), str(project)]
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(project)], check=True)
        yield project
    finally:
        subprocess.run(["umount", str(project)], check=True)


def test_read_only_project_can_be_checked_and_says_why_it_cannot_be_submitted(
    dfh: Any, read_only: Path
) -> None:
    dfh("check", cwd=read_only)
    dfh("submit", "--dry-run", cwd=read_only)
    error = dfh("submit", cwd=read_only, expect=6).stderr
    assert "Read-only file system" in error or "Permission denied" in error
    assert "executions: FOLDER" in error


def test_damaged_execution_is_said_not_a_crash(dfh: Any, project: Path) -> None:
    dfh("run", cwd=project)
    execution = project / "executions" / "small-0001"
    for name in ("plan.json", "execution.json"):
        path = execution / name
        good = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(good[: len(good) // 2])
        error = dfh("status", "./executions/small-0001", cwd=project, expect=7).stderr
        assert name in error
        assert dfh("status", "1", cwd=project, expect=7).stderr == error
        assert "small-0001  damaged" in dfh("executions", "list", cwd=project).stdout
        for command in ("rm", "prune"):
            words = ("1", "--force") if command == "rm" else ("--keep", "0", "--force")
            done = dfh("executions", command, *words, "--yes", cwd=project, expect=None)
            assert name in done.stderr
            assert path.exists()
        path.write_bytes(good)


def test_planted_link_or_pipe_in_place_of_a_log_is_refused(
    dfh: Any, project: Path, tmp_path: Path
) -> None:
    dfh("run", cwd=project)
    log = project / "executions/small-0001/jobs/total/out.1.log"
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    log.unlink()
    log.symlink_to(secret)
    done = dfh("logs", "1", "total", cwd=project, expect=6)
    assert "a secret" not in done.stdout
    log.unlink()
    os.mkfifo(log)
    assert "not a regular file" in dfh("logs", "1", "total", cwd=project, expect=6).stderr


@pytest.mark.parametrize("option", ["--name", "--note", "--tag", "--account", "--python"])
@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31m", "a\u202eb"])
def test_control_character_in_an_option_is_refused(
    dfh: Any, project: Path, option: str, text: str
) -> None:
    error = dfh("submit", option, text, cwd=project, expect=3).stderr
    assert error.startswith(f"error: {option}: ")
    assert "remove it" in error
    assert not (project / "executions").exists()


def test_read_only_execution_that_cannot_be_removed_is_whole(
    dfh: Any, project: Path, request: pytest.FixtureRequest
) -> None:
    dfh("run", cwd=project)
    request.getfixturevalue("read_only")
    error = dfh("executions", "rm", "1", "--yes", cwd=project, expect=6).stderr
    assert "Nothing of it was removed" in error


@pytest.mark.parametrize("name", ["execution.json", "submitted.jsonl"])
def test_planted_pipe_in_place_of_a_file_does_not_hold_up_a_command(
    dfh: Any, project: Path, name: str
) -> None:
    dfh("run", cwd=project)
    dfh("run", cwd=project)
    file = project / "executions/small-0001" / name
    file.unlink()
    os.mkfifo(file)
    dfh("status", "small-0002", cwd=project, timeout=20)
    dfh("executions", "list", cwd=project, timeout=20)
    dfh("status", "./executions/small-0001", cwd=project, expect=None, timeout=20)


@pytest.mark.parametrize(
    ("folder", "site", "expect"),
    [
        ("a:b", "local", "':', so no job could find its code"),
        ("a%jb", "slurm-generic", "'%', so no job could write its log"),
        ("a\\b", "slurm-generic", "'\\', so no job could write its log"),
        ("a%jb", "local", ""),
        ("a b'c é", "slurm-generic", ""),
    ],
)
def test_folder_in_which_jobs_would_be_lost_is_refused_before_anything_is_queued(
    dfh: Any, project: Path, folder: str, site: str, expect: str
) -> None:
    moved = project.rename(project.with_name(folder))
    code = 3 if expect else 0
    for command in ("check", "plan"):
        done = dfh(command, "--site", site, cwd=moved, expect=code)
        assert expect in done.stderr
        if expect:
            assert "rename the folder, or set executions: to another" in done.stderr
    if expect:  # the way out that it names
        other = project.parent / "elsewhere"
        environ = {"DEEPFORGE_HPC_EXECUTIONS": str(other)}
        dfh("plan", "--site", site, cwd=moved, env=environ)


def test_folder_of_executions_is_looked_at_where_it_really_is(dfh: Any, project: Path) -> None:
    real = project.with_name("a:b")
    real.mkdir()
    (project / "link").symlink_to(real)
    environ = {"DEEPFORGE_HPC_EXECUTIONS": str(project / "link")}
    done = dfh("check", "--site", "local", cwd=project, env=environ, expect=3)
    assert f"{real}: the path holds ':'" in done.stderr


def test_variable_of_the_shell_that_is_not_used_is_said(dfh: Any, project: Path) -> None:
    environ = {"SBATCH_ACCOUNT": "my lab", "SBATCH_QOS": "fast", "SBATCH_RESERVATION": "tutorial"}
    words = ("submit", "--dry-run", "--site", "slurm-generic")
    said = dfh(*words, cwd=project, env=environ).stderr
    assert "SBATCH_ACCOUNT=my lab of this shell is not used (say --account 'my lab')" in said
    assert "SBATCH_QOS=fast of this shell is not used (name a queue of the site" in said
    assert "SBATCH_RESERVATION=tutorial of this shell is not used (name a queue" in said
    environ = {"SBATCH_CLUSTERS": "lab2", "SBATCH_WCKEY": "w", "SBATCH_MEM_PER_CPU": "1G"}
    said = dfh(*words, cwd=project, env=environ).stderr
    assert "SBATCH_CLUSTERS=lab2 of this shell is not used (export SLURM_CLUSTERS=lab2)" in said
    assert "SBATCH_WCKEY=w of this shell is not used (the site's file can ask for it: " in said
    assert "SBATCH_MEM_PER_CPU=1G of this shell is not used (say it by resources: {mem_" in said
    environ = {
        "SBATCH_HINT": "nomultithread",
        "SBATCH_TRES_PER_TASK": "cpu=2",
        "SBATCH_EXPORT": "NO",
    }
    said = dfh(*words, cwd=project, env=environ).stderr
    assert "SBATCH_HINT=nomultithread of this shell is not used (the site's file can" in said
    assert "SBATCH_TRES_PER_TASK=cpu=2 of this shell is not used (the site's file can" in said
    assert "SBATCH_EXPORT=NO of this shell is not used (dfh decides that for each job; " in said
    again = dfh(*words, "--account", "lab", cwd=project, env={"SBATCH_ACCOUNT": "lab"})
    assert "SBATCH" not in again.stderr
    # Another option has that value.
    environ = {f"SBATCH_{name}": "lab" for name in ("ACCOUNT", "QOS", "RESERVATION", "PARTITION")}
    again = dfh(*words, "--account", "lab", cwd=project, env=environ).stderr
    for name in ("QOS", "RESERVATION", "PARTITION"):
        assert f"SBATCH_{name}=lab of this shell is not used" in again
    assert "SBATCH_ACCOUNT" not in again


def test_text_that_utf_8_does_not_have_is_code_like_any_other(dfh: Any, make_project: Any) -> None:
    code = 'def count(mark: str = "\\ud800") -> list:\n    marks = [mark, "\\udfff"]\n    return marks\n'
    project = make_project({"pipeline.yaml": GOOD, "operations.py": code})
    dfh("run", cwd=project)
    found = next(project.glob("executions/small-0001/jobs/count/outputs/*.json"))
    assert json.loads(found.read_bytes().decode("utf-8", "surrogatepass")) == ["\ud800", "\udfff"]
    assert "\\ud800" in dfh("prov", "show", str(found), cwd=project).stdout
