"""What one supercomputer (or this machine) expects, as frozen data; sites.md of the docs says more.

Every fact may be UNKNOWN: nobody has told. That is neither "no" nor 0 nor absent: it warns where it
matters, and it never refuses a job. None is "not given".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Any

from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.model_place import (
    Accounting,
    ErrorHint,
    Fact,
    FileSystem,
    GlobusCollection,
    Identify,
    Login,
    Network,
    Purge,
    SlurmFacts,
    Software,
    Transfer,
)
from deepforge_hpc.site.model_queue import (
    Holdings,
    JobLimit,
    JobLimits,
    LocalDisk,
    MemoryRequest,
    NodeType,
    Preemption,
    Queue,
    Tier,
)
from deepforge_hpc.site.unknown import (
    ANY,
    UNKNOWN,
    Count,
    Flag,
    Range,
    Unknown,
    UnknownType,
    Word,
    known,
)

if TYPE_CHECKING:
    from deepforge_hpc.model.environment import EnvironmentSpec

__all__ = [
    "ANY",
    "UNKNOWN",
    "Account",
    "AccountSuffix",
    "Accounting",
    "Binding",
    "Clamp",
    "Containers",
    "Count",
    "Defaults",
    "EnvironmentSet",
    "ErrorHint",
    "ExtraDirective",
    "Fact",
    "FileSystem",
    "Flag",
    "ForbiddenFlag",
    "GlobusCollection",
    "GpuRequest",
    "Holdings",
    "Identify",
    "JobLimit",
    "JobLimits",
    "Launcher",
    "LocalDisk",
    "Login",
    "MemoryRequest",
    "Modules",
    "Network",
    "NodeType",
    "Preemption",
    "Purge",
    "Queue",
    "Range",
    "Request",
    "Routing",
    "SiteSpec",
    "SlurmFacts",
    "Software",
    "SubmitSettings",
    "Tier",
    "Transfer",
    "Unknown",
    "UnknownType",
    "When",
    "Word",
    "known",
]


class When(Frozen):
    """Conditions on a job, as data; all that are given must hold.

    If any of them is unknown, `gpus` is UNKNOWN here, and the rule holds for no job.
    """

    gpus: Flag = None
    queues: tuple[str, ...] = ()
    nodes: Range = ANY
    ntasks_per_node: Range = ANY
    launch: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that an environment set of the site gives the job."""
    node_local: bool | None = None
    whole_node: bool | None = None


class AccountSuffix(Frozen):
    """What is appended to the account of some jobs."""

    suffix: str = ""
    when: When = field(default_factory=When)


class Account(Frozen):
    """The project that pays."""

    required: str | UnknownType = "no"
    """yes | no | if-several"""
    value: str = ""
    pattern: Word = None
    """Regular expression of a whole account name, without suffix."""
    env: str = ""
    """Variable of the user's that names it."""
    suffixes: tuple[AccountSuffix, ...] = ()
    list_command: Word = None


class Routing(Frozen):
    """By what a job finds its queue."""

    by: tuple[str, ...] | UnknownType = ("partition", "qos", "constraint")
    """partition | qos | constraint | walltime | memory | nodes; empty: Slurm routes it itself."""
    forbidden: tuple[str, ...] = ()


class Defaults(Frozen):
    """What a job gets that does not ask; None leaves it to the scheduler."""

    time_s: int | None = None
    mem_per_node_mib: int | None = None
    cpus_per_task: int | None = None


class Binding(Frozen):
    """Which cores belong to which GPU."""

    style: str | UnknownType = "none"
    """mask | map | closest | none: how cores are bound to ranks."""
    gpu_core_base: tuple[int, ...] = ()
    """First core of the region of GPU 0, 1, ..."""
    width: int = 1
    """Cores of a region."""
    skip_first: int = 0
    """Cores at the start of each region that a job cannot have."""
    gpu_order: str | tuple[int, ...] = "ascending"
    """ascending | descending: local rank r gets GPU r, or the r-th from the end; or the GPUs, by
    local rank."""
    nic_of_gpu: tuple[str, ...] = ()
    """Which network interface is beside GPU 0, 1, ..."""
    needs_full_node: bool = False
    except_queues: tuple[str, ...] = ()


class GpuRequest(Frozen):
    """The one form in which GPUs are asked for."""

    style: str | UnknownType = "gres"
    """gres | gpus | gpus-per-node | gpus-per-task | none"""
    typed: bool = False
    where: str = "header"
    """header | launch | both"""


class ForbiddenFlag(Frozen):
    """An option that the site does not want."""

    flag: str = ""
    severity: str | UnknownType = "reject"
    """reject | policy | avoid"""
    why: str = ""


class ExtraDirective(Frozen):
    """An option that some jobs need."""

    directive: tuple[str, str] = ("", "")
    when: When = field(default_factory=When)


class Request(Frozen):
    """In which words the site wants to be asked."""

    gpu: GpuRequest = field(default_factory=GpuRequest)
    memory: MemoryRequest = field(default_factory=MemoryRequest)
    required: tuple[str, ...] | UnknownType = ()
    """account | time | nodes | partition | qos | constraint | memory | gpus"""
    forbidden: tuple[ForbiddenFlag, ...] = ()
    tasks: str = "ntasks-per-node"
    """ntasks-per-node | ntasks"""
    cpus_per_task: str = "header"
    """header | launch | both | none"""
    extra: tuple[ExtraDirective, ...] = ()


class Launcher(Frozen):
    """How one value of `launch:` becomes a command."""

    argv: tuple[str, ...] = ()
    """With `{world_size}`, `{nodes}`, `{ntasks_per_node}`, `{cpus_per_task}`, `{gpus_per_node}`,
    `{cpu_bind}`, `{gpu_bind}`; a word that is a binding alone and becomes empty is left out."""
    env: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    clamp: bool = False
    """True: the site lacks this launcher; one rank is started, with a warning."""
    max_nodes: int | None = None
    avoid: str = ""
    """Why the site advises against it: told to those who use it."""
    note: str = ""


class EnvironmentSet(Frozen):
    """Variables and modules that some jobs need."""

    when: When = field(default_factory=When)
    env: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    conflicts: Word = None
    """What it does not go with."""
    since: Word = None
    """YYYY-MM-DD from which it holds; for people: a plan does not look at the clock."""
    until: Word = None
    """YYYY-MM-DD to which it held."""
    note: str = ""


class Modules(Frozen):
    """The modules of every job of the site, before those of its environment."""

    init: str | UnknownType = "none"
    """none | purge | force-purge | reset"""
    unload: tuple[str, ...] = ()
    load: tuple[str, ...] = ()
    note: str = ""


class Containers(Frozen):
    """What runs an image."""

    runtime: str | UnknownType = "apptainer"
    """apptainer | shifter | podman-hpc | pyxis | ce | none"""
    gpu_flag: str = ""
    bind: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Further words of its launch."""
    mpi: Word = None
    """The --mpi that srun needs for programs inside."""
    modules: tuple[str, ...] = ()
    build_on: tuple[str, ...] | UnknownType | None = None
    """login | compute: where images can be made."""
    note: str = ""


class SubmitSettings(Frozen):
    """How the site wants jobs to be submitted."""

    from_: Word = None
    """Role of the file system that sbatch must be called from."""
    rate_per_min: Count = None
    max_queued: Count = None
    max_array_tasks: Count = None
    requeue: Flag = None
    export: str = ""
    """ALL | NONE: whether a job has the environment of the submitting shell; empty: NONE."""
    cluster: str = ""
    """-M"""
    slurm_conf: Word = None
    """Path in SLURM_CONF by which a cluster is reached that is not the default one."""
    array_counts_as: Word = None
    """tasks | job: as how many jobs an array counts."""


class Clamp(Frozen):
    """What one machine has: a larger request is cut down to it, with a warning."""

    nodes: int | None = None
    gpus_per_node: int | None = None
    cpus_per_node: int | None = None
    """In the file also `available`: the cores that dfh may use, counted when the file is read."""


class SiteSpec(Frozen):
    """A whole site, `extends` and the chosen variant merged in."""

    name: str = ""
    """`perlmutter`, or `perlmutter/gpu` with a variant."""
    title: str = ""
    description: str = ""
    scheduler: str = ""
    identify: tuple[Identify, ...] = ()
    slurm: SlurmFacts = field(default_factory=SlurmFacts)
    dependency: str = "afterok"
    """afterok | afterany"""
    account: Account = field(default_factory=Account)
    routing: Routing = field(default_factory=Routing)
    defaults: Defaults = field(default_factory=Defaults)
    queues: tuple[Queue, ...] = ()
    """In order of preference; empty: the site's default queue takes every job."""
    node_types: Mapping[str, NodeType] = field(default_factory=dict)
    binding: Binding = field(default_factory=Binding)
    request: Request = field(default_factory=Request)
    launchers: Mapping[str, Launcher] = field(default_factory=dict)
    environment_sets: Mapping[str, EnvironmentSet] = field(default_factory=dict)
    modules: Modules = field(default_factory=Modules)
    containers: Containers = field(default_factory=Containers)
    software: Software = field(default_factory=Software)
    filesystems: tuple[FileSystem, ...] | UnknownType = ()
    transfer: Transfer = field(default_factory=Transfer)
    network: Network = field(default_factory=Network)
    login: Login = field(default_factory=Login)
    submit: SubmitSettings = field(default_factory=SubmitSettings)
    accounting: Accounting = field(default_factory=Accounting)
    errors: tuple[ErrorHint, ...] = ()
    clamp: Clamp = field(default_factory=Clamp)
    environment: EnvironmentSpec | None = None
    executions: str = ""
    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    """Names of the variants of the file."""
    unknowns: tuple[str, ...] = ()
    """Where the file says `unknown`, as dotted paths: for those who ask, and for warnings."""
    dfh: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the site as JSON data, UNKNOWN as `unknown`."""
        data = _plain(self)
        assert isinstance(data, dict)
        return data


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
