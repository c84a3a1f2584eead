"""The history of one artifact in one file: its record, and all records that it follows from."""

# Annotations are types here, which the codec reads.
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..base.codec import parse
from ..base.files import digest, read_own
from .record import index_records
from .record_data import parse_record


class ClosureData(NamedTuple):
    """The file `<artifact>.prov`."""

    artifact: str
    """Digest of the artifact when it was published."""
    record: str
    """Id of the record that made it."""
    records: dict[str, str]
    """By id, each as the very text that the id names."""
    ledger: str = ""
    """Of the project that laid the artifact there; earlier versions did not say."""
    schema: str = "dfh/closure/1"


def build_closure(ledger: Path, artifact: str, record: str) -> ClosureData:
    """Return the closure of a record.

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
    return ClosureData(artifact, record, records, str(ledger))


def beside(artifact: Path) -> Path:
    """Return where the history of an artifact lies."""
    return artifact.with_name(f"{artifact.name}.prov")


def other_ledger(artifact: Path, ledger: Path) -> str:
    """Return the ledger of another project that laid an artifact there; empty if none is known.

    A project that was moved, or is gone, is no other one: its ledger is not there any more.
    """
    with suppress(OSError, ValueError):
        found = parse(ClosureData, read_own(beside(artifact)), is_open=True)
        if found.ledger and not ledger.samefile(found.ledger):
            return found.ledger
    return ""
