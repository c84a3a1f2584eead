"""From a record upwards: which records made its inputs, and theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deepforge_hpc.errors import LedgerError
from deepforge_hpc.ledger.store import Ledger, Record
from deepforge_hpc.runtime.state.record_data import Producer, RecordData, RecordedInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The closure of some records: all that they were made from."""

    roots: tuple[str, ...]
    records: dict[str, Record]
    """By id, the roots first."""
    problems: dict[str, LedgerError]
    """By id: records that are missing or damaged."""

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON data, with flat nodes that name each other by id."""
        return {
            "schema": "dfh/trace/1",
            "roots": list(self.roots),
            "nodes": [record.to_dict() for record in self.records.values()],
            "problems": [
                {"id": record_id, "kind": type(error).__name__, "message": error.message}
                for record_id, error in self.problems.items()
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the tree that a person reads."""

    depth: int
    port: str
    """Input port of the line above that this answers; empty for the root."""
    input: RecordedInput
    """The entry of that port in the record above; empty for the root."""
    record: Record | None
    """None: an external input, or a record with a problem."""
    problem: str = ""
    number: int = 0
    """Number of the record in the tree, from 1, in the order of first appearance."""
    is_repeat: bool = False
    """True if the record was shown above, under the same number."""
    tasks: int = 1
    """How many array tasks of one job this line stands for."""


def trace(
    ledger: Ledger, roots: Sequence[Record], lost: Mapping[str, LedgerError] | None = None
) -> Trace:
    """Return the closure of records by the ids that their inputs name.

    `lost`: by id, what should be among the roots and cannot be had.
    """
    records: dict[str, Record] = {record.id: record for record in roots}
    problems: dict[str, LedgerError] = dict(lost or {})
    waiting = list(roots)
    while waiting:
        for record_id in waiting.pop().data.producers:
            if record_id in records or record_id in problems:
                continue
            try:
                found = ledger.get(record_id)
            except LedgerError as error:
                problems[record_id] = error
            else:
                records[record_id] = found
                waiting.append(found)
    return Trace(roots=tuple(root.id for root in roots), records=records, problems=problems)


def tree(closure: Trace, *, depth: int | None = None) -> Iterator[Line]:
    """Yield the lines of the tree below each root, repeated records folded."""
    numbers: dict[str, int] = {}
    waiting = [
        Line(depth=0, port="", input=RecordedInput(), record=closure.records[root])
        for root in reversed(_tips(closure))
    ]
    while waiting:
        line = waiting.pop()
        record = line.record
        if record is None:
            yield line
            continue
        is_repeat = record.id in numbers
        number = numbers.setdefault(record.id, len(numbers) + 1)
        yield replace(line, number=number, is_repeat=is_repeat)
        if not is_repeat and (depth is None or line.depth < depth):
            waiting.extend(reversed(_inputs(closure, record, line.depth + 1)))


def _tips(closure: Trace) -> list[str]:
    """Return the roots that no other record was made from: the others stand below them."""
    inner = {found for record in closure.records.values() for found in record.data.producers}
    return [root for root in closure.roots if root not in inner]


def _inputs(closure: Trace, record: Record, depth: int) -> list[Line]:
    """Return a line for each input; array tasks of one job that feed one port share a line."""
    lines: dict[tuple[str, str, str], list[Line]] = {}
    for position, item in enumerate(_edges(record.data)):
        record_id = item.by.record if item.by else ""
        found = closure.records.get(record_id)
        problem = closure.problems.get(record_id)
        is_task = found is not None and found.data.task is not None
        key = (item.port, item.by.job if item.by else "", "" if is_task else str(position))
        text = problem.message if problem else ""
        lines.setdefault(key, []).append(
            Line(depth=depth, port=item.port, input=item, record=found, problem=text)
        )
    return [replace(group[0], tasks=len(group)) for group in lines.values()]


def _edges(record: RecordData) -> Sequence[RecordedInput]:
    """Return the inputs; of a result that was taken over the one edge to where it was made."""
    made = record.reused_from
    if made is None:
        return record.inputs
    return [RecordedInput(port="reused from", by=Producer(made.record, made.job, task=made.task))]
