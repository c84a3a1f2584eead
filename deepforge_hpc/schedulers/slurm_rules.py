"""Options that Slurm does not take together, always or since some version. Pure.

What dfh asks for by itself breaks none of these: they are for what a site's file adds to it
(`request.extra`, `launchers`), so that the plan is refused and not each job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from deepforge_hpc.plugins.scheduler import Conflict, Unheard

_TRES = frozenset({"tres-per-job", "tres-per-node", "tres-per-socket", "tres-per-task"})
_GPU_FORMS = (
    frozenset({"gres", "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"}) | _TRES
)
_MEMORY_FORMS = frozenset({"mem", "mem-per-cpu", "mem-per-gpu"})


def conflicts(
    version: str | None, header: Mapping[str, str], argv: Sequence[str]
) -> Iterator[Conflict]:
    """Yield what is wrong with the header and the launch line of one job, taken together."""
    options = (_option(word) for word in argv if word.startswith("--"))
    line = dict(options) if is_srun(argv) else {}
    both = {**header, **line}
    forms = {name for name in _GPU_FORMS & both.keys() if _is_gpu(name, header, line)}
    if len(forms) > 1:
        yield Conflict(f"GPUs are asked for in {len(forms)} forms at once: {_options(forms)}")
    if len(memory := _MEMORY_FORMS & both.keys()) > 1:
        yield Conflict(f"memory is asked for in {len(memory)} forms at once: {_options(memory)}")

    def since(low: str, text: str, *, before: bool = False) -> Iterator[Conflict]:
        if version is None:
            yield Conflict(f"{text} {'before' if before else 'since'} Slurm {low}", False)
        elif (_number(version) < _number(low)) is before:
            yield Conflict(f"{text} in Slurm {version}")

    if {"cpus-per-gpu", "cpus-per-task"} <= both.keys():
        yield from since("23.11", "--cpus-per-gpu and --cpus-per-task exclude each other")
    if both.get("cpu-bind", "").endswith("rank"):
        yield from since("24.11", "there is no --cpu-bind=rank")
    if "|" in header.get("licenses", ""):
        yield from since("25.05", "there is no choice of --licenses (a|b)", before=True)
    if "hint" in both and {"cores-per-socket", "sockets-per-node"} & both.keys():
        yield from since("25.11", "--hint excludes --cores-per-socket and --sockets-per-node")


def is_srun(argv: Sequence[str]) -> bool:
    """Return whether a launch line is of srun, wherever that lies."""
    return bool(argv) and argv[0].rpartition("/")[2] == "srun"


def inherits_cpus(version: str | None) -> bool:
    """Return whether srun takes the job's --cpus-per-task over: not from 22.05 to 23.02."""
    return version is not None and _number(version) >= _number("23.11")


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.removeprefix("--").partition("=")
    return name.replace("_", "-"), value


def _is_gpu(name: str, *places: Mapping[str, str]) -> bool:
    """Return whether an option asks for GPUs: --gres and --tres-per-... ask for more than these."""
    return name not in {"gres", *_TRES} or any(
        re.split("[:=]", item.removeprefix("gres/"))[0] == "gpu"
        for place in places
        for item in place.get(name, "").split(",")
    )


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name}" for name in sorted(names))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


_BY_QUEUE = "name a queue of the site that has it: resources: {{queue: NAME}}"
_BY_GPUS = "say it by resources: {{gpus_per_node: ...}}"
_BY_MEMORY = "say it by resources: {{mem_per_node: ...}}"
_BY_SITE = "the site's file can ask for it: request: {{extra: [{{directive: [..]}}]}}"
UNHEARD = {
    "SBATCH_ACCOUNT": Unheard("account", "say --account {}"),
    "SBATCH_PARTITION": Unheard("partition", _BY_QUEUE),
    "SBATCH_QOS": Unheard("qos", _BY_QUEUE),
    "SBATCH_RESERVATION": Unheard("reservation", _BY_QUEUE),
    "SBATCH_CONSTRAINT": Unheard("constraint", _BY_QUEUE),
    "SBATCH_TIMELIMIT": Unheard("time", "say it by resources: {{time: ...}}"),
    "SBATCH_CLUSTERS": Unheard("clusters", "export SLURM_CLUSTERS={}"),
    "SBATCH_GPUS": Unheard("gpus", _BY_GPUS),
    "SBATCH_GPUS_PER_NODE": Unheard("gpus-per-node", _BY_GPUS),
    "SBATCH_GPUS_PER_TASK": Unheard("gpus-per-task", _BY_GPUS),
    "SBATCH_GRES": Unheard("gres", _BY_GPUS),
    "SBATCH_MEM_PER_NODE": Unheard("mem", _BY_MEMORY),
    "SBATCH_MEM_PER_CPU": Unheard("mem-per-cpu", _BY_MEMORY),
    "SBATCH_MEM_PER_GPU": Unheard("mem-per-gpu", _BY_MEMORY),
    "SBATCH_WCKEY": Unheard("wckey", _BY_SITE),
    "SBATCH_EXCLUSIVE": Unheard("exclusive", _BY_SITE),
    "SBATCH_CORE_SPEC": Unheard("core-spec", _BY_SITE),
    "SBATCH_THREADS_PER_CORE": Unheard("threads-per-core", _BY_SITE),
}
"""Variables of sbatch that no job here heeds, and what says the same."""
