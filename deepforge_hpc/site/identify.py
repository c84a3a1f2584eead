"""Which site a machine is: what each site's `identify` asks for, held against what is seen."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepforge_hpc.runtime.base.files import opened_own, read_most

if TYPE_CHECKING:
    from deepforge_hpc.site.place import Identify

_CLUSTER = re.compile(r"(?im)^[ \t]*ClusterName[ \t]*=[ \t]*(\S+)")
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What can be seen of this machine."""

    env: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    """Fully qualified."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Contents of the files that some site asks for; those that do not exist are not there."""
    cluster_name: str = ""
    """ClusterName of slurm.conf; empty if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSite:
    """A site as far as `detect` needs it."""

    name: str
    identify: tuple[Identify, ...]
    extends: tuple[str, ...] = ()
    """Names of all that it is laid over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A site that fits, and by what."""

    name: str
    evidence: tuple[str, ...]
    further: tuple[str, ...] = ()
    """What else would show this site, and does not hold here."""


def look(wanted: Iterable[Identify], environ: Mapping[str, str]) -> Seen:
    """Return what is seen of this machine, as far as some site asks for it."""
    entries = list(wanted)
    names = {name for entry in entries for name in entry.env}
    paths = {entry.file for entry in entries if entry.file}
    contents = {path: text for path in paths if (text := _read(path)) is not None}
    asks_name = any(entry.hostname for entry in entries)
    asks_cluster = any(entry.cluster_name for entry in entries)
    return Seen(
        env={name: environ[name] for name in names if name in environ},
        hostname=socket.getfqdn() if asks_name else "",
        files=contents,
        cluster_name=_cluster_name(environ) if asks_cluster else "",
    )


def candidates(sites: Iterable[KnownSite], seen: Seen) -> tuple[Candidate, ...]:
    """Return the sites that fit; one that others of them are laid over gives way to these."""
    found: dict[str, Candidate] = {}
    beneath: set[str] = set()
    for site in sites:
        fitting = [entry for entry in site.identify if _fits(entry, seen)]
        if fitting:
            others = [entry for entry in site.identify if entry not in fitting]
            found[site.name] = Candidate(
                name=site.name,
                evidence=tuple(", ".join(_words(entry)) for entry in fitting),
                further=tuple(", ".join(_words(entry)) for entry in others),
            )
            beneath.update(site.extends)
    return tuple(one for name, one in sorted(found.items()) if name not in beneath)


def _fits(entry: Identify, seen: Seen) -> bool:
    """Tell whether all that an entry asks for holds; an empty one asks for nothing."""
    answers = [seen.env.get(name) == value for name, value in entry.env.items()]
    if entry.hostname:
        found = seen.hostname and re.search(entry.hostname, seen.hostname)
        answers.append(bool(found))
    if entry.file:
        content = seen.files.get(entry.file)
        answers.append(content is not None and entry.content in content)
    if entry.cluster_name:
        answers.append(entry.cluster_name == seen.cluster_name)
    return bool(answers) and all(answers)


def _words(entry: Identify) -> Iterator[str]:
    for name, value in entry.env.items():
        yield f"{name}={value}"
    if entry.hostname:
        yield f"host name like {entry.hostname}"
    if entry.file:
        yield f"{entry.file} with {entry.content}" if entry.content else entry.file
    if entry.cluster_name:
        yield f"ClusterName={entry.cluster_name}"


def _read(path: str) -> str | None:
    try:
        with opened_own(os.path.realpath(path)) as (handle, _):
            return read_most(handle, _MAX_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        return None


def _cluster_name(environ: Mapping[str, str]) -> str:
    """Return the ClusterName of slurm.conf; in a job Slurm itself says it."""
    if name := environ.get("SLURM_CLUSTER_NAME"):
        return name
    places = (environ.get("SLURM_CONF"), "/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf")
    for path in filter(None, places):
        if os.access(path, os.R_OK) and (match := _CLUSTER.search(_read(path) or "")):
            return match[1]
    return ""
