"""An input that is a list of outputs: which argument takes one, and what is wrong with which member."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc import Pipeline
from deepforge_hpc.api.schemas import pipeline_schema
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.plan.resolve import resolve

if TYPE_CHECKING:
    from conftest import ProjectFolder

CODE = """
from __future__ import annotations
from collections.abc import Iterable, Sequence
from typing import Any, List, Optional, Reversible, TypeVar, Union; Numbers = list[int]; T = TypeVar("T")
import numpy as np, numpy.typing as npt

def make(n: int = 1) -> int:
    value = n
    return value

def table(n: int = 1) -> np.ndarray:
    rows = np.ones(n)
    return rows

def merge({signature}) -> list:
    joined = list(parts)
    return joined

class Join:
    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def execute(self, *parts: int, first: int = 0) -> list:
        joined = list(parts)
        return joined
"""
PIPELINE = """
pipeline: p
inputs: {rows: rows.npy}
operations:
  a: {uses: "ops.py:make"}
  b: {uses: "ops.py:make"}
  t: {uses: "ops.py:table"}
  m:
    uses: ops.py:merge
    inputs:
      parts: [PARTS]
outputs: {a: a.value, b: b.value, t: t.rows, m: m.joined}
"""


@pytest.fixture
def lists(project: ProjectFolder) -> ProjectFolder:
    write(project)
    return project


def write(
    project: ProjectFolder,
    signature: str = "parts: list[int]",
    parts: str = "[a.value, b.value]",
    more: str = "",
) -> None:
    project.write("rows.npy", "not looked at")
    project.write("ops.py", CODE.replace("{signature}", signature))
    project.write("pipeline.yaml", PIPELINE.replace("[PARTS]", parts + more))


def ports(project: ProjectFolder) -> list[tuple[str, str, str]]:
    edges = project.load().operations["m"].inputs
    return [(e.port, e.type, e.external or f"{e.operation}.{e.output}") for e in edges]


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        ("parts: list[int]", "json"),
        ("parts: List[int]", "json"),
        ("parts: Sequence[float]", "json"),
        ("parts: Iterable[int]", "json"),
        ("parts: tuple[int, ...]", "json"),
        ("parts: Optional[list[int]]", "json"),
        ("parts: list", "any"),
        ("parts: list[Any]", "any"),
        ("parts: Any", "any"),
        ("parts", "any"),
        ("*parts: int", "json"),
        ("*parts", "any"),
        ("parts: Union[list[int], None]", "json"),
        ("parts: list[int] | tuple[int, ...]", "any"),
        ("parts: Iterable[int] | int", "any"),
        ("parts: 'list'", "any"),
        ("parts: 'list[int]'", "json"),
        ("parts: Reversible[int]", "any"),
        ("parts: Numbers", "any"),
        ("parts: T", "any"),
        ("parts: npt.ArrayLike", "any"),
    ],
)
def test_what_takes_a_list_gets_its_members_in_order(
    lists: ProjectFolder, signature: str, kind: str
) -> None:
    write(lists, signature, "[b.value, a.value, b.value]")
    assert ports(lists) == [
        ("parts[0]", kind, "b.value"),
        ("parts[1]", kind, "a.value"),
        ("parts[2]", kind, "b.value"),
    ]
    assert lists.load().graph["m"] == ["a", "b"]


@pytest.mark.parametrize(
    ("signature", "what"),
    [
        ("parts: int", "json"),
        ("parts: dict", "json"),
        ("parts: str", "text"),
        ("parts: np.ndarray", "npy"),
        ("parts: tuple[int, str]", "list"),
        ("parts: int | str", "int or str"),
        ("parts: set[int]", "a value"),
        ("parts: Union[int, str]", "int or str"),
    ],
)
def test_what_takes_one_value_refuses_a_list_with_both_places(
    lists: ProjectFolder, signature: str, what: str
) -> None:
    write(lists, signature)
    assert lists.one_fault() == (
        f"pipeline.yaml:11:14: operations.m.inputs.parts: merge (ops.py:15) takes no list of any "
        f"length as 'parts' ({what}) (annotate it list[...] (ops.py:15), or give one source)"
    )


def test_member_that_is_malformed_hides_no_fault_of_the_others(lists: ProjectFolder) -> None:
    write(lists, "parts: list", "[c.value, 5, a.valu]")
    told = [str(fault) for fault in lists.faults()]
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == [
        f"operations.m.inputs.parts[{index}]" for index in range(3)
    ]


@pytest.mark.parametrize(
    ("signature", "parts", "column", "expected"),
    [
        ("parts: list[int]", "[a.value, t.rows]", 24, "t.rows is npy, but merge wants json"),
        ("parts: list[list]", "[a.value]", 15, "a.value is int, but merge wants list"),
        ("*parts: dict", "[a.value]", 15, "a.value is int, but merge wants dict"),
        ("parts: list", "[a.value, a.valu]", 24, "a has no output 'a.valu'"),
        ("parts: list", "[a.value, c.value]", 24, "no operation 'c'"),
        ("parts: list", "[a.value, a]", 24, "a is an operation, not an input of the pipeline"),
        ("parts: list[int]", "[rows]", 15, "rows is npy, but merge wants json"),
        ("parts: list", "[]", 14, "an empty list (name at least one output, or leave"),
        ("parts: list", "[a.value, 5]", 24, "expected the name of an input, or OPERATION.OUTPUT"),
        ("parts: list", "[a.value, [b.value]]", 24, "expected the name of an input, or"),
        ("parts: list", "[a.value, '../x']", 24, "expected the name of an input, or"),
        ("*parts: int", "a.value", 14, "merge (ops.py:15) takes a list as *parts, not one value"),
    ],
)
def test_a_fault_stands_at_its_member(
    lists: ProjectFolder, signature: str, parts: str, column: int, expected: str
) -> None:
    write(lists, signature, parts)
    told = lists.one_fault()
    at = "" if column == 14 else f"[{1 if column == 24 else 0}]"
    if expected == "a has no output 'a.valu'":
        expected = "a has no output 'valu'"
    assert told.startswith(f"pipeline.yaml:11:{column}: operations.m.inputs.parts{at}: {expected}")


def test_one_source_of_a_list_argument_is_its_value(lists: ProjectFolder) -> None:
    write(lists, "parts: list[int]", "m2.joined")
    text = (lists.root / "pipeline.yaml").read_text()
    more = "  m2: {uses: 'ops.py:merge', inputs: {parts: [a.value]}}\noutputs:"
    lists.write("pipeline.yaml", text.replace("outputs:", more))
    assert ports(lists) == [("parts", "json", "m2.joined")]


def test_types_names_the_format_of_each_member(lists: ProjectFolder) -> None:
    write(lists, "parts: list", "[t.rows, rows]", "\n    types: {parts: npy}")
    assert ports(lists) == [("parts[0]", "npy", "t.rows"), ("parts[1]", "npy", "rows")]


def test_an_untyped_member_is_warned_of_once_for_a_list(lists: ProjectFolder) -> None:
    write(lists, "parts", "[a.value, b.value, a.value]")
    code = (lists.root / "ops.py").read_text()
    lists.write("ops.py", code.replace("def make(n: int = 1) -> int", "def make(n: int = 1)"))
    told = [n.text for n in lists.load().warnings if "types are not compared" in n.text]
    assert len(told) == 1


def test_an_array_is_not_made_over_a_list(lists: ProjectFolder) -> None:
    write(lists, "parts: list[int]", more="\n    map: {over: parts, shards: 2}")
    told = [lists.words(fault) for fault in lists.faults()]
    assert len(told) == 1
    assert "m: input 'parts' is a list, and an array shares out one value" in told[0].replace(
        "operations.m.map.over: ", "m: "
    )
    assert "join the list in an operation before it" in told[0]


@pytest.mark.parametrize(
    ("signature", "more", "expected"),
    [
        ("scale: float, *parts: int", "\n    attributes: {scale: 2.0}", ("scale", "parts")),
        ("scale, *parts", "\n      scale: a.value", ("scale", "parts")),
        ("*parts: int, scale: float = 1.0", "", ("parts",)),
        ("seed: int, *parts: int", "\n    seed: 7", ("seed", "parts")),
    ],
)
def test_what_stands_before_a_star_is_known(
    lists: ProjectFolder, signature: str, more: str, expected: tuple[str, ...]
) -> None:
    write(lists, signature, more=more)
    assert lists.load().operations["m"].source.star == expected


def test_a_default_before_a_star_has_to_be_given(lists: ProjectFolder) -> None:
    write(lists, "scale: float = 1.0, *parts: int")
    assert lists.one_fault() == (
        "pipeline.yaml:8:3: operations.m: argument 'scale' of merge (ops.py:15) stands before "
        "*parts, where its default cannot be used (give it, or write it after *parts)"
    )


@pytest.mark.parametrize("section", ["attributes", "references"])
def test_a_star_takes_outputs_alone(lists: ProjectFolder, section: str) -> None:
    write(lists, "*parts: int")
    given = {"attributes": "[1]", "references": "net.yaml"}[section]
    lists.edit("inputs:\n      parts: [a.value, b.value]", f"{section}: {{parts: {given}}}")
    told = "\n".join(lists.words(fault) for fault in lists.faults())
    assert "(*parts takes a list of outputs: give it under inputs:)" in told


def test_a_star_may_be_left_out(lists: ProjectFolder) -> None:
    write(lists, "*parts: int")
    lists.edit("    inputs:\n      parts: [a.value, b.value]\n", "")
    found = lists.load().operations["m"]
    assert (found.source.star, found.source.parameters, found.inputs) == ((), (), ())
    assert (found.defaults, found.computed) == ({}, {})


def test_execute_of_a_class_takes_a_star(lists: ProjectFolder) -> None:
    lists.edit("ops.py:merge", "ops.py:Join")
    assert lists.load().operations["m"].source.star == ("parts",)
    assert [port for port, _, _ in ports(lists)] == ["parts[0]", "parts[1]"]


def test_both_ways_between_file_and_python(lists: ProjectFolder) -> None:
    of_file = lists.load()
    built = Pipeline("p").input("rows", "rows.npy")
    for name in "ab":
        built.operation(name, uses="ops.py:make")
    built.operation("t", uses="ops.py:table")
    built.operation("m", uses="ops.py:merge", inputs={"parts": ("a.value", "b.value")})
    for name, source in {"a": "a.value", "b": "b.value", "t": "t.rows", "m": "m.joined"}.items():
        built.output(name, source)
    of_python = built.load(lists.root, site="local")
    assert of_python.pipeline.operations == of_file.pipeline.operations
    assert resolve(of_python).jobs == resolve(of_file).jobs
    again: dict[str, Pipeline] = {}
    exec(Pipeline.from_yaml(lists.root / "pipeline.yaml").to_python(), {}, again)
    assert again["pipeline"].load(lists.root, site="local").operations == of_file.operations


def test_an_editor_knows_the_list() -> None:
    schema = pipeline_schema()
    good: dict[str, object] = {"uses": "ops.py:f", "inputs": {"parts": ["a.x", "b.x"], "n": "a.x"}}
    document = {"pipeline": "p", "operations": {"m": good}}
    jsonschema.validate(document, schema)
    for bad in ([], ["a.x", 3], [["a.x"]], ["a b"]):
        good["inputs"] = {"parts": bad}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)


NAMES = st.one_of(
    st.sampled_from(["a.value", "b.value", "rows", "t.rows"]),
    st.text(max_size=12),
    st.sampled_from(["parts[0]", "m.joined", "../a", "a.value\x00", "a..value", "__class__", ".a"]),
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(NAMES, st.integers(), st.none(), st.lists(NAMES)), max_size=4))
def test_no_list_ends_in_anything_but_edges_or_faults(
    tmp_path_factory: pytest.TempPathFactory, parts: list[object]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "ops.py").write_text(CODE.replace("{signature}", "parts: list"))
    (folder / "rows.npy").write_text("not looked at")
    pipeline = Pipeline("p").input("rows", "rows.npy")
    for name in "ab":
        pipeline.operation(name, uses="ops.py:make")
    pipeline.operation("t", uses="ops.py:table")
    entry = {"uses": "ops.py:merge", "inputs": {"parts": parts}}
    pipeline._data["operations"]["m"] = entry
    try:
        found = pipeline.load(folder, site="local")
    except InvalidInputError as error:
        faults = tuple(error.faults)
    else:
        faults = ()
    if faults:
        assert {Path(fault.file).name for fault in faults} == {"pipeline.yaml"}
        assert set(map(str, parts)) - {"a.value", "b.value", "rows", "t.rows"} or not parts
    else:
        assert [edge.port for edge in found.operations["m"].inputs] == [
            f"parts[{index}]" for index in range(len(parts))
        ]


def test_ten_thousand_members(lists: ProjectFolder) -> None:
    names = ["a.value", "b.value"] * 5000
    write(lists, parts=f"[{', '.join(names)}]")
    assert [source for _, _, source in ports(lists)] == names
    write(lists, parts=f"[{', '.join([*names, 'a.nothing'])}]")
    assert "operations.m.inputs.parts[10000]: a has no output 'nothing'" in lists.one_fault()
