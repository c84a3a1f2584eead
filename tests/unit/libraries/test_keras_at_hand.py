"""Schema and documentation follow the Keras that is installed, whatever its version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api.arch_doc import doc
from deepforge_hpc.libraries.keras.catalogue import shipped
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.keras.named_values import spellings
from deepforge_hpc.libraries.networks import at_hand

FAKE = '''\
from types import SimpleNamespace as Namespace

__version__ = "9.9.0"


class Layer:
    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, name=None, **words):
        pass

    def call(self, *tensors):
        pass


class Blur(Layer):
    """Blurs what it is given.

    Args:
        width: Positive integer, how far.
        mode: string, either `"soft"` or `"hard"`.
    """

    def __init__(self, width, mode="soft", **words):
        pass

    def call(self, inputs, mask=None):
        pass


class Base:
    pass


def get(word):
    raise ValueError(word)


def known(word):
    return word


layers = Namespace(Layer=Layer, Blur=Blur)
initializers = Namespace(Initializer=Base, get=get)
regularizers = Namespace(Regularizer=Base)
constraints = Namespace(Constraint=Base)
activations = Namespace()
optimizers = Namespace(Optimizer=Base, schedules=Namespace(LearningRateSchedule=Base))
losses = Namespace(Loss=Base)
metrics = Namespace(Metric=Base)
callbacks = Namespace(Callback=Base)
backend = Namespace(standardize_dtype=known)
'''


@pytest.fixture
def keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install another Keras beside dfh."""
    info = tmp_path / "keras-9.9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 9.9.0\n")
    merging = tmp_path / "keras/src/layers/merging"
    merging.mkdir(parents=True)
    (tmp_path / "keras/__init__.py").write_text(FAKE)
    (merging / "base_merge.py").write_text("class Merge:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def cached(folder: Path) -> list[Path]:
    return list((folder / "cache/deepforge-hpc/catalogues").glob("*.json"))


def test_another_version_is_asked_once_and_remembered(
    keras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = KerasLibrary()
    blur = library.catalogue()["layer"]["Blur"]
    assert blur.text == "Blurs what it is given."
    assert blur.required == ("width",)
    assert {name: one.sort for name, one in blur.options.items()} == {
        "width": "count", "mode": "soft|hard", "activity_regularizer": "regularizer",
        "dtype": "dtype", "trainable": "flag",
    }  # fmt: skip
    assert blur.options["width"].text == "Positive integer, how far."
    assert dict(blur.call) == {"mask": ""}
    reads: list[str] = []
    read = at_hand.read_own
    monkeypatch.setattr(
        at_hand, "read_own", lambda *a, **more: reads.append("") or read(*a, **more)
    )
    assert doc("Blur").version == "9.9.0"
    assert len(reads) == 1
    monkeypatch.setattr(at_hand, "_made", None)
    schema = library.schema()
    assert "Blur" in schema["definitions"]["step"]["properties"]
    assert "Dense" not in json.dumps(schema)
    assert library.check(
        "library: keras\narchitecture: a\ninputs: {x: [4]}\nlayers: [{y: {Blur: {}}}]", "a"
    )
    assert len(cached(keras)) == 1


@pytest.mark.parametrize("damage", ["broken", "cache", "both"])
def test_what_cannot_be_read_is_as_if_it_were_not_there(keras: Path, damage: str) -> None:
    def version() -> Any:
        return KerasLibrary().at_hand()[0].version

    if damage != "cache":
        (keras / "keras/__init__.py").write_text("raise RuntimeError\n")
    if damage == "broken":
        assert version() == shipped().version
        assert not cached(keras)
        return
    folder = keras / "cache/deepforge-hpc/catalogues"
    if damage == "both":
        assert version() == shipped().version
        folder.mkdir(parents=True)
    else:
        assert version() == "9.9.0"
    for path in cached(keras):
        path.write_text("{}")
    assert version() == shipped().version


def test_without_keras_it_is_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise at_hand.PackageNotFoundError(name)

    monkeypatch.setattr(at_hand, "version", version)
    assert KerasLibrary().at_hand()[0] is shipped()


@pytest.mark.parametrize("family", ["loss", "metric", "optimizer", "callback"])
def test_every_name_that_a_file_may_use_is_documented(family: str) -> None:
    catalogue = KerasLibrary().catalogue()[family]
    known = {word for name, entry in catalogue.items() for word in (name, *entry.aliases)}
    assert spellings(family).keys() <= known
    if family in {"loss", "metric"}:
        found = [one.name for one in doc("mse").found if one.family == family]
        assert found == ["MeanSquaredError"]
