"""What two annotations say of one edge is compared, not only how it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ProjectFolder

CODE = """
from typing import Any, Literal, Optional, Sequence
import numpy as np

def make(rows: list) -> {given}:
    value = rows
    return value

def use(value: {wanted}) -> int:
    n = 1
    return n
"""
PIPELINE = """
pipeline: p
inputs: {{rows: rows.json}}
operations:
  make: {{uses: "ops.py:make", inputs: {{rows: rows}}{map}}}
  use: {{uses: "ops.py:use", inputs: {{value: make.value}}}}
outputs: {{n: use.n}}
"""


def told(project: ProjectFolder, given: str, wanted: str, map_: str = "") -> list[str]:
    project.write("rows.json", "[1, 2, 3]")
    project.write("ops.py", CODE.format(given=given, wanted=wanted))
    project.write("pipeline.yaml", PIPELINE.format(map=map_))
    try:
        project.load()
    except Exception:  # noqa: BLE001 - its faults are looked at
        return [project.words(fault) for fault in project.faults()]
    return []


@pytest.mark.parametrize(
    ("given", "wanted", "words"),
    [
        ("int", "list[int]", "make.value is int, but use wants list of int"),
        ("dict", "list", "make.value is dict, but use wants list"),
        ("Literal['a', 'b']", "Literal['c']", "make.value is 'a' or 'b', but use wants 'c'"),
        ("int", "Mapping[str, int]", "make.value is int, but use wants dict of int"),
        ("int", "Literal['c']", "make.value is int, but use wants 'c'"),
        ("Literal[1, 2]", "list", "make.value is 1 or 2, but use wants list"),
        ("list[int]", "list[list]", "make.value is list of int, but use wants list of list"),
        (
            "dict[str, list]",
            "dict[str, int]",
            "make.value is dict of list, but use wants dict of int",
        ),
        ("Optional[int]", "dict", "make.value is int or null, but use wants dict"),
        ("tuple[float, ...]", "dict", "make.value is list of float, but use wants dict"),
        ("list", "bool", "make.value is list, but use wants bool"),
    ],
)
def test_annotations_that_no_value_keeps_are_a_fault(
    project: ProjectFolder, given: str, wanted: str, words: str
) -> None:
    (fault,) = told(project, given, wanted)
    assert (
        f"operations.use.inputs.value: {words} (make the annotations agree: ops.py:5, ops.py:9)"
        in fault
    )


def test_of_two_formats_only_that_is_told(project: ProjectFolder) -> None:
    (fault,) = told(project, "str", "dict")
    assert "make.value is text, but use wants json" in fault


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("int", "float"), ("float", "int"), ("bool", "int"), ("int | None", "int"),
        ("list", "list[int]"), ("tuple[int, int]", "list[int]"), ("list[Any]", "list[int]"),
        ("Sequence[int]", "list[int]"), ("Mapping[str, int]", "dict"), ("dict[str, Any]", "dict[str, int]"),
        ("list[np.ndarray]", "list[list]"), ("dict | list", "list"), ("int", "object"),
        ("list[int] | dict[str, int]", "list[str] | dict[str, int]"),
        ("int", "Literal[1, 2]"), ("Literal[1]", "float"), ("Optional[Literal[1]]", "str | None"),
    ],
)  # fmt: skip
def test_annotations_that_some_value_keeps_are_none(
    project: ProjectFolder, given: str, wanted: str
) -> None:
    assert told(project, given, wanted) == []


@pytest.mark.parametrize(
    ("given", "wanted", "is_sound"),
    [("int", "list[int]", True), ("int", "int", False), ("list[int]", "list[int]", True)],
)
def test_of_an_array_the_gathered_value_counts(
    project: ProjectFolder, given: str, wanted: str, is_sound: bool
) -> None:
    found = told(project, given, wanted, ", map: {over: rows, shards: 2}")
    assert (found == []) is is_sound, found
