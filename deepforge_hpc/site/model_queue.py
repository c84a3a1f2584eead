"""Where jobs can go at a site, and what they find there: queues, their limits, kinds of node."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.unknown import ANY, Count, Flag, Range, UnknownType, Word


class MemoryRequest(Frozen):
    """Whether and how memory is asked for."""

    policy: str | UnknownType = "optional"
    """required | optional | forbidden | fixed-per-core | fixed-per-gpu | per-cpu-only"""
    whole_node: str = ""
    """The value of --mem that means all of a node, e.g. `0`, `494000M`."""
    share: Flag = None
    """Whether a job that does not say asks for what goes with its cores or GPUs of a node."""
    default_per_cpu_mib: Count = None
    """What a job has that does not ask."""


class Tier(Frozen):
    """A step of the walltime as a function of nodes."""

    nodes: Range = ANY
    time: Range = ANY
    """Seconds."""


class JobLimit(Frozen):
    """How many there may be at once, of all jobs of one."""

    max: Count = None
    scope: str | UnknownType = "user"
    """user | account | group"""


class Holdings(Frozen):
    """What the jobs that run at once may hold together."""

    nodes: JobLimit | None = None
    gpus: JobLimit | None = None


class JobLimits(Frozen):
    """How many jobs a queue lets one have."""

    running: JobLimit | None = None
    submitted: JobLimit | None = None
    eligible: JobLimit | None = None
    any_state: JobLimit | None = None


class Preemption(Frozen):
    """Whether, and how, a job may be thrown out."""

    grace_s: Count = None
    exempt_s: Count = None
    signal: Word = None


class Queue(Frozen):
    """Where a job can be sent: a partition, a QOS, a constraint, or several of them."""

    name: str = ""
    partition: str = ""
    qos: str = ""
    constraint: str = ""
    default: Flag = None
    """Whether Slurm sends jobs here that name no queue."""
    node_type: str = ""
    automatic: bool = True
    """False: only for those who ask for it by name."""
    access: Word = None
    nodes: Range = ANY
    gpus: Range = ANY
    """Of the whole job."""
    gpus_per_node: Range = ANY
    cpus: Range = ANY
    """Of the whole job."""
    cpus_per_node: Range = ANY
    cpu_multiple: Count = None
    mem_per_node: Range = ANY
    """MiB."""
    time: Range = ANY
    """Seconds."""
    tiers: tuple[Tier, ...] = ()
    node_minutes: Count = None
    """Nodes times minutes of one job, at most."""
    jobs: JobLimits = field(default_factory=JobLimits)
    at_once: Holdings = field(default_factory=Holdings)
    memory: MemoryRequest | None = None
    """Where the queue has rules of its own; else those of `request` hold."""
    exclusive: Flag = None
    """Whole nodes."""
    chaining: str | UnknownType = "allowed"
    """allowed | forbidden: may a job that depends on others go there?"""
    preemptible: Preemption | UnknownType | None = None
    account_suffix: str = ""
    """Wins over the account's own rules."""
    charge: Word = None
    note: str = ""


class LocalDisk(Frozen):
    """Storage of a node of its own."""

    path: Word = None
    size_mib: Count = None
    is_ram: Flag = None
    """True: what lies there counts as memory of the job."""
    constraint: str = ""
    """What has to be asked for to have it."""


class NodeType(Frozen):
    """One kind of node."""

    count: Count = None
    cpu: Word = None
    cores: Count = None
    usable_cores: Count = None
    """What a job can have, if the system keeps some."""
    reserved_cores: tuple[int, ...] = ()
    """Numbers of those that the system keeps."""
    smt: Count = None
    mem_mib: Count = None
    mem_requestable_mib: Count = None
    mem_includes_gpu: Flag = None
    """Whether Slurm counts the memory of the GPUs in."""
    gpus: Count = None
    gpu_model: Word = None
    gpu_type: Word = None
    """As Slurm names it in typed requests, e.g. `a100`."""
    gpu_mem_mib: Count = None
    nics: Word = None
    local: LocalDisk | UnknownType | Literal[False] | None = None
    """False: there is none."""
