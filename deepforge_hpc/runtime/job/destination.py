"""Outputs that the pipeline wants elsewhere (`outputs: {x: {to: PATH}}`), each with its history."""

from __future__ import annotations

import errno
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
        """Lay the closure of the record beside each copy, and give the copies their names.

        In this order: a folder without a closure is none of ours.
        """
        for copy in self.copies:
            closure = build_closure(self.context.ledger, copy.sha256, record)
            publish_bytes(_beside(copy.final), canonical_json(closure._asdict()))
            copy.publish()


def wanted(context: Context, outputs: list[Published]) -> list[tuple[Path, Published]]:
    """Return the destination of each output of this job that the pipeline declares `to:` for.

    `to` names the artifact itself, or a folder for it: one that ends in a slash, that is there and
    a file goes to, or that holds what no job laid there. FileExistsError if such a one would be
    replaced.
    """
    found = []
    for declared in context.plan.outputs:
        if declared.job != context.name or not declared.to:
            continue
        output = next(item for item in outputs if item.name == declared.output)
        to = Path(declared.to)
        is_folder = to.is_dir() and (output.path.is_file() or _is_of_others(to))
        if declared.to.endswith("/") or is_folder:
            to /= declared.name + output.path.suffix
        if _is_of_others(to):
            message = "Would be replaced, and holds what no job laid there"
            raise FileExistsError(errno.EEXIST, message, str(to))
        found.append((to, output))
    return found


def _is_of_others(place: Path) -> bool:
    """Tell whether a folder holds something and is no copy of an earlier result."""
    return place.is_dir() and not _beside(place).exists() and any(place.iterdir())


def _beside(copy: Path) -> Path:
    return copy.with_name(copy.name + ".prov")
