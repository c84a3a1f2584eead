"""The way back from an output of a network, also through what is nested in it."""

from __future__ import annotations

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.graph import Graph

NESTED = """\
library: keras
architecture: net
inputs: {x: [4], y: [4]}
blocks:
  inner:
    nested: true
    inputs: {image: [4]}
    layers:
      - code: {Dense: {units: 3}}
      - soft: {Softmax: {}}
    outputs: [code, soft]
layers:
  - first: {Dense: {units: 4}, from: x}
  - two: {inner: []}
  - flat: {Flatten: {}, from: two.soft}
  - sum: {Add: {}, from: [first, y]}
  - last: {ReLU: {}}
outputs: [flat, last, two.code]
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return KerasLibrary().graph(NESTED, "net.yaml")


@pytest.mark.parametrize(
    ("number", "names"),
    [(0, ["flat", "soft", "code"]), (1, ["last", "sum"]), (2, ["code"])],
)
def test_the_way_back_goes_into_a_nested_model_and_ends_where_several_meet(
    graph: Graph, number: int, names: list[str]
) -> None:
    assert [call.name for call in graph.chain(graph.outputs[number])] == names
