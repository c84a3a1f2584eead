"""Networks of the torch library, as PyTorch itself builds and judges them."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.libraries.networks.trial import costs, run
from deepforge_hpc.libraries.networks.trial.request import BuildRequest
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import Tried
from deepforge_hpc.libraries.torch.library import TorchLibrary
from deepforge_hpc.libraries.torch.trial.judge import JUDGE

pytestmark = pytest.mark.torch
HEAD = "library: torch\narchitecture: net\n"
EXAMPLES = dict(TorchLibrary().examples())
FORMS = """
inputs: {x: [4], class: {shape: [6, 3]}}
blocks:
  tower:
    nested: true
    inputs: {a: [4]}
    layers:
      - half: [{Linear: {in_features: 4, out_features: 5}}, {GELU: {}}]
      - again: {Linear: {in_features: 5, out_features: 5}}
      - back: {reuse: again}
    outputs: [half, back]
layers:
  - train: {tower: {}, from: x}
  - twice: {reuse: train, from: x}
  - lstm: {LSTM: {input_size: 3, hidden_size: 5, batch_first: true}, from: class}
  - longer: {LSTM: {input_size: 5, hidden_size: 5, batch_first: true}, call: {hx: lstm.1}}
  - last: {select: {dim: 1, index: -1}, from: longer}
  - both: {add: {}, from: [train.half, twice.back, last]}
  - most: {maximum: {}, from: [both, last, train.back]}
  - state: {GRUCell: {input_size: 5, hidden_size: 5}, from: most, call: {hx: last}}
  - att: {MultiheadAttention: {embed_dim: 5, num_heads: 1, batch_first: true}, from: [lstm, lstm, lstm]}
  - mean: {mean: {dim: 1}}
  - weights: {amax: {dim: [1, 2]}, from: att.1}
  - cat: {cat: {dim: 1}, from: [mean, state]}
  - out: {Linear: {in_features: 10, out_features: 2}}
outputs: [out, weights]
"""
SEVERAL = """
inputs: {x: [3, null, null], y: [8]}
blocks:
  down:
    parameters: [before, after]
    layers:
      - y: [{Conv2d: {in_channels: $before, out_channels: $after, kernel_size: 3, stride: 2}}, {ReLU: {}}]
layers:
  - c: {down: [3, 8], from: x}
  - wrong: {down: [4, 8], repeat: 2}
  - flat: [{AdaptiveAvgPool2d: {output_size: 1}, from: c}, {Flatten: {}}]
  - few: {Linear: {in_features: 9, out_features: 2}, from: flat}
  - early: {Conv2d: {in_channels: 8, out_channels: 8, kernel_size: 3}, from: y}
  - sum: {add: {}, from: [flat, y]}
  - heads: {MultiheadAttention: {embed_dim: 8, num_heads: 3}, from: [sum, sum, sum]}
  - alone: {MultiheadAttention: {embed_dim: 8, num_heads: 2}, from: sum}
  - gone: {mean: {dim: 5}, from: c}
  - words: {Embedding: {num_embeddings: 9, embedding_dim: 2}, from: y}
outputs: [wrong, few, early, heads, alone, gone, words]
"""
EXPECTED = {
    "wrong_r1_y_1": "was made for 4 channels, and c_y gives 8 x ? x ?",
    "few": "Linear was made for 9 features, and flat gives 8",
    "early": "Conv2d wants channels x height x width, and y gives 8",
    "heads": "divides its features among the heads",
    "alone": "is called on several inputs, and key is not given",
    "gone": "a dimension is not there: c_y gives 8 x ? x ?",
    "words": "Embedding wants whole numbers",
}


def graph(text: str) -> Any:
    return TorchLibrary().graph(text, "net.yaml")


def build(text: str) -> Any:
    module = types.ModuleType("network")
    exec(compile(TorchLibrary().compile(text, "net.yaml").code, "network", "exec"), module.__dict__)
    return module.build()


@pytest.fixture(scope="module")
def tried() -> dict[str, Tried]:
    """Build all networks of this file in one process, for its start takes longest."""
    texts = {**EXAMPLES, "forms": HEAD + FORMS, "several": HEAD + SEVERAL}
    requests = {name: BuildRequest(graph(text)) for name, text in texts.items()}
    setting = TrialSetting(judge=JUDGE, python=sys.executable)
    trials = run.ask([one.network for one in requests.values()], setting)
    assert isinstance(trials, tuple), trials
    return {
        name: Tried(judge=JUDGE, graph=graph(texts[name]), request=request, trial=trial,
                    is_cached=False, job_backend="")
        for (name, request), trial in zip(requests.items(), trials, strict=True)
    }  # fmt: skip


def test_the_catalogue_is_that_of_the_pytorch_that_it_was_made_for(fixture_module: Any) -> None:
    import torch

    from deepforge_hpc.libraries.torch import introspect

    fixture_module("catalogues").assert_shipped(introspect, str(torch.__version__))


def test_what_optimizers_keep_for_each_weight_is_what_pytorch_makes() -> None:
    import torch

    counts = {}
    for name in JUDGE.slots:
        weights = torch.nn.Parameter(torch.zeros(20, 10))
        optimizer = getattr(torch.optim, name)([weights], lr=0.1)
        weights.grad = torch.ones(20, 10)
        optimizer.step()
        kept = optimizer.state[weights].values()
        # Besides a number or two, such as the step.
        counts[name] = sum(one.numel() for one in kept if isinstance(one, torch.Tensor)) // 200
    assert counts == dict(JUDGE.slots)
    assert set(JUDGE.optimizers()) - set(counts) == {"Adafactor", "LBFGS", "SparseAdam"}


@pytest.mark.parametrize("name", [*EXAMPLES, "forms"])
def test_what_the_trial_says_is_what_the_module_does(name: str, tried: dict[str, Tried]) -> None:
    import torch

    network = tried[name]
    assert not list(network.refused())
    assert not list(network.findings("CrossEntropyLoss"))
    module = build({**EXAMPLES, "forms": HEAD + FORMS}[name]).eval()
    own = [built for _, call, built in network.layers if built and not call.shared]
    counted = sum(costs.parameters(built) for built in own if built.kind != "_Model")
    assert counted == sum(one.numel() for one in module.parameters())
    inputs = [
        torch.zeros((2, *one.shape), dtype=getattr(torch, one.dtype))
        for one in network.graph.inputs
    ]
    found = module(*inputs)
    outcome = {layer: built for layer, _, built in network.layers if built}
    for tensor, one in zip(
        network.graph.outputs, found if isinstance(found, tuple) else (found,), strict=True
    ):
        assert outcome[tensor.name].outputs[tensor.index or 0] == (None, *one.shape[1:])


def test_the_sums_are_those_of_the_published_networks(tried: dict[str, Tried]) -> None:
    def sums(name: str) -> tuple[int, int]:
        layers = [built for _, _, built in tried[name].layers if built]
        return sum(map(costs.parameters, layers)), sum(one.operations or 0 for one in layers)

    assert sums("resnet18") == (11_689_512, 1_814_073_344)  # torchvision: 11.69 M and 1.81 G
    assert sums("lenet") == (61_706, 416_520)
    attention = next(
        b for n, _, b in tried["transformer-encoder"].layers if n.endswith("attended_1")
    )
    assert attention is not None
    # Four projections of 64 steps, then each step with each, twice.
    assert attention.operations == 4 * 64 * 32 * 32 + 2 * 64 * 64 * 32


def test_every_error_is_found_at_its_layer_with_the_way_to_it(tried: dict[str, Tried]) -> None:
    found = {one.call.name: one.fault for one in tried["several"].refused() if one.call}
    assert found.keys() == EXPECTED.keys()
    for name, said in EXPECTED.items():
        assert said in found[name].message, found[name]
    way = ", in block down of wrong_r1, in repetition 1 of wrong"
    assert found["wrong_r1_y_1"].message.endswith(way)
    lines = (HEAD + SEVERAL).splitlines()
    assert "- few:" in lines[found["few"].line - 1]


OWN = """
import torch, time
from torch import nn

class Gate(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
    def forward(self, x):
        return x * self.weight

class Writes(nn.Module):
    def forward(self, x):
        open("/tmp/never", "w")

class Hangs(nn.Module):
    def forward(self, x):
        while True:
            time.sleep(1)
"""


def test_code_of_the_project_runs_in_a_limited_process_and_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "own_layers.py").write_text(OWN)
    text = HEAD + (
        "inputs: {x: [4]}\n"
        "blocks: {inner: {nested: true, inputs: {y: [4]}, layers: [h: {'own_layers:Hangs': {}}]}}\n"
        "layers:\n"
        "  - gate: {'own_layers:Gate': {features: 4}}\n"
        "  - writes: {'own_layers:Writes': {}, from: x}\n"
        "  - hangs: {inner: {}, from: gate}\n"
        "  - behind: {ReLU: {}, from: gate}\n"
        "outputs: [writes, hangs, behind]\n"
    )
    left_out = BuildRequest(graph(text))
    assert left_out.left_out == ("gate", "writes", "hangs.h")
    request = BuildRequest(graph(text), user_code=True)
    setting = TrialSetting(judge=JUDGE, python=sys.executable, folders=(str(tmp_path),), layer_s=3)
    (trial,) = run.ask([request.network], setting)  # type: ignore[misc]
    _, gate, writes, _, hangs, nest, behind = trial.layers
    assert gate.outputs == ((None, 4),)
    assert gate.weights == (("weight", (4,), True),)
    assert "a check may not do this: open /tmp/never" in writes.error.text
    assert writes.error.by == "code"
    assert hangs.error.stage == "time"
    assert (nest.error, nest.outputs) == (None, ())
    assert behind.outputs == ((None, 4),)  # without what hangs
