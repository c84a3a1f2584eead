"""The order of operations: cycles named in full, and the part of a pipeline that was asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import nearest, shown

Graph = Mapping[str, Collection[str]]
"""Operation -> operations that it waits for."""


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """Return disjoint cycles in the direction of the data: `(a, b, a)`."""
    if len(order(graph)) == len(graph):  # as nearly always
        return []
    left = {name: list(before) for name, before in graph.items()}
    found = []
    while ring := _cycle(left):
        found.append((*ring, ring[0]))
        members = set(ring)
        left = {
            name: [other for other in before if other not in members]
            for name, before in left.items()
            if name not in members
        }
    return found


def _cycle(graph: Graph) -> tuple[str, ...]:
    from graphlib import CycleError, TopologicalSorter

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:-1]
        start = cycle.index(min(cycle))
        return tuple(cycle[start:] + cycle[:start])
    return ()


def order(graph: Graph) -> list[str]:
    """Return the operations so that each comes after all that it waits for.

    Those of one depth keep the order of the file. Those of a cycle, and what waits for them, have
    no place in it.
    """
    waits = {name: len(before) for name, before in graph.items()}
    after = _reversed(graph)
    found = [name for name, count in waits.items() if not count]
    for name in found:
        for other in after[name]:
            waits[other] -= 1
            if not waits[other]:
                found.append(other)
    return found


def select(
    graph: Graph, only: Iterable[str], from_: Iterable[str], until: Iterable[str]
) -> tuple[frozenset[str] | None, list[Fault]]:
    """Return the operations that were asked for (None: all), and names that do not exist."""
    asked = {"--only": tuple(only), "--from": tuple(from_), "--until": tuple(until)}
    faults = [
        Fault(message=f"no operation {shown(name)}", file=option, hint=nearest(name, graph))
        for option, names in asked.items()
        for name in names
        if name not in graph
    ]
    if faults or not any(asked.values()):
        return None, faults
    selected = set(graph)
    if asked["--only"]:
        selected &= set(asked["--only"])
    if asked["--from"]:
        selected &= reachable(asked["--from"], _reversed(graph))
    if asked["--until"]:
        selected &= reachable(asked["--until"], graph)
    if not selected:
        faults.append(Fault(message="--only, --from and --until together leave no operation"))
    return frozenset(selected), faults


def _reversed(graph: Graph) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {name: [] for name in graph}
    for name, before in graph.items():
        for other in before:
            after[other].append(name)
    return after


def reachable(start: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    """Return where one comes to along the edges, the start among them."""
    seen: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(edges[name])
    return seen
