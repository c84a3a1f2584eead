"""What may have been meant by a name that is not known."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from deepforge_hpc.files.faults import nearest

MANY = {f"fit_{number:04d}": None for number in range(2000)} | {"train": None}


@pytest.mark.parametrize("wrong", ["tain", "Train", "traim", "trian", "xtrain", "rain"])
def test_a_slip_is_found_among_many(wrong: str) -> None:
    assert nearest(wrong, MANY) == "did you mean 'train'?"


def test_each_of_many_wrong_names_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def count(word: str, possible: list[str], *rest: Any) -> list[str]:
        compared.append(len(possible))
        return found(word, possible, *rest)

    found = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", count)
    assert nearest("fitt_0777", MANY) == "did you mean 'fit_0777'?"
    assert compared[0] <= 100


def test_few_names_are_all_told() -> None:
    assert nearest("x", ("b", "A")) == "known: A, b"
    assert nearest("x", ()) == nearest("x", MANY) == ""
    assert nearest("TRAIN", ("Train", "train")) == "did you mean 'Train'?"
