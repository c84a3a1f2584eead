"""The learning rate: scaled by the batch, warmed up, on a schedule, and told."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.operations.named import make, parse
from deepforge_hpc.operations.rate_plan import rate_plan
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
    if settings.schedule_every == "epoch":
        raise TrainingError("schedule_every: Keras' schedules go on with each step: leave it out")
    _, arguments = parse("optimizer", settings.optimizer)
    plan = rate_plan(settings, arguments, "learning_rate", steps)
    found: Any = plan.rate
    schedule = ""
    if settings.schedule is not None:
        # Named as the schedules of Keras name them: what is not told follows from the training.
        defaults = {"initial_learning_rate": plan.rate, "decay_steps": plan.left}
        found = make("schedule", settings.schedule, defaults)
        schedule = f"{type(found).__name__} over {plan.left} steps"
    return WarmUp(plan.warm, found) if plan.warm else found, plan.words(schedule)
