"""The half of a scheduler's adapter that travels: what a job asks of the scheduler that runs it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from ..base.native import NativeStatus
from ..base.plugins import load_plugins
from ..base.states import State
from .base import QueryResult, Scheduler

__all__ = ["NativeStatus", "QueryResult", "Scheduler", "State", "load_scheduler", "memory_words"]

_BUILT_IN = {"slurm": "Slurm", "local": "Local"}


def load_scheduler(name: str, code: Path) -> Scheduler:
    """Return the travelling half of an execution's scheduler; JobError if it cannot be loaded.

    One that needs nothing of its own has none, and is told by the header of its scripts.
    """
    if name in _BUILT_IN:
        return cast("Scheduler", getattr(import_module(f".{name}", __package__), _BUILT_IN[name])())
    return cast("Scheduler", load_plugins(code, "schedulers").get(name) or Scheduler())


def memory_words(name: str, log: str) -> str:
    """Return what a scheduler wrote into the log of a job that it ended for want of memory.

    Of a built-in one alone: who looks at an execution runs nothing of its code.
    """
    if name not in _BUILT_IN:
        return ""
    scheduler: Scheduler = getattr(import_module(f".{name}", __package__), _BUILT_IN[name])()
    return scheduler.memory_words(log)
