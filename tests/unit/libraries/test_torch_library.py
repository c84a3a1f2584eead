"""The torch library: files become the source of a class; PyTorch itself is not needed for that."""

from __future__ import annotations

import ast
import json
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from deepforge_hpc.api.schemas import architecture_schema
from deepforge_hpc.cli.main import main
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.networks.catalogue import Thing
from deepforge_hpc.libraries.networks.compare import compare
from deepforge_hpc.libraries.networks.graph import Tensor
from deepforge_hpc.libraries.networks.kindred import KERAS_AND_TORCH
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Objection
from deepforge_hpc.libraries.torch.catalogue import dialect, shipped
from deepforge_hpc.libraries.torch.library import TorchLibrary
from deepforge_hpc.libraries.torch.trial.judge import JUDGE
from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.library import Library, Use
from deepforge_hpc.testing.library import LibraryContract

HEAD = "library: torch\narchitecture: net\ninputs: {x: [8]}\nlayers:\n"
LINEAR = "{Linear: {in_features: 8, out_features: 2}}"


def compiled(*layers: str, head: str = HEAD) -> str:
    return TorchLibrary().compile(head + "".join(f"  - {one}\n" for one in layers), "net.yaml").code


def faults(*layers: str, head: str = HEAD) -> list[str]:
    text = head + "".join(f"  - {one}\n" for one in layers)
    return [str(fault) for fault in TorchLibrary().check(text, "net.yaml")]


class TestTorch(LibraryContract):
    framework = "torch"
    good = f"{HEAD}  - y: {LINEAR}\n"
    bad = "library: torch\narchitecture: a b\ninputs: {x: [0]}\nlayers:\n  - y: {ReLU: {}}\n"

    @pytest.fixture
    def library(self) -> Library:
        return TorchLibrary()


def test_torch_is_found_by_its_name() -> None:
    assert isinstance(registry.create("libraries", "torch"), TorchLibrary)
    assert len(shipped().things("layer")) > 140
    found = TorchLibrary().catalogue()
    assert found["layer"]["Linear"].required == ("in_features", "out_features")
    assert found["optimizer"]["AdamW"].options["weight_decay"].default == 0.01
    assert "cross entropy" in found["loss"]["CrossEntropyLoss"].text
    assert "StepLR" in found["schedule"]


VALUES_OF_SORTS = {
    "count": 2, "integer": 2, "number": 0.5, "sizes": 2, "axes": 1, "any": 2, "margins": 1,
    "layer": "{TransformerEncoderLayer: {d_model: 4, nhead: 2}}",
}  # fmt: skip


def required(thing: Thing) -> str:
    sorts = {name: thing.sorts[name].partition(":")[0] for name in thing.required}
    return ", ".join(f"{name}: {VALUES_OF_SORTS[sort]}" for name, sort in sorts.items())


def test_every_layer_can_be_named_but_those_that_say_why_not() -> None:
    for name, thing in shipped().things("layer").items():
        two = "" if thing.takes == "one" else ", from: [x, x]"
        line = f"out: {{{name}: {{{required(thing)}}}{two}}}"
        if name in dialect().refused:
            assert faults(line) == [
                f"net.yaml:5:11: layers[0].out: {name} cannot be used here: {dialect().refused[name]}"
            ]
        else:
            ast.parse(compiled(line))


def test_the_class_reads_as_one_writes_it() -> None:
    source = compiled(
        "a: [{Linear: {in_features: 8, out_features: 8}}, {ReLU: {}}]",
        "b: [{add: {}, from: [a, x]}, {Dropout: {}}]",
        "out: {Linear: {in_features: 8, out_features: 2, bias: false}}",
    )
    assert (
        source
        == '''\
"""The network net, made from its architecture file; edit that one."""

import torch
from torch import nn


class Net(nn.Module):
    """The network net."""

    inputs = {'x': torch.float32}

    def __init__(self):
        super().__init__()
        self.a_1 = nn.Linear(in_features=8, out_features=8)
        self.a = nn.ReLU()
        self.b = nn.Dropout()
        self.out = nn.Linear(in_features=8, out_features=2, bias=False)

    def forward(self, x):
        h = self.a_1(x)
        h = self.a(h)
        h = h + x
        h = self.b(h)
        h = self.out(h)
        return h


def build():
    """Return the network net, its weights drawn anew."""
    return Net()
'''
    )


@pytest.mark.parametrize("name", ["train", "forward", "class", "self", "torch", "inputs", "half"])
def test_names_that_python_or_a_module_has_already_are_changed(name: str) -> None:
    source = compiled(f"{name}: {LINEAR}", f"out: {{add: {{}}, from: [{name}, {name}]}}")
    assert f"{name}_ = nn.Linear(" in source or name in {"self", "torch"}
    assert "None = " not in source
    ast.parse(source)


def test_a_network_may_have_the_name_of_a_constant() -> None:
    source = compiled(f"y: {LINEAR}", head=HEAD.replace("net", "none"))
    assert "class None_(nn.Module)" in source


def test_the_first_output_of_a_layer_with_several_is_meant_unless_a_number_says_which() -> None:
    head = HEAD.replace("[8]", "[6, 8]")
    layers = (
        "lstm: {LSTM: {input_size: 8, hidden_size: 4, batch_first: true}}",
        "again: {GRU: {input_size: 4, hidden_size: 4, batch_first: true}}",
        "att: {MultiheadAttention: {embed_dim: 4, num_heads: 1}, from: [again, again, again]}",
        "weights: {mean: {dim: 1}, from: att.1}",
        "out: {add: {}, from: [att, again]}",
    )
    graph = TorchLibrary().graph(
        head + "".join(f"  - {x}\n" for x in layers) + "outputs: [out, weights]\n", "a"
    )
    calls = {call.name: call.sources for call in graph.calls}
    assert calls["again"] == (Tensor("lstm", 0),)
    assert calls["weights"] == (Tensor("att", 1),)
    assert calls["out"] == (Tensor("att", 0), Tensor("again", 0))
    source = TorchLibrary().emit(graph)
    assert "self.lstm(x)[0]" in source
    assert "att = self.att(again, again, again)\n" in source
    assert "att[0] + again" in source


def test_code_of_the_project_is_imported_and_made_known_to_torch() -> None:
    text = f"{HEAD}  - a: {{'parts.own:Gate': {{ratio: 2}}}}\n  - y: {LINEAR}\n"
    found = TorchLibrary().compile(text, "net.yaml")
    assert "import parts.own\n" in found.code
    assert "parts.own.Gate(ratio=2)" in found.code
    assert set(found.objects) == {"parts.own:Gate"}
    started = TorchLibrary().start_up(tuple(found.objects))
    assert "torch.serialization.add_safe_globals" in started
    assert "keras" not in started


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("y: {Dense: {units: 2}}", "no PyTorch layer or block 'Dense'"),
        ("y: {Conv2D: {}}", "no PyTorch layer or block 'Conv2D' (did you mean 'Conv2d'?)"),
        ("y: {Linear: {in_features: 8}}", "Linear needs out_features"),
        ("y: {Linear: {units: 2}}", "Linear has no argument 'units'"),
        ("y: {Dropout: {p: 1.5}}", "p of Dropout must be a number from 0 to 1, not 1.5"),
        ("y: {cat: {}, from: [x, x]}", "cat needs dim"),
        ("y: {LazyLinear: {out_features: 2}}", "LazyLinear cannot be used here"),
        ("y: {Sequential: {}}", "layers and blocks of the file do what it does"),
        ("y: {'torch.os:system': {}}", "no PyTorch layer or block"),
        ("y: {Conv2d: {in_channels: 1, out_channels: 1, kernel_size: 3, padding: full}}",
         "padding of Conv2d must be same, valid, a whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_without_torch(line: str, said: str) -> None:
    assert any(said in fault for fault in faults(line)), faults(line)


def test_all_faults_of_a_file_come_at_once() -> None:
    text = "library: keras\narchitecture: a\ninputs: {x: {shape: [4], dtype: float8}}\nlayers:\n"
    found = TorchLibrary().check(f"{text}  - y: {{Linea: {{}}}}\n", "a.yaml")
    assert [fault.line for fault in found][:2] == [1, 3]


def test_the_schema_describes_both_libraries() -> None:
    validator = jsonschema.Draft7Validator(architecture_schema())
    for name in ("keras", "torch"):
        library = registry.create("libraries", name)
        for text in library.examples().values():
            assert validator.is_valid(load(text, "a.yaml").value()), name
    own = load(f"{HEAD}  - y: {{ReLU: {{inplace: true}}}}\n", "a.yaml").value()
    assert validator.is_valid(own)
    assert not validator.is_valid({**own, "library": "keras"})


def built(kind: str, inputs: tuple[tuple[int | None, ...], ...], text: str) -> BuiltLayer:
    return BuiltLayer(kind=kind, inputs=inputs, error=Objection("call", "RuntimeError", text))


@pytest.mark.parametrize(
    ("line", "shape", "text", "expected", "hint"),
    [
        (f"y: {LINEAR}", (None, 5), "a and b must have same reduction dim, but got [2, 5] X [8, 2].",
         "Linear was made for 8 features, and x gives 5", "write in_features: 5"),
        ("y: {Conv2d: {in_channels: 3, out_channels: 2, kernel_size: 3}}", (None, 28, 28, 3),
         "Given groups=1, weight of size [2, 3, 3, 3], expected input[2, 28, 28, 3] to have 3 channels, but got 28",
         "Conv2d was made for 3 channels, and x gives 28 x 28 x 3", "channels come first"),
        ("y: {MaxPool2d: {kernel_size: 2}}", (None, 8, 1, 1), "Output size is too small",
         "the window of MaxPool2d is larger than what is left: x gives 8 x 1 x 1", "smaller"),
        ("y: {ReLU: {}}", (None, 8), "something else.", "ReLU refuses it: something else", ""),
    ],
)  # fmt: skip
def test_objections_are_said_in_plain_words(
    line: str, shape: tuple[int | None, ...], text: str, expected: str, hint: str
) -> None:
    call = TorchLibrary().graph(f"{HEAD}  - {line}\n", "net.yaml").calls[0]
    layer = built(call.kind, (shape,), text)
    assert layer.error is not None
    advice = JUDGE.said(call, layer, layer.error)
    assert advice.message == expected
    assert hint in advice.hint


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        (["y: {Softmax: {}}"], ["batch"]),
        (["y: {Softmax: {dim: 1}}"], []),
        (["y: {mean: {dim: 0}}"], ["batch"]),
        (["y: {cat: {dim: 0}, from: [x, x]}"], ["batch"]),
        (["y: {LSTM: {input_size: 8, hidden_size: 2}}"], ["batch"]),
        (["y: {LSTM: {input_size: 8, hidden_size: 2, batch_first: true}}"], []),
        (["y: {TransformerEncoderLayer: {d_model: 8, nhead: 2}}"], ["batch"]),
    ],
)
def test_what_learns_from_the_wrong_dimension_is_a_warning(
    layers: list[str], kinds: list[str]
) -> None:
    graph = TorchLibrary().graph(HEAD + "".join(f"  - {one}\n" for one in layers), "net.yaml")
    assert [found.kind for found in JUDGE.findings(graph, {})] == kinds


def test_shapes_tell_of_a_softmax_over_one_class_and_of_what_has_no_channels() -> None:
    graph = TorchLibrary().graph(
        f"{HEAD}  - a: {{Softmax: {{dim: -1}}}}\n  - y: {{MaxPool2d: {{kernel_size: 2}}}}\n", "n"
    )
    outcome = {
        "a": BuiltLayer(kind="Softmax", outputs=((None, 8, 1),)),
        "y": BuiltLayer(kind="MaxPool2d", inputs=((None, 8, 8),), outputs=((None, 4, 4),)),
    }
    assert [found.kind for found in JUDGE.findings(graph, outcome)] == ["one_class", "batch"]


@pytest.mark.parametrize(
    ("last", "loss", "said"),
    [
        ("{Softmax: {dim: 1}}", "CrossEntropyLoss", "leave out Softmax"),
        ("{LogSoftmax: {dim: 1}}", {"CrossEntropyLoss": {"label_smoothing": 0.1}}, "leave out LogSoftmax"),
        ("{Sigmoid: {}}", "BCEWithLogitsLoss", "leave out Sigmoid"),
        ("{ReLU: {}}", "BCELoss", "add Sigmoid"),
        ("{ReLU: {}}", "NLLLoss", "add LogSoftmax"),
        ("{Softmax: {dim: 1}}", "MSELoss", "CrossEntropyLoss without the Softmax"),
        ("{Softmax: {dim: 1}}", "NLLLoss", "write LogSoftmax for Softmax, or use CrossEntropyLoss"),
        ("{Softmax: {dim: 1}}", "KLDivLoss", "write LogSoftmax for Softmax"),
        ("{Sigmoid: {}}", "BCELoss", ""),
        ("{ReLU: {}}", "CrossEntropyLoss", ""),
        ("{ReLU: {}}", None, ""),
        ("{ReLU: {}}", {"y": "BCELoss", "z": "MSELoss"}, "add Sigmoid"),
        ("{ReLU: {}}", {"y": "MSELoss", "z": "BCELoss"}, ""),
    ],
)  # fmt: skip
def test_an_output_that_does_not_fit_the_loss_is_a_warning(
    last: str, loss: object, said: str
) -> None:
    graph = TorchLibrary().graph(f"{HEAD}  - y: {last}\n", "net.yaml")
    hints = [found.said.hint for found in JUDGE.of_loss(graph, {}, loss)]
    assert [bool(said)] * len(hints) == [said in hint for hint in hints]
    assert bool(hints) == bool(said)


NESTED = """\
library: torch
architecture: net
inputs: {x: [8]}
blocks:
  head:
    nested: true
    inputs: {y: [8]}
    layers:
      - d: {Linear: {in_features: 8, out_features: 1}}
      - s: {Softmax: {dim: 1}}
layers:
  - h: {head: []}
  - f: {Flatten: {}}
  - y: {Dropout: {p: 0.5}}
"""


def test_what_gives_an_output_its_meaning_is_found_behind_dropout_and_in_a_model() -> None:
    graph = TorchLibrary().graph(NESTED, "net.yaml")
    (loss,) = JUDGE.of_loss(graph, {}, "CrossEntropyLoss")
    assert loss.said.hint == "leave out Softmax"
    outcome = {name: BuiltLayer(outputs=((None, 1),)) for name in ("h", "h.d", "h.s", "f", "y")}
    assert [found.kind for found in JUDGE.findings(graph, outcome)] == ["one_class"]


def test_labels_that_data_record_are_compared_with_the_output_without_torch() -> None:
    given = {"loss": "BCEWithLogitsLoss", "target": "label"}
    used = Use(given, "own", "jobs", lambda *_: (), classes={"label": 9}.get)
    found = TorchLibrary().examine(f"{HEAD}  - y: {LINEAR}\n", "net.yaml", used).notices
    assert "the data set label records 9 classes, and this output has 2" in found[0].text


def test_two_networks_are_compared_with_torchs_own_defaults() -> None:
    library = TorchLibrary()
    one = library.graph(f"{HEAD}  - y: {LINEAR}\n", "a")
    two = library.graph(f"{HEAD}  - y: {LINEAR.replace('2}}', '2, bias: true}}')}\n", "b")
    assert compare(one, two, dialect()) == ()


def test_the_commands_take_such_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepforge_hpc.api.arch_check.software", lambda *_: ())
    file = tmp_path / "net.yaml"

    def run(*words: object, code: int = 0) -> str:
        assert main(["arch", *map(str, words)]) == code
        said = capsys.readouterr()
        return said.out + said.err

    assert "resnet18" in run("new", "--library", "torch")
    run("new", "--library", "torch", "--from", "resnet18", "-o", file)
    assert "resnet18: 1 input, 69 layers, 1 output: out" in run("show", file)
    assert "BatchNorm2d" in run("summary", file)
    assert "there is no PyTorch beside dfh (pip install 'deepforge-hpc[torch]'" in run(
        "check", file
    )
    assert "PyTorch has no such loss" in run("check", file, "--loss", "mse", code=2)
    assert "class Resnet18(nn.Module)" in run("export", file, "--to", "python")
    assert "digraph" in run("export", file, "--to", "dot")
    assert "Say --to dot or python." in run("export", file, "--to", "json", code=2)
    assert "<svg" in run("plot", file)
    assert "Conv2d: layer of PyTorch 2.13.0" in run("doc", "Conv2d")
    assert "ReLU: layer of Keras" in run("doc", "ReLU")
    assert "ReLU: layer of PyTorch" in run("doc", "ReLU", "--library", "torch")
    assert "Keras 3.15.1 and PyTorch 2.13.0 have no 'ReLUU'" in run("doc", "ReLUU", code=2)
    other = tmp_path / "keras.yaml"
    run("new", "--from", "mlp", "-o", other)
    assert "Compare networks of one library." in run("diff", file, other, code=2)
    assert json.loads(run("show", file, "--json"))["name"] == "resnet18"


@pytest.mark.parametrize(
    ("sort", "value", "said"),
    [
        ("loss", "CrossEntropyLoss", ""),
        ("optimizer", {"AdamW": {"weight_decay": 0.1}}, ""),
        ("schedule", None, ""),
        ("loss", "mse", "PyTorch has no loss 'mse'"),
        ("optimizer", {"Adam": {"lear": 1}}, "Adam has no argument 'lear'"),
        ("optimizer", 3, "must be Name or {Name: {argument: value}}"),
        ("schedule", "StepLR", "StepLR needs step_size"),
        ("schedule T_max", "CosineAnnealingLR", ""),  # which the operation gives
        ("schedule", "LambdaLR", "LambdaLR cannot be used here"),
        ("optimizer", {"LBFGS": {"lr": 1.0}}, "LBFGS cannot be used here"),
        ("loss", "TripletMarginLoss", "TripletMarginLoss cannot be used here"),
        ("loss", {"MSELoss": {"reduction": "sum"}}, "MSELoss is given no reduction"),
        ("loss", {"kind": "CrossEntropyLoss", "size": {"HuberLoss": {"delta": 2.0}}}, ""),
        ("loss", {"kind": "CrossEntropyLoss", "size": "mae"}, "PyTorch has no loss 'mae'"),
        ("metric", ["accuracy", "mae"], ""),
        ("metric", {"kind": ["accuracy"], "size": "AUC"}, "PyTorch has no metric 'AUC'"),
        ("callback", [], ""),
        ("callback", ["TerminateOnNaN"], "callbacks is of networks of Keras alone"),
        ("callback.EarlyStopping", {"patience": 3, "min_delta": 0.1, "verbose": 1}, ""),
        ("callback.EarlyStopping", {"patince": 3}, "EarlyStopping has no argument 'patince'"),
        ("callback.EarlyStopping", {"patience": True}, "patience must be int, not true"),
        ("setting init_from", "hf://lab/net@v1", ""),
        ("setting init_from", "keras-app:VGG16", "keras-app is of networks of Keras alone"),
        ("setting record", ["gradients"], "record is of networks of Keras alone"),
        ("setting schedule_every", "epoch", ""),
    ],
)
def test_attributes_of_operations_are_checked_by_the_catalogue(
    sort: str, value: object, said: str
) -> None:
    reader = Reader(load("a: 1", "p.yaml"))
    TorchLibrary().check_value(sort, value, ("a",), reader)
    assert [said in fault.message for fault in reader.faults] == ([True] if said else [])
    with pytest.raises(LookupError):
        TorchLibrary().check_value("losses", value, ("a",), reader)


@pytest.mark.parametrize(
    ("library", "word", "told"),
    [
        ("torch", "Dense", "no PyTorch layer or block 'Dense' (PyTorch calls it Linear)"),
        ("keras", "Linear", "no Keras layer or block 'Linear' (Keras calls it Dense)"),
    ],
)
def test_a_word_of_the_other_framework_is_translated(library: str, word: str, told: str) -> None:
    text = f"library: {library}\narchitecture: n\ninputs: {{x: [4]}}\nlayers: [{{y: {{{word}: {{}}}}}}]\n"
    (fault,) = registry.create("libraries", library).check(text, "net.yaml")
    assert f"{fault.message} ({fault.hint})".endswith(told)


def test_each_word_of_one_framework_has_one_of_the_other() -> None:
    for library, place in (("keras", 0), ("torch", 1)):
        catalogue = registry.create("libraries", library).catalogue()
        known = {word for family in catalogue.values() for word in family} | {"mse", "mae"}
        assert {pair[place] for pair in KERAS_AND_TORCH} <= known


def test_a_size_alone_for_an_input_is_told_once() -> None:
    text = f"{HEAD.replace('[8]', '4')}  - y: {LINEAR}\n"
    assert "inputs: {x: 4}" in text
    (fault,) = TorchLibrary().check(text, "net.yaml")
    assert (fault.message, fault.hint) == (
        "inputs.x: expected a list of sizes, not 4",
        "write x: [4]",
    )


@pytest.mark.parametrize(
    ("kind", "family", "keeps"),
    [
        ("Linear", "torch.nn.modules.linear", 0),
        ("builtin_function_or_method", "builtins", 0),
        ("LSTM", "torch.nn.modules.rnn", None),
        ("Gate", "own_layers", None),
    ],
)
def test_what_a_module_keeps_besides_its_output_is_no_zero_where_nobody_knows(
    kind: str, family: str, keeps: int | None
) -> None:
    assert JUDGE.inside(BuiltLayer(kind, family)) == keeps


def test_no_line_of_the_code_is_long() -> None:
    names = [f"a_name_that_one_would_rather_not_type_{index}" for index in range(6)]
    lines = [
        f"{name}: {{TransformerEncoderLayer: {{d_model: 8, nhead: 2, dim_feedforward: 16, "
        "dropout: 0.125, activation: gelu, batch_first: true, norm_first: true}, from: x}"
        for name in names
    ]
    every = ", ".join(names)
    code = compiled(
        *lines,
        f"sum: {{add: {{}}, from: [{every}]}}",
        f"cat: {{cat: {{dim: 1}}, from: [{every}]}}",
        "both: {matmul: {}, from: [sum, cat]}",
    )
    assert max(map(len, code.splitlines())) <= 100
    (forward,) = [one for one in ast.walk(ast.parse(code)) if getattr(one, "name", "") == "forward"]
    assert isinstance(forward, ast.FunctionDef)
    values = [one.value for one in forward.body if isinstance(one, ast.Assign)]
    assert [type(one) for one in values[-3:]] == [ast.BinOp, ast.Call, ast.Call]
    assert len([one for one in ast.walk(values[-3]) if isinstance(one, ast.Name)]) == 6


def test_log_probabilities_over_another_dimension_than_the_classes_are_told() -> None:
    def told(dim: int, *shape: int) -> list[str]:
        graph = TorchLibrary().graph(f"{HEAD}  - y: {{LogSoftmax: {{dim: {dim}}}}}\n", "net.yaml")
        outcome = {"y": BuiltLayer(kind="LogSoftmax", outputs=((None, *shape),))}
        return [found.said.message for found in JUDGE.of_loss(graph, outcome, "NLLLoss")]

    assert told(-1, 10) == told(1, 10, 7) == []
    (said,) = told(-1, 7, 10)
    assert said == "NLLLoss takes dimension 1 for the classes, and LogSoftmax adds up over -1"


def test_one_channel_is_a_bottleneck_in_the_dimension_that_it_has() -> None:
    text = HEAD.replace("[8]", "[3, 8, 8]") + (
        "  - a: {Conv2d: {in_channels: 3, out_channels: 1, kernel_size: 1}}\n"
        "  - y: {Conv2d: {in_channels: 1, out_channels: 4, kernel_size: 1}}\n"
    )
    graph = TorchLibrary().graph(text, "net.yaml")
    weights = (("weight", (4, 4), True),)
    maps = [((None, channels, 8, 8),) for channels in (3, 1, 4)]
    a, y = (
        BuiltLayer("Conv2d", "torch", inputs=was, outputs=now, weights=weights)
        for was, now in pairwise(maps)
    )
    assert [found.kind for found in JUDGE.findings(graph, {"a": a, "y": y})] == ["bottleneck"]
