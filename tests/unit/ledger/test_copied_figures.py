"""Figures by their digests in the record, and copies of them by the id that their files carry."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import provenance
from deepforge_hpc.cli.views.provenance import explanation_lines, verification_lines
from deepforge_hpc.errors import LedgerError
from deepforge_hpc.runtime.base.files import JSON_LIMIT, digest_file
from deepforge_hpc.runtime.figures.identity import FigureId, carried

UUID = "0123456789abcdef" * 2
DRAWN = FigureId("flow-0001", "evaluate", None, 1, UUID, "loss.png")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, level: int = 9) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\x7f", level))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixel + chunk(b"IEND", b"")


def png_of(said: FigureId, level: int = 9) -> bytes:
    return png(chunk(b"tEXt", b"Identifier\0" + str(said).encode()), level=level)


def svg_of(said: FigureId) -> bytes:
    return f"<svg><metadata><dc:identifier>{said}</dc:identifier></metadata></svg>".encode()


def data_of(said: FigureId) -> bytes:
    return json.dumps({"axes": [], "identifier": str(said)}).encode()


FILES: dict[str, Callable[[FigureId], bytes]] = {
    "loss.png": png_of,
    "loss.svg": svg_of,
    "loss.json": data_of,
}


def draw(project: Any, job: str = "evaluate", task: int | None = None) -> Path:
    """Give a job figures, and a record and marker that know them; return their folder."""
    unit = job if task is None else f"{job}[{task}]"
    root = project.output(job, "", task).parent
    folder = root / "figures"
    folder.mkdir()
    figures = []
    for name, make in FILES.items():
        path = folder / name
        path.write_bytes(make(FigureId("flow-0001", job, task, 1, UUID, name)))
        size = path.stat().st_size
        figures.append({"name": name, "sha256": digest_file(path), "size": size})
    file = project.record_file(unit)
    data = {**json.loads(file.read_bytes()), "figures": figures}
    file.unlink()
    old, project.ids[unit] = project.ids[unit], project.write_record(data)
    marker = root / "success.json"
    marker.write_text(marker.read_text().replace(old, project.ids[unit]))
    return folder


@pytest.fixture
def figures(project: Any) -> Path:
    return draw(project)


def kinds(project: Any, subject: Path, level: str = "error") -> list[str]:
    found = provenance.verify(str(subject), project.root).findings
    return sorted({item.kind for item in found if item.level == level})


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["outside", "another folder", "another execution's figures"])
def test_a_copy_under_any_name_is_the_figure_of_its_record(
    project: Any, figures: Path, tmp_path: Path, name: str, where: str
) -> None:
    parent = {
        "outside": tmp_path / "talk",
        "another folder": project.root / "paper",
        "another execution's figures": project.execution / "jobs/train/figures",
    }[where]
    parent.mkdir()
    copy = parent / "renamed.bin"
    shutil.copy(figures / name, copy)
    found = provenance.explain(str(copy), project.root)
    assert (found.record.id, found.state) == (project.ids["evaluate"], "unchanged")
    assert (found.to_dict()["figure"], found.to_dict()["output"]) == (name, None)
    assert found.to_dict()["found_by"] == "content"
    text = "\n".join(explanation_lines(found))
    assert f"a copy, byte for byte: flow-0001/evaluate drew this figure as {name}" in text
    assert re.search(r"\ninput +data  .*<- train\.result", text)
    assert kinds(project, copy) == []
    shutil.rmtree(project.execution)
    if copy.exists():
        assert provenance.explain(str(copy), project.root).state == "unchanged"
        assert kinds(project, copy) == []


def test_a_task_of_an_array_is_named(project: Any, tmp_path: Path) -> None:
    copy = tmp_path / "part.svg"
    shutil.copy(draw(project, "render", 2) / "loss.svg", copy)
    assert provenance.explain(str(copy), project.root).record.label == "flow-0001/render[2]"
    copy.write_bytes(copy.read_bytes() + b"\n")
    changed = provenance.explain(str(copy), project.root)
    assert (changed.record.label, changed.state) == ("flow-0001/render[2]", "modified")


@pytest.mark.parametrize("how", ["saved anew", "edited", "id alone"])
def test_an_id_without_the_bytes_says_so_and_is_never_sound(
    project: Any, figures: Path, tmp_path: Path, how: str
) -> None:
    copy = tmp_path / "copy.png"
    content = {
        "saved anew": png_of(DRAWN, level=0),
        "edited": (figures / "loss.png").read_bytes() + b"more",
        "id alone": str(DRAWN).encode(),
    }[how]
    copy.write_bytes(content)
    found = provenance.explain(str(copy), project.root)
    assert (found.record.id, found.state) == (project.ids["evaluate"], "modified")
    assert found.to_dict()["found_by"] == "figure_id"
    text = "\n".join(explanation_lines(found))
    assert "its id is that of loss.png of flow-0001/evaluate, its bytes are not: edited" in text
    verified = provenance.verify(str(copy), project.root)
    assert [item.kind for item in verified.findings] == ["figure_modified"]
    assert not verified.to_dict()["ok"]
    assert list(verification_lines(verified))[-1].startswith("NOT SOUND")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (DRAWN._replace(uuid="f" * 32), r"no project here knows that execution \(uuid f{32}\)"),
        (DRAWN._replace(attempt=2), r"loss\.png of flow-0001/evaluate, attempt 2, which no record"),
        (DRAWN._replace(job="other"), "flow-0001/other, attempt 1, which no record names"),
        (DRAWN._replace(task=3), r"flow-0001/evaluate\[3\], attempt 1, which no record names"),
        (DRAWN._replace(file="other.png"), "which no record names"),
    ],
)
def test_an_id_of_another_project_or_without_a_record_is_told(
    project: Any, figures: Path, tmp_path: Path, said: FigureId, message: str
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(png_of(said))
    for act in (provenance.explain, provenance.verify, provenance.trace):
        with pytest.raises(LedgerError, match=message):
            act(str(copy), project.root)


def test_a_picture_made_of_several_figures_is_not_taken_for_one(
    project: Any, figures: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both.svg"
    both.write_bytes(svg_of(DRAWN) + svg_of(DRAWN._replace(file="other.svg")))
    with pytest.raises(LedgerError, match=r"carries the ids of 2 figures, such as dfh:flow-0001/"):
        provenance.explain(str(both), project.root)


ID = str(DRAWN).encode()
BOMB = b"Identifier\0\0" + zlib.compress(bytes(64 << 20) + ID)
HOSTILE = {
    "packed text": png(chunk(b"zTXt", BOMB)),
    "packed international text": png(chunk(b"iTXt", b"Identifier\0\1\0\0\0" + BOMB[12:])),
    "a length that lies": png(struct.pack(">I", 2**31 - 1) + b"tEXt" + b"Identifier\0"),
    "an id by entities": b'<!DOCTYPE s [<!ENTITY a "dfh:">]><svg>' + ID.replace(b"dfh:", b"&a;"),
    "entities of entities": b"<!DOCTYPE s [<!ENTITY a '&b;&b;'><!ENTITY b '&a;'>]><svg>&a;</svg>",
    "a file of another": b'<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>',
    "an id beyond the limit": bytes(JSON_LIMIT) + ID,
    "a path for a file": ID.replace(b"loss.png", b"../../etc/passwd"),
    "a control character": ID.replace(b"loss.png", b"\x1b[31mloss.png"),
    "a long name": ID.replace(b"loss", b"l" * 101),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_what_a_hostile_file_hides_is_not_looked_for(
    project: Any, figures: Path, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "hostile"
    file.write_bytes(HOSTILE[how])
    assert carried(file) == []
    with pytest.raises(LedgerError, match="made this content"):
        provenance.explain(str(file), project.root)


def test_a_great_text_before_the_id_is_passed_over_and_no_pipe_or_link_is_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "great.png"
    file.write_bytes(png(chunk(b"tEXt", b"Comment\0" + b"dfh:" * (4 << 20))) + ID)
    assert carried(file) == [DRAWN]
    file.write_bytes(b"dfh:a/b/1/c#" + ID + b" " + ID)
    assert carried(file) == [DRAWN]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(file)
    assert [carried(tmp_path / name) for name in ("pipe", "link", "gone", ".")] == [[]] * 4


def test_a_link_that_a_person_names_leads_to_the_figure(
    project: Any, figures: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(png_of(DRAWN, level=0))
    (tmp_path / "link.png").symlink_to(copy)
    found = provenance.explain(str(tmp_path / "link.png"), project.root)
    assert (found.record.label, found.state) == ("flow-0001/evaluate", "modified")


@pytest.mark.parametrize("subject", ["execution", "job", "figure"])
def test_an_edited_figure_in_its_folder_is_found(project: Any, figures: Path, subject: str) -> None:
    path = {"execution": project.execution, "job": figures.parent, "figure": figures / "loss.svg"}
    before = provenance.verify(str(path[subject]), project.root)
    assert (before.findings, before.figures) == ((), 3)
    assert ", 3 files of figures and the frozen code" in list(verification_lines(before))[-1]
    (figures / "loss.svg").write_bytes((figures / "loss.svg").read_bytes() + b"<!-- -->")
    assert kinds(project, path[subject]) == ["figure_modified"]
    assert provenance.explain(str(figures / "loss.svg"), project.root).state == "modified"
    (figures / "loss.svg").unlink()
    (figures / "loss.svg").symlink_to(figures / "loss.png")
    assert kinds(project, path[subject]) == ["figure_modified"]


def test_a_figure_is_no_part_of_what_is_made_from_its_job(project: Any) -> None:
    (draw(project) / "loss.png").write_bytes(b"edited")
    assert kinds(project, project.output("train", "result.txt")) == []
    data = json.loads(project.record_file("evaluate").read_bytes())
    by = {"record": project.ids["evaluate"], "job": "evaluate", "output": "result"}
    inputs = [{"port": "x", "sha256": data["outputs"][0]["sha256"], "by": by}]
    none = {"outputs": [], "figures": [], "script": "", "status": "failed"}
    later = project.write_record({**data, "job": "later", "inputs": inputs, **none})
    found = provenance.verify(later, project.root)
    assert (found.findings, found.records) == ((), 7)


def test_a_figure_that_is_gone_is_a_warning_unless_it_was_asked_for(
    project: Any, figures: Path
) -> None:
    (figures / "loss.png").unlink()
    assert kinds(project, project.execution) == []
    assert kinds(project, project.execution, "warning") == ["figure_gone"]
    assert kinds(project, figures / "loss.png") == ["figure_missing"]
    assert provenance.explain(str(figures / "loss.png"), project.root).state == "missing"


def test_outputs_that_are_gone_do_not_make_a_figure_unsound(project: Any, figures: Path) -> None:
    project.output("evaluate", "result.txt").unlink()
    assert kinds(project, figures / "loss.png") == []
    assert kinds(project, figures / "loss.png", "warning") == ["output_gone"]
    assert kinds(project, figures.parent) == ["output_missing"]


def test_a_figure_that_a_later_attempt_draws_now_is_no_edit(project: Any, figures: Path) -> None:
    (figures / "loss.png").write_bytes(png_of(DRAWN._replace(attempt=2)))
    assert kinds(project, project.execution) == []
    assert kinds(project, project.execution, "warning") == ["figure_gone"]
    (figures / "loss.png").write_bytes(png_of(DRAWN._replace(attempt=2, job="train")))
    assert kinds(project, project.execution) == ["figure_modified"]


def test_a_figure_that_cannot_be_read_is_not_checked(project: Any, figures: Path) -> None:
    with project.closed(figures / "loss.png"):
        found = provenance.verify(str(project.execution), project.root)
    assert (found.is_sound, found.is_checked) == (True, False)
    assert [item.kind for item in found.findings] == ["figure_unreadable"]


def test_a_file_beside_the_figures_is_not_explained_by_them(project: Any, figures: Path) -> None:
    (figures / "mine.png").write_bytes(png())
    with pytest.raises(LedgerError, match="made this content") as raised:
        provenance.verify(str(figures / "mine.png"), project.root)
    assert "Name an output, a job's folder" in raised.value.hint


def test_a_figure_is_of_the_attempt_that_drew_it_whoever_has_it_too(
    project: Any, figures: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    shutil.copy(figures / "loss.png", copy)
    data = json.loads(project.record_file("evaluate").read_bytes())
    origin = {"execution": "flow-0001", "job": "evaluate", "task": None}
    origin["record"] = project.ids["evaluate"]
    past, future = (
        {"start": t, "end": t} for t in ("1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
    )
    project.write_record({**data, "attempt": 2, "time": past})
    for time in (past, future):
        project.write_record({**data, "attempt": 0, "reused_from": origin, "time": time})
    assert provenance.explain(str(copy), project.root).record.id == project.ids["evaluate"]


def test_a_record_of_an_earlier_version_has_no_figures_and_is_read(project: Any) -> None:
    record = provenance.explain(project.ids["train"], project.root).record
    assert ("figures" in record.raw, record.data.figures) == (False, ())
