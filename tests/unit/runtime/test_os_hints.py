"""What to do about what the operating system refused: a hint of its own for each kind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from deepforge_hpc.runtime.base.failure import disk_hint, os_hint


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "Free some space or quota"),
        (errno.EDQUOT, "Free some space or quota"),
        (errno.EACCES, "Change its permissions, then: dfh resume."),
        (errno.EPERM, "Change its permissions, then: dfh resume."),
        (errno.EROFS, "mounted read-only"),
        (errno.EIO, ""),
        (errno.ENOENT, ""),
    ],
)
def test_a_hint_for_each_kind(number: int, says: str, tmp_path: Path) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / "not" / "there"))
    hint = os_hint(error, "dfh resume")
    assert says in hint
    assert bool(hint) is bool(says)
    assert ("space" in hint) is (number in {errno.ENOSPC, errno.EDQUOT})
    resumed = os_hint(error, "dfh resume here/it-0001")
    assert disk_hint(error, "here/it-0001") == (resumed if "space" in hint else "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("uid", "name"), [(65534, "nobody"), (48_611, "user 48611")])
def test_the_owner_can_give_the_right(uid: int, name: str, tmp_path: Path) -> None:
    os.chown(tmp_path, uid, uid)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "new"))
    assert f"belongs to {name}" in os_hint(error)
    assert "belongs" not in os_hint(PermissionError(errno.EACCES, "Permission denied"))
    assert os_hint(ValueError("no file")) == ""
