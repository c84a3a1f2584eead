"""What two annotations say of one edge is compared, not only how it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ProjectFolder

CODE = """
from typing import Annotated, Any, Collection, Generic, Iterable, Literal, Mapping, NamedTuple, NotRequired, Optional, Sequence, TypedDict, TypeVar, Union
import numpy as np
from .others import Sized
from lib import Reversible

Num = Union[int, float]
Rows: "TypeAlias" = "list[int]"
Twice = int
Twice = str
Loop = list["Loop"]
{aliases}

class Point(NamedTuple):
    x: int
    y: int

class Row(TypedDict, total=False):
    n: int
    next: "Row"

class Wide(Row):
    name: str
    note: NotRequired[int]

class Named(TypedDict):
    name: str

class Bag(Point): ...

class Container: ...

def make(rows: list) -> {given}:
    value = rows
    return value

def use(value: {wanted}) -> int:
    n = 1
    return n
"""
QUOTES = "'"
PIPELINE = """
pipeline: p
inputs: {{rows: rows.json}}
operations:
  make: {{uses: "ops.py:make", inputs: {{rows: rows}}{map}}}
  use: {{uses: "ops.py:use", inputs: {{value: make.value}}{over}}}
outputs: {{n: use.n}}
"""


def told(
    project: ProjectFolder, given: str, wanted: str, map_: str = "", over: str = ""
) -> list[str]:
    project.write("rows.json", "[1, 2, 3]")
    project.write("ops.py", CODE.format(given=given, wanted=wanted, aliases=""))
    project.write("pipeline.yaml", PIPELINE.format(map=map_, over=over))
    try:
        project.load()
    except Exception:  # noqa: BLE001 - its faults are looked at
        return [project.words(fault) for fault in project.faults()]
    return []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("int", "list[int]"), ("dict", "list"), ("Literal['a', 'b']", "Literal['c']"),
        ("int", "Mapping[str, int]"), ("int", "Literal['c']"), ("Literal[1, 2]", "list"),
        ("list[int]", "list[list]"), ("dict[str, list]", "dict[str, int]"),
        ("Optional[int]", "dict"), ("tuple[float, ...]", "dict"), ("list", "bool"),
        ("int", "Iterable[int]"), ("list[int]", "Iterable[str]"), ("dict[str, int]", "Iterable[int]"),
        ("list[list]", "Collection[int]"), ("int", "Collection"), ("dict", "Sequence[str]"),
        ("tuple[int, int]", "tuple[int, int, int]"), ("tuple[int, str]", "tuple[str, str]"),
        ("tuple[int, str]", "list[int]"), ("list[str]", "tuple[int, int]"),
        ("list", "set[int]"), ("dict", "frozenset"), ("list[int]", "bytes"), ("list", "complex"),
        ("dict", "Point"), ("list[str]", "Point"), ("tuple[int, int, int]", "Point"),
        ("list", "Row"), ("dict[str, int]", "Wide | None"), ("Wide", "dict[str, int]"),
        ("dict[str, int]", "dict[int, int]"), ("list[Row]", "list[Point]"),
        ("list[int] | dict[str, int]", "list[str] | dict[str, str]"), ("Literal['a'] | int", "list"),
        ("str", "tuple[int, int]"), ("str", "set[str]"), ("int", "'Iterable[int]'"),
        ("Row", "Named"), ("Literal[1]", "bool"), ("Literal[1]", "Literal[True]"),
        ("Num", "list"), ("Rows", "list[str]"), ("list[Num]", "list[list]"), ("Loop", "int"),
    ],
)  # fmt: skip
def test_annotations_that_no_value_keeps_are_a_fault(
    project: ProjectFolder, given: str, wanted: str
) -> None:
    (fault,) = told(project, given, wanted)
    words = f"make.value is {given}, but use wants {wanted.strip(QUOTES)}"
    assert (
        f"operations.use.inputs.value: {words} (make the annotations agree: ops.py:33, ops.py:37)"
        in fault
    )


def test_of_two_formats_only_that_is_told(project: ProjectFolder) -> None:
    (fault,) = told(project, "str", "dict")
    words = (
        "make.value is text, but use wants json (write types: {value: text} if it takes that; see"
    )
    assert words in fault


def test_a_task_of_an_array_gets_a_block_of_rows(project: ProjectFolder) -> None:
    project.write(
        "ops.py",
        "def make() -> list:\n    rows = [{}]\n    return rows\n\n\n"
        "def use(row: dict) -> list:\n    seen = [row]\n    return seen\n",
    )
    project.write(
        "pipeline.yaml",
        "pipeline: p\noutputs: {seen: use.seen}\noperations:\n  make: {uses: 'ops.py:make'}\n"
        "  use: {uses: 'ops.py:use', inputs: {row: make.rows}, map: {over: row, shards: 2}}\n",
    )
    words = (
        "make.rows is list, but use wants dict (a task of an array gets a block of the rows; make"
    )
    assert words in project.one_fault()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("int", "float"), ("float", "int"), ("bool", "int"), ("int | None", "int"),
        ("list", "list[int]"), ("tuple[int, int]", "list[int]"), ("list[Any]", "list[int]"),
        ("Sequence[int]", "list[int]"), ("Mapping[str, int]", "dict"), ("dict[str, Any]", "dict[str, int]"),
        ("list[np.ndarray]", "list[list]"), ("dict | list", "list"), ("int", "object"),
        ("list[int] | dict[str, int]", "list[str] | dict[str, int]"),
        ("int", "Literal[1, 2]"), ("Literal[1]", "float"), ("Optional[Literal[1]]", "str | None"),
        ("list[int]", "Iterable[int]"), ("dict[str, int]", "Iterable[str]"), ("str", "Sequence[str]"),
        ("list[str]", "list[Sequence[str]]"), ("tuple[int, str]", "Collection[int | str]"),
        ("tuple[int, int]", "tuple[int, ...]"), ("list[int]", "tuple[int, int]"), ("tuple[()]", "list[int]"),
        ("tuple[int, int]", "Point"), ("Point", "Point"), ("Point", "list[int]"), ("int", "complex"),
        ("Row", "Wide"), ("Row", "dict[str, str]"), ("Wide", "Row"), ("dict[str, Any]", "Wide"),
        ("list[Row]", "list[dict]"), ("Mapping[str, int]", "Mapping[Any, float]"), ("tuple[int, *Any]", "list[str]"),
        ("int", "bool"), ("int", "Literal[True]"), ("Literal[True]", "Annotated[int, {{'min': 0}}]"),
        ("Wide", "Named"), ("Named", "Row"), ("list[int] | tuple[int, int]", "Iterable[int] | int"),
        ("int", "Sized"), ("int", "Reversible"), ("int", "Container"), ("int", "Bag"), ("int", "Missing"),
        ("Num", "int"), ("Twice", "list"), ("Loop", "list[int]"), ("Rows", "list[int]"),
    ],
)  # fmt: skip
def test_annotations_that_some_value_keeps_are_none(
    project: ProjectFolder, given: str, wanted: str
) -> None:
    assert told(project, given, wanted) == []


@pytest.mark.parametrize(
    ("given", "wanted", "is_sound"),
    [
        ("int", "list[int]", True), ("int", "int", False), ("list[int]", "list[int]", True),
        ("tuple[int, int]", "tuple[int, int, int, int]", True), ("Row", "list[Row]", True),
    ],
)  # fmt: skip
def test_of_an_array_the_gathered_value_counts(
    project: ProjectFolder, given: str, wanted: str, is_sound: bool
) -> None:
    found = told(project, given, wanted, ", map: {over: rows, shards: 2}, types: {value: json}")
    assert (found == []) is is_sound, found


def test_a_block_of_a_tuple_has_another_length(project: ProjectFolder) -> None:
    over = ", map: {over: value, shards: 2}, types: {value: json}"
    assert told(project, "tuple[int, int]", "tuple[int]", over=over) == []
    assert told(project, "list[int]", "list[str]", over=over)


@pytest.mark.parametrize(
    ("given", "wanted", "words"),
    [
        ("Sequence[int]", "tuple[int, int]", ["a value that does not fit reaches it as it is"]),
        ("set", "Container", ["is annotated Container, which stands for no format"]),
        (
            "Any",
            "set",
            ["types are not compared along make.value -> use.value (annotate both ends"],
        ),
        (
            "list",
            "Point",
            ["is annotated Point, which comes as a list, without the names of its fie"],
        ),
    ],
)
def test_what_is_not_compared_is_said(
    project: ProjectFolder, given: str, wanted: str, words: list[str]
) -> None:
    types = ", types: {value: pickle}" if given == "set" else ""
    assert told(project, given, wanted, types) == []
    texts = [project.words(warning) for warning in project.load().warnings]
    assert len(texts) == len(words), texts
    assert all(word in text for word, text in zip(words, texts, strict=True)), texts


@pytest.mark.parametrize(
    ("wanted", "is_sound"),
    [("set[int]", True), ("Iterable[int]", True), ("Iterable[str]", False), ("Sequence", False)],
)
def test_a_pickled_set_stays_one(project: ProjectFolder, wanted: str, is_sound: bool) -> None:
    found = told(project, "set[int]", wanted, ", types: {value: pickle}")
    assert (found == []) is is_sound, found


@pytest.mark.parametrize(
    ("given", "wanted", "is_sound"),
    [
        ("dict[int, float]", "Iterable[int]", True),
        ("dict[tuple[str, str], float]", "Collection[tuple[str, str]]", True),
        ("dict[int, float]", "Iterable[str]", False), ("dict[int, float]", "Sequence[int]", False),
    ],
)  # fmt: skip
def test_a_pickled_mapping_has_keys_of_any_kind(
    project: ProjectFolder, given: str, wanted: str, is_sound: bool
) -> None:
    found = told(project, given, wanted, ", types: {value: pickle}")
    assert (found == []) is is_sound, found


def doubled(depth: int, leaf: str) -> str:
    return leaf if not depth else f"list[{doubled(depth - 1, leaf)} | {doubled(depth - 1, leaf)}]"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (f"Union[{'list[int], ' * 99}]", f"Union[{'list[str], ' * 99}]"),
        (doubled(7, "list[int]"), doubled(7, "list[str]")),
        (f"{'Iterable[' * 12}int{']' * 12}", f"{'Iterable[' * 12}list{']' * 12}"),
        (f"Literal[{', '.join(map(str, range(99)))}]", f"Literal[{', '.join(map(str, range(-99, 0)))}]"),
    ],
    ids=["union", "doubled", "nested", "literals"],
)  # fmt: skip
def test_of_annotations_that_are_too_large_it_is_said(
    project: ProjectFolder, given: str, wanted: str
) -> None:
    assert told(project, given, wanted) == []
    texts = [project.words(warning) for warning in project.load().warnings]
    words = "types are not compared along make.value -> use.value (their annotations have too many"
    assert any(words in text for text in texts), texts


def test_a_file_of_json_is_no_set(project: ProjectFolder) -> None:
    project.write("rows.json", "[1]")
    project.write("ops.py", "def use(rows: set) -> int:\n    n = 1\n    return n\n")
    project.write(
        "pipeline.yaml",
        "pipeline: p\ninputs: {rows: rows.json}\noutputs: {n: use.n}\n"
        'operations: {use: {uses: "ops.py:use", inputs: {rows: rows}}}\n',
    )
    assert (
        "rows is json, but use wants set (make the annotations agree: ops.py:1)"
        in project.one_fault()
    )


@pytest.mark.parametrize(
    ("given", "wanted", "is_narrowed"),
    [
        ("float", "int", True), ("int", "bool", True), ("list[float]", "list[int]", True),
        ("float", "int | str", True), ("float", "Literal[1, 2]", True), ("float", "Rows | int", True),
        ("int", "float", False), ("bool", "int", False), ("float", "Num", False),
        ("dict | None", "dict", True), ("list[dict | None]", "list[dict]", True),
        ("dict | None", "object", False), ("None", "dict | None", False),
        ("list[int]", "tuple[int, int]", True), ("tuple[int, ...]", "tuple[int, int]", True),
        ("tuple[int, int]", "list[int]", False), ("Sequence[int]", "list[int]", False),
        ("Num", "int", False), ("float | None", "int | None", False), ("object", "int", False),
    ],
)  # fmt: skip
def test_values_of_which_only_some_fit_are_said(
    project: ProjectFolder, given: str, wanted: str, is_narrowed: bool
) -> None:
    assert told(project, given, wanted) == []
    texts = [one.text for one in project.load().warnings if one.kind == "type_narrowed"]
    words = f"make.value is {given}, but use wants {wanted}: a value that does not fit reaches it "
    assert [words in text for text in texts] == [True] * is_narrowed


def test_aliases_of_aliases_are_read_once(project: ProjectFolder) -> None:
    lines = (f"A{i + 1} = tuple[A{i}, A{i}]\n" for i in range(60))
    project.write("rows.json", "[1]")
    code = CODE.format(given="A60", wanted="A60", aliases="A0 = int\n" + "".join(lines))
    project.write("ops.py", code)
    project.write("pipeline.yaml", PIPELINE.format(map="", over=""))
    assert {one.kind for one in project.load().warnings} == {"type_unchecked"}


OPEN = """
import datetime
import numpy as np
import torch

def make() -> {given}:
    value = None
    return value

def use(value: {wanted}) -> int:
    n = 1
    return n
"""
OPEN_PIPELINE = """
pipeline: p
operations:
  make: {{uses: "ops.py:make"{more}}}
  use: {{uses: "ops.py:use", inputs: {{value: make.value}}}}
outputs: {{n: use.n, value: {to}}}
"""


def kept_as(
    project: ProjectFolder, given: str, wanted: str, more: str = "", to: str = "make.value"
) -> str:
    project.write("ops.py", OPEN.format(given=given, wanted=wanted))
    project.write("pipeline.yaml", OPEN_PIPELINE.format(more=more, to=to))
    (port,) = project.load().operations["make"].outputs
    return port.type


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("list[np.ndarray]", "list[np.ndarray]"),
        ("list[np.ndarray]", "list"),
        ("dict[str, np.ndarray]", "dict"),
        ("dict[str, torch.Tensor]", "dict[str, torch.Tensor]"),
        ("dict[str, torch.Tensor] | None", "object"),
    ],
)
def test_what_holds_arrays_or_tensors_chooses_its_format_by_its_value(
    project: ProjectFolder, given: str, wanted: str
) -> None:
    """As JSON an array comes back as a list of numbers of no type, and a tensor not at all."""
    assert kept_as(project, given, wanted) == "any"


def test_it_does_not_where_another_format_is_named_or_wanted(project: ProjectFolder) -> None:
    given = "list[np.ndarray]"
    assert kept_as(project, given, "list", more=", types: {value: json}") == "json"
    to = "{from: make.value, to: out/value.json}"
    assert kept_as(project, given, "list", to=to) == "json"
    assert kept_as(project, "list[int]", "list") == "json"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("dict[tuple[int, int], float]", "keys of a JSON object are texts, not tuple[int, int]"),
        ("dict[None, int]", "keys of a JSON object are texts, not None"),
        ("dict['int', int]", "keys of a JSON object are texts, not "),
        ("list[datetime.date]", "JSON has no datetime.date"),
        ("datetime.datetime", "JSON has no datetime.datetime"),
        ("list[torch.Tensor]", "JSON has no torch.Tensor"),
    ],
)
def test_what_no_format_holds_is_known_before_the_run(
    project: ProjectFolder, given: str, said: str
) -> None:
    project.write("ops.py", OPEN.format(given=given, wanted="object"))
    project.write("pipeline.yaml", OPEN_PIPELINE.format(more="", to="make.value"))
    (fault,) = project.faults()
    assert f"output 'value' cannot be saved: {said}" in str(fault)
