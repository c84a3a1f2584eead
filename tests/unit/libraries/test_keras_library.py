from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.libraries.keras.catalogue import dialect, shipped
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.plugins.library import Compiled

ARCHITECTURES = Path(__file__).parents[3] / "examples" / "redshift" / "architectures"

TINY = """\
library: keras
architecture: tiny
inputs: {x: [8, 8, 3]}
layers:
  - a: {Conv2D: {filters: 4, kernel_size: 3}}
  - out: {Flatten: {}}
"""

BLOCKS = """\
library: keras
architecture: blocks
inputs: {x: [8, 8, 3]}
defaults:
  Conv2D: {padding: same, bias_initializer: {Constant: {value: 0.1}}}
blocks:
  conv:
    parameters: [filters, {kernel: 3}]
    layers:
      - y: [{Conv2D: {filters: $filters, kernel_size: $kernel}}, {PReLU: {shared_axes: [1, 2]}}]
  split:
    parameters: [n, {wide: true}]
    inputs: [x]
    layers:
      - a: {conv: [$n], from: x}
      - b: [{conv: [$n, 5], from: x, when: $wide}, {conv: {filters: $n}}]
      - c: {Concatenate: {}, from: [a, b]}
layers:
  - one: {split: [4]}
  - two: {split: {n: 2, wide: false}}
"""


def compiled(text: str, source: str = "net.yaml") -> str:
    return KerasLibrary().compile(text, source).code


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        compiled(text)
    return [str(fault) for fault in caught.value.faults]


def calls(source: str) -> list[str]:
    """Return the lines of `build` without the name of the variable."""
    return [line.partition(" = ")[2] for line in source.splitlines() if " = " in line]


def test_a_network_becomes_one_call_for_each_layer() -> None:
    assert calls(compiled(TINY)) == [
        "keras.Input(shape=(8, 8, 3), dtype='float32', name='x')",
        "keras.layers.Conv2D(filters=4, kernel_size=3, name='a')(t0)",
        "keras.layers.Flatten(name='out')(t1)",
    ]


def test_the_same_file_gives_the_same_source_and_the_order_of_arguments_does_not_matter() -> None:
    swapped = TINY.replace("{filters: 4, kernel_size: 3}", "{kernel_size: 3, filters: 4}")
    assert compiled(TINY) == compiled(TINY) == compiled(swapped)


def test_blocks_are_expanded_with_their_parameters_and_defaults() -> None:
    source = compiled(BLOCKS)
    convolutions = [line for line in calls(source) if "Conv2D" in line]
    assert [line.split("padding")[0] for line in convolutions] == [
        "keras.layers.Conv2D(filters=4, kernel_size=3, ",
        "keras.layers.Conv2D(filters=4, kernel_size=5, ",
        "keras.layers.Conv2D(filters=4, kernel_size=3, ",
        "keras.layers.Conv2D(filters=2, kernel_size=3, ",
    ]
    assert "bias_initializer=keras.initializers.Constant(value=0.1)" in convolutions[0]
    assert "shared_axes=(1, 2), name='one_a_y')" in source


def test_what_is_fed_by_a_left_out_layer_is_left_out_too() -> None:
    merges = [line for line in calls(compiled(BLOCKS)) if "Concatenate" in line]
    assert [line.count(", t") + 1 for line in merges] == [2, 1]


def test_a_parameter_of_the_network_can_leave_an_input_out() -> None:
    text = (ARCHITECTURES / "pasquet.yaml").read_text()
    assert "name='reddening'" in compiled(text)
    assert "name='reddening'" not in compiled(text.replace("reddening: true", "reddening: false"))


def test_layers_inside_layers_and_query_and_value_are_written_as_keras_wants_them() -> None:
    source = compiled(
        "library: keras\narchitecture: a\ninputs: {x: [5, 4]}\nlayers:\n"
        "  - r: {Bidirectional: {layer: {LSTM: {units: 3, return_sequences: true}}}}\n"
        "  - m: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [r, x]}\n"
    )
    assert (
        "keras.layers.Bidirectional("
        "layer=keras.layers.LSTM(units=3, return_sequences=True), name='r')(t0)" in source
    )
    assert "key_dim=3, name='m')(t1, t0)" in source


@pytest.mark.parametrize("name", ["inception.yaml", "pasquet.yaml"])
def test_the_shipped_networks_compile(name: str) -> None:
    path = ARCHITECTURES / name
    ast.parse(compiled(path.read_text(), str(path)))


VALUES_OF_SORTS = {
    "count": 2, "integer": 2, "number": 0.5, "fraction": 0.5, "sizes": 2, "axes": 1, "shape": [2],
    "layer": "{Dense: {units: 1}}", "layers": "[{Dense: {units: 1}}]", "activation": "relu",
    "function": "my.code:f", "any": 2, "margins": 1, "flag": "true",
}  # fmt: skip


def required(thing: Thing) -> str:
    """Return what must be given, as YAML."""
    sorts = {name: thing.sorts[name].partition(":")[0] for name in thing.required}
    return ", ".join(f"{name}: {VALUES_OF_SORTS[sort]}" for name, sort in sorts.items())


def test_every_layer_and_function_of_the_catalogue_can_be_named() -> None:
    # Through the public door: an entry that the reader refuses would be dead data.
    head = "library: keras\narchitecture: a\ninputs: {x: [8, 8, 3]}\nlayers:\n"
    layers = shipped().things("layer")
    assert len(layers) == 143
    for name in [name for name in shipped().known("layer") if name not in dialect().refused]:
        thing = shipped().find("layer", name)
        assert thing is not None
        two = "" if thing.takes == "one" else ", from: [x, x]"
        source = compiled(f"{head}  - out: {{{name}: {{{required(thing)}}}{two}}}\n")
        assert f"keras.layers.{thing.name}(" in source
    for family in ("initializer", "regularizer", "constraint"):
        for name in shipped().known(family):
            found = shipped().find(family, name)
            text = TINY.replace("kernel_size: 3", f"kernel_size: 3, kernel_{family}: {name}")
            assert found is not None
            assert f"{found.code}()" in compiled(text)


@pytest.mark.parametrize("name", ["Convolution2D", "Conv2D"])
def test_another_name_of_a_layer_is_the_same_layer(name: str) -> None:
    text = TINY.replace("Conv2D", name).replace(
        "layers:", f"defaults: {{{name}: {{strides: 2}}}}\nlayers:"
    )
    assert "keras.layers.Conv2D(filters=4, kernel_size=3, strides=2, name='a')" in compiled(text)


def test_what_keras_does_not_say_is_any_literal() -> None:
    text = TINY.replace("Flatten: {}", "Resizing: {height: 4, width: 4, interpolation: bicubic}")
    assert "keras.layers.Resizing(height=4, width=4, interpolation='bicubic'" in compiled(text)
    text = TINY.replace("Flatten: {}", "Discretization: {bin_boundaries: [0.5, 1]}")
    assert "bin_boundaries=(0.5, 1)" in compiled(text)
    assert (
        "must be a number, a text, or a list of them"
        in faults(text.replace("[0.5, 1]", "{a: 1}"))[0]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("Conv2D", "Conv2d"),
            "net.yaml:5:9: layers[0].a: no Keras layer or block 'Conv2d' (did you mean 'Conv2D'?)",
        ),
        (
            ("filters: 4", "filter: 4"),
            "net.yaml:5:18: layers[0].a.Conv2D: Conv2D has no argument 'filter' (did you mean 'filters'?)",
        ),
        (("filters: 4", "filters: many"), "must be a positive whole number, not 'many'"),
        (("filters: 4, ", ""), "net.yaml:5:17: layers[0].a.Conv2D: Conv2D needs filters"),
        (("kernel_size: 3", "kernel_size: [3, 0]"), "kernel_size of Conv2D must be a positive"),
        (
            ("kernel_size: 3", "kernel_size: 3, padding: sam"),
            "padding of Conv2D must be one of valid, same, not 'sam' (did you mean 'same'?)",
        ),
        (
            ("kernel_size: 3", "kernel_size: 3, activation: rellu"),
            "must be an activation that Keras has, not 'rellu' (did you mean 'relu'?)",
        ),
        (
            ("kernel_size: 3", "kernel_size: 3, kernel_initializer: glorot"),
            "Keras has no initializer 'glorot' (did you mean ",
        ),
        (
            ("kernel_size: 3", "kernel_size: 3, bias_initializer: {Constant: {val: 1}}"),
            "Constant has no argument 'val' (did you mean 'value'?)",
        ),
        (("Flatten: {}", "Flatten: {}, from: b"), "no layer 'b' above this one (known: a, x)"),
        (("Flatten: {}", "Flatten: {}, from: out"), "out reads itself: out > out (break the"),
        (("Flatten: {}", "Flatten: {}, from: [a, x]"), "Flatten takes one input, not 2"),
        (
            ("Flatten: {}", "Flatten: {}, from: x"),
            "net.yaml:5:9: layers[0].a: a leads to no output",
        ),
        (("Flatten: {}", "Flatten: {}, when: maybe"), "when must be true or false, not 'maybe'"),
        (("out:", "a:"), "the name a is taken"),
        (("out:", "a b:"), "net.yaml:6:5: layers[1]: 'a b' is not a name (letters, digits and _"),
        (("out: {Flatten: {}}", "out: Flatten"), "a step names one layer or block; there is none"),
        (
            ("out: {Flatten: {}}", "Dense: {units: 1, name: a}"),
            "write `- name: {Dense: {units: 10}}`",
        ),
        (("out: {Flatten: {}}", "out: {Flatten: {}, ReLU: {}}"), "found Flatten and ReLU"),
        (("filters: 4", "filters: $n"), "no parameter $n"),
        (
            ("[8, 8, 3]", "[8, -8, 3]"),
            "net.yaml:3:13: inputs.x.shape[1]: expected a positive whole number or null, not -8",
        ),
        (("{x: [8, 8, 3]}", "{x: [8, 8, 3], y: [1]}"), "needs `from`: there are several inputs"),
        (("library: keras", "library: torch"), "library: expected one of keras, not 'torch'"),
        (("layers:", "layer:"), "net.yaml:4:1: unknown key 'layer' (did you mean 'layers'?)"),
        (
            ("architecture: tiny", "architecture: 1 tiny"),
            "architecture: expected a name of letters, digits and _ after a first letter, 64 at most, not '1 tiny'",
        ),
        (
            ("library: keras", "library: keras\ndfh: 2"),
            "net.yaml:2:6: dfh: format 2 is not in this version (write dfh: 1)",
        ),
        (
            ("library: keras", "library: keras\ndfh: true"),
            "dfh: format true is not in this version (write dfh: 1)",
        ),
        (("inputs: {x: [8, 8, 3]}", "inputs: [x]"), "inputs: expected a mapping, not a list"),
        (
            ("[8, 8, 3]", "{shape: [8, 8, 3], dtype: int99}"),
            "uint16, uint32, uint64, not 'int99' (did you mean 'int8'?)",
        ),
        (("layers:", "layers: {}\nblocks:"), "layers: expected a list of `- name:"),
        (("- out: {Flatten: {}}", "- {out: {Flatten: {}}, b: 1}"), "must be one name with one"),
        (("{Flatten: {}}", "[]"), "layers[1].out: an empty list"),
        (("layers:", "outputs: []\nlayers:"), "outputs: an empty list"),
        (("layers:", "parameters: [n]\nlayers:"), "parameter n of the architecture needs a value"),
        (
            ("layers:", "parameters: {n: 1}\nlayers:"),
            "parameters: expected a list such as [filters, {kernel: 3}], not a mapping",
        ),
        (("layers:", "parameters: [{n: 1}, {n: 2}]\nlayers:"), "parameter n is there twice"),
        (
            ("layers:", "defaults: {Conv: {}}\nlayers:"),
            "defaults: unknown key 'Conv' (did you mean 'Conv",
        ),
        (("layers:", "defaults: {Dense: {unit: 1}}\nlayers:"), "Dense has no argument 'unit'"),
        (
            ("layers:", "defaults: {Dense: {units: -1}}\nlayers:"),
            "units of Dense must be a positive",
        ),
        (("{x: [8, 8, 3]}", "{x: [8, 8, 3], y: {shape: [1], when: no}}"), "must be true or false"),
        (
            ("Flatten: {}", "Flatten: 3"),
            "the arguments of Flatten must be a mapping, not 3 (write {Flatten: {}} for none)",
        ),
        (("Flatten: {}", "Dense: 3"), "must be a mapping, not 3 (write {Dense: {units: 3}})"),
        (("out: {Flatten: {}}", "Dense: {units: 3}"), "'units' (write `- name: {Dense: ..}`)"),
        (("library: keras", "library: kera"), "expected one of keras, torch, not 'kera' (did you"),
        (("Flatten: {}", "Flatten: {}, when: false"), "no output: `when` leaves out out"),
        (("kernel_size: 3", "kernel_size: 3, use_bias: 1"), "must be true or false, not 1"),
        (
            ("kernel_size: 3", "kernel_size: 3, bias_initializer: [Ones]"),
            "bias_initializer of Conv2D must be a name or one",
        ),
        (("Flatten: {}", "Reshape: {target_shape: 3}"), "must be a list of whole numbers, not 3"),
        (("Flatten: {}", "Dropout: {rate: lots}"), "rate of Dropout must be a number"),
        (
            ("Flatten: {}", "Dropout: {rate: 1, seed: 0.5}"),
            "seed of Dropout must be a whole number",
        ),
        (("Flatten: {}", "Cropping2D: {cropping: [[1, a], 1]}"), "a list of them or of pairs"),
        (("Flatten: {}", "Permute: {dims: [a]}"), "a whole number or a list of them"),
        (
            ("Flatten: {}", "TimeDistributed: {layer: Dens}"),
            "Keras has no layer 'Dens' (did you mean 'Dense'?)",
        ),
        (("Flatten: {}", "TimeDistributed: {layer: Dense}"), "Dense needs units"),
    ],
)
def test_a_fault_names_its_place_and_the_nearest_known_name(
    change: tuple[str, str], message: str
) -> None:
    text = TINY.replace(*change)
    assert text != TINY
    assert any(message in fault for fault in faults(text)), faults(text)


def test_what_is_no_architecture_at_all_is_named() -> None:
    assert faults("- a list") == ["net.yaml:1:1: expected a mapping, not a list"]
    assert "'library' is missing" in faults("{}")[0]
    assert len(faults("{}")) == 4


def test_an_unused_input_and_a_network_without_output_are_named() -> None:
    two = "library: keras\narchitecture: a\ninputs: {x: [4], y: [4]}\nlayers:\n"
    assert "input y is not used" in faults(two + "  - a: {ReLU: {}, from: x}\n")[0]
    absent = two.replace("y: [4]", "y: {shape: [4], when: false}") + "  - a: {ReLU: {}, from: y}\n"
    assert any("the network has no output" in fault for fault in faults(absent))


def test_outputs_can_be_named() -> None:
    text = TINY.replace("layers:", "outputs: [out, a]\nlayers:")
    assert "outputs=[t2, t1]" in compiled(text)
    assert "no layer 'b' above" in faults(text.replace("out, a", "out, b"))[0]


def test_all_faults_come_at_once_and_those_of_a_block_once() -> None:
    text = BLOCKS.replace("shared_axes", "shared_axis").replace("when: $wide", "when: $wode")
    found = faults(text)
    assert found == [
        "net.yaml:10:75: blocks.conv.layers[0].y[1].PReLU: PReLU has no argument 'shared_axis' (did you mean 'shared_axes'?)",
        "net.yaml:16:44: blocks.split.layers[1].b[0].when: no parameter $wode (did you mean 'wide'?)",
    ]


def test_a_wrong_value_is_named_where_the_block_is_used() -> None:
    assert faults(BLOCKS.replace("one: {split: [4]}", "one: {split: [none at all]}")) == [
        "net.yaml:19:19: layers[0].one.split[0]: filters of Conv2D must be a positive whole number, not 'none at all'"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("split: [4]", "split: []"), "block split needs n"),
        (("split: [4]", "split: [4, true, 1]"), "block split has 2 parameters, not 3"),
        (("{n: 2, wide: false}", "{m: 2, n: 1}"), "block split has no parameter 'm'"),
        (("  split:", "  Dense:"), "'Dense' already means another thing"),
        (("{conv: [$n], from: x}", "{split: [$n], from: x}"), "contains itself: split > split"),
        (("inputs: [x]", "inputs: [x, y]"), "block split takes 2 inputs, not 1"),
    ],
)
def test_faults_of_blocks(change: tuple[str, str], message: str) -> None:
    text = BLOCKS.replace(*change)
    assert text != BLOCKS
    assert any(message in fault for fault in faults(text)), faults(text)


def test_blocks_that_multiply_without_end_are_refused_quickly() -> None:
    lines = ["library: keras", "architecture: bomb", "inputs: {x: [4]}", "blocks:"]
    lines += ["  b0: {layers: [{y: {ReLU: {}}}]}"]
    for i in range(1, 12):
        steps = ", ".join(f"{{y{k}: {{b{i - 1}: []}}}}" for k in range(10))
        lines.append(f"  b{i}: {{layers: [{steps}]}}")
    lines += ["layers:", "  - out: {b11: []}"]
    assert "expand to more than 10,000 layers" in faults("\n".join(lines))[0]


def _is_safe(found: Compiled) -> bool:
    """Tell whether a module holds nothing but calls of names that may be called, with literals."""
    document, *rest = ast.parse(found.code).body
    assert isinstance(document, ast.Expr)
    imports = [ast.unparse(node) for node in rest if isinstance(node, ast.Import)]
    modules = {name.partition(":")[0] for name in found.objects}
    assert imports[0] == "import keras"
    assert {one.removeprefix("import ") for one in imports[1:]} <= modules
    functions = [node for node in rest if isinstance(node, ast.FunctionDef)]
    assert len(functions) + len(imports) == len(rest)
    things = {
        thing.code for family in shipped().families for thing in shipped().things(family).values()
    }
    known = {
        "keras.Input",
        "keras.Model",
        *things,
        *(one.replace(":", ".") for one in found.objects),
    }
    tops = {"keras", *(module.partition(".")[0] for module in modules)}
    for node in [n for one in functions for statement in one.body for n in ast.walk(statement)]:
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            is_made = isinstance(node.func, ast.Call) or re.fullmatch(
                r"layer_t\d+|model_\d+", called
            )
            assert is_made or called in known, called
        else:
            assert isinstance(
                node,
                (ast.Assign, ast.Return, ast.Name, ast.Attribute, ast.Constant, ast.Tuple, ast.List,
                 ast.keyword, ast.expr_context, ast.UnaryOp, ast.unaryop, ast.Subscript, ast.Expr),
            ), ast.dump(node)  # fmt: skip
            if isinstance(node, ast.Name):
                assert node.id in tops or re.fullmatch(r"(layer_)?t\d+|model_\d+", node.id)
    return True


HOSTILE = st.sampled_from(
    ["__import__('os').system('id')", "'''", '"""', "\\", "\\'", "$x", "{", "a\nb", "#", "\\N{DEL}",
     "Lambda", "keras", "x); import os; (", "1e5", "None", "Constant", "relu", "same", "t0", "é",
     "os:system", "a.b:c", "keras:os", "build:x", "a b:c", "os:system()", "$index", "b", "nest", "a.0"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.floats(0, 9), st.text(max_size=8), HOSTILE
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=6), HOSTILE), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(
        [
            *(
                "value",
                "argument",
                "kind",
                "name",
                "from",
                "input",
                "title",
                "dtype",
                "initializer",
            ),
            *("call", "call value", "repeat", "repeat each", "reuse", "nested", "custom", "block"),
        ]
    ),
    word=st.one_of(st.text(max_size=12), HOSTILE),
    value=VALUES,
)
def test_nothing_that_a_file_says_can_become_code(place: str, word: str, value: object) -> None:
    import json

    step: dict[str, object] = {
        "Conv2D": {"filters": 4, "kernel_size": 3, "kernel_initializer": "Ones"}
    }
    arguments = step["Conv2D"]
    assert isinstance(arguments, dict)
    title, name, inputs = "n", "a", {"x": [8, 8, 3]}
    if place == "value":
        arguments["strides"] = arguments["padding"] = value
    elif place == "argument":
        arguments[word] = value
    elif place == "kind":
        step = {word: value}
    elif place == "from":
        step["from"] = value
    elif place == "initializer":
        arguments["kernel_initializer"] = {word: value}
    elif place == "name":
        name = word
    elif place == "input":
        inputs = {word: [8, 8, 3]}
    elif place == "dtype":
        inputs = {"x": {"shape": [8, 8, 3], "dtype": value}}  # type: ignore[dict-item]
    else:
        title = word if place == "title" else title
    more = {
        "call": [{"b": {"Dropout": {"rate": 0.1}, "call": {word: True}}}],
        "call value": [{"b": {"Dropout": {"rate": 0.1}, "call": {"training": value}}}],
        "repeat": [{"b": {"ReLU": {}, "repeat": value}}],
        "repeat each": [{"b": {"Dropout": {"rate": "$v"}, "repeat": {"v": value, word: value}}}],
        "reuse": [{"b": {"reuse": word}}, {word: {"reuse": "b"}}],
        "nested": [{"b": {"nest": value}}],
        "block": [{"b": {word: value}}],
    }
    block = {
        "nested": True,
        "inputs": {word: [8, 8, 3]},
        "layers": [{"y": {"ReLU": {}}}],
        "parameters": [{word: 1}],
    }
    data = {
        "library": "keras", "architecture": title, "inputs": inputs, "layers": [{name: step}, *more.get(place, [])],
        **({"blocks": {word if place == "block" else "nest": block}} if place in ("nested", "block") else {}),
        **({"custom": [word, value]} if place == "custom" else {}),
    }  # fmt: skip
    try:
        found = KerasLibrary().compile(json.dumps(data), "net.yaml")
    except InvalidInputError:
        return
    assert _is_safe(found)


def test_a_deep_network_is_built_in_spite_of_pythons_limit_of_frames() -> None:
    def deep(layers: int) -> str:
        lines = "".join(f"  - l{i}: {{ReLU: {{}}}}\n" for i in range(layers))
        head = "library: keras\narchitecture: a\ninputs: {x: [4]}\nlayers:\n"
        return KerasLibrary().compile(head + lines, "net.yaml").code

    assert "sys" not in deep(500)
    assert "import sys\n\nimport keras\n" in deep(501)
    assert "\n    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10020))" in deep(501)
