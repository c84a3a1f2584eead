"""No credential stands in a pipeline's file: execution and ledger keep all of it for good."""

from __future__ import annotations

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import Path, Reader
from deepforge_hpc.runtime.base.redact import holds_credential, is_secret_of, token_line

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
    texts = _texts(reader.document.value(), ())
    if not holds_credential("\n".join({text for _, text in texts})):  # as nearly always
        return
    for path, value in texts:
        if holds_credential(value):
            reader.fault(path, *CREDENTIAL)


def check_comments(reader: Reader, text: str) -> None:
    """Report a token in a document's text, if it is in nothing that was told of."""
    line = token_line(text)
    if line and line not in {fault.line for fault in reader.faults}:
        message, hint = CREDENTIAL
        reader.faults.append(Fault(message, reader.document.file, line, hint=hint))


def _texts(data: object, path: Path) -> list[tuple[Path, str]]:
    """Return all texts; the value of an option with its name before it."""
    found: list[tuple[Path, str]] = []
    if isinstance(data, str):
        found.append((path, data))
    elif isinstance(data, dict):
        for key, item in data.items():
            if len(path) not in {0, 2} or key not in _ELSEWHERE:
                found += _texts(item, (*path, key))
    elif isinstance(data, list):
        for index, (before, item) in enumerate(zip(["", *data], data, strict=False)):
            if is_secret_of(before, item):
                found.append(((*path, index), f"{before}={item}"))
            else:
                found += _texts(item, (*path, index))
    return found
