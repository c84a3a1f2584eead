"""What a step of our training of a PyTorch module costs, against a loop by hand around PyTorch's DDP.

Two ranks over gloo, the same network, rows and order. Ours and theirs take turns within one process:
pairs of stretches of steps, so that other work on the machine meets both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.torch, pytest.mark.timeout(600)]

PAIRS = 20
STEPS = 40
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

PROGRAM = """\
import json, sys, time
import numpy as np, torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from deepforge_hpc import training
from deepforge_hpc.training import pytorch

pairs, steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
team = training.connect("torch")
rng = np.random.default_rng(0)
x = rng.normal(size=(64 * steps, 5, 64, 64)).astype("float32")
y = rng.integers(0, 32, len(x))
batches = training.RankBatches(x, y, batch_size=64, seed=1, transport=team)
order = batches.order.epoch(0)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(5, 16, 5, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 32),
    )


class Timed:
    # A loss, from the third step to the last: neither the beginning nor the end of an epoch.
    def __init__(self):
        self.called = 0

    def __call__(self, outputs, targets):
        self.called += 1
        if self.called in (3, steps):
            now = time.perf_counter(), time.process_time()
            if self.called == 3:
                self.begun = now
            else:
                self.spent = [end - begun for begun, end in zip(self.begun, now)]
        return nn.functional.cross_entropy(outputs, targets)


ours, theirs = network(), network()
wrapped = DistributedDataParallel(theirs)


def run_ours(loss):
    goal = pytorch.Goal(loss=loss, optimizer=torch.optim.SGD(ours.parameters(), lr=0.01))
    pytorch.fit(ours, batches, goal, epochs=1, transport=team)


def run_theirs(loss):
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01)
    wrapped.train()
    total = 0.0
    for step in range(steps):
        rows = order[64 * step + team.rank : 64 * (step + 1) : 2]
        found = loss(wrapped(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        total += found.item()


def timed(function):
    loss = Timed()
    team.barrier()
    function(loss)
    return loss.spent


found = []
timed(run_ours), timed(run_theirs)
apart = max(float((a - b).abs().max()) for a, b in zip(ours.parameters(), theirs.parameters()))
assert apart < 1e-5, f"they learn other things: {apart}"
for number in range(pairs):
    turns = (run_ours, run_theirs) if number % 2 else (run_theirs, run_ours)
    spent = {function: timed(function) for function in turns}
    found.append((spent[run_ours], spent[run_theirs]))
if team.rank == 0:
    print(json.dumps(found))
"""


def test_a_step_of_torch_costs_what_one_by_hand_costs(
    tmp_path: Path, judge_pairs: Any, tries: Any
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    pairs = tries(PAIRS)
    steps = STEPS if pairs > 1 else 5
    done = subprocess.run(
        [sys.executable, *TORCHRUN, tmp_path / "program.py", str(pairs), str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    judge_pairs("torch", json.loads(done.stdout.splitlines()[-1]), steps - 3)
