"""When a training has learnt what it can, and which epoch was best, whatever the framework."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from deepforge_hpc.training.errors import TrainingError, meant

_KEPT = ("best", "best_epoch", "wait", "is_over")


@dataclass(kw_only=True)
class EarlyStopping:
    """Ends a training when a number has not got better; arguments and meaning are those of Keras.

    Without an end in sight (`patience` as long as the training) it tells the best epoch alone.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    """How much better is better."""
    patience: int = 0
    """Epochs without anything better."""
    mode: Literal["auto", "min", "max"] = "auto"
    baseline: float | None = None
    """What must be reached for the patience to begin anew."""
    restore_best_weights: bool = False
    start_from_epoch: int = 0
    best: float | None = field(default=None, init=False)
    best_epoch: int = field(default=0, init=False)
    wait: int = field(default=0, init=False)
    is_over: bool = field(default=False, init=False)

    def check(self, logged: Collection[str]) -> None:
        """Raise TrainingError for a name that is never logged."""
        if self.mode not in {"auto", "min", "max"}:
            raise TrainingError(f"early_stopping: mode is auto, min or max, not {self.mode!r}")
        if self.monitor in logged:
            return
        if self.monitor.removeprefix("val_") in logged:
            raise TrainingError(
                f"EarlyStopping monitors {self.monitor}, and no rows are kept to validate with: "
                "set validation_split, or give the input validation"
            )
        near = meant(self.monitor, logged)
        hint = f"did you mean {near}? " if near else ""
        raise TrainingError(
            f"EarlyStopping monitors {self.monitor!r}, which is not logged; {hint}"
            f"There are {', '.join(logged)}"
        )

    def is_best(self, epoch: int, value: float) -> bool:
        """Count an epoch; tell whether it is the best so far."""
        if epoch < self.start_from_epoch:
            return False
        self.wait += 1
        if self._is_better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self._is_better(value, self.baseline):
                self.wait = 0
            return True
        self.is_over = self.wait >= self.patience and epoch > 0
        return False

    def _is_better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        is_max = self.mode == "max" or (self.mode == "auto" and self.monitor.endswith("accuracy"))
        gain = value - than if is_max else than - value
        return gain > abs(self.min_delta)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint has."""
        for name in _KEPT:
            setattr(self, name, state[name])
