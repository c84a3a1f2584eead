"""Flux: the header of a script. Rendered from public documents, not run in this version.

A plan speaks Slurm's words; here each node becomes one slot with all that a job has of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.schedulers.unrun import NotRunScheduler, take_gpus
from deepforge_hpc.units import parse_duration

# flux batch has no arrays: each task is a job of its own, which is told its number.
_LEFT_OUT = frozenset({"open-mode", "no-requeue", "qos", "mem", "array", "clusters"})
_PREAMBLE = ("export DFH_NATIVE_ID=${FLUX_JOB_ID:-}",)


class FluxScheduler(NotRunScheduler):
    """Shows what would be submitted."""

    title = "Flux"
    variables = ("FLUX_",)

    def header(self, options: Sequence[tuple[str, str]]) -> list[str]:
        left = {name: value for name, value in options if name not in _LEFT_OUT}
        nodes = int(left.pop("nodes", "1"))
        ranks = int(left.pop("ntasks-per-node", "0")) or int(left.pop("ntasks", "1")) // nodes
        cores = ranks * int(left.pop("cpus-per-task", "1"))
        found = [("nodes", str(nodes)), ("nslots", str(nodes)), ("cores-per-slot", str(cores))]
        if gpus := take_gpus(left, nodes, ranks):
            found.append(("gpus-per-slot", str(gpus)))
        if time := left.pop("time", ""):
            found.append(("time-limit", f"{parse_duration(time)}s"))
        if signal := left.pop("signal", ""):
            name, _, before = signal.removeprefix("B:").partition("@")
            found.append(("signal", f"{name}@{before}s"))
        found += [(_NAMES.get(name, name), value) for name, value in left.items()]
        lines = [f"--{name}={value}" if value else f"--{name}" for name, value in found]
        return [*(f"# flux: {line}" for line in lines), *_PREAMBLE]

    def describe(self, request: SubmitRequest) -> list[str]:
        """Return the words of the command that would queue a script, `<0-7>` for each of 0 to 7."""
        output = request.output.replace("%a", f"<{request.array}>")
        words = ["flux", "batch", f"--job-name={request.name}", f"--output={output}"]
        words.append(f"--cwd={request.directory}")
        if request.account:
            words.append(f"--bank={request.account}")
        if request.array:
            words.append(f"--env=DFH_ARRAY_TASK_ID=<{request.array}>")
        words += [f"--dependency={request.dependency}:{job}" for job in request.after]
        return [*words, f"{request.directory}/{request.script}", *request.arguments]


_NAMES = {"partition": "queue", "constraint": "requires"}
