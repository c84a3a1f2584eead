"""Records are found, traced and verified; whatever was changed is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import provenance
from deepforge_hpc.cli.views.provenance import (
    explanation_lines,
    trace_lines,
    verification_lines,
)
from deepforge_hpc.errors import LedgerError, UsageError
from deepforge_hpc.ledger.store import DamagedRecordError, Ledger, MissingRecordError
from deepforge_hpc.runtime.base.files import canonical_json, digest_file
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state import statefile
from deepforge_hpc.runtime.state.closure import build_closure


def kinds(project: Any, path: Path | str, level: str = "error") -> list[str]:
    found = provenance.verify(str(path), project.root)
    assert found.is_sound == (not any(item.level == "error" for item in found.findings))
    return sorted({item.kind for item in found.findings if item.level == level})


def test_whole_execution_is_sound(project: Any) -> None:
    found = provenance.verify(str(project.execution), project.root)
    assert found.is_sound
    assert found.findings == ()
    assert (found.records, found.outputs, found.executions) == (6, 6, 1)


def test_output_is_explained_by_its_place(project: Any) -> None:
    found = provenance.explain("executions/flow-0001/jobs/train/outputs/result.txt", project.root)
    assert found.record.id == project.ids["train"]
    assert (found.state, found.located.how, found.ancestors) == ("unchanged", "place", 4)
    text = "\n".join(explanation_lines(found))
    for part in ("flow-0001/train", "operations/train.py:Train", "epochs=3", "seed 7", "L1 @local"):
        assert part in text


def test_job_with_several_outputs_is_not_headed_by_the_digest_of_one(project: Any) -> None:
    data = json.loads(project.record_file("train").read_bytes())
    first = data["outputs"][0]
    data["outputs"].append({**first, "name": "curve", "sha256": "sha256:" + "7" * 64, "size": 1000})
    found = provenance.explain(project.write_record(data), project.root)
    head, *rows = explanation_lines(found)
    assert head.endswith("  2 outputs  1006 B  not checked")
    assert first["sha256"][7:19] not in head
    assert sum(row.startswith("output ") for row in rows) == 2
    data["outputs"] = []
    found = provenance.explain(project.write_record(data), project.root)
    assert next(iter(explanation_lines(found))).endswith("  no outputs")


@pytest.fixture
def packages(project: Any) -> Path:
    """Return the blob with the packages of a new record, `packages` in the project's ids."""
    blob = project.write_blob(b"numpy==2.0.2\ntensorflow-cpu==2.18.1\n")
    data = json.loads(project.record_file("train").read_bytes())
    data["environment"]["packages"] = blob
    project.ids["packages"] = project.write_record(data)
    return Path(project.ledger, "blobs", blob[7:9], blob[7:])


def test_packages_of_a_job_are_counted_and_listed_when_asked_for(
    project: Any, packages: Path
) -> None:
    found = provenance.explain(project.ids["packages"], project.root)
    assert found.packages == ("numpy==2.0.2", "tensorflow-cpu==2.18.1")
    assert found.to_dict()["packages"] == ["numpy==2.0.2", "tensorflow-cpu==2.18.1"]
    text = "\n".join(explanation_lines(found))
    short = project.ids["packages"][7:19]
    assert f"packages   {packages.name[:12]}  2 installed: dfh prov show {short} --packages" in text
    lines = list(explanation_lines(found, packages=True))
    at = lines.index("packages   numpy==2.0.2")
    assert lines[at + 1] == "           tensorflow-cpu==2.18.1"
    old = provenance.explain(project.ids["train"], project.root)
    assert "packages" not in "\n".join(explanation_lines(old, packages=True))


@pytest.mark.parametrize(("how", "level"), [("damaged", "error"), ("missing", "warning")])
def test_list_of_packages_that_does_not_hold_is_named(
    project: Any, packages: Path, how: str, level: str
) -> None:
    assert not any("packages" in kind for kind in kinds(project, project.ids["packages"]))
    if how == "damaged":
        packages.write_text("numpy==1.0\n")
    else:
        packages.unlink()
    assert f"blob_{how}" in kinds(project, project.ids["packages"], level)
    found = provenance.explain(project.ids["packages"], project.root)
    assert "the list is not in this ledger, or was changed" in "\n".join(explanation_lines(found))


def test_task_of_an_array_is_found_by_its_folder(project: Any) -> None:
    path = project.output("render", "result.txt", 2)
    assert provenance.explain(str(path), project.root).record.id == project.ids["render[2]"]
    several = provenance.explain(str(project.execution / "jobs" / "render"), project.root)
    assert len(several.located.records) == 3
    assert "flow-0001/render[1]" in "\n".join(explanation_lines(several))


@pytest.mark.parametrize("reference", ["flow-0001", "latest", "1"])
def test_what_a_record_is_called_names_it(project: Any, reference: str) -> None:
    one = provenance.explain(f"{reference}/train", project.root)
    assert (one.record.id, one.record.label) == (project.ids["train"], "flow-0001/train")
    assert one.located.path == project.execution / "jobs" / "train"
    task = provenance.explain(f"{reference}/render[1]", project.root)
    assert (task.record.id, task.record.label) == (project.ids["render[1]"], "flow-0001/render[1]")
    assert len(provenance.trace(f"{reference}/render", project.root).roots) == 3
    assert provenance.verify(f"{reference}/train", project.root).is_sound
    with pytest.raises(UsageError, match="there is no such file"):
        provenance.explain(f"{reference}/nothing", project.root)


def test_name_of_a_record_outlives_its_execution(project: Any) -> None:
    shutil.rmtree(project.execution)
    assert provenance.explain("flow-0001/train", project.root).record.id == project.ids["train"]
    assert len(provenance.explain("flow-0001/render", project.root).located.records) == 3


def test_path_is_shown_without_detours_unless_a_link_makes_them_matter(
    project: Any, tmp_path: Path
) -> None:
    output = project.output("train", "result.txt")
    shutil.copy(output, project.root / "copy.txt")
    found = provenance.explain("executions/../copy.txt", project.root)
    assert next(explanation_lines(found)).startswith(f"{project.root}/copy.txt  ")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "below").mkdir(parents=True)
    shutil.copy(output, elsewhere / "copy.txt")
    (project.root / "link").symlink_to(elsewhere / "below")
    (project.root / "copy.txt").write_text("another")
    detour = provenance.explain("link/../copy.txt", project.root)
    assert detour.located.path == project.root / "link/../copy.txt"


def test_code_of_a_job_without_an_operation_is_ours(project: Any) -> None:
    data = json.loads(project.record_file("render.gather").read_bytes())
    data["operation"].update(module="", object="gather", source="")
    found = provenance.explain(project.write_record(data), project.root)
    assert "code       of deepforge-hpc itself" in list(explanation_lines(found))


def test_copy_anywhere_is_found_by_content(project: Any, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "renamed.bin"
    copy.parent.mkdir()
    shutil.copy(project.output("train", "result.txt"), copy)
    found = provenance.explain(str(copy), project.root)
    assert (found.record.id, found.located.how) == (project.ids["train"], "content")
    assert "a copy: flow-0001/train made this content" in "\n".join(explanation_lines(found))


def test_record_is_found_by_the_first_digits_of_its_id(project: Any) -> None:
    wanted = project.ids["evaluate"]
    for text in (wanted, wanted[7:], wanted[7:19], wanted[7:19].upper()):
        assert provenance.explain(text, project.root).record.id == wanted


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nothing/here", UsageError, "there is no such file, and it is no record id"),
        ("abcdef1234567", LedgerError, "no record of that id"),
        ("table.csv", LedgerError, "made this content"),
    ],
)
def test_what_cannot_be_explained_says_why(
    project: Any, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        provenance.explain(text, project.root)


@pytest.mark.parametrize("act", [provenance.explain, provenance.trace, provenance.verify])
def test_a_path_in_an_execution_that_is_not_there_is_not_the_execution(
    project: Any, act: Any
) -> None:
    for name in ("outputs/nonsense.json", "nonsense.json"):
        path = project.execution / "jobs" / "train" / name
        with pytest.raises(UsageError, match="there is no such file"):
            act(str(path), project.root)
        with pytest.raises(UsageError, match="there is no such file"):
            act(str(path.relative_to(project.root)), project.root)


def test_an_output_that_is_gone_is_missing(project: Any) -> None:
    output = project.output("train", "result.txt")
    output.unlink()
    found = provenance.explain(str(output), project.root)
    assert (found.record.id, found.state) == (project.ids["train"], "missing")
    assert not provenance.verify(str(output), project.root).is_sound


def test_trace_folds_repeated_records_and_tasks(project: Any) -> None:
    closure = provenance.trace(
        "executions/flow-0001/jobs/evaluate/outputs/result.txt", project.root
    )
    lines = list(trace_lines(closure, depth=None))
    assert lines[0].startswith("#1 flow-0001/evaluate")
    assert sum("(see #3)" in line for line in lines) == 1
    assert "and 2 more tasks" in "\n".join(lines)
    assert any(line.strip().startswith("table <- table.csv") for line in lines)
    document = json.loads(json.dumps(closure.to_dict()))
    assert document["roots"] == [project.ids["evaluate"]]
    files = {project.ids[name] for name in ("plan", "code", "pipeline", "site")}
    assert {node["id"] for node in document["nodes"]} == set(project.ids.values()) - files


def test_trace_stops_at_a_depth(project: Any) -> None:
    closure = provenance.trace(project.ids["evaluate"], project.root)
    assert len(list(trace_lines(closure, depth=1))) == 3


def _edit(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


EDITS: dict[str, tuple[Callable[[Any], Path], str]] = {
    "output": (lambda p: p.output("train", "result.txt"), "output_modified"),
    "record": (lambda p: p.record_file("train"), "record_damaged"),
    "frozen operation": (
        lambda p: p.execution / "code/project/operations/train.py",
        "operation_modified",
    ),
    "plan": (lambda p: p.execution / "plan.json", "plan_modified"),
    "pipeline": (lambda p: p.execution / "pipeline.yaml", "pipeline_modified"),
    "site": (lambda p: p.execution / "site.yaml", "site_modified"),
    "manifest": (lambda p: p.execution / "code/MANIFEST.json", "code_modified"),
    "blob of the plan": (
        lambda p: p.ledger / "blobs" / p.ids["plan"][7:9] / p.ids["plan"][7:],
        "blob_damaged",
    ),
}


@pytest.mark.parametrize("edited", EDITS)
def test_edit_upstream_is_named(project: Any, edited: str) -> None:
    choose, kind = EDITS[edited]
    path = choose(project)
    _edit(path)
    target = project.output("evaluate", "result.txt")
    assert kinds(project, target) == [kind]
    found = provenance.verify(str(target), project.root)
    text = "\n".join(verification_lines(found))
    assert kind in text
    assert "NOT SOUND" in text


def test_edited_blob_of_an_operation_is_named(project: Any) -> None:
    name = digest_file(project.root / "operations" / "train.py")[7:]
    _edit(project.ledger / "blobs" / name[:2] / name)
    assert kinds(project, project.output("train", "result.txt")) == ["operation_modified"]


def test_operation_edited_in_the_project_is_information_only(project: Any) -> None:
    _edit(project.root / "operations" / "train.py")
    target = project.output("train", "result.txt")
    assert kinds(project, target) == []
    assert kinds(project, target, "info") == ["operation_edited"]


def test_edit_since_several_executions_is_told_once(project: Any) -> None:
    _edit(project.root / "operations" / "train.py")
    record = json.loads(project.record_file("evaluate").read_bytes())
    later = project.write_record({**record, "execution": "flow-0002"})
    found = provenance.verify(later, project.root)
    assert found.executions == 1, "of the other, the folder is gone"
    assert [item.kind for item in found.findings if item.level == "info"] == ["operation_edited"]


def test_edited_external_input_is_a_warning(project: Any) -> None:
    _edit(project.root / "table.csv")
    assert kinds(project, project.output("train", "result.txt"), "warning") == ["input_modified"]


def test_output_that_cannot_be_read_was_not_checked_and_is_not_called_modified(
    project: Any,
) -> None:
    output = project.output("train", "result.txt")
    with project.closed(output):
        shown = provenance.explain(str(output), project.root)
        found = provenance.verify(str(output), project.root)
        later = kinds(project, project.output("evaluate", "result.txt"), "warning")
    assert (shown.state, shown.sha256) == ("not checked", "")
    head = next(explanation_lines(shown))
    assert "cannot be read" in head
    assert head.endswith("not checked")
    assert [(item.kind, item.level) for item in found.findings] == [
        ("output_unreadable", "warning")
    ]
    assert "was not checked: it cannot be read" in found.findings[0].text
    assert (found.is_sound, found.is_checked, found.to_dict()["ok"]) == (True, False, False)
    assert list(verification_lines(found))[-1].startswith("NOT CHECKED: ")
    assert later == ["output_unreadable"]
    assert provenance.verify(str(output), project.root).is_checked


@pytest.mark.parametrize("name", ["success.json", "plan.json", "site.yaml", "train.py"])
def test_file_of_an_execution_that_cannot_be_read_was_not_checked(project: Any, name: str) -> None:
    path = next(path for path in project.execution.rglob(name) if "render" not in path.parts)
    with project.closed(path):
        found = provenance.verify(str(project.execution), project.root)
    kind = "marker_unreadable" if name == "success.json" else "frozen_unreadable"
    assert {(item.kind, item.level) for item in found.findings} == {(kind, "warning")}
    assert (found.is_sound, found.is_checked) == (True, False)


def test_input_that_cannot_be_read_was_not_checked_and_is_not_called_modified(project: Any) -> None:
    target = project.output("train", "result.txt")
    with project.closed(project.root / "table.csv"):
        assert kinds(project, target, "warning") == ["input_unreadable"]
    (project.root / "table.csv").unlink()
    assert kinds(project, target, "warning") == ["input_gone"]


def test_removed_record_is_missing_not_forgotten(project: Any) -> None:
    project.record_file("render.gather").unlink()
    assert kinds(project, project.output("train", "result.txt")) == ["record_missing"]


@pytest.mark.parametrize("job", ["evaluate", "render[1]"])
@pytest.mark.parametrize("change", ["edited", "removed"])
def test_record_that_no_other_one_names_is_missed_in_its_execution(
    project: Any, job: str, change: str
) -> None:
    if change == "edited":
        path = project.record_file(job)
        path.write_bytes(path.read_bytes().replace(b"succeeded", b"failed"))
    else:
        project.record_file(job).unlink()
    expected = {"edited": "record_damaged", "removed": "record_missing"}[change]
    folder = project.execution / "jobs" / job.partition("[")[0]
    assert kinds(project, project.execution) == [expected]
    if job != "evaluate":
        assert kinds(project, folder) == [expected]


def test_edited_record_of_a_failed_job_is_named_in_its_execution(project: Any) -> None:
    (project.execution / "jobs" / "evaluate" / "success.json").unlink()
    _edit(project.record_file("evaluate"))
    assert kinds(project, project.execution) == ["record_damaged"]


def test_own_record_removed_is_an_error_with_the_marker_that_names_it(project: Any) -> None:
    project.record_file("train").unlink()
    with pytest.raises(LedgerError, match="which no ledger here holds"):
        provenance.explain(str(project.output("train", "result.txt")), project.root)


def test_of_jobs_that_ended_nobody_says_that_their_record_is_to_come(project: Any) -> None:
    for file in (*project.ledger.glob("loose/*/*/*"), *project.execution.rglob("success.json")):
        file.unlink()
    with pytest.raises(LedgerError, match="no record yet"):
        provenance.verify(str(project.execution), project.root)
    said = statefile.Said(State.FAILED, 1, "train", exit_code=1)
    statefile.publish(ExecutionLayout(project.execution).job("train"), said)
    with pytest.raises(LedgerError, match=r"no record of it in .*, though jobs of it ended"):
        provenance.verify(str(project.execution), project.root)


def test_output_gone_is_an_error_for_what_was_asked_and_a_warning_upstream(project: Any) -> None:
    project.output("train", "result.txt").unlink()
    assert kinds(project, project.execution / "jobs" / "train") == ["output_missing"]
    target = project.output("evaluate", "result.txt")
    assert kinds(project, target) == []
    assert kinds(project, target, "warning") == ["output_gone"]


def test_a_closed_folder_of_another_user_is_passed_over_and_told_once(project: Any) -> None:
    """It may hold no record of what is asked for; whoever made it may close it to others."""
    for other in (
        project.ledger / "loose" / "other",
        project.ledger / "loose" / "eve" / "20260101",
    ):
        other.mkdir(parents=True)
        with project.closed(other):
            assert provenance.explain(str(project.execution), project.root)
            found = provenance.verify(str(project.execution), project.root)
        assert found.is_sound
        told = [item for item in found.findings if item.kind == "records_unreadable"]
        assert [(item.subject, item.level) for item in told] == [(str(other), "warning")]
    assert kinds(project, project.execution) == []


def test_a_closed_record_was_not_checked_and_is_not_called_damaged(project: Any) -> None:
    target = project.output("evaluate", "result.txt")
    with project.closed(project.record_file("train")):
        found = provenance.verify(str(target), project.root)
    assert [(item.kind, item.level) for item in found.findings] == [
        ("record_unreadable", "warning")
    ]
    assert "Permission denied" in found.findings[0].text
    assert (found.is_sound, found.is_checked) == (True, False)
    # Of the whole execution: what its marker names.
    with project.closed(project.record_file("evaluate")):
        found = provenance.verify(str(project.execution), project.root)
    assert {item.kind for item in found.findings} == {"record_unreadable"}


def test_a_record_that_a_power_cut_has_emptied_is_told_also_where_none_says_whose_it_is(
    project: Any,
) -> None:
    stray = project.write_record({"kind": "end"})
    (file,) = project.ledger.glob(f"loose/*/*/{stray[7:]}*")
    file.write_bytes(b"")
    found = provenance.verify(str(project.execution), project.root)
    told = [item for item in found.findings if item.kind == "records_unreadable"]
    assert [(item.subject, item.text) for item in told] == [
        (str(file), f"record {file} was passed over: it is empty")
    ]


def test_what_was_read_as_another_format_breaks_the_edge(project: Any) -> None:
    consumer = json.loads(project.record_file("evaluate").read_bytes())
    consumer["inputs"][0]["format"] = "file"
    assert "edge_broken" in kinds(project, project.write_record(consumer))


def test_ancestor_rewritten_with_a_new_id_breaks_the_edge(project: Any) -> None:
    """A forger who re-hashes an ancestor cannot re-hash what points to it."""
    path = project.record_file("train")
    data = json.loads(path.read_bytes())
    data["outputs"][0]["sha256"] = "sha256:" + "9" * 64
    path.unlink()
    forged = project.write_record(data)
    assert kinds(project, project.output("evaluate", "result.txt")) == ["record_missing"]
    consumer = json.loads(project.record_file("evaluate").read_bytes())
    consumer["inputs"][0]["by"]["record"] = forged
    assert "edge_broken" in kinds(project, project.write_record(consumer))


def test_moved_project_still_verifies(project: Any, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    project.root.rename(moved)
    found = provenance.verify("executions/flow-0001", moved)
    assert found.is_sound
    assert found.records == 6


def test_removed_execution_leaves_records_that_explain_a_copy(project: Any, tmp_path: Path) -> None:
    copy = tmp_path / "model.txt"
    shutil.copy(project.output("train", "result.txt"), copy)
    shutil.rmtree(project.execution)
    assert provenance.explain(str(copy), project.root).record.id == project.ids["train"]
    assert kinds(project, copy) == []
    found = provenance.verify(str(copy), project.root)
    assert (found.outputs, found.executions) == (0, 0), "what is gone was not checked"
    lines = list(verification_lines(found))
    told = "the folder of flow-0001 is gone: its frozen code was not compared, nor 5 outputs"
    assert (lines[0], lines[2:]) == (
        f"warning: code_gone: {told}",
        ["sound: 5 records were checked"],
    )


def test_damaged_and_missing_records_are_told_apart(project: Any) -> None:
    ledger = Ledger(project.ledger)
    _edit(project.record_file("train"))
    with pytest.raises(DamagedRecordError, match="its content was changed"):
        ledger.get(project.ids["train"])
    with pytest.raises(MissingRecordError, match="is not in the ledger"):
        ledger.get("sha256:" + "0" * 64)
    assert len(ledger.damaged()) == 1


def test_newer_record_schema_is_refused_not_guessed(project: Any) -> None:
    record_id = project.write_record({"schema": "dfh/record/2", "kind": "end"})
    with pytest.raises(DamagedRecordError, match=r"this version reads 'dfh/record/1'"):
        Ledger(project.ledger).get(record_id)


def test_content_made_twice_names_the_newest_and_counts_the_others(project: Any) -> None:
    data = json.loads(project.record_file("train").read_bytes())
    data["time"]["end"] = "2026-02-02T00:00:00Z"
    newest = project.write_record(data)
    sha256 = data["outputs"][0]["sha256"]
    assert [r.id for r in Ledger(project.ledger).find_by_content(sha256)] == [
        newest,
        project.ids["train"],
    ]


def test_artifact_far_from_its_project_is_explained_by_the_closure_beside_it(
    project: Any, tmp_path: Path
) -> None:
    far = tmp_path / "far" / "model.txt"
    far.parent.mkdir()
    output = project.output("train", "result.txt")
    shutil.copy(output, far)
    closure = build_closure(project.ledger, digest_file(output), project.ids["train"])
    beside = far.with_name("model.txt.prov")
    beside.write_bytes(canonical_json(closure._asdict()))
    # A project that is here is not said to be elsewhere, and what it lost is told.
    here = project.root / "model.txt"
    shutil.copy(output, here)
    shutil.copy(beside, here.with_name("model.txt.prov"))
    project.record_file("train").write_bytes(b"")
    assert kinds(project, here) == ["record_damaged"]
    assert "project_elsewhere" not in kinds(project, here, "warning")
    shutil.rmtree(project.root)
    found = provenance.explain(str(far), far.parent)
    assert (found.record.id, found.ancestors) == (project.ids["train"], 4)
    checked = provenance.verify(str(far), far.parent)
    assert kinds_of(checked, "error") == set()
    assert kinds_of(checked, "warning") == {"project_elsewhere"}, "nothing there was its project's"
    assert list(verification_lines(checked))[-1] == "sound: 5 records and 1 output were checked"
    content = far.read_bytes()
    far.write_text("edited")
    told = [item.text for item in provenance.verify(str(far), far.parent).findings]
    assert told[0].startswith("this copy of output result of flow-0001/train was changed: recorded")
    far.write_bytes(content)
    closure.records[project.ids["render.gather"]] += " "
    beside.write_bytes(canonical_json(closure._asdict()))
    assert kinds_of(provenance.verify(str(far), far.parent), "error") == {"record_damaged"}
    del closure.records[project.ids["train"]]
    for content in (b"{}", canonical_json(closure._asdict())):
        beside.write_bytes(content)
        far.write_text("edited, so that only the file beside it can tell")
        with pytest.raises(LedgerError, match="not a closure of records"):
            provenance.explain(str(far), far.parent)


def kinds_of(found: Any, level: str) -> set[str]:
    return {finding.kind for finding in found.findings if finding.level == level}
