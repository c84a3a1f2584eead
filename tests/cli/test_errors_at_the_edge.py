"""Whatever goes wrong ends as one message, one hint and one exit code."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.cli import main as edge


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> int:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("deepforge_hpc.api.find.find_execution", fail)
    return edge.main([*arguments, "report", "x"])


def test_bug_is_short_and_says_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    follow: Any,
    tmp_path: Path,
) -> None:
    assert run_with(monkeypatch, KeyError("surprise")) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "a bug in dfh" in err
    assert "KeyError: 'surprise'" in err
    assert "Traceback" not in err
    again = follow("cli/main.py _as_known: dfh --debug", err, cwd=tmp_path, expect=2)
    assert again.command == "dfh --debug report x"


def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, KeyError("surprise"), "--debug") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_refusal_of_the_file_system_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, OSError(errno.EROFS, "Read-only file system", "/x/y")) == 6
    assert "error: /x/y: Read-only file system" in capsys.readouterr().err


def test_name_that_no_file_system_takes_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.main(["check", "a" * 5_000]) == 6
    assert "File name too long" in capsys.readouterr().err


def test_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt()) == 130
    wrapped = RuntimeError("Error calling __set_name__ on 'x' instance 'y' in 'Z'")
    wrapped.__cause__ = KeyboardInterrupt()  # as Python 3.11 does where a class is made
    assert run_with(monkeypatch, wrapped) == 130
    wrapped.__cause__ = None
    assert run_with(monkeypatch, wrapped) == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("cli.lazy.importlib.import_module", "Nothing was done."),
        ("cli.commands.submit.request_from", "Nothing was submitted, and nothing of it is left."),
        ("plan.resolve.resolve", "Nothing was submitted, and nothing of it is left."),
        ("submit.execution._write_files", "Nothing was submitted, and nothing of it is left."),
        ("submit.reuse.apply", "Nothing was submitted, and small-0001 was removed again."),
        ("submit.chain.submit", "Nothing was submitted, and small-0001 was removed again."),
        ("submit.submitter.Submitter.queue_jobs", "Some jobs of small-0001 may be queued."),
    ],
)
def test_interrupt_of_a_submission_says_what_is_left(
    project: Path, dfh: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    where: str, said: str,
) -> None:  # fmt: skip
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(project)
    with monkeypatch.context() as patch:
        patch.setattr(f"deepforge_hpc.{where}", interrupt)
        assert edge.main(["submit", "--site", "local"]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"Stopped. {said}")
    is_left = "small-0001" in said and "removed" not in said
    assert (project / "executions" / "small-0001").exists() is is_left
    # What was left holds nobody up.
    assert "0 jobs" not in dfh("run", "--site", "local", cwd=project).stdout


def test_interrupt_of_a_dry_run_is_not_silent(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(project)
    monkeypatch.setattr("deepforge_hpc.plan.resolve.resolve", interrupt)
    assert edge.main(["submit", "--site", "local", "--dry-run"]) == 130
    assert capsys.readouterr().err.startswith("Stopped. Nothing was submitted")


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("resume", "cli/commands/resume.py command: dfh status"),
        ("cancel", "cli/commands/cancel.py command: dfh cancel"),
    ],
)
def test_interrupt_of_what_acts_on_an_execution_is_not_silent(
    project: Path, dfh: Any, follow: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], verb: str, step: str,
) -> None:  # fmt: skip
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    dfh("run", "--site", "local", cwd=project)
    monkeypatch.chdir(project)
    monkeypatch.setattr(f"deepforge_hpc.submit.chain.{verb}", interrupt)
    assert edge.main([verb, "latest"]) == 130
    follow(step, capsys.readouterr().err, cwd=project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sttus"], "No such command 'sttus'. Did you mean 'status'?"),
        (["check", "--sit", "x"], "No such option"),
        (["prov", "explain"], "No such command 'explain'"),
        (["logs", "x", "y", "--task", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_next_step(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edge.main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "--help shows the usage" in err


def test_usage_error_is_json_even_if_the_line_was_not_understood(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert edge.main(["check", "--nope", "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def test_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m deepforge_hpc.cli.main --help; echo $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | true"], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() in {"0", "141"}


def test_verbose_logs_to_stderr_only(dfh: Any, project: Path) -> None:
    done = dfh("-vv", "executions", "list", "--json", cwd=project)
    assert json.loads(done.stdout)["executions"] == []


def test_nothing_here_says_what_to_do(dfh: Any, tmp_path: Path) -> None:
    assert "dfh submit" in dfh("report", cwd=tmp_path, expect=2).stderr
    assert "no such file" in dfh("check", cwd=tmp_path, expect=2).stderr


def test_interrupt_before_the_command_is_there_shows_no_traceback(dfh: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "sys.addaudithook(lambda event, args: event == 'import' and args[0] == 'click.core' and "
        "os.kill(os.getpid(), signal.SIGINT))\n"
    )
    stopped = dfh("--help", cwd=tmp_path, expect=-2, env={"PYTHONPATH": str(tmp_path)})
    assert (stopped.stdout, stopped.stderr) == ("", "")
