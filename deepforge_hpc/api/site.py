"""Sites: which there are, what a file says of one, and which one this machine is."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import InvalidInputError, NoResourcesError, SchedulerError, UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.errors import Fault
    from deepforge_hpc.site.find import Folders, FoundSite
    from deepforge_hpc.site.identify import Candidate

_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteInfo(JsonResult):
    """A site that a pipeline can be sent to."""

    name: str
    scheduler: str
    origin: str
    """project | user | $DEEPFORGE_HPC_PATH | shipped"""
    path: str
    title: str
    description: str
    variants: tuple[str, ...] = ()
    problem: str = ""
    """What is wrong with its file, if anything is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCheck(JsonResult, schema="dfh/site-check/1"):
    """A site file without a fault."""

    name: str
    path: str
    variants: tuple[str, ...]
    queues: int
    unknown: tuple[str, ...]
    """What the file says to be unknown."""
    unsourced: tuple[str, ...] = ()
    """Sections for which it names no source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected(JsonResult, schema="dfh/detect/1"):
    """The site that this machine is."""

    site: str
    evidence: tuple[str, ...]
    variants: tuple[str, ...]
    broken: tuple[str, ...]
    """Sites whose files could not be read."""


def sites(cwd: Path) -> tuple[SiteInfo, ...]:
    """Return the sites that a pipeline in a folder can name."""
    from deepforge_hpc.site.find import ANY, known_sites

    folders = _folders(cwd)
    tried = {name: _attempt(f"{name}/{ANY}", folders) for name in known_sites(folders)}
    return tuple(
        _info(name, one) for name, one in tried.items() if isinstance(one, tuple) or not one.is_base
    )


def find_site(name: str, cwd: Path) -> FoundSite:
    """Return a site by name or path; InvalidInputError if there is none, or with its faults."""
    from deepforge_hpc.site.find import load_site

    return load_site(name, _folders(cwd))


def site_document(found: FoundSite) -> dict[str, Any]:
    """Return all that is known of one site, and by whom, as JSON data."""
    return {
        "schema": "dfh/site/1",
        "origin": found.where,
        "path": str(found.path),
        "extends": list(found.extends),
        "unsourced": {key: list(files) for key, files in found.unsourced.items()},
        "site": found.spec.to_dict(),
    }


def check_site(path: Path, cwd: Path) -> SiteCheck:
    """Check a site file with each of its variants; InvalidInputError with all faults of it."""
    from deepforge_hpc.site.find import ANY, load_site

    if not path.exists():
        message = f"{path}: there is no such file"
        raise UsageError(message, "Name a site file; for the name of a site: dfh site show NAME.")
    if path.suffix not in {".yaml", ".yml"}:
        message = f"{path}: a site file ends in .yaml"
        raise UsageError(message, "Rename it; the name of the file is that of the site.")
    folders = _folders(cwd)
    first = load_site(f"{path}/{ANY}", folders)
    tried = [_attempt(f"{path}/{variant}", folders) for variant in first.spec.variants]
    faults = [fault for one in tried if isinstance(one, tuple) for fault in one]
    if (name := _family(first)) != path.stem:
        message = f"site: {name!r}, but the file is {path.name}: no one finds it by either name"
        faults.append(first.document.fault(message, ("site",)))
    if faults:
        raise InvalidInputError(list(dict.fromkeys(faults)))
    spec = first.spec
    return SiteCheck(
        name=spec.name.partition("/")[0],
        path=str(path),
        variants=spec.variants,
        queues=len(spec.queues),
        unknown=spec.unknowns,
        unsourced=tuple(
            section for section, files in first.unsourced.items() if path.name in files
        ),
    )


def detect_site(cwd: Path) -> Detected:
    """Return the site that this machine is; NoResourcesError if none, or more than one, fits."""
    from deepforge_hpc.site.find import ANY, known_sites
    from deepforge_hpc.site.identify import KnownSite, candidates, look

    folders = _folders(cwd)
    tried = {name: _attempt(f"{name}/{ANY}", folders) for name in known_sites(folders)}
    loaded = [one for one in tried.values() if not isinstance(one, tuple)]
    broken = [name for name, one in tried.items() if isinstance(one, tuple)]
    known = [
        KnownSite(name=_family(one), identify=one.spec.identify, extends=one.extends)
        for one in loaded
    ]
    seen = look((entry for one in known for entry in one.identify), os.environ)
    found = candidates(known, seen)
    if not found and not seen.cluster_name and (cluster := _asked_cluster()):
        found = candidates(known, replace(seen, cluster_name=cluster))
    if len(found) != 1:
        raise _undecided(found, len(known), broken)
    variants = next(one.spec.variants for one in loaded if _family(one) == found[0].name)
    return Detected(
        site=found[0].name, evidence=found[0].evidence, variants=variants, broken=tuple(broken)
    )


def _asked_cluster() -> str:
    """Return the name by which the controller calls the cluster; empty if none answers.

    For login nodes without a slurm.conf where one looks for it, as since "configless" Slurm.
    """
    from deepforge_hpc.probe.commands import CONFIG_ARGV, parse_config
    from deepforge_hpc.schedulers.command import CommandRunner

    try:
        said = CommandRunner(timeout_s=_TIMEOUT_S).run(CONFIG_ARGV).stdout
    except SchedulerError:
        return ""
    return parse_config(said).get("ClusterName", "")


def _undecided(found: tuple[Candidate, ...], count: int, broken: list[str]) -> NoResourcesError:
    if not found:
        unread = f" ({', '.join(broken)} could not be read)" if broken else ""
        message = f"none of the {count} known sites is this machine{unread}"
        hint = "dfh site probe writes a site file for it; without a batch system: --site local"
        return NoResourcesError(message, hint)
    lines = [f"{one.name}: {'; '.join(one.evidence)}" for one in found]
    message = "this machine fits more than one site:\n  " + "\n  ".join(lines)
    apart = [f"{one.name} by {' or by '.join(one.further)}" for one in found if one.further]
    apart_text = f" What would tell them apart: {'; '.join(apart)}." if apart else ""
    names = " or ".join(f"--site {one.name}" for one in found)
    return NoResourcesError(message, f"Say which one: {names}.{apart_text}")


def _attempt(name: str, folders: Folders) -> FoundSite | tuple[Fault, ...]:
    """Return a site, or what is wrong with its file."""
    from deepforge_hpc.site.find import load_site

    try:
        return load_site(name, folders)
    except InvalidInputError as error:
        return error.faults


def _family(found: FoundSite) -> str:
    return found.spec.name.partition("/")[0]


def _folders(cwd: Path) -> Folders:
    from deepforge_hpc.paths import project_root, user_folder
    from deepforge_hpc.pipeline.settings import load_user_settings
    from deepforge_hpc.site.find import site_folders

    trusted = load_user_settings(user_folder()).trust
    return site_folders(project_root(cwd, trusted)[0], user_folder(), os.environ, trusted)


def _info(name: str, found: FoundSite | tuple[Fault, ...]) -> SiteInfo:
    if isinstance(found, tuple):
        return SiteInfo(
            name=name,
            scheduler="-",
            origin="-",
            path=found[0].file,
            title=f"broken: {found[0].message}",
            description="",
            problem="\n".join(map(str, found)),
        )
    return SiteInfo(
        name=name,
        scheduler=found.spec.scheduler,
        origin=found.where,
        path=str(found.path),
        title=found.spec.title or found.spec.description,
        description=found.spec.description,
        variants=found.spec.variants,
    )
