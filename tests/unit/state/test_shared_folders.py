"""Folders that several processes make at once, and what is on the disk once a call has returned."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.failure import JobError
from deepforge_hpc.runtime.base.files import digest, publish_bytes
from deepforge_hpc.runtime.base.jsonl import append_line
from deepforge_hpc.runtime.base.layout import JobLayout
from deepforge_hpc.runtime.base.plan import Job, OutputPort, Resources
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.job.state_writer import StateWriter
from deepforge_hpc.runtime.rank import run
from deepforge_hpc.runtime.rank.identity import Identity
from deepforge_hpc.runtime.rank.messages import RankSpec
from deepforge_hpc.runtime.rank.saving import save_outputs
from deepforge_hpc.runtime.rank.variables import caches
from deepforge_hpc.runtime.state.record import write_blob, write_record
from deepforge_hpc.runtime.state.record_data import AccountingData, CountedAt
from deepforge_hpc.runtime.storage import known
from deepforge_hpc.runtime.storage.local import LocalStorage
from deepforge_hpc.schedulers.local_cores import shared_file
from deepforge_hpc.schedulers.local_queue import LocalQueue
from deepforge_hpc.submit import destinations, execution, project
from deepforge_hpc.training.checkpoints import Checkpoints, Position

OURS = re.compile(r"\.|p-\d{4}$")
"""What nobody else makes, or who makes it first has it alone."""


def put(root: Path) -> None:
    (root / "x").write_text("x")
    LocalStorage(root / "new").put(root / "x", "deep/x")


def take_digest(root: Path) -> None:
    (root / "x").write_text("x")
    os.utime(root / "x", (0, 0))  # what may still be written to is not remembered
    place = LocalStorage(root)
    assert known.known_digest(root / "ledger", place, place.stat("x")) == digest(b"x")
    assert list((root / "ledger" / "digests").iterdir())


def lock(root: Path) -> None:
    with LocalQueue(root / "local").locked():
        LocalQueue(root / "local").command("cancel", ["L1"])


def claim(root: Path) -> None:
    info = ExecutionInfo.stand_in(id="x-1", uuid="0" * 32, home=str(root))
    destinations._DestinationLock(root / "claims", "/results/x", "x").take(info, 1)


def make_execution(root: Path) -> None:
    loaded: Any = SimpleNamespace(project=root, executions=root / "deep/executions")
    assert execution._make_folder(loaded, "p", "0" * 32).is_dir()


def share_cores(root: Path) -> None:
    assert shared_file(root / "cores") is not None


def keep_kernels(root: Path) -> None:
    job = Job("a", "a", resources=Resources(gpus_per_node=1))
    assert caches({"TMPDIR": str(root)}, job, os.getuid())


ACCOUNTING = AccountingData(
    "x-1", "0" * 32, 1, "ada", "1.0", "scheduler", (), digest(b""), CountedAt()
)
MAKERS: dict[str, Callable[[Path], object]] = {
    "record": lambda root: write_record(root, ACCOUNTING),
    "blob": lambda root: write_blob(root, b"x"),
    "destination": put,
    "digest": take_digest,
    "queue": lock,
    "ledger": lambda root: project.mark(root, root / "executions", "0" * 32),
    "claims": claim,
    "executions": make_execution,
    "cores": share_cores,
    "kernels": keep_kernels,
}


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every folder just before we do, whatever was looked at before that; return which."""
    mkdir = os.mkdir
    found: list[str] = []

    def late(path: str, mode: int = 0o777, **options: int) -> None:
        mkdir(path, mode, **options)
        if not OURS.match(Path(path).name):
            found.append(Path(path).name)
            mkdir(path, mode, **options)  # the other's was the one above

    monkeypatch.setattr(os, "mkdir", late)
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_that_another_process_makes_first_is_as_good(
    tmp_path: Path, lost: list[str], name: str
) -> None:
    MAKERS[name](tmp_path)
    assert lost


def rank_spec(work: Path, *outputs: OutputPort) -> RankSpec:
    job = Job("job", "job", outputs=outputs)
    return RankSpec(job, (), None, code="", work=str(work), figures="", rank_log="")


def test_ranks_of_one_node_make_their_working_folder_at_once(
    tmp_path: Path, lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor has made that of its own node alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DFH_SCRATCH", str(tmp_path / "job/scratch"))
    monkeypatch.setenv("DFH_RANK", "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    run._prepare(rank_spec(tmp_path), Identity(0, 1, None, ""))
    assert Path.cwd() == tmp_path / "job/scratch"
    assert "scratch" in lost


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note the inode of what is synced, and of what is given a name, in their order."""
    noted: list[tuple[str, int]] = []
    fsync, replace, rename, link = os.fsync, os.replace, os.rename, os.link

    def sync(handle: int) -> None:
        fsync(handle)
        noted.append(("sync", os.fstat(handle).st_ino))

    def naming(call: Callable[..., None]) -> Callable[..., None]:
        def named(source: str, target: str, **options: bool) -> None:
            noted.append(("name", os.lstat(source).st_ino))
            call(source, target, **options)

        return named

    monkeypatch.setattr(os, "fsync", sync)
    for name, call in (("replace", replace), ("rename", rename), ("link", link)):
        monkeypatch.setattr(os, name, naming(call))
    return noted


def publish(root: Path) -> Path:
    publish_bytes(root / "x", b"x")
    return root / "x"


def put_file(root: Path) -> Path:
    (root / "source").write_text("x")
    place = LocalStorage(root / "place")
    place.put(root / "source", "x")
    return place.path_of("x")


def replace_file(root: Path) -> Path:
    (root / "source").write_text("x")
    place = LocalStorage(root / "place")
    place.put(root / "source", "x", replace=True)
    return place.path_of("x")


def keep_record(root: Path) -> Path:
    write_record(root, ACCOUNTING)
    return next(root.rglob("*.json"))


def keep_blob(root: Path) -> Path:
    return next(root.rglob(write_blob(root, b"x").removeprefix("sha256:")))


def save(root: Path) -> Path:
    """As a rank saves an output, and the supervisor takes it over."""
    place = LocalStorage(root / "place")
    for folder in (root / "work", root / "place"):
        folder.mkdir()
    save_outputs(rank_spec(root / "work", OutputPort("x", "json")), {"x": 1}, FORMATS)
    place.adopt(root / "work/outputs/x.json", "x.json")
    return place.path_of("x.json")


@pytest.mark.parametrize("write", [publish, put_file, replace_file, keep_record, keep_blob, save])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_when_the_call_returns(
    tmp_path: Path, calls: list[tuple[str, int]], write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path)
    file, folder = path.stat().st_ino, path.parent.stat().st_ino
    of_both = [call for call in calls if call[1] in (file, folder)]
    assert of_both == [("sync", file), ("name", file), ("sync", folder)]


def test_a_checkpoint_is_on_the_disk_before_what_says_that_it_is_whole(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    pytest.importorskip("numpy")
    path = Checkpoints(tmp_path).save(Position(), {}, {}).path
    data, small, folder = (one.stat().st_ino for one in (path, path.with_suffix(".json"), tmp_path))
    assert calls == [
        ("sync", data), ("name", data), ("sync", folder),
        ("sync", small), ("name", small), ("sync", folder),
    ]  # fmt: skip


def test_the_last_word_of_a_job_is_on_the_disk_and_no_other(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    folder = JobLayout(tmp_path)
    context: Any = SimpleNamespace(
        by_hand=False, attempt=1, name="a", task=None, native_id="", folder=folder
    )
    said = StateWriter(context)
    said.write(State.RUNNING)
    assert "sync" not in dict(calls)
    said.write(State.FAILED)
    assert calls[1:] == [
        ("sync", folder.state.stat().st_ino),
        ("name", folder.state.stat().st_ino),
        ("sync", tmp_path.stat().st_ino),
    ]


def test_what_is_rescued_of_an_output_is_on_the_disk(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    with pytest.raises(JobError):
        save_outputs(rank_spec(tmp_path, OutputPort("x", "json")), {"x": {1: 2}}, FORMATS)
    for path in (tmp_path / "rescue/x.pickle", tmp_path / "rescue/outputs", tmp_path / "rescue"):
        assert ("sync", path.stat().st_ino) in calls


def test_a_line_that_must_last_is_on_the_disk_and_so_is_the_name_of_a_new_file(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    path = tmp_path / "journal.jsonl"
    append_line(path, {"a": 1}, durable=True)
    file, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert calls == [("sync", file), ("sync", folder)]
    append_line(path, {"a": 2}, durable=True)
    assert calls[2:] == [("sync", file)]
    append_line(path, {"a": 3})
    assert len(calls) == 3


def test_a_claim_is_on_the_disk_when_it_is_held(
    tmp_path: Path, calls: list[tuple[str, int]]
) -> None:
    claim(tmp_path)
    (folder,) = (tmp_path / "claims").iterdir()
    paths = (folder / "claim.json", folder, tmp_path / "claims")
    file, own, above = (path.stat().st_ino for path in paths)
    assert calls == [
        ("sync", file), ("name", file), ("sync", own), ("name", own), ("sync", above)
    ]  # fmt: skip
