"""From what a machine says to the data of a site file. Pure.

What Slurm cannot know (purge, quotas, network, rules of the login nodes) is `unknown`. A limit that
a partition does not have is `unknown` too: a site may keep it where Slurm does not show it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from deepforge_hpc.probe import accounts, commands
from deepforge_hpc.probe.commands import Node
from deepforge_hpc.probe.queues import draft_queues, memory_request, of_association
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.probe.values import count
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.site.kinds import SLURM_NAME
from deepforge_hpc.units import format_duration

UNKNOWN = "unknown"
_SRUN = (
    *("srun", "--nodes={nodes}", "--ntasks={world_size}", "--ntasks-per-node={ntasks_per_node}"),
    *("--cpus-per-task={cpus_per_task}", "--kill-on-bad-exit=1"),
)
_OF_INTEREST = re.compile(
    r"(?i)(cuda|cudnn|nccl|rocm|rccl|aws-ofi|openmpi|mpich|cray-mpich|mvapich|intel-mpi|impi|hpcx"
    r"|python|anaconda|miniconda|miniforge|conda|cray-python|pytorch|tensorflow|horovod|gcc"
    r"|apptainer|singularity)\b"
)
_MOST_MODULES = 40
_RUNTIMES = ("apptainer", "shifter", "podman-hpc")


def draft(machine: Machine, *, name: str, date: str) -> dict[str, Any]:
    """Return the data of a site file; `date` (YYYY-MM-DD) is written beside each fact."""
    kinds = node_kinds(machine.nodes)
    data: dict[str, Any] = {
        "dfh": 1,
        "site": name,
        "title": name,
        "description": f"Draft of what Slurm says of the cluster {machine.cluster or name}",
        "extends": "slurm-base",
        "identify": _identify(machine) or UNKNOWN,
        "scheduler": "slurm",
        "slurm": {
            "version": machine.version or UNKNOWN,
            "flavour": UNKNOWN,
            "mpi_default": machine.mpi_default or ("none" if machine.config else UNKNOWN),
        },
        "account": _account(machine),
        "routing": {"by": ["partition", "qos"] if machine.partitions else UNKNOWN},
        "defaults": _defaults(machine),
        "queues": draft_queues(machine, kinds),
        "node_types": {name: _node_type(kind) for name, kind in kinds.items()},
        "binding": {"style": UNKNOWN},
        "request": _request(machine),
        "launchers": _launchers(machine),
        "modules": {"init": UNKNOWN},
        "containers": {"runtime": _runtime(machine)},
        "filesystems": UNKNOWN,
        "transfer": {"dtn": UNKNOWN, "queue": UNKNOWN, "globus": UNKNOWN},
        "network": {"compute_internet": UNKNOWN, "interface": UNKNOWN},
        "login": {"policy": UNKNOWN, "cpu_minutes": UNKNOWN, "mem": UNKNOWN},
        "submit": _submit(machine),
        "accounting": {
            "usage_command": "sshare -U -P" if machine.qos else UNKNOWN,
            "balance_command": UNKNOWN,
            "limits_command": "sacctmgr -nP show qos" if machine.qos else UNKNOWN,
            "charge": UNKNOWN,
        },
    }
    data["facts"] = _facts(date)
    return data


def site_name(cluster: str) -> str:
    """Return a name for the file of a cluster."""
    return re.sub(r"[^a-z0-9-]+", "-", cluster.lower()).strip("-") or "my-cluster"


def hidden_rules(machine: Machine, proof: str) -> tuple[Notice, ...]:
    """Return why the machine may refuse more than is known; `proof`: the command that tries it."""
    found = list(machine.unanswered)
    found += [
        f"{key}={machine.config[key]}: the site checks jobs by rules that cannot be read; see its "
        "documentation"
        for key in ("JobSubmitPlugins", "CliFilterPlugins")
        if key in machine.config
    ]
    private = machine.config.get("PrivateData", "").lower()
    if private not in ("", "none"):
        found.append(f"PrivateData={private}: Slurm hides some of what was asked for")
    step = f"{proof} tries what the site takes"
    return tuple(Notice("hidden_rule", text, next=step) for text in found)


def module_notes(machine: Machine) -> tuple[str, ...]:
    """Return the modules that a pipeline may have to load, for the person who writes `modules`."""
    found = [name for name in machine.modules if _OF_INTEREST.match(name)]
    lmod = machine.variables.get("LMOD_VERSION")
    head = f"modules of {f'Lmod {lmod}' if lmod else 'this shell'}: "
    return (head + " ".join(found[:_MOST_MODULES]),) if found else ()


def slurm_notes(machine: Machine) -> tuple[str, ...]:
    """Return what Slurm shows and no key of a site file holds."""
    found = [f"licences, to ask for by request.extra: {name}" for name in machine.licenses]
    found += [f"reservation: {said}" for said in machine.reservations]
    places = [("the cluster", commands.default_mem(machine.config))]
    places += [(f"partition {item.name}", item.default_mem) for item in machine.partitions]
    found += [
        f"{key}={mib} of {place}: MiB of a job that does not ask for memory"
        for place, memory in places
        for key, mib in memory.items()
        if key != "DefMemPerCPU"
    ]
    return tuple(found)


def node_kinds(nodes: Sequence[Node]) -> dict[str, Node]:
    """Return one node of each kind, the most frequent first, under names such as `gpu-a100-4`."""
    counts = Counter(node.kind for node in nodes)
    first = {node.kind: node for node in reversed(nodes)}
    found: dict[str, Node] = {}
    for kind, _ in counts.most_common():
        node = first[kind]
        name = f"gpu-{node.gpu_type or node.gpus}" if node.gpus else f"cpu-{node.cpus or 'node'}"
        if name in found and node.mem_mib:
            name = f"{name}-{round(node.mem_mib / 1024)}g"
        while name in found:
            name += "x"
        found[name] = node
    return found


def _identify(machine: Machine) -> list[dict[str, Any]]:
    """Return what `dfh site detect` will know the machine by, one of which must hold."""
    found: list[dict[str, Any]] = []
    if machine.cluster:
        found.append({"cluster_name": machine.cluster})
    system = machine.variables.get("LMOD_SYSTEM_NAME", "")
    if re.fullmatch(SLURM_NAME, system):
        found.append({"env": {"LMOD_SYSTEM_NAME": system}})
    return found


def _node_type(node: Node) -> dict[str, Any]:
    # CPUs of Slurm's are threads, or cores where its file says so; a site file counts cores.
    each = max(1, (node.cpus or 0) // node.cores) if node.cores else 1
    sold = {"threads_per_core": each} if node.cores and each != (node.threads or each) else {}
    return {
        "cores": node.cores or UNKNOWN,
        "usable_cores": node.usable // each if node.usable and node.cores else UNKNOWN,
        "smt": node.threads or UNKNOWN,
        **sold,
        "mem": f"{node.mem_mib}MiB" if node.mem_mib else UNKNOWN,
        "gpus": node.gpus,
        **({"gpu_type": node.gpu_type} if node.gpu_type else {}),
        **({"gres": dict(node.gres)} if node.gres else {}),
        "local": UNKNOWN,
    }


def _account(machine: Machine) -> dict[str, Any]:
    names = list(dict.fromkeys(item.account for item in machine.associations))
    enforced = "associations" in machine.config.get("AccountingStorageEnforce", "").lower()
    if machine.default_account or (machine.config and not enforced):
        required = "no"
    else:
        required = "if-several" if len(names) == 1 else UNKNOWN
    return {
        "required": required,
        "list_command": "sacctmgr -nP show assoc user=$USER format=Account,Partition,QOS",
    }


def _defaults(machine: Machine) -> dict[str, Any]:
    default = next((item for item in machine.partitions if item.is_default), None)
    seconds = default.default_time_s if default else None
    most = default.max_time_s if default else None
    if seconds is None:
        seconds = min(3600, most or 3600)
    return {"time": format_duration(seconds)}


def _request(machine: Machine) -> dict[str, Any]:
    per_cpu = commands.default_mem(machine.config).get("DefMemPerCPU")
    return {
        # By what nodes have; where they show none, a wrapper or another option may give GPUs.
        "gpu": {"style": "gres" if any(node.gpus for node in machine.nodes) else UNKNOWN},
        "memory": memory_request(machine, per_cpu),
    }


def _launchers(machine: Machine) -> dict[str, Any]:
    note = "by what is on PATH and what srun --mpi=list shows"
    mpi = {"argv": list(mpi_argv(machine)), "note": note}
    return {"mpi": mpi, "horovod": {**mpi, "env": {"OMPI_MCA_mpi_yield_when_idle": "1"}}}


def mpi_argv(machine: Machine) -> tuple[str, ...]:
    """Return the words that start ranks of an MPI program."""
    if "ibrun" in machine.programs:
        return ("ibrun",)
    if machine.mpi_default:
        return _SRUN
    for plugin in ("pmix", "pmi2", "cray_shasta"):
        if plugin in machine.mpi:
            return (_SRUN[0], f"--mpi={plugin}", *_SRUN[1:])
    if "mpirun" in machine.programs:
        return ("mpirun", "-np", "{world_size}", "--map-by", "ppr:{ntasks_per_node}:node")
    return _SRUN


def _runtime(machine: Machine) -> str:
    for option, runtime in (("container-image", "pyxis"), ("environment", "ce")):
        if option in machine.spank:
            return runtime
    found = next((name for name in _RUNTIMES if name in machine.programs), "")
    # Not on PATH is not "none": a module may bring it.
    return found or UNKNOWN


def _submit(machine: Machine) -> dict[str, Any]:
    largest = count(machine.config.get("MaxArraySize"))
    requeue = machine.config.get("JobRequeue")
    return {
        "from": UNKNOWN,
        "rate_per_min": UNKNOWN,
        "max_queued": of_association(machine, lambda item: item.max_submit) or UNKNOWN,
        # One more than the greatest index, and ours begin at 0.
        "max_array_tasks": largest or UNKNOWN,
        "requeue": requeue == "1" if requeue else UNKNOWN,
    }


_ASSOCIATIONS_ARGV = accounts.associations_argv("$USER")
_SOURCES = {
    "identify": (commands.CONFIG_ARGV,),
    "slurm": (commands.VERSION_ARGV,),
    "account": (_ASSOCIATIONS_ARGV,),
    "routing": (commands.PARTITIONS_ARGV,),
    "defaults": (commands.PARTITIONS_ARGV,),
    "queues": (commands.PARTITIONS_ARGV, accounts.QOS_ARGV, _ASSOCIATIONS_ARGV),
    "node_types": (commands.NODES_ARGV,),
    "request": (commands.CONFIG_ARGV, commands.NODES_ARGV),
    "launchers": (commands.MPI_ARGV,),
    "containers": (commands.HELP_ARGV,),
    "submit": (commands.CONFIG_ARGV, _ASSOCIATIONS_ARGV),
    "accounting": (accounts.QOS_ARGV,),
}


def _facts(date: str) -> dict[str, Any]:
    return {
        key: {"source": f"probe: {_said(asked)}", "date": date, "confidence": "L"}
        for key, asked in _SOURCES.items()
    }


def _said(asked: Sequence[Sequence[str]]) -> str:
    """Return commands as a person would look them up, without the list of columns."""
    return "; ".join(
        " ".join(word for word in argv if not word.startswith("format=")) for argv in asked
    )
