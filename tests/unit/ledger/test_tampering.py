"""What a forger, a careless hand or a copy can do to an execution, and what names it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import provenance
from deepforge_hpc.cli.views.provenance import explanation_lines
from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import DamagedRecordError, Ledger
from deepforge_hpc.ledger.verify import most
from deepforge_hpc.runtime.base.files import canonical_json, digest_file, digest_path
from deepforge_hpc.runtime.state.check import look
from deepforge_hpc.runtime.state.closure import build_closure
from deepforge_hpc.runtime.state.record_data import RecordedOutput


def findings(project: Any, path: Path, level: str = "error") -> list[str]:
    found = provenance.verify(str(path), project.root)
    assert found.is_sound == (not any(item.level == "error" for item in found.findings))
    return sorted({item.kind for item in found.findings if item.level == level})


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new))


def success(project: Any, job: str) -> Path:
    path: Path = project.execution / "jobs" / job / "success.json"
    return path


@pytest.mark.parametrize("target", ["output", "job", "execution"])
def test_copied_execution_is_verified_itself_not_its_original(
    project: Any, tmp_path: Path, target: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.execution, copy)
    job = copy / "jobs" / "train"
    path = {"output": job / "outputs" / "result.txt", "job": job, "execution": copy}[target]
    info = json.loads((copy / "execution.json").read_bytes())
    assert info["ledger"] == str(project.ledger)
    assert findings(project, path) == []
    (job / "outputs" / "result.txt").write_text("forged\n")
    assert findings(project, path) == ["output_modified"]
    assert findings(project, project.execution) == []


@pytest.mark.parametrize("later", [-1, 1])
def test_a_failed_attempt_with_a_later_clock_hides_no_edit(project: Any, later: int) -> None:
    """The root is what the marker names, else the last attempt; a clock may be wrong."""
    record = json.loads(project.record_file("evaluate").read_bytes())
    failed = {
        **record,
        "attempt": record["attempt"] + later,
        "status": "failed",
        "outputs": [],
        "time": {**record["time"], "end": "2099-01-01T00:00:00.000+00:00"},
    }
    project.write_record(failed)
    output = project.output("evaluate", "result.txt")
    assert findings(project, project.execution) == []
    output.chmod(0o644)
    output.write_text("forged\n")
    assert findings(project, project.execution) == ["output_modified"]
    success(project, "evaluate").unlink()
    assert findings(project, project.execution) == ["output_modified"] * (later < 0)


@pytest.mark.parametrize(
    "field", ["format", "size", "path", "folder", "rows", "parts", "attempt", "reused_from"]
)
def test_every_field_of_a_marker_is_compared(project: Any, field: str) -> None:
    marker = success(project, "train")
    said = json.loads(marker.read_bytes())
    output = next(iter(said["outputs"].values()))
    other = {"format": "json", "size": output["size"] + 1, "path": "outputs/other", "rows": 9}
    other |= {"attempt": 2, "parts": True}
    other["folder"] = output["path"].replace("outputs/", "outputs/below/")
    other["reused_from"] = {"execution": "forged-0001", "job": "a", "task": None, "record": "x"}
    key = "path" if field == "folder" else field
    (output if key in {**output, "parts": 0} else said)[key] = other[field]
    marker.chmod(0o644)
    marker.write_text(json.dumps(said))
    assert "marker_modified" in findings(project, project.execution)


def test_record_of_another_execution_does_not_vouch_for_a_marker(project: Any) -> None:
    record = json.loads(project.record_file("evaluate").read_bytes())
    other = project.write_record({**record, "uuid": "f" * 32, "execution": "other-0001"})
    replace(success(project, "evaluate"), project.ids["evaluate"], other)
    assert "marker_modified" in findings(project, project.execution)


def test_execution_under_another_name_is_still_found(project: Any) -> None:
    renamed = project.execution.with_name("the-good-one")
    project.execution.rename(renamed)
    assert findings(project, renamed) == []
    assert findings(project, renamed, "warning") == []


@pytest.mark.parametrize("what", ["digest", "record", "not JSON", "plan_key", "job", "task"])
def test_edited_success_marker_is_named(project: Any, what: str) -> None:
    marker = success(project, "train")
    if what == "digest":
        replace(marker, digest_file(project.output("train", "result.txt")), "sha256:" + "0" * 64)
    elif what == "record":
        replace(marker, project.ids["train"], project.ids["evaluate"])
    elif what == "not JSON":
        marker.write_text("{")
    else:
        other = 5 if what == "task" else "other"
        marker.write_text(json.dumps({**json.loads(marker.read_text()), what: other}))
    assert findings(project, project.execution) == ["marker_modified"]
    assert findings(project, project.output("evaluate", "result.txt")) == ["marker_modified"]


def test_marker_of_another_job_does_not_vouch_for_an_output(project: Any) -> None:
    shutil.copy(success(project, "evaluate"), success(project, "train"))
    with pytest.raises(LedgerError, match=r"was changed: it names record .* of flow-0001/evaluate"):
        provenance.verify(str(project.output("train", "result.txt")), project.root)


def test_missing_marker_is_a_warning(project: Any) -> None:
    success(project, "train").unlink()
    assert findings(project, project.execution) == []
    assert findings(project, project.execution, "warning") == ["marker_missing"]


def test_marker_of_a_later_attempt_holds(project: Any) -> None:
    old = project.record_file("train")
    data = json.loads(old.read_bytes())
    later = project.write_record({**data, "attempt": 2})
    replace(success(project, "train"), project.ids["train"], later)
    replace(success(project, "train"), '"attempt":1', '"attempt":2')
    assert findings(project, project.output("evaluate", "result.txt")) == []


PLANTED: dict[str, tuple[Callable[[Any], None], str]] = {
    "script": (
        lambda p: (p.execution / "jobs/train/job.sh").write_text("echo other"),
        "script_modified",
    ),
    "removed script": (
        lambda p: (p.execution / "jobs/train/job.sh").unlink(),
        "script_modified",
    ),
    "module beside the operation": (
        lambda p: (p.execution / "code/project/operations/json.py").write_text(""),
        "operation_modified",
    ),
    "link that shadows a package": (
        lambda p: (p.execution / "code/numpy").symlink_to("/tmp"),
        "code_modified",
    ),
    "removed operation": (
        lambda p: (p.execution / "code/project/operations/render.py").unlink(),
        "operation_modified",
    ),
}


@pytest.mark.parametrize("how", PLANTED)
def test_change_of_what_ran_is_named(project: Any, how: str) -> None:
    change, kind = PLANTED[how]
    change(project)
    assert findings(project, project.output("train", "result.txt")) == [kind]


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_every_operation_that_the_ledger_keeps_is_checked(project: Any, change: str) -> None:
    name = digest_file(project.root / "operations" / "evaluate.py")[7:]
    blob = project.ledger / "blobs" / name[:2] / name
    path = project.output("train", "result.txt")
    if change == "edited":
        blob.write_text("other")
        assert findings(project, path) == ["operation_modified"]
    else:
        blob.unlink()
        assert findings(project, path) == []
        assert findings(project, path, "warning") == ["blob_missing"]


def test_file_that_no_job_made_is_never_sound(project: Any) -> None:
    added = project.output("train", "result.txt").with_name("added.txt")
    added.write_text("mine\n")
    with pytest.raises(LedgerError, match="made this content"):
        provenance.verify(str(added), project.root)


def _folder_output(project: Any) -> Path:
    """Give the job `train` a folder as its output."""
    folder = project.output("train", "result.txt")
    folder.unlink()
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("x")
    data = json.loads(project.record_file("train").read_bytes())
    old = data["outputs"][0]["sha256"]
    data["outputs"][0]["sha256"] = digest_path(folder)[0]
    project.record_file("train").unlink()
    marker = success(project, "train")
    replace(marker, project.ids["train"], project.write_record(data))
    replace(marker, old, data["outputs"][0]["sha256"])
    return folder


@pytest.mark.parametrize("planted", ["file", "link to a file", "link to a folder", "pipe"])
def test_what_is_planted_in_a_folder_is_named(project: Any, planted: str) -> None:
    folder = _folder_output(project)
    inside = folder / "sub" / "file"
    assert findings(project, folder) == []
    assert provenance.explain(str(inside), project.root).located.path == folder
    new = folder / "new"
    {
        "file": lambda: new.write_text(""),
        "link to a file": lambda: new.symlink_to("/etc/hostname"),
        "link to a folder": lambda: new.symlink_to("/etc"),
        "pipe": lambda: os.mkfifo(new),
    }[planted]()
    assert findings(project, folder) == ["output_modified"]
    assert provenance.explain(str(inside), project.root).state == "modified"


def test_pipe_in_the_place_of_a_file_is_not_waited_for(project: Any) -> None:
    for path in (project.output("train", "result.txt"), project.record_file("render.gather")):
        path.unlink()
        os.mkfifo(path)
    path = project.output("evaluate", "result.txt")
    assert findings(project, path) == ["output_modified", "record_damaged"]


def test_edited_destination_is_named_by_the_closure_beside_it(project: Any) -> None:
    published = project.root / "published" / "model.txt"
    published.parent.mkdir()
    output = project.output("train", "result.txt")
    shutil.copy(output, published)
    closure = build_closure(project.ledger, digest_file(output), project.ids["train"])
    beside = published.with_name("model.txt.prov")
    beside.write_bytes(canonical_json(closure._asdict()))
    published.write_text("forged\n")
    assert findings(project, published) == ["output_modified"]
    explained = provenance.explain(str(published), project.root)
    assert (explained.state, explained.record.id) == ("modified", project.ids["train"])
    assert "modified" in next(iter(explanation_lines(explained)))
    beside.write_bytes(canonical_json(closure._replace(artifact="sha256:" + "0" * 64)._asdict()))
    with pytest.raises(LedgerError, match="did not make 000000000000"):
        provenance.verify(str(published), project.root)


@pytest.fixture
def published(project: Any) -> Path:
    """Return a copy of the output of `evaluate`, as `outputs.NAME.to` lays it, with its closure."""
    path: Path = project.root / "results" / "metrics.txt"
    path.parent.mkdir()
    _publish(project, path, name="evaluate")
    return path


def _publish(project: Any, path: Path, *, name: str, execution: str = "flow-0001") -> None:
    """Lay out what a job made, of this execution or of another, and let its record say so."""
    data = json.loads(project.record_file(name).read_bytes())
    made = data["outputs"][0]
    made["copies"] = [str(path.relative_to(project.root))]
    if execution == "flow-0001":
        shutil.copy(project.output(name, "result.txt"), path)
        project.record_file(name).unlink()
    else:
        path.write_text(f"of {execution}, which is longer\n")
        data.update(execution=execution, uuid="f" * 32)
        made.update(sha256=digest_file(path), size=path.stat().st_size)
    identity = project.write_record(data)
    if execution == "flow-0001":
        replace(success(project, name), project.ids[name], identity)
        project.ids[name] = identity
    closure = build_closure(project.ledger, digest_file(path), identity)
    path.with_name(f"{path.name}.prov").write_bytes(canonical_json(closure._asdict()))


def told(project: Any, subject: Path) -> tuple[bool, list[tuple[str, str]]]:
    found = provenance.verify(str(subject), project.root)
    return found.to_dict()["ok"], [(item.kind, item.level) for item in found.findings]


@pytest.mark.parametrize("subject", ["execution", "job", "output"])
def test_a_published_copy_that_changed_or_is_gone_is_told_and_no_damage_of_the_execution(
    project: Any, published: Path, subject: str
) -> None:
    output = project.output("evaluate", "result.txt")
    path = {"execution": project.execution, "job": output.parents[1], "output": output}[subject]
    assert told(project, path) == (True, [])
    published.write_text("edited\n")
    assert told(project, path) == (True, [("copy_modified", "warning")])
    published.with_name("metrics.txt.prov").unlink()
    assert told(project, path) == (True, [("copy_modified", "warning")])
    published.unlink()
    published.symlink_to(output)
    assert told(project, path) == (True, [("copy_modified", "warning")])
    published.unlink()
    assert told(project, path) == (True, [("copy_gone", "warning")])
    published.parent.rename(published.parent.with_name("moved"))
    assert told(project, path) == (True, [("copy_gone", "warning")])


def test_a_copy_that_a_later_execution_wrote_over_is_told_with_its_maker(
    project: Any, published: Path
) -> None:
    _publish(project, published, name="train", execution="flow-0002")
    found = provenance.verify(str(project.execution), project.root)
    assert [(item.kind, item.level) for item in found.findings] == [("copy_replaced", "info")]
    assert "is now what flow-0002/train made" in found.findings[0].text
    published.write_text("edited after that\n")
    assert told(project, project.execution) == (True, [("copy_modified", "warning")])


def test_a_closure_does_not_vouch_for_a_record_that_the_ledger_lacks(
    project: Any, published: Path
) -> None:
    _publish(project, published, name="train", execution="flow-0002")
    for path in project.ledger.glob("loose/*/*/*.json"):
        if "flow-0002" in path.read_text():
            path.unlink()
    assert told(project, project.execution) == (True, [("copy_modified", "warning")])


def test_a_copy_that_cannot_be_read_leaves_the_execution_checked(
    project: Any, published: Path
) -> None:
    with project.closed(published):
        assert told(project, project.execution) == (True, [("copy_unreadable", "warning")])


def test_an_edited_copy_that_is_asked_for_is_one_finding(project: Any, published: Path) -> None:
    published.write_text("edited\n")
    assert told(project, published) == (False, [("output_modified", "error")])


def test_copies_of_what_a_result_was_made_from_are_not_looked_at(project: Any) -> None:
    path = project.root / "model.txt"
    data = json.loads(project.record_file("train").read_bytes())
    data["outputs"][0]["copies"] = ["model.txt"]
    trained = project.write_record({**data, "job": "first", "script": ""})
    by = {"record": trained, "job": "first", "output": "result"}
    inputs = [{"port": "x", "sha256": data["outputs"][0]["sha256"], "by": by}]
    none = {"outputs": [], "script": "", "status": "failed"}
    later = project.write_record({**data, "job": "later", "inputs": inputs, **none})
    path.write_text("edited\n")
    assert "copy_modified" not in [kind for kind, _ in told(project, Path(later))[1]]
    assert "copy_modified" in [kind for kind, _ in told(project, Path(trained))[1]]


def test_edited_identity_of_an_execution_is_named(project: Any) -> None:
    replace(project.execution / "execution.json", "0123456789abcdef", "f" * 16)
    with pytest.raises(LedgerError, match=r"no record of it in .*, though jobs of it succeeded"):
        provenance.verify(str(project.execution), project.root)


@pytest.mark.parametrize("how", ["torn", "schema", "field"])
def test_damaged_execution_file_is_never_sound_and_the_ledger_still_tells(
    project: Any, how: str
) -> None:
    file = project.execution / "execution.json"
    if how == "torn":
        file.write_text("{")
    elif how == "schema":
        replace(file, "dfh/execution/1", "dfh/executor/1")
    else:
        replace(file, '"user":""', '"user":5')
    for subject in (
        project.execution,
        project.output("train", "result.txt"),
        project.execution.name,
    ):
        with pytest.raises(LedgerError, match=r"execution\.json: cannot be read") as raised:
            provenance.verify(str(subject), project.root)
        assert f"dfh prov show {project.execution.name}/JOB" in raised.value.hint
    found = provenance.verify(f"{project.execution.name}/train", project.root)
    assert (found.is_sound, found.is_checked) == (True, False)
    assert [item.kind for item in found.findings] == ["frozen_unreadable"]
    assert (
        provenance.explain(f"{project.execution.name}/train", project.root).record.id
        == project.ids["train"]
    )


def test_external_input_that_is_gone_is_a_warning(project: Any) -> None:
    (project.root / "table.csv").unlink()
    assert findings(project, project.execution) == []
    assert findings(project, project.execution, "warning") == ["input_gone"]


def test_ledger_of_a_later_version_is_refused_not_taken_for_empty(project: Any) -> None:
    (project.ledger / "FORMAT").write_text('{"format": 2}')
    with pytest.raises(LedgerError, match="format 2, this version reads 1"):
        provenance.verify(str(project.execution), project.root)


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": {}},
        {"outputs": 1},
        {"time": []},
        {"task": "x"},
        {"reused_from": "y"},
        {"status": 1},
        {"operation": {"references": [{"name": None}]}},
    ],
)
def test_record_of_a_wrong_shape_is_damaged(project: Any, wrong: dict[str, Any]) -> None:
    data = json.loads(project.record_file("train").read_bytes())
    (name,) = wrong
    with pytest.raises(DamagedRecordError, match=rf": {name}[.\w\[\]]*: .* is not "):
        Ledger(project.ledger).get(project.write_record({**data, **wrong}))


def test_one_record_in_two_places_is_one_record(project: Any) -> None:
    path = project.record_file("train")
    twin = path.parents[2] / "eve" / "20990101" / path.name
    twin.parent.mkdir(parents=True)
    shutil.copy(path, twin)
    assert provenance.explain(project.ids["train"], project.root).record.id == project.ids["train"]


def test_what_lies_in_place_of_nothing_is_not_read(tmp_path: Path) -> None:
    """A sparse file has no end that anybody could wait for."""
    path = tmp_path / "empty.txt"
    path.touch()
    made = RecordedOutput(sha256=digest_file(path), size=0)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert (
        look(path, made.sha256, most(made)).fault
        == f"is damaged: it has {1 << 40} bytes, and 0 were made"
    )
    assert most(RecordedOutput(sha256="0" * 64)) is None  # of a version that noted no size
