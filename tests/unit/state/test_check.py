"""Is this what was published: one rule for stage-in, gathering, reuse and `dfh prov verify`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.runtime.base.files import digest_path
from deepforge_hpc.runtime.state import check as module
from deepforge_hpc.runtime.state.check import check, look
from deepforge_hpc.runtime.state.marker import Output


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Output]:
    path = tmp_path / "model"
    path.write_bytes(b"weights")
    sha256, size = digest_path(path)
    return path, Output("outputs/model", "file", sha256, size, path.stat().st_mtime_ns, None)


def edit(path: Path, content: bytes) -> None:
    """Change the content, and put the old time back."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_small_output_is_read(published: tuple[Path, Output]) -> None:
    path, entry = published
    assert check(path, entry)[:2] == ("", "content")
    edit(path, b"WEIGHTS")
    assert check(path, entry).fault == "is damaged: its content is not what was made"
    edit(path, b"more weights")
    assert check(path, entry).fault == "is damaged: it has 12 bytes, and 7 were made"
    path.unlink()
    assert check(path, entry).is_missing


def test_large_output_is_read_if_its_time_differs_or_all_are_asked_for(
    published: tuple[Path, Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_BYTES", 3)
    path, entry = published
    edit(path, b"WEIGHTS")
    assert check(path, entry)[:2] == ("", "stat")
    assert look(path, entry.sha256).fault
    assert check(path, entry._replace(mtime_ns=1)).fault
    monkeypatch.setenv("DFH_VERIFY", "full")
    assert check(path, entry).fault
    edit(path, b"weights")
    assert check(path, entry._replace(mtime_ns=1))[:2] == ("", "content")
