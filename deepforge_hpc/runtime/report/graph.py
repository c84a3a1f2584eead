"""The graph of operations as SVG: layers by dependency, coloured by state."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .markup import esc

_WIDTH, _HEIGHT = 172, 56
_GAP_ALONG, _GAP_ACROSS = 48, 22
_NARROW_WIDTH, _NARROW_GAP = 156, 14
_MARGIN = 3
_NAME = 19
_FITTING = {"wide": 1400, "narrow": 520}
"""A drawing up to this width is made smaller to fit the screen; a wider one is scrolled."""


class Box(NamedTuple):
    """An operation, as it is drawn."""

    name: str
    after: tuple[str, ...]
    css: str
    """Class that colours it."""
    icon: str
    """Id of the symbol of its state."""
    words: str
    """Its state in words."""
    is_done: bool = False
    share: float | None = None
    """Part of its tasks that are done."""
    link: str = ""


class Size(NamedTuple):
    """How a drawing is laid out: layers from left to right, or from top to bottom."""

    down: bool
    width: int
    along: int
    across: int


WIDE = Size(down=False, width=_WIDTH, along=_GAP_ALONG, across=_GAP_ACROSS)
NARROW = Size(down=True, width=_NARROW_WIDTH, along=30, across=_NARROW_GAP)


def draw_graphs(nodes: Sequence[Box]) -> str:
    """Return the graph for a laptop and for a phone; every node comes after what it depends on.

    From left to right as long as that fits a laptop, else the way that is less wide.
    """
    across, down = draw_graph(nodes, WIDE), draw_graph(nodes, NARROW)
    least = min(across, down, key=lambda drawing: drawing.width)
    laptop = across if across.width <= _FITTING["wide"] else least
    return laptop.svg("wide") + least.svg("narrow")


class Drawing(NamedTuple):
    """A graph that was laid out and drawn."""

    width: int
    height: int
    shapes: str

    def svg(self, css: str) -> str:
        """Return the drawing as an element of a class."""
        fit = " fit" if self.width <= _FITTING[css] else ""
        return (
            f'<svg class="{css}{fit}" role="img" '
            'aria-label="Graph of the operations; the same states stand in words below." '
            f'width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}">{self.shapes}</svg>'
        )


def draw_graph(nodes: Sequence[Box], size: Size) -> Drawing:
    """Return the graph in one of the two ways to lay it out."""
    by_name = {node.name: node for node in nodes}
    after = {node.name: [name for name in node.after if name in by_name] for node in nodes}
    rows, chains = with_bends(depths(after), after)
    uncross(rows, chains)
    places, (width, height) = _places(rows, size)
    edges = "".join(
        _edge([places[step] for step in chain], size, is_lit=by_name[chain[0]].is_done)
        for chain in chains
    )
    boxes = "".join(_box(by_name[name], places[name], size) for name in by_name)
    return Drawing(width, height, edges + boxes)


def depths(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the length of the longest path to each node."""
    layers: dict[str, int] = {}
    for name, needed in after.items():
        layers[name] = 1 + max((layers.get(other, -1) for other in needed), default=-1)
    return layers


def with_bends(
    layers: Mapping[str, int], after: Mapping[str, Sequence[str]]
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the names in each layer and the edges, with a bend in every layer an edge passes."""
    rows: list[list[str]] = [[] for _ in range(1 + max(layers.values(), default=0))]
    for name, layer in layers.items():
        rows[layer].append(name)
    chains = []
    for name, needed in after.items():
        for other in needed:
            chain = [other]
            for layer in range(layers[other] + 1, layers[name]):
                bend = f"{other}>{name}>{layer}"  # no name has this sign
                rows[layer].append(bend)
                chain.append(bend)
            chains.append([*chain, name])
    return rows, chains


def uncross(rows: list[list[str]], chains: Sequence[Sequence[str]]) -> None:
    """Sort each layer by the middle of its neighbours in the layer before, then after."""
    before: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    for chain in chains:
        for one, two in itertools.pairwise(chain):
            before.setdefault(two, []).append(one)
            behind.setdefault(one, []).append(two)
    for neighbours, order in ((before, rows), (behind, rows[::-1]), (before, rows)):
        place: dict[str, float] = {}
        for row in order:
            middle = {}
            for index, name in enumerate(row):
                known = [place[other] for other in neighbours.get(name, ()) if other in place]
                middle[name] = sum(known) / len(known) if known else index / max(1, len(row))
            row.sort(key=middle.__getitem__)
            place.update({name: (index + 0.5) / len(row) for index, name in enumerate(row)})


def _places(
    rows: Sequence[Sequence[str]], size: Size
) -> tuple[dict[str, tuple[int, int, int, int]], tuple[int, int]]:
    """Return the box (x, y, width, height) of every name, and the size of the drawing."""
    thin = 18
    along, across = (_HEIGHT, size.width) if size.down else (size.width, _HEIGHT)

    def breadth(name: str) -> int:
        return thin if ">" in name else across

    spans = [sum(map(breadth, row)) + size.across * (len(row) - 1) for row in rows]
    widest = max(spans, default=0)
    places = {}
    for layer, row in enumerate(rows):
        start = _MARGIN + layer * (along + size.along)
        side = _MARGIN + (widest - spans[layer]) // 2
        for name in row:
            box = (start, side, along, breadth(name))
            places[name] = (box[1], box[0], box[3], box[2]) if size.down else box
            side += breadth(name) + size.across
    length = len(rows) * (along + size.along) - size.along + 2 * _MARGIN
    breadths = widest + 2 * _MARGIN
    return places, (breadths, length) if size.down else (length, breadths)


def _edge(boxes: Sequence[tuple[int, int, int, int]], size: Size, *, is_lit: bool) -> str:
    path = ""
    for one, two in itertools.pairwise(boxes):
        if size.down:
            x1, y1 = one[0] + one[2] // 2, one[1] + one[3]
            x2, y2 = two[0] + two[2] // 2, two[1]
            half = (y2 - y1) // 2
            curve = f"C{x1} {y1 + half} {x2} {y2 - half} {x2} {y2}"
        else:
            x1, y1 = one[0] + one[2], one[1] + one[3] // 2
            x2, y2 = two[0], two[1] + two[3] // 2
            half = (x2 - x1) // 2
            curve = f"C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"
        path += f"{'L' if path else 'M'}{x1} {y1}{curve}"
    return f'<path class="edge{" lit" if is_lit else ""}" d="{path}"/>'


def _box(node: Box, place: tuple[int, int, int, int], size: Size) -> str:
    x, y = place[0], place[1]
    name = node.name if len(node.name) <= _NAME else node.name[: _NAME - 1] + "…"
    words = node.words if len(node.words) <= _NAME + 4 else node.words[: _NAME + 3] + "…"
    bar = ""
    if node.share is not None:
        full, top = size.width - 24, y + _HEIGHT - 8
        bar = "".join(
            f'<rect class="{css}" x="{x + 12}" y="{top}" width="{width}" height="3" rx="1.5"/>'
            for css, width in (("rail", full), ("fill", round(full * node.share)))
        )
    lift = 2 if bar else 0
    body = (
        f"<title>{esc(node.name)}: {esc(node.words)}</title>"
        f'<rect class="box" x="{x}" y="{y}" width="{size.width}" height="{_HEIGHT}" rx="9"/>'
        f'<use href="#i-{node.icon}" x="{x + 12}" y="{y + 12 - lift}" width="16" height="16"/>'
        f'<text class="name" x="{x + 36}" y="{y + 25 - lift}">{esc(name)}</text>'
        f'<text class="words" x="{x + 36}" y="{y + 43 - lift}">{esc(words)}</text>{bar}'
    )
    group = f'<g class="node {node.css}">{body}</g>'
    return f'<a href="{esc(node.link)}">{group}</a>' if node.link else group
