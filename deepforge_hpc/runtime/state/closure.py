"""The history of one artifact in one file: its record, and all records that it follows from."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..base.files import digest, read_own
from .record import index_records
from .record_data import parse_record

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "dfh/closure/1"


def build_closure(ledger: Path, artifact: str, record: str) -> dict[str, Any]:
    """Return the closure of a record: flat, by id, each as the very text that the id names.

    A record that is missing or damaged is left out: who reads the closure sees the gap.
    """
    files = index_records(ledger)
    records: dict[str, str] = {}
    todo = [record]
    while todo:
        identity = todo.pop()
        if identity in records or identity not in files:
            continue
        content = b""
        with suppress(OSError, ValueError):
            content = read_own(files[identity])
        if digest(content) != identity:
            continue
        records[identity] = content.decode()
        todo += parse_record(content).producers
    return {"schema": SCHEMA, "artifact": artifact, "record": record, "records": records}
