"""What a job pays for the runtime: file-system calls before user code, and processor time.

Hundreds of ranks of a job import the runtime at once from a shared file system, where each `open`
and `stat` is a round trip to one metadata server. If a count fails, a module is imported too early,
or a library that is not needed: import it inside the function that needs it.
"""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import deepforge_hpc.runtime as runtime_package

MAX_CALLS = 700
JOB_S = 0.15
LEDGER_S = 0.010
CALLS = (
    "open,openat,stat,lstat,newfstatat,statx,readlink,readlinkat,getdents,getdents64,access,"
    "faccessat,faccessat2"
)
USER_CODE = "/here-begins-user-code"


def _load_builder() -> Any:
    path = Path(__file__).parents[1] / "unit" / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("runtime_builder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def execution(tmp_path: Path) -> Any:
    """An execution of two jobs that do next to nothing, its runtime compiled."""
    source = tmp_path / "runtime"
    shutil.copytree(
        Path(runtime_package.__file__).parent,
        source,
        ignore=shutil.ignore_patterns("__pycache__", ".*"),
    )
    assert compileall.compile_dir(source, quiet=1)
    built = _load_builder().Execution(tmp_path, source)
    built.operation("first", "def operation(n): return n", attributes={"n": 1})
    built.operation(
        "second",
        f"""
        import os

        def operation(n):
            os.access({USER_CODE!r}, os.F_OK)
            return n
        """,
        inputs={"n": "first.result"},
    )
    built.freeze()
    built.run_all("first", "second")
    return built


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A venv of its own: the .pth files of the test environment are not ours to count."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python")


def traced(execution: Any, python: str, log: Path) -> dict[str, list[str]]:
    """Run the second job under strace; return the lines of each process that is a Python."""
    command = [
        "strace",
        "-f",
        "-o",
        str(log),
        "-e",
        f"trace={CALLS},execve,fork,vfork,clone,clone3",
    ]
    done = subprocess.run(
        [*command, python, *execution.argv("second", attempt=2)[1:]],
        cwd=execution.root,
        env=execution.environ(),
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    processes: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        pid, _, call = line.partition(" ")
        processes.setdefault(pid, []).append(call.strip())
    return processes


def count(lines: list[str], *, after: str, before: str) -> int:
    first = next(i for i, line in enumerate(lines) if after in line)
    last = next(i for i, line in enumerate(lines) if i > first and re.search(before, line))
    names = CALLS.split(",")
    return sum(line.split("(")[0] in names for line in lines[first:last])


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_file_system_calls_before_user_code(
    execution: Any, python: str, tmp_path: Path, record_property: Any
) -> None:
    supervisor, rank, *_ = traced(execution, python, tmp_path / "strace.log").values()
    calls = {
        "supervisor": count(supervisor, after="execve", before=r"^(fork|vfork|clone3?)\("),
        "rank": count(rank, after='"rank"', before=USER_CODE),
    }
    record_property("calls", calls)
    print(f"file-system calls before user code: {calls} (at most {MAX_CALLS})")
    assert max(calls.values()) <= MAX_CALLS


@pytest.mark.bench
def test_processor_time_of_a_job_that_does_nothing(
    execution: Any,
    python: str,
    tmp_path: Path,
    processor_seconds: Any,
    judge_processor_time: Any,
) -> None:
    words = " ".join([python, *execution.argv("first", attempt=2)[1:]])
    job, bare = tmp_path / "job.sh", tmp_path / "bare.sh"
    job.write_text(f"#!/bin/bash\nset -euo pipefail\nexec {words}\n")
    bare.write_text(f"#!/bin/bash\nset -euo pipefail\nexec {python} -c pass\n")
    # A page that is fresh: one of all the jobs of an execution writes it, every 15 s at most.
    execution.layout.report.write_text("")
    os.utime(execution.layout.report, (2**32, 2**32))
    spent = {
        script: processor_seconds(("bash", script), cwd=execution.root, env=execution.environ())
        for script in (job, bare)
    }
    judge_processor_time("the runtime in a job that does nothing", spent[job] - spent[bare], JOB_S)


LEDGER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dfh_runtime.context import Clock, open_context
context = open_context(Path(sys.argv[2]), job="second", task=None, attempt=2, plan_sha256="")
clock = Clock.now()
from dfh_runtime.stage import stage_inputs
inputs = stage_inputs(context)
import re
before = time.process_time()
from dfh_runtime.record import end_record, write_record
data = end_record(context, status="succeeded", reason="", clock=clock, inputs=inputs, outputs=[])
write_record(context.ledger, data, user="bench")
print(time.process_time() - before)
"""


@pytest.mark.bench
def test_what_the_ledger_adds(execution: Any, python: str, judge_processor_time: Any) -> None:
    spent = []
    for _ in range(5):
        done = subprocess.run(
            [python, "-c", LEDGER, str(execution.layout.code), str(execution.root)],
            check=True,
            capture_output=True,
            text=True,
        )
        spent.append(float(done.stdout.split()[0]))
    (path, *_) = execution.ledger.glob("loose/bench/*/*.json")
    assert json.loads(path.read_bytes())["kind"] == "end"
    judge_processor_time("the record of a job", min(spent), LEDGER_S)
