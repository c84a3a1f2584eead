"""A format that an installed package brings, from its documentation to the results of a job array."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "pipeline-file.md"
OPERATIONS = (
    'def make() -> "lines":\n    words = ["a", "b", "c"]\n    return words\n'
    'def twice(words: "lines") -> "lines":\n    words = [w + w for w in words]\n    return words\n'
    "def end(words: 'lines') -> list:\n    result = list(words)\n    return result\n"
)
PIPELINE = (
    "pipeline: p\noperations:\n  make: {uses: 'op.py:make'}\n"
    "  twice: {uses: 'op.py:twice', inputs: {words: make.words}, map: {over: words, shards: 2}}\n"
    "  end: {uses: 'op.py:end', inputs: {words: twice.words}}\noutputs: {result: end.result}\n"
)


def install(folder: Path, name: str, module: str, entry_points: str) -> dict[str, str]:
    """Lay a package of one module where Python finds it, and return the environment for that."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(module)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[deepforge_hpc.formats]\n{entry_points}\n")
    return {"PYTHONPATH": str(folder)}


def documented() -> str:
    """Return the format of the documentation."""
    (found,) = re.findall(r"```python\n(# lines_format.py.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def test_documented_format_carries_values_through_an_array(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    env = install(tmp_path / "lib", "lines_format", documented(), "lines = lines_format:Lines")
    project = make_project({"pipeline.yaml": PIPELINE, "op.py": OPERATIONS})

    dfh("run", cwd=project, env=env)

    execution = project / "executions/p-0001"
    assert (execution / "code/library/lines_format.py").read_text() == documented()
    (result,) = execution.glob("jobs/end/outputs/*.json")
    assert json.loads(result.read_text()) == ["aa", "bb", "cc"]


def test_types_names_it_for_what_is_annotated_as_another_thing(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    env = install(tmp_path / "lib", "lines_format", documented(), "lines = lines_format:Lines")
    code = OPERATIONS.replace('-> "lines"', "-> list").replace('words: "lines"', "words: list[str]")
    text = PIPELINE.replace("op.py:make'", "op.py:make', types: {words: lines}")
    text = text.replace("op.py:twice'", "op.py:twice', types: {words: lines}")
    project = make_project({"pipeline.yaml": text, "op.py": code})

    dfh("run", cwd=project, env=env)

    made = project / "executions/p-0001/jobs/make/outputs/words.lines"
    assert made.read_text().split() == ["a", "b", "c"]
    wrong = text.replace("types: {words: lines}", "types: {words: npy}", 1)
    (project / "pipeline.yaml").write_text(wrong)
    error = dfh("check", cwd=project, env=env, expect=3).stderr
    assert "npy, but the code of make says json" in error


@pytest.mark.parametrize(
    ("module", "entry_points", "words"),
    [
        ("import nowhere_to_be_found", "lines = bad_format:Lines", "cannot be imported: No module"),
        ("def (", "lines = bad_format:Lines", "cannot be imported: invalid syntax"),
        ("Lines = 3", "lines = bad_format:Lines", "is not a class"),
        (
            "class Lines:\n    def __init__(self): raise RuntimeError('no licence')",
            "lines = bad_format:Lines",
            "by bad_format as 'bad_format:Lines', which raised RuntimeError",
        ),
        ("class A: ...", "lines = bad_format:A\nlines = bad_format:B", "is claimed by"),
    ],
)
def test_broken_package_is_named_and_no_bug_of_ours(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path, module: str, entry_points: str, words: str
) -> None:  # fmt: skip
    env = install(tmp_path / "lib", "bad_format", module, entry_points)
    project = make_project({"pipeline.yaml": PIPELINE, "op.py": OPERATIONS})

    error = dfh("check", cwd=project, env=env, expect=2).stderr

    assert "formats: 'lines' is " in error
    assert "bug" not in error
    assert words in error
    assert "hint: " in error or "not a class" in error
