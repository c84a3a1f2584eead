"""Two networks compared: what a person would say was changed, and no more."""

from __future__ import annotations

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.compare import compare

BASE = """\
library: keras
architecture: a
inputs: {x: [8, 8, 3], y: [4]}
layers:
  - conv: {Conv2D: {filters: 4, kernel_size: 3, padding: same}, from: x}
  - act: {ReLU: {}}
  - flat: {Flatten: {}}
  - cat: {Concatenate: {}, from: [flat, y]}
  - out: {Dense: {units: 2}}
"""


def changes(one: str, two: str) -> list[tuple[str, str, str, str]]:
    library = KerasLibrary()
    graphs = library.graph(one, "1.yaml"), library.graph(two, "2.yaml")
    return [tuple(item) for item in compare(*graphs, library.dialect())]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("filters: 4", "filters: 5", [("changed", "conv", "filters=4", "filters=5")]),
        (", padding: same", "", [("changed", "conv", "padding='same'", "")]),
        ("act: {ReLU", "act: {ELU", [("changed", "act", "ReLU", "ELU")]),
        ("- act:", "- relu:", [("renamed", "relu", "act", "relu")]),
        ("[flat, y]", "[y, flat]", [("rewired", "cat", "flat, y", "y, flat")]),
        ("x: [8, 8, 3], y: [4]", "y: [4], x: [8, 8, 3]", [("rewired", "inputs", "x, y", "y, x")]),
        ("y: [4]", "y: [5]", [("changed", "y", "Input [4] float32", "Input [5] float32")]),
        (
            "  - act: {ReLU: {}}\n",
            "",
            [("removed", "act", "ReLU", ""), ("rewired", "flat", "act", "conv")],
        ),
        (
            "  - flat:",
            "  - pool: {MaxPooling2D: {}}\n  - flat:",
            [("added", "pool", "", "MaxPooling2D"), ("rewired", "flat", "act", "pool")],
        ),
        ("units: 2}}\n", "units: 2}}\noutputs: [out, flat]\n", [("rewired", "outputs", "out", "out, flat")]),
        ("a\ninputs", "b\ninputs", []),
    ],
)  # fmt: skip
def test_one_edit_is_told_as_one(old: str, new: str, expected: list[tuple[str, ...]]) -> None:
    assert BASE.count(old) == 1
    assert changes(BASE, BASE.replace(old, new)) == expected


def test_a_network_whose_names_are_all_new_is_the_same_but_for_them() -> None:
    other = BASE
    for name in ("conv", "act", "flat", "cat", "out"):
        other = other.replace(f"- {name}:", f"- {name}_b:").replace(f"[{name}, ", f"[{name}_b, ")
    assert [item[::3] for item in changes(BASE, other)] == [
        ("renamed", f"{name}_b") for name in ("conv", "act", "flat", "cat", "out")
    ]


def test_a_step_that_shifts_the_names_below_it_is_one_that_was_added() -> None:
    old = BASE.replace("act: {ReLU: {}}", "act: [{Dropout: {rate: 0.1}}, {ReLU: {}}]")
    new = BASE.replace(
        "act: {ReLU: {}}", "act: [{BatchNormalization: {}}, {Dropout: {rate: 0.1}}, {ReLU: {}}]"
    )
    found = changes(old, new)
    assert ("added", "act_1", "", "BatchNormalization") in found
    assert ("renamed", "act_2", "act_1", "act_2") in found
    assert len(found) == 3


def test_pasquet_and_deepforge_differ_as_the_papers_say() -> None:
    examples = KerasLibrary().examples()
    found = changes(examples["pasquet"], examples["deepforge-a"])
    assert {item[1:] for item in found if item[0] == "changed" and "PReLU" not in item[1:]} >= {
        ("conv0_y", "shared_axes=(1, 2)", "")
    }
    assert {("added", "fc0", "", "PReLU"), ("added", "fc0b", "", "PReLU")} <= set(found)
    rewired = [item for item in found if item[0] == "rewired" and item[1] == "I0_out"]
    assert rewired == [("rewired", "I0_out", "I0_d_y, I0_b_y, I0_a_y, I0_c", "I0_d_y, I0_a_y, I0_b_y, I0_c")]  # fmt: skip
