"""The schemas for editors agree with the readers: on what is right, and on what is wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from deepforge_hpc import paths
from deepforge_hpc.api.schemas import SCHEMAS
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.pipeline.file import read_pipeline

if TYPE_CHECKING:
    from conftest import SiteFolder

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "examples/redshift"
FILES = {
    "site": sorted(paths.data_folder("site-configs").glob("*.yaml")),
    "pipeline": sorted(EXAMPLE.glob("pipeline*.yaml")),
    "architecture": sorted((EXAMPLE / "architectures").glob("*.yaml")),
}
PAIRS = [(kind, file) for kind, files in FILES.items() for file in files]
VALIDATORS = {kind: jsonschema.Draft7Validator(make()) for kind, make in SCHEMAS.items()}


def refused(kind: str, data: object) -> bool:
    return next(VALIDATORS[kind].iter_errors(data), None) is not None


@pytest.mark.parametrize("kind", SCHEMAS)
def test_each_schema_is_one_and_explains_itself(kind: str) -> None:
    schema = SCHEMAS[kind]()
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["title"]
    assert len(json.dumps(schema)) < 300_000  # of architectures: two libraries
    assert FILES[kind]


@pytest.mark.parametrize(("kind", "file"), PAIRS, ids=[f"{k}-{f.stem}" for k, f in PAIRS])
def test_files_of_ours_fit_their_schema(kind: str, file: Path) -> None:
    data = load(file.read_bytes(), str(file)).value()
    errors = list(VALIDATORS[kind].iter_errors(data))
    assert not errors, jsonschema.exceptions.best_match(errors)


ECMA_ESCAPES = re.compile(r"[\^$.*+?()\[\]{}|/\\dDwWsSbBnrtfv-]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_patterns_are_such_as_editors_take(kind: str) -> None:
    """Editors read them as ECMA-262 with `u`, which refuses escapes of what needs none."""
    for pattern in patterns(SCHEMAS[kind]()):
        for found in re.finditer(r"\\(.{1,5})", pattern.replace(r"\\", "")):
            assert ECMA_ESCAPES.match(found[1]), pattern
        assert not re.search(r"\(\?(?![:=!]|<[=!])", pattern), pattern


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for item in schema.values():
            yield from patterns(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from patterns(item)


def test_fields_are_explained_by_the_texts_below_them() -> None:
    queue = SCHEMAS["site"]()["definitions"]["queues"]["anyOf"][1]["items"]["properties"]
    assert queue["node_minutes"]["description"] == "Nodes times minutes of one job, at most."


BAD_SITES = [
    {"site": "a b"},
    {"scheduler": None},
    {"queus": []},
    {"x-mine": 1},
    {"dfh": 2},
    {"dependency": "afternotok"},
    {"queues": [{"partition": "a"}]},
    {"queues": [{"name": "a", "nodes": 4}]},
    {"queues": [{"name": "a", "time": {"max": 90}}]},
    {"queues": [{"name": "a", "time": {"max": "90"}}]},
    {"queues": [{"name": "a", "partition": "a; id"}]},
    {"queues": [{"name": "a", "exclusive": "perhaps"}]},
    {"queues": [{"name": "a", "jobs": {"running": {"scope": "me"}}}]},
    {"node_types": {"a": {"mem": "512"}}},
    {"node_types": {"a": {"gpus": -1}}},
    {"node_types": {"a b": {}}},
    {"account": {"required": "maybe"}},
    {"request": {"gpu": "gps"}},
    {"request": {"gpu": {"style": "gres", "wher": "header"}}},
    {"request": {"required": ["all"]}},
    {"request": {"extra": [{"directive": []}]}},
    {"request": {"extra": [{"directive": ["a"]}]}},
    {"request": {"extra": [{"directive": ["constraint", "a b"]}]}},
    {"request": {"extra": [{"when": {"gpus": "perhaps"}, "directive": ["constraint", "a"]}]}},
    {"request": {"extra": [{"when": {"gpu": "yes"}, "directive": ["constraint", "a"]}]}},
    {"binding": {"gpu_order": "backwards"}},
    {"queues": [{"name": "a", "at_once": {"nodes": 4}}]},
    {"queues": [{"name": "a", "memory": "never"}]},
    {"software": {"python_env": "anywhere"}},
    {"environment_sets": {"a": {"since": "last week"}}},
    {"launchers": {"mpirun": {}}},
    {"launchers": {"mpi": {"argv": ["$(id)"]}}},
    {"environment_sets": {"a": {"env": {"A": "`id`"}}}},
    {"environment": {"python": "a;b"}},
    {"filesystems": [{"path": "/a"}]},
    {"transfer": {"globus": [{"name": "a", "uuid": "1"}]}},
    {"slurm": {"version": 24.05}},
    {"facts": {"queues": {"source": "a", "confidence": "O"}}},
    {"variants": {"gpu": {"request": {"gpu": "gps"}}}, "default_variant": "gpu"},
    {"variants": ["gpu"]},
]


@pytest.mark.parametrize("change", BAD_SITES, ids=json.dumps)
def test_a_wrong_site_is_refused_by_both(files: SiteFolder, change: dict[str, Any]) -> None:
    data = {"site": "x", "scheduler": "slurm", **change}
    files.write("x", json.dumps(data))
    with pytest.raises(InvalidInputError):
        files.load()
    assert refused("site", data)


GOOD_SITES = [
    {},
    {"queues": []},
    {"queues": "unknown"},
    {"account": {"required": True, "value": ""}},
    {"account": {"required": "if-several", "value": None}},
    {"queues": [{"name": "a", "nodes": "unknown", "time": {"max": "unknown"}, "exclusive": "no"}]},
    {"request": {"gpu": "none"}},
    {"request": {"gpu": {"style": "gres", "typed": "yes"}}},
    {"clamp": {"cpus_per_node": "available"}},
    {"facts": {"queues": [{"source": "a", "date": "unknown", "confidence": "O"}]}},
]


@pytest.mark.parametrize("change", GOOD_SITES, ids=json.dumps)
def test_a_right_site_is_taken_by_both(files: SiteFolder, change: dict[str, Any]) -> None:
    data = {"site": "x", "scheduler": "slurm", **change}
    files.write("x", json.dumps(data))
    assert files.load().spec.name == "x"
    assert not refused("site", data)


def _changed(data: Any, path: tuple[Any, ...], value: object) -> Any:
    data = copy.deepcopy(data)
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


OPERATION = ("operations", "train")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("pipeline",), None),
        (("pipeline",), "a b"),
        (("operations",), None),
        (("piplines",), 1),
        ((*OPERATION, "uses"), None),
        ((*OPERATION, "uses"), "train"),
        ((*OPERATION, "launch"), "mpi run"),
        ((*OPERATION, "resources"), {"nodes": 0}),
        ((*OPERATION, "resources"), {"time": "8:00"}),
        ((*OPERATION, "resources"), {"mem_per_node": 4}),
        ((*OPERATION, "sweep"), {}),
        ((*OPERATION, "environment"), {"venv": "a", "conda": "b"}),
        (("seed",), -1),
    ],
)
def test_a_wrong_pipeline_is_refused_by_both(path: tuple[Any, ...], value: object) -> None:
    file = EXAMPLE / "pipeline.yaml"
    right = load(file.read_bytes(), str(file)).value()
    assert "train" in right["operations"]
    data = _changed(right, path, value)
    reader = Reader(load(json.dumps(data), "p.yaml"))
    read_pipeline(reader)
    assert reader.faults
    assert refused("pipeline", data)


SMALL = {
    "library": "keras",
    "architecture": "small",
    "inputs": {"x": [4]},
    "layers": [{"y": {"Dense": {"units": 2, "kernel_initializer": {"HeNormal": {"seed": 1}}}}}],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("library",), "theano"),
        (("layers",), None),
        (("layers",), []),
        (("layer",), []),
        (("inputs", "x"), [0]),
        (("inputs", "x"), {"shape": [4], "dtype": "float"}),
        (("layers", 0), {"y": {}, "z": {}}),
        (("layers", 0, "y", "Dense", "units"), 0),
        (("layers", 0, "y", "Dense", "unit"), 2),
        (("layers", 0, "y", "Dense", "activation"), "rulu"),
        (("layers", 0, "y", "Dense", "use_bias"), "maybe"),
        (("layers", 0, "y", "Dense", "kernel_initializer"), "HeNormel"),
        (("defaults",), {"Dens": {}}),
    ],
)
def test_a_wrong_architecture_is_refused_by_both(path: tuple[Any, ...], value: object) -> None:
    assert not refused("architecture", SMALL)
    data = _changed(SMALL, path, value)
    with pytest.raises(InvalidInputError):
        KerasLibrary().compile(json.dumps(data), "a.yaml")
    assert refused("architecture", data)
