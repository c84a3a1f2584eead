"""A program that was written for torchrun, as an operation on two ranks of one machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

SCRIPT = """\
import argparse
import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel as DDP


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("snapshot")
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, local = dist.get_rank(), int(os.environ["LOCAL_RANK"])
    torch.manual_seed(0)
    model = DDP(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.rand(16, 4)[rank :: dist.get_world_size()]
    for _ in range(3):
        optimizer.zero_grad()
        model(data).square().mean().backward()
        optimizer.step()
    weights = torch.cat([p.detach().ravel() for p in model.parameters()])
    others = [torch.empty_like(weights) for _ in range(dist.get_world_size())]
    dist.all_gather(others, weights)
    assert all(torch.equal(weights, other) for other in others)
    if rank == 0:
        torch.save(model.module.state_dict(), args.snapshot)
    print(f"rank {rank} of {dist.get_world_size()}, local {local}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
"""
PIPELINE = """\
pipeline: ddp
operations:
  train:
    uses: multigpu_torchrun.py
    args: ["{outputs.snapshot}"]
    outputs: {snapshot: snapshot.pt}
    launch: torchrun
    resources: {ntasks_per_node: 2}
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


def test_an_unmodified_program_of_torchrun_runs_on_two_ranks(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    files = {
        "pipeline.yaml": PIPELINE,
        "multigpu_torchrun.py": SCRIPT,
        "site-configs/here.yaml": SITE.replace("PYTHON", sys.executable),
    }
    project = make_project(files)
    dfh("run", "--site", "here", "--python", sys.executable, cwd=project, timeout=240)
    job = project / "executions/ddp-0001/jobs/train"
    assert (job / "outputs/snapshot.pt").stat().st_size > 0
    for rank in range(2):
        said = dfh("logs", "ddp-0001", "train", "--rank", str(rank), cwd=project).stdout
        assert f"rank {rank} of 2, local {rank}" in said
