"""Commands that only look, each an `..._ARGV` with a `parse_...` that reads its output. Pure.

Fields that are not known here are left alone; those that are missing (Slurm's versions differ, and
some sites hide what is not one's own) are None or empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deepforge_hpc.files.kinds import GRES
from deepforge_hpc.probe.values import count, keyed, made, names, seconds, word

VERSION_ARGV = ("sinfo", "-V")
CONFIG_ARGV = ("scontrol", "show", "config")
PARTITIONS_ARGV = ("scontrol", "-a", "show", "-o", "partitions")
NODES_ARGV = ("scontrol", "-a", "show", "-o", "nodes")
MPI_ARGV = ("srun", "--mpi=list")
HELP_ARGV = ("srun", "--help")
LICENSES_ARGV = ("scontrol", "show", "-o", "lic")
RESERVATIONS_ARGV = ("scontrol", "show", "-o", "res")
# `module` is a function of the login shell; the names go to stderr without --redirect (Lmod).
MODULES_ARGV = ("bash", "-lc", "module -t avail 2>&1")

_KEY = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z0-9_:/-]*)=")


def _is_yes(said: str | None) -> bool:
    return said == "YES"


def _positive(said: str | None) -> int | None:
    return count(said) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition."""

    name: str
    is_default: bool = keyed("Default", _is_yes)
    is_up: bool = keyed("State", lambda said: said in (None, "UP"))
    is_hidden: bool = keyed("Hidden", _is_yes)
    is_open: bool = True
    """Neither for root alone nor for reservations alone."""
    max_nodes: int | None = keyed("MaxNodes", count)
    """None: no limit beside the number of nodes."""
    min_nodes: int | None = keyed("MinNodes", _positive)
    total_nodes: int | None = keyed("TotalNodes", count)
    max_time_s: int | None = keyed("MaxTime", seconds)
    """None: no limit that Slurm shows."""
    default_time_s: int | None = keyed("DefaultTime", seconds)
    max_cpus_per_node: int | None = keyed("MaxCPUsPerNode", count)
    max_mem_mib: int | None = keyed("MaxMemPerNode", _positive)
    max_mem_per_cpu_mib: int | None = keyed("MaxMemPerCPU", _positive)
    groups: tuple[str, ...] = keyed("AllowGroups", names)
    """Of Unix, whose members may use it; empty: all."""
    accounts: tuple[str, ...] = keyed("AllowAccounts", names)
    """Empty: all."""
    denied_accounts: tuple[str, ...] = keyed("DenyAccounts", names)
    allowed_qos: tuple[str, ...] = keyed("AllowQos", names)
    """Empty: all."""
    denied_qos: tuple[str, ...] = keyed("DenyQos", names)
    qos: str = keyed("QoS", word)
    """Whose limits hold for every job of the partition."""
    is_exclusive: bool | None = None
    default_mem: Mapping[str, int] = field(default_factory=dict)
    """MiB of a job that does not ask, by Slurm's key: DefMemPerCPU, -Node or -GPU."""
    priority_tier: int | None = keyed("PriorityTier", count)
    preempt_mode: str = keyed("PreemptMode", lambda said: said or "")
    grace_s: int | None = keyed("GraceTime", count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, or the kind of it: the name is no part of what it is."""

    name: str
    partitions: tuple[str, ...]
    cpus: int | None = None
    """As Slurm counts them: threads mostly, cores where its file says so."""
    usable: int | None = None
    """CPUs that a job can have."""
    cores: int | None = None
    threads: int | None = None
    """Of a core."""
    mem_mib: int | None = None
    gpus: int = 0
    gpu_type: str = ""
    gres: tuple[tuple[str, int], ...] = ()
    """What else it has: name, with its type where it has one, and number; sorted."""

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what nodes of a kind have in common."""
        size = (self.cpus, self.usable, self.cores, self.threads, self.mem_mib)
        return (*size, self.gpus, self.gpu_type, self.gres)


def parse_version(text: str) -> str:
    """Return `22.05.8` of `slurm-wlm 22.05.8`; empty if there is none."""
    match = re.search(r"\b(\d+\.\d+(?:\.\d+){0,2}(?:-\d+)?)", text)
    return match[1] if match else ""


def parse_config(text: str) -> dict[str, str]:
    """Return the settings of `scontrol show config`; what is not set is left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and word(value.strip()):
            found.setdefault(key.strip(), value.strip())
    return found


def parse_clock(text: str) -> str:
    """Return the controller's local time of `scontrol show config`, ISO 8601; empty without."""
    match = re.match(r"Configuration data as of (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\s", text)
    return match[1] if match else ""


def parse_records(text: str, first: str) -> Iterator[dict[str, str]]:
    """Yield the records of `scontrol show`, which begin with the key `first`, on one line or many.

    A value may hold spaces (`OS=`, `Reason=`): it ends where the next key begins.
    """
    for part in re.split(rf"(?m)^\s*(?={first}=)", text):
        if not part.startswith(f"{first}="):
            continue
        keys = list(_KEY.finditer(part))
        ends = [key.start() for key in keys[1:]] + [len(part)]
        found: dict[str, str] = {}
        for key, end in zip(keys, ends, strict=True):
            found.setdefault(key[1], part[key.end() : end].strip())
        yield found


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Return the partitions of `scontrol show partitions`."""
    return tuple(
        made(
            Partition,
            record,
            name=record["PartitionName"],
            is_open="YES" not in (record.get("RootOnly"), record.get("ReqResv")),
            is_exclusive=_is_exclusive(record),
            default_mem=default_mem(record),
        )
        for record in parse_records(text, "PartitionName")
    )


def default_mem(record: Mapping[str, str]) -> Mapping[str, int]:
    """Return what a partition, or the configuration, gives a job that does not ask for memory."""
    keys = ("DefMemPerCPU", "DefMemPerNode", "DefMemPerGPU")
    return {key: mib for key in keys if (mib := count(record.get(key)))}


def _is_exclusive(record: Mapping[str, str]) -> bool | None:
    """Return whether jobs get whole nodes; Slurm 26.05 says it under a key of its own."""
    share = record.get("OverSubscribe") or record.get("Shared")
    if share is None and "Exclusive" not in record:
        return None
    return share == "EXCLUSIVE" or record.get("Exclusive") == "NODE"


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Return the nodes of `scontrol show nodes`; those without memory or partition left out."""
    found = (_node(record) for record in parse_records(text, "NodeName"))
    return tuple(node for node in found if node.partitions)


def _node(record: Mapping[str, str]) -> Node:
    total = count(record.get("CPUTot"))
    memory = count(record.get("RealMemory"))
    kept = count(record.get("MemSpecLimit")) or 0
    gpus, kind = _gpus(record)
    threads = count(record.get("ThreadsPerCore"))
    sockets, each = count(record.get("Sockets")), count(record.get("CoresPerSocket"))
    cores = sockets * each if sockets and each else total and total // (threads or 1)
    usable = count(record.get("CPUEfctv"))
    if usable is None and total is not None:  # before Slurm 22.05
        usable = total - (count(record.get("CoreSpecCount")) or 0) * (threads or 1)
    return Node(
        name=record["NodeName"],
        partitions=names(record.get("Partitions")),
        cpus=total,
        usable=usable,
        cores=cores,
        threads=threads,
        mem_mib=memory - kept if memory is not None and memory > 1 else None,
        gpus=gpus,
        gpu_type=kind,
        gres=_other_gres(record),
    )


def _gres(record: Mapping[str, str]) -> list[str]:
    return re.split(r",(?![^(]*\))", word(record.get("Gres")))


def _other_gres(record: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Return what is no GPU of `Gres=gpu:4,nvme:fast:2,lscratch:100G`; G means 2**30."""
    found: Counter[str] = Counter()
    for item in _gres(record):
        named = re.sub(r"\(.*\)|:no_consume", "", item)
        match = re.fullmatch(rf"({GRES.pattern}?)(?::(\d+)([KMGT]?))?", named)
        if match:
            found[match[1]] += int(match[3] or 1) << 10 * " KMGT".index(match[4] or " ")
    return tuple(sorted(found.items()))


def _gpus(record: Mapping[str, str]) -> tuple[int, str]:
    """Return number and type of the GPUs of `Gres=gpu:a100:4(S:0-1),nvme:1`."""
    number, kinds = 0, set()
    for item in _gres(record):
        match = re.fullmatch(r"gpu(?::([^:()]+))??(?::(\d+))?(?:\(.*\))?", item)
        if match:
            number += int(match[2] or 1)
            kinds.add(match[1] or "")
    return number, kinds.pop() if len(kinds) == 1 else ""


def parse_mpi(text: str) -> tuple[str, ...]:
    """Return the plugins that `srun --mpi=list` names: on lines of their own, or behind `srun:`."""
    found: list[str] = []
    for line in text.splitlines():
        if "specific" in line:
            found += re.findall(r"\b(pmix_v\d+)\b", line)
            continue
        # Older versions: `srun: pmi2`, or all of them in one line behind the colon.
        words = line.rpartition(":")[2].replace(",", " ").split()
        found += [item for item in words if re.fullmatch(r"[a-z][a-z0-9_]*", item)]
    return tuple(dict.fromkeys(item for item in found if item not in _PROSE))


_PROSE = frozenset({"plugin", "plugins", "types", "are", "srun", "specific", "versions"})


def parse_options(text: str) -> tuple[str, ...]:
    """Return those options of `srun --help` that plugins for containers and software add."""
    return tuple(name for name in _PLUGIN_OPTIONS if re.search(rf"(?m)^\s+--{name}\b(?!-)", text))


_PLUGIN_OPTIONS = ("container-image", "environment", "uenv")


def parse_modules(text: str) -> tuple[str, ...]:
    """Return the names that `module -t avail` lists; headings end in a colon."""
    names = (line.strip().removesuffix("(default)") for line in text.splitlines())
    found = (name for name in names if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+/-]*[^/:]", name))
    return tuple(dict.fromkeys(found))


def parse_licenses(text: str) -> tuple[str, ...]:
    """Return the licences that `scontrol show lic` lists, as `matlab (4)`."""
    records = parse_records(text, "LicenseName")
    return tuple(f"{item['LicenseName']} ({item.get('Total', '?')})" for item in records)


def parse_reservations(text: str) -> tuple[str, ...]:
    """Return what `scontrol show res` lists, each with its time, nodes, and whom it is for."""
    return tuple(
        f"{item['ReservationName']}, {item.get('StartTime')} to {item.get('EndTime')}, "
        f"{item.get('Nodes')}, for {', '.join(_owners(item)) or 'nobody named'}"
        for item in parse_records(text, "ReservationName")
    )


def _owners(item: Mapping[str, str]) -> list[str]:
    return [name for key in ("Users", "Groups", "Accounts") for name in names(item.get(key))]
