"""Results of earlier executions are taken over only if they still are what they were."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.ledger.store import Ledger
from deepforge_hpc.runtime.base.files import digest, digest_file
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.state.record import write_record
from deepforge_hpc.schedulers.local_queue import LocalQueue
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.submit import chain
from deepforge_hpc.submit.earlier import EarlierExecutions
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.requests import preview
from deepforge_hpc.submit.reuse import apply, foresee, sent
from deepforge_hpc.submit.submitter import Submitter


def again(lab: Any) -> tuple[ExecutionLayout, dict[str, Any]]:
    layout = lab.create()
    info = read_info(layout)
    plan = read_plan(layout, info)
    return layout, apply(layout, info, plan, EarlierExecutions(plan.pipeline, lab.project)).jobs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, lab_class: Any) -> Path:
    """Return a project with one execution of the array pipeline, run by the real runtime."""
    lab = lab_class(tmp_path_factory.mktemp("reuse") / "project", "local")
    layout = lab.submit("array")
    assert set(lab.wait(layout).values()) == {"succeeded"}
    return lab.project


@pytest.fixture
def lab(finished: Path, lab_class: Any) -> Iterator[Any]:
    """Return that project; what a test adds to it is removed."""
    yield lab_class(finished, "local")
    for path in (finished / "executions").iterdir():
        if path.name != "lab-0001":
            deadline = time.monotonic() + 30
            while LocalQueue.of(str(path)).has_engine:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            shutil.rmtree(path)


def test_unchanged_pipeline_is_reused_whole(lab: Any) -> None:
    layout, reused = again(lab)
    assert {job: source.execution for job, source in reused.items()} == {
        "part": "lab-0001",
        "part.gather": "lab-0001",
        "use": "lab-0001",
    }
    report = chain.submit(layout, lab.scheduler)
    assert [name for name, _ in report.submitted] == ["_final"]
    assert report.message == "Submitted 1 job."
    states = lab.wait(layout)
    assert states == {
        "part": "reused", "part.gather": "reused", "use": "reused", "_final": "succeeded",
    }  # fmt: skip
    status = lab.status(layout)
    assert status.state == "reused"
    assert {job.reused_from for job in status.jobs if job.outputs} == {"lab-0001"}
    old = ExecutionLayout(layout.root.with_name("lab-0001"))
    name = "outputs/value.json"
    assert (layout.job("use").root / name).samefile(old.job("use").root / name)
    assert lab.ran().count("use") == 1


def test_what_is_reused_is_on_the_disk_before_its_marker_says_so(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = set(), os.fsync

    def sync(handle: int) -> None:
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if not path.with_name("success.json").exists():
            synced.add(path)

    monkeypatch.setattr(os, "fsync", sync)
    layout, reused = again(lab)
    assert {layout.job(name).outputs for name in ("use", "part.gather")} <= synced
    assert "use" in reused


def test_what_is_left_to_submit_is_counted_task_by_task(lab: Any) -> None:
    layout = lab.create()
    plan = read_plan(layout, read_info(layout))
    assert sent(plan, lab.project) == {"part": 0, "part.gather": 0, "use": 0, "_final": 1}
    elsewhere = sent(plan, lab.project / "nothing")
    assert elsewhere == {job.name: job.tasks for job in plan.jobs}


def test_reused_result_has_a_record_of_its_own_that_names_its_source(lab: Any) -> None:
    layout, reused = again(lab)
    ledger = Ledger(lab.project / ".dfh")
    marker = json.loads(layout.job("use").success.read_bytes())
    record = ledger.get(marker["record"])
    assert record.data.execution == layout.root.name
    assert record.data.reused_from == reused["use"]
    source = ledger.get(reused["use"].record)
    assert source.execution == "lab-0001"
    assert record.data.inputs == source.data.inputs
    assert [o.sha256 for o in record.data.outputs] == [o.sha256 for o in source.data.outputs]
    assert record.data.outputs[0].path.startswith(f"executions/{layout.root.name}/jobs/use/")


def test_results_outlive_the_execution_that_made_them(lab: Any, tmp_path: Path) -> None:
    second, _ = again(lab)
    first = second.root.with_name("lab-0001")
    first.rename(tmp_path / "away")
    try:
        _, reused = again(lab)
        assert {source.execution for source in reused.values()} == {second.root.name}
    finally:
        (tmp_path / "away").rename(first)


def test_changed_attribute_runs_again_from_there(lab: Any) -> None:
    path = lab.project / "pipeline.yaml"
    old = path.read_text()
    try:
        pipeline = json.loads(old)
        pipeline["operations"]["use"]["attributes"]["name"] = "other"
        path.write_text(json.dumps(pipeline))
        layout, reused = again(lab)
    finally:
        path.write_text(old)
    assert set(reused) == {"part", "part.gather"}
    chain.submit(layout, lab.scheduler)
    assert lab.wait(layout)["use"] == "succeeded"


@pytest.mark.parametrize(
    "how", ["edited", "forged", "format", "rows", "gone", "link", "marker", "record", "status"]
)
def test_what_does_not_hold_any_more_is_not_reused(lab: Any, how: str, tmp_path: Path) -> None:
    old = ExecutionLayout(lab.project / "executions" / "lab-0001").job("use")
    output = old.outputs / "value.json"
    record_id = json.loads(old.success.read_bytes())["record"]
    record = Ledger(lab.project / ".dfh").get(record_id).path
    target = {"marker": old.success, "record": record, "status": record}.get(how, output)
    saved, said = target.read_bytes(), old.success.read_text()
    try:
        if how == "forged":  # marker and output agree, and the record knows better
            target.write_bytes(saved.replace(b"0", b"1"))
            old.success.write_text(said.replace(digest(saved), digest_file(target)))
        elif how == "edited":
            info = target.stat()
            target.write_bytes(saved.replace(b"0", b"1"))
            os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
        elif how in {"format", "rows"}:  # of whatever digest: it would be read as that
            data = json.loads(said)
            data["outputs"]["value"].update({"format": "file"} if how == "format" else {"size": 1})
            old.success.write_text(json.dumps(data))
        elif how == "record":
            target.chmod(0o644)
            target.write_bytes(saved.replace(b'"succeeded"', b'"Succeeded"'))
        else:
            target.unlink()
        if how == "link":
            (tmp_path / "value.json").write_bytes(saved)
            target.symlink_to(tmp_path / "value.json")
        _, reused = again(lab)
    finally:
        old.success.write_text(said)
        target.unlink(missing_ok=True)
        target.write_bytes(saved)
    assert set(reused) == {"part", "part.gather"}


def test_record_that_is_not_whole_is_passed_over(lab: Any) -> None:
    old = ExecutionLayout(lab.project / "executions" / "lab-0001").job("use")
    ledger = lab.project / ".dfh"
    data = Ledger(ledger).get(json.loads(old.success.read_bytes())["record"]).raw
    partial = {**data, "time": {"end": "2999-01-01"}}
    del partial["job"]
    write_record(ledger, {**partial, "user": "eve"})
    _, reused = again(lab)
    assert set(reused) == {"part", "part.gather", "use"}


def test_tasks_are_reused_one_by_one_where_the_gathered_value_is_gone(lab: Any) -> None:
    first = ExecutionLayout(lab.project / "executions" / "lab-0001")
    hidden = [first.job("part.gather").success, first.job("part", 2).success]
    saved = {path: path.read_bytes() for path in hidden}
    for path in hidden:
        path.unlink()
    info = read_info(first)
    plan = read_plan(first, info)
    try:
        foreseen, left = (
            foresee(plan, EarlierExecutions(plan.pipeline, lab.project)),
            sent(plan, lab.project),
        )
        layout, reused = again(lab)
    finally:
        for path, content in saved.items():
            path.write_bytes(content)
    assert set(reused) == {"use"}
    assert {job.name: job.reused_from for job in lab.status(layout).jobs} == {
        "part": "lab-0001", "part.gather": "", "use": "lab-0001", "_final": "",
    }  # fmt: skip
    assert foreseen.jobs == reused
    assert left == {"part": 1, "part.gather": 1, "use": 0, "_final": 1}
    shown = preview(info, plan, SlurmScheduler(), foreseen.units)
    assert list(shown) == ["part", "part.gather", "_final"]
    assert "--array=2" in shown["part"]
    report = chain.submit(layout, lab.scheduler)
    assert [name for name, _ in report.submitted] == ["part", "part.gather", "_final"]
    states = lab.wait(layout)
    assert (states["part"], states["part.gather"]) == ("succeeded", "succeeded")
    assert [task.state for task in lab.status(layout).jobs[0].tasks] == [
        "reused", "reused", "succeeded", "reused",
    ]  # fmt: skip


def test_marker_that_points_outside_is_not_followed(lab: Any) -> None:
    old = ExecutionLayout(lab.project / "executions" / "lab-0001").job("use")
    saved = old.success.read_bytes()
    marker = json.loads(saved)
    marker["outputs"]["value"]["path"] = "outputs/../../../../../numbers.json"
    old.success.write_text(json.dumps(marker))
    try:
        _, reused = again(lab)
    finally:
        old.success.write_bytes(saved)
    assert "use" not in reused


@pytest.fixture
def elsewhere(lab: Any) -> Iterator[Path]:
    """Return where the pipeline wants its result."""
    path = lab.project / "pipeline.yaml"
    old = path.read_text()
    pipeline = json.loads(old)
    pipeline["outputs"]["result"]["to"] = "results/use.json"
    path.write_text(json.dumps(pipeline))
    yield lab.project / "results" / "use.json"
    path.write_text(old)
    shutil.rmtree(lab.project / "results", ignore_errors=True)


def test_destination_gets_the_reused_result_once_it_is_claimed(lab: Any, elsewhere: Path) -> None:
    layout, reused = again(lab)
    assert "use" in reused
    assert not elsewhere.parent.exists()
    lab.flag("wait-p0")
    live = lab.create()
    chain.submit(live, lab.scheduler)
    with pytest.raises(UsageError, match=live.root.name):
        chain.submit(layout, lab.scheduler)
    assert not elsewhere.parent.exists()
    lab.cancel(live)
    lab.flag("wait-p0", is_set=False)
    lab.wait(live)
    lab.resume(layout)
    assert elsewhere.with_name("use.json.prov").exists()
    elsewhere.write_text("another's by now")
    lab.wait(layout)
    lab.resume(layout)
    assert elsewhere.read_text() == "another's by now"


def test_destination_in_the_way_stops_the_submission_and_not_the_next(
    lab: Any, elsewhere: Path
) -> None:
    layout, _ = again(lab)
    elsewhere.parent.write_text("a file")
    with pytest.raises(StorageError, match="reused could not be published") as caught:
        chain.submit(layout, lab.scheduler)
    assert caught.value.hint.endswith(f"dfh resume {layout.root.name}")
    assert not lab.scheduler.find(str(layout.root), lab.token(layout))
    elsewhere.parent.unlink()
    lab.resume(layout)
    assert elsewhere.exists()


def test_submission_that_died_before_it_let_the_jobs_go_is_completed(
    lab: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, _ = again(lab)
    with monkeypatch.context() as patch:
        patch.setattr(Submitter, "publish_reused", lambda _: None)
        patch.setattr(Submitter, "release", lambda *_: sys.exit("dies"))
        with pytest.raises(SystemExit):
            chain.submit(layout, lab.scheduler)
    assert not elsewhere.exists()
    lab.resume(layout)
    assert elsewhere.exists()
