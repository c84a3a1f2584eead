"""Outputs that the pipeline wants elsewhere (`outputs: {x: {to: PATH}}`), each with its history."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..base.context import Context
from ..base.failure import JobError
from ..base.files import canonical_json, publish_bytes
from ..base.plan import DeclaredOutput, JobKind
from ..formats import FORMATS
from ..state.closure import beside, build_closure, other_ledger
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
        placed = with_places(context, outputs)
        with ExitStack() as stack:
            for output in placed:
                sha256 = output.entry.sha256
                for final in output.copies:
                    copy = LocalStorage(final.parent).prepared(
                        output.path, final.name, expect=sha256, replace=True
                    )
                    copies.append(_Copy(sha256, final, stack.enter_context(copy)))
            yield cls(context, copies, placed)

    def publish(self, record: str) -> None:
        """Lay the closure of the record beside each copy, and give the copies their names.

        In this order: a folder without a closure is none of ours.
        """
        for copy in self.copies:
            closure = build_closure(self.context.ledger, copy.sha256, record)
            publish_bytes(beside(copy.final), canonical_json(closure._asdict()))
            copy.publish()


def with_places(context: Context, outputs: list[Published]) -> list[Published]:
    """Return all outputs of a job, each with the places that copies of it are to get."""
    places = wanted(context, outputs)
    return [
        item._replace(copies=tuple(final for final, output in places if output is item))
        for item in outputs
    ]


def wanted(context: Context, outputs: list[Published]) -> list[tuple[Path, Published]]:
    """Return the destination of each output of this job that the pipeline declares `to:` for.

    `to` names the artifact itself, or a folder for it: one that ends in a slash, that is there and
    a file goes to, or that holds what no job laid there. FileExistsError if such a one would be
    replaced.
    """
    found = []
    for declared in _declared(context):
        output = next(item for item in outputs if item.name == declared.output)
        to = Path(declared.to)
        is_folder = to.is_dir() and (output.path.is_file() or _is_of_others(to, context.ledger))
        if declared.to.endswith("/") or is_folder:
            to /= declared.name + output.path.suffix
        if _is_of_others(to, context.ledger):
            what = "holds what no job laid there" if to.is_dir() else "no job laid it there"
            if beside(to).exists():
                what = "another project laid it there"
            raise FileExistsError(errno.EEXIST, f"Would be replaced, and {what}", str(to))
        found.append((to, output))
    return found


def refuse_files_of_others(context: Context) -> None:
    """Raise JobError for a file that would be in the way at the end: it came since the submission.

    Whether a folder is, only the output tells, or what it is called there if its format does not.
    """
    is_one = context.job.kind is JobKind.RUN
    kinds = {port.name: port.type for port in context.job.outputs if is_one}
    for declared in _declared(context):
        to = Path(declared.to)
        if declared.to.endswith("/") or to.is_dir():
            fmt = FORMATS.get(kinds.get(declared.output, ""))
            to /= declared.name + (fmt.suffix if fmt else "")
        if not to.is_dir() and _is_of_others(to, context.ledger):
            who = "another project" if beside(to).exists() else "no job"
            reason = f"The file {to} would be replaced by {declared.name}, and {who} laid it there."
            hint = f"Move it away, then: dfh resume {context.info.id}"
            raise JobError(reason, hint, is_retryable=True)


def _declared(context: Context) -> Iterator[DeclaredOutput]:
    return (item for item in context.plan.outputs if item.to and item.job == context.name)


def _is_of_others(place: Path, ledger: Path) -> bool:
    """Tell whether something lies there, and is no copy of an earlier result of this project."""
    if beside(place).exists():
        return os.path.lexists(place) and bool(other_ledger(place, ledger))
    return any(place.iterdir()) if place.is_dir() else os.path.lexists(place)
