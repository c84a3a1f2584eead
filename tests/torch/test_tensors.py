"""What PyTorch makes comes back from safetensors as it was: types, memory layouts, shared memory, order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.formats import FORMATS, FormatError
from deepforge_hpc.runtime.formats.file import choose

pytestmark = pytest.mark.torch
FMT = FORMATS["safetensors"]
NAN = float("nan")
# Of torch, which is not there yet when the tests are collected.
TENSORS: dict[str, Callable[[Any], Any]] = {
    "NaN": lambda t: t.tensor([1.0, NAN, float("inf"), -float("inf")]),
    "bfloat16": lambda t: t.tensor([1.5, NAN], dtype=t.bfloat16),
    "float8": lambda t: t.ones(3).to(t.float8_e4m3fn),
    "bool": lambda t: t.tensor([True, False]),
    "int8": lambda t: t.arange(-3, 3, dtype=t.int8),
    "uint16": lambda t: t.arange(3).to(t.uint16),
    "complex": lambda t: t.tensor([1 + 2j]).conj(),
    "negated": lambda t: t.tensor([1 + 2j]).conj().imag,
    "transposed": lambda t: table(t).t(),
    "steps": lambda t: table(t)[1::2, ::3],
    "expanded": lambda t: t.ones(1).expand(4, 5),
    "channels last": lambda t: t.rand(2, 3, 4, 5).to(memory_format=t.channels_last),
    "a number": lambda t: t.tensor(3.0),
    "nothing": lambda t: t.empty(0, 3),
    "a parameter": lambda t: t.nn.Parameter(t.ones(2)),
    "of a graph": lambda t: t.ones(2, requires_grad=True) * 2,
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "complex128": lambda t: t.ones(2, dtype=t.complex128),
    "memory format": lambda t: t.eye(3).to_sparse(),
    "meta tensor": lambda t: t.empty(3, device="meta"),
    "expects a torch.Tensor, .* got a dict": lambda t: {"__metadata__": t.ones(1)},
    "expects a torch.Tensor, or": lambda t: {"w": t.ones(1), "epoch": 3},
}


@pytest.fixture(scope="module")
def torch() -> Any:
    """Return PyTorch."""
    import torch

    return torch


@pytest.fixture
def tied(torch: Any) -> Callable[[], Any]:
    """Return what makes a network of which two layers share their weights."""

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = torch.nn.Linear(3, 5, bias=False)
            self.embed = torch.nn.Embedding(5, 3)
            self.norm = torch.nn.BatchNorm1d(5)
            self.out.weight = self.embed.weight

    return Tied


def table(torch: Any) -> Any:
    return torch.arange(24.0).reshape(4, 6)


def content(tensor: Any) -> tuple[Any, Any, bytes]:
    """Return type, shape and bytes."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().clone()
    return tensor.dtype, tensor.shape, bytes(plain.untyped_storage())


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_comes_back_bit_by_bit(name: str, torch: Any, tmp_path: Path) -> None:
    given = TENSORS[name](torch)
    assert choose(given) == "safetensors"
    path = FMT.save(given, tmp_path / "x")
    FMT.verify(path)
    found = FMT.load(path)
    assert type(found) is torch.Tensor
    assert content(found) == content(given)


def test_tensors_that_share_memory_come_back_each_whole_in_their_order(
    torch: Any, tmp_path: Path
) -> None:
    base = table(torch)
    given = {"z": base, "b": base, "row": base[0], "__t": base.t(), "a": base[2:]}
    path = FMT.save(given, tmp_path / "x")
    FMT.verify(path)
    found = FMT.load(path)
    assert list(found) == list(given)
    assert list(map(content, found.values())) == list(map(content, given.values()))
    found["z"].zero_()
    assert found["b"].sum() == base.sum()


def test_a_state_dict_is_the_network_again(
    torch: Any, tied: Callable[[], Any], tmp_path: Path
) -> None:
    model, other = tied(), tied()
    state = model.state_dict()
    assert choose(state) == "safetensors"
    found = FMT.load(FMT.save(state, tmp_path / "x"))
    assert list(found) == list(state)
    other.load_state_dict(found)
    x = torch.tensor([[0.5, 1.0, 2.0]])
    assert torch.equal(other.eval().norm(other.out(x)), model.eval().norm(model.out(x)))


@pytest.mark.parametrize("told", REFUSED)
def test_what_it_cannot_keep_is_refused_by_name(told: str, torch: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=told):
        FMT.save(REFUSED[told](torch), tmp_path / "x")


def test_a_module_is_told_to_be_returned_as_its_state_dict(tied: Callable[[], Any]) -> None:
    with pytest.raises(FormatError, match=r"return its state_dict\(\)"):
        choose(tied())


OPS = """
import torch

def train(n: int = 3):
    model = torch.nn.Linear(n, 1)
    torch.nn.init.constant_(model.weight, 2.0)
    weights, loss = model.state_dict(), torch.tensor([0.5, float("nan")], dtype=torch.bfloat16)
    return weights, loss

def use(weights: dict, loss: torch.Tensor) -> dict:
    model = torch.nn.Linear(3, 1)
    model.load_state_dict(weights)
    found = {"sum": float(model.weight.sum()), "is_nan": loss.isnan().tolist(), "type": str(loss.dtype)}
    return found
"""
PIPELINE = """
pipeline: torch
operations:
  train: {uses: 'ops.py:train', types: {weights: safetensors}}
  use: {uses: 'ops.py:use', types: {weights: safetensors}, inputs: {weights: train.weights, loss: train.loss}}
outputs: {found: use.found}
"""


def test_a_network_travels_from_job_to_job(dfh: Any, make_project: Callable[..., Path]) -> None:
    project = make_project({"ops.py": OPS, "pipeline.yaml": PIPELINE})
    dfh("run", cwd=project)
    (found,) = project.glob("executions/*/jobs/use/outputs/found.json")
    told = {"sum": 6.0, "is_nan": [False, True], "type": "torch.bfloat16"}
    assert json.loads(found.read_bytes()) == told
