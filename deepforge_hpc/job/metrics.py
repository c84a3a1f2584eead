"""The numbers of a running operation: the runtime's own function, which a job has as another."""

from __future__ import annotations

try:
    from dfh_runtime import log
except ImportError:  # not in a job, so all of deepforge_hpc is there
    from deepforge_hpc.runtime.base.metrics import log

__all__ = ["log"]
