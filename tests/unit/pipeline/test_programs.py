"""Programs as operations: what is frozen of them, and what their key covers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jsonschema
import pytest

from deepforge_hpc import Pipeline
from deepforge_hpc.pipeline.file import PIPELINE
from deepforge_hpc.runtime.base.arguments import fill, is_whole, placeholders

if TYPE_CHECKING:
    from conftest import ProjectFolder

    from deepforge_hpc.pipeline.interface import OperationInterface

SCRIPT = """\
import helper

if __name__ == "__main__":
    helper.work()
"""


def program(project: ProjectFolder, words: str) -> OperationInterface:
    """Make the last operation a program, and return its interface."""
    text = (project.root / "pipeline.yaml").read_text()
    start, end = text.index("  evaluate:"), text.index("outputs:\n  score")
    body = "inputs: {x: train.history}\n    outputs: {score: a/s.json, more: m/, raw: r.csv}\n"
    project.write(
        "pipeline.yaml", f"{text[:start]}  evaluate:\n    {words}\n    {body}{text[end:]}"
    )
    return project.load().operations["evaluate"]


def test_a_script_is_frozen_with_what_it_imports_and_runs_its_main_block(
    project: ProjectFolder,
) -> None:
    project.write("run/go.py", SCRIPT)
    project.write("run/helper.py", "def work():\n    return 1\n")
    words = 'uses: run/go.py\n    args: ["{inputs.x}", -n, 5, "{seed}"]\n    seed: 3'
    found = program(project, words)
    source = found.source
    assert (source.module, source.object, source.kind) == (
        "project/run/go.py",
        "__main__",
        "script",
    )
    assert source.argv == ("{inputs.x}", "-n", "5", "{seed}")
    assert source.search == ("project/run", "project")
    assert [(port.name, port.type, port.file) for port in found.outputs] == [
        ("score", "json", "a/s.json"), ("more", "directory", "m/"), ("raw", "file", "r.csv"),
    ]  # fmt: skip
    assert "project/run/helper.py" in project.load().snapshot.files

    def key() -> str:
        return project.load().operations["evaluate"].source.sha256

    same = key()
    project.write("run/go.py", f"# a comment\n{SCRIPT}")
    assert key() == same
    project.write("run/helper.py", "def work():\n    return 2\n")
    assert key() != same
    project.write("run/helper.py", "def work():\n    return 1\n")
    project.write("run/go.py", SCRIPT.replace("helper.work()", "helper.work(), 1"))
    assert key() != same
    project.write("run/go.py", SCRIPT)
    for old, new in (("-n, 5", "-n, 6"), ("r.csv", "r2.csv")):
        project.edit(old, new)
        assert key() != same
        project.edit(new, old)


def test_files_that_a_command_names_are_frozen_and_count(project: ProjectFolder) -> None:
    project.write("tools/go.sh", "true\n")
    project.write("tools/part.py", "from deepforge_hpc.job import ranks\n")
    command = 'command: [bash, "--x={code}/tools/go.sh", "{code}/tools/part.py", "{inputs.x}"]'
    found = program(project, command)
    assert found.source.argv[1:3] == (
        "--x={code}/project/tools/go.sh",
        "{code}/project/tools/part.py",
    )
    assert (found.source.object, found.source.search) == ("bash", ("library",))
    files = project.load().snapshot.files
    assert {"project/tools/go.sh", "project/tools/part.py"} < files.keys()
    assert "library/deepforge_hpc/job/ranks.py" in files
    project.write("tools/go.sh", "false\n")
    assert project.load().operations["evaluate"].source.sha256 != found.source.sha256


@pytest.mark.parametrize(
    ("word", "names", "filled"),
    [
        ("{a}", ["a"], ["$(touch x)"]),
        ("x{a}y{a}", ["a", "a"], ["x$(touch x)y$(touch x)"]),
        ("{{a}}", [], ["{a}"]),
        ("{list}", ["list"], ["1", "b c"]),
        ("", [], [""]),
        ("plain; words", [], ["plain; words"]),
    ],
)
def test_words_stay_words(word: str, names: list[str], filled: list[str]) -> None:
    assert placeholders(word) == names
    assert fill(word, {"a": "$(touch x)", "list": ["1", "b c"]}) == filled
    assert is_whole(word) == (word in {"{a}", "{list}"})


@pytest.mark.parametrize("word", ["{", "}", "{a", "a}", "{A}", "{a b}", "{a.b.c}"])
def test_a_brace_that_names_nothing_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        placeholders(word)


def test_the_schema_takes_programs_and_python_builds_them(project: ProjectFolder) -> None:
    schema = PIPELINE.schema()
    pipeline = Pipeline("p").operation("a", command=["true", 1], outputs={"x": "x.csv"})
    jsonschema.validate(pipeline._data, schema)
    assert "command=['true', 1]" in pipeline.to_python()
    assert pipeline.load(project.root).operations["a"].source.argv == ("true", "1")
    for bad in (
        {},
        {"command": ["a"], "uses": "a.py"},
        {"command": ["a"], "outputs": {"x": "../x"}},
    ):
        broken = {"pipeline": "p", "operations": {"a": bad}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)
