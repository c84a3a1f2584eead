"""What an architecture file can say beside layers and blocks: repeat, reuse, call, nested, uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.graph import Graph, Tensor

HEAD = "library: keras\narchitecture: a\ninputs: {x: [8, 8, 3]}\n"
BLOCKS = """\
blocks:
  residual:
    parameters: [filters]
    layers:
      - a: [{Conv2D: {filters: $filters, kernel_size: 3, padding: same}, from: x}, {ReLU: {}}]
      - out: {Add: {}, from: [a, x]}
  split:
    layers:
      - low: {Conv2D: {filters: 2, kernel_size: 3}, from: x}
      - high: {Conv2D: {filters: 4, kernel_size: 3}, from: x}
    outputs: [low, high]
"""


class Folder:
    """Files by name, as a project has them."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def read(self, name: str, beside: str) -> tuple[str, bytes]:
        if name not in self.files:
            raise ProjectError(f"{name!r} cannot be read", f"{beside} names it")
        return name, self.files[name].encode()


def graph(layers: str, head: str = HEAD + BLOCKS, **files: str) -> Graph:
    folder = Folder({name.replace("_", "."): text for name, text in files.items()})
    return KerasLibrary().graph(f"{head}layers:\n{layers}", "net.yaml", folder)


def faults(layers: str, head: str = HEAD + BLOCKS, **files: str) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        graph(layers, head, **files)
    return [str(fault) for fault in caught.value.faults]


def names(found: Graph) -> list[str]:
    return [call.name for call in found.calls]


def test_a_step_is_repeated_in_a_chain_and_knows_its_turn() -> None:
    found = graph(
        "  - s: {residual: [3], repeat: 3}\n  - d: {Dropout: {rate: 0.5, seed: $index}, repeat: 2}\n"
    )
    assert names(found)[::3] == ["s_r1_a_1", "s_r2_a_1", "s_r3_a_1", "d_r1"]
    third = found.calls[8]
    assert (third.name, third.sources) == ("s_r3_out", (Tensor("s_r3_a"), Tensor("s_r2_out")))
    assert [str(one) for one in third.passages] == ["repetition 3 of s", "block residual of s_r3"]
    assert third.place.line == 9
    assert [call.words for call in found.calls[9:]] == [
        ("rate=0.5", "seed=1"),
        ("rate=0.5", "seed=2"),
    ]


def test_repetitions_differ_by_lists() -> None:
    found = graph(
        "  - c: {Conv2D: {filters: $f, kernel_size: $k}, repeat: {f: [4, 8], k: [3, 1]}}\n"
    )
    assert [call.words for call in found.calls] == [
        ("filters=4", "kernel_size=3"), ("filters=8", "kernel_size=1"),
    ]  # fmt: skip


def test_no_repetition_passes_its_input_on_and_one_that_is_left_out_too() -> None:
    found = graph("  - r: {ReLU: {}, repeat: 0}\n  - f: {Flatten: {}}\n")
    assert found.calls[0].sources == (Tensor("x"),)
    found = graph(
        "  - r: {ReLU: {}, repeat: {on: [true, false]}, when: $on}\n  - f: {Flatten: {}}\n"
    )
    assert names(found) == ["r_r1", "f"]


def test_a_layer_of_several_inputs_is_chained_by_its_first() -> None:
    head = HEAD.replace("x: [8, 8, 3]", "x: [8], m: [8]")
    found = graph("  - a: {Add: {}, from: [x, m], repeat: 2}\n", head)
    assert found.calls[1].sources == (Tensor("a_r1"), Tensor("m"))


def test_a_line_is_used_again_with_its_weights() -> None:
    head = (HEAD + BLOCKS).replace("x: [8, 8, 3]", "x: [8, 8, 3], y: [8, 8, 3]")
    found = graph(
        "  - stem: [{Conv2D: {filters: 3, kernel_size: 3, padding: same}, from: x}, {residual: [3]}]\n"
        "  - other: {reuse: stem, from: y}\n"
        "  - out: {Concatenate: {}, from: [stem, other, stem]}\n",
        head,
    )
    assert names(found)[4:8] == ["other_1", "other_a_1", "other_a", "other_out"]
    assert [call.shared for call in found.calls[4:8]] == names(found)[:4]
    assert found.calls[7].sources == (Tensor("other_a"), Tensor("other_1"))
    assert found.calls[8].sources == (Tensor("stem_out"), Tensor("other_out"), Tensor("stem_out"))
    text = (
        "  - s: {ReLU: {}, from: x}\n  - t: {reuse: s, from: y}\n  - u: {reuse: t, from: t}\n"
        "  - out: {Add: {}, from: [s, u]}\n"
    )
    source = KerasLibrary().compile(f"{head}layers:\n{text}", "net.yaml").code
    assert source.count("keras.layers.ReLU(name='s')") == 1
    assert source.count("= layer_t2(") == 3


def test_one_of_several_outputs_is_named() -> None:
    found = graph(
        "  - s: {split: []}\n  - a: {Flatten: {}, from: s.high}\n  - b: {Flatten: {}, from: s.0}\n"
        "  - out: {Concatenate: {}, from: [a, b]}\n"
    )
    assert found.calls[2].sources == (Tensor("s_high"),)
    assert found.calls[3].sources == (Tensor("s_low"),)
    head = HEAD.replace("[8, 8, 3]", "[5, 3]")
    found = graph(
        "  - l: {LSTM: {units: 2, return_state: true}}\n"
        "  - m: {LSTM: {units: 2}, from: x, call: {initial_state: [l.1, l.2], training: true}}\n", head)  # fmt: skip
    assert found.calls[1].keywords == {
        "initial_state": (Tensor("l", 1), Tensor("l", 2)), "training": True,
    }  # fmt: skip
    assert found.calls[1].reads == (Tensor("x"), Tensor("l", 1), Tensor("l", 2))


NESTED = """\
blocks:
  encoder:
    nested: true
    parameters: [n]
    inputs: {image: {shape: [$n, $n, 3], dtype: float16}}
    layers:
      - flat: {Flatten: {}}
      - code: {Dense: {units: $n}}
    outputs: [flat, code]
"""


def test_a_nested_block_is_a_model_of_its_own() -> None:
    found = graph(
        "  - e: {encoder: [8], from: x}\n  - f: {reuse: e, from: x}\n"
        "  - out: {Add: {}, from: [e.code, f.1]}\n",
        HEAD + NESTED,
    )
    model = found.calls[0].model
    assert model is not None
    assert (model.name, names(model), model.inputs[0].shape) == ("e", ["flat", "code"], (8, 8, 3))
    assert str(model.calls[0].passages[0]) == "block encoder of e"
    assert (found.calls[1].shared, found.calls[1].model) == ("e", model)
    assert found.calls[2].sources == (Tensor("e", 1), Tensor("f", 1))


OTHER = "library: keras\narchitecture: other\nparameters: [n]\ninputs: {y: [8, 8, 3], z: {shape: [1], when: false}}\n"
USED = "defaults: {Dense: {use_bias: false}}\nlayers: [{flat: {Flatten: {}, from: y}}, {code: {Dense: {units: $n}}}]\n"


@pytest.mark.parametrize("nested", ["false", "true"])
def test_a_block_comes_from_another_file(nested: str) -> None:
    head = f"{HEAD}blocks: {{o: {{uses: o.yaml, nested: {nested}}}}}\ndefaults: {{Dense: {{trainable: false}}}}\n"
    found = graph("  - a: {o: [4]}\n  - d: {Dense: {units: 2}}\n", head, o_yaml=OTHER + USED)
    inner = found.calls[0].model if nested == "true" else found
    assert inner is not None
    dense = inner.calls[1]
    assert (dense.words, dense.place.file, dense.place.line) == (
        ("units=4", "use_bias=False"),
        "o.yaml",
        6,
    )
    assert found.calls[-1].words == ("units=2", "trainable=False")
    assert found.files == ("net.yaml", "o.yaml")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("  - a: {ReLU: {}, repeat: 1000000}\n", "layers[0].a.repeat: 1,000,000 repetitions; a network has at most 10,000 layers"),
        ("  - a: {residual: [3], repeat: 9999}\n", "expand to more than 10,000 layers"),
        ("  - a: {ReLU: {}, repeat: {unit: [3, 4]}}\n", "layers[0].a.repeat: ReLU does not use unit (write $unit where it is meant, or leave it out)"),
        ("  - a: {ReLU: {}}\n  - b: {ReLU: {}, when: false}\n  - c: {ReLU: {}}\n", "layers[1].b.when: the network has no output: `when` leaves out b"),
        ("  - a: {ReLU: {}, repeat: {n: [1], m: [1, 2]}}\n", "the lists of repeat differ in length: n has 1, m has 2"),
        ("  - a: {ReLU: {}, repeat: {n: 3}}\n", "repeat needs a list of what n is, not 3"),
        ("  - a: {ReLU: {}, repeat: many}\n", "repeat must be a whole number, or lists such as {filters: [64, 128]}, not 'many'"),
        ("  - a: {Dropout: {rate: 0.1, seed: $index}}\n", "no parameter $index (only a step with `repeat` has an index)"),
        ("  - a: {residual: [x], repeat: 2}\n", "layers[0].a.residual[0]: filters of Conv2D must be a positive"),
        ("  - a: {reuse: b}\n", "there is no layer 'b' to use again"),
        ("  - a: {ReLU: {}}\n  - b: {reuse: a, from: [a, x]}\n", "a takes 1 inputs, not 2"),
        ("  - a: {split: []}\n  - b: {ReLU: {}}\n", "the layer above has several outputs"),
        ("  - a: {split: []}\n  - b: {ReLU: {}, from: a}\n", "a has several outputs"),
        ("  - a: {split: []}\n  - b: {ReLU: {}, from: a.hi}\n", "a has no output 'hi' (it has low, high)"),
        ("  - a: {ReLU: {}}\n  - b: {ReLU: {}, from: a.hi}\n", "a has no output 'hi' (it gives one tensor)"),
        ("  - a: {ReLU: {}}\n  - b: {ReLU: {}, from: a.0}\n", "a has no output '0' (it gives one tensor)"),
        ("  - b: {ReLU: {}, from: x.0}\n", "x has no output '0' (it gives one tensor)"),
        ("  - a: {'own:Mine': {}}\n  - b: {ReLU: {}, from: a.hi}\n", "a has no output 'hi' (those of a layer are numbered: write .0)"),
        ("  - a: {ReLU: {}, call: {mask: x}}\n", "the call of ReLU has no argument 'mask'"),
        ("  - a: {LSTM: {units: 1}, call: {mark: x}}\n", "the call of LSTM has no argument 'mark' (did you mean 'mask'?)"),
        ("  - a: {LSTM: {units: 1}, call: {mask: z}}\n", "no layer 'z' above this one"),
        ("  - a: {LSTM: {units: 1}, call: {mask: {a: 1}}}\n", "expected a layer, a list of layers, or a number, not a mapping"),
        ("  - a: {LSTM: {units: 1}, call: 1}\n", "call: expected a mapping such as {mask: LAYER}, not 1"),
        ("  - a: {split: [], call: {training: true}}\n", "the block split is no layer to be called so"),
        ("  - a: {TFSMLayer: {filepath: x}}\n", "TFSMLayer cannot be used here: it runs whatever its file holds"),
        ("  - a: {InputLayer: {}}\n", "InputLayer cannot be used here: inputs stand under `inputs`"),
        ("  - a: {layers/own.py:Mine: {}}\n", "names a file, and modules are wanted (write layers.own:Mine)"),
        ("  - a: {'own:Mine': {'1a': 2}}\n", "'1a' is no name of an argument"),
        ("  - a: {'own:Mine': {b: {c: 2}}}\n", "b of own:Mine must be a number, a text, or a list of them"),
        ("  - a: {Lambda: {function: 'lambda x: x'}}\n", "function of Lambda must be a function, as MODULE:Name of the project"),
        ("  - a: {Dropout: {rate: 1.5}}\n", "rate of Dropout must be a number from 0 to 1, not 1.5"),
        ("  - a: {Conv2D: {filters: 2, kernel_size: [3, 3, 3]}}\n", "kernel_size of Conv2D must be a positive whole number, or a list of 2"),
    ],
)  # fmt: skip
def test_a_fault_of_the_new_forms_is_one_clear_message(layers: str, message: str) -> None:
    found = faults(layers)
    assert sum(message in fault for fault in found) == 1, found


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{uses: p.yaml}", "'p.yaml' cannot be read (net.yaml names it)"),
        ("{uses: o.yaml, layers: []}", "layers of the block come from o.yaml"),
        ("{nested: true, layers: [{a: {ReLU: {}}}]}", "the inputs of a nested block need shapes (write inputs: "),
        ("{description: empty}", "'layers' is missing"),
        ("{nested: true, inputs: {x: [a]}, layers: [{a: {ReLU: {}}}]}", "expected a positive whole number or null"),
        ("{inputs: {x: [$n]}, parameters: [{n: -1}], nested: true, layers: [{a: {ReLU: {}}}]}", "a size must be a positive whole number or null, not -1"),
        ("{parameters: [{n: 1}, {m: 2}], layers: [{a: {Dense: {units: $m}}}]}", "blocks.b.parameters[0]: nothing uses the parameter n"),
        ("{parameters: [{n: 1}], layers: [{a: {ReLU: {}, when: $n}}]}", "net.yaml:5:24: blocks.b.parameters[0].n: when must be true or false, not 1"),
        ("{output: a, outputs: [a], layers: [{a: {ReLU: {}}}]}", "output and outputs exclude each other"),
    ],
)  # fmt: skip
def test_faults_of_blocks_that_are_nested_or_elsewhere(block: str, message: str) -> None:
    found = faults("  - a: {b: []}\n", f"{HEAD}blocks:\n  b: {block}\n", o_yaml=OTHER + USED)
    assert any(message in fault for fault in found), found


def test_a_parameter_of_the_file_has_its_place_and_one_without_a_value_one_fault() -> None:
    head = f"{HEAD}parameters: [n, {{m: -1}}]\n"
    layers = "  - a: {Dense: {units: $n}}\n  - b: {Dense: {units: $m}}\n"
    assert faults(layers, head) == [
        "net.yaml:4:13: parameters: parameter n of the architecture needs a value",
        "net.yaml:4:21: parameters[1].m: units of Dense must be a positive whole number, not -1",
    ]


def test_files_that_use_each_other_in_a_circle_are_refused_where_it_closes() -> None:
    other = (
        OTHER.replace("[n]", "[]")
        + "blocks: {back: {uses: net.yaml}}\nlayers: [{a: {back: [], from: y}}]\n"
    )
    head = f"{HEAD}blocks: {{o: {{uses: o.yaml}}}}\n"
    text = f"{head}layers: [{{a: {{o: []}}}}]\n"
    folder = Folder({"o.yaml": other, "net.yaml": text})
    with pytest.raises(InvalidInputError) as caught:
        KerasLibrary().graph(text, "net.yaml", folder)
    assert [str(fault) for fault in caught.value.faults] == [
        "o.yaml:5:23: blocks.back.uses: the file uses itself: net.yaml > o.yaml > net.yaml (break the circle)"
    ]


def test_each_fault_stands_at_its_own_file() -> None:
    head = f"{HEAD}blocks: {{o: {{uses: o.yaml}}}}\n"
    found = faults("  - a: {o: [many]}\n", head, o_yaml=OTHER + USED.replace("Flatten", "Flaten"))
    assert found == [
        "net.yaml:6:13: layers[0].a.o[0]: units of Dense must be a positive whole number, not 'many'",
        "o.yaml:6:18: layers[0].flat: no Keras layer or block 'Flaten' (did you mean 'Flatten'?)",
    ]
    assert faults("  - a: {o: [1]}\n", head, o_yaml="library: [")[0].startswith(
        "o.yaml:2:1: not valid YAML"
    )


def test_layers_and_functions_of_the_project_are_named_by_module() -> None:
    found = graph(
        "  - a: {'parts.own:Mine': {ratio: 4, kernel_initializer: he_normal}}\n"
        "  - b: {Conv2D: {filters: 2, kernel_size: 1, activation: 'parts.own:act', kernel_initializer: {'parts.more:Init': {gain: 2}}}}\n",
        HEAD + "custom: ['losses:Mine']\n",
    )
    assert found.calls[0].kind == "parts.own:Mine"
    assert set(found.objects) == {
        "parts.own:Mine",
        "parts.own:act",
        "parts.more:Init",
        "losses:Mine",
    }
    source = (
        KerasLibrary()
        .compile(HEAD + "layers:\n  - a: {'parts.own:Mine': {ratio: 4}}\n", "net.yaml")
        .code
    )
    assert "\nimport keras\nimport parts.own\n" in source
    assert "parts.own.Mine(ratio=4, name='a')(t0)" in source


def test_the_network_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs/pipeline-file.md").read_text()
    (text,) = [
        part
        for part in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        if "architecture:" in part
    ]
    found = KerasLibrary().graph(text, "galaxy.yaml")
    assert names(found)[2:5] == ["body_r1_y_1", "body_r1_y", "body_r2_y_1"]
