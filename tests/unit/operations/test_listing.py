"""`dfh operations list` and `doc`, and what `dfh check` says of a name that is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepforge_hpc.cli.main import main

OWN = '''
class Measure:
    """Measures angles.

    And more.
    """
    def __init__(self, limit: float = 2.5):
        self.limit = limit
    def execute(self, table: dict) -> float:
        width = self.limit
        return width
'''


@pytest.fixture
def folder(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    project = make_project(
        {
            "ops/own.py": OWN,
            "ops/broken.py": "class X:\n def execute(",
            "ops/faulty.py": "class Faulty:\n    def execute(self, x, **more):\n        pass\n",
            "executions/one-0001/execution.json": "{}",
            "executions/one-0001/code/own.py": OWN,
            "venv/pyvenv.cfg": "",
            "venv/lib/own.py": OWN,
        }
    )
    monkeypatch.chdir(project)
    return project


def test_the_list_has_the_library_and_what_lies_here(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["operations", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dfh/operations/1"
    split = next(one for one in found["library"] if one["name"] == "Split")
    assert split["uses"] == "deepforge_hpc.operations:Split"
    assert split["outputs"] == ["train", "validation", "test", "report"]
    assert [one["uses"] for one in found["project"]] == [
        "ops/faulty.py:Faulty",
        "ops/own.py:Measure",
    ]
    assert main(["operations", "list", str(folder / "ops")]) == 0
    shown = capsys.readouterr().out
    assert "own.py:Measure    Measures angles\n" in shown
    assert "(its code has faults)" in shown


def test_doc_says_what_it_takes_and_gives(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Measure", "ops/own.py:Measure"):
        assert main(["operations", "doc", name]) == 0
        shown = capsys.readouterr().out
        assert "  limit: float, default 2.5\n" in shown
        assert "  table: json, needed\n" in shown
    assert main(["operations", "doc", "Train", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["references"]] == ["model"]
    assert {
        "name": "epochs",
        "kind": "int >= 1",
        "default": 10,
        "is_needed": False,
        "text": "how often all rows are seen.",
    } in found["attributes"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Trian", "did you mean 'Train'?"),
        ("Messure", "did you mean 'Measure'?"),
        ("deepforge_hpc.operations:Splot", "did you mean 'Split'?"),
        ("ops/own.py:Measur", "did you mean 'Measure'?"),
        ("ops/nowhere.py:X", "looked for"),
        ("ops/faulty.py:Faulty", "name each argument"),
    ],
)
def test_what_is_not_there_gets_the_nearest_name(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert main(["operations", "doc", name]) in {2, 3}
    assert hint in capsys.readouterr().err


def test_a_name_in_two_files_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ops/other.py").write_text(OWN)
    assert main(["operations", "doc", "Measure"]) == 2
    assert "one of ops/other.py:Measure, ops/own.py:Measure" in capsys.readouterr().err


PIPELINE = "pipeline: p\noperations: {a: {uses: 'deepforge_hpc.operations:%s'}}\n"


def test_check_suggests_and_says_where_they_are_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], follow: Callable[..., object]
) -> None:
    for name, hint in (("Trian", "did you mean 'Train'?"), ("Qqqq", "dfh operations list")):
        (folder / "pipeline.yaml").write_text(PIPELINE % name)
        assert main(["check"]) == 3
        shown = capsys.readouterr().err
        assert hint in shown
    follow("pipeline/sources.py : dfh operations", shown, cwd=folder)
    assert main(["operations", "doc", "Qqqq"]) == 2
    shown = capsys.readouterr().err
    follow("api/operations.py _own_named: dfh operations", shown, cwd=folder)
    import deepforge_hpc.operations

    with pytest.raises(ImportError) as refused:
        deepforge_hpc.operations.Split  # noqa: B018
    follow("operations/__init__.py __getattr__: dfh operations", str(refused.value), cwd=folder)
