"""What the code of an operation refuses where it is made is refused by the check, in its words."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import pytest

import deepforge_hpc.operations as library
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.pipeline.operation import ParsedModule, read_operation
from deepforge_hpc.pipeline.refusals import refused
from deepforge_hpc.training.errors import TrainingError

if TYPE_CHECKING:
    from conftest import ProjectFolder

FOLDER = Path(library.__file__).parent
LEARN = {"model": None, "loss": "mse"}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("Augment", {"columns": []}, "columns"),
    ("Augment", {"columns": ["x"], "change": "none"}, "change"),
    ("Convert", {"to": "npy", "columns": ["x", "y"]}, "to"),
    ("Convert", {"to": "npz", "columns": ["file"]}, "to"),
    ("Ensemble", {"columns": ["row"]}, "columns"),
    ("Ensemble", {"columns": ["x", "x_spread"]}, "columns"),
    ("Ensemble", {"how": "median", "weights": [1.0]}, "weights"),
    ("Ensemble", {"weights": [2.0, -1.0]}, "weights"),
    ("Ensemble", {"weights": [0.0]}, "weights"),
    ("EvaluateClassification", {"truth": "prediction"}, "truth"),
    ("EvaluateClassification", {"names": ["a", "b", "a"]}, "names"),
    ("EvaluateClassification", {"kind": "labels", "top": 3}, "kind"),
    ("EvaluateRedshift", {"pdf": "redshift"}, "pdf"),
    ("EvaluateRedshift", {"prediction": "", "pdf": ""}, "prediction"),
    ("EvaluateRedshift", {"low": 0.5, "high": 0.25}, "low"),
    ("EvaluateRedshift", {"high": 0.25, "edges": "bins"}, "edges"),
    ("EvaluateRegression", {"prediction": "target"}, "prediction"),
    ("FitNormalisation", {"columns": []}, "columns"),
    ("KFold", {"folds": 3, "fold": 3}, "fold"),
    ("KFold", {"strata_bins": 4}, "strata_bins"),
    ("Load", {"delimiter": "::"}, "delimiter"),
    ("Load", {"rename": {"a": "c", "b": "c"}}, "rename"),
    ("Load", {"columns": ["a"], "rename": {"b": "c"}}, "columns"),
    ("PCA", {"dimensions": 5, "rows": 4}, "rows"),
    ("PlotCalibration", {"prediction": "label"}, "prediction"),
    ("PlotDensities", {"truth": "pdf"}, "truth"),
    ("PlotDensities", {"channels": [0, 1]}, "channels"),
    ("PlotDensities", {"low": 2.0, "high": 2.0}, "low"),
    ("PlotDensities", {"edges": "bins", "low": 2.0}, "edges"),
    ("PlotPIT", {"truth": "pdf"}, "truth"),
    ("PlotPIT", {"low": 2.0, "high": 1.0}, "low"),
    ("PlotPIT", {"edges": "bins", "low": 2.0}, "edges"),
    ("PlotROC", {"prediction": "label"}, "prediction"),
    ("PlotRedshifts", {"prediction": "redshift"}, "prediction"),
    ("Predict", {"keep": ["z", "prediction"]}, "keep"),
    ("Predict", {"name": "@z"}, "name"),
    ("Predict", {"mark": 0}, "mark"),
    ("Split", {"validation": 0.5, "test": 0.5}, "validation"),
    ("Split", {"strata_bins": 4}, "strata_bins"),
    ("TSNE", {"rows": 20}, "rows"),
    ("Train", {**LEARN, "clip": {"norm": 1.0}}, "clip"),
    ("Train", {**LEARN, "clip": {"clipnorm": -1.0}}, "clip"),
    ("Train", {**LEARN, "loss_weights": {"kind": -1.0}}, "loss_weights"),
    ("Train", {**LEARN, "class_weight": {"one": 1.0, "0": 2.0}}, "class_weight"),
    ("Train", {**LEARN, "class_weight": {"0": -2.0}}, "class_weight"),
    ("Train", {**LEARN, "schedule_every": "step"}, "schedule_every"),
    ("UMAP", {"rows": 15}, "rows"),
]


def _module(name: str) -> Path:
    (found,) = (path for path in FOLDER.glob("*.py") if f"\nclass {name}:" in path.read_text())
    return found


def _told(name: str, attributes: dict[str, Any], inputs: Any = None) -> list[tuple[Any, str]]:
    path = _module(name)
    code, faults = read_operation(ParsedModule(ast.parse(path.read_text()), path.name), name)
    assert code is not None
    assert not faults
    return list(refused(code, attributes, inputs or {}, ()))


@pytest.mark.parametrize(("name", "attributes", "at"), CASES)
def test_the_check_says_what_the_job_would(name: str, attributes: dict[str, Any], at: str) -> None:
    module = importlib.import_module(f"deepforge_hpc.operations.{_module(name).stem}")
    with pytest.raises((OperationError, TrainingError)) as caught:
        getattr(module, name)(**attributes)

    ((place, said),) = _told(name, attributes)

    assert place == ("attributes", at)
    assert said.startswith(f"{caught.value} ({_module(name).name}:")


def test_each_refusal_of_the_library_is_one_that_the_check_can_tell() -> None:
    told = {
        (name, said.rpartition(":")[2])
        for name, given, _ in CASES
        for _, said in _told(name, given)
    }
    there = {
        (node.name, f"{inner.lineno})")
        for path in FOLDER.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name in library.__all__
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        for inner in ast.walk(method)
        if isinstance(inner, ast.Raise)
    }
    assert told == there


def test_members_of_a_list_are_counted() -> None:
    given = {"weights": [1.0, 2.0]}
    three = ["a.t", "b.t", "c.t"]
    ((place, said),) = _told("Ensemble", given, {"predictions": three})

    assert place == ("attributes", "weights")
    assert said.startswith("weights has 2, and there are 3 members (ensemble.py:")
    assert not _told("Ensemble", given, {"predictions": three[:2]})


@pytest.mark.parametrize(
    ("attributes", "inputs", "words"),
    [
        ({"init_from": "keras-app:VGG16"}, ["initial"], "both say what to begin with"),
        ({"early_stopping": {}, "validation_split": 0.0}, [], "no rows are kept to validate with"),
        ({"early_stopping": {}, "validation_split": 0.0}, ["validation"], ""),
        ({"early_stopping": {"monitor": "loss"}, "validation_split": 0.0}, [], ""),
        ({"early_stopping": {}}, [], ""),
    ],
)
def test_what_train_begins_with_and_watches_goes_together(
    attributes: dict[str, Any], inputs: list[str], words: str
) -> None:
    given = dict.fromkeys(["dataset", *inputs], "some.table")
    told = [said for _, said in _told("Train", {**LEARN, **attributes}, given)]

    assert [words in said for said in told] == [True] * bool(words)


def _of(init: str, execute: str = "return x", inputs: Any = None, **attributes: Any) -> list[str]:
    """Return what is told of a class whose methods have these bodies."""
    code = (
        "class Op:\n    def __init__(self, a=1, b=None, c='x', d=len('ab')):\n"
        f"{indent(init, ' ' * 8)}\n    def execute(self, x, y=None):\n{indent(execute, ' ' * 8)}\n"
    )
    found, faults = read_operation(ParsedModule(ast.parse(code), "op.py"), "Op")
    assert found is not None, faults
    return [f"{place} {said}" for place, said in refused(found, attributes, inputs or {}, ())]


@pytest.mark.parametrize(
    ("condition", "attributes"),
    [
        ("a > 1", {"a": 2}),
        ("a - 3 >= -1 and not b", {"a": 2}),
        ("b is not None and a in b", {"b": [1]}),
        ("c.startswith(('y', 'z'))", {"c": "yes"}),
        ("{c, *(b or [])} & {'z'}", {"b": ["z"]}),
        ("any(f'{one}_{c}' == 'a_x' for one in b or [])", {"b": ["a"]}),
        ("len({one for one in b or () if one > a}) > 1", {"b": [1, 2, 3]}),
        ("sorted((b or {}).items()) == [('k', 2)]", {"b": {"k": 2}}),
        ("a / 2 > 1 if b else a * 2 > 9", {"a": 5}),
        ("0 < a <= 3 == len(c)", {"a": 2, "c": "abc"}),
        ("max(b or [0]) % 2", {"b": [3, 1]}),
        ("b is not None and b['k'][0] > 1", {"b": {"k": [2]}}),
    ],
)
def test_a_condition_of_plain_data_is_told(condition: str, attributes: dict[str, Any]) -> None:
    body = f"if {condition}:\n    raise ValueError(f'no {{a:,}} {{c!r}}')"

    (said,) = _of(body, **attributes)

    assert f"no {attributes.get('a', 1)} {attributes.get('c', 'x')!r} (op.py:4)" in said
    assert not _of(body)


@pytest.mark.parametrize(
    "condition",
    [
        "d > 0",  # a default that is no data
        "unknown(a)",
        "a.real",
        "c[7]",
        "c[:1]",
        "b < 1",  # raises in the job too: that it says
        "'%9999999999d' % a",
        "c * 99999999999",
        "a ** 9 ** 9 ** 9",
        "a << 99999999999",
        "f'{a:99999999999}'",
        "[p for q in range(9) for p in range(9)]",
        "[[p for p in range(9)] for q in range(9)]",
        "().__class__.__bases__",
        "__import__('os').system('touch made')",
        "(lambda: 1)()",
        "c.format(a)",
        "open('made', 'w')",
        "len(**{})",
    ],
)
def test_what_cannot_be_told_is_left_to_the_job(
    condition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert not _of(f"if {condition}:\n    raise ValueError('no')")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("init", "is_told"),
    [
        ("a = 0\nif a:\n    raise ValueError", False),
        ("a, b = b, a\nif b:\n    raise ValueError", True),
        ("a, b = b, a\nif a:\n    raise ValueError", False),
        ("if b is None:\n    b = ['k']\nif 'k' in b:\n    raise ValueError", True),
        ("if unknown():\n    a = 0\nif a:\n    raise ValueError", False),
        ("if unknown():\n    return\nif a:\n    raise ValueError", False),
        ("if c == 'y':\n    pass\nelif a:\n    raise ValueError", True),
        ("a = unknown(c)\nif a:\n    raise ValueError", False),
        ("a = c.pop()\nif c:\n    raise ValueError", False),  # which may have changed it
        ("c.clear()\nif c:\n    raise ValueError", False),
        ("self.a: int = a\nif self.a:\n    raise ValueError", True),
        ("for one in 'ab':\n    a = 0\nif a:\n    raise ValueError", False),
        ("try:\n    raise ValueError\nexcept ValueError:\n    pass", False),
    ],
)
def test_what_was_assigned_before_counts(init: str, *, is_told: bool) -> None:
    assert bool(_of(init)) is is_told


@pytest.mark.parametrize(
    ("execute", "inputs", "expected"),
    [
        ("if x is not None and self.b:\n    raise ValueError('no')", {"x": "t"}, True),
        ("if x is None:\n    raise ValueError('no')", {"x": "t"}, False),
        ("if y is None:\n    raise ValueError('no')", {"x": "t"}, True),
        ("if y is None:\n    raise ValueError('no')", {"x": "t", "y": "u"}, False),
        ("if x == self.b or x:\n    raise ValueError('no')", {"x": "t"}, False),
        ("if len(x) == 2:\n    raise ValueError('no')", {"x": ["t", "u"]}, True),
        ("if len(set(x)) < len(x):\n    raise ValueError('no')", {"x": ["t", "t"]}, False),
        ("if 1 in x:\n    raise ValueError('no')", {"x": ["t", "t"]}, False),
    ],
)
def test_of_an_input_is_known_whether_it_is_given(
    execute: str, inputs: Any, *, expected: bool
) -> None:
    said = _of("self.b = b", f"{execute}\nreturn x", inputs, b=[1])

    assert bool(said) is expected


def test_a_refusal_stands_at_the_attribute_in_the_file_or_the_option(
    project: ProjectFolder,
) -> None:
    project.write(
        "operations/own.py",
        """
        def judge(history: dict, threshold: float = 0.5, low: float = 0.0):
            if low > threshold:
                raise ValueError(f"low {low:g} is above threshold {threshold:g}")
            return {"score": low}
        """,
    )
    project.edit("operations/all.py:evaluate", "operations/own.py:judge")
    given = "inputs: {history: train.history}"
    project.edit(given, f"{given}\n    attributes: {{low: 0.75}}")
    said = "low 0.75 is above threshold 0.5 (operations/own.py:4)"

    at = "pipeline.yaml:15:23: operations.evaluate.attributes.low"
    assert project.one_fault() == f"{at}: {said}"
    said = said.replace("0.75", "0.625")
    assert project.one_fault(overrides=["evaluate.low=0.625"]) == f"--set evaluate.low: {said}"
    assert project.load(overrides=["evaluate.low=0.5"]).operations
