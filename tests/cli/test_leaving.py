"""Leaving `dfh run` in any way leaves the jobs running."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.base.local_status import read_status


class Terminal:
    """`dfh` on a pseudo-terminal, as its session leader."""

    def __init__(self, arguments: list[str], cwd: Path, environ: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", str(Path(sys.executable).with_name("dfh")), *arguments],
            cwd=cwd,
            env={**environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def read_until(self, wanted: str, timeout: float = 60) -> str:
        deadline = time.monotonic() + timeout
        while wanted not in self.text:
            assert time.monotonic() < deadline, f"no {wanted!r} in\n{self.text}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    assert wanted in self.text, self.text
        return self.text


@pytest.fixture
def terminal(clean_environment: dict[str, str]) -> Iterator[Any]:
    opened: list[Terminal] = []

    def start(*arguments: str, cwd: Path) -> Terminal:
        opened.append(Terminal(list(arguments), cwd, clean_environment))
        return opened[-1]

    yield start
    for item in opened:
        if item.process.poll() is None:
            item.process.kill()
            item.process.wait()


def finish(dfh: Any, gated: Path) -> None:
    """Open the gate and see the execution succeed without anybody watching it until then."""
    (gated / "open").touch()
    assert "succeeded" in dfh("status", "--watch", cwd=gated).stdout


def test_ctrl_c_ends_the_watching_not_the_job(dfh: Any, gated: Path, terminal: Any) -> None:
    shown = terminal("run", "--interval", "0.2", cwd=gated)
    shown.read_until("running")
    os.write(shown.master, b"\x03")
    shown.read_until("The jobs go on. To follow again: dfh status gated-0001 --watch", timeout=20)
    assert shown.process.wait(20) == 130
    assert "Traceback" not in shown.text
    finish(dfh, gated)


def test_lost_terminal_ends_the_watching_not_the_job(dfh: Any, gated: Path, terminal: Any) -> None:
    shown = terminal("run", "--interval", "0.2", cwd=gated)
    shown.read_until("running")
    os.close(shown.master)
    assert shown.process.wait(20) == 129
    finish(dfh, gated)


def test_killed_watcher_leaves_the_job(dfh: Any, gated: Path, terminal: Any) -> None:
    shown = terminal("run", cwd=gated)
    shown.read_until("running")
    os.killpg(shown.process.pid, signal.SIGKILL)
    shown.process.wait(20)
    finish(dfh, gated)


def test_terminal_is_redrawn_in_place_and_coloured(gated: Path, terminal: Any, dfh: Any) -> None:
    dfh("submit", cwd=gated)
    shown = terminal("status", "--watch", "--interval", "0.2", cwd=gated)
    shown.read_until("\x1b[J")
    assert f"{gated}/executions/gated-0001/report.html" in shown.text.replace("\r\n", "\n")
    (gated / "open").touch()
    shown.read_until("\x1b[32msucceeded\x1b[0m  1/1 operations done")
    assert shown.process.wait(20) == 0


def test_words_of_a_log_are_not_coloured_as_states(gated: Path, terminal: Any, dfh: Any) -> None:
    operations = gated / "operations.py"
    operations.write_text(operations.read_text().replace("is open'", "is open, the mean running'"))
    (gated / "open").touch()
    dfh("run", cwd=gated)
    shown = terminal("logs", "latest", "wait", cwd=gated)
    assert "the mean running\r\n" in shown.read_until("running\r\n")
    assert shown.process.wait(20) == 0
    assert "\x1b" not in shown.text


def follow_a_waiting_job(dfh: Any, gated: Path, until: Any) -> Any:
    """Return `dfh logs --follow`, once it has shown what the job had printed."""
    dfh("submit", cwd=gated)
    log = gated / "executions/gated-0001/jobs/wait/out.1.log"
    until(lambda: log.exists() and "waiting" in log.read_text())
    follower = dfh.start("logs", "latest", "wait", "--follow", cwd=gated)
    assert follower.stdout.readline() == "waiting\n"
    return follower


def test_follow_prints_what_comes_until_the_end(dfh: Any, gated: Path, until: Any) -> None:
    follower = follow_a_waiting_job(dfh, gated, until)
    (gated / "open").touch()
    stdout, _ = follower.communicate(timeout=60)
    assert "the gate is open" in stdout
    assert follower.returncode == 0


def test_last_line_without_an_end_is_shown_once_the_job_is_over(
    dfh: Any, gated: Path, until: Any
) -> None:
    operations = gated / "operations.py"
    operations.write_text(operations.read_text().replace("is open')", "is open', end='')"))
    follower = follow_a_waiting_job(dfh, gated, until)
    (gated / "open").touch()
    stdout, _ = follower.communicate(timeout=60)
    assert stdout.endswith("the gate is open")


def test_watching_ends_if_nothing_can_go_on_by_itself(dfh: Any, gated: Path, until: Any) -> None:
    dfh("submit", cwd=gated)
    local = gated / "executions/gated-0001/local"
    log = gated / "executions/gated-0001/jobs/wait/out.1.log"
    until(lambda: log.exists() and "waiting" in log.read_text())
    task = read_status(local)["L1"]
    os.kill(json.loads((local / "engine.json").read_text())["pid"], signal.SIGKILL)
    os.killpg(task.pid, signal.SIGKILL)
    done = dfh("status", "--watch", "--interval", "0.2", cwd=gated, expect=9)
    assert "next    dfh resume gated-0001" in done.stdout


def test_cancel_ends_the_job_and_says_how_to_go_on(
    dfh: Any, gated: Path, status: Any, until: Any
) -> None:
    dfh("submit", cwd=gated)
    done = dfh("cancel", "gated-0001", cwd=gated)
    assert "dfh resume gated-0001" in done.stdout
    assert dfh("status", "--watch", cwd=gated, expect=9)
    # The job itself is told by SIGTERM, and may have written down that it was interrupted.
    assert status(gated)["state"] in {"cancelled", "interrupted"}
    final = gated / "executions/gated-0001/jobs/_final/state.json"
    until(lambda: final.exists() and json.loads(final.read_text())["state"] == "succeeded")
    until(lambda: "nothing was queued" in dfh("cancel", "latest", cwd=gated).stdout)


def test_a_site_says_how_often_one_may_look(dfh: Any, gated: Path) -> None:
    (gated / "open").touch()
    (gated / "site-configs").mkdir()
    site = "site: local\nextends: local\nlogin: {poll_s: 1}\n"
    (gated / "site-configs/local.yaml").write_text(site)
    done = dfh("run", "--interval", "0.1", cwd=gated)
    assert "The site wants 1 s between looks (login.poll_s)" in done.stdout + done.stderr


def test_follower_waits_for_the_log_of_the_attempt_that_is_queued(
    dfh: Any, gated: Path, until: Any, at_gate: Any, status: Any
) -> None:
    def follow_final() -> Any:
        follower = dfh.start("logs", "latest", "_final", "--follow", cwd=gated)
        assert follower.stderr.readline() == "gated-0001 _final is pending: waiting for its log\n"
        return follower

    dfh("submit", cwd=gated)
    at_gate(gated)
    first = follow_final()
    dfh("cancel", "latest", cwd=gated)
    assert "_final, attempt 1: " in first.communicate(timeout=60)[1]
    until(lambda: status(gated)["jobs"][1]["state"] == "succeeded")
    dfh("resume", cwd=gated)
    second = follow_final()
    (gated / "open").touch()
    assert "_final, attempt 2: " in second.communicate(timeout=60)[1]
    assert (first.returncode, second.returncode) == (0, 0)
