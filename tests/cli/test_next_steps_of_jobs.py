"""What dfh says to do after a job that did not succeed is done, word for word, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MORE = """
def make() -> int:
    number = 1
    return number

def use(number: int, word: str) -> int:
    more = number + 1
    return more

def read(text: str, word: str) -> str:
    said = text
    return said
"""
MADE = ("unmarked", "torn", "damaged", "mistaken")


def folder_of(project: Path, name: str = "gated-0001") -> Path:
    return project / "executions" / name


@pytest.fixture
def shown(dfh: Any, until: Any) -> Callable[..., str]:
    """Return a function that waits until nothing of an execution is left to do, and gives its status."""

    def wait(project: Path, name: str = "gated-0001") -> str:
        until(lambda: not (folder_of(project, name) / "local" / "engine.json").exists())
        return str(dfh("status", name, cwd=project, expect=None).stdout)

    return wait


@pytest.fixture
def chain(gated: Path) -> Path:
    """Return a project with an operation that waits for a file, and one that needs it."""
    code = gated / "operations.py"
    code.write_text(code.read_text() + MORE)
    file = gated / "pipeline.yaml"
    use = "  use: {uses: 'operations.py:use', inputs: {number: make.number, word: wait.word}}\n"
    make = "  make: {uses: 'operations.py:make'}\n"
    file.write_text(file.read_text().replace("outputs:", f"{make}{use}outputs:"))
    return gated


def begin(dfh: Any, project: Path, until: Any, *made: str) -> Path:
    """Submit, wait until all runs that can, and return the folder of the execution."""
    dfh("submit", cwd=project)
    folder = folder_of(project)
    until_it_waits(folder, until)
    for name in made:
        until((folder / "jobs" / name / "success.json").exists)
    return folder


def until_it_waits(folder: Path, until: Any, attempt: int = 1) -> None:
    log = folder / "jobs" / "wait" / f"out.{attempt}.log"
    until(lambda: log.exists() and "waiting" in log.read_text())


def test_a_job_that_was_signalled(
    dfh: Any, chain: Path, follow: Any, until: Any, shown: Any
) -> None:
    folder = begin(dfh, chain, until, "make")
    steps = (
        "runtime/job/ranks.py interruption: dfh resume",
        "runtime/base/advice.py next_step: dfh resume",
        "runtime/state/judge.py _resume: dfh resume",
    )
    for attempt, step in enumerate(steps, start=2):
        state = json.loads((folder / "jobs" / "wait" / "state.json").read_text())
        os.kill(state["pid"], signal.SIGTERM)
        said = shown(chain)
        assert "Submitted 3 jobs" in follow(step, said, cwd=chain).stdout
        until_it_waits(folder, until, attempt)


UPSTREAM = """
  {name}: {{uses: 'operations.py:make'}}
  use_{name}: {{uses: 'operations.py:use', inputs: {{number: {name}.number, word: wait.word}}}}
"""


def test_what_a_job_needs_is_gone_or_is_another(
    dfh: Any, chain: Path, follow: Any, until: Any, shown: Any
) -> None:
    file, text = chain / "pipeline.yaml", chain / "text.txt"
    text.write_text("hello")
    more = "".join(UPSTREAM.format(name=name) for name in MADE)
    more += "  read: {uses: 'operations.py:read', inputs: {text: text, word: wait.word}}\n"
    more += "inputs: {text: {uri: text.txt, type: text}}\n"
    file.write_text(file.read_text().replace("outputs:", f"{more}outputs:"))
    folder = begin(dfh, chain, until, *MADE)
    unmarked, torn, damaged, mistaken = (folder / "jobs" / name for name in MADE)
    (unmarked / "success.json").unlink()
    (torn / "success.json").write_text("{")
    (damaged / "outputs" / "number.json").write_text("2\n")
    mistaken = mistaken / "success.json"
    mistaken.write_text(mistaken.read_text().replace('"format":"json"', '"format":"text"'))
    text.rename(chain / "away.txt")
    (chain / "open").touch()
    said = shown(chain)
    for step, cause in (
        ("job-templates/base.sh.j2 need: dfh status", "it has no success.json"),
        ("runtime/job/guard.py upstream_error: dfh status", "damaged success marker"),
    ):
        looked = follow(step, said, cwd=chain, verb="status", expect=None)
        assert cause in looked.stdout
    logs = follow("runtime/base/advice.py next_step: dfh logs #2", said, cwd=chain)
    assert "text.txt" in logs.stdout
    follow("runtime/base/advice.py next_step: dfh resume", said, cwd=chain)
    now = shown(chain)
    for name in ("unmarked", "torn"):
        assert f"use_{name}:" in said
        assert f"use_{name}:" not in now
    said = now
    (chain / "away.txt").rename(text)
    follow("runtime/job/stage.py _from_external: dfh resume", said, cwd=chain)
    for name in ("damaged", "mistaken"):
        said = shown(chain)
        made = said[said.index(f"use_{name}") :]
        follow("runtime/job/stage.py unsound: dfh resume", made, cwd=chain)
    assert "gated-0001  succeeded" in shown(chain)


LARGE = """
import os

def publish() -> str:
    text = "x" * (1 << 20)
    return text

def save(text: str) -> str:
    longer = text * 4
    with open("left", "wb") as stream:
        stream.write(bytes(8 << 20))  # more than there is room for: it is in nobody's way
    return longer

def fill(longer: str) -> int:
    with open(os.environ["DFH_WORK"] + "/file", "wb") as stream:
        stream.write(bytes(8 << 20))
    number = 1
    return number
"""
DISKS = """
pipeline: gated
operations:
  publish: {uses: 'ops.py:publish'}
  save: {uses: 'ops.py:save', inputs: {text: publish.text}}
  fill: {uses: 'ops.py:fill', inputs: {longer: save.longer}}
outputs: {text: {from: publish.text, to: to/text.txt}}
"""


@pytest.fixture
def disks(make_project: Callable[..., Path]) -> Iterator[Callable[..., None]]:
    """Return a function that gives folders of a project as many MiB as it is told."""
    project = make_project({"ops.py": LARGE, "pipeline.yaml": DISKS}, name="disks")
    mounted: dict[str, Path] = {}

    def give(mib: int, *names: str) -> None:
        for name in names:
            again = ",remount" if name in mounted else ""
            path = project / name
            path.mkdir(exist_ok=True)
            options = f"size={mib}m{again}"
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False
            )
            if done.returncode != 0:
                pytest.skip("mounting a tmpfs needs root")
            mounted[name] = path

    yield give
    for path in mounted.values():
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_disks_that_are_full(
    dfh: Any, disks: Callable[..., None], tmp_path: Path, follow: Any, shown: Any
) -> None:
    project = tmp_path / "disks"
    executions, to = (project / name for name in ("executions", "to"))
    disks(4, "executions")
    disks(1, "to")
    (to / "used").write_bytes(bytes(1 << 18))
    dfh("submit", cwd=project)
    said = shown(project)
    assert "publish: The outputs could not be published: No space left" in said
    listed = follow("runtime/base/failure.py os_hint: dfh executions", said, cwd=project)
    assert "gated-0001" in listed.stdout
    disks(9, "to")
    checkpoints = executions / "gated-0001" / "jobs" / "publish" / "checkpoints"
    checkpoints.touch()
    page = (executions / "gated-0001" / "report.html").read_text()
    page = page[page.index('<dl class="next">') :]
    follow("runtime/report/failures.py _next: dfh resume", page, cwd=executions / "gated-0001")
    said = shown(project)
    assert "publish: The job's folder cannot be used: File exists" in said
    checkpoints.unlink()
    follow("runtime/base/failure.py resume: dfh resume", said, cwd=project)
    said = shown(project)
    assert "save: Output longer cannot be saved: No space left" in said
    disks(9, "executions")
    follow("runtime/base/failure.py resume: dfh resume", said, cwd=project)
    said = shown(project)
    assert "fill: The operation raised OSError: [Errno 28] No space left" in said
    disks(30, "executions")
    follow("runtime/base/failure.py resume: dfh resume", said, cwd=project)
    assert "gated-0001  succeeded" in shown(project)


RANKS = """
import os, signal

def die() -> int:
    if os.environ["DFH_RANK"] == "1":
        print("last words", flush=True)
        os._exit(3)
    signal.pause()
    number = 1
    return number
"""
HERE = "{{site: here, extends: local, launchers: {{mpi: {{argv: [{argv}], clamp: no}}}}}}"
MPIRUN = "mpirun, --allow-run-as-root, --oversubscribe, -np, '{world_size}'"


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("step", "argv", "said"),
    [
        ("runtime/job/diagnosis.py _with_log: dfh logs", MPIRUN, "last words"),
        (
            "runtime/job/diagnosis.py _by_launcher: dfh logs",
            f"{MPIRUN}, -no-such-option",
            "command line",  # of each version of Open MPI in other sentences
        ),
        (
            "runtime/job/diagnosis.py _wordless: dfh logs",
            "bash, PROJECT/start.sh, '{world_size}'",
            "no word",
        ),
    ],
    ids=["rank", "launcher", "wordless"],
)
def test_ranks_that_die(
    dfh: Any, make_project: Callable[..., Path], follow: Any, step: str, argv: str, said: str
) -> None:
    operation = "{die: {uses: 'ops.py:die', launch: mpi, resources: {ntasks_per_node: 2}}}"
    files = {
        "ops.py": RANKS,
        "pipeline.yaml": f"pipeline: ranks\noperations: {operation}\n",
        "start.sh": "echo no word of a rank\nexit 4\n",
    }
    project = make_project(files, name="ranks")
    site = HERE.format(argv=argv.replace("PROJECT", str(project)))
    make_project({"site-configs/here.yaml": site}, name="ranks")
    ended = dfh("run", "--site", "here", cwd=project, expect=9)
    logs = follow(step, ended, cwd=project)
    assert said in logs.stdout
    other = dfh("logs", "ranks-0001", "die", "--rank", "7", cwd=project, expect=2)
    ranks = "0, 1" if said == "last words" else "none"
    assert f"Ranks with a log of their own: {ranks}." in other.stderr


def test_of_ended_jobs_beside_one_that_runs(
    dfh: Any, chain: Path, until: Any, shown: Any, follow: Any
) -> None:
    file = chain / "pipeline.yaml"
    uses = f"{{uses: 'operations.py:wait', attributes: {{gate: {chain / 'open'}}}}}"
    others = f"  stopped: {uses}\n  other: {uses}\n"
    file.write_text(file.read_text().replace("outputs:", f"{others}outputs:"))
    dfh("submit", cwd=chain)

    def end(job: str, send: Callable[[int, signal.Signals], None], number: signal.Signals) -> None:
        folder = folder_of(chain) / "jobs" / job
        until(lambda: "waiting" in "".join(log.read_text() for log in folder.glob("out.1.log")))
        send(json.loads((folder / "state.json").read_text())["pid"], number)
        until(lambda: jobs()[job]["state"] != "running")

    def jobs() -> dict[str, Any]:
        found = json.loads(dfh("status", "--json", cwd=chain, expect=None).stdout)["jobs"]
        return {job["name"]: job for job in found}

    end("wait", lambda pid, number: os.killpg(os.getpgid(pid), number), signal.SIGKILL)
    end("stopped", os.kill, signal.SIGTERM)
    told = dfh("status", cwd=chain, expect=None).stdout
    assert "Once the rest has ended: dfh resume gated-0001 runs what is missing." in told
    assert "next    dfh status gated-0001 --watch" in told
    (chain / "open").touch()
    over = shown(chain)
    assert "Once the rest has ended" not in over
    killed = jobs()["wait"]  # the engine says when it ended, so its time no longer grows
    assert (killed["state"], killed["elapsed_s"] is None) == ("failed", False)
    assert jobs()["wait"]["elapsed_s"] == killed["elapsed_s"]
    follow("runtime/job/ranks.py interruption: dfh resume", over, cwd=chain)
