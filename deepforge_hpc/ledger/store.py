"""Read the records of a project. A record that does not hold is named, never taken for absent.

```
<project>/.dfh/FORMAT
<project>/.dfh/loose/<user>/<YYYYMMDD>/<64 hex of the id>.<8 hex of the plan key>.json
<project>/.dfh/blobs/<xx>/<64 hex>
```
The id of a record is the sha256 of its bytes; `deepforge_hpc.runtime.state.record` writes them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.paths import LEDGER_FORMAT
from deepforge_hpc.runtime.base.codec import SchemaError, ShapeError, decode, object_of, parse
from deepforge_hpc.runtime.base.failure import os_hint
from deepforge_hpc.runtime.base.files import digest, read_json, read_own
from deepforge_hpc.runtime.base.layout import LedgerLayout
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.state.closure import ClosureData
from deepforge_hpc.runtime.state.record_data import RecordData

_NAME = re.compile(r"([0-9a-f]{64})(?:\.[0-9a-f]{0,8})?\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record whose bytes hold what its id promises."""

    id: str
    """`sha256:...`"""
    path: Path
    data: RecordData
    raw: dict[str, Any]
    """The record as it is, also what this version does not know; for showing it as JSON."""

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Return whose it is: the uuid of the execution, the job and the array task."""
        return self.data.uuid, self.data.job, self.data.task

    @property
    def execution(self) -> str:
        """Return the id of the execution."""
        return self.data.execution

    @property
    def label(self) -> str:
        """Return what a person calls it: `redshift-0007/render[3]`."""
        return self.data.label

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data."""
        return {"id": self.id, **self.raw}


class DamagedRecordError(LedgerError):
    """A record file is there, but its bytes are not those that its id names."""


class UnreadRecordError(LedgerError):
    """A record is there, and whoever asks may not read it: nobody here knows how it is."""


class MissingRecordError(LedgerError):
    """A record that another one points to is not in the ledger."""


class Ledger:
    """The records and blobs below one `.dfh` folder. Reads only, and only when asked."""

    has_blobs = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index: dict[str, Path] = {}
        self.unread: dict[Path, str] = {}
        """What was passed over, folders and records: path -> why. Each user may close theirs."""

    def get(self, record_id: str) -> Record:
        """Return a record; a LedgerError, of a kind that tells why, if it cannot be had."""
        wanted = record_id.removeprefix("sha256:")
        if wanted not in self._index:
            # Records never change and never move, so only an unknown name is looked for again.
            self._index = {found: path for path, found in self._files()}
        if wanted in self._index:
            return self.read(self._index[wanted])
        message = f"record {short(record_id)} is not in the ledger {self.root}"
        raise MissingRecordError(message, "Was the ledger copied without its folder loose/?")

    def read(self, path: Path) -> Record:
        """Return the record in a file of the ledger, checked against its name."""
        match = _NAME.fullmatch(path.name)
        try:
            content = self._content(path)
        except PermissionError as error:
            message = f"record {path} cannot be read: {_why(error)}"
            raise UnreadRecordError(message, os_hint(error)) from error
        except (OSError, ValueError) as error:
            raise DamagedRecordError(f"record {path}: {_why(error)}") from error
        actual = digest(content)
        if not match or actual != f"sha256:{match[1]}":
            message = f"record {path}: its content was changed (it has {short(actual)} now)"
            raise DamagedRecordError(message, "Restore the file from a backup of the ledger.")
        return parse_record(content, path)

    def starting_with(self, prefix: str) -> list[Path]:
        """Return a file of each record whose id starts so."""
        wanted = prefix.removeprefix("sha256:").lower()
        return list(
            {name: path for path, name in self._files() if name.startswith(wanted)}.values()
        )

    def records(self, *, containing: str = "") -> Iterator[Record]:
        """Yield the sound records, newest day first, whose bytes contain a text."""
        needle = containing.encode(
            "utf-8", "surrogatepass"
        )  # a person may name what no record holds
        for path, _ in self._files():
            record = self._try(path, needle)
            if isinstance(record, Record):
                yield record

    def damaged(self, *, containing: str = "") -> dict[str, LedgerError]:
        """Return by id what is wrong with the records that do not hold and contain a text."""
        needle = containing.encode("utf-8", "surrogatepass")
        found = ((name, self._try(path, needle)) for path, name in self._files())
        return {
            f"sha256:{name}": item for name, item in found if isinstance(item, DamagedRecordError)
        }

    def find_by_content(self, sha256: str) -> list[Record]:
        """Return the records that made, or drew, content of this digest, newest first."""
        found = [record for record in self.records(containing=sha256) if record.data.made(sha256)]
        return sorted(found, key=lambda record: record.data.time.end, reverse=True)

    def find_by_job(
        self, execution: str, job: str | None = None, task: int | None = None
    ) -> list[Record]:
        """Return the end records of an execution, a job or an array task, the latest attempt first.

        By the number of the attempt: the clock of a machine may be wrong.
        """
        found = [
            record
            for record in self.records(containing=json.dumps(execution, ensure_ascii=False))
            if record.execution == execution
            and record.data.kind == "end"
            and (job is None or record.data.job == job)
            and (task is None or record.data.task == task)
        ]
        return sorted(found, key=lambda item: (item.data.attempt, item.data.time.end), reverse=True)

    def blob(self, sha256: str) -> bytes | None:
        """Return a blob; None if it is not stored; LedgerError if its content was changed."""
        path = LedgerLayout(self.root).blob(sha256)
        try:
            content = read_own(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise LedgerError(f"blob {path}: {_why(error)}") from error
        if digest(content) != f"sha256:{path.name}":
            message = f"blob {path}: its content was changed"
            raise LedgerError(message, "Restore the file from a backup of the ledger.")
        return content

    def _try(self, path: Path, needle: bytes = b"") -> Record | DamagedRecordError | None:
        """Return a record, what is wrong with it, or None if it does not contain `needle`."""
        try:
            if not needle or needle in (content := self._content(path)):
                return self.read(path)
            if not content.strip(b"\0"):  # a power cut took it: it does not show whose it is
                self.unread[path] = "it is empty"
            return None
        except (PermissionError, UnreadRecordError) as error:
            self.unread[path] = _why(error)
            return None
        except DamagedRecordError as error:
            return error
        except (OSError, ValueError) as error:
            return DamagedRecordError(f"record {path}: {_why(error)}")

    def _content(self, path: Path) -> bytes:
        return read_own(path)

    def _check_format(self) -> None:
        """Raise LedgerError if a later version keeps records here where this one does not look."""
        file = LedgerLayout(self.root).format
        try:
            found = read_json(file).get("format")
        except FileNotFoundError:
            return
        except ValueError as error:
            hint = f"If no later version of dfh writes to this ledger, nothing is lost: rm {file}"
            raise LedgerError(f"{file}: damaged: {error}", hint) from error
        except OSError as error:
            raise LedgerError(
                f"{file}: cannot be read: {error.strerror}", os_hint(error)
            ) from error
        if found != LEDGER_FORMAT:
            message = f"{file}: format {found!r}, this version reads {LEDGER_FORMAT}"
            raise LedgerError(message, "Use the version of deepforge-hpc that wrote the ledger.")

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Yield each record file and the hex of the id in its name, newest day first."""
        self._check_format()
        loose = LedgerLayout(self.root).loose
        users = [path for path, is_folder in self._entries(loose) if is_folder]
        days = [path for user in users for path, is_folder in self._entries(user) if is_folder]
        for day in sorted(days, key=lambda path: path.name, reverse=True):
            for path, _ in self._entries(day):
                if match := _NAME.fullmatch(path.name):
                    yield path, match[1]

    def _entries(self, folder: Path) -> list[tuple[Path, bool]]:
        """Return what lies in a folder, and whether it is one; nothing of what is another's."""
        try:
            with os.scandir(folder) as entries:
                return sorted((Path(entry.path), entry.is_dir()) for entry in entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unread[folder] = _why(error)
            return []

    def faults(self) -> list[str]:
        """Return a sentence of each record that does not hold, and of what was passed over."""
        damaged = [error.message for error in self.damaged().values()]
        return damaged + [notice.text for notice in self.passed_over()]

    def lost(self) -> dict[str, LedgerError]:
        """Return by id what was copied from a ledger that is here, and cannot be had there now."""
        return {}

    def passed_over(self) -> Iterator[Notice]:
        """Say of which folders and records nothing was seen."""
        for path, why in self.unread.items():
            what = f"record {path} was" if self.id_of(path) else f"the records in {path} were"
            yield Notice("records_unreadable", f"{what} passed over: {why}", str(path))

    @staticmethod
    def id_of(path: Path) -> str:
        """Return the id that the name of a record's file says; empty for another path."""
        match = _NAME.fullmatch(path.name)
        return f"sha256:{match[1]}" if match else ""


class Closure(Ledger):
    """The records in the file `<artifact>.prov` that lies beside an artifact."""

    has_blobs = False

    def __init__(self, file: Path, near: Sequence[Ledger] = ()) -> None:
        super().__init__(file)
        self._near = near

    @cached_property
    def data(self) -> ClosureData:
        """What the file holds; LedgerError if it is none."""
        try:
            found = parse(ClosureData, read_own(self.root.resolve()), is_open=True)
            if found.record not in found.records:
                raise ValueError(f"it lacks record {short(found.record)}")
        except (OSError, ValueError) as error:
            message = f"{self.root}: not a closure of records: {error}"
            raise LedgerError(message, "Copy it again from beside the original.") from error
        return found

    def lost(self) -> dict[str, LedgerError]:
        lost: dict[str, LedgerError] = {}
        for record_id in self.data.records:
            for ledger in self._near:
                if ledger.starting_with(record_id):
                    try:
                        ledger.get(record_id)
                    except LedgerError as error:
                        lost[record_id] = error
        return lost

    def _content(self, path: Path) -> bytes:
        return self.data.records[f"sha256:{path.stem}"].encode()

    def _files(self) -> Iterator[tuple[Path, str]]:
        for record_id in self.data.records:
            name = record_id.removeprefix("sha256:")
            yield self.root / f"{name}.json", name


def parse_record(content: bytes, path: Path) -> Record:
    """Return the record that bytes hold; DamagedRecordError if they are no record."""
    try:
        raw = object_of(content)
        data = decode(RecordData, raw, is_open=True)
    except SchemaError as error:
        message = f"record {path}: {error}"
        raise DamagedRecordError(message, "Was it written by a newer deepforge-hpc?") from error
    except ShapeError as error:
        message = f"record {path}: {error}"
        raise DamagedRecordError(message, "No version of deepforge-hpc writes that.") from error
    return Record(id=digest(content), path=path, data=data, raw=raw)


def short(sha256: str) -> str:
    """Return the first 12 hex digits of a digest, as they are shown."""
    return sha256.removeprefix("sha256:")[:12]


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
