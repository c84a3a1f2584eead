"""What one supercomputer (or this machine) expects, as frozen data; sites.md of the docs says more.

Every fact may be UNKNOWN: nobody has told. That is neither "no" nor 0 nor absent: it warns where it
matters, and it never refuses a job. None is "not given".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from deepforge_hpc.files.environment import environment_kind
from deepforge_hpc.files.kinds import Items, MapOf, OneOf, OneOrMore, Text, version
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.model.environment import EnvironmentSpec
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import LINE, SLURM_NAME, TEXT, OrUnknown, fact, given
from deepforge_hpc.site.place import (
    IDENTIFY,
    Accounting,
    DataMovement,
    ErrorHint,
    Fact,
    FileSystem,
    Identify,
    Login,
    Network,
    SlurmFacts,
    Software,
)
from deepforge_hpc.site.queue import NodeType, Queue
from deepforge_hpc.site.request import (
    LAUNCHER_TABLE,
    Account,
    Binding,
    Clamp,
    Containers,
    Defaults,
    EnvironmentSet,
    LaunchMethod,
    Modules,
    RequestStyle,
    Routing,
    SubmitSettings,
)
from deepforge_hpc.site.unknown import UNKNOWN, UnknownType, Word, known
from deepforge_hpc.site.words import LITERAL, MODULES, SITE_NAME

_ENVIRONMENT = environment_kind(MODULES, lambda what: OrUnknown(Text(what, LITERAL), absent=True))
_TYPE = (re.compile(SLURM_NAME), "letters, digits and _ . -")
_FACT_PATH = re.compile(r"[a-z_]+(\.[A-Za-z0-9_.:+-]+)*")


def _section(declared: type[Frozen]) -> Any:
    """Return the field of a section, which a file may leave out."""
    return given(Object(declared), declared())


VERSION, MPI_DEFAULT = "slurm.version", "slurm.mpi_default"
"""The keys of `scheduler_version` and `mpi_default`."""


class SiteSpec(Frozen):
    """A whole site, `extends` and the chosen variant merged in."""

    dfh: int = key(version, 1)
    name: str = key(Text("the name of a site", SITE_NAME.pattern), "", required=True, name="site")
    """`perlmutter`, or `perlmutter/gpu` with a variant."""
    title: str = key(LINE, "")
    description: str = key(TEXT, "")
    scheduler: str = key(
        Text("the name of a scheduler", r"[a-z][a-z0-9_-]{0,31}"), "", required=True
    )
    identify: tuple[Identify, ...] = given(IDENTIFY, ())
    slurm: SlurmFacts = _section(SlurmFacts)
    dependency: str = given(OneOf("afterok", "afterany"), "afterok")
    account: Account = _section(Account)
    routing: Routing = _section(Routing)
    defaults: Defaults = _section(Defaults)
    queues: tuple[Queue, ...] = given(Items(Object(Queue), "a list of queues"), ())
    """In order of preference; empty: the site's default queue takes every job."""
    node_types: Mapping[str, NodeType] = given(MapOf(Object(NodeType), *_TYPE), factory=dict)
    binding: Binding = _section(Binding)
    request: RequestStyle = _section(RequestStyle)
    launchers: Mapping[str, LaunchMethod] = given(LAUNCHER_TABLE, factory=dict)
    environment_sets: Mapping[str, EnvironmentSet] = given(
        MapOf(Object(EnvironmentSet), *_TYPE), factory=dict
    )
    modules: Modules = _section(Modules)
    containers: Containers = _section(Containers)
    software: Software = _section(Software)
    filesystems: tuple[FileSystem, ...] | UnknownType = fact(
        Items(Object(FileSystem), "a list of file systems"), ()
    )
    transfer: DataMovement = _section(DataMovement)
    network: Network = _section(Network)
    login: Login = _section(Login)
    submit: SubmitSettings = _section(SubmitSettings)
    accounting: Accounting = _section(Accounting)
    errors: tuple[ErrorHint, ...] = given(Items(Object(ErrorHint), "a list of {match, hint}"), ())
    clamp: Clamp = _section(Clamp)
    environment: EnvironmentSpec | None = given(_ENVIRONMENT)
    executions: str = given(Text("a folder", LITERAL), "")
    facts: Mapping[str, tuple[Fact, ...]] = given(
        MapOf(OneOrMore(Object(Fact)), _FACT_PATH, "a dotted path such as queues.batch"),
        factory=dict,
    )
    variants: tuple[str, ...] = ()
    """Names of the variants of the file."""
    unknowns: tuple[str, ...] = ()
    """Where the file says `unknown`, as dotted paths: for those who ask, and for warnings."""

    @property
    def scheduler_version(self) -> str | None:
        """The version of its scheduler; None: nobody has told."""
        return known(self.slurm.version)

    @property
    def mpi_default(self) -> Word:
        """How a launcher that `has_mpi_option` starts MPI without it; `none`: not at all."""
        return UNKNOWN if "slurm" in self.unknowns else self.slurm.mpi_default

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
