"""What each rank of a test does: python torch_ranks_program.py FOLDER, alone or by torchrun.

Writes FOLDER/RANK.json (what was found) and FOLDER/CASE-RANK.npz (weights).
"""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import last_threads
import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from deepforge_hpc import training
from deepforge_hpc.job import ranks
from deepforge_hpc.libraries.torch.library import TorchLibrary
from deepforge_hpc.training import pytorch, torch_gradients, torch_normalization
from deepforge_hpc.training.early_stopping import EarlyStopping
from deepforge_hpc.training.transports import Transport

FOLDER = Path(sys.argv[1])
last_threads.watch(FOLDER)
TEAM = training.connect("torch")
FOUND: dict[str, Any] = {"rank": TEAM.rank, "size": TEAM.size, "keras": "keras" in sys.modules}
pytorch.AGREE_S = 0.0  # after each step
torch_gradients.FIRST_BYTES = torch_gradients.MOST_BYTES = 300  # networks are small here
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


class OfHalf(nn.Module):
    """Its parameters have 16 bits, of a kind that numpy has not."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network("bfloat16")

    def forward(self, x: Any) -> Any:
        return self.inner(x.bfloat16()).float()


class Branching(nn.Module):
    """Some parameters have a gradient on some ranks, one in two parts, and some never on any."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(ranks().seed(11))
        self.first = nn.Linear(5, 5)
        self.never, self.seldom, self.often = (nn.Linear(5, 3) for _ in range(3))
        self.twice = nn.Linear(5, 5)  # the last: it leaves when its first part is made
        self.double()

    def forward(self, x: Any) -> Any:
        inner = self.first(x)
        for _ in range(2):
            inner = checkpoint(self.twice, inner.tanh(), use_reentrant=True)
        few = (x[:, 0] > 1.5).nonzero()[:, 0]
        out = self.often(inner)
        return out.index_add(0, few, self.seldom(inner[few])) if len(few) else out


def right(outputs: Any, targets: Any) -> Any:
    return outputs.argmax(1) == targets


def batches(x: Any, y: Any, **more: Any) -> training.RankBatches:
    return training.RankBatches(x, y, batch_size=BATCH, seed=3, transport=TEAM, **more)


GOAL = (
    *("schedule", "warmup_steps", "accumulate", "clip_norm", "clip_each", "clip_value"),
    *("precision", "frozen"),
)
TRUST = np.linspace(0.0, 2.0, ROWS)


def fitted(case: str, module: nn.Module, kind: str = "float64", **words: Any) -> Any:
    x, y = data(kind)
    optimizer = words.pop("optimizer", None) or torch.optim.SGD(module.parameters(), lr=0.01)
    goal = {name: words.pop(name) for name in GOAL if name in words}
    history = pytorch.fit(
        module, batches(x, y, weights=words.pop("weights", None)),
        pytorch.Goal(loss=nn.CrossEntropyLoss(), optimizer=optimizer, metrics={"right": right}, **goal),
        epochs=words.pop("epochs", 9), transport=TEAM,
        validation=batches(x[:21], y[:21], shuffle=False), **words,
    )  # fmt: skip
    keep(case, module)
    FOUND[case] = history
    return history


def keep(case: str, module: nn.Module) -> None:
    weights = {
        name: one.to(torch.promote_types(one.dtype, torch.float32)).numpy()
        for name, one in module.state_dict().items()
    }
    np.savez(FOLDER / f"{case}-{TEAM.rank}.npz", **weights)


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
                  warmup_steps=4, weights=TRUST, checkpoints=FOLDER / folder)  # fmt: skip


def normalised(*, synchronize: bool = True) -> nn.Module:
    module = network("float64", nn.BatchNorm1d(16), nn.Tanh())
    if synchronize:
        FOUND["synchronized"] = torch_normalization.synchronize(module, TEAM)
    return module


def by_hand() -> None:
    """Learn from weighted rows by a loop that knows nothing of ours but the order."""
    x, y = data("float64")
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    order = training.Order(ROWS, BATCH, 3)
    for epoch in range(9):
        for step in range(order.steps):
            rows = order.epoch(epoch)[order.positions(step)]
            outputs = module(torch.from_numpy(x[rows]))
            losses = nn.functional.cross_entropy(
                outputs, torch.from_numpy(y[rows]), reduction="none"
            )
            (losses * torch.from_numpy(TRUST[rows])).sum().div(len(rows)).backward()
            optimizer.step()
            optimizer.zero_grad()
    keep("by hand", module)


def best(case: str, *, stop: int = 0, folder: str = "best") -> Any:
    """Learn ever worse, so that the first epochs were the best, until there is no patience left."""
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    if stop:
        optimizer.register_step_post_hook(stopped_at(stop))
    early = EarlyStopping(monitor="val_loss", mode="max", patience=2, restore_best_weights=True)
    return fitted(case, module, optimizer=optimizer, early_stopping=early, epochs=9,
                  checkpoints=FOLDER / folder)  # fmt: skip


for kind in ("float32", "float64"):
    fitted(f"sgd-{kind}", network(kind), kind)
branching = Branching()
fitted("branching", branching, optimizer=torch.optim.SGD(branching.parameters(), lr=0.1,
       momentum=0.9, weight_decay=0.1))  # fmt: skip
if TEAM.size == 4:  # the rest is the same as on two
    (FOLDER / f"{TEAM.rank}.json").write_text(json.dumps(FOUND))
    sys.exit()
early, order, begun = network(), list[str](), TEAM.sum_later
next(early.parameters()).register_hook(lambda _: order.append("made"))
TEAM.sum_later = lambda tensor: (order.append("sent"), begun(tensor))[1]  # type: ignore[method-assign]
fitted("early", early, epochs=1)
FOUND["order"] = order
TEAM.sum_later = functools.partial(Transport.sum_later, TEAM)  # type: ignore[method-assign]
fitted("waiting", network())
del TEAM.sum_later
fitted("accumulated", network(), accumulate=4, clip_norm=0.3, clip_each=0.2, clip_value=0.05)
fitted("weighted", network(), weights=TRUST)
by_hand()
fitted("normalised", normalised())
fitted("apart", normalised(synchronize=False))
for precision in ("mixed_bfloat16", "mixed_float16"):
    fitted(precision, network("float32"), "float32", precision=precision)
best("best whole", folder="best whole")
best("best stopped", stop=9)  # in the second epoch
best("best resumed")
best("best again")  # of one that is over
resumable("uninterrupted", folder="whole")
resumable("stopped", stop=9)  # in the second epoch
resumable("resumed")
for case in ("half", "half again"):  # the second goes on from the end of the first
    module = OfHalf()
    fitted(case, module, "float32", epochs=2, checkpoints=FOLDER / "half",
           optimizer=torch.optim.Adam(module.parameters(), lr=0.01))  # fmt: skip
diverging = network()
try:
    fitted("lost", diverging, optimizer=torch.optim.SGD(diverging.parameters(), lr=math.inf))
except training.TrainingError as error:
    FOUND["lost"] = str(error)
try:
    other = network("float64", nn.Linear(16, 16))
    fitted("other", other, weights=TRUST, checkpoints=FOLDER / "kept")
except training.TrainingError as error:
    FOUND["other"] = str(error)
FOUND["keras"] = "keras" in sys.modules
(FOLDER / f"{TEAM.rank}.json").write_text(json.dumps(FOUND))
