"""What a machine is, and what surrounds its jobs."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.unknown import UNKNOWN, Count, Flag, UnknownType, Word

if TYPE_CHECKING:
    from collections.abc import Mapping


class Identify(Frozen):
    """One way to know the machine: all that is given must hold."""

    env: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    """Regular expression, searched in the fully qualified name."""
    file: str = ""
    """Path of a file that must exist..."""
    content: str = ""
    """...and hold this text."""
    cluster_name: str = ""
    """ClusterName of slurm.conf."""


class SlurmFacts(Frozen):
    """Which Slurm it is: rules changed with the versions."""

    version: Word = None
    flavour: Word = None
    """slurmd | psslurm | cray"""
    mpi_default: Word = None
    """MpiDefault: how srun starts MPI if it is not told; `none`: not at all."""


class Software(Frozen):
    """What the centre says of Python environments."""

    conda: Word = None
    python_env: Word = None
    """home | project | scratch | node-local | container: where they belong."""
    note: str = ""


class Purge(Frozen):
    """When files vanish."""

    days: Count = None
    basis: Word = None
    """access | creation | none | announced"""


class FileSystem(Frozen):
    """A place for files."""

    role: str | UnknownType = ""
    """home | project | scratch | node-local | archive | software | other"""
    path: Word = None
    env: Word = None
    env_after: Word = None
    """What has to be done before the variable is there."""
    type: Word = None
    quota: Word = None
    quota_files: Count = None
    purge: Purge | UnknownType | None = None
    backup: Flag = None
    visible_on: tuple[str, ...] | UnknownType | None = None
    """login | compute | dtn"""
    not_on_queues: tuple[str, ...] = ()
    """Queues whose nodes do not see it."""
    shared_by: Word = None
    """Who has it besides: a project, other clusters."""
    note: str = ""


class GlobusCollection(Frozen):
    """A Globus collection of the site."""

    name: str = ""
    uuid: Word = None
    path_map: Word = None
    consent: Word = None
    session_domain: Word = None
    max_active: Count = None
    """Transfers of one user at once."""


class Transfer(Frozen):
    """How data comes and goes."""

    dtn: Word = None
    dtn_shell: Flag = None
    """Whether one can log in there."""
    dtn_batch: Word = None
    """How a batch job gets there."""
    queue: Word = None
    """Name of the queue for transfer jobs."""
    globus: tuple[GlobusCollection, ...] | UnknownType | None = None
    note: str = ""


class Network(Frozen):
    """What a compute node reaches."""

    compute_internet: str | UnknownType = UNKNOWN
    """yes | no | nat | proxy | proxy-module"""
    proxy: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    allowlist: tuple[str, ...] = ()
    """What a proxy lets through, if not all."""
    interface: Word = None
    note: str = ""


class Login(Frozen):
    """What a login node allows."""

    policy: Word = None
    forbidden: tuple[str, ...] = ()
    """What may not be run there."""
    ai_tools: Word = None
    """Where programs may run that act for a user."""
    cores: Count = None
    cpu_minutes: Count = None
    mem_mib: Count = None
    poll_s: Count = None
    cron: Flag = None


class Accounting(Frozen):
    """How one sees what is left."""

    usage_command: Word = None
    balance_command: Word = None
    limits_command: Word = None
    charge: Word = None
    minimum_charge: Word = None
    overuse: Word = None


class ErrorHint(Frozen):
    """What a message of the site's means."""

    match: str = ""
    hint: str = ""


class Fact(Frozen):
    """Where something in the file comes from."""

    source: str = ""
    date: str = ""
    """YYYY-MM-DD on which it was read (or that of the source)."""
    confidence: str = ""
    """O official | T third-party code | L live output of a machine | M measured here"""
    note: str = ""
