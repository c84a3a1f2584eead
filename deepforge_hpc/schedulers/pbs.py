"""PBS Professional: a script's header. Rendered from public documents, not run in this version.

A plan speaks Slurm's words; here they become a `select` statement, of one chunk a node, and the
options around it. What PBS has no word for (the walltime warning, the way a log is opened) is left
out: a job there ends at its walltime without a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.schedulers.unrun import NotRunScheduler, take_gpus

_LEFT_OUT = frozenset({"signal", "open-mode", "qos", "clusters"})
# Where PBS starts a job and what it calls a task; the rest of the script knows these names.
_PREAMBLE = (
    'cd -- "${PBS_O_WORKDIR:-.}"',
    "export DFH_NATIVE_ID=${PBS_JOBID:-}",
    "export DFH_ARRAY_TASK_ID=${PBS_ARRAY_INDEX:-${DFH_ARRAY_TASK_ID:-}}",
)


class PbsScheduler(NotRunScheduler):
    """Shows what would be submitted."""

    title = "PBS Professional"
    variables = ("PBS_",)

    def header(self, options: Sequence[tuple[str, str]]) -> list[str]:
        left = {name: value for name, value in options if name not in _LEFT_OUT}
        nodes = int(left.pop("nodes", "1"))
        lines = [":".join((f"-l select={nodes}", *_chunk(left, nodes)))]
        if time := left.pop("time", ""):
            lines.append(f"-l walltime={_walltime(time)}")
        if "exclusive" in left:
            del left["exclusive"]
            left.setdefault("place", "scatter:excl")
        tail = []
        if queue := left.pop("partition", ""):
            tail.append(f"-q {queue}")
        if array := left.pop("array", ""):
            tail.append(f"-J {array}")
        if "no-requeue" in left:
            del left["no-requeue"]
            tail.append("-r y" if array else "-r n")  # qsub refuses arrays that are not rerunnable
        lines += [f"-l {name}={value}" for name, value in left.items()]
        return [*(f"#PBS {line}" for line in (*lines, *tail)), *_PREAMBLE]

    def describe(self, request: SubmitRequest) -> list[str]:
        """Return the words of the command that would queue a script.

        qsub passes a script no arguments: those that the guard checks have to go another way.
        """
        output = request.output.replace("%a", "^array_index^")
        words = ["qsub", "-N", request.name, "-j", "oe", "-o", output]
        if request.account:
            words += ["-A", request.account]
        if request.after:
            words += ["-W", f"depend={request.dependency}:{':'.join(request.after)}"]
        return [*words, f"{request.directory}/{request.script}"]


def _chunk(options: dict[str, str], nodes: int) -> list[str]:
    """Return what each node gives, and take it out of the options.

    A site that gives whole nodes asks for no cores (cpus_per_task: none), and its chunks are bare.
    """
    ranks = int(options.pop("ntasks-per-node", "0")) or int(options.pop("ntasks", "1")) // nodes
    parts = []
    if cores := options.pop("cpus-per-task", ""):
        parts = [f"ncpus={ranks * int(cores)}", f"mpiprocs={ranks}"]
    gpus = take_gpus(options, nodes, ranks)
    if gpus:
        parts.append(f"ngpus={gpus}")
    if others := options.pop("gres", ""):
        parts += [_resource(item) for item in others.split(",")]
    if memory := options.pop("mem", ""):
        parts.append(f"mem={memory.lower()}b")
    if constraint := options.pop("constraint", ""):
        parts.append(f"{constraint}=True")
    if more := options.pop("select", ""):  # written so in request.extra of a site
        parts.append(more)
    return parts


def _resource(item: str) -> str:
    """Return `lscratch:100` as `lscratch=100`, and a name alone as one of it."""
    name, colon, count = item.rpartition(":")
    return f"{name}={count}" if colon else f"{item}=1"


def _walltime(time: str) -> str:
    """Return `1-12:00:00` as `36:00:00`."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(:\d\d:\d\d)", time)
    assert match is not None
    return f"{int(match[1] or 0) * 24 + int(match[2]):02d}{match[3]}"
