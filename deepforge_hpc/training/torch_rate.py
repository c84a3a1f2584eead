"""The learning rate of a PyTorch optimizer: a line from 0 first, then a schedule."""

from __future__ import annotations

from typing import Any, Literal

import torch


class Rate:
    """Sets the rate behind each step of the optimizer, and at the end of each epoch."""

    def __init__(
        self, optimizer: Any, schedule: Any, every: Literal["epoch", "step"], warm: int
    ) -> None:
        self._groups, self._schedule, self._every = optimizer.param_groups, schedule, every
        self._warm, self._steps = warm, 0
        self._rates = self._now()  # as the schedule wants them, which may have begun
        self._apply()

    def after_step(self) -> None:
        """Go on by a step of the optimizer."""
        self._steps += 1
        if self._schedule is not None and self._every == "step" and self._steps > self._warm:
            self._go_on()
        elif self._steps <= self._warm:
            self._apply()

    def after_epoch(self, watched: float) -> None:
        """Go on by an epoch; `watched` is for a schedule that waits for a plateau."""
        if self._schedule is None or self._every != "epoch" or self._steps <= self._warm:
            return
        is_plateau = isinstance(self._schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
        self._go_on(*([watched] if is_plateau else []))

    def _go_on(self, *watched: float) -> None:
        self._set(self._rates)  # many schedules make the next rate from the last one
        self._schedule.step(*watched)
        self._rates = self._now()

    def _apply(self) -> None:
        share = min(1.0, (self._steps + 1) / (self._warm + 1))
        self._set([rate * share for rate in self._rates])

    def _now(self) -> list[Any]:
        return [group["lr"] for group in self._groups]

    def _set(self, rates: list[Any]) -> None:
        for group, rate in zip(self._groups, rates, strict=True):
            group["lr"] = rate

    @property
    def kind(self) -> str:
        """Return the name of the schedule."""
        return "none" if self._schedule is None else type(self._schedule).__name__

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        schedule = self._schedule.state_dict() if self._schedule is not None else None
        return {"steps": self._steps, "rates": [*self._rates], "schedule": schedule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint has."""
        self._steps, self._rates = state["steps"], state["rates"]
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])
        self._apply()
