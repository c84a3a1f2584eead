"""Outputs that the pipeline wants elsewhere (`outputs: {x: {to: PATH}}`), each with its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..base.context import Context
from ..base.files import canonical_json, publish_bytes
from ..state.closure import build_closure
from ..state.record import Published
from ..storage.base import Stat
from ..storage.local import LocalStorage


class _Copy(NamedTuple):
    sha256: str
    final: Path
    publish: Callable[[], Stat]


class Destination(NamedTuple):
    """Complete copies that have no names yet."""

    context: Context
    copies: list[_Copy]
    outputs: list[Published]
    """All of the job, each with the places of its copies."""

    @classmethod
    @contextmanager
    def prepared(cls, context: Context, outputs: list[Published]) -> Iterator[Destination]:
        """Copy what has a destination: a full disk fails here, before there is a record."""
        copies: list[_Copy] = []
        places = wanted(context, outputs)
        with ExitStack() as stack:
            for final, output in places:
                sha256 = output.entry.sha256
                copy = LocalStorage(final.parent).prepared(
                    output.path, final.name, expect=sha256, replace=True
                )
                copies.append(_Copy(sha256, final, stack.enter_context(copy)))
            placed = [
                item._replace(copies=tuple(final for final, output in places if output is item))
                for item in outputs
            ]
            yield cls(context, copies, placed)

    def publish(self, record: str) -> None:
        """Give the copies their names, and lay the closure of the record beside each."""
        for copy in self.copies:
            closure = build_closure(self.context.ledger, copy.sha256, record)
            copy.publish()
            beside = copy.final.with_name(copy.final.name + ".prov")
            publish_bytes(beside, canonical_json(closure._asdict()))


def wanted(context: Context, outputs: list[Published]) -> list[tuple[Path, Published]]:
    """Return the destination of each output of this job that the pipeline declares `to:` for.

    `to` names the artifact itself, or a folder for it if it ends in a slash; for a file it may also
    be an existing folder.
    """
    found = []
    for declared in context.plan.outputs:
        if declared.job != context.name or not declared.to:
            continue
        output = next(item for item in outputs if item.name == declared.output)
        to = Path(declared.to)
        into = declared.to.endswith("/") or (output.path.is_file() and to.is_dir())
        found.append((to / (declared.name + output.path.suffix) if into else to, output))
    return found
