"""Where jobs can go at a site, and what they find there: queues, their limits, kinds of node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from deepforge_hpc.files.kinds import GRES, Integer, Items, MapOf, OneOf, Text
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import (
    COUNT,
    LINE,
    SIZE,
    SLURM_NAME,
    TEXT,
    TIME,
    NoOr,
    OrUnknown,
    RangeOf,
    Whole,
    fact,
    given,
    yes_no,
)
from deepforge_hpc.site.unknown import ANY, Count, Flag, Range, UnknownType, Word
from deepforge_hpc.site.words import CONSTRAINT, NAME, SUFFIX, bound


class MemoryRequest(Frozen):
    """Whether and how memory is asked for."""

    policy: str | UnknownType = fact(
        OneOf(
            *("required", "optional", "forbidden"),
            *("fixed-per-core", "fixed-per-gpu", "per-cpu-only"),
        ),
        "optional",
    )
    whole_node: str = given(
        Text("the value of --mem for a whole node, such as 0", r"\d+[KMGT]?"), ""
    )
    """The value of --mem that means all of a node, e.g. `0`, `494000M`."""
    share: Flag = fact(yes_no)
    """Whether a job that does not say asks for what goes with its cores or GPUs of a node."""
    default_per_cpu_mib: Count = fact(SIZE, name="default_per_cpu")
    """What a job has that does not ask."""


MEMORY_REQUEST = Object(MemoryRequest, shorthand="policy")


class Tier(Frozen):
    """A step of the walltime as a function of nodes."""

    nodes: Range = key(RangeOf(COUNT), ANY)
    time: Range = key(RangeOf(TIME), ANY)
    """Seconds."""


class JobLimit(Frozen):
    """How many there may be at once, of all jobs of one."""

    max: Count = fact(COUNT)
    scope: str | UnknownType = fact(OneOf("user", "account", "group"), "user")


_LIMIT = Object(JobLimit)


class MemoryLimit(JobLimit):
    """How much memory there may be at once; MiB."""

    max: Count = fact(SIZE)


class Holdings(Frozen):
    """What the jobs that run at once may hold together."""

    nodes: JobLimit | None = given(_LIMIT)
    gpus: JobLimit | None = given(_LIMIT)
    cpus: JobLimit | None = given(_LIMIT)
    mem: MemoryLimit | None = given(Object(MemoryLimit))


class JobLimits(Frozen):
    """How many jobs a queue lets one have."""

    running: JobLimit | None = given(_LIMIT)
    submitted: JobLimit | None = given(_LIMIT)
    eligible: JobLimit | None = given(_LIMIT)
    any_state: JobLimit | None = given(_LIMIT)


class Preemption(Frozen):
    """Whether, and how, a job may be thrown out."""

    grace_s: Count = fact(TIME, name="grace")
    exempt_s: Count = fact(TIME, name="exempt")
    signal: Word = fact(LINE)


class Queue(Frozen):
    """Where a job can be sent: a partition, a QOS, a constraint, or several of them."""

    name: str = key(Text("the name of a queue", SLURM_NAME), "", required=True)
    partition: str = given(NAME, "")
    """One, or several with commas, of which Slurm takes the first that has room."""
    qos: str = given(NAME, "")
    constraint: str = given(CONSTRAINT, "")
    reservation: str = given(NAME, "")
    """Of nodes, which its jobs are for."""
    segment: int | None = given(Integer(1, 1_000_000))
    """Nodes that lie together in the network: what --segment asks for."""
    default: Flag = fact(yes_no)
    """Whether Slurm sends jobs here that name no queue."""
    node_type: str = given(NAME, "")
    automatic: bool = given(yes_no, default=True)
    """False: only for those who ask for it by name."""
    access: Word = fact(TEXT)
    nodes: Range = key(RangeOf(COUNT), ANY)
    gpus: Range = key(RangeOf(COUNT), ANY)
    """Of the whole job."""
    gpus_per_node: Range = key(RangeOf(COUNT), ANY)
    cpus: Range = key(RangeOf(COUNT), ANY)
    """Of the whole job."""
    cpus_per_node: Range = key(RangeOf(COUNT), ANY)
    cpu_multiple: Count = fact(Integer(1, 100_000))
    mem_per_node: Range = key(RangeOf(SIZE), ANY)
    """MiB."""
    mem_per_cpu: Range = key(RangeOf(SIZE), ANY)
    """MiB of a job's memory that go with each of its CPUs."""
    time: Range = key(RangeOf(TIME), ANY)
    """Seconds."""
    tiers: tuple[Tier, ...] = given(Items(Object(Tier), "a list of {nodes, time}"), ())
    node_minutes: Count = fact(COUNT)
    """Nodes times minutes of one job, at most."""
    jobs: JobLimits = given(Object(JobLimits), JobLimits())
    at_once: Holdings = given(Object(Holdings), Holdings())
    memory: MemoryRequest | None = given(MEMORY_REQUEST)
    """Where the queue has rules of its own; else those of `request` hold."""
    exclusive: Flag = fact(yes_no)
    """Whole nodes."""
    chaining: str | UnknownType = fact(OneOf("allowed", "forbidden"), "allowed")
    """May a job that depends on others go there?"""
    preemptible: Preemption | UnknownType | None = fact(Object(Preemption))
    account: str = given(NAME, "")
    """The one that pays for its jobs, whichever is given for the others."""
    account_suffix: str = given(SUFFIX, "")
    """Wins over the account's own rules."""
    charge: Word = fact(TEXT)
    note: str = given(TEXT, "")


class LocalDisk(Frozen):
    """Storage of a node of its own."""

    path: Word = fact(bound)
    size_mib: Count = fact(SIZE, name="size")
    is_ram: Flag = fact(yes_no)
    """True: what lies there counts as memory of the job."""
    constraint: str = given(CONSTRAINT, "")
    """What has to be asked for to have it."""


class NodeType(Frozen):
    """One kind of node."""

    count: Count = fact(COUNT)
    cpu: Word = fact(LINE)
    cores: Count = fact(COUNT)
    """Cores, never threads: so are `usable_cores` and `reserved_cores`."""
    usable_cores: Count = fact(COUNT)
    """What a job can have, if the system keeps some."""
    reserved_cores: tuple[int, ...] = given(Whole(Integer(0, 10_000), "a list of core numbers"), ())
    """Numbers of those that the system keeps."""
    smt: Count = fact(COUNT)
    """Threads of a core; each is a CPU of Slurm's, if `threads_per_core` does not say less."""
    threads_per_core: Count = fact(COUNT)
    """Threads of a core that a job has which does not ask for more."""
    mem_mib: Count = fact(SIZE, name="mem")
    mem_requestable_mib: Count = fact(SIZE, name="mem_requestable")
    mem_includes_gpu: Flag = fact(yes_no)
    """Whether Slurm counts the memory of the GPUs in."""
    gpus: Count = fact(COUNT)
    gpu_model: Word = fact(LINE)
    gpu_type: Word = fact(NAME)
    """As Slurm names it in typed requests, e.g. `a100`."""
    gpu_mem_mib: Count = fact(SIZE, name="gpu_mem")
    gres: Mapping[str, Count] | UnknownType | None = fact(
        MapOf(OrUnknown(Integer(0, 10**15)), GRES, "a name of the scheduler's that is not gpu")
    )
    """What else it has, by the scheduler's names: `{lscratch: 100}`; others it has not."""
    nics: Word = fact(LINE)
    local: LocalDisk | UnknownType | Literal[False] | None = key(NoOr(Object(LocalDisk)))
    """False: there is none."""
