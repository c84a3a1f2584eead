"""What `sacctmgr` tells of QOS and of what one may charge: commands, and what reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from deepforge_hpc.probe.values import count, keyed, made, names, seconds, tres, word

_QOS_FIELDS = (
    *("Name", "MaxWall", "MaxTRES", "MinTRES", "MaxJobsPU", "MaxSubmitPU"),
    *("MaxTRESPU", "MaxTRESPA", "MaxJobsPA", "MaxSubmitPA", "GraceTime", "Preempt"),
    *("GrpTRES", "GrpJobs", "GrpSubmit", "Flags"),
)
QOS_ARGV = ("sacctmgr", "-nP", "show", "qos", f"format={','.join(_QOS_FIELDS)}")
_ASSOCIATION_FIELDS = (
    *("Cluster", "Account", "Partition", "QOS", "MaxJobs", "MaxSubmit", "DefaultQOS"),
)


def associations_argv(user: str) -> tuple[str, ...]:
    """Return the words that list what a user may charge."""
    fields = ",".join(_ASSOCIATION_FIELDS)
    return ("sacctmgr", "-nP", "show", "assoc", f"user={user}", f"format={fields}")


def default_account_argv(user: str) -> tuple[str, ...]:
    """Return the words that ask for the account of jobs that name none."""
    return ("sacctmgr", "-nP", "show", "user", user, "format=User,DefaultAccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What all jobs of a user, of an account, or of all who use a QOS may be and hold together."""

    running: int | None = None
    submitted: int | None = None
    tres: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qos:
    """One quality of service."""

    name: str
    max_wall_s: int | None = keyed("MaxWall", seconds)
    max_tres: Mapping[str, int] = keyed("MaxTRES", tres)
    min_tres: Mapping[str, int] = keyed("MinTRES", tres)
    user: Held = field(default_factory=Held)
    account: Held = field(default_factory=Held)
    group: Held = field(default_factory=Held)
    grace_s: int | None = keyed("GraceTime", seconds)
    preempts: tuple[str, ...] = keyed("Preempt", names)
    """Names of the QOS whose jobs must make room for its own."""
    flags: tuple[str, ...] = keyed("Flags", names)

    @property
    def goes_first(self) -> bool:
        """Return whether its limits hold in place of those of a partition's own QOS."""
        return "OverPartQOS" in self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """What a user may charge, and how."""

    account: str = keyed("Account", word)
    partition: str = keyed("Partition", word)
    qos: tuple[str, ...] = keyed("QOS", names)
    max_jobs: int | None = keyed("MaxJobs", count)
    max_submit: int | None = keyed("MaxSubmit", count)
    default_qos: str = keyed("DefaultQOS", word)

    @property
    def unnamed(self) -> str:
        """Return the QOS of a job that names none."""
        return self.default_qos or (self.qos[0] if len(self.qos) == 1 else "normal")


def parse_qos(text: str) -> tuple[Qos, ...]:
    """Return what `sacctmgr show qos` lists."""
    return tuple(
        made(
            Qos,
            row,
            name=row["Name"],
            user=_held(row, "Max{}PU"),
            account=_held(row, "Max{}PA"),
            group=_held(row, "Grp{}"),
        )
        for row in _rows(text, _QOS_FIELDS)
    )


def _held(row: Mapping[str, str], key: str) -> Held:
    running, submitted, held = (row[key.format(name)] for name in ("Jobs", "Submit", "TRES"))
    return Held(running=count(running), submitted=count(submitted), tres=tres(held))


def parse_associations(text: str, cluster: str = "") -> tuple[Association, ...]:
    """Return what `sacctmgr show assoc` lists, of one cluster if it is named."""
    return tuple(
        made(Association, row)
        for row in _rows(text, _ASSOCIATION_FIELDS)
        if row["Account"] and (not cluster or row["Cluster"] == cluster)
    )


def parse_default_account(text: str) -> str:
    """Return the account of `default_account_argv`'s output."""
    rows = list(_rows(text, ("User", "Account")))
    return rows[0]["Account"] if rows else ""


def _rows(text: str, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows by field; what a row lacks at its end is empty."""
    for line in text.splitlines():
        cells = line.strip().split("|")[: len(fields)]
        if cells[0] and len(cells) > 1:
            yield dict(zip_longest(fields, cells, fillvalue=""))
