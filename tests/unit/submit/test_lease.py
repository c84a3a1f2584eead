from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepforge_hpc.errors import StorageError
from deepforge_hpc.submit.lease import Owner, lease


def plant(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).touch()


def test_lease_is_there_while_it_is_held_and_gone_after(tmp_path: Path) -> None:
    folder = tmp_path / ".submitting"
    with lease(folder, "x"):
        assert [path.name for path in folder.iterdir()] == [Owner.current().file_name]
    assert list(tmp_path.iterdir()) == []


def test_live_owner_is_named(tmp_path: Path) -> None:
    with (
        lease(tmp_path / "l", "x"),
        pytest.raises(StorageError, match=rf"x: process {os.getpid()}"),
        lease(tmp_path / "l", "x"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ticks", ["1", ""])
def test_dead_owner_loses_it_even_if_its_number_was_given_away(tmp_path: Path, ticks: str) -> None:
    # Our own number, but another start: the number was taken by another process since.
    pid = (
        os.getpid() if ticks else subprocess.run([sys.executable, "-c", ""], check=True).returncode
    )
    plant(tmp_path / "l", f"{pid or 4_000_000}.{ticks or 1}.{os.uname().nodename}")
    with lease(tmp_path / "l", "x"):
        assert [path.name for path in (tmp_path / "l").iterdir()] == [Owner.current().file_name]
    assert not (tmp_path / "l").exists()


def test_owner_on_another_host_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "of $(id)"
    plant(folder, "12.34.login7.example.org")
    says = pytest.raises(StorageError, match=r"12 on host login7\.example\.org")
    with says as caught, lease(folder, "x"):
        pass
    assert "ssh login7.example.org ps 12" in caught.value.hint
    assert f"rm -r '{folder}'" in caught.value.hint
    assert len(list(tmp_path.iterdir())) == 1


def test_foreign_content_is_refused_not_removed(tmp_path: Path) -> None:
    plant(tmp_path / "l", "notes")
    with pytest.raises(StorageError, match="'notes'"), lease(tmp_path / "l", "x"):
        pass
    assert (tmp_path / "l" / "notes").exists()


def test_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    with lease(tmp_path / "l", "x"):
        assert len(list((tmp_path / "l").iterdir())) == 1


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made"), lease(tmp_path / "no" / "l", "x"):
        pass


def test_of_many_at_once_each_holds_it_alone(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from deepforge_hpc.errors import StorageError
from deepforge_hpc.submit.lease import lease
folder, log = Path({str(tmp_path / "l")!r}), Path({str(tmp_path / "log")!r})
done = 0
while done < 15:
    try:
        with lease(folder, "x"):
            with log.open("a") as stream:
                stream.write("in\\n"); stream.flush(); time.sleep(0.001); stream.write("out\\n")
            done += 1
    except StorageError:
        time.sleep(0.001)
"""
    plant(tmp_path / "l", f"4000000.1.{os.uname().nodename}")
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    lines = (tmp_path / "log").read_text().split()
    assert lines == ["in", "out"] * 45
