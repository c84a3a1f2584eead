"""Every fault of an architecture at its layer, and the rest still looked at."""

from __future__ import annotations

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.trial.request import BuildRequest

HEAD = """\
library: keras
architecture: net
inputs: {x: [8], y: [8]}
blocks:
  part:
    parameters: [n]
    layers:
      - d: {Dense: {units: $n}}
  two:
    inputs: [a, b]
    layers:
      - p: {Dense: {units: 2}, from: a}
      - q: {Dense: {units: 2}, from: b}
    outputs: [p, q]
layers:
"""
FIRST = HEAD.count("\n") + 1


def read(*lines: str, head: str = HEAD) -> tuple[dict[int, str], dict[str, bool]]:
    """Return the faults by line, and whether each layer is tried."""
    text = head + "".join(f"  - {line}\n" for line in lines)
    graph, faults = KerasLibrary().partial_graph(text, "net.yaml")
    assert graph is not None
    tried = {item["name"]: "code" in item for item in BuildRequest(graph).network["items"]}
    return {one.line: one.message for one in faults}, tried


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{Dense: {units: 2}, from: nowhere}", "no layer 'nowhere'"),
        ("{Dense: {units: 2}, from: x.1}", "x has no output '1'"),
        ("{reuse: nothing, from: x}", "no layer 'nothing' to use again"),
        ("{Dense: {units: 2}}", "needs `from`"),
        ("{two: [], from: x}", "takes 2 inputs"),
    ],
)
def test_a_wrong_source_does_not_hide_what_is_wrong_below(wrong: str, told: str) -> None:
    faults, tried = read(
        f"a: {wrong}",
        "b: {Dense: {units: -1}}",
        "c: {Dense: {units: 3, odd: 1}, from: a}",
        "d: {Dens: {units: 3}, from: b}",
        "e: {Dense: {units: 3}, from: a}",
        "f: {part: [0], from: y}",
        "g: {Dense: {units: 3}, from: f}",
    )
    assert told in faults.pop(FIRST)
    assert list(faults) == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 5]
    assert tried["e"]
    assert tried["g"]
    assert not any(tried[name] for name in ("b", "c", "f_d"))


def test_a_block_with_several_outputs_in_place_of_one_is_told_once() -> None:
    faults, tried = read(
        "a: {two: [], from: [x, y]}", "b: {Dense: {units: 2}}", "c: {Dense: {units: -2}}"
    )
    assert list(faults) == [FIRST + 1, FIRST + 2]
    assert "has several outputs" in faults[FIRST + 1]
    assert tried["a_p"]


def test_no_layer_is_left_out_for_what_is_wrong_elsewhere() -> None:
    """The nearest layer above a fault is innocent of what stands in other keys."""
    head = HEAD.replace("layers:\n      - d", "odd: 1\n    layers:\n      - d")
    found, tried = read("a: {Dense: {units: 2}, from: x}", "b: {Dense: {units: no}}", head=head)
    assert list(found) == [7, FIRST + 2]  # a key that no block has, and the layer
    assert tried == {"x": False, "y": False, "a": True, "b": False}
    text = f"{HEAD}  - a: {{Dense: {{units: 2}}, from: x}}\noutputs: [a, b]\n"
    graph, faults = KerasLibrary().partial_graph(text, "net.yaml")
    assert graph is not None
    assert [one.line for one in faults] == [FIRST + 1]
    assert not any(call.is_broken for call in graph.calls)


def test_a_wrong_default_breaks_its_layers_alone() -> None:
    faults, tried = read(
        "a: {Dense: {units: 2}, from: x}",
        "b: {Dropout: {rate: 0.5}}",
        head=HEAD.replace("blocks:", "defaults: {Dropout: {seed: no}}\nblocks:"),
    )
    assert len(faults) == 1
    assert tried["a"]
    assert not tried["b"]
