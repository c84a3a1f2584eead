"""Can records and results be kept safely in a folder? Tried with real files, which are removed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from deepforge_hpc.doctor.finding import error, ok, warn
from deepforge_hpc.doctor.quota import MAKE_ROOM, Usage, check_usage
from deepforge_hpc.probe.visit import OF_ONE_NODE
from deepforge_hpc.runtime.base.files import publish_bytes
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.runtime.base.text import size
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import FileSystem
from deepforge_hpc.site.unknown import UnknownType, known

_LEAST_FREE = 1 << 30
_SKEW_S = 5
_MARGIN_DAYS = 7
_DAY = 86400


def check_folder(what: str, folder: Path) -> Iterator[Notice]:
    """Try what the ledger and the executions need of a folder's file system."""
    for notice in _try(folder):
        yield notice._replace(subject=what)


def _try(folder: Path) -> Iterator[Notice]:
    base = existing(folder)
    try:
        trial = TemporaryDirectory(prefix=".dfh-doctor-", dir=base, ignore_cleanup_errors=True)
        with trial as path:
            failed = list(_broken_promises(Path(path)))
            skew = _skew(Path(path))
    except OSError as fault:
        yield error("folder", f"{base}: {fault.strerror}", _next(fault))
        return
    if failed:
        step = "keep the project on another file system"
        yield error("folder", f"{folder}: {', '.join(failed)}", step)
    else:
        yield ok("folder", f"{folder}: writable; rename, exclusive create and fsync work")
    if abs(skew) > _SKEW_S:
        message = f"{base}: its server's clock is {abs(skew):.0f} s from this host's"
        yield warn("folder", message, "times of files will be wrong by that; tell your centre")
    yield from _room(base)


def _next(fault: OSError) -> str:
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return MAKE_ROOM
    return "change its permissions, or give another with `executions:`"


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that is there."""
    # Not Path.is_dir, which raises where one may not look.
    return next(path for path in (folder, *folder.parents) if os.path.isdir(path))  # noqa: PTH112


def _broken_promises(trial: Path) -> Iterator[str]:
    """Yield what does not work; OSError for what cannot be tried at all."""
    target = trial / "published"
    publish_bytes(target, b"first")  # temporary file, fsync, rename, fsync of the folder
    publish_bytes(target, b"second")
    if target.read_bytes() != b"second":
        yield "a rename does not replace"
    if not _only_one_wins(lambda: os.close(os.open(trial / "claim", os.O_CREAT | os.O_EXCL))):
        yield "exclusive creation does not exclude"
    if not _only_one_wins((trial / "lease").mkdir):
        yield "mkdir does not exclude"


def _only_one_wins(claim: Callable[[], object]) -> bool:
    claim()
    try:
        claim()
    except FileExistsError:
        return True
    return False


def _skew(trial: Path) -> float:
    """Return by how many seconds the file system's clock is ahead."""
    path = trial / "clock"
    before = time.time()
    path.write_bytes(b"")
    stamp, after = path.stat().st_mtime, time.time()
    return 0.0 if before - 1 <= stamp <= after + 1 else stamp - after


def _room(folder: Path) -> Iterator[Notice]:
    try:
        found = os.statvfs(folder)
    except OSError as fault:
        if fault.errno == errno.ENOSYS:
            return
        raise
    free = found.f_bavail * found.f_frsize
    if free < _LEAST_FREE:
        yield warn("folder", f"{folder}: only {size(free)} are free", MAKE_ROOM)
    if found.f_files and found.f_favail < 10_000:
        yield warn("folder", f"{folder}: only {found.f_favail} more files fit", MAKE_ROOM)


def check_shared(folder: Path, mounts: str) -> Iterator[Notice]:
    """See whether other nodes can see a folder, by the kind of its file system."""
    kind = kind_of(folder, mounts)
    if kind in OF_ONE_NODE:
        message = f"{folder} is on {kind}: the compute nodes may not see it"
        yield warn("shared", message, "keep the project in your home or scratch folder")


def kind_of(folder: Path, mounts: str) -> str:
    """Return the type of the file system that holds a folder; `mounts` as /proc/mounts."""
    best, kind = "", ""
    real = os.path.realpath(folder)
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ") if len(fields) > 2 else ""
        inside = point in ("/", real) or real.startswith(f"{point}/")
        if point and inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def check_place(site: SiteSpec, folder: Path, environ: Mapping[str, str]) -> Iterator[Notice]:
    """Hold the folder that jobs are submitted from against what the site wants of it."""
    role = known(site.submit.from_)
    if role is None:
        return
    if message := misplaced(site, folder, environ):
        yield error("place", message, "executions: FOLDER in the pipeline or site file")
    else:
        yield ok("place", f"{folder}: on {role}, from where {site.name} wants jobs")


def misplaced(site: SiteSpec, folder: Path, environ: Mapping[str, str]) -> str:
    """Return what is wrong with submitting from a folder; empty: nothing, or nobody says."""
    role = known(site.submit.from_)
    system = _system_of(site.filesystems, folder, environ)
    if role is None or (system is not None and system.role == role):
        return ""
    wanted = f"site {site.name} takes jobs from its {role} file system"
    return f"{wanted}, and {folder} is not known as one"


def check_quota(
    site: SiteSpec, folder: Path, environ: Mapping[str, str], usage: Usage | None
) -> Iterator[Notice]:
    """Tell the quota: by `usage`, as the file system itself says it, else by the site's file."""
    if usage is not None:
        yield from check_usage(folder, usage)
        return
    system = _system_of(site.filesystems, folder, environ)
    quota = known(system.quota) if system else None
    if system is None or quota is None:
        step = f"look it up, and write it under `filesystems` of {site.name}'s file"
        yield warn("quota", f"{folder}: the quota is unknown", step)
    else:
        message = f"{folder}: {quota} ({system.role}); how much is used, no command here tells"
        yield ok("quota", message)


def longest_s(plan: Plan) -> int:
    """Return the seconds that the jobs may run one after another, waiting in queues left out."""
    ends: dict[str, int] = {}
    for job in plan.jobs:
        begin = max((ends[name] for name in job.after), default=0)
        ends[job.name] = begin + (job.resources.time_s or 0)
    return max(ends.values(), default=0)


def check_purge(
    site: SiteSpec, folder: Path, environ: Mapping[str, str], walltime_s: int | None
) -> Iterator[Notice]:
    """Hold the purge clock of the site's file against the time of a whole plan, if there is one."""
    system = _system_of(site.filesystems, folder, environ)
    purge = known(system.purge) if system else None
    if purge and purge.basis == "none":
        yield ok("purge", f"{folder}: files stay")
        return
    days = known(purge.days) if purge else None
    if purge is None or days is None:
        step = f"look it up, and write it under `filesystems` of {site.name}'s file"
        yield warn("purge", f"{folder}: whether files vanish there is unknown", step)
        return
    message = f"{folder}: files vanish after {days} days (by {known(purge.basis) or 'unknown'})"
    if walltime_s is None:
        yield ok("purge", f"{message}; no pipeline to hold it against")
        return
    needed = -(-walltime_s // _DAY)
    step = "copy results to a file system that keeps them (outputs.to)"
    if needed >= days:
        yield error("purge", f"{message}, the jobs may run {needed} days", step)
    elif needed + _MARGIN_DAYS >= days:
        yield warn("purge", f"{message}, the jobs may run {needed} days", step)
    else:
        yield ok("purge", f"{message}; the jobs need at most {needed}")


def _system_of(
    systems: tuple[FileSystem, ...] | UnknownType | None, folder: Path, environ: Mapping[str, str]
) -> FileSystem | None:
    """Return the file system of the site that a folder lies in: the longest path that fits."""
    found = [
        (len(path.parts), system)
        for system in known(systems) or ()
        for path in _paths(system, environ)
        if folder.is_relative_to(path)
    ]
    return max(found, key=lambda item: item[0])[1] if found else None


def _paths(system: FileSystem, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield where a file system is for this user; what names a variable that is not set is none."""
    variable = known(system.env)
    if variable and environ.get(variable):
        yield Path(environ[variable])
    text = known(system.path) or ""
    for name, value in environ.items():
        text = text.replace(f"${{{name}}}", value)
    parts = [environ.get(part[1:], part) if part[:1] == "$" else part for part in text.split("/")]
    if text and not any("$" in part for part in parts):
        yield Path("/".join(parts))
