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
_OWN = "dfh decides that for each job; unset it"
_INSTEAD = {
    "say --account {}": "ACCOUNT",
    "say it by resources: {{time: ...}}": "TIMELIMIT",
    "export SLURM_CLUSTERS={}": "CLUSTERS",
    _BY_QUEUE: "CONSTRAINT PARTITION QOS RESERVATION",
    _BY_GPUS: "GPUS GPUS_PER_NODE GPUS_PER_SOCKET GPUS_PER_TASK GRES",
    _BY_MEMORY: "MEM_PER_CPU MEM_PER_GPU MEM_PER_NODE",
    _OWN: "ARRAY_INX DEBUG ERROR EXPORT GET_USER_ENV IGNORE_PBS INPUT JOB_NAME NO_REQUEUE "
    "OPEN_MODE OUTPUT REQUEUE SIGNAL WAIT",
    _BY_SITE: "ACCTG_FREQ BATCH BURST_BUFFER CLUSTER_CONSTRAINT CONTAINER CONTAINER_ID CORE_SPEC "
    "CPUS_PER_GPU CPU_FREQ_REQ DELAY_BOOT DISTRIBUTION EXCLUSIVE GPU_BIND GPU_FREQ GRES_FLAGS HINT "
    "MEM_BIND NETWORK NO_KILL OOM_KILL_STEP OVERCOMMIT POWER PROFILE REQ_SWITCH SEGMENT_SIZE "
    "SPREAD_JOB THREADS_PER_CORE THREAD_SPEC TRES_BIND TRES_PER_TASK USE_MIN_NODES WAIT4SWITCH "
    "WAIT_ALL_NODES WCKEY",
}
"""What says the same as variables of sbatch, `SBATCH_NAME`, of Slurm 22.05 to 24.11."""
_OPTION = {
    "ARRAY_INX": "array",
    "CPU_FREQ_REQ": "cpu-freq",
    "DEBUG": "verbose",
    "MEM_PER_NODE": "mem",
    "REQ_SWITCH": "switches",
    "SEGMENT_SIZE": "segment",
    "TIMELIMIT": "time",
    "WAIT4SWITCH": "switches",
}
"""Where the option has another name than the variable."""
UNHEARD = {
    f"SBATCH_{name}": Unheard(_OPTION.get(name, name.lower().replace("_", "-")), instead)
    for instead, names in _INSTEAD.items()
    for name in names.split()
}
"""Variables of sbatch that no job here heeds, and what says the same."""
