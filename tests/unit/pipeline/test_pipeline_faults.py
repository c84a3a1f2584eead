"""Every fault of a pipeline file: one clear message, at its line, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ProjectFolder


def _cases() -> list[tuple[str, str, list[str]]]:
    """Return old text, new text and expected messages of each case in the table."""
    table = Path(__file__).with_name("pipeline_faults.txt").read_text(encoding="utf-8")
    cases = []
    for block in table.split("\n\n")[1:]:
        lines = [line[2:].encode().decode("unicode_escape") for line in block.splitlines()]
        cases.append((lines[0], lines[1], lines[2:]))
    return cases


@pytest.mark.parametrize(("old", "new", "expected"), _cases())
def test_a_fault_is_told_at_its_place(
    project: ProjectFolder, old: str, new: str, expected: list[str]
) -> None:
    project.edit(old, new)

    told = [project.words(fault) for fault in project.faults()]

    assert told == [text.replace("ROOT", str(project.root)) for text in expected]


def test_a_file_that_is_not_there_is_named_once(project: ProjectFolder) -> None:
    (project.root / "operations/all.py").unlink()

    assert "'operations/all.py' cannot be read" in project.one_fault()


def test_a_fault_of_the_code_does_not_hide_those_of_its_use(project: ProjectFolder) -> None:
    project.write(
        "operations/bad.py",
        """
        from typing import Annotated
        class Train:
            def __init__(self, epochs: int, name: Annotated[str, {"pattern": "[a-z]+"}] = "a"):
                self.epochs = epochs
            def execute(self, images):
                return images + 1
        """,
    )
    project.edit("operations/all.py:Train", "operations/bad.py:Train")
    project.edit(
        "{epochs: 3}", "{epochs: many, name: B2, width: 3}\n    references: {model: no.yaml}"
    )

    told = "\n".join(project.words(fault) for fault in project.faults())

    assert told.count("\n") == 4, told
    for words in (
        "operations/bad.py:7:16: the output has no name",
        "operations.train.attributes.epochs: must be int, not 'many'",
        "operations.train.attributes.name: must be str that matches '[a-z]+', not 'B2'",
        "Train.__init__ (operations/bad.py:3) has no attribute 'width'",
        "Train.__init__ (operations/bad.py:3) has no reference 'model'",
    ):
        assert words in told


def test_arguments_that_cannot_be_read_are_not_called_wrong(project: ProjectFolder) -> None:
    project.write("operations/bad.py", "def train(images, **options): ...\n")
    project.edit("operations/all.py:Train", "operations/bad.py:train")

    assert "train takes **options: its names cannot be read" in project.one_fault()


def test_faults_of_all_files_are_told_at_once(project: ProjectFolder) -> None:
    project.edit("{uri: data/sdss.h5}", "{uri: missing.h5}")
    project.edit("attributes: {epochs: 3}", "attributes: {epochs: many}")
    project.write("operations/bad.py", "def f(:\n")
    project.edit("operations/all.py:evaluate", "operations/bad.py:f")

    files = [fault.file for fault in project.faults("no-such-site", overrides=("train.x",))]

    pipeline = str(project.root / "pipeline.yaml")
    assert files == [pipeline, pipeline, "", "--set", "operations/bad.py"]


def test_each_of_two_cycles_is_named_in_full(project: ProjectFolder) -> None:
    project.write("operations/pass.py", "def same(x=None):\n    y = x\n    return y\n")
    project.write(
        "pipeline.yaml",
        """\
        pipeline: rings
        operations:
          a: {uses: "operations/pass.py:same", inputs: {x: c.y}}
          b: {uses: "operations/pass.py:same", inputs: {x: a.y}}
          c: {uses: "operations/pass.py:same", inputs: {x: b.y}}
          d: {uses: "operations/pass.py:same", inputs: {x: e.y}}
          e: {uses: "operations/pass.py:same", inputs: {x: d.y}}
        """,
    )

    told = [fault.message.partition("other: ")[2] for fault in project.faults()]

    assert told == ["a -> b -> c -> a", "d -> e -> d"]


@pytest.mark.parametrize(
    "text", ["", "pipeline: x", "- a\n- b", "just text", "pipeline: x\noperations:"]
)
def test_a_file_that_is_no_pipeline_is_refused(project: ProjectFolder, text: str) -> None:
    project.write("pipeline.yaml", text)

    faults = project.faults()

    assert all(fault.line in {1, 2} for fault in faults)


def test_an_empty_file_is_called_empty(project: ProjectFolder) -> None:
    project.write("pipeline.yaml", "# nothing yet\n")

    assert project.one_fault() == (
        "pipeline.yaml:1:1: the file is empty (a pipeline begins with pipeline: NAME)"
    )


def test_a_pipeline_file_that_is_not_there_is_named(project: ProjectFolder) -> None:
    (project.root / "pipeline.yaml").unlink()

    assert project.one_fault() == (
        f"'{project.root}/pipeline.yaml' cannot be read: No such file or directory (give the "
        "path of a pipeline file)"
    ).replace(f"{project.root}/", "")


def test_broken_yaml_names_the_line(project: ProjectFolder) -> None:
    project.edit("attributes: {epochs: 3}", "attributes: {epochs: 3")

    assert project.one_fault().startswith("pipeline.yaml:12:11: not valid YAML: ")
