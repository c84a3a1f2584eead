"""The operation Train on two ranks of a real cluster, with nothing of ours in its environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.training, pytest.mark.horovod]

MORE = """\
      augment: dihedral
    resources: {nodes: 1, ntasks_per_node: 2, mem_per_node: 3GiB, time: "00:10:00"}
    launch: horovod
"""
NETWORK = """\
library: keras
architecture: small
inputs: {pixels: [8, 8, 1]}
layers:
  - conv: {Conv2D: {filters: 4, kernel_size: 3, activation: relu}}
  - norm: {BatchNormalization: {momentum: 0.5}}
  - pool: {GlobalAveragePooling2D: {}}
  - out: {Dense: {units: 3}}
"""


def test_two_ranks_train_by_the_library(
    slurm_cluster: Any, dfh: Any, make_project: Any, fixture_module: Any
) -> None:
    pipeline = fixture_module("learning").pipeline(MORE)
    project: Path = make_project({"pipeline.yaml": pipeline, "network.yaml": NETWORK})
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    with h5py.File(project / "images.h5", "w") as file:
        file["pixels"] = rng.normal(labels[:, None, None, None], 0.5, (120, 8, 8, 1)).astype("f4")
        file["kind"] = labels
    run = ("run", "--site", "slurm-generic", "--python", sys.executable, "--interval", "1")
    done = dfh(*run, cwd=project, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=280)
    assert "learn-0001  succeeded" in done.stdout, done.stdout
    job = project / "executions" / "learn-0001" / "jobs" / "train"
    report = json.loads((job / "outputs" / "report.json").read_text())
    assert (report["ranks"], report["transport"], report["steps_per_epoch"]) == (2, "horovod", 6)
    lines = (job / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]  # of rank 0 alone
    assert sorted(path.suffix for path in (job / "checkpoints").iterdir()) == [
        ".json", ".json", ".npz", ".npz",
    ]  # fmt: skip
