"""`fit` of a PyTorch module: a plain loop, on all ranks together, that can go on."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from deepforge_hpc.job import StopRequest, stopping
from deepforge_hpc.training import torch_shards
from deepforge_hpc.training.agreement import CHECKPOINT_S, check_agreement, folder_of, newest_of
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.rank_batches import RankBatches
from deepforge_hpc.training.torch_gradients import Gradients
from deepforge_hpc.training.torch_state import TorchState
from deepforge_hpc.training.transports import Transport

AGREE_S = 1.0
"""How long ranks go on without asking each other whether to stop."""
_MOST_STEPS = 1000
Metric = Callable[[Any, Any], Any]
"""Takes outputs and targets, and returns a number for each row."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a training learns, and how."""

    loss: Callable[[Any, Any], Any]
    """Of PyTorch: a mean over rows."""
    optimizer: Any
    schedule: Any = None
    """Of `torch.optim.lr_scheduler`."""
    schedule_every: Literal["epoch", "step"] = "epoch"
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    accumulate: int = 1
    """Batches for each step of the optimizer."""
    clip_norm: float = 0.0
    """Bound of the norm of all gradients together, after they were averaged; 0: none."""


def fit(
    module: Any,
    batches: RankBatches,
    goal: Goal,
    *,
    epochs: int,
    transport: Transport,
    validation: RankBatches | None = None,
    checkpoints: Checkpoints | str | Path | None = None,
    checkpoint_s: float = CHECKPOINT_S,
) -> dict[str, list[float]]:
    """Train a module, and return its history: the same on all ranks, of all attempts.

    Order of rows, checkpoints and requests to stop are those of `training.fit`. Gradients are
    averaged over the ranks before they are clipped and used; losses and metrics are sums over rows
    and their count, put together before they are divided. Raises TrainingError where the ranks
    disagree, for a loss that is no number, and for a checkpoint of another network.

    A module that `torch.distributed.fsdp.fully_shard` sharded averages its gradients itself, and a
    checkpoint of it has a shard of each rank: `deepforge_hpc.training.torch_shards`.
    """
    check_agreement(batches, validation, epochs, transport)
    _check(goal, transport)
    torch_shards.check(module, goal.optimizer, transport)
    kept = folder_of(checkpoints)
    found = newest_of(kept, batches, transport)
    with stopping() as stop:
        run = _Run(module, batches, goal, transport, validation, kept, checkpoint_s, stop)
        try:
            run.begin(found)
            while run.at.epoch < epochs and run.epoch():
                pass
        finally:
            run.gradients.close()
    return run.history


def _check(goal: Goal, transport: Transport) -> None:
    weight = getattr(goal.loss, "weight", None)
    if getattr(goal.loss, "reduction", "mean") != "mean":
        raise TrainingError("the loss must be a mean over rows: leave out its reduction")
    if transport.size > 1 and weight is not None and not isinstance(goal.loss, torch.nn.BCELoss):
        raise TrainingError(
            "a loss with a weight for each class divides by the weights of the rows that it sees, "
            "which differ from rank to rank: train on one rank, or weigh the rows yourself"
        )


class _Sums:
    """Sums over rows, of which all ranks' parts are added before they are divided."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = ("loss", *names)
        self._values = np.zeros(len(self.names) + 1)
        self._new: list[tuple[int, list[Any]]] = []

    def add(self, rows: int, loss: Any, metrics: Mapping[str, Any]) -> None:
        """Count a batch, whose numbers stay where they are: to read one waits for its device."""
        mine = [one.double().sum() for one in metrics.values()]
        self._new.append((rows, [loss.detach(), *mine]))

    @property
    def values(self) -> Any:
        """The sums so far, and the number of rows."""
        new, self._new = self._new, []
        for rows, (loss, *mine) in new:
            self._values += [float(loss) * rows, *map(float, mine), rows]
        return self._values

    def together(self, transport: Transport) -> dict[str, float]:
        *sums, rows = transport.sum(self.values)
        return {name: float(one / rows) for name, one in zip(self.names, sums, strict=True)}


class _Run:
    """A training while it runs."""

    def __init__(
        self,
        module: Any,
        batches: RankBatches,
        goal: Goal,
        transport: Transport,
        validation: RankBatches | None,
        kept: Checkpoints | None,
        checkpoint_s: float,
        stop: StopRequest,
    ) -> None:
        self.module, self.batches, self.goal = module, batches, goal
        self.transport, self.validation = transport, validation
        self.kept, self.checkpoint_s, self.stop = kept, checkpoint_s, stop
        self.state = TorchState(module, goal.optimizer, goal.schedule, transport)
        self.at, self.history = Position(), dict[str, list[float]]()
        self.sums = _Sums(tuple(goal.metrics))
        self.last: Checkpoint | None = None
        self.wanted = [one for one in module.parameters() if one.requires_grad]
        travel = transport.size > 1 and not self.state.is_sharded
        self.gradients = Gradients(self.wanted if travel else (), transport)
        self.shares = transport.size if travel else 1
        """Gradients are added up over so many ranks, so each loss is divided by them."""
        self.like = next(module.parameters())
        self.saved_at = self.agreed_at = time.monotonic()
        self.gap = self.since = 1

    def begin(self, found: Checkpoint | None) -> None:
        """Start all ranks alike, or where a checkpoint was made."""
        self.state.share()
        if found is not None:
            self.state.restore(found)
            self.at, self.last = found.position, found
            self.history = {name: list(one) for name, one in found.state["history"].items()}
            if self.transport.rank == 0:
                self.sums.values[:] += found.state["sums"]

    def epoch(self) -> bool:
        """Go through the rest of an epoch; return whether there is more to do."""
        epoch, first = self.at.epoch, self.at.step
        self.batches.begin_at(epoch, first)
        self.module.train()
        steps = len(self.batches)
        for index in range(steps):
            place = first + index + 1
            is_step = place % self.goal.accumulate == 0 or index + 1 == steps
            self.learn(self.batches[index], place, is_step=is_step)
            self.at = Position(epoch, place, self.at.total + 1)
            if is_step and index + 1 < steps and not self.look(at_end=False):
                return False
        self.finish(epoch)
        return self.look(at_end=True)

    def learn(self, batch: tuple[Any, ...], place: int, *, is_step: bool) -> None:
        """Learn from one batch; the gradients of all ranks and batches are averaged in a step."""
        inputs, targets = self.given(batch)
        self.state.draws.begin(self.at.total)
        outputs = self.module(*inputs)
        loss = self.goal.loss(outputs, targets)
        rest = self.batches.order.steps % self.goal.accumulate
        is_rest = place > self.batches.order.steps - rest
        self.gradients.is_last = is_step
        (loss / (self.shares * (rest if is_rest else self.goal.accumulate))).backward()
        with torch.no_grad():
            found = {name: one(outputs, targets) for name, one in self.goal.metrics.items()}
            self.sums.add(len(batch[1]), loss, found)
        if is_step:
            self.step()

    def step(self) -> None:
        """Change the weights by the averaged gradients."""
        self.gradients.add_up()
        if self.goal.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.wanted, self.goal.clip_norm)
        self.goal.optimizer.step()
        self.goal.optimizer.zero_grad()
        for one in self.wanted:  # one that the optimizer has not would add up for ever
            one.grad = None
        if self.goal.schedule is not None and self.goal.schedule_every == "step":
            self.goal.schedule.step()

    def given(self, batch: tuple[Any, ...]) -> tuple[list[Any], Any]:
        """Return inputs and targets as tensors where the module is, in its type of numbers."""
        if len(batch) != 2:
            raise TrainingError("fit takes inputs and targets, without weights of rows")
        inputs, targets = batch
        if isinstance(inputs, dict):
            names = getattr(self.module, "inputs", inputs)
            inputs = [inputs[name] for name in names]
        many = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        return [*map(self.tensor, many)], self.tensor(targets)

    def tensor(self, array: Any) -> Any:
        found = torch.from_numpy(np.ascontiguousarray(array)).to(self.like.device)
        return found.to(self.like.dtype) if found.is_floating_point() else found

    def finish(self, epoch: int) -> None:
        """End an epoch on all ranks: statistics, numbers of training and of validation."""
        self.state.average_statistics()
        told = self.sums.together(self.transport)
        self.sums = _Sums(tuple(self.goal.metrics))
        if self.validation is not None:
            told |= {f"val_{name}": one for name, one in self.validated(self.validation).items()}
        for name, value in told.items():
            self.history.setdefault(name, []).append(value)
        if self.transport.rank == 0:
            from deepforge_hpc.job import log

            log(step=epoch + 1, **told)
        if self.goal.schedule is not None and self.goal.schedule_every == "epoch":
            self.goal.schedule.step()
        self.at = Position(epoch + 1, 0, self.at.total)

    def validated(self, batches: RankBatches) -> dict[str, float]:
        """Return loss and metrics over all ranks' rows."""
        sums = _Sums(tuple(self.goal.metrics))
        batches.begin_at(0)
        mine = len(batches)
        # A sharded module runs on all ranks together, or they wait for each other for ever.
        most = max(self.transport.gather(mine)) if self.state.is_sharded else mine
        self.module.eval()
        with torch.no_grad():
            for index in range(most):
                batch = batches[min(index, mine - 1)]
                inputs, targets = self.given(batch)
                outputs = self.module(*inputs)
                if index >= mine:
                    continue  # the others' rows: mine are counted
                found = {name: one(outputs, targets) for name, one in self.goal.metrics.items()}
                sums.add(len(batch[1]), self.goal.loss(outputs, targets), found)
        self.module.train()
        return sums.together(self.transport)

    def look(self, *, at_end: bool) -> bool:
        """Agree with all ranks on what to do now, and do it; return whether to go on."""
        self.since += 1
        alone = self.transport.size == 1 and self.stop.asked
        if not at_end and self.since < self.gap and not alone:
            return True
        now = time.monotonic()
        each = (now - self.agreed_at) / max(1, self.since)
        gap = min(_MOST_STEPS, max(1, int(AGREE_S / max(each, 1e-9))))
        due = self.kept is not None and (at_end or now - self.saved_at >= self.checkpoint_s)
        first = self.transport.rank == 0
        numbers = [*self.sums.values, *(one[-1] for one in self.history.values())]
        signals = [self.stop.signal == one for one in (signal.SIGUSR1, signal.SIGTERM)]
        told = [*signals, not all(map(math.isfinite, numbers)), first and due, first * gap]
        warned, ended, lost, due_now, gap = self.transport.sum(np.array(told, np.float64))
        self.gap, self.agreed_at, self.since = int(gap), now, 0
        if lost:
            raise self.diverged()
        if self.kept is not None and (due_now or warned or ended):
            self.save(self.kept)
        if warned or ended:
            self.stop.signal = signal.SIGTERM if ended else signal.SIGUSR1
        return not (warned or ended)

    def save(self, kept: Checkpoints) -> None:
        """Keep the state of all ranks."""
        self.state.average_statistics()
        if not self.state.is_finite():
            raise self.diverged()
        more = {
            "data": self.batches.describe(),
            "world_size": self.transport.size,
            "history": self.history,
            "sums": self.transport.sum(self.sums.values).tolist(),
        }
        self.last = self.state.save(kept, self.at, more)
        self.saved_at = time.monotonic()

    def diverged(self) -> TrainingError:
        mine = f"is {self.last.path} ({self.last.position})" if self.last else "was not made yet"
        last = self.transport.gather(mine)[0]
        return TrainingError(
            f"the loss is no number any more at {self.at}; the last good checkpoint {last}. Lower "
            "the learning rate, clip the gradients (clip_norm), or look for values in the data "
            "that are no numbers"
        )
