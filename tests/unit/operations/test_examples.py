"""Every operation of the library is documented whole, and its example gives what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

from deepforge_hpc.api.operations import document, library_names
from deepforge_hpc.pipeline.file import OPERATIONS

NAMES = library_names()
WITHOUT_EXAMPLE = {"Train", "UMAP"}
"""Want Keras (tests/training/test_train_library.py) or PyTorch (tests/torch), and umap-learn."""


def test_the_package_hands_on_what_is_listed() -> None:
    package = importlib.import_module(OPERATIONS)
    assert sorted(package.__all__) == NAMES
    with pytest.raises(ImportError, match="`dfh operations doc Split`"):
        package.Split  # noqa: B018
    with pytest.raises(AttributeError):
        package.Spilt  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_all_that_it_takes_and_gives_is_told(name: str) -> None:
    found = document(name, Path.cwd())
    assert found.uses == f"{OPERATIONS}:{name}"
    values = (*found.inputs, *found.attributes, *found.references, *found.outputs)
    assert [value.name for value in values if not value.text] == []
    assert "Source: " in found.text
    assert all(
        one.kind != "any"
        for one in (*found.inputs, *found.outputs)
        if one.name not in {"source", "model"}
    )
    assert bool(found.example) != (name in WITHOUT_EXAMPLE)


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_EXAMPLE))
@pytest.mark.usefixtures("pyplot")
def test_the_example_gives_what_it_says(name: str) -> None:
    found = document(name, Path.cwd())
    module = importlib.import_module(found.module)
    known = {"np": np, "Path": Path, name: getattr(module, name)}
    test = doctest.DocTestParser().get_doctest(found.example, known, name, found.place, 0)
    told: list[str] = []
    doctest.DocTestRunner().run(test, out=told.append)
    assert told == []
