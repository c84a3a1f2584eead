"""The Keras library does what every library must, and its schema and its reader agree."""

from __future__ import annotations

import jsonschema
import pytest

from deepforge_hpc.libraries.keras.catalogue import shipped
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.library import Library
from deepforge_hpc.testing.library import LibraryContract


class TestKeras(LibraryContract):
    framework = "keras"
    good = (
        "library: keras\narchitecture: a\ninputs: {x: [4]}\nlayers:\n  - y: {Dense: {units: 2}}\n"
    )
    bad = (
        "library: keras\narchitecture: a b\ninputs: {x: [0]}\nlayers:\n  - y: {Dense: {units: 2}}\n"
    )

    @pytest.fixture
    def library(self) -> Library:
        return KerasLibrary()


def test_keras_is_found_by_its_name_and_lists_all_of_its_tables() -> None:
    library = registry.create("libraries", "keras")
    assert isinstance(library, KerasLibrary)
    catalogue = library.catalogue()
    assert set(catalogue) == set(shipped().families)
    assert catalogue["layer"]["Dense"].required == ("units",)
    assert set(catalogue["layer"]) == set(shipped().things("layer"))
    validator = jsonschema.Draft7Validator(library.schema())
    assert validator.is_valid(
        {
            "library": "keras",
            "architecture": "a",
            "inputs": {"x": [4]},
            "layers": [{"y": {"Dense": None}}],
        }
    )


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("relu", "ReLU"), ("lstm", "LSTM"), ("batchnormalization", "BatchNormalization")],
)
def test_a_layer_in_other_case_is_still_the_nearest(wrong: str, near: str) -> None:
    text = TestKeras.good.replace("Dense: {units: 2}", f"{wrong}: {{}}")
    assert KerasLibrary().check(text, "a.yaml")[0].hint == f"did you mean {near!r}?"
