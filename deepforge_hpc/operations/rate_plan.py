"""The learning rate in numbers and words: scaled by the batch, warmed up, then on a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.training.errors import TrainingError

if TYPE_CHECKING:
    from deepforge_hpc.operations.train import Train


class RatePlan(NamedTuple):
    """What a training's settings make of the rate."""

    rate: float
    warm: int
    """Steps of the line from 0 to the rate."""
    steps: int
    """All steps of the training."""
    said: str
    """How the rate came about."""

    @property
    def left(self) -> int:
        """Return the steps behind the warm-up."""
        return max(1, self.steps - self.warm)

    def words(self, schedule: str = "") -> str:
        """Return what the report says, with a schedule such as `CosineDecay over 9 steps`."""
        then = f", then {schedule}" if schedule else ""
        return self.said + then + (f", after a warm-up of {self.warm} steps" if self.warm else "")


def rate_plan(settings: Train, arguments: Mapping[str, Any], name: str, steps: int) -> RatePlan:
    """Return the plan; an optimizer's own rate, its argument `name`, takes the attribute's place.

    `steps` are those of an epoch.
    """
    rate = arguments.get(name, settings.learning_rate)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TrainingError(
            f"optimizer: its {name} is {rate!r}, not a number; for one that changes, set schedule"
        )
    rate = float(rate)
    said = f"{rate:g}"
    if settings.learning_rate_batch:
        rate *= settings.batch_size / settings.learning_rate_batch
        counts = f"{settings.batch_size}/{settings.learning_rate_batch}"
        said = f"{rate:g} = {said} x {counts} (batch_size/learning_rate_batch)"
    return RatePlan(rate, round(settings.warmup_epochs * steps), steps * settings.epochs, said)
