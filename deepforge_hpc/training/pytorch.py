"""`fit` of a PyTorch module: a plain loop, on all ranks together, that can go on."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from deepforge_hpc.job import StopRequest, log, stopping
from deepforge_hpc.training import torch_shards
from deepforge_hpc.training.agreement import CHECKPOINT_S, check_agreement, folder_of, newest_of
from deepforge_hpc.training.checkpoints import Checkpoint, Checkpoints, Position
from deepforge_hpc.training.early_stopping import EarlyStopping
from deepforge_hpc.training.epoch_parts import EpochParts
from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.rank_batches import RankBatches
from deepforge_hpc.training.torch_best import Best
from deepforge_hpc.training.torch_faults import clear
from deepforge_hpc.training.torch_gradients import Gradients
from deepforge_hpc.training.torch_losses import Loss, Losses
from deepforge_hpc.training.torch_normalization import is_synchronized, synchronize
from deepforge_hpc.training.torch_precision import Precision
from deepforge_hpc.training.torch_rate import Rate
from deepforge_hpc.training.torch_state import TorchState, network_digest
from deepforge_hpc.training.transports import Transport

__all__ = ["EarlyStopping", "Goal", "Metric", "fit", "synchronize"]

AGREE_S = 1.0
"""How long ranks go on without asking each other whether to stop."""
_MOST_STEPS = 200
"""However short steps are: where a file system slows down they become a hundred times longer."""
Metric = Callable[[Any, Any], Any]
"""Takes outputs and targets, and returns a number for each row."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a training learns, and how."""

    loss: Loss | Mapping[str, Loss]
    """Of PyTorch: a mean over rows. Of a module with several outputs one for each, in their order,
    by names that the targets have too."""
    optimizer: Any
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    """Of the outputs' losses; 1 where none is given."""
    schedule: Any = None
    """Of `torch.optim.lr_scheduler`."""
    schedule_every: Literal["epoch", "step"] = "epoch"
    warmup_steps: int = 0
    """Steps of the optimizer in which the rate rises from 0; the schedule begins behind them."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    accumulate: int = 1
    """Batches for each step of the optimizer."""
    clip_norm: float = 0.0
    """Bound of the norm of all gradients together, after they were averaged; 0: none."""
    clip_each: float = 0.0
    """Bound of the norm of each parameter's gradient; 0: none."""
    clip_value: float = 0.0
    """Bound of each number of the gradients; 0: none."""
    precision: Literal["", "mixed_bfloat16", "mixed_float16"] = ""
    """What layers compute in; weights and losses stay as they are."""
    frozen: Sequence[Any] = ()
    """Modules of it that train nothing: those whose statistics move stay as they predict."""


def fit(  # noqa: PLR0913 - the choices of one call, by their names
    module: Any,
    batches: RankBatches,
    goal: Goal,
    *,
    epochs: int,
    transport: Transport,
    validation: RankBatches | None = None,
    early_stopping: EarlyStopping | None = None,
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
    check_agreement(network_digest(module), batches, validation, epochs, transport)
    torch_shards.check(module, goal.optimizer, transport)
    kept = folder_of(checkpoints)
    found = newest_of(kept, batches, transport)
    with stopping() as stop:
        run = _Run(module, batches, goal, transport, validation, early_stopping)
        run.keep(kept, checkpoint_s, stop)
        try:
            run.begin(found)
            while run.at.epoch < epochs and not run.is_over and run.epoch():
                pass
            run.end()
        finally:
            run.gradients.close()
    return run.history


class _Sums:
    """Sums over rows, of which all ranks' parts are added before they are divided."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = ("loss", *names)
        self._values = np.zeros(len(self.names) + 1)
        self._new: list[tuple[int, list[Any], list[Any]]] = []

    def add(self, rows: int, losses: list[Any], metrics: list[Any]) -> None:
        """Count a batch, whose numbers stay where they are: to read one waits for its device."""
        sums = [one.double().sum() for one in metrics]
        self._new.append((rows, [one.detach() for one in losses], sums))

    @property
    def values(self) -> Any:
        """The sums so far, and the number of rows."""
        new, self._new = self._new, []
        for rows, losses, metrics in new:
            means = [float(one) * rows for one in losses]
            self._values += [*means, *map(float, metrics), rows]
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
        early_stopping: EarlyStopping | None,
    ) -> None:
        self.module, self.batches, self.goal = module, batches, goal
        self.transport, self.validation = transport, validation
        self.losses = Losses(goal.loss, goal.loss_weights, transport.size)
        self.rate = Rate(goal.optimizer, goal.schedule, goal.schedule_every, goal.warmup_steps)
        self.precision = Precision(goal.precision, module)
        self.state = TorchState(module, goal.optimizer, self.rate, transport)
        self.best = Best(early_stopping, self.state)
        self.at, self.history = Position(), dict[str, list[float]]()
        self.sums = self.nothing()
        logged = [*self.sums.names]
        self.best.check([*logged, *(f"val_{name}" for name in logged if validation is not None)])
        self.last: Checkpoint | None = None
        self.wanted = [one for one in module.parameters() if one.requires_grad]
        travel = transport.size > 1 and not self.state.is_sharded
        self.gradients = Gradients(self.wanted if travel else (), transport)
        self.shares = transport.size if travel else 1
        """Gradients are added up over so many ranks, so each loss is divided by them."""
        # Exchanges of a normalisation lie within the backward pass: in one order on all ranks.
        self.is_early = not is_synchronized(module)
        self.like = next(module.parameters())
        self.gap = self.since = 1
        self.clock = EpochParts(transport)

    def keep(self, kept: Checkpoints | None, checkpoint_s: float, stop: StopRequest) -> None:
        """Say where checkpoints go and who asks to stop."""
        self.kept, self.checkpoint_s, self.stop = kept, checkpoint_s, stop
        self.saved_at = self.agreed_at = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Return whether nothing is to be learnt any more."""
        return self.best.is_over

    def nothing(self) -> _Sums:
        return _Sums((*self.losses.names, *self.goal.metrics))

    def begin(self, found: Checkpoint | None) -> None:
        """Start all ranks alike, or where a checkpoint was made."""
        self.state.share()
        if found is not None:
            arrays = self.state.restore(found)
            self.at, self.last = found.position, found
            self.history = {name: list(one) for name, one in found.state["history"].items()}
            self.precision.restore(found.state.get("precision"))
            self.best.restore(found.state.get("best"), arrays)
            if self.transport.rank == 0:
                self.sums.values[:] += found.state["sums"]

    def end(self) -> None:
        """Take the weights of the best epoch, where they are wanted and nobody asked to stop."""
        if not self.stop.asked:
            self.precision.end()
            self.best.take()

    def epoch(self) -> bool:
        """Go through the rest of an epoch; return whether there is more to do."""
        epoch, first = self.at.epoch, self.at.step
        self.batches.begin_at(epoch, first)
        self.learns()
        steps = len(self.batches)
        for index in range(steps):
            place = first + index + 1
            is_step = place % self.goal.accumulate == 0 or index + 1 == steps
            with self.clock.of("waiting"):
                batch = self.batches[index]
            with self.clock.of("compute"):
                self.learn(batch, place, is_step=is_step)
            self.clock.look()
            self.at = Position(epoch, place, self.at.total + 1)
            if is_step and index + 1 < steps and not self.look(at_end=False):
                return False
        self.finish(epoch)
        return self.look(at_end=True)

    def learns(self) -> None:
        """Let the module learn: but for statistics of what is frozen."""
        self.module.train()
        for frozen in self.goal.frozen:
            for one in frozen.modules():
                if next(one.buffers(recurse=False), None) is not None:
                    one.eval()

    def learn(self, batch: tuple[Any, ...], place: int, *, is_step: bool) -> None:
        """Learn from one batch; the gradients of all ranks and batches are averaged in a step."""
        inputs, targets, weights = self.given(batch)
        self.state.draws.begin(self.at.total)
        rows = f"{len(inputs[0])} rows, of batch_size {self.batches.order.batch_size} on all ranks"
        with clear(f"the network cannot learn from a batch of {rows}", (ValueError,)):
            outputs = self.precision.outputs(self.module, inputs)
        loss, each = self.losses(outputs, targets, weights)
        rest = self.batches.order.steps % self.goal.accumulate
        is_rest = place > self.batches.order.steps - rest
        self.gradients.is_last = is_step and self.is_early
        self.precision.backward(loss / (self.shares * (rest if is_rest else self.goal.accumulate)))
        self.count(self.sums, len(inputs[0]), [loss, *each.values()], outputs, targets)
        if is_step:
            self.step()

    def count(self, sums: _Sums, rows: int, losses: list[Any], outputs: Any, targets: Any) -> None:
        """Add what a batch gave."""
        with torch.no_grad():
            metrics = []
            for name, one in self.goal.metrics.items():
                with clear(f"the metric {name} cannot be computed"):
                    metrics.append(one(outputs, targets))
            sums.add(rows, losses, metrics)

    def step(self) -> None:
        """Change the weights by the averaged gradients."""
        self.gradients.add_up()
        self.precision.unscale(self.goal.optimizer)
        self.clip()
        self.precision.step(self.goal.optimizer)
        self.goal.optimizer.zero_grad()
        for one in self.wanted:  # one that the optimizer has not would add up for ever
            one.grad = None
        self.rate.after_step()

    def clip(self) -> None:
        clip, goal = torch.nn.utils, self.goal
        used = [one for one in self.wanted if one.grad is not None]
        if goal.clip_norm:
            clip.clip_grad_norm_(used, goal.clip_norm)
        for one in used if goal.clip_each else ():
            clip.clip_grad_norm_([one], goal.clip_each)
        if goal.clip_value:
            clip.clip_grad_value_(used, goal.clip_value)

    def given(self, batch: tuple[Any, ...]) -> tuple[list[Any], Any, Any]:
        """Return inputs, targets and weights as tensors where the module is, in its numbers."""
        inputs, targets, *weights = batch
        declared = getattr(self.module, "inputs", None)
        kinds = declared if isinstance(declared, dict) else {}
        if isinstance(inputs, dict):
            many = {name: inputs[name] for name in kinds or inputs}
        else:
            listed = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            names = list(kinds) if len(kinds) == len(listed) else range(len(listed))
            many = dict(zip(names, listed, strict=True))
        found = [self.tensor(one, kinds.get(name)) for name, one in many.items()]
        wanted = (
            {name: self.tensor(one) for name, one in targets.items()}
            if isinstance(targets, dict)
            else self.tensor(targets)
        )
        return found, wanted, self.tensor(weights[0]) if weights else None

    def tensor(self, array: Any, kind: Any = None) -> Any:
        """Return an array as the module takes it: `kind` is what it declares of an input."""
        found = torch.from_numpy(np.ascontiguousarray(array)).to(self.like.device)
        if kind is not None and not kind.is_floating_point:
            return found.to(kind)
        wanted = kind is not None or found.is_floating_point()
        return found.to(self.like.dtype) if wanted else found

    def finish(self, epoch: int) -> None:
        """End an epoch on all ranks: statistics, numbers of training and of validation."""
        with self.clock.of("compute"):  # which waits for the last steps on a device
            self.state.average_statistics()
            metrics = self.sums.together(self.transport)
        self.sums = self.nothing()
        if self.validation is not None:
            with self.clock.of("validation"):
                found = self.validated(self.validation)
            metrics |= {f"val_{name}": one for name, one in found.items()}
        metrics = self.transport.gather(metrics)[0]  # to the last bit, for what is decided by it
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        spent = self.clock.record()
        if self.transport.rank == 0:
            log(step=epoch + 1, **metrics, **spent)
        self.rate.after_epoch(metrics.get("val_loss", metrics["loss"]))
        self.best.see(epoch, metrics)
        self.at = Position(epoch + 1, 0, self.at.total)

    def validated(self, batches: RankBatches) -> dict[str, float]:
        """Return loss and metrics over all ranks' rows."""
        sums = self.nothing()
        batches.begin_at(0)
        mine = len(batches)
        # A sharded module runs on all ranks together, or they wait for each other for ever.
        most = max(self.transport.gather(mine)) if self.state.is_sharded else mine
        self.module.eval()
        with torch.no_grad():
            for index in range(most):
                batch = batches[min(index, mine - 1)]
                inputs, targets, weights = self.given(batch)
                outputs = self.precision.outputs(self.module, inputs)
                if index >= mine:
                    continue  # the others' rows: mine are counted
                loss, each = self.losses(outputs, targets, weights)
                self.count(sums, len(inputs[0]), [loss, *each.values()], outputs, targets)
        self.learns()
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
        with self.clock.of("compute"):  # so that the steps on a device have ended
            sums = self.sums.values
        numbers = [*sums, *(one[-1] for one in self.history.values())]
        signals = [self.stop.signal == one for one in (signal.SIGUSR1, signal.SIGTERM)]
        votes = [*signals, not all(map(math.isfinite, numbers)), first and due, first * gap]
        warned, ended, lost, due_now, gap = self.transport.sum(np.array(votes, np.float64))
        self.gap, self.agreed_at, self.since = int(gap), now, 0
        if lost:
            raise self.diverged()
        if self.kept is not None and (due_now or warned or ended):
            with self.clock.of("checkpoint"):
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
            "precision": self.precision.state(),
            "best": self.best.state(),
        }
        self.last = self.state.save(kept, self.at, more, self.best.arrays())
        self.saved_at = time.monotonic()

    def diverged(self) -> TrainingError:
        mine = f"is {self.last.path} ({self.last.position})" if self.last else "was not made yet"
        last = self.transport.gather(mine)[0]
        return TrainingError(
            f"the loss is no number any more at {self.at}; the last good checkpoint {last}. Lower "
            "the learning rate, clip the gradients (clip_norm), or look for values in the data "
            "that are no numbers"
        )
