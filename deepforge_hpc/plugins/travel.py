"""Plug-ins that travel: their source is copied into `code/library`, and a table names them there.

Formats and launchers travel whole; a scheduler's adapter names its other half (`Scheduler.job`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import deepforge_hpc.runtime
from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.scheduler import Scheduler, scheduler_named
from deepforge_hpc.runtime.launchers import LAUNCHERS
from deepforge_hpc.runtime.schedulers import Scheduler as JobScheduler

RUNTIME = "dfh_runtime"
"""What the runtime is called in a job."""


@contextmanager
def as_in_a_job() -> Iterator[None]:
    """Let a module that is written for the job import the runtime by the name it has there."""
    if RUNTIME in sys.modules:
        yield
        return
    sys.modules[RUNTIME] = deepforge_hpc.runtime
    try:
        yield
    finally:
        # Whoever asks later whether this is a job must not be told so.
        del sys.modules[RUNTIME]


def half_of(scheduler: Scheduler) -> JobScheduler:
    """Return the half of an adapter that travels."""
    if not scheduler.job:
        return JobScheduler()
    module, _, attribute = scheduler.job.partition(":")
    with as_in_a_job():
        return cast("JobScheduler", getattr(importlib.import_module(module), attribute)())


def carried(
    formats: Mapping[str, str], scheduler: str, launchers: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Return `module:object` of what an execution must carry, by kind and name; often nothing."""
    found: dict[str, dict[str, str]]
    found = {"formats": dict(formats), "launchers": {}, "schedulers": {}}
    for name in set(launchers) - LAUNCHERS.keys():
        if name in registry.installed("launchers"):
            found["launchers"][name] = registry.target("launchers", name)
    half = scheduler_named(scheduler).job if scheduler else ""
    if half and not half.startswith("deepforge_hpc."):  # ours lie in the runtime itself
        found["schedulers"][scheduler] = half
    return {kind: named for kind, named in found.items() if named}
