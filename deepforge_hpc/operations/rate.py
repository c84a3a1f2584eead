"""The learning rate: scaled by the batch, warmed up, on a schedule, and told."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.operations.named import make, parse
from deepforge_hpc.operations.train import Train
from deepforge_hpc.training.errors import TrainingError


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a line from 0 to what another schedule begins with, which then goes on."""

    def __init__(self, steps: int, then: Any) -> None:
        self.steps, self.then = steps, then

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        step = ops.cast(step, "float32")
        after = ops.maximum(step - self.steps, 0.0)
        rate = self.then(after) if callable(self.then) else self.then
        return ops.minimum((step + 1) / (self.steps + 1), 1.0) * rate

    def get_config(self) -> dict[str, Any]:
        return {"steps": self.steps, "then": self.then}


def learning_rate(settings: Train, steps: int) -> tuple[Any, str]:
    """Return a number or a schedule, and how it came about; `steps` are those of an epoch."""
    rate = _given(settings)
    said = f"{rate:g}"
    if settings.learning_rate_batch:
        factor = settings.batch_size / settings.learning_rate_batch
        rate *= factor
        counts = f"{settings.batch_size}/{settings.learning_rate_batch}"
        said = f"{rate:g} = {said} x {counts} (batch_size/learning_rate_batch)"
    warm = round(settings.warmup_epochs * steps)
    found: Any = rate
    if settings.schedule is not None:
        # Named as the schedules of Keras name them: what is not told follows from the training.
        left = max(1, steps * settings.epochs - warm)
        defaults = {"initial_learning_rate": rate, "decay_steps": left}
        found = make("schedule", settings.schedule, defaults)
        said += f", then {type(found).__name__} over {left} steps"
    if warm:
        said += f", after a warm-up of {warm} steps"
        found = WarmUp(warm, found)
    return found, said


def _given(settings: Train) -> float:
    """Return the rate to begin with: the optimizer's own argument, if it has one."""
    rate = parse("optimizer", settings.optimizer)[1].get("learning_rate", settings.learning_rate)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TrainingError(
            f"optimizer: its learning_rate is {rate!r}, not a number; for one that changes, set "
            "schedule"
        )
    return float(rate)
