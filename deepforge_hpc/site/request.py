"""How jobs are asked for and started at a site."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.files.kinds import Integer, Items, MapOf, OneOf, Schema, Text, described
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.plugins.launcher import PATTERN
from deepforge_hpc.runtime.launchers import LAUNCHERS, Starter, starter
from deepforge_hpc.site.conditions import NEVER, WHEN, When
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import (
    COUNT,
    DATE,
    LINE,
    SIZE,
    TEXT,
    TIME,
    VARIABLE_NAME,
    Known,
    OrUnknown,
    Whole,
    YesNoOr,
    cores,
    fact,
    given,
    list_of,
    pattern,
    yes_no,
)
from deepforge_hpc.site.queue import MEMORY_REQUEST, MemoryRequest
from deepforge_hpc.site.unknown import Count, Flag, UnknownType, Word
from deepforge_hpc.site.words import (
    LAUNCHER_VARIABLES,
    MODULES,
    NAME,
    OPTION,
    PLACE,
    SUFFIX,
    VARIABLES,
    bound,
    directive,
    word,
)

QUEUE_SELECTORS = ("partition", "qos", "constraint")
SELECTORS = (*QUEUE_SELECTORS, "walltime", "memory", "nodes")
REQUIRED = ("account", "time", "nodes", *QUEUE_SELECTORS, "memory", "gpus")
_SELECTOR_LIST = list_of(OneOf(*SELECTORS), "a list of selectors")
_ORDER = Whole(Integer(0, 1_000), "a list of GPU numbers")
_WORDS = OneOf("ascending", "descending")


class AccountSuffix(Frozen):
    """What is appended to the account of some jobs."""

    suffix: str = key(Known(SUFFIX), "", required=True)
    when: When = key(WHEN, When())


class Account(Frozen):
    """The project that pays."""

    required: str | UnknownType = fact(YesNoOr("if-several"), "no")
    value: str = given(NAME, "")
    pattern: Word = fact(pattern)
    """Regular expression of a whole account name, without suffix."""
    env: str = given(VARIABLE_NAME, "")
    """Variable of the user's that names it."""
    suffixes: tuple[AccountSuffix, ...] = given(
        Items(Object(AccountSuffix), "a list of {when, suffix}"), ()
    )
    list_command: Word = fact(TEXT)


class Routing(Frozen):
    """By what a job finds its queue."""

    by: tuple[str, ...] | UnknownType = fact(_SELECTOR_LIST, ("partition", "qos", "constraint"))
    """Empty: Slurm routes it itself."""
    forbidden: tuple[str, ...] = given(_SELECTOR_LIST, ())
    together: tuple[tuple[str, ...], ...] = given(
        Items(list_of(NAME, "a list of queues"), "a list of lists of queues"), ()
    )
    """Queues that charge alike: Slurm is given all partitions of a list that a job fits, and takes
    the first that has room."""


class Defaults(Frozen):
    """What a job gets that does not ask; None leaves it to the scheduler."""

    time_s: int | None = given(TIME, name="time")
    mem_per_node_mib: int | None = given(SIZE, name="mem_per_node")
    cpus_per_task: int | None = given(Integer(1, 100_000))


@described({"anyOf": [_WORDS.schema(), _ORDER.schema()]})
def gpu_order(value: object, path: Path, reader: Reader) -> object:
    """Read a word, or the GPU of each rank of a node."""
    return _ORDER(value, path, reader) if isinstance(value, list) else _WORDS(value, path, reader)


class Binding(Frozen):
    """Which cores belong to which GPU."""

    style: str | UnknownType = fact(OneOf("mask", "map", "closest", "none"), "none")
    """How cores are bound to ranks."""
    gpu_core_base: tuple[int, ...] = given(Whole(Integer(0, 10_000), "a list of core numbers"), ())
    """First core of the region of GPU 0, 1, ..."""
    width: int = given(Integer(1, 1_000), 1)
    """Cores of a region."""
    skip_first: int = given(Integer(0, 100), 0)
    """Cores at the start of each region that a job cannot have."""
    gpu_order: str | tuple[int, ...] = given(gpu_order, "ascending")
    """ascending | descending: local rank r gets GPU r, or the r-th from the end; or the GPUs, by
    local rank."""
    nic_of_gpu: tuple[str, ...] = given(Whole(LINE, "a list of network interfaces"), ())
    """Which network interface is beside GPU 0, 1, ..."""
    needs_full_node: bool = given(yes_no, default=False)
    except_queues: tuple[str, ...] = given(list_of(NAME, "a list of queues"), ())


class GpuRequest(Frozen):
    """The one form in which GPUs are asked for."""

    style: str | UnknownType = fact(
        OneOf("gres", "gpus", "gpus-per-node", "gpus-per-task", "none"), "gres"
    )
    typed: bool = given(yes_no, default=False)
    where: str = given(OneOf("header", "launch", "both"), "header")


class ForbiddenFlag(Frozen):
    """An option that the site does not want."""

    flag: str = key(OPTION, "", required=True)
    severity: str | UnknownType = fact(OneOf("reject", "policy", "avoid"), "reject")
    why: str = given(TEXT, "")


class ExtraDirective(Frozen):
    """An option that some jobs need."""

    directive: tuple[str, str] = key(directive, ("", ""), required=True)
    when: When = key(WHEN, When())


def _extra(**values: Any) -> ExtraDirective:
    """Return an option for some jobs; one that is unknown is given to none."""
    if "directive" not in values:
        return ExtraDirective(when=NEVER)
    return ExtraDirective(**values)


class RequestStyle(Frozen):
    """How the site wants to be asked."""

    gpu: GpuRequest = given(Object(GpuRequest, shorthand="style"), GpuRequest())
    memory: MemoryRequest = given(MEMORY_REQUEST, MemoryRequest())
    required: tuple[str, ...] | UnknownType = fact(
        list_of(OneOf(*REQUIRED), "a list of what a job must say"), ()
    )
    forbidden: tuple[ForbiddenFlag, ...] = given(
        Items(Object(ForbiddenFlag), "a list of {flag, severity, why}"), ()
    )
    tasks: str = given(OneOf("ntasks-per-node", "ntasks"), "ntasks-per-node")
    cpus_per_task: str = given(OneOf("header", "launch", "both", "none"), "header")
    extra: tuple[ExtraDirective, ...] = given(
        Items(Object(ExtraDirective, build=_extra), "a list of {when, directive}"), ()
    )


class LaunchMethod(Frozen):
    """How one value of `launch:` becomes a command."""

    argv: tuple[str, ...] = given(Whole(word, "a list of words"), ())
    """With `{world_size}`, `{nodes}`, `{ntasks_per_node}`, `{cpus_per_task}`, `{gpus_per_node}`,
    `{cpu_bind}`, `{gpu_bind}`; a word that is a binding alone and becomes empty is left out."""
    env: Mapping[str, str] = given(LAUNCHER_VARIABLES, factory=dict)
    modules: tuple[str, ...] = given(MODULES, ())
    clamp: bool = given(yes_no, default=False)
    """True: the site lacks this launcher; one rank is started, with a warning."""
    max_nodes: int | None = given(Integer(1, 1_000_000))
    avoid: str = given(TEXT, "")
    """Why the site advises against it: told to those who use it."""
    note: str = given(TEXT, "")

    @property
    def starter(self) -> Starter:
        """What is true of the program that starts the ranks."""
        return starter(self.argv[0] if self.argv else "")


class LauncherTable(MapOf):
    """Launchers by name: those that dfh knows, and a site's own, which need an `argv`."""

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        found = super().__call__(value, path, reader)
        for name, item in value.items() if isinstance(value, dict) else ():
            if isinstance(item, dict) and name not in LAUNCHERS and not _STARTS & item.keys():
                message = f"{shown(name)} is a launcher of this site, but has no argv"
                hint = nearest(name, LAUNCHERS) or "argv: [...] are the words that start its ranks"
                reader.fault((*path, name), message, hint, key=True)
        return found

    def schema(self) -> Schema:
        starts = {"anyOf": [{"required": [name]} for name in sorted(_STARTS)]}
        own = {"if": {"type": "object"}, "then": starts, **self.kind.schema()}
        known = dict.fromkeys(LAUNCHERS, self.kind.schema())
        return {**super().schema(), "properties": known, "additionalProperties": own}


_STARTS = frozenset({"argv", "clamp"})
LAUNCHER_TABLE = LauncherTable(
    OrUnknown(Object(LaunchMethod), absent=True), re.compile(PATTERN), "letters, digits, _ and -"
)


class EnvironmentSet(Frozen):
    """Variables and modules that some jobs need."""

    when: When = key(WHEN, When())
    env: Mapping[str, str] = given(VARIABLES, factory=dict)
    modules: tuple[str, ...] = given(MODULES, ())
    conflicts: Word = fact(TEXT)
    """What it does not go with."""
    since: Word = fact(DATE)
    """YYYY-MM-DD from which it holds; for people: a plan does not look at the clock."""
    until: Word = fact(DATE)
    """YYYY-MM-DD to which it held."""
    note: str = given(TEXT, "")


class Modules(Frozen):
    """The modules of every job of the site, before those of its environment."""

    init: str | UnknownType = fact(OneOf("none", "purge", "force-purge", "reset"), "none")
    unload: tuple[str, ...] = given(MODULES, ())
    load: tuple[str, ...] = given(MODULES, ())
    note: str = given(TEXT, "")


class Containers(Frozen):
    """What runs an image."""

    runtime: str | UnknownType = fact(
        OneOf("apptainer", "shifter", "podman-hpc", "pyxis", "ce", "none"), "apptainer"
    )
    gpu_flag: str = given(Text("a flag", r"--?[A-Za-z0-9=_,-]+"), "")
    bind: tuple[str, ...] = given(list_of(bound, "a list of paths"), ())
    flags: tuple[str, ...] = given(
        list_of(Text("a word", r"[A-Za-z0-9=_.,/:$@+-]+"), "a list of words"), ()
    )
    """Further words of its launch."""
    mpi: Word = fact(NAME)
    """The --mpi that srun needs for programs inside."""
    modules: tuple[str, ...] = given(MODULES, ())
    build_on: tuple[str, ...] | UnknownType | None = fact(
        list_of(OneOf("login", "compute"), "a list of login, compute")
    )
    """Where images can be made."""
    note: str = given(TEXT, "")


class SubmitSettings(Frozen):
    """How the site wants jobs to be submitted."""

    from_: Word = fact(LINE, name="from")
    """Role of the file system that sbatch must be called from."""
    rate_per_min: Count = fact(COUNT)
    max_queued: Count = fact(COUNT)
    max_array_tasks: Count = fact(COUNT)
    requeue: Flag = fact(yes_no)
    export: str = given(OneOf("ALL", "NONE"), "")
    """Whether a job has the environment of the submitting shell; empty: NONE."""
    cluster: str = given(NAME, "")
    """-M"""
    slurm_conf: Word = fact(PLACE)
    """Path in SLURM_CONF by which a cluster is reached that is not the default one."""
    internal_queue: str = given(NAME, "")
    """Queue of dfh's own jobs, which join parts and close; empty: the first that takes them."""
    array_counts_as: Word = fact(OneOf("tasks", "job"))
    """As how many jobs an array counts."""


class Clamp(Frozen):
    """What one machine has: a larger request is cut down to it, with a warning."""

    nodes: int | None = given(Integer(1, 1_000_000))
    gpus_per_node: int | None = given(Integer(0, 10_000))
    cpus_per_node: int | None = given(cores)
    """In the file also `available`: the cores that dfh may use, counted when the file is read."""
