"""Outputs that the pipeline wants elsewhere (`outputs: {x: {to: PATH}}`), each with its history."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.files import canonical_json, publish_bytes, sync_folder, sync_path
from ..base.transfer import copy_path, remove
from ..state.closure import build_closure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..base.context import Context
    from ..state.record import Published


class _Copy(NamedTuple):
    sha256: str
    temporary: Path
    final: Path


class Destination(NamedTuple):
    """Complete copies under temporary names, beside their final ones."""

    context: Context
    copies: list[_Copy]

    @classmethod
    @contextmanager
    def prepared(cls, context: Context, outputs: list[Published]) -> Iterator[Destination]:
        """Copy what has a destination: a full disk fails here, before there is a record."""
        copies: list[_Copy] = []
        try:
            for final, output in wanted(context, outputs):
                final.parent.mkdir(parents=True, exist_ok=True)
                temporary = final.with_name(f".{final.name}.{os.urandom(6).hex()}.tmp")
                copies.append(_Copy(output.entry["sha256"], temporary, final))
                copy_path(output.path, temporary)
                sync_path(temporary)
            yield cls(context, copies)
        finally:
            for copy in copies:
                remove(copy.temporary)

    def publish(self, record: str) -> None:
        """Give the copies their names, and lay the closure of the record beside each."""
        for copy in self.copies:
            closure = build_closure(self.context.ledger, copy.sha256, record)
            if copy.final.is_dir() and not copy.final.is_symlink():
                old = copy.final.with_name(f".{copy.final.name}.{os.urandom(6).hex()}.old")
                copy.final.replace(old)
                copy.temporary.replace(copy.final)
                remove(old)
            else:
                copy.temporary.replace(copy.final)
            sync_folder(copy.final.parent)
            name = copy.final.name + ".prov"
            publish_bytes(copy.final.with_name(name), canonical_json(closure))


def wanted(context: Context, outputs: list[Published]) -> list[tuple[Path, Published]]:
    """Return the destination of each output of this job that the pipeline declares `to:` for.

    `to` names the artifact itself; for a file it may also be an existing folder.
    """
    found = []
    for declared in context.plan["outputs"]:
        if declared["job"] != context.name or not declared["to"]:
            continue
        output = next(item for item in outputs if item.name == declared["output"])
        to = Path(declared["to"])
        into = declared["to"].endswith("/") or (output.path.is_file() and to.is_dir())
        found.append((to / (declared["name"] + output.path.suffix) if into else to, output))
    return found
