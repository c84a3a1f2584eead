"""What is read is what was judged: another user may change a name between a look and an open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.pipeline.trust import planted
from deepforge_hpc.site import find
from deepforge_hpc.site.find import load_site, site_folders

OTHER = 1
MINE = "site: x\nextends: slurm-generic\ntitle: mine\n"
THEIRS = MINE.replace("mine", "theirs")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """Return a folder in which all may rename what is another's, with a site file in it."""
    folder = tmp_path / "site-configs"
    folder.mkdir()
    (folder / "x.yaml").write_text(MINE)
    (tmp_path / "theirs").write_text(THEIRS)
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    for path in (tmp_path, folder):
        path.chmod(0o777)
    return folder


def at_open(
    monkeypatch: pytest.MonkeyPatch,
    target: Path,
    before: Callable[[], object],
    after: Callable[[], object],
) -> None:
    """Let something happen right before and after the first time that a file is opened."""
    real, waits = os.open, [before, after]

    def racing(path: Any, *args: Any, **options: Any) -> int:
        is_it = os.fspath(path) == str(target) and len(waits) > 0
        if is_it:
            waits.pop(0)()
        handle = real(path, *args, **options)
        if is_it:
            waits.pop(0)()
        return handle

    monkeypatch.setattr(os, "open", racing)


def test_a_site_file_that_is_swapped_for_the_moment_it_is_opened_is_left_out(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, theirs, kept = open_folder / "x.yaml", open_folder.parent / "theirs", open_folder / "kept"

    def put() -> None:
        file.rename(kept)
        theirs.rename(file)

    at_open(monkeypatch, file, put, lambda: kept.rename(file))
    with pytest.raises(InvalidInputError, match="no site 'x'"):
        load_site("x", site_folders(open_folder.parent, None, {}))


def test_what_is_frozen_of_a_site_is_what_was_judged(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, theirs = open_folder / "x.yaml", open_folder.parent / "theirs"
    at_open(monkeypatch, file, lambda: None, lambda: theirs.rename(file))
    monkeypatch.setattr(find.SiteFolder, "refused", lambda *_: None)  # as of a folder one trusts
    (open_folder / "x.yaml").write_text("site: x\nscheduler: local\n")
    found = load_site("x", site_folders(open_folder.parent, None, {}))
    assert (found.data, found.spec.scheduler) == (b"site: x\nscheduler: local\n", "local")


def test_code_that_lay_there_only_while_it_was_read_is_refused(open_folder: Path) -> None:
    root = open_folder.parent
    file = root / "operations.py"
    file.write_text("mine")

    def told(data: bytes) -> list[Fault]:
        return list(planted({file: data}, (), root, ()))

    assert told(b"mine") == []
    (fault,) = told(b"theirs")
    assert (fault.file, fault.message.partition(",")[0]) == (str(file), "changed while it was read")
    root.chmod(0o775)
    assert told(b"theirs") == []
