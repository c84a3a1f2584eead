"""The interface of an operation as its code says it, without running the code."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.pipeline.operation import NO_DEFAULT, OperationCode, ParsedModule, read_operation


def read(code: str, name: str = "Op") -> OperationCode:
    found, faults = read_operation(ParsedModule(ast.parse(dedent(code)), "op.py"), name)
    assert faults == []
    assert found is not None
    return found


def _cases() -> list[tuple[str, list[str]]]:
    table = Path(__file__).with_name("operation_faults.txt").read_text(encoding="utf-8")
    cases = []
    for block in table.split("\n\n")[1:]:
        lines = block.splitlines()
        code = "\n".join(line for line in lines if not line.startswith("! "))
        cases.append((code, [line[2:] for line in lines if line.startswith("! ")]))
    return cases


@pytest.mark.parametrize(("code", "expected"), _cases())
def test_code_that_cannot_be_an_operation_is_told_with_its_line(
    code: str, expected: list[str]
) -> None:
    _, faults = read_operation(ParsedModule(ast.parse(code), "op.py"), "Op")

    told = [
        f"{fault.line}: {fault.message}" + (f" ({fault.hint})" if fault.hint else "")
        for fault in faults
    ]
    assert told == expected
    assert all(fault.file == "op.py" for fault in faults)


def test_arguments_of_init_and_execute_are_kept_apart() -> None:
    code = read(
        """
        class Op:
            def __init__(self, epochs, rate=0.5, *, name="x"):
                pass
            def execute(self, images, labels=None):
                self.model = images
                return self.model, images
        """
    )
    assert [p.name for p in code.parameters] == ["epochs", "rate", "name"]
    assert [p.required for p in code.parameters] == [True, False, False]
    assert [p.name for p in code.inputs] == ["images", "labels"]
    assert [p.name for p in code.outputs] == ["model", "images"]
    assert (code.kind, code.returns, code.line) == ("class", "tuple", 2)


def test_methods_may_come_from_a_base_class_of_the_same_file() -> None:
    code = read(
        """
        class Base:
            def __init__(self, size): ...
            def execute(self, x):
                return x
        class Middle(Base): ...
        class Op(Middle): ...
        """
    )
    assert [p.name for p in code.parameters] == ["size"]
    assert [p.name for p in code.inputs] == ["x"]


def test_a_base_class_that_takes_no_arguments_may_be_imported() -> None:
    code = read(
        """
        import abc
        from typing import Generic, TypeVar
        T = TypeVar("T")
        class Base(abc.ABC, Generic[T]): ...
        class Op(Base[int], object):
            def execute(self, x):
                return x
        """
    )
    assert code.parameters == ()


def test_an_imported_base_class_does_no_harm_to_an_own_init() -> None:
    code = read(
        """
        from elsewhere import Base
        class Op(Base):
            def __init__(self, epochs): ...
            def execute(self, x):
                return x
        """
    )
    assert [p.name for p in code.parameters] == ["epochs"]


HUGE = "0x" + "f" * 5000


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (f"def Op(x: Literal[{HUGE}]): ...", "Literal takes no number of thousands of digits"),
        (
            f"def Op(x: Annotated[int, {{'min': {HUGE}}}]): ...",
            "Annotated takes no number of thousands of digits",
        ),
        (
            "def Op(x):\n    if x == 0:\n        return x\n"
            + "".join(f"    elif x == {n}:\n        return x\n" for n in range(1, 400))
            + "    return x\n",
            "'Op' is nested too deeply to be read",
        ),
    ],
)
def test_code_out_of_all_proportion_is_a_fault_too(code: str, words: str) -> None:
    parsed = ParsedModule(ast.parse("from typing import Annotated, Literal\n" + code), "op.py")

    found, (fault,) = read_operation(parsed, "Op")

    assert found is None or "takes no number" in words
    assert words in fault.message
    assert fault.line == 2


def test_an_annotation_out_of_all_proportion_is_shortened() -> None:
    code = read(f"def Op(x: {HUGE}, y: {' | '.join(['int'] * 400)}):\n    return x\n")

    assert all(len(p.annotation) <= 60 for p in code.parameters)


def test_a_class_that_is_its_own_base_ends() -> None:
    _, faults = read_operation(
        ParsedModule(ast.parse("class A(B): ...\nclass B(A): ..."), "op.py"), "A"
    )
    assert [fault.line for fault in faults] == [1]


def test_returns_of_inner_functions_do_not_count() -> None:
    code = read(
        """
        def Op(x):
            def inner():
                return 1
            class Local:
                def method(self):
                    yield 2
            key = lambda: (yield)
            result = inner()
            return result
        """
    )
    assert [p.name for p in code.outputs] == ["result"]


@pytest.mark.parametrize(
    "body",
    [
        "if x:\n        return x\n    else:\n        raise ValueError",
        "try:\n        return x\n    except E:\n        raise\n    finally:\n        print()",
        "try:\n        y = 1\n    finally:\n        return x",
        "with x:\n        with x:\n            return x",
        "while True:\n        if x:\n            return x",
        "match x:\n        case 1:\n            return x\n        case _:\n            return x",
        "if x:\n        return x\n    sys.exit(3)",
        "if x:\n        return x\n    assert False",
        "for y in x:\n        return x\n    return x",
        "for y in x:\n        print(y)\n    else:\n        return x",
        "while x:\n        print(x)\n    else:\n        return x",
        "while True:\n        for y in x:\n            if y:\n                break\n        if x:\n            return x",
    ],
)
def test_every_branch_may_return_in_its_own_way(body: str) -> None:
    code = read(f"import sys\ndef Op(x):\n    {body}\n")
    assert [p.name for p in code.outputs] == ["x"]


@pytest.mark.parametrize(
    ("ending", "names", "form"),
    [
        ("pass", [], "none"),
        ("return", [], "none"),
        ("return None", [], "none"),
        ("return ()", [], "none"),
        ("return x", ["x"], "one"),
        ("return (x,)", ["x"], "tuple"),
        ("return x, y", ["x", "y"], "tuple"),
        ("return {'a': x + 1, 'b': y}", ["a", "b"], "dict"),
    ],
)
def test_the_form_of_the_return_is_known(ending: str, names: list[str], form: str) -> None:
    code = read(f"def Op(x, y):\n    {ending}\n")
    assert ([p.name for p in code.outputs], code.returns) == (names, form)


@pytest.mark.parametrize(
    ("annotation", "format_id"),
    [
        ("np.ndarray", "npy"),
        ("numpy.ndarray", "npy"),
        ("NDArray[np.float32]", "npy"),
        ("h5py.File", "hdf5"),
        ("Path", "file"),
        ("pathlib.Path", "file"),
        ("dict[str, float]", "json"),
        ("Dict", "json"),
        ("list", "json"),
        ("float", "json"),
        ("bool", "json"),
        ("str", "text"),
        ("K.Model", "keras"),
        ("tf.keras.Model", "keras"),
        ("'hdf5'", "hdf5"),
        ("'np.ndarray'", "npy"),
        ("'directory'", "directory"),
        ("dict | None", "json"),
        ("Optional[str]", "text"),
        ("Annotated[np.ndarray, 'doc']", "npy"),
        ("Any", "any"),
        ("object", "any"),
    ],
)
def test_annotations_of_ports_are_resolved_through_the_imports(
    annotation: str, format_id: str
) -> None:
    code = read(
        f"""
        import numpy as np, numpy, h5py, pathlib, keras as K
        import tensorflow as tf
        from numpy.typing import NDArray
        from pathlib import Path
        from typing import Annotated, Any, Dict, Optional
        class Op:
            def execute(self, x: {annotation}) -> {annotation}:
                return x
        """
    )
    assert (code.inputs[0].type, code.inputs[0].annotation) == (format_id, "")
    assert (code.outputs[0].type, code.outputs[0].annotation) == (format_id, "")


def test_an_annotation_without_a_format_is_any_and_remembered() -> None:
    code = read("import torch\ndef Op(x) -> torch.Generator:\n    return x\n")
    assert (code.outputs[0].type, code.outputs[0].annotation) == ("any", "torch.Generator")


def test_a_tuple_annotation_types_each_output() -> None:
    code = read(
        "import numpy as np\ndef Op(x) -> tuple[np.ndarray, 'hdf5', dict]:\n    y = z = x\n"
        "    return x, y, z\n"
    )
    assert [port.type for port in code.outputs] == ["npy", "hdf5", "json"]


PROMISES = [
    ("dict", "dict", False),
    ("dict[str, float]", "dict", False),
    ("typing.List[int]", "list", False),
    ("tuple[int, ...]", "list", False),
    ("'int'", "int", False),
    ("bool | float", "bool float", False),
    ("Union[str, list]", "list str", False),
    ("Annotated[str, 'doc']", "str", False),
    ("Annotated[int, {'min': 'wrong'}]", "", False),
    ("np.ndarray", "", False),
    ("torch.Tensor", "", False),
    ("Literal['a', 'b']", "", False),
    ("int | np.ndarray", "", False),
    ("dict | None", "dict", True),
    ("None | str", "str", True),
    ("Optional[str]", "str", True),
    ("'Optional[str]'", "str", True),
    ("Union[int, float, None]", "float int", True),
    ("Annotated[float | None, 'doc']", "float", True),
]
NO_PROMISES = ["", "Any", "object", "'json'", "'hdf5'", "Literal['a', None]", "None", "'not ('",
               "np.ndarray | None", "Annotated[()]"]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "types", "optional"),
    [*PROMISES, *((annotation, "", True) for annotation in NO_PROMISES)],
)
def test_an_annotation_promises_what_an_output_will_be(
    annotation: str, types: str, optional: bool
) -> None:
    code = read(
        f"""
        import typing
        import numpy as np, torch
        from typing import Annotated, Any, Literal, Optional, Union
        def Op(x) {annotation and "-> " + annotation}:
            return x
        """
    )
    (promise,) = [port.promise for port in code.outputs]
    expected = "" if annotation in NO_PROMISES else annotation
    assert (promise.annotation, promise.types, promise.optional) == (
        expected, tuple(types.split()), optional,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "ending", "types"),
    [
        ("tuple[dict, str]", "return x, y", [("dict",), ("str",)]),
        ("tuple[dict, str] | None", "return x, y", [("dict",), ("str",)]),
        ("tuple[int, ...]", "return x, y", [("int",), ("int",)]),
        ("tuple[dict]", "return (x,)", [("dict",)]),
        ("tuple[dict]", "return x", [("list",)]),
        ("dict[str, int]", "return {'a': x, 'b': y}", [("int",), ("int",)]),
        ("dict", "return {'a': x}", [()]),
    ],
)
def test_an_annotation_of_the_whole_is_shared_out(
    annotation: str, ending: str, types: list[tuple[str, ...]]
) -> None:
    code = read(f"def Op(x, y) -> {annotation}:\n    {ending}\n")
    assert [port.promise.types for port in code.outputs] == types


@pytest.mark.parametrize(
    ("annotation", "body"),
    [
        ("dict", "raise NotImplementedError"),
        ("None", "pass"),
        ("'None'", "pass"),
        ("Any", "pass"),
        ("dict | None", "return None"),
        ("Optional[dict]", "return"),
        ("NoReturn", "pass"),
    ],
)
def test_code_without_an_output_may_be_annotated_so(annotation: str, body: str) -> None:
    code = read(
        f"from typing import Any, NoReturn, Optional\ndef Op(x) -> {annotation}:\n    {body}\n"
    )
    assert code.outputs == ()


ALLOWED = [
    ("int", [0, -3], [1.5, "1", True, None, [1]]),
    ("float", [0, 1.5], ["x", True, None]),
    ("bool", [True, False], [0, 1, "true"]),
    ("str", ["", "x"], [1, None]),
    ("list", [[], [1, "a"]], [{}, "ab"]),
    ("list[int]", [[], [1]], [["a"], [1.5]]),
    ("dict[str, int]", [{}, {"a": 1}], [{"a": "b"}, {"a": 1, "b": None}, []]),
    ("dict", [{"a": [1]}], [[1]]),
    ("tuple[int, ...]", [[1, 2]], [["a"], 1]),
    ("tuple[int, str]", [[1, "a"]], [1]),
    ("int | None", [1, None], ["x", 1.5]),
    ("Optional[str]", ["x", None], [1]),
    ("Union[int, str]", [1, "a"], [1.5, None]),
    ('"int"', [1], ["x"]),
    ("Literal['a', 2, None]", ["a", 2, None], ["b", 2.5, True]),
    ("Literal[1]", [1], [True, 2]),
    ("Literal[True]", [True], [1]),
    ("Literal['a'] | None", ["a", None], ["b", 1]),
    ('Annotated[int, {"min": 1, "max": 9}]', [1, 9], [0, 10, 1.5, "3"]),
    ('Annotated[float, "doc", {"min": 0.5}]', [0.5, 1], [0.4]),
    ('Annotated[int | None, {"min": 1}]', [1, None], [0]),
    ('Annotated[int, {"min": 1}] | None', [1, None], [0]),
    ('Annotated[str, {"pattern": "[ab]+"}]', ["ab"], ["abc", "", 1]),
    ('Annotated[str, {"enum": ["x", "y"]}]', ["x"], ["z"]),
    ("Path", ["anything", 1, None], []),
    ("np.ndarray", [[1]], []),
    ("Any", [1, None, {}], []),
    ("int | Path", [1, "x"], []),
    ("typing.Literal['a']", ["a"], ["b"]),
    ("tuple[()]", [[]], [1, "a"]),
    ("list[()]", [[1]], [{}]),
    ("Optional[()]", [1, None], []),
    ("Union[()]", [1, None], []),
    ("Annotated[()]", [1, None], []),
    ("Literal[()]", [1, None], []),
]


@pytest.mark.parametrize(("annotation", "good", "bad"), ALLOWED)
def test_an_annotation_says_what_an_attribute_may_be(
    annotation: str, good: list[object], bad: list[object]
) -> None:
    code = read(
        f"""
        import typing
        from pathlib import Path
        from typing import Annotated, Any, Literal, Optional, Union
        def Op(x: {annotation}): ...
        """
    )
    constraint = code.parameters[0].constraint
    assert [value for value in good if constraint.problem(value)] == []
    assert [value for value in bad if not constraint.problem(value)] == []


@pytest.mark.parametrize(
    ("default", "value"),
    [
        ("3", 3),
        ("-1.5", -1.5),
        ("None", None),
        ("[1, {'a': 'b'}]", [1, {"a": "b"}]),
        ("(1, 2)", NO_DEFAULT),
        ("{1: 2}", NO_DEFAULT),
        ("CONSTANT", NO_DEFAULT),
        ("1e999", NO_DEFAULT),
        ("b'x'", NO_DEFAULT),
        ("0x" + "f" * 5000, NO_DEFAULT),
    ],
)
def test_a_default_is_kept_when_json_can_hold_it(default: str, value: object) -> None:
    parameter = read(f"def Op(x={default}): ...").parameters[0]
    assert parameter.default is value or parameter.default == value
    assert not parameter.required


def test_an_operation_may_stand_behind_a_condition() -> None:
    code = read(
        """
        try:
            import fast
        except ImportError:
            fast = None
        if fast:
            def Op(x): ...
        else:
            def Op(x, y): ...
        """
    )
    assert [p.name for p in code.parameters] == ["x", "y"]


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.lists(st.sampled_from("uvwxyz"), min_size=1, unique=True),
)
def test_names_survive_the_way_from_code_to_interface(
    arguments: list[str], outputs: list[str]
) -> None:
    body = "".join(f"    {name} = 1\n" for name in outputs)
    code = read(f"def Op({', '.join(arguments)}):\n{body}    return {', '.join(outputs)}\n")
    assert [p.name for p in code.parameters] == arguments
    assert [p.name for p in code.outputs] == outputs
