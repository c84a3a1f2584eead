"""What each rank of a test does: python torch_ranks_program.py FOLDER, alone or by torchrun.

Writes FOLDER/RANK.json (what was found) and FOLDER/CASE-RANK.npz (weights).
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deepforge_hpc import training
from deepforge_hpc.job import ranks
from deepforge_hpc.libraries.torch.library import TorchLibrary
from deepforge_hpc.training import pytorch

FOLDER = Path(sys.argv[1])
TEAM = training.connect("torch")
FOUND: dict[str, Any] = {"rank": TEAM.rank, "size": TEAM.size, "keras": "keras" in sys.modules}
pytorch.AGREE_S = 0.0  # after each step
ROWS, BATCH = 107, 16  # 6 batches an epoch, 11 rows left over
NETWORK = """
library: torch
architecture: small
inputs: {x: [5]}
layers:
  - hidden: [{Linear: {in_features: 5, out_features: 16}}, {Tanh: {}}]
  - out: {Linear: {in_features: 16, out_features: 3}}
"""
signal.signal(signal.SIGUSR1, lambda *_: None)


def data(kind: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 5)).astype(kind)
    return x, (x @ rng.normal(size=(5, 3)) + 0.1 * rng.normal(size=(ROWS, 3))).argmax(1)


def network(kind: str = "float64", *inside: nn.Module) -> nn.Module:
    """Ranks start apart, as without a seed; the first one's weights are the seed's."""
    torch.manual_seed(ranks().seed(11))
    names: dict[str, Any] = {}
    exec(TorchLibrary().compile(NETWORK, "net.yaml").code, names)
    built = names["build"]()
    if inside:
        built = nn.Sequential(built.hidden_1, *inside, built.out)
    return built.to(getattr(torch, kind))  # type: ignore[no-any-return]


def right(outputs: Any, targets: Any) -> Any:
    return outputs.argmax(1) == targets


def batches(x: Any, y: Any, **more: Any) -> training.RankBatches:
    return training.RankBatches(x, y, batch_size=BATCH, seed=3, transport=TEAM, **more)


def fitted(case: str, module: nn.Module, kind: str = "float64", **words: Any) -> Any:
    x, y = data(kind)
    optimizer = words.pop("optimizer", None) or torch.optim.SGD(module.parameters(), lr=0.01)
    goal = {
        name: words.pop(name) for name in ("schedule", "accumulate", "clip_norm") if name in words
    }
    history = pytorch.fit(
        module, batches(x, y),
        pytorch.Goal(loss=nn.CrossEntropyLoss(), optimizer=optimizer, metrics={"right": right}, **goal),
        epochs=words.pop("epochs", 9), transport=TEAM,
        validation=batches(x[:21], y[:21], shuffle=False), **words,
    )  # fmt: skip
    weights = {name: one.numpy() for name, one in module.state_dict().items()}
    np.savez(FOLDER / f"{case}-{TEAM.rank}.npz", **weights)
    FOUND[case] = history
    return history


def stopped_at(step: int) -> Any:
    """Return an optimizer's hook that asks the last rank to stop at a step."""
    seen = [0]

    def hook(*_: Any) -> None:
        seen[0] += 1
        if seen[0] == step and TEAM.rank == TEAM.size - 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    return hook


def resumable(case: str, *, epochs: int = 4, stop: int = 0, folder: str = "kept") -> Any:
    module = network("float64", nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.4))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    if stop:
        optimizer.register_step_post_hook(stopped_at(stop))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    return fitted(case, module, optimizer=optimizer, schedule=schedule, epochs=epochs,
                  checkpoints=FOLDER / folder)  # fmt: skip


for kind in ("float32", "float64"):
    fitted(f"sgd-{kind}", network(kind), kind)
fitted("accumulated", network(), accumulate=4, clip_norm=0.3)
resumable("uninterrupted", folder="whole")
resumable("stopped", stop=9)  # in the second epoch
resumable("resumed")
diverging = network()
try:
    fitted("lost", diverging, optimizer=torch.optim.SGD(diverging.parameters(), lr=math.inf))
except training.TrainingError as error:
    FOUND["lost"] = str(error)
try:
    fitted("other", network("float64", nn.Linear(16, 16)), checkpoints=FOLDER / "kept")
except training.TrainingError as error:
    FOUND["other"] = str(error)
FOUND["keras"] = "keras" in sys.modules
(FOLDER / f"{TEAM.rank}.json").write_text(json.dumps(FOUND))
