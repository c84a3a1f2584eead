"""Folders are tried with real files; quota and purge are held against the plan."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepforge_hpc.doctor import globus, quota, storage
from deepforge_hpc.runtime.base.plan import Job, Plan, Resources
from deepforge_hpc.schedulers.command import Completed
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import DataMovement, FileSystem, GlobusCollection, Purge
from deepforge_hpc.site.request import SubmitSettings
from deepforge_hpc.site.unknown import UNKNOWN

DAY = 86400


def levels(findings: Any) -> list[tuple[str, str]]:
    return [(item.kind, item.level) for item in findings]


def test_a_good_folder_is_ok_and_left_as_it_was(tmp_path: Path) -> None:
    found = list(storage.check_folder("ledger", tmp_path / "not" / "yet"))
    assert levels(found) == [("folder", "info")]
    assert found[0].subject == "ledger"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses_is_an_error() -> None:
    (found,) = storage.check_folder("project", Path("/proc/self"))
    assert found.level == "error"
    assert "/proc/self" in found.text


def test_a_file_system_on_which_creation_does_not_exclude_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No such file system can be had here: the one fault is put in by hand.
    monkeypatch.setattr(storage.os, "O_EXCL", 0)
    found = list(storage.check_folder("project", tmp_path))
    assert found[0].level == "error"
    assert "exclusive creation does not exclude" in found[0].text


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, "info"), (4, "info"), (60, "warning"), (-60, "warning")]
)
def test_a_file_server_whose_clock_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int, level: str
) -> None:
    # No such server can be had here: this host's clock goes wrong instead.
    monkeypatch.setattr(storage, "time", SimpleNamespace(time=lambda: time.time() - ahead))
    found = list(storage.check_folder("project", tmp_path))
    assert found[-1].level == level
    assert level == "info" or "clock is 60 s from this host's" in found[-1].text


GIB = 1 << 30


@pytest.mark.parametrize(
    ("blocks", "files", "said"),
    [
        ((2 * GIB, 2 * GIB), (20_000, 20_000), ""),
        ((GIB // 2, GIB // 2), (20_000, 20_000), "only 512 MiB are free"),
        # Kept for root, and so for nobody here.
        ((2 * GIB, GIB // 2), (20_000, 20_000), "only 512 MiB are free"),
        ((2 * GIB, 2 * GIB), (20_000, 9_999), "only 9999 more files fit"),
        # Some file systems do not count files.
        ((2 * GIB, 2 * GIB), (0, 0), ""),
    ],
)
def test_a_folder_with_hardly_any_room_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: tuple[int, int],
    files: tuple[int, int],
    said: str,
) -> None:
    room = SimpleNamespace(
        f_frsize=4096,
        f_bfree=blocks[0] // 4096,
        f_bavail=blocks[1] // 4096,
        f_files=files[0],
        f_favail=files[1],
    )
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    _, *more = storage.check_folder("project", tmp_path)
    assert [item.text for item in more] == ([f"{tmp_path}: {said}"] if said else [])
    assert all(item.level == "warning" and item.next for item in more)


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
lustre /scratch lustre rw 0 0
nfs:/home /home nfs4 rw 0 0
nfs:/x /home/with\\040space nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/scratch/me", "lustre"),
        ("/scratchy", "ext4"),
        ("/home", "nfs4"),
        ("/home/with space/x", "nfs"),
        ("/tmp/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_longest_mount(folder: str, kind: str) -> None:
    assert storage.kind_of(Path(folder), MOUNTS) == kind


def test_a_folder_of_one_node_is_a_warning() -> None:
    assert levels(storage.check_shared(Path("/tmp/x"), MOUNTS)) == [("shared", "warning")]
    assert levels(storage.check_shared(Path("/scratch/x"), MOUNTS)) == []


def site(**values: Any) -> SiteSpec:
    scratch = FileSystem(role="scratch", path="/scratch/$USER", **values)
    whole = FileSystem(role="other", path="/scratch", quota="1TB", purge=None)
    return SiteSpec(name="here", scheduler="slurm", filesystems=(whole, scratch))


@pytest.mark.parametrize(
    ("purge", "days", "level"),
    [
        (Purge(days=30, basis="access"), 2, "info"),
        (Purge(days=30, basis="access"), 25, "warning"),
        (Purge(days=30, basis="creation"), 31, "error"),
        (Purge(days=30, basis="access"), None, "info"),
        (Purge(days=UNKNOWN, basis="access"), 1, "warning"),
        (Purge(basis="none"), 99, "info"),
        (UNKNOWN, 1, "warning"),
        (None, 99, "warning"),
    ],
)
def test_files_must_not_vanish_before_the_jobs_end(
    purge: Any, days: int | None, level: str
) -> None:
    folder, environ = Path("/scratch/me/project"), {"USER": "me"}
    time_s = None if days is None else days * DAY
    found = storage.check_purge(site(purge=purge), folder, environ, time_s)
    assert levels(found) == [("purge", level)]


def test_rules_that_nobody_wrote_down_are_unknown() -> None:
    for systems in (UNKNOWN, ()):
        spec = SiteSpec(name="here", scheduler="slurm", filesystems=systems)
        (quota,) = storage.check_quota(spec, Path("/scratch/me"), {}, None)
        (purge,) = storage.check_purge(spec, Path("/scratch/me"), {}, DAY)
        assert (quota.level, purge.level) == ("warning", "warning")
        assert "unknown" in quota.text


def test_the_quota_of_the_file_is_told_where_no_command_tells_it() -> None:
    (found,) = storage.check_quota(site(quota="5TB"), Path("/scratch/me"), {"USER": "me"}, None)
    assert (found.level, "5TB (scratch)" in found.text) == ("info", True)


# No file system with quotas was at hand. WRAPPED is as the Mila cluster printed it (a comment in
# mila-iqia/milatools), but for the names; the others were written by hand in the same columns.
LUSTRE = "        /sbb  95747836  0  104857600       -  908722       0 1048576       -\n"
WRAPPED = """\
Disk quotas for usr me (uid 1471600598):
     Filesystem  kbytes   quota   limit   grace   files   quota   limit   grace
/home/mila/n/me
                95747836       0 104857600       -  908722       0 1048576       -
uid 1471600598 is using default block quota setting
"""
NFS = """\
Disk quotas for user me (uid 1002):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/md0     36*       30  500000  1764000000     10       0       0       0
"""
NO_LIMIT = "  /work  5915  0  0  -  51652  0  0  -\n"


@pytest.mark.parametrize(
    ("text", "used", "limits"),
    [
        (LUSTRE, (95747836 << 10, 908722), (104857600 << 10, 1048576)),
        (WRAPPED, (95747836 << 10, 908722), (104857600 << 10, 1048576)),
        (NFS, (36 << 10, 10), (500000 << 10, None)),
        (NO_LIMIT, (5915 << 10, 51652), (None, None)),
    ],
)
def test_what_is_used_of_a_quota_is_read(text: str, used: Any, limits: Any) -> None:
    usage = quota.parse_quota(text)
    assert usage is not None
    assert (usage.size, usage.files) == used
    assert (usage.most_size, usage.most_files) == limits


@pytest.mark.parametrize("text", ["", "Disk quotas for user me (uid 0): none\n", "grace\n a b\n"])
def test_no_quota_is_no_usage(text: str) -> None:
    assert quota.parse_quota(text) is None


@pytest.mark.parametrize(
    ("used", "most", "files", "level"),
    [
        (1, 100, 1, "info"),
        (91, 100, 1, "warning"),
        (1, 100, 99, "warning"),
        (100, 100, 1, "error"),
        (100, None, 1, "info"),
    ],
)
def test_a_quota_that_is_nearly_used_is_told(
    used: int, most: int | None, files: int, level: str
) -> None:
    usage = quota.Usage(size=used, most_size=most, files=files, most_files=100)
    found = storage.check_quota(site(quota="5TB"), Path("/scratch/me"), {}, usage)
    assert levels(found) == [("quota", level)]


def test_each_file_system_is_asked_by_its_own_command() -> None:
    assert quota.quota_argv(Path("/s"), "lustre", "me") == ("lfs", "quota", "-q", "-u", "me", "/s")
    assert quota.quota_argv(Path("/h"), "nfs4", "me")[0] == "quota"


COLLECTION = (GlobusCollection(name="OLCF DTN"),)


@pytest.mark.parametrize(
    ("collections", "answer", "expected"),
    [
        (COLLECTION, None, [("globus", "warning")]),
        (COLLECTION, (4, ""), [("globus", "warning")]),
        (COLLECTION, (0, "me@example.org\n"), [("globus", "info")]),
    ],
)
def test_a_site_of_globus_wants_a_login(collections: Any, answer: Any, expected: Any) -> None:
    spec = SiteSpec(name="x", scheduler="slurm", transfer=DataMovement(globus=collections))
    assert globus.collections(spec) == collections
    done = answer and Completed(argv=(), returncode=answer[0], stdout=answer[1], stderr="")
    found = list(globus.check_globus(spec, done))
    assert levels(found) == expected
    assert "OLCF DTN" in found[0].text
    assert all("globus login" in item.next for item in found if item.level != "info")


def test_a_site_that_knows_no_collection_asks_for_none() -> None:
    for known in (UNKNOWN, None, ()):
        spec = SiteSpec(name="x", scheduler="slurm", transfer=DataMovement(globus=known))
        assert globus.collections(spec) == ()


def test_a_folder_that_one_may_not_look_into_does_not_break_the_check(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may look everywhere
        os.seteuid(65534)
    try:
        assert storage.existing(closed / "inside" / "new") in (closed, *closed.parents)
    finally:
        os.seteuid(user)
        closed.chmod(0o755)


@pytest.mark.parametrize(
    ("number", "step"),
    [(errno.EDQUOT, "dfh executions prune --keep N"), (errno.EACCES, "permissions")],
)
def test_the_next_step_is_that_of_the_fault(
    number: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage, "publish_bytes", refuse)
    (found,) = storage.check_folder("project", tmp_path)
    assert found.level == "error"
    assert step in found.next


def test_the_time_of_a_plan_is_that_of_its_longest_chain() -> None:
    def job(name: str, time_s: int | None, *after: str) -> Job:
        return Job(name=name, operation=name, after=after, resources=Resources(time_s=time_s))

    jobs = (job("a", 10), job("b", 100), job("c", 20, "a"), job("end", None, "b", "c"))
    assert storage.longest_s(Plan(pipeline="p", site="s", scheduler="slurm", jobs=jobs)) == 100


def test_the_place_that_a_site_wants_jobs_from_is_looked_at(tmp_path: Path) -> None:
    systems = (
        FileSystem(role="scratch", env="SCRATCH"),
        FileSystem(role="home", path="/home/$USER"),
    )
    environ = {"SCRATCH": str(tmp_path), "USER": "ada"}
    site = SiteSpec(name="x", filesystems=systems, submit=SubmitSettings(from_="scratch"))
    (fine,) = storage.check_place(site, tmp_path / "runs", environ)
    assert (fine.kind, fine.level) == ("place", "info")
    (bad,) = storage.check_place(site, Path("/home/ada/runs"), environ)
    assert bad.level == "error"
    assert "takes jobs from its scratch file system, and /home/ada/runs" in bad.text
    assert list(storage.check_place(SiteSpec(filesystems=systems), Path("/x"), environ)) == []
    unknown = SiteSpec(submit=SubmitSettings(from_=UNKNOWN))
    assert list(storage.check_place(unknown, Path("/x"), environ)) == []
