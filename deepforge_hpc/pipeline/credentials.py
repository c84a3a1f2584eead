"""No credential stands in a pipeline's file: execution and ledger keep all of it for good."""

from __future__ import annotations

from typing import Any

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.runtime.base.redact import (
    holds_credential,
    is_secret_of,
    names_secret,
    token_line,
)

_ELSEWHERE = ("attributes", "env")
"""Of an operation or of all: looked at where their names are known, with what `--set` says."""
CREDENTIAL = (
    "looks like a credential: the ledger keeps the pipeline's file of every execution",
    "read it when the operation runs, from a file that only you can read",
)
ATTRIBUTE = (
    "looks like a credential: plans, records and reports show attributes",
    "read it in the operation, from a file that only you can read",
)
"""The same of an attribute, which stands in more places."""


def check_texts(reader: Reader) -> None:
    """Report what in a document looks like a credential."""
    data = reader.document.value()
    if not _may_hold_credential(data):  # as nearly always
        return
    for path, value in _texts(data):
        if holds_credential(value):
            reader.fault(path, *CREDENTIAL)


def check_comments(reader: Reader, text: str) -> None:
    """Report a token in a document's text, if it is in nothing that was told of."""
    line = token_line(text)
    if line and line not in {fault.line for fault in reader.faults}:
        message, hint = CREDENTIAL
        reader.faults.append(Fault(message, reader.document.file, line, hint=hint))


def _may_hold_credential(data: object) -> bool:
    """Tell whether any text of a document is a credential, or an option's name that takes one."""
    texts: set[str] = set()
    todo: list[Any] = [data]
    for value in todo:
        kind = type(value)  # what YAML is read as has no other classes
        if kind is str:
            texts.add(value)
        elif kind is dict:
            todo += value.values()
        elif kind is list:
            todo += value
    options = (text for text in texts if text.startswith("-"))
    return holds_credential("\n".join(texts)) or any(map(names_secret, options))


def _texts(data: object) -> list[tuple[Path, str]]:
    """Return all texts; the value of an option with its name before it."""
    found: list[tuple[Path, str]] = []
    todo: list[tuple[Path, object]] = [((), data)]
    for path, value in todo:
        if isinstance(value, str):
            found.append((path, value))
        elif isinstance(value, dict):
            elsewhere = _ELSEWHERE if len(path) in {0, 2} else ()
            todo += [((*path, key), item) for key, item in value.items() if key not in elsewhere]
        elif isinstance(value, list):
            for index, (before, item) in enumerate(zip(["", *value], value, strict=False)):
                said = f"{before}={item}" if is_secret_of(before, item) else item
                todo.append(((*path, index), said))
    return found
