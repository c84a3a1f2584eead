"""Files that login nodes and jobs share: read strictly, written as they were, typed on both sides."""

from __future__ import annotations

import ast
import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import deepforge_hpc.runtime
from deepforge_hpc.runtime.base.codec import SchemaError, ShapeError, decode, encode, parse
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.runtime.base.outline import PlannedJob
from deepforge_hpc.runtime.base.plan import FINAL_JOB, Job, Plan, parse_plan
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.rank.messages import RankSpec
from deepforge_hpc.runtime.state.record_data import RecordData, parse_record

if TYPE_CHECKING:
    from conftest import Execution

EARLIER = Path(__file__).parents[2] / "fixtures" / "earlier"
"""Files that the version before these classes wrote."""
READERS: dict[str, Any] = {
    "plan.json": parse_plan,
    "execution.json": lambda content: parse(ExecutionInfo, content),
    "record.json": parse_record,
    "record-reused.json": parse_record,
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_an_earlier_version_is_read_and_would_be_written_alike(name: str) -> None:
    content = (EARLIER / name).read_bytes()
    value = READERS[name](content)
    data = value.to_dict() if isinstance(value, Plan) else encode(value)
    assert canonical_json(without_new(data, json.loads(content))) == content


def without_new(data: Any, earlier: Any) -> Any:
    """Return data without the keys that were added since, which have to have a default."""
    if isinstance(data, dict) and isinstance(earlier, dict):
        return {key: without_new(data[key], earlier[key]) for key in data if key in earlier}
    if isinstance(data, (list, tuple)) and isinstance(earlier, list):
        pairs = itertools.zip_longest(data, earlier)
        return [without_new(mine, old) for mine, old in pairs]
    return data


def plan_data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((EARLIER / "plan.json").read_bytes())
    return data


FAULTS: dict[str, tuple[Any, str]] = {
    "jobs.0.launch.world_size": ("2", "jobs[0].launch.world_size: '2' is not a whole number"),
    "jobs.0.tasks": (True, "jobs[0].tasks: True is not a whole number"),
    "jobs.0.kind": ("x", "jobs[0].kind: 'x' is not one of run, array, gather, final"),
    "jobs.1.after": ("part", "jobs[1].after: 'part' is not a list"),
    "jobs.1.after.0": (None, "jobs[1].after[0]: None is not a text"),
    "jobs.0.attributes": ([["a", 1, 2]], "jobs[0].attributes[0]: ['a', 1, 2] is not a list of 2"),
    "jobs.0.inputs.0.mapped": (1, "jobs[0].inputs[0].mapped: 1 is not true or false"),
    "jobs.0.resources": ([], "jobs[0].resources: [] is not an object"),
    "jobs.0.nicer": (3, "jobs[0].nicer: 3 is not of any field that this version knows"),
    "schema": ("dfh/plan/9", "schema 'dfh/plan/9', this version reads 'dfh/plan/1'"),
}


def put(data: Any, place: str, value: Any) -> None:
    *path, last = (int(step) if step.isdigit() else step for step in place.split("."))
    for step in path:
        data = data[step]
    data[last] = value


@pytest.mark.parametrize("place", FAULTS)
def test_what_does_not_fit_is_named_with_its_place(place: str) -> None:
    data = plan_data()
    value, message = FAULTS[place]
    put(data, place, value)
    with pytest.raises(ShapeError) as caught:
        parse_plan(json.dumps(data))
    assert str(caught.value) == message
    assert isinstance(caught.value, SchemaError) == (place == "schema")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, '{"jobs": 1}', "\x00"])
@pytest.mark.parametrize("read", [parse_plan, parse_record, lambda c: parse_plan(c, job="use")])
def test_what_is_no_such_file_is_one_fault(read: Any, content: str) -> None:
    with pytest.raises(ShapeError):
        read(content)


def places(data: Any, at: str = "") -> Iterator[str]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for name, value in items:
        yield (place := f"{at}.{name}".removeprefix("."))
        yield from places(value, place)


def test_any_damage_is_a_fault_or_a_value_never_another_error() -> None:
    whole = plan_data()
    del whole["jobs"][0], whole["jobs"][0]
    tried = 0
    for place in places(whole):
        for value in (None, 5, "x", [], {}, True, 1.5, [[]], {"name": 1}):
            data = copy.deepcopy(whole)
            put(data, place, value)
            for job in ("", "use"):
                try:
                    plan = parse_plan(json.dumps(data), job=job)
                except ShapeError:
                    continue
                assert all(isinstance(item.tasks, int) for item in plan.jobs)
                tried += 1
    assert tried > 100


def test_a_missing_field_without_a_default_is_named() -> None:
    data = plan_data()
    del data["jobs"][2]["name"]
    with pytest.raises(ShapeError, match=r"^jobs\[2\]\.name: it is missing$"):
        decode(Plan, data)


def test_a_job_reads_of_the_plan_what_it_needs() -> None:
    content = (EARLIER / "plan.json").read_bytes()
    whole = parse_plan(content)
    names = [job.name for job in whole.jobs]
    assert [job.name for job in parse_plan(content, job="use").jobs] == ["part.gather", "use"]
    assert [job.name for job in parse_plan(content, job="part").jobs] == ["part"]
    assert [job.name for job in parse_plan(content, job=FINAL_JOB).jobs] == names
    assert parse_plan(content, job="use").job("use") == whole.job("use")


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    data = json.loads((EARLIER / "record.json").read_bytes())
    data |= {"status": "paused", "energy_j": 5}
    data["inputs"][0]["mirror"] = "s3://x"
    record = parse_record(canonical_json(data))
    assert record.status is State.UNKNOWN
    assert record.inputs[0].port == "value"
    with pytest.raises(ShapeError, match="'paused' is not one of"):
        decode(RecordData, {"schema": data["schema"], "status": "paused"})


def test_an_edited_plan_ends_its_job_with_one_fault(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    data = json.loads(execution.layout.plan.read_bytes())
    data["jobs"][0]["launch"]["argv"] = 5
    execution.layout.plan.write_bytes(canonical_json(data))
    execution.plan_sha256 = ""  # by hand: nothing on the command line says which plan it was
    info = json.loads(execution.layout.execution.read_bytes())
    from deepforge_hpc.runtime.base.files import digest

    info["plan_sha256"] = execution.plan_sha256 = digest(execution.layout.plan.read_bytes())
    execution.layout.execution.write_bytes(canonical_json(info))
    done = execution.run("job")
    assert done.returncode == 87
    assert "jobs[0].launch.argv: 5 is not a list" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rank_is_told_all_that_the_plan_says_of_its_job(execution: Execution) -> None:
    code = """
    import os, pathlib
    def operation(a, seed): return pathlib.Path(os.environ["DFH_WORK"], "rank.json").read_text()
    """
    execution.operation("job", code, attributes={"a": [1, {"b": None}], "seed": 3}, seed=3)
    (job,) = execution.jobs
    assert execution.run("job").returncode == 0
    spec = parse(RankSpec, execution.value("job"))
    assert spec.job == job
    assert spec.task is None


# -- no untyped data in the job

RUNTIME = Path(deepforge_hpc.runtime.__file__).parent
TYPED = {"context", "plan", "job", "info", "spec", "launch", "binding", "order"}
"""What these files hold, by the names that it goes by."""


def untyped(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield each subscript by a text into what these files hold, and each such thing that is a dict."""
    for node in ast.walk(tree):
        name, kind = "", None
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            name, kind = getattr(node.value, "id", getattr(node.value, "attr", "")), node.slice
        elif isinstance(node, ast.arg):
            name, kind = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign):
            name, kind = getattr(node.target, "id", ""), node.annotation
        words = {getattr(part, "id", "") for part in ast.walk(kind)} if kind else set()
        by_text = isinstance(kind, ast.Constant) and isinstance(kind.value, str)
        if name.lstrip("_") in TYPED and (by_text or words & {"dict", "Mapping", "Any"}):
            yield node


def test_no_part_of_a_job_reads_plan_or_execution_as_untyped_data() -> None:
    found = [
        f"{path.relative_to(RUNTIME)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted(RUNTIME.rglob("*.py"))
        for node in untyped(ast.parse(path.read_text()))
    ]
    assert found == []


def test_the_look_for_untyped_data_finds_it() -> None:
    text = "job['launch']['argv']\nself._context.info['id']\ndef f(plan: dict[str, Any], x: int): ...\n"
    assert len(list(untyped(ast.parse(text)))) == 3


# -- JSON of our own files is read by the codec

HOUSE = RUNTIME.parent
LAYERS = ("runtime", "submit", "api", "ledger", "schedulers", "plugins")
PARSERS = {"load_json", "loads", "object_of", "parse_object", "read_json"}
FREE = {
    "api/recorded.py": "a number that a program of ours printed about a file of the user's",
    "api/schemas.py": "a schema whose references are renamed",
    "ledger/store.py": "a record is shown with what a later version added; FORMAT is any version's",
    "runtime/base/codec.py": "the codec",
    "runtime/base/files.py": "what the codec reads by",
    "runtime/base/jsonl.py": "lines at once, for the codec's callers",
    "runtime/base/metrics.py": "names and numbers are the user's",
    "runtime/base/plan.py": "leaves the others of a thousand jobs unread",
    "runtime/base/redact.py": "texts of anybody",
    "runtime/formats/base.py": "values are the user's",
    "runtime/formats/integrity.py": "headers of others",
    "runtime/formats/tensors.py": "names are the user's",
    "runtime/state/journal.py": "which event it is says its class",
    "runtime/state/read.py": "the last line of metrics: names and numbers are the user's",
    "runtime/state/statefile.py": "a word of a later version is named",
    "schedulers/local_queue.py": "one word of the last line",
    "submit/project.py": "what is damaged of it is left out",
}
"""Modules that look into JSON themselves, and why."""


def called(node: ast.AST) -> str:
    """Return the name of the function that a node calls."""
    found = node.func if isinstance(node, ast.Call) else None
    return getattr(found, "id", getattr(found, "attr", ""))


def parsed(tree: ast.AST) -> list[ast.Call]:
    """Return the calls that read JSON, but for what goes straight into `decode`."""
    given = {arg for node in ast.walk(tree) if called(node) == "decode" for arg in node.args}  # type: ignore[attr-defined]
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node not in given)
    others = {"marshal.loads"}
    return [n for n in found if called(n) in PARSERS and ast.unparse(n.func) not in others]


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def looks_inside(tree: ast.AST) -> list[ast.Subscript]:
    """Return each look by a text into what was found by a text."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Subscript))
    return [
        node
        for node in found
        if is_text(node.slice)
        and isinstance(node.value, ast.Subscript)
        and is_text(node.value.slice)
    ]


def open_fields(tree: ast.AST) -> list[ast.AnnAssign]:
    """Return the fields of tuples that hold a whole object of JSON."""
    tuples = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "NamedTuple" in map(ast.unparse, node.bases)
    ]
    fields = (item for node in tuples for item in node.body if isinstance(item, ast.AnnAssign))
    return [
        item
        for item in fields
        if re.search(r"(dict|Mapping)\[str, (Any|object)\]", ast.unparse(item))
    ]


def trees() -> Iterator[tuple[str, ast.AST]]:
    for layer in LAYERS:
        for path in sorted((HOUSE / layer).rglob("*.py")):
            yield path.relative_to(HOUSE).as_posix(), ast.parse(path.read_text())


def test_our_own_files_are_read_by_the_codec() -> None:
    assert {name for name, tree in trees() if parsed(tree)} == FREE.keys()


def test_nobody_looks_two_levels_deep_into_json() -> None:
    assert [f"{name}:{node.lineno}" for name, tree in trees() for node in looks_inside(tree)] == []


USERS = {"metrics", "attributes", "defaults", "declared", "vars"}
"""Of fields: their names and values are the user's."""


def test_no_tuple_of_the_runtime_holds_a_file_as_it_was_parsed() -> None:
    found = {
        f"{name}:{ast.unparse(field.target)}"
        for name, tree in trees()
        if name.startswith("runtime/") and name != "runtime/schedulers/base.py"
        for field in open_fields(tree)
        if ast.unparse(field.target) not in USERS
    }
    assert found == {"runtime/state/record_data.py:jobs"}  # rows in the scheduler's own fields


def test_these_looks_find_what_they_look_for() -> None:
    tree = ast.parse(
        "class Files(NamedTuple):\n    plan: dict[str, Any]\n    units: dict[str, int]\n"
        "plan = read_json(path)\nplan['a']['b']\ndecode(Plan, read_json(path))\n"
    )
    assert [len(look(tree)) for look in (parsed, looks_inside, open_fields)] == [1, 1, 1]


def test_what_is_shown_of_a_job_is_declared_as_in_the_job() -> None:
    shown, job = PlannedJob, Job
    assert shown.__annotations__.items() <= job.__annotations__.items()
    defaults = {k: v for k, v in shown._field_defaults.items() if k in job._field_defaults}
    assert defaults == {name: job._field_defaults[name] for name in defaults}
    # An earlier plan may lack what this version needs of a job: it is shown all the same.
    assert set(shown._fields) - {"name"} == shown._field_defaults.keys()
