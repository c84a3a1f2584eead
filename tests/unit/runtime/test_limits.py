"""A limit of a process (`ulimit`) is told as that limit, whatever has met it."""

from __future__ import annotations

import json
import resource
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.failure import disk_hint, os_hint
from deepforge_hpc.runtime.rank.explain import describe

if TYPE_CHECKING:
    from conftest import Execution

    from deepforge_hpc.runtime.base.plan import LaunchCommand

MADE_BY = {
    "operation": "The operation",
    "ranks": "The operation",
    "command": "bash",
    "shell": "What bash ran",
}


def run(execution: Execution, limits: str) -> dict[str, Any]:
    """Run the job in a shell with limits; return its state."""
    execution.freeze()
    argv = ["bash", "-c", f'ulimit {limits} && exec "$@"', "bash", *execution.argv("job")]
    subprocess.run(argv, cwd=execution.root, env=execution.environ(), check=False, timeout=60)
    return execution.state("job")


def add(execution: Execution, made_by: str, two_ranks: LaunchCommand, signal: str) -> None:
    """Add a job of which the kernel ends a process by a signal, as it does at a limit."""
    number = f"signal.{signal}"
    code = f"signal.signal({number}, signal.SIG_DFL); os.kill(os.getpid(), {number})"
    code = code.removeprefix("signal.signal(signal.SIGKILL, signal.SIG_DFL); ")
    kill = f"kill -{signal} $$"
    commands = {
        "command": ("bash", "-c", kill),
        "shell": ("bash", "-c", f"bash -c '{kill}'; exit $?"),
    }
    execution.operation(
        "job",
        f"import os, signal\ndef operation(): {code}\n",
        launch=two_ranks if made_by == "ranks" else None,
        command=commands.get(made_by, ()),
        outputs={},
    )


@pytest.mark.parametrize("made_by", MADE_BY)
@pytest.mark.parametrize(
    ("signal", "told", "limit"),
    [
        ("SIGXCPU", "used up its limit on CPU time (SIGXCPU).", "(ulimit -t)"),
        ("SIGXFSZ", "wrote a larger file than it may (SIGXFSZ).", "(ulimit -f)"),
    ],
)
def test_a_limit_that_ends_a_process_is_told_alike(
    execution: Execution,
    two_ranks: LaunchCommand,
    made_by: str,
    signal: str,
    told: str,
    limit: str,
) -> None:
    add(execution, made_by, two_ranks, signal)
    assert execution.run("job").returncode == 1
    state = execution.state("job")
    assert state["reason"] == f"{MADE_BY[made_by]} {told}"
    assert limit in state["hint"]
    assert state["hint"].endswith("Where it is not so: dfh resume demo-0001.")
    assert state["again"] is True


@pytest.mark.parametrize("made_by", MADE_BY)
def test_a_kill_is_told_alike(execution: Execution, two_ranks: LaunchCommand, made_by: str) -> None:
    add(execution, made_by, two_ranks, "SIGKILL")
    assert execution.run("job").returncode == 1
    state = execution.state("job")
    told = "was killed from outside (SIGKILL): probably it ran out of memory."
    assert state["reason"] == f"{MADE_BY[made_by]} {told}"
    assert "mem_per_node" in state["hint"]


def test_the_kernel_says_of_an_operation_that_it_has_used_up_its_cpu_time(
    execution: Execution,
) -> None:
    execution.operation("job", "def operation():\n    while True:\n        pass\n")
    assert "limit on CPU time" in run(execution, "-S -t 1")["reason"]


@pytest.mark.parametrize(("nodes", "soft"), [(1, 60), (2, 59)])
def test_ranks_on_other_nodes_are_warned_before_the_kernel_kills(
    execution: Execution, two_ranks: LaunchCommand, nodes: int, soft: int
) -> None:
    """Those of the job's own node have it of the job's script."""
    code = (
        "import resource\ndef operation(): return list(resource.getrlimit(resource.RLIMIT_CPU))\n"
    )
    job = execution.operation("job", code, launch=two_ranks)
    execution.jobs = [job._replace(resources=job.resources._replace(nodes=nodes))]
    assert run(execution, "-t 60")["state"] == "succeeded"
    assert json.loads((execution.folder("job").outputs / "result.json").read_text()) == [soft, 60]


WRITE = "open('large', 'wb').write(bytes(1 << 20))"
NUMPY = "import numpy; numpy.save('large', numpy.zeros(1 << 17))"


@pytest.mark.parametrize("write", [WRITE, NUMPY])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_that_is_larger_than_it_may_be(
    execution: Execution, write: str, wrapped: bool
) -> None:
    again = "raise RuntimeError('cannot write') from error" if wrapped else "raise"
    code = f"""
        def operation():
            try:
                {write}
            except OSError as error:
                {again}
        """
    execution.operation("job", code)
    state = run(execution, "-f 512")
    assert "A file may have 512 KiB here (ulimit -f)." in state["hint"]
    assert state["hint"].endswith("dfh resume demo-0001.")
    assert state["again"] is True


def test_an_output_that_is_larger_than_a_file_may_be_costs_no_other_one(
    execution: Execution,
) -> None:
    code = "import numpy\ndef operation(): return numpy.zeros(1 << 17), 'kept'"
    execution.operation("job", code, outputs={"large": "npy", "small": "text"})
    state = run(execution, "-f 512")
    assert state["reason"].startswith("Output large cannot be saved: ")
    assert state["hint"].startswith("A file may have 512 KiB here (ulimit -f).")
    assert "dfh resume demo-0001. jobs/job/rescue keeps small;" in state["hint"]
    assert "submit again" not in state["hint"]
    assert state["again"] is True
    index = json.loads(execution.folder("job").rescue.joinpath("index.json").read_bytes())
    assert list(index["saved"]) == ["small"]


@pytest.mark.parametrize(
    "body",
    [
        "len(bytearray(1 << 32))",
        "import mmap; mmap.mmap(-1, 1 << 32)",
        "raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')",
    ],
)
def test_memory_that_a_limit_refuses(execution: Execution, body: str) -> None:
    execution.operation("job", f"def operation():\n    {body}\n")
    state = run(execution, "-v 1048576")
    assert "A process may have 1.0 GiB of memory here (ulimit -v)." in state["hint"]
    assert state["again"] is True


def test_memory_that_no_limit_refuses_is_asked_for() -> None:
    hints = [describe(error, rank=0, code="").hint for error in (MemoryError(), OSError(12, "no"))]
    assert all("mem_per_node" in hint for hint in hints)
    other = ImportError("libgomp.so.1: cannot allocate memory in static TLS block")
    assert "mem_per_node" not in describe(other, rank=0, code="").hint


def test_a_short_write_of_numpy_is_a_full_disk_where_no_limit_is() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    error = OSError("131072 requested and 65536 written")
    assert "Free some space" in os_hint(error)
    assert disk_hint(error, "demo-0001").endswith("dfh resume demo-0001.")
