"""What dfh says to do about a submission that did not come to its end is done, word for word."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.cli import main as edge
from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.schedulers.local import LocalScheduler

BROKEN = """
import sys
if "deepforge_hpc.schedulers.local_engine" in " ".join(sys.orig_argv):
    sys.exit("no process today")
"""
RELEASE = "submit/submitter.py Submitter.release: dfh resume, dfh cancel"
ORPHAN = "submit/orphans.py HeldOrphan.notice: dfh resume, dfh cancel"


@pytest.fixture
def held(dfh: Any, project: Path, tmp_path: Path) -> Callable[[], Any]:
    """Return a function that submits where the jobs are queued and cannot be released."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)

    def submit() -> Any:
        env = {"PYTHONPATH": str(tmp_path / "broken")}
        refused = dfh("submit", "--no-reuse", cwd=project, env=env, expect=5)
        (log,) = [word for word in refused.stderr.split() if word.endswith("engine.log")]
        assert "no process today" in Path(log).read_text()
        return refused

    return submit


def test_jobs_that_are_held(
    dfh: Any, project: Path, follow: Any, held: Callable[[], Any], status: Any
) -> None:
    refused = [held() for _ in range(7)]
    follow(RELEASE, refused[0], cwd=project, verb="resume")
    follow(RELEASE, refused[1], cwd=project, verb="cancel")
    dfh("report", "small-0007", cwd=project)
    page = (project / "executions" / "small-0007" / "report.html").read_text()
    follow("runtime/report/page.py _going_on: dfh resume", page, cwd=project)
    shown = dfh("status", "small-0005", cwd=project)
    follow("submit/inspect.py _broken: dfh resume", shown, cwd=project)
    orphans = dict(line.split(": ", 2)[1:] for line in shown.stderr.splitlines())
    assert orphans.keys() == {"small-0003", "small-0004", "small-0006"}
    follow(ORPHAN, orphans["small-0003"], cwd=project, verb="resume")
    follow(ORPHAN, orphans["small-0004"], cwd=project, verb="cancel")
    code = project / "executions" / "small-0006" / "code" / "project" / "operations.py"
    code.chmod(0o644)
    code.write_text("")
    shown = dfh("status", "small-0006", cwd=project)
    follow("submit/inspect.py _next: dfh cancel", shown, cwd=project)
    for number in (1, 3, 5, 7):
        ended = dfh("status", f"small-000{number}", "--watch", cwd=project)
        assert "broke off" not in ended.stdout + ended.stderr
    for number in (2, 4, 6):
        assert status(project, f"small-000{number}")["state"] == "cancelled"


def interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path, where: str
) -> str:
    """Submit, press Ctrl-C where a function begins, and return what was printed."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.chdir(project)
        patch.setattr(f"deepforge_hpc.submit.{where}", interrupt)
        assert edge.main(["submit", "--no-reuse", "--site", "local"]) == 130
    return capsys.readouterr().err


def test_a_submission_that_was_interrupted(
    dfh: Any,
    project: Path,
    follow: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = interrupted(monkeypatch, capsys, project, "submitter.Submitter.release")
    follow("submit/submitter.py Submitter._undo: dfh resume", said, cwd=project)
    assert "small-0001  succeeded" in dfh("status", "--watch", cwd=project).stdout
    said = interrupted(monkeypatch, capsys, project, "submitter.Submitter.queue_jobs")
    step = "api/submission.py _left_by_interrupt: dfh status, dfh resume, dfh cancel"
    shown = follow(step, said, cwd=project, verb="status")
    assert "small-0002  planned" in shown.stdout
    assert "nothing was queued" in follow(step, said, cwd=project, verb="cancel").stdout
    follow(step, said, cwd=project, verb="resume")
    assert "small-0002  succeeded" in dfh("status", "--watch", cwd=project).stdout
    said = interrupted(monkeypatch, capsys, project, "submitter.Submitter.queue_jobs")
    follow("submit/inspect.py _next: dfh resume", dfh("status", cwd=project), cwd=project)
    assert "small-0003  succeeded" in dfh("status", "--watch", cwd=project).stdout


@pytest.fixture
def refused_half_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: Path
) -> Callable[..., str]:
    """Return `dfh` where the second job is refused and the first one cannot be cancelled."""

    def run(*argv: str) -> str:
        queue = LocalScheduler.submit

        def submit(self: LocalScheduler, request: Any) -> str:
            if request.after:
                raise SchedulerError("no such account")
            return queue(self, request)

        def refuse(*_: object) -> None:
            raise SchedulerError("the controller is down")

        with monkeypatch.context() as patch:
            patch.chdir(project)
            patch.setattr(LocalScheduler, "submit", submit)
            patch.setattr(LocalScheduler, "cancel", refuse)
            assert edge.main([*argv, "--site", "local"]) == 5
        told = capsys.readouterr()
        assert "held (the controller is down)" in told.out + told.err
        return told.out + told.err

    return run


def test_a_refused_submission_that_could_not_be_taken_back(
    dfh: Any, project: Path, follow: Any, refused_half_way: Callable[..., str]
) -> None:
    told = refused_half_way("submit")
    removal = "submit/submitter.py Submitter._way_on: dfh executions"
    follow(removal, told, cwd=project, expect=2)
    follow("submit/submitter.py Submitter._way_on: dfh cancel", told, cwd=project)
    assert "removed small-0001" in follow(removal, told, cwd=project).stdout


def test_a_refused_proof_that_could_not_be_taken_back(
    dfh: Any, project: Path, follow: Any, refused_half_way: Callable[..., str]
) -> None:
    told = refused_half_way("doctor", "--submit", "--yes")
    (folder,) = project.glob("dfh-doctor-*/executions/doctor-0001")
    assert "held" in dfh("status", folder, cwd=project).stdout
    follow("api/proof.py prove: dfh cancel", told, cwd=project)
    assert "cancelled" in dfh("status", folder, cwd=project).stdout


def test_a_process_of_the_jobs_that_was_killed(
    dfh: Any, gated_then_used: Path, follow: Any, until: Any, at_gate: Any
) -> None:
    gated = gated_then_used
    dfh("submit", cwd=gated)
    at_gate(gated)
    engine = gated / "executions" / "gated-0001" / "local" / "engine.json"
    os.kill(json.loads(engine.read_text())["pid"], signal.SIGKILL)
    (gated / "open").touch()
    until((gated / "executions" / "gated-0001" / "jobs" / "wait" / "success.json").exists)
    shown = dfh("status", cwd=gated)
    follow("schedulers/local.py View.native: dfh resume", shown, cwd=gated)
    assert "gated-0001  succeeded" in dfh("status", "--watch", cwd=gated).stdout


def test_jobs_that_stay_in_the_queue(
    dfh: Any,
    project: Path,
    follow: Any,
    held: Callable[[], Any],
    status: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    held()
    # One job was lost by the scheduler and one by the journal: what there is cannot be completed.
    folder = project / "executions" / "small-0001"
    for file, lost in (("submitted.jsonl", '"job":"total"'), ("local/jobs.jsonl", '"count"')):
        lines = (folder / file).read_text().splitlines(keepends=True)
        kept = [line for line in lines if '"intent"' in line or lost not in line]
        assert len(kept) == len(lines) - 1
        (folder / file).write_text("".join(kept))
    with monkeypatch.context() as patch:
        patch.chdir(project)
        patch.setattr(
            "deepforge_hpc.submit.live_jobs.LiveJobs.leave", lambda _, names: sorted(names)
        )
        assert edge.main(["resume"]) == 5
    said = capsys.readouterr().err
    follow("submit/live_jobs.py LiveJobs.clear: dfh cancel", said, cwd=project)
    assert status(project)["state"] == "cancelled"
