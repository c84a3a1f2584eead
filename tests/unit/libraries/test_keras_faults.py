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
SMALL = "library: keras\narchitecture: net\ninputs: {{x: [8]}}\nlayers: [{}]\n"
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
    assert list(faults) == [4, 3]  # no layer reads y
    assert tried["a"]
    assert not tried["b"]


@pytest.mark.parametrize(
    "wrong",
    [
        "{Dense: {units: no}}",
        "{Dens: {units: 2}}",
        "{Dense: {units: 2, odd: 1}}",
        "{Dropout: {rate: 0.1}, call: {odd: x}}",
    ],
)
def test_what_leads_nowhere_is_told_beside_other_faults(wrong: str) -> None:
    lines = ("a: {Dense: {units: 2}, from: x}", "b: {Dense: {units: 2}, from: x}", f"c: {wrong}")
    faults, _ = read(*lines)
    assert list(faults) == [FIRST + 2, FIRST, 3]
    assert faults[FIRST].endswith("a leads to no output")
    assert faults[3].endswith("input y is not used")


@pytest.mark.parametrize(
    "line",
    [
        "c: {Add: {}, from: [b, nowhere]}",
        "c: {Add: {}, from: [a, b], repeat: no}",
        "a: {Dense: {units: 2}}",
        "c: {Add: {}, from: [b, a b]}",
        "c: {Dropout: {rate: 0.1}, call: {mask: [a, 1]}}",
    ],
)
def test_what_may_be_read_where_a_fault_is_is_not_told_to_lead_nowhere(line: str) -> None:
    lines = ("a: {Dense: {units: 2}, from: x}", "b: {Dense: {units: 2}, from: y}", line)
    faults, _ = read(*lines)
    assert faults
    assert not any("leads to no output" in said for said in faults.values())


@pytest.mark.parametrize(
    ("lines", "way"),
    [
        (("a: {Dense: {units: 2}, from: b}", "b: {Dense: {units: 2}, from: a}"), "a > b > a"),
        (("a: {Dense: {units: 2}, from: a}",), "a > a"),
        (
            (
                "a: {Add: {}, from: [x, d]}",
                "b: {Dense: {units: 2}}",
                "c: {Dense: {units: 2}, from: y}",
                "d: {Add: {}, from: [c, b]}",
            ),
            "a > d > b > a",
        ),
        (("a: {Dropout: {rate: 0.1}, from: x, call: {mask: b}}", "b: {reuse: a}"), "a > b > a"),
    ],
)
def test_layers_that_read_each_other_are_named_in_their_order(
    lines: tuple[str, ...], way: str
) -> None:
    faults, _ = read(*lines)
    (said,) = (one for one in faults.values() if "reads itself" in one)
    assert said.endswith(f"a reads itself: {way}")


def test_a_layer_that_only_stands_too_low_is_to_be_moved() -> None:
    text = (
        f"{HEAD}  - a: {{Dense: {{units: 2}}, from: b}}\n  - b: {{Dense: {{units: 2}}, from: x}}\n"
    )
    (fault,) = KerasLibrary().check(text, "net.yaml")
    assert fault.message.endswith("no layer 'b' above this one")
    assert fault.hint.startswith("move it up")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{Dense: {units: 2}, frm: x}", "a step has no 'frm' (did you mean 'from'?)"),
        ("{Dense: {units: 2}, form: x}", "a step has no 'form' (did you mean 'from'?)"),
        ("{Dense: {units: 2}, repeats: 2}", "a step has no 'repeats' (did you mean 'repeat'?)"),
        ("{Dense: {units: 2}, wen: true}", "a step has no 'wen' (did you mean 'when'?)"),
        ("{Dense: {units: 2}, cal: {}}", "a step has no 'cal' (did you mean 'call'?)"),
    ],
)
def test_a_slip_in_a_word_of_a_step_is_told_with_the_word(step: str, told: str) -> None:
    text = SMALL.format(f"{{a: {step}}}")
    (fault,) = KerasLibrary().check(text, "net.yaml")
    assert f"{fault.message} ({fault.hint})".endswith(told)
    assert fault.line == 4


def test_what_a_slip_stands_for_is_still_checked() -> None:
    faults = KerasLibrary().check(SMALL.format("{a: {Dense: {units: -1}, frm: no_x}}"), "net.yaml")
    assert [
        "'frm'" in one.message or "units" in one.message or "no_x" in one.message for one in faults
    ] == [True] * 3


@pytest.mark.parametrize("other", ["Flatten", "RepeatVector", "block"])
def test_two_layers_in_one_step_are_no_slip(other: str) -> None:
    text = SMALL.format(f"{{a: {{Dense: {{units: 2}}, {other}: {{n: 2}}}}}}")
    (fault,) = KerasLibrary().check(text, "net.yaml")
    assert fault.message.endswith(f"a step names one layer or block; found Dense and {other}")
