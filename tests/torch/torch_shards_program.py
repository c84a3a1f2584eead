"""What each rank of a test does: python torch_shards_program.py FOLDER PART, alone or by torchrun.

Writes FOLDER/PART-RANK.json (what was found) and FOLDER/CASE.npz (all weights).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import last_threads
import numpy as np
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

from deepforge_hpc import training
from deepforge_hpc.training import pytorch

FOLDER, PART = Path(sys.argv[1]), sys.argv[2]
last_threads.watch(FOLDER)
TEAM = training.connect("torch")
if TEAM.size == 1:
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
FOUND: dict[str, Any] = {"size": TEAM.size}
pytorch.AGREE_S = 0.0  # after each step
ROWS, BATCH = 107, 16  # 6 batches an epoch, 11 rows left over
signal.signal(signal.SIGUSR1, lambda *_: None)


class Seen(nn.Module):
    """Counts what went through: a buffer, which no rank shards."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Any) -> Any:
        self.count += self.training
        return x


def network(*, shard: bool = True, outer: bool = True) -> nn.Module:
    torch.manual_seed(11)  # the same on all ranks: each keeps a part of it
    parts = nn.Linear(5, 17), Seen(), nn.Tanh(), nn.Linear(17, 3)  # 17 rows do not divide by two
    built = nn.Sequential(*parts).double()
    if shard:
        fully_shard(built[0])
        if outer:
            fully_shard(built)
    return built


def stopped_at(step: int) -> Any:
    """Return an optimizer's hook that asks the last rank to stop at a step."""
    seen = [0]

    def hook(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == step and TEAM.rank == TEAM.size - 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    return hook


def fitted(case: str, module: nn.Module, folder: str = "", *, stop: int = 0, **more: Any) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 5))
    y = (x @ rng.normal(size=(5, 3)) + 0.1 * rng.normal(size=(ROWS, 3))).argmax(1)
    optimizer = more.get("optimizer") or torch.optim.Adam(module.parameters(), lr=0.01)
    if stop:
        optimizer.register_step_post_hook(stopped_at(stop))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    goal = pytorch.Goal(
        loss=nn.CrossEntropyLoss(), optimizer=optimizer, schedule=schedule, clip_norm=0.3,
        metrics={"right": lambda outputs, targets: outputs.argmax(1) == targets},
    )  # fmt: skip
    batches = training.RankBatches(x, y, batch_size=BATCH, seed=3, transport=TEAM)
    # Of 17 rows rank 0 has two batches and rank 1 one.
    rest = training.RankBatches(
        x[:17], y[:17], batch_size=BATCH, seed=3, transport=TEAM, shuffle=False
    )
    try:
        FOUND[case] = pytorch.fit(
            module, batches, goal, epochs=more.get("epochs", 4), transport=TEAM,
            validation=rest, checkpoints=FOLDER / folder if folder else None,
        )  # fmt: skip
    except training.TrainingError as error:
        FOUND[case] = str(error)
        return
    weights = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True))
    if TEAM.rank == 0:
        np.savez(FOLDER / f"{case}.npz", **{name: one.numpy() for name, one in weights.items()})


if PART == "first":
    fitted("whole", network(), "whole")
    fitted("stopped", network(), "kept", stop=9)  # in the second epoch
    late = network(shard=False)
    optimizer = torch.optim.Adam(late.parameters())
    fully_shard(late)
    fitted("early optimizer", late, optimizer=optimizer)
    fitted("in part", network(outer=False))
    fitted("not sharded", network(shard=False), "plain", epochs=1)
    fitted("of one not sharded", network(), "plain")
    (FOLDER / "file").touch()
    fitted("no folder", network(), "file")
elif PART == "second":
    fitted("one rank", network(shard=False))
    fitted("taken by one not sharded", network(shard=False), "copy")
    fitted("stopped again", network(), "kept", stop=8)  # in the third
elif PART == "third":
    for case in ("resumed", "torn", "unmarked"):
        fitted(case, network(), "kept" if case == "resumed" else case)
(FOLDER / f"{PART}-{TEAM.rank}.json").write_text(json.dumps(FOUND))
if TEAM.size == 1:
    torch.distributed.destroy_process_group()
