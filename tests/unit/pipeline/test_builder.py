"""A pipeline built in Python is the pipeline of its file, and the other way round."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc import Pipeline
from deepforge_hpc.api.schemas import pipeline_schema
from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.plan.resolve import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder


def build() -> Pipeline:
    """Return the pipeline of conftest.py."""
    return (
        Pipeline("galaxies")
        .input("catalogue", "data/sdss.h5")
        .operation("render", uses="operations/all.py:Render", inputs={"table": "catalogue"})
        .operation(
            "train",
            uses="operations/all.py:Train",
            inputs={"images": "render.images"},
            attributes={"epochs": 3},
        )
        .operation(
            "evaluate", uses="operations/all.py:evaluate", inputs={"history": "train.history"}
        )
        .output("score", "evaluate.score")
        .output("summary", "train.summary", to="results/summary.txt")
    )


def test_both_forms_are_loaded_alike(project: ProjectFolder) -> None:
    of_file = project.load()
    of_python = build().load(project.root, site="local")

    assert of_python.pipeline.operations == of_file.pipeline.operations
    assert of_python.operations == of_file.operations
    assert of_python.outputs == of_file.outputs
    assert of_python.graph == of_file.graph
    assert of_python.snapshot == of_file.snapshot
    assert [item.path for item in of_python.inputs] == [item.path for item in of_file.inputs]
    assert resolve(of_python).jobs == resolve(of_file).jobs


def test_a_saved_pipeline_is_read_back(project: ProjectFolder) -> None:
    path = build().save(project.root / "again.yaml")

    again = Pipeline.from_yaml(path)

    assert again.to_yaml() == build().to_yaml()
    assert again.output("more", "train.history").load(project.root).outputs[-1].name == "more"


def test_every_key_of_an_operation_can_be_given(project: ProjectFolder) -> None:
    project.write("images/x.txt", "")
    text = (
        Pipeline("p", description="d", seed=1, code=["images"], executions="runs", environment={"conda": "c"}, env={"A": "2"})
        .input("data", project.root / "data/sdss.h5", type="hdf5")
        .operation(
            "one",
            uses="operations/all.py:Render",
            inputs={"table": "data"},
            description="Makes images.",
            attributes={"size": 8},
            resources={"nodes": 2, "time": "2h", "mem_per_node": "4GiB"},
            launch="mpi",
            map={"over": "table", "shards": 2},
            types={"images": "npy"},
            environment={"modules": ("a/1",)},
            env={"A": "1"},
            seed=0,
            gpu_visibility="own",
            after=["two"],
        )
        .operation("two", uses="operations/all.py:evaluate", inputs={"history": "data"}, types={"history": "json"})
    ).to_yaml()  # fmt: skip

    value = load(text, "p").value()

    keys = inspect.signature(Pipeline.operation).parameters.keys() - {"self", "name"}
    known = pipeline_schema()["properties"]["operations"]["additionalProperties"]["properties"]
    assert keys == known.keys()
    of_programs = {"command", "args", "outputs"}
    assert value["operations"]["one"].keys() == keys - {"references", *of_programs}
    assert value["operations"]["one"]["resources"] == {
        "nodes": 2,
        "time": "2h",
        "mem_per_node": "4GiB",
    }
    assert value["operations"]["one"]["seed"] == 0
    assert value["operations"]["one"]["environment"] == {"modules": ["a/1"]}
    assert value["seed"] == 1
    assert set(value) == {"dfh", "pipeline", "description", "seed", "code", "executions", "environment", "env", "inputs", "operations"}  # fmt: skip


def test_a_file_becomes_a_program_that_builds_the_same_pipeline(project: ProjectFolder) -> None:
    project.edit(
        "pipeline: galaxies\n",
        'pipeline: galaxies\ndescription: |\n  it\'s\n  "odd"\nseed: 0\ncode: [operations]\n',
    )
    project.edit("score: {from: evaluate.score}", "score: evaluate.score")
    project.edit("{uri: data/sdss.h5}", "data/sdss.h5")
    project.edit("{epochs: 3}", '{epochs: 3, note: "\'); import os #"}\n    launch: none')

    source = Pipeline.from_yaml(project.root / "pipeline.yaml").to_python()
    names: dict[str, Any] = {}
    exec(source, names)

    built, of_file = names["pipeline"].load(project.root, site="local"), project.load()
    assert built.pipeline == of_file.pipeline
    assert built.operations == of_file.operations
    assert max(map(len, source.splitlines())) <= 100


def test_values_of_numpy_are_numbers_and_lists() -> None:
    attributes = {"rate": np.float64(0.5), "bins": np.int64(3), "edges": np.array([[1, 2]])}
    pipeline = Pipeline("p").operation("a", uses="x.py:y", attributes=attributes)

    value = load(pipeline.to_yaml(), "p").value()

    assert value["operations"]["a"]["attributes"] == {"rate": 0.5, "bins": 3, "edges": [[1, 2]]}


def test_faults_of_python_are_told_like_those_of_a_file(tmp_path: Path) -> None:
    pipeline = Pipeline("no name").operation("a", uses="x")

    with pytest.raises(InvalidInputError) as caught:
        pipeline.save(tmp_path / "p.yaml")

    assert len(caught.value.faults) == 2
    assert not (tmp_path / "p.yaml").exists()


def test_a_name_cannot_be_given_twice() -> None:
    with pytest.raises(UsageError, match="operations: 'a' is there already"):
        Pipeline("p").operation("a", uses="x.py:y").operation("a", uses="x.py:y")


def test_a_value_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="a value that JSON cannot hold"):
        Pipeline("p").operation("a", uses="x.py:y", attributes={"b": object()}).to_yaml()


def test_a_wrong_file_cannot_be_read(project: ProjectFolder) -> None:
    project.edit("pipeline: galaxies", "pipline: galaxies")
    with pytest.raises(InvalidInputError, match="unknown key 'pipline'"):
        Pipeline.from_yaml(project.root / "pipeline.yaml")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        Pipeline.from_yaml(project.root / "nowhere.yaml")


_CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp", "Cs"))
_TEXTS = (
    st.text(_CHARACTERS)
    | st.text(st.sampled_from("0123456789+-.eExo_:~ #'\"{}[],&*!|>%@`\n"), max_size=12)
    | st.sampled_from(["no", "on", "true", "null", "12:30", "0o17", "1e3", "1_000", "<<", "=", ""])
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda children: st.lists(children) | st.dictionaries(st.sampled_from("abc"), children),
    max_leaves=10,
)


@settings(deadline=None)  # the machine may be busy
@given(_VALUES)
def test_any_attribute_survives_the_way_through_the_file(value: Any) -> None:
    text = Pipeline("p").operation("a", uses="x.py:y", attributes={"v": value}).to_yaml()

    assert load(text, "p").value()["operations"]["a"]["attributes"]["v"] == value
    names: dict[str, Any] = {}
    exec(Pipeline("p").operation("a", uses="x.py:y", attributes={"v": value}).to_python(), names)
    assert names["pipeline"].to_yaml() == text
