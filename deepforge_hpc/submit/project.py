"""The `.dfh` folder of a project as the submitter marks it: format, blobs, executions folders."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.paths import EXECUTIONS, LEDGER, LEDGER_FORMAT
from deepforge_hpc.runtime.base.files import (
    canonical_json,
    load_json,
    make_folder,
    publish_bytes,
    publish_json,
    read_json,
    read_own,
)
from deepforge_hpc.runtime.base.layout import LedgerLayout


def mark(project: Path, executions: Path, uuid: str) -> Path:
    """Make the folder a project with a ledger, note where executions lie; return the ledger.

    `uuid` becomes the ledger's own, if it is new. Raises OSError.
    """
    ledger = project / LEDGER
    layout = LedgerLayout(ledger)
    for folder in (ledger, layout.loose, layout.blobs):
        make_folder(folder)
    mark = {"format": LEDGER_FORMAT, "hash": "sha256", "id": uuid}
    _create(layout.format, canonical_json(mark))
    folders = executions_folders(project)
    if executions not in folders:
        noted = [str(folder) for folder in (*folders, executions)]
        publish_json(layout.executions, noted)
    return ledger


def executions_folders(project: Path) -> list[Path]:
    """Return the folders in which the project's executions may lie, the default first."""
    folders = [project / EXECUTIONS]
    try:
        noted = load_json(read_own(LedgerLayout(project / LEDGER).executions))
    except (OSError, ValueError):
        return folders
    names = noted if isinstance(noted, list) else []
    folders += [project / name for name in names if isinstance(name, str) and name.isprintable()]
    return list(dict.fromkeys(folders))


def name_of(pipeline: str, number: int) -> str:
    """Return the name of an execution."""
    return f"{pipeline}-{number:04d}"


LAST_NUMBER = 10**8
"""Nothing counts on from there: a number of more digits than `number_of` knows would be lost."""


def number_of(name: str) -> tuple[str, int]:
    """Return pipeline and number of the execution of that name; number 0 if none is called so."""
    match = re.fullmatch(r"(.+)-(\d{4,9})", name)
    return (match[1], int(match[2])) if match else (name, 0)


def numbered(folder: Path, pipeline: str) -> dict[int, Path]:
    """Return the pipeline's executions in a folder by their numbers."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - no entry is looked at
    except OSError:
        return {}
    found = ((number_of(name), name) for name in names)
    return {number: folder / name for (of, number), name in found if number and of == pipeline}


def last_number(ledger: Path, pipeline: str) -> int:
    """Return the highest number that an execution of the pipeline ever had, 0 if there was none.

    Records name executions: the number of a removed one must not come back.
    """
    return _numbers(ledger).get(pipeline, 0)


def note_number(ledger: Path, pipeline: str, number: int) -> None:
    """Remember a number. Of two at once one may be lost: their folders are there to tell."""
    publish_json(LedgerLayout(ledger).numbers, {**_numbers(ledger), pipeline: number})


def _numbers(ledger: Path) -> dict[str, int]:
    try:
        found = read_json(LedgerLayout(ledger).numbers)
    except (OSError, ValueError):
        return {}
    return {
        name: number
        for name, number in found.items()
        if type(number) is int and 0 < number < LAST_NUMBER
    }


def _create(path: Path, data: bytes) -> None:
    """Publish a file unless it is there: of two at once one wins, and both see the same."""
    from deepforge_hpc.runtime.storage import landing  # `dfh status` has no need of it

    with suppress(FileExistsError), landing.arriving(path) as temporary:
        publish_bytes(temporary, data, mode=0o444)
        landing.name(temporary, path, replace=False)
