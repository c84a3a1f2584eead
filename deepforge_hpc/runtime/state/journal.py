"""What jobs need of `submitted.jsonl`: native ids, and whether an attempt was cancelled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..base.layout import ExecutionLayout


def read_events(layout: ExecutionLayout) -> list[dict[str, Any]]:
    """Return the submitter's events in order; a torn last line is left out."""
    try:
        lines = layout.submitted.read_bytes().splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def cancelled_attempts(layout: ExecutionLayout) -> set[int]:
    """Return the attempts that `dfh cancel` ended."""
    return {event["attempt"] for event in read_events(layout) if event.get("event") == "cancel"}


def submitted_tasks(layout: ExecutionLayout, attempt: int) -> dict[str, list[int]]:
    """Return the tasks of those arrays of which an attempt runs only a part."""
    for event in read_events(layout):
        if event.get("event") == "intent" and event.get("attempt") == attempt:
            return dict(event["tasks"])
    return {}


def native_ids(layout: ExecutionLayout, attempt: int) -> dict[str, str]:
    """Return the scheduler's id of each job that was submitted in an attempt."""
    return {
        event["job"]: str(event["native_id"])
        for event in read_events(layout)
        if event.get("event") == "job" and event.get("attempt") == attempt
    }
