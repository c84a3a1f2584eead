"""What a job pays for the runtime: file-system calls before user code, and processor time.

Hundreds of ranks of a job import the runtime at once from a shared file system, where each `open`
and `stat` is a round trip to one metadata server. If a count fails, a module is imported too early,
or a library that is not needed: import it inside the function that needs it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Commit 2a61b35, whose runtime was files, made 542 and 469.
MAX_CALLS = {"supervisor": 400, "rank": 380}
JOB_S = 0.15
LEDGER_S = 0.010
USER_CODE = "/here-begins-user-code"
PIPELINE = """\
pipeline: nothing
operations:
  first: {uses: operations.py:first}
  second: {uses: operations.py:second, inputs: {n: first.n}}
outputs:
  n: {from: second.n}
"""
OPERATIONS = f"""\
import os


def first() -> dict:
    n = {{}}
    return n


def second(n: dict) -> dict:
    os.access({USER_CODE!r}, os.F_OK)
    return n
"""


class Execution:
    """A real one on the site `local`, whose jobs do nothing; their scripts can be run again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = json.loads((root / "execution.json").read_bytes())

    def script(self, job: str) -> list[str]:
        """Return the command line of a job, as the scheduler runs it."""
        told = {"uuid": "uuid", "plan": "plan_sha256", "code": "code_sha256"}
        words = [word for name, key in told.items() for word in (f"--{name}", self.info[key])]
        return ["bash", f"jobs/{job}/job.sh", "--attempt", "2", *words]

    def take_bytecode_away(self) -> None:
        """Make the runtime one that another version of Python submitted."""
        code = self.root / "code"
        archive, manifest = code / "dfh_runtime.zip", code / "MANIFEST.json"
        content = archive.read_bytes().replace(importlib.util.MAGIC_NUMBER, b"\0\0\r\n")
        files = json.loads(manifest.read_bytes())
        files["files"][archive.name] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        for path, data in (archive, content), (manifest, json.dumps(files).encode()):
            path.chmod(0o644)
            path.write_bytes(data)
        self.info["code_sha256"] = f"sha256:{hashlib.sha256(manifest.read_bytes()).hexdigest()}"


@pytest.fixture
def execution(
    installed: Any, make_project: Callable[..., Path], clean_environment: dict[str, str]
) -> Execution:
    project = make_project({"pipeline.yaml": PIPELINE, "operations.py": OPERATIONS})
    argv = [str(installed.dfh), "run", "--site", "local"]
    done = subprocess.run(
        argv, cwd=project, env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Execution(project / "executions" / "nothing-0001")


def processes(
    argv: list[str], root: Path, environ: dict[str, str], calls: str, log: Path
) -> dict[str, list[str]]:
    """Run a command under strace; return the calls of each process."""
    trace = f"trace={calls},execve,fork,vfork,clone,clone3"
    done = subprocess.run(
        ["strace", "-f", "-o", str(log), "-e", trace, *argv],
        cwd=root,
        env=environ,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        pid, _, call = line.partition(" ")
        found.setdefault(pid, []).append(call.strip())
    return found


def between(lines: list[str], start: str, end: str) -> list[str]:
    """Return the lines from the first that matches `start` to the next that matches `end`."""
    first = next(i for i, line in enumerate(lines) if re.search(start, line))
    return lines[first : next(i for i in range(first + 1, len(lines)) if re.search(end, lines[i]))]


def test_file_system_calls_before_user_code(
    execution: Execution,
    file_system_calls: Any,
    clean_environment: dict[str, str],
    tmp_path: Path,
    record_property: Any,
) -> None:
    traced = processes(
        execution.script("second"),
        execution.root,
        clean_environment,
        file_system_calls.names,
        tmp_path / "strace.log",
    ).values()

    def count(start: str, end: str) -> int:
        (lines,) = [lines for lines in traced if any(re.search(start, line) for line in lines)]
        return int(file_system_calls.count("\n".join(between(lines, start, end))))

    calls = {
        "supervisor": count(r'^execve\(.*"run", "second"', r"^(fork|vfork|clone3?)\("),
        "rank": count(r'^execve\(.*"dfh_runtime", "rank"', USER_CODE),
    }
    record_property("calls", calls)
    print(f"file-system calls before user code: {calls} (at most {MAX_CALLS})")
    assert {process for process in calls if calls[process] > MAX_CALLS[process]} == set()


@pytest.mark.bench
def test_processor_time_of_a_job_that_does_nothing(
    execution: Execution,
    installed: Any,
    tmp_path: Path,
    processor_seconds: Any,
    judge_processor_time: Any,
) -> None:
    bare = tmp_path / "bare.sh"
    bare.write_text(f"#!/bin/bash\nset -euo pipefail\n{installed.python} -c pass\n")
    # A page that is fresh: one of all the jobs of an execution writes it, every 15 s at most.
    os.utime(execution.root / "report.html", (2**32, 2**32))
    job = execution.script("first")
    spent = processor_seconds(job, cwd=execution.root)
    spent_bare = processor_seconds(("bash", bare), cwd=execution.root)
    execution.take_bytecode_away()
    compiled = processor_seconds(execution.script("first"), cwd=execution.root)
    print(f"with another Python than the submitter's: {1000 * (compiled - spent_bare):.0f} ms")
    judge_processor_time("the runtime in a job that does nothing", spent - spent_bare, JOB_S)


LEDGER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dfh_runtime.base.context import Clock, open_context
context = open_context(Path(sys.argv[2]), job="second", task=None, attempt=2, plan_sha256="")
clock = Clock.now()
from dfh_runtime.job.stage import stage_inputs
inputs = stage_inputs(context)
import re
before = time.process_time()
from dfh_runtime.state.record import end_record, write_record
data = end_record(context, status="succeeded", reason="", clock=clock, inputs=inputs, outputs=[])
write_record(context.ledger, data)
print(time.process_time() - before)
"""


@pytest.mark.bench
def test_what_the_ledger_adds(
    execution: Execution, installed: Any, judge_processor_time: Any
) -> None:
    argv = [installed.python, "-c", LEDGER, execution.root / "code/dfh_runtime.zip", execution.root]
    spent = []
    for _ in range(5):
        done = subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True)
        spent.append(float(done.stdout.split()[0]))
    paths = Path(execution.info["ledger"]).glob("loose/*/*/*.json")
    found = [json.loads(path.read_bytes()) for path in paths]
    made = [record["kind"] for record in found if record["attempt"] == 2]
    assert made == ["end"] * len(spent)
    judge_processor_time("the record of a job", min(spent), LEDGER_S)
