"""Saved models before a Keras opens them, and which one is meant."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api.model import LayerCourse, _courses, find_model
from deepforge_hpc.api.model_figures import _heat
from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.libraries.keras.models.archive import check_model

PLAIN: dict[str, Any] = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "config": {
        "layers": [
            {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}},
            {"class_name": "__keras_tensor__", "config": {}},
        ]
    },
    "compile_config": {"loss": {"module": "mine", "class_name": "Loss"}},
}


def save(path: Path, layer: dict[str, Any] | None = None, weights: bytes = b"w") -> Path:
    document = json.loads(json.dumps(PLAIN))
    if layer:
        document["config"]["layers"].append(layer)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(document))
        archive.writestr("model.weights.h5", weights)
    return path


def test_what_is_kerass_own_is_let_through(tmp_path: Path) -> None:
    path = save(tmp_path / "m.keras")
    assert check_model(path, trusted=False) == len(json.dumps(PLAIN)) + 1


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"module": "keras.layers", "class_name": "Lambda"}, "keras.layers:Lambda"),
        ({"class_name": "__lambda__", "config": {"value": "4wEA"}}, "a class:__lambda__"),
        ({"module": "os", "class_name": "system"}, "os:system"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "builtins:function"),
        ({"module": "keras.utils", "class_name": "get_file"}, "keras.utils:get_file"),
        ({"module": "keras_evil.layers", "class_name": "Dense"}, "keras_evil.layers:Dense"),
        (
            {"module": "keras.layers", "class_name": "A", "config": {"x": [{"class_name": "B"}]}},
            "a class:B",
        ),
        (
            {"module": "keras", "class_name": "M", "compile_config": {"class_name": "C"}},
            "a class:C",
        ),
    ],
)
def test_code_of_others_is_refused_unless_it_is_trusted(
    tmp_path: Path, layer: dict[str, Any], named: str
) -> None:
    path = save(tmp_path / "m.keras", layer)
    with pytest.raises(InvalidInputError) as told:
        check_model(path, trusted=False)
    assert f"it holds {named}, which is not Keras' own" in str(told.value.faults[0])
    check_model(path, trusted=True)


def test_a_file_that_unpacks_to_far_more_is_refused_even_if_trusted(tmp_path: Path) -> None:
    path = save(tmp_path / "m.keras", weights=b"\0" * (80 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InvalidInputError, match="would unpack to"):
        check_model(path, trusted=True)


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_keras_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"m\.keras"):
        check_model(tmp_path / "m.keras", trusted=False)


# -- which one


@pytest.fixture
def made(executions: Any, tmp_path: Path) -> Any:
    made = executions.Made(tmp_path / "executions" / "redshift-0007")
    for name in ("load", "train", "two"):
        made.job(name)
    made.plan()
    made.submitted()
    made.success("load", {"images": ("outputs/images.h5", "hdf5", 1)})
    made.success(
        "train", {"model": ("outputs/model.keras", "keras", 1), "n": ("outputs/n", "json", 1)}
    )
    made.success("two", {n: (f"outputs/{n}.keras", "keras", 1) for n in ("a", "b")})
    rows = [{"step": n, "gradients/conv": 1 / n, "loss": 1, "activations/conv": n} for n in (1, 2)]
    made.metrics("train", rows)
    return made


def test_a_model_is_a_file_or_an_output(made: Any, tmp_path: Path) -> None:
    (tmp_path / "m.keras").touch()
    assert find_model("m.keras", tmp_path)[0] == tmp_path / "m.keras"
    for reference in ("7/train", "redshift-0007/train/model", "latest/train"):
        path, found, job = find_model(reference, tmp_path)
        assert path == made.root / "jobs" / "train" / "outputs" / "model.keras"
        assert (found.id, job) == ("redshift-0007", "train")  # type: ignore[union-attr]
    assert find_model("7/two/b", tmp_path)[0].name == "b.keras"
    for reference, message in (
        ("7/two", "several models fit"),
        ("7", "several models fit"),
        ("7/load", "redshift-0007/load has no output that is a Keras model"),
        ("none.keras", "no such file"),
    ):
        with pytest.raises(UsageError, match=message):
            find_model(reference, tmp_path)


def test_what_a_training_recorded_comes_with_its_model(made: Any, tmp_path: Path) -> None:
    _, found, job = find_model("7/train", tmp_path)
    assert found is not None
    courses = _courses(found, job)
    assert courses == (
        LayerCourse("gradients", "conv", ((1.0, 1.0), (2.0, 0.5))),
        LayerCourse("activations", "conv", ((1.0, 1.0), (2.0, 2.0))),
    )
    odd = LayerCourse("gradients", "<x>", ((1.0, 0.0), (2.0, float("nan"))))
    picture = _heat("t", [*courses[:1], odd])
    assert picture.count("<title>conv, ") == 2
    assert "&lt;x&gt;" in picture
    assert "#cbd5e1" in picture
