"""Where boxes of different sizes go: rows by depth, straight edges where that is possible."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from deepforge_hpc.runtime.report.graph import depths, uncross, with_bends

_BESIDE, _BELOW = 26, 34
_BEND = 12
_SWEEPS = 6


class Spot(NamedTuple):
    """A rectangle; `bottom` is that of its whole row."""

    x: float
    y: float
    width: float
    height: float
    bottom: float

    @property
    def middle(self) -> float:
        """Return the middle from left to right."""
        return self.x + self.width / 2


class PictureLayout(NamedTuple):
    """A picture's places."""

    places: Mapping[str, Spot]
    chains: Sequence[Sequence[str]]
    """Edges: from a box over bends, one in each row that it passes, to a box."""
    width: float
    height: float


def arrange(
    after: Mapping[str, Sequence[str]], sizes: Mapping[str, tuple[int, int]]
) -> PictureLayout:
    """Lay out boxes, each of which stands behind all that it comes after."""
    rows, chains = with_bends(depths(after), after)
    uncross(rows, chains)
    widths = {name: sizes.get(name, (_BEND, 0))[0] for row in rows for name in row}
    middles = _middles(rows, chains, widths)
    left = min((middles[name] - widths[name] / 2 for name in middles), default=0)
    places: dict[str, Spot] = {}
    top = 0.0
    for row in rows:
        height = max((sizes[name][1] for name in row if name in sizes), default=0)
        for name in row:
            x, own = middles[name] - widths[name] / 2 - left, sizes.get(name, (0, height))[1]
            places[name] = Spot(x, top, widths[name], own, top + height)
        top += height + _BELOW
    right = max((place.x + place.width for place in places.values()), default=0)
    return PictureLayout(places, chains, right, top - _BELOW)


def _middles(
    rows: Sequence[Sequence[str]], chains: Sequence[Sequence[str]], widths: Mapping[str, float]
) -> dict[str, float]:
    """Return the middle of each name: as near to that of its neighbours as its row allows."""
    around: dict[str, dict[bool, list[str]]] = {}
    for chain in chains:
        for one, two in itertools.pairwise(chain):
            around.setdefault(two, {}).setdefault(False, []).append(one)
            around.setdefault(one, {}).setdefault(True, []).append(two)
    middles = {name: float(index) for row in rows for index, name in enumerate(row)}
    for sweep in range(_SWEEPS):
        upwards = bool(sweep % 2)
        for row in reversed(rows) if upwards else rows:
            wanted = [
                _mean([middles[other] for other in around.get(name, {}).get(upwards, [name])])
                for name in row
            ]
            middles.update(zip(row, _apart(wanted, [widths[name] for name in row]), strict=True))
    return middles


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _apart(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return the nearest places to those that are wanted, in their order and clear of each other.

    With the room that each needs taken off, they must only not fall: groups that would are joined
    at their mean (isotonic regression by adjacent violators).
    """
    steps = [(a + b) / 2 + _BESIDE for a, b in itertools.pairwise(widths)]
    offsets = [0.0, *itertools.accumulate(steps)]
    groups: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=False):
        mean, size = want - offset, 1
        while groups and groups[-1][0] > mean:
            before, count = groups.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        groups.append((mean, size))
    means = [mean for mean, size in groups for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
