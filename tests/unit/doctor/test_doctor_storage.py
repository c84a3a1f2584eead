"""Folders are tried with real files; quota and purge are held against the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.doctor import storage
from deepforge_hpc.doctor.walltime import longest_s
from deepforge_hpc.model.plan import Job, Plan
from deepforge_hpc.model.resources import Resources
from deepforge_hpc.model.site import UNKNOWN, FileSystem, Purge, SiteSpec

DAY = 86400


def levels(findings: Any) -> list[tuple[str, str]]:
    return [(item.check, item.level) for item in findings]


def test_a_good_folder_is_ok_and_left_as_it_was(tmp_path: Path) -> None:
    found = list(storage.check_folder("ledger", tmp_path / "not" / "yet"))
    assert levels(found) == [("folder ledger", "OK")]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses_is_an_error() -> None:
    (found,) = storage.check_folder("project", Path("/proc/self"))
    assert found.level == "ERROR"
    assert "/proc/self" in found.message


def test_a_file_system_on_which_creation_does_not_exclude_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No such file system can be had here: the one fault is put in by hand.
    monkeypatch.setattr(storage.os, "O_EXCL", 0)
    found = list(storage.check_folder("project", tmp_path))
    assert found[0].level == "ERROR"
    assert "exclusive creation does not exclude" in found[0].message


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
    assert levels(storage.check_shared(Path("/tmp/x"), MOUNTS)) == [("shared", "WARN")]
    assert levels(storage.check_shared(Path("/scratch/x"), MOUNTS)) == []


def site(**values: Any) -> SiteSpec:
    scratch = FileSystem(role="scratch", path="/scratch/$USER", **values)
    whole = FileSystem(role="other", path="/scratch", quota="1TB", purge=None)
    return SiteSpec(name="here", scheduler="slurm", filesystems=(whole, scratch))


@pytest.mark.parametrize(
    ("purge", "days", "level"),
    [
        (Purge(days=30, basis="access"), 2, "OK"),
        (Purge(days=30, basis="access"), 25, "WARN"),
        (Purge(days=30, basis="creation"), 31, "ERROR"),
        (Purge(days=UNKNOWN, basis="access"), 1, "WARN"),
        (Purge(basis="none"), 99, "OK"),
        (UNKNOWN, 1, "WARN"),
        (None, 99, "OK"),
    ],
)
def test_files_must_not_vanish_before_the_jobs_end(purge: Any, days: int, level: str) -> None:
    folder, environ = Path("/scratch/me/project"), {"USER": "me"}
    found = storage.check_rules(site(quota="5TB", purge=purge), folder, environ, days * DAY)
    assert levels(found) == [("quota", "OK"), ("purge", level)]


def test_rules_that_nobody_wrote_down_are_unknown() -> None:
    for systems in (UNKNOWN, ()):
        spec = SiteSpec(name="here", scheduler="slurm", filesystems=systems)
        found = list(storage.check_rules(spec, Path("/scratch/me"), {}, DAY))
        assert levels(found) == [("quota", "WARN"), ("purge", "WARN")]
        assert "unknown" in found[0].message


def test_the_time_of_a_plan_is_that_of_its_longest_chain() -> None:
    def job(name: str, time_s: int | None, *after: str) -> Job:
        return Job(name=name, operation=name, after=after, resources=Resources(time_s=time_s))

    jobs = (job("a", 10), job("b", 100), job("c", 20, "a"), job("end", None, "b", "c"))
    assert longest_s(Plan(pipeline="p", site="s", scheduler="slurm", jobs=jobs)) == 100
