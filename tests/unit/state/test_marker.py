"""The files that say what became of a job: what is sound, and the bytes, which others read."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.base.failure import Raised
from deepforge_hpc.runtime.base.layout import JobLayout
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state import marker, statefile
from deepforge_hpc.runtime.state.marker import Marker, Output, ReusedFrom
from deepforge_hpc.runtime.state.statefile import Said

FILE = Output("outputs/a.json", "json", "sha256:1", 5, 7, 3)
FOLDER = FILE._replace(path="outputs/b", parts=True)
MARKER = Marker("use", 1, 2, "key", "sha256:r", {"a": FILE}, ReusedFrom("x-1", "use", 1, "r"))
OLD = (
    b'{"attempt":2,"job":"use","outputs":{'
    b'"a":{"format":"json","mtime_ns":7,"path":"outputs/a.json","rows":3,"sha256":"sha256:1",'
    b'"size":5},'
    b'"b":{"format":"json","mtime_ns":7,"parts":true,"path":"outputs/b","rows":3,'
    b'"sha256":"sha256:1","size":5}},"plan_key":"key","record":"sha256:r",'
    b'"reused_from":{"execution":"x-1","job":"use","record":"r","task":1},'
    b'"schema":"dfh/success/1","task":1}\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> JobLayout:
    return JobLayout(tmp_path)


def found(folder: JobLayout, **changes: Any) -> marker.FoundMarker:
    """Return what is found of a marker some of whose fields say something else."""
    marker.write(folder, MARKER)
    data = json.loads(folder.success.read_bytes())
    for name, value in changes.items():
        place = data["outputs"]["a"] if name in Output._fields else data
        place[name] = value
        if value is KeyError:
            del place[name]
    folder.success.write_text(json.dumps(data))
    return marker.find(folder, "use", 1, "key")


def test_a_marker_under_its_name_holds_though_its_folder_is_not_synced(
    folder: JobLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refuse_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "the disk refuses")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    marker.write(folder, MARKER)
    assert marker.read(folder) == MARKER
    monkeypatch.setattr(os, "fsync", lambda _handle: refuse_folders(os.open(folder.root, 0)))
    with pytest.raises(OSError, match="refuses"):
        marker.write(folder, MARKER._replace(attempt=3))  # what lies there is another
    folder.success.unlink()
    with pytest.raises(OSError, match="refuses"):
        marker.write(folder, MARKER)


def test_the_bytes_of_a_marker_are_those_of_earlier_versions(folder: JobLayout) -> None:
    whole = MARKER._replace(outputs={"a": FILE, "b": FOLDER})
    marker.write(folder, whole)
    assert folder.success.read_bytes() == OLD
    assert marker.read(folder) == whole


def test_a_sound_marker_may_say_more_than_this_version_knows(folder: JobLayout) -> None:
    assert found(folder, energy_j=5).marker == MARKER


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"job": "other"}, "has the success marker of another job"),
        ({"task": 0}, "has the success marker of another job"),
        ({"task": None}, "has the success marker of another job"),
        ({"plan_key": "other"}, "has the success marker of another plan"),
        ({"rows": KeyError}, "has a damaged success marker (outputs.a.rows: it is missing)"),
        ({"rows": "3"}, "outputs.a.rows: '3' is not a whole number"),
        ({"size": 5.0}, "outputs.a.size: 5.0 is not a whole number"),
        ({"size": True}, "outputs.a.size: True is not a whole number"),
        ({"parts": 1}, "outputs.a.parts: 1 is not true or false"),
        ({"path": "outputs/../../x"}, "is not a path below outputs/"),
        ({"path": "outputs"}, "is not a path below outputs/"),
        ({"path": "/etc/passwd"}, "is not a path below outputs/"),
        ({"attempt": KeyError}, "attempt: it is missing"),
        ({"reused_from": {"execution": "x-1"}}, "reused_from.job: it is missing"),
        ({"schema": "dfh/success/9"}, "schema 'dfh/success/9'"),
    ],
)
def test_a_marker_that_is_not_of_the_job_or_not_whole_is_not_believed(
    folder: JobLayout, changes: dict[str, Any], fault: str
) -> None:
    told = found(folder, **changes)
    assert (told.marker, told.is_unsound) == (None, True)
    assert fault in told.fault


def test_the_bytes_of_a_state_are_those_of_earlier_versions(folder: JobLayout) -> None:
    raised = Raised("E", "m", ("line",), 1, "f.py", 3)
    said = Said(State.FAILED, 1, "a", None, "s", "b", "e", "h", 4, "7", "r", "do", raised, 1)
    statefile.publish(folder, said)
    assert folder.state.read_bytes() == (
        b'{"again":true,"attempt":1,"ended":"e","error":{"file":"f.py","line":3,"message":"m",'
        b'"rank":1,"traceback":["line"],"type":"E"},"exit_code":1,"hint":"do","host":"h",'
        b'"job":"a","native_id":"7","pid":4,"reason":"r","schema":"dfh/state/1","since":"s",'
        b'"started":"b","state":"failed","task":null}\n'
    )
    assert statefile.read(folder) == said


@pytest.mark.parametrize("field", [{"state": "hibernating"}, {"attempt": "1"}, {"pid": "x"}])
def test_a_state_in_words_of_a_later_version_says_nothing(
    folder: JobLayout, field: dict[str, Any]
) -> None:
    statefile.publish(folder, Said(State.UNKNOWN, 1))
    data = json.loads(folder.state.read_bytes())
    folder.state.write_text(json.dumps({**data, "energy_j": 5}))
    assert statefile.read(folder) == Said(State.UNKNOWN, 1)
    folder.state.write_text(json.dumps({**data, **field}))
    assert statefile.read(folder) is None
