"""Keras builds architectures on trial: one process for all networks of this file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deepforge_hpc.api import arch_check
from deepforge_hpc.api.examination import software
from deepforge_hpc.cli.main import main
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.keras.trial.costs import operations
from deepforge_hpc.libraries.keras.trial.judge import JUDGE
from deepforge_hpc.libraries.networks.trial import cache, costs, run, sealed
from deepforge_hpc.libraries.networks.trial.request import BuildRequest
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import Tried

pytestmark = pytest.mark.training

EXAMPLES = Path(__file__).parents[2] / "examples" / "redshift" / "architectures"
IMAGE, STEPS, VECTOR = "{x: [8, 8, 3]}", "{x: [5, 3]}", "{x: [5]}"


def net(*layers: str, inputs: str = IMAGE, blocks: str = "") -> str:
    head = f"library: keras\narchitecture: net\ninputs: {inputs}\n{blocks}layers:\n"
    return head + "".join(f"  - {layer}\n" for layer in layers)


CONV = "Conv2D: {filters: 4, kernel_size: 3"
REFUSED: dict[str, tuple[str, dict[int, str]]] = {
    # what is wrong: the file, and the words at each line that has an error
    "figure 8 of the paper": (
        net("flat: {Flatten: {}}", f"a: {{{CONV}}}}}"),
        {6: "a: Conv2D wants images (height x width x channels), and flat gives 192"},
    ),
    "window": (
        net(f"a: {{{CONV}}}}}", "b: {Conv2D: {filters: 4, kernel_size: 7}}"),
        {6: "b: the window of Conv2D is larger than what is left: a gives 6 x 6 x 4"},
    ),
    "pool": (
        net("a: {MaxPooling2D: {pool_size: 8}}", "b: {MaxPooling2D: {pool_size: 2}}"),
        {6: "b: the window of MaxPooling2D is larger than what is left: a gives 1 x 1 x 3"},
    ),
    "add": (
        net("a: {Dense: {units: 4}}", "b: {Dense: {units: 5}, from: x}", "c: {Add: {}, from: [a, b]}"),
        {7: "c: Add needs inputs of one shape, and a gives 8 x 8 x 4, b gives 8 x 8 x 5"},
    ),
    "concatenate": (
        net(f"a: {{{CONV}}}}}", "c: {Concatenate: {}, from: [x, a]}"),
        {6: "x gives 8 x 8 x 3, a gives 6 x 6 x 4"},
    ),
    "subtract": (net("b: {Subtract: {}, from: [x, x, x]}"), {5: "exactly 2 inputs"}),
    "dot": (
        net("a: {Dense: {units: 4}}", "b: {Dot: {axes: 1}, from: [x, a]}", inputs=VECTOR),
        {6: "b: the sizes of its inputs do not fit each other: x gives 5, a gives 4"},
    ),
    "reshape": (
        net("a: {Reshape: {target_shape: [7, 7]}}"),
        {5: "a: the shape 7 x 7 does not hold as many numbers as there are: x gives 8 x 8 x 3"},
    ),
    "unknown size": (
        net("a: {Flatten: {}}", "b: {Dense: {units: 3}}", inputs="{x: [null, 3]}"),
        {6: "b: its weights need a size that is not known: a gives ?"},
    ),
    "sequence": (
        net("a: {LSTM: {units: 3}}", "b: {GRU: {units: 3}}", inputs=STEPS),
        {6: "b: GRU wants sequences (steps x features), and a gives 3 (the recurrent layer before"},
    ),
    "rate": (
        net("a: {Dropout: {rate: 1.5}}"),
        {5: "rate of Dropout must be a number from 0 to 1, not 1.5"},
    ),
    "causal": (net(f"a: {{{CONV}, padding: causal}}}}"), {5: "padding"}),
    "rank of the kernel": (
        net("a: {Conv2D: {filters: 4, kernel_size: [3, 3, 3]}}"),
        {5: "kernel_size of Conv2D must be a positive whole number, or a list of 2"},
    ),
    "groups": (
        net("a: {Conv2D: {filters: 4, kernel_size: 3, groups: 2}}"),
        {5: "a: groups must divide the channels: groups is 2, and x gives 8 x 8 x 3"},
    ),
    "strides and dilation": (
        net(f"a: {{{CONV}, strides: 2, dilation_rate: 2}}}}"),
        {5: "not supported in conjunction"},
    ),
    "no value": (
        net("a: {MultiHeadAttention: {num_heads: 2, key_dim: 3}}", inputs=STEPS),
        {5: "called on several inputs, and value is not given (name them in from:"},
    ),
    "output": (
        net("l: {LSTM: {units: 3, return_state: true}}", "d: {Dense: {units: 2}, from: l.7}", inputs=STEPS),
        {6: "d: l gives 3 outputs, 0 to 2"},
    ),
    "permute": (net("a: {Permute: {dims: [2, 1]}}"), {5: "wants 2 dimensions for each example"}),
    "crop": (net("a: {Cropping2D: {cropping: 5}}"), {5: "a: it would cut off all that there is"}),
    "axis of a norm": (net("a: {BatchNormalization: {axis: 7}}"), {5: "a: axis 7 is not there"}),
    "axis of a join": (net("a: {Concatenate: {axis: 9}, from: [x, x]}"), {5: "axis 9 is not there"}),
    "shared axes": (net("a: {PReLU: {shared_axes: [5]}}"), {5: "shared_axes [5] is not there"}),
    "group norm": (net("a: {GroupNormalization: {groups: 2}}"), {5: "multiple of the number"}),
    "both ways": (
        net("b: {Bidirectional: {layer: {Dense: {units: 2}}}}", inputs=STEPS),
        {5: "b: Bidirectional goes through a sequence in both directions, and Dense cannot"},
    ),
    "each step": (
        net("b: {TimeDistributed: {layer: {Dense: {units: 2}}}}", inputs=VECTOR),
        {5: "b: TimeDistributed wants sequences (steps x features), and x gives 5"},
    ),
    "output padding": (
        net("b: {Conv2DTranspose: {filters: 2, kernel_size: 3, strides: 2, output_padding: 3}}"),
        {5: "output_padding must be strictly less than strides"},
    ),
    "stateful": (net("b: {LSTM: {units: 3, stateful: true}}", inputs=STEPS), {5: "must be static"}),
    # Keras builds these, and only a run of them would fail.
    "axis of a softmax": (net("b: {Softmax: {axis: 7}}"), {5: "b: axis 7 is not there"}),
    "attention": (
        net("b: {Attention: {}, from: [x, y]}", inputs="{x: [5, 3], y: [4, 2]}"),
        {5: "b: the sizes of its inputs do not fit each other: x gives 5 x 3, y gives 4 x 2"},
    ),
    "initializer": (
        net("b: {Dense: {units: 3, bias_initializer: orthogonal}}"),
        {5: "b: Dense refuses it: The tensor to initialize must be at least two-dimensional"},
    ),
    "several at once": (
        # What comes after a refused layer is still made, and what does not is still called.
        net(
            "a: {MaxPooling2D: {pool_size: 9}}",
            "b: {Conv2DTranspose: {filters: 2, kernel_size: 3, strides: 2, output_padding: 3}}",
            "c: {Softmax: {axis: 7}, from: x}",
            "out: {Concatenate: {}, from: [b, c]}",
        ),
        {5: "a: the window", 6: "b: Conv2DTranspose refuses it", 7: "c: axis 7"},
    ),
    "in a block": (
        net(
            *(f"u{i}: {{down: [4]}}" for i in range(1, 5)),
            blocks="blocks:\n  down:\n    parameters: [n]\n    layers:\n"
            "      - y: [{Conv2D: {filters: $n, kernel_size: 2}}, {MaxPooling2D: {pool_size: 2}}]\n",
        ),
        # 8 -> 3 -> 1, so that the third use is refused, and told with the block that it came through
        {8: "u3_y_1: the window of Conv2D is larger than what is left: u2_y gives 1 x 1 x 4, in block down of u3"},
    ),
}  # fmt: skip
REFUSED["in a repetition"] = (
    net(
        "s: {small: [4], repeat: 9}",
        "out: {Flatten: {}}",
        inputs="{x: [14, 14, 3]}",
        blocks="blocks:\n  small:\n    parameters: [n]\n    layers:\n"
        "      - y: {Conv2D: {filters: $n, kernel_size: 3}}\n",
    ),
    {
        8: "s_r7_y: the window of Conv2D is larger than what is left: s_r6_y gives 2 x 2 x 4, in block small of s_r7, in repetition 7 of s"
    },
)
STATE = "call: {initial_state: %s}"
INT = "{x: {shape: [5], dtype: int32}}"
INNER = "blocks:\n  inner: {nested: true, inputs: {y: [4]}, layers: [d: {Dense: {units: 2}}]}\n"
REFUSED |= {
    "model within": (
        net("a: {inner: {}}", inputs=VECTOR, blocks=INNER),
        {7: "a: inner wants 4 for its input y, and x gives 5"},
    ),
    "attention on a vector": (
        net(
            "a: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [v, x]}",
            "b: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [x, v]}",
            "c: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [v, v]}",
            inputs="{x: [5, 3], v: [7]}",
        ) + "outputs: [a, b, c]\n",
        {
            5: "a: MultiHeadAttention wants sequences (steps x features), and v gives 7, x gives 5 x 3",
            6: "b: MultiHeadAttention wants sequences (steps x features), and x gives 5 x 3, v gives 7",
            7: "c: MultiHeadAttention wants sequences (steps x features), and v gives 7, v gives 7",
        },
    ),
    "whole numbers": (
        net("a: {Softmax: {}}", "b: {Activation: {activation: gelu}, from: x}", inputs=INT)
        + "outputs: [a, b]\n",
        {
            5: "a: Softmax computes with fractions, and is given whole numbers: x gives 5",
            6: "b: Activation computes with fractions, and is given whole numbers: x gives 5",
        },
    ),
    "states": (
        net(
            f"a: {{LSTM: {{units: 3}}, from: x, {STATE % 'v'}}}",
            f"b: {{LSTM: {{units: 3}}, from: x, {STATE % '[v, v]'}}}",
            inputs="{x: [5, 3], v: [7]}",
        ) + "outputs: [a, b]\n",
        {
            5: "a: initial_state does not give each state that LSTM keeps: x gives 5 x 3, v gives 7",
            6: "b: a state of LSTM has as many numbers as units, 3, and x gives 5 x 3, v gives 7",
        },
    ),
    "other than images": (
        net(
            "a: {Resizing: {height: 4, width: 4}}",
            "b: {RandomFlip: {}, from: x}",
            "c: {ConvLSTM1D: {filters: 2, kernel_size: 1}, from: x}",
            inputs=VECTOR,
        ) + "outputs: [a, b, c]\n",
        {
            5: "a: Resizing wants images (height x width x channels), and x gives 5",
            6: "b: RandomFlip wants images (height x width x channels), and x gives 5",
            7: "c: ConvLSTM1D wants sequences of sequences (steps x length x channels), and x gives 5",
        },
    ),
}  # fmt: skip
FORMS = net(
    "one: {part: [], from: x}",
    "two: {reuse: one, from: y}",
    "a: {Dense: {units: 2}, from: one}",
    "b: {reuse: a, from: two}",
    "out: {Add: {}, from: [a, b]}",
    inputs="{x: [8, 8, 3], y: [8, 8, 3]}",
    blocks="blocks:\n  part:\n    nested: true\n    inputs: {x: [8, 8, 3]}\n    layers:\n"
    "      - c: {Conv2D: {filters: 4, kernel_size: 3}}\n      - d: {GlobalMaxPooling2D: {}}\n",
)
MIXED = net(
    "a: {Conv2D: {filters: 4,\n         kernel_size: 3, padding: causal}, from: x}",
    "b: {Conv2D: {filters: 4, kernel_size: 9}, from: x}",
    "p: {part: [0], from: x}",
    "q: {Dens: {units: 3}, from: x}",
    "r: [{Flatten: {}, from: x}, {Conv2D: {filters: 4, kernel_size: 3}}]",
    "s: {Dense: {units: 2}, from: x}",
    "out: {Concatenate: {}, from: [a, b, p, q, r]}",
    blocks="blocks:\n  part:\n    parameters: [n]\n    layers:\n"
    "      - c: {Conv2D: {filters: $n, kernel_size: 3}}\n",
)
VALID = {
    "forms": FORMS,
    "pasquet": (EXAMPLES / "pasquet.yaml").read_text(),
    "inception": (EXAMPLES / "inception.yaml").read_text(),
    **{name: KerasLibrary().examples()[name] for name in ("vgg16", "resnet50", "unet", "dcgan")},
    "sequences": net(
        "a: {Bidirectional: {layer: {LSTM: {units: 4, return_sequences: true}}}}",
        "b: {TimeDistributed: {layer: {Dense: {units: 6}}}}",
        "c: {MultiHeadAttention: {num_heads: 2, key_dim: 3}, from: [b, a]}",
        "d: {Attention: {}, from: [c, b]}",
        "e: {Conv1D: {filters: 2, kernel_size: 2, padding: causal}}",
        "f: [{Masking: {}}, {GRU: {units: 3}}]",
        inputs=STEPS,
    ),
    "keeps state": net(
        "a: {Bidirectional: {layer: {LSTM: {units: 4, stateful: true, return_sequences: true}}}}",
        "b: {LSTM: {units: 4, stateful: true}}",
        inputs="{x: {shape: [5, 3], batch: 4}}"
    ),
    "sparse": net("a: {Dense: {units: 4}}", inputs="{x: {shape: [5], sparse: true}}"),
    "optional": net(
        "a: {Dense: {units: 4}}", inputs="{x: {shape: [5], optional: true}}"
    ),
    "images": net(
        "a: {SeparableConv2D: {filters: 4, kernel_size: 3}}",
        "b: {DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 2}}",
        "c: {Conv2DTranspose: {filters: 5, kernel_size: 2, strides: 2}}",
        "d: [{GroupNormalization: {groups: 5}}, {UpSampling2D: {}}, {ZeroPadding2D: {}}]",
        "e: [{SpatialDropout2D: {rate: 0.2}}, {GlobalAveragePooling2D: {}}, {RepeatVector: {n: 2}}]",
    ),
    "thousand": net(
        *(f"l{i}: {'{LayerNormalization: {}}' if i % 4 else '{Dense: {units: 64}}'}" for i in range(999)),
        "out: {Dense: {units: 3, activation: softmax}}",
        inputs="{x: [64]}",
    ),
}  # fmt: skip


def setting() -> TrialSetting:
    return TrialSetting(judge=JUDGE, python=sys.executable, job_backend="tensorflow")


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Tried]:
    """Return what Keras says of all networks above, and remember it where `dfh` would."""
    texts = {**VALID, **{name: text for name, (text, _) in REFUSED.items()}}
    graphs = {
        name: KerasLibrary().graph(text, "net.yaml")
        for name, text in texts.items()
        if not KerasLibrary().check(text, "net.yaml")  # the catalogue has not refused it before
    }
    partial, _ = KerasLibrary().partial_graph(MIXED, "net.yaml")
    assert partial is not None
    graphs["mixed"] = partial
    requests = {name: BuildRequest(graph) for name, graph in graphs.items()}
    trials = run.ask([one.network for one in requests.values()], setting())
    assert not isinstance(trials, run.NoTrial), trials
    return {
        name: Tried(
            judge=JUDGE,
            graph=graphs[name],
            request=requests[name],
            trial=trial,
            is_cached=False,
            job_backend="tensorflow",
        )
        for name, trial in zip(graphs, trials, strict=True)
    }


@pytest.mark.parametrize("name", VALID)
def test_a_valid_network_has_no_error_and_no_layer_without_output(
    tried: Mapping[str, Tried], name: str
) -> None:
    assert [str(one.fault) for one in tried[name].refused()] == []
    assert all(built and built.outputs for _, _, built in tried[name].layers)


@pytest.mark.parametrize("name", REFUSED)
def test_every_error_is_at_its_layer_and_line(tried: Mapping[str, Tried], name: str) -> None:
    text, expected = REFUSED[name]
    faults = KerasLibrary().check(text, "net.yaml")
    if not faults:
        faults = tuple(one.fault for one in tried[name].refused())
    found = {fault.line: str(fault) for fault in faults}
    assert found.keys() == expected.keys(), found
    for line, words in expected.items():
        assert words in found[line]
        assert f"net.yaml:{line}:" in found[line]
        assert "\x1b" not in found[line]


def parameters(one: Tried, prefix: str = "") -> int:
    return sum(
        costs.parameters(built)
        for name, _, built in one.layers
        if built and name.split("_")[0] in (prefix, name.split("_")[0] if not prefix else "")
    )


def products(one: Tried, prefix: str = "") -> int:
    found = [
        operations(built) for name, _, built in one.layers if built and name.startswith(prefix)
    ]
    assert None not in found
    return sum(filter(None, found))


def test_the_network_of_pasquet_et_al_has_its_parameters_block_by_block_and_its_work(
    tried: Mapping[str, Tried],
) -> None:
    one = tried["pasquet"]
    blocks = {
        "conv0": 8_128, "I0": 118_432, "I1": 269_288, "I2": 539_064, "I3": 594_008, "I4": 255_376,
        "fc0": 24_412_304, "fc0b": 1_202_312, "out": 197_460,
    }  # fmt: skip
    assert {name: parameters(one, name) for name in blocks} == blocks
    assert parameters(one) == 27_596_372
    assert round(products(one) / 1e6) == 760
    assert round(products(one, "I1_") / 1e6) == 275
    assert round(products(one, "I1_b_y") / 1e6) == 151  # the 5 x 5


def test_costs_are_those_that_papers_count(tried: Mapping[str, Tried]) -> None:
    assert parameters(tried["vgg16"]) == 138_357_544
    assert products(tried["vgg16"]) == 15_470_264_320
    assert 3.8e9 < products(tried["resnet50"]) < 4.2e9

    rows = {name: operations(one) for name, _, one in tried["sequences"].layers if one}
    assert rows["a"] == 2 * 5 * (3 * 16 + 4 * 16)  # two ways, 5 steps, kernel and recurrence
    assert rows["b"] == 5 * 8 * 6
    # queries of 6 and values of 8 features, two heads of 3; 5 x 5 pairs; back to 6
    assert rows["c"] == 5 * (6 * 6 + 8 * 6 + 8 * 6 + 6 * 6) + 25 * 2 * (3 + 3)
    assert rows["d"] == 25 * (6 + 6)
    assert rows["e"] == 5 * 2 * 6 * 2
    rows = {name: operations(one) for name, _, one in tried["images"].layers if one}
    assert rows["a"] == 6 * 6 * (9 * 3 + 3 * 4)
    assert rows["b"] == 4 * 4 * 9 * 8
    assert rows["c"] == 4 * 4 * (2 * 2 * 5 * 8)


def test_what_the_catalogue_refuses_and_what_keras_refuses_come_at_once(
    tried: Mapping[str, Tried],
) -> None:
    faults = KerasLibrary().check(MIXED, "net.yaml")
    one = tried["mixed"]
    found = arch_check.tried_network(one, Path("net.yaml"), batch=1, faults=faults)
    assert [(error.line, bool(error.said)) for error in found.errors] == [
        *((11, False), (12, True), (13, False), (14, False), (15, True), (16, False))
    ]
    assert {layer.name: layer.parameters for layer in found.layers} == {
        **dict.fromkeys(("a", "b", "p_c", "q", "r", "out")), "r_1": 0, "s": 8,
    }  # fmt: skip
    assert found.parameters == arch_check.Total(8, True)


def test_a_shared_layer_or_model_has_its_weights_once(tried: Mapping[str, Tried]) -> None:
    found = arch_check.tried_network(tried["forms"], Path("net.yaml"), batch=1)
    assert found.parameters == arch_check.Total((9 * 3 + 1) * 4 + (4 + 1) * 2, False)
    rows = {layer.name: layer.operations for layer in found.layers}
    assert rows["one.c"] == 36 * 9 * 3 * 4
    assert (rows["a"], rows["b"]) == (8, 8)


def test_a_thousand_layers_are_tried(tried: Mapping[str, Tried]) -> None:
    assert len(tried["thousand"].trial.layers) == 1_001
    assert tried["thousand"].trial.error is None
    assert products(tried["thousand"]) == 250 * 64 * 64 + 64 * 3


def test_the_command_prints_what_is_remembered_and_starts_nothing(
    tried: Mapping[str, Tried],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)
    known = software(sys.executable, JUDGE.packages)
    assert dict(known)["keras"] == tried["pasquet"].trial.version
    for name in ("pasquet", "several at once", "in a block"):
        key = cache.key(tried[name].request.network, setting(), known)
        cache.put(key, tried[name].trial)
    monkeypatch.setattr(run.subprocess, "Popen", None)

    (tmp_path / "net.yaml").write_text(VALID["pasquet"])
    assert main(["arch", "check", "net.yaml", "--batch", "1"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert next(line for line in told if line.startswith("I1_b_y_1 ")).split()[1:] == [
        *("Conv2D", "32", "x", "32", "x", "92", "147,292", "150.7", "M", "368", "KiB")
    ]
    assert told[-4] == "pasquet: 77 layers, 27,596,372 parameters"
    assert told[-3] == "one example: 759.6 M multiply-accumulates"
    assert told[-2] == "a batch of 1: 15.9 MiB of activations, kept for the gradients"
    assert told[-1].endswith("on tensorflow (cached)")
    loss = "{CategoricalCrossentropy: {from_logits: true}}"
    for given, is_wrong in ((loss, True), ("CategoricalCrossentropy", False)):
        assert main(["arch", "check", "net.yaml", "--batch", "1", "--loss", given]) == 0
        assert ("applies softmax itself" in capsys.readouterr().err) == is_wrong

    (tmp_path / "net.yaml").write_text(REFUSED["in a block"][0])
    assert main(["arch", "check", "net.yaml"]) == 3
    table = capsys.readouterr().out
    assert any(row.split()[-4:] == ["refused", "?", "?", "?"] for row in table.splitlines())
    assert "at least" in table
    (tmp_path / "net.yaml").write_text(REFUSED["several at once"][0])
    assert main(["arch", "check", "net.yaml", "-v"]) == 3
    said = capsys.readouterr()
    assert said.out == ""  # nothing was built: the errors alone
    assert "error: net.yaml:5:" in said.err
    assert "    ValueError: " in said.err
    assert main(["arch", "check", "net.yaml", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "dfh/arch-check/2"
    assert [error["line"] for error in document["errors"]] == [5, 6, 7]
    assert "`output_padding` must be strictly less" in document["errors"][1]["said"]
    assert document["layers"][0]["errors"][0]["message"].startswith("a: the window")
    assert document["parameters"] == {"value": 0, "is_least": True}


USER_CODE = """
import keras, os, pathlib, subprocess, time

class Fine(keras.layers.Layer):
    def build(self, shape):
        import pandas, scipy  # Keras was imported without them
        self.w = self.add_weight(shape=(shape[-1], 3))
    def call(self, x):
        return x @ self.w

class Writes(Fine):
    def build(self, shape):
        pathlib.Path("{folder}/written").write_text("x")

class Deletes(Fine):
    def call(self, x):
        os.unlink("{folder}/layers.py")

class Base(Fine):
    def build(self, shape):
        import sqlite3
        sqlite3.connect("{folder}/base").execute("create table t (x)")

class Hierarchy(Fine):
    def build(self, shape):
        import h5py
        h5py.File("{folder}/hierarchy.h5", "w")

class Graph(Fine):
    def call(self, x):
        import tensorflow as tf
        with tf.io.gfile.GFile("{folder}/graph", "w") as file:
            file.write("x")

class Starts(Fine):
    def __init__(self, **words):
        subprocess.run(["touch", "{folder}/started"])

class Sized(Fine):
    def call(self, x):
        return keras.ops.reshape(x, (int(x.shape[0]), 2, -1))

class WantsAnother(Fine):
    def __init__(self, **words):
        raise ImportError("Layer WantsAnother requires JAX.")

class Hangs(Fine):
    def call(self, x):
        print("noise")
        while True:
            time.sleep(0.01)
"""


def test_code_of_the_project_is_contained_and_told(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(USER_CODE.replace("{folder}", str(tmp_path)))
    compiled = ("Base", "Hierarchy", "Graph")
    kinds = ("Fine", "Sized", "WantsAnother", "Writes", "Deletes", "Starts", *compiled, "NoTrial")
    kinds += ("Hangs",)
    empty = {"words": "", "sources": [["x", None]], "merges": False, "keywords": {}}
    user = {**empty, "modules": ["layers"]}
    own = {**empty, "modules": []}
    attention = "keras.layers.MultiHeadAttention"
    alone = [
        {**own, "name": "a", "code": "keras.layers.Dense", "words": "units=3"},
        {**own, "name": "b", "code": "keras.layers.Dense", "shares": "a", "sources": [["a", None]]},
        {**own, "name": "w", "code": attention, "words": "num_heads=2, key_dim=3"},
    ]
    network = {
        "inputs": ["x"],
        "items": [
            {"name": "x", "shape": [4], "dtype": "float32"},
            *alone,
            *({"name": kind, "code": f"layers.{kind}", **user} for kind in kinds),
            {"name": "after", "code": "keras.layers.Flatten", "modules": [], **empty},
        ],
        "outputs": [["Fine", None]],
    }
    folders = (str(tmp_path),)
    one = TrialSetting(
        judge=JUDGE, python=sys.executable, job_backend="jax", folders=folders, layer_s=3
    )
    found = run.ask([network], one)
    assert not isinstance(found, run.NoTrial)
    (trial,) = found
    _, _, again, lonely, fine, sized, other, *rest = trial.layers
    writes, deletes, starts, *others, missing, hangs, after = rest
    assert trial.guard == ("kernel" if sealed._version() > 0 else "limits")
    for layer in others:  # no hook of Python sees them
        assert layer.error is not None
        call = KerasLibrary().graph(net("a: {'layers:Own': {}}"), "net.yaml").calls[0]
        told = JUDGE.said(call, layer, layer.error).message
        assert layer.error.stage == "call", layer.error
        assert told.startswith("its code was refused a file, since a check writes nothing: ")
    # Keras itself refuses these, whatever the backend of the job is.
    for layer, words in ((again, "axis -1 of input shape"), (lonely, "argument: 'value'")):
        assert layer.error is not None
        assert words in layer.error.text
        assert layer.error.by == "framework"
    assert fine.error is None
    assert fine.outputs == ((None, 3),)
    # This backend is not the job's: tried again with numbers in place of unknown sizes.
    assert sized.error is None
    assert (sized.retried, sized.outputs) == (True, ((None, 2, 2),))
    assert other.error is not None
    assert (other.error.stage, other.error.by) == ("make", "backend")
    for layer, what in ((writes, "written"), (deletes, "os.remove"), (starts, "subprocess.Popen")):
        assert layer.error is not None
        assert "a check may not do this: " in layer.error.text
        assert what in layer.error.text
        assert what in layer.denied[0]
    assert missing.error is not None
    assert hangs.error is not None
    assert hangs.error.stage == "time"
    assert after.outputs == ((None, 4),)  # asked again, without what hangs
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["layers.py"]
