"""The success marker of a job: `success.json`, written last, names its verified outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.files import publish_json, read_json

if TYPE_CHECKING:
    from ..base.layout import JobLayout

SCHEMA = "dfh/success/1"


def read(folder: JobLayout) -> dict[str, Any] | None:
    """Return the marker of a job, None if there is none; ValueError if it is damaged."""
    try:
        data = read_json(folder.success)
    except FileNotFoundError:
        return None
    if data.get("schema") != SCHEMA:
        message = f"{folder.success}: schema {data.get('schema')!r} is not {SCHEMA!r}"
        raise ValueError(message)
    if not isinstance(data.get("outputs"), dict) or "plan_key" not in data or "record" not in data:
        message = f"{folder.success}: not a whole marker"
        raise ValueError(message)
    return data


def write(
    folder: JobLayout,
    *,
    job: str,
    task: int | None,
    attempt: int,
    plan_key: str,
    record: str,
    outputs: dict[str, dict[str, Any]],
    reused_from: dict[str, Any] | None = None,
) -> None:
    """Publish the marker of a job whose outputs and record lie under their final names."""
    data = {
        "schema": SCHEMA,
        "job": job,
        "task": task,
        "attempt": attempt,
        "plan_key": plan_key,
        "record": record,
        "outputs": outputs,
        "reused_from": reused_from,
    }
    publish_json(folder.success, data)
