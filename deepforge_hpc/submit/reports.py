"""What a submission or a cancellation did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.notice import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReport(JsonResult, schema="dfh/submit/2"):
    """What a submission did."""

    execution: str
    path: str
    attempt: int
    submitted: tuple[tuple[str, str], ...] = ()
    """Job and native id, in the plan's order."""
    kept: tuple[str, ...] = ()
    """Jobs that need not run: they have succeeded, or an earlier execution's result is used."""
    message: str = ""
    """One sentence."""
    warnings: tuple[Notice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**JsonResult.to_dict(self), "submitted": dict(self.submitted)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReport(JsonResult, schema="dfh/cancel/2"):
    """What was cancelled."""

    execution: str
    jobs: tuple[str, ...]
    warnings: tuple[Notice, ...] = ()
