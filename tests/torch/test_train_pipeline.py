"""Train with a network of PyTorch as jobs, on one rank and on two, interrupted and resumed."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]

NETWORK = """\
library: torch
architecture: small
inputs: {x: [5]}
layers:
  - body: [{Linear: {in_features: 5, out_features: 16}}, {BatchNorm1d: {num_features: 16}}, {Tanh: {}}]
  - once: {"own.layers:StopOnce": {}}
  - out: {Linear: {in_features: 16, out_features: 3}}
"""
LAYERS = '''\
"""A layer that asks to stop, in the first attempt of a job, within the third epoch."""
import os
import signal
import sys

from torch import nn


class StopOnce(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 20 and os.environ.get("DFH_ATTEMPT") == "1":
            print("keras is there:", "keras" in sys.modules, flush=True)
            if os.environ.get("DFH_RANK", "0") == os.environ.get("STOPS", "0"):
                os.kill(os.getpid(), signal.SIGUSR1)
        return x
'''
PIPELINE = """\
pipeline: learn
inputs:
  rows: {uri: rows.h5, type: hdf5}
operations:
  alone:
    uses: deepforge_hpc.operations:Train
    inputs: {dataset: rows}
    references: {model: network.yaml}
    attributes: &settings
      loss: CrossEntropyLoss
      target: kind
      metrics: [accuracy]
      sample_weight: trust
      optimizer: {SGD: {momentum: 0.9}}
      learning_rate: 0.05
      warmup_epochs: 1
      schedule: CosineAnnealingLR
      early_stopping: {patience: 3, monitor: val_loss}
      keep: best
      synchronize: true
      epochs: 5
      batch_size: 16
      seed: 3
  both:
    uses: deepforge_hpc.operations:Train
    inputs: {dataset: rows}
    references: {model: network.yaml}
    attributes: *settings
    env: {STOPS: "1", OMP_NUM_THREADS: "1"}
    resources: {ntasks_per_node: 2}
    launch: torchrun
  predict:
    uses: deepforge_hpc.operations:Predict
    inputs: {model: both.model, dataset: rows}
    references: {network: network.yaml}
    attributes: {keep: [kind]}
  measure:
    uses: deepforge_hpc.operations:EvaluateClassification
    inputs: {predictions: predict.predictions}
    attributes: {truth: kind, kind: logits}
outputs:
  weights: {from: alone.model, to: weights.safetensors}
  metrics: {from: measure.metrics}
"""
SITE = """\
site: here
extends: local
launchers:
  torchrun:
    argv:
      - PYTHON  # its own command lies beside no interpreter of these tests
      - -mtorch.distributed.run
      - --standalone
      - "--nproc-per-node={ntasks_per_node}"
      - --no-python
    clamp: no
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.h5"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(144, 5))
    with h5py.File(path, "w") as file:
        file["x"] = x
        file["kind"] = (x @ rng.normal(size=(5, 3))).argmax(1)
        file["trust"] = np.linspace(0.5, 1.5, 144)
    return path


def whole(dataset: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train in this process, on one rank and without an interruption."""
    from deepforge_hpc.files.yaml12 import load
    from deepforge_hpc.libraries.torch.library import TorchLibrary
    from deepforge_hpc.operations.train import Train

    monkeypatch.syspath_prepend(str(folder))
    module = types.ModuleType("network")
    code = TorchLibrary().compile(NETWORK, "net.yaml").code
    exec(compile(code, "network", "exec"), module.__dict__)
    data: Any = load(PIPELINE.encode(), "pipeline.yaml").value()
    with h5py.File(dataset) as file:
        settings = data["operations"]["alone"]["attributes"]
        return Train(module.build(), **settings).execute(file)


def test_jobs_train_on_one_rank_and_on_two_and_go_on_where_they_were(
    dataset: Path, make_project: Callable[..., Path], dfh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    files = {
        "pipeline.yaml": PIPELINE,
        "network.yaml": NETWORK,
        "own/layers.py": LAYERS,
        "own/__init__.py": "",
        "site-configs/here.yaml": SITE.replace("PYTHON", sys.executable),
    }
    project = make_project(files)
    (project / "rows.h5").write_bytes(dataset.read_bytes())
    run = ("run", "--site", "here", "--python", sys.executable)
    stopped = dfh(*run, cwd=project, expect=None, timeout=300)
    assert "interrupted" in stopped.stdout
    jobs = project / "executions" / "learn-0001" / "jobs"
    assert (jobs / "alone" / "checkpoints" / "step-0000000020.npz").is_file()
    # Two ranks agree once a second, or where an epoch ends.
    newest = max(path.stem for path in (jobs / "both" / "checkpoints").glob("*.npz"))
    assert 20 <= int(newest.removeprefix("step-")) <= 24
    assert "keras is there: False" in dfh("logs", "learn-0001", "alone", cwd=project).stdout
    dfh("resume", "learn-0001", cwd=project)
    dfh("status", "learn-0001", "--watch", cwd=project, timeout=300)

    learnt, history, _ = whole(dataset, project, monkeypatch)
    for name in ("alone", "both"):
        outputs = jobs / name / "outputs"
        found = json.loads((outputs / "history.json").read_text())
        assert set(found) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        for key, values in history.items():
            assert found[key] == pytest.approx(values, abs=1e-5), (name, key)
        weights = load_file(outputs / "model.safetensors")
        assert weights.keys() == learnt.keys()
        for key, value in learnt.items():
            assert (weights[key] - value).abs().max() <= 1e-5, (name, key)
    report = json.loads((jobs / "both" / "outputs" / "report.json").read_text())
    assert (report["ranks"], report["transport"], report["synchronized"]) == (2, "torch", 1)
    metrics = json.loads((jobs / "measure" / "outputs" / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.8
    assert (project / "weights.safetensors").stat().st_size > 0


def test_what_pytorch_has_not_is_told_by_check(make_project: Callable[..., Path], dfh: Any) -> None:
    changed = PIPELINE.replace("loss: CrossEntropyLoss", "loss: SparseCategoricalCrossentropy")
    changed = changed.replace("metrics: [accuracy]", "callbacks: [TerminateOnNaN]", 1)
    files = {"pipeline.yaml": changed, "network.yaml": NETWORK, "own/layers.py": LAYERS}
    project = make_project({**files, "own/__init__.py": "", "rows.h5": ""})
    told = dfh("check", cwd=project, expect=None)
    assert "PyTorch has no loss 'SparseCategoricalCrossentropy'" in told.stdout + told.stderr
    assert "callbacks is of networks of Keras alone" in told.stdout + told.stderr
