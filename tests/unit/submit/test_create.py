"""What an execution freezes, and what stays when that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api.find import is_leftover
from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.pipeline.load import load_pipeline
from deepforge_hpc.pipeline.snapshot import START_UP, code_file
from deepforge_hpc.runtime.base.files import digest, digest_file
from deepforge_hpc.runtime.base.layout import PLUGINS
from deepforge_hpc.runtime.state.read import read_files
from deepforge_hpc.submit import chain, execution, project
from deepforge_hpc.submit.frozen import check_code, read_info, read_plan, restore
from deepforge_hpc.submit.lease import SUBMITTING
from deepforge_hpc.submit.project import executions_folders


def test_everything_is_frozen_under_its_digest(real_lab: Any) -> None:
    real_lab.write()
    layout = real_lab.create()
    info = read_info(layout)
    assert (info.id, info.home) == ("lab-0001", str(layout.root))
    assert digest(layout.plan.read_bytes()) == info.plan_sha256
    assert digest(layout.manifest.read_bytes()) == info.code_sha256
    assert digest_file(layout.pipeline) == info.pipeline_sha256
    assert digest_file(layout.site) == info.site_sha256
    files = json.loads(layout.manifest.read_bytes())["files"]
    assert {path: digest_file(layout.code / path) for path in files} == files
    there = {p.relative_to(layout.code).as_posix() for p in layout.code.rglob("*") if p.is_file()}
    assert there == {*files, "MANIFEST.json"}
    assert "project/operations.py" in files
    assert "dfh_runtime.zip" in files
    assert layout.pipeline.read_bytes() == (real_lab.project / "pipeline.yaml").read_bytes()
    for job in read_plan(layout, info).jobs:
        assert layout.script(job.name).read_text().startswith("#!/bin/bash")


def test_all_is_on_the_disk_before_it_is_an_execution(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    after: set[int] = set()
    fsync = os.fsync
    project = lab.project.stat().st_ino

    def note(handle: int) -> None:
        fsync(handle)
        is_one = any(lab.project.glob("executions/*/execution.json"))
        (after if is_one else synced).add(os.fstat(handle).st_ino)

    lab.write()
    monkeypatch.setattr(os, "fsync", note)
    root = lab.create().root
    paths = {root, *root.rglob("*")} - {root / "execution.json"}
    assert [path for path in paths if path.stat().st_ino not in synced] == []
    assert {root.stat().st_ino, root.parent.stat().st_ino} <= after  # and the names of both
    assert project in synced  # which has the name of the folder of executions


def test_the_ledger_keeps_all_of_the_code_but_the_runtime(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `restore` brings back is whole: also what plug-ins and libraries add."""
    more = {PLUGINS: code_file(b"{}"), f"{START_UP}/start_up_x.py": code_file(b"x = 1\n")}

    def load(*given: Any, **named: Any) -> Any:
        loaded = load_pipeline(*given, **named)
        files = {**loaded.snapshot.files, **more}
        return replace(loaded, snapshot=replace(loaded.snapshot, files=files))

    monkeypatch.setattr(sys.modules[type(lab).__module__], "load_pipeline", load)
    lab.write()
    layout = lab.create()
    for name, file in more.items():
        path = layout.code / name
        assert path.read_bytes() == file.data
        path.chmod(0o644)
        path.write_bytes(b"")  # as a power cut leaves it
    restore(layout, read_info(layout))
    assert check_code(layout, read_info(layout)) is None
    assert {name: (layout.code / name).read_bytes() for name in more} == {
        name: file.data for name, file in more.items()
    }


def test_who_lays_it_has_its_lease_so_that_nobody_takes_it_for_left_behind(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def note(info: Any, _: Any) -> None:
        folder = Path(info.home)
        os.utime(folder, (0, 0))
        seen.append(is_leftover(folder))
        (folder / SUBMITTING).rename(folder / f"{SUBMITTING}.0a")  # as one that was killed
        os.utime(folder, (0, 0))
        seen.append(is_leftover(folder))

    lab.write()
    monkeypatch.setattr(execution.destinations, "check", note)
    lab.create()
    assert seen == [False, True]


def test_what_a_power_cut_has_emptied_is_read_from_the_ledger(lab: Any) -> None:
    lab.write()
    layout = lab.create()
    info = read_info(layout)
    plan, code = read_plan(layout, info), layout.code / "project" / "operations.py"
    runtime = layout.code / "dfh_runtime.zip"
    for path in (layout.plan, layout.manifest, layout.pipeline, layout.site, code, runtime):
        path.chmod(0o644)
        path.write_bytes(b"" if path == layout.plan else bytes(9))  # of either kind of file system
    assert read_plan(layout, info) == plan
    assert [job.name for job in read_files(layout.root).jobs] == [job.name for job in plan.jobs]
    restore(layout, info)
    check_code(layout, info)
    files = (layout.plan, layout.manifest, layout.pipeline, layout.site)
    frozen = (info.plan_sha256, info.code_sha256, info.pipeline_sha256, info.site_sha256)
    assert tuple(map(digest_file, files)) == frozen
    assert not any(path.stat().st_mode & 0o222 for path in files)
    layout.plan.chmod(0o644)
    layout.plan.write_bytes(b"{}")  # an edit is none
    restore(layout, info)
    assert layout.plan.read_bytes() == b"{}"
    (copy,) = lab.project.glob(f".dfh/blobs/*/{info.site_sha256.removeprefix('sha256:')}")
    for path in (copy, layout.site):
        path.chmod(0o644)
        path.write_bytes(b"{}" if path == copy else b"")
    restore(layout, info)
    assert layout.site.read_bytes() == b""  # what was edited stands in for nothing


def test_a_script_that_a_power_cut_has_emptied_is_written_again(real_lab: Any) -> None:
    real_lab.write()
    layout = real_lab.create()
    scripts = sorted(layout.jobs.glob("*/job.sh"))
    written = [(path.read_bytes(), path.stat().st_mode) for path in scripts]
    for path in scripts[1:]:
        path.write_bytes(b"")
    scripts[0].write_bytes(b"edited")
    restore(layout, read_info(layout))
    found = [(path.read_bytes(), path.stat().st_mode) for path in scripts]
    assert found == [(b"edited", written[0][1]), *written[1:]]


def test_ledger_is_marked_once_and_keeps_plan_and_sources(lab: Any) -> None:
    lab.write()
    info = read_info(lab.create())
    ledger = lab.project / ".dfh"
    mark = (ledger / "FORMAT").read_bytes()
    assert json.loads(mark)["format"] == 1
    frozen = (info.plan_sha256, info.code_sha256, info.pipeline_sha256, info.site_sha256)
    for sha256 in (*frozen, digest_file(lab.project / "operations.py")):
        name = sha256.removeprefix("sha256:")
        assert digest_file(ledger / "blobs" / name[:2] / name) == sha256
    lab.create()
    assert (ledger / "FORMAT").read_bytes() == mark


def test_submitters_at_once_get_numbers_of_their_own(lab: Any) -> None:
    lab.write()
    with ThreadPoolExecutor(4) as pool:
        layouts = list(pool.map(lambda _: lab.create(), range(8)))
    assert sorted(layout.root.name for layout in layouts) == [f"lab-000{n}" for n in range(1, 9)]
    assert len({read_info(layout).uuid for layout in layouts}) == 8


def test_number_of_a_half_made_folder_is_not_used_again(lab: Any) -> None:
    lab.write()
    (lab.project / "executions" / "lab-0007").mkdir(parents=True)
    (lab.project / "executions" / "other-0009").mkdir()
    assert lab.create().root.name == "lab-0008"


def test_executions_can_lie_elsewhere_and_are_found(lab: Any, tmp_path: Path) -> None:
    lab.write(executions=str(tmp_path / "scratch" / "runs"))
    layout = lab.create()
    assert layout.root == tmp_path / "scratch" / "runs" / "lab-0001"
    assert layout.root.parent in executions_folders(lab.project)
    # The number belongs to the project, wherever its executions lie.
    lab.write()
    assert lab.create().root == lab.project / "executions" / "lab-0002"


def test_full_disk_leaves_nothing(lab: Any, small_disk: Path) -> None:
    lab.write(executions=str(small_disk))
    with pytest.raises(StorageError, match="No space left") as caught:
        lab.create()
    assert "Nothing of the execution was kept" in caught.value.hint
    assert list(small_disk.iterdir()) == []


def test_read_only_project_says_where_executions_can_go(lab: Any) -> None:
    lab.write()
    bind = ["mount", "--bind", str(lab.project), str(lab.project)]
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(lab.project)], check=True)
        with pytest.raises(StorageError, match="Read-only file system") as caught:
            lab.create()
        assert "executions: FOLDER" in caught.value.hint
    finally:
        subprocess.run(["umount", str(lab.project)], check=True)


def test_destination_of_a_live_execution_is_refused_to_another(lab: Any) -> None:
    lab.write(outputs={"result": {"from": "c.value", "to": "results/c.json"}})
    lab.flag("wait-a")
    first = lab.create()
    chain.submit(first, lab.scheduler)
    with pytest.raises(
        UsageError, match=r"outputs\.result\.to .*lab-0001, which is not over"
    ) as caught:
        lab.create()
    assert "dfh cancel lab-0001" in caught.value.hint
    assert [path.name for path in (lab.project / "executions").iterdir()] == ["lab-0001"]
    lab.flag("wait-a", is_set=False)
    lab.wait(first)
    assert lab.create().root.name == "lab-0002"


def test_claim_of_a_removed_execution_is_void(lab: Any) -> None:
    lab.write(outputs={"result": {"from": "c.value", "to": "results/c.json"}})
    lab.flag("wait-a")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    lab.cancel(layout)
    subprocess.run(["rm", "-r", str(layout.root)], check=True)
    assert lab.create().root.name == "lab-0002"


@pytest.mark.parametrize("damage", ["cut", "a later version", "a folder", "gone"])
def test_claim_of_an_execution_that_cannot_be_read_holds(lab: Any, damage: str) -> None:
    lab.write(outputs={"result": {"from": "c.value", "to": "results/c.json"}})
    lab.flag("wait-a")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    content = layout.execution.read_text()
    layout.execution.unlink()
    if damage == "a folder":
        layout.execution.mkdir()
    elif damage != "gone":
        later = content.replace("dfh/execution/", "dfh/execution/9")
        layout.execution.write_text(content[:50] if damage == "cut" else later)
    with pytest.raises(UsageError, match="lab-0001, which is not over") as caught:
        lab.create()
    assert "nothing of it runs: rm " in caught.value.hint
    if damage == "a folder":
        layout.execution.rmdir()
    layout.execution.write_text(content)
    lab.cancel(layout)


def test_number_of_a_removed_execution_does_not_come_back(lab: Any) -> None:
    lab.write()
    subprocess.run(["rm", "-r", str(lab.create().root)], check=True)
    assert lab.create().root.name == "lab-0002"


def test_other_destinations_do_not_meet(lab: Any) -> None:
    lab.write(outputs={"result": {"from": "c.value", "to": "results/one.json"}})
    lab.flag("wait-a")
    chain.submit(lab.create(), lab.scheduler)
    lab.write(outputs={"result": {"from": "c.value", "to": "results/two.json"}})
    assert lab.create().root.name == "lab-0002"


def test_an_execution_is_numbered_by_its_name(tmp_path: Path) -> None:
    for name in ("p", "p-0002", "p-12", "p-0003x", "q-0001", "p-0001-0004"):
        (tmp_path / name).mkdir()
    assert project.numbered(tmp_path, "p") == {2: tmp_path / "p-0002"}
    assert project.number_of("p-0001-0004") == ("p-0001", 4)
    assert project.number_of(project.name_of("p", 12345)) == ("p", 12345)
