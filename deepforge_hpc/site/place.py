"""What a machine is, and what surrounds its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader
from deepforge_hpc.files.kinds import Items, MapOf, OneOf, Schema, Text
from deepforge_hpc.files.object import Field, Object, key
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import (
    COUNT,
    LINE,
    SIZE,
    TEXT,
    UNKNOWN_SCHEMA,
    VARIABLE,
    VARIABLE_NAME,
    VARIABLE_RULE,
    Known,
    YesNoOr,
    fact,
    given,
    list_of,
    pattern,
    unknown_leaves,
    yes_no,
)
from deepforge_hpc.site.unknown import UNKNOWN, Count, Flag, UnknownType, Word
from deepforge_hpc.site.words import MODULE, NAME, PLACE, VARIABLES

_ABSOLUTE = Known(Text("an absolute path", r"/[^\n\t]*"))
_FILE = Object(dict, {"path": Field(_ABSOLUTE, required=True, name="file"), "content": LINE})


class Identify(Frozen):
    """One way to know the machine: all that is given must hold."""

    env: Mapping[str, str] = key(MapOf(LINE, VARIABLE, VARIABLE_RULE), factory=dict)
    hostname: str = key(pattern, "")
    """Regular expression, searched in the fully qualified name."""
    file: str = key(_FILE, "")
    """Path of a file that must exist..."""
    content: str = ""
    """...and hold this text."""
    cluster_name: str = key(NAME, "")
    """ClusterName of slurm.conf."""


def _identify(*, file: Mapping[str, Any] | None = None, **values: Any) -> Identify:
    return Identify(**values, **(file or {}))


class _IdentifyKind:
    """One way to know the machine; with anything unknown in it, it is none."""

    kind = Object(Identify, build=_identify)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        found = BAD if value == "unknown" else self.kind(value, path, reader)
        return BAD if next(unknown_leaves(value), None) is not None else found

    def schema(self) -> Schema:
        return {"anyOf": [UNKNOWN_SCHEMA, self.kind.schema()]}


IDENTIFY = Items(_IdentifyKind(), "a list of ways to know the machine")


class SlurmFacts(Frozen):
    """Which Slurm it is: rules changed with the versions."""

    version: Word = fact(Text("a quoted version such as '24.05.3'", r"\d+\.\d+(\.\d+){0,2}(-\d+)?"))
    flavour: Word = fact(OneOf("slurmd", "psslurm", "cray"))
    mpi_default: Word = fact(NAME)
    """MpiDefault: how srun starts MPI if it is not told; `none`: not at all."""


class Software(Frozen):
    """What the centre says of Python environments."""

    conda: Word = fact(TEXT)
    python_env: Word = fact(OneOf("home", "project", "scratch", "node-local", "container"))
    """Where they belong."""
    note: str = given(TEXT, "")


class Purge(Frozen):
    """When files vanish."""

    days: Count = fact(COUNT)
    basis: Word = fact(OneOf("access", "creation", "none", "announced"))


class FileSystem(Frozen):
    """A place for files."""

    role: str | UnknownType = fact(
        OneOf("home", "project", "scratch", "node-local", "archive", "software", "other"),
        "",
        required=True,
    )
    path: Word = fact(PLACE)
    env: Word = fact(VARIABLE_NAME)
    env_after: Word = fact(LINE)
    """What has to be done before the variable is there."""
    type: Word = fact(LINE)
    quota: Word = fact(LINE)
    quota_files: Count = fact(COUNT)
    purge: Purge | UnknownType | None = fact(Object(Purge))
    backup: Flag = fact(yes_no)
    visible_on: tuple[str, ...] | UnknownType | None = fact(
        list_of(OneOf("login", "compute", "dtn"), "a list of login, compute, dtn")
    )
    not_on_queues: tuple[str, ...] = given(list_of(NAME, "a list of queues"), ())
    """Queues whose nodes do not see it."""
    shared_by: Word = fact(LINE)
    """Who has it besides: a project, other clusters."""
    note: str = given(TEXT, "")


class GlobusCollection(Frozen):
    """A Globus collection of the site."""

    name: str = key(LINE, "", required=True)
    uuid: Word = fact(Text("a uuid in lower case", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"))
    path_map: Word = fact(LINE)
    consent: Word = fact(LINE)
    session_domain: Word = fact(LINE)
    max_active: Count = fact(COUNT)
    """Transfers of one user at once."""


class DataMovement(Frozen):
    """How data comes and goes."""

    dtn: Word = fact(LINE)
    dtn_shell: Flag = fact(yes_no)
    """Whether one can log in there."""
    dtn_batch: Word = fact(TEXT)
    """How a batch job gets there."""
    queue: Word = fact(NAME)
    """Name of the queue for transfer jobs."""
    globus: tuple[GlobusCollection, ...] | UnknownType | None = fact(
        Items(Object(GlobusCollection), "a list of collections")
    )
    note: str = given(TEXT, "")


class Network(Frozen):
    """What a compute node reaches."""

    compute_internet: str | UnknownType = fact(YesNoOr("nat", "proxy", "proxy-module"), UNKNOWN)
    proxy: Mapping[str, str] = given(VARIABLES, factory=dict)
    module: str = given(MODULE, "")
    allowlist: tuple[str, ...] = given(list_of(LINE, "a list of what is let through"), ())
    """What a proxy lets through, if not all."""
    interface: Word = fact(LINE)
    note: str = given(TEXT, "")


class Login(Frozen):
    """What a login node allows."""

    policy: Word = fact(TEXT)
    forbidden: tuple[str, ...] = given(list_of(LINE, "a list of what may not be run"), ())
    """What may not be run there."""
    ai_tools: Word = fact(TEXT)
    """Where programs may run that act for a user."""
    cores: Count = fact(COUNT)
    cpu_minutes: Count = fact(COUNT)
    mem_mib: Count = fact(SIZE, name="mem")
    poll_s: Count = fact(COUNT)
    cron: Flag = fact(yes_no)


class Accounting(Frozen):
    """How one sees what is left."""

    usage_command: Word = fact(TEXT)
    balance_command: Word = fact(TEXT)
    limits_command: Word = fact(TEXT)
    charge: Word = fact(TEXT)
    minimum_charge: Word = fact(TEXT)
    overuse: Word = fact(TEXT)


class ErrorHint(Frozen):
    """What a message of the site's means."""

    match: str = key(pattern, "", required=True)
    hint: str = key(TEXT, "", required=True)


class Fact(Frozen):
    """Where something in the file comes from."""

    source: str = key(LINE, "", required=True)
    date: str = key(
        Text("a date such as 2026-07-22, or unknown", r"\d{4}-\d{2}-\d{2}|unknown"),
        "",
        required=True,
    )
    """YYYY-MM-DD on which it was read (or that of the source)."""
    confidence: str = key(OneOf("O", "T", "L", "M"), "", required=True)
    """O official | T third-party code | L live output of a machine | M measured here"""
    note: str = key(TEXT, "")
