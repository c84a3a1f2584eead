"""The picture of a network as one SVG file that needs nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.plot.boxes import BoxRow, ChainBox, boxes
from deepforge_hpc.libraries.networks.plot.layout import PictureLayout, Spot, arrange
from deepforge_hpc.runtime.report.markup import esc

_LETTER = 6.4
"""Width of a letter, generously."""
_ROW, _HEAD, _PAD = 20, 24, 10
_MARGIN = 24
_PORT, _DIGIT = 16, 6
"""Between the edges into a box; of the number of one."""
_COLOURS = {
    "input": "#64748b",
    "conv": "#2563eb",
    "dense": "#7c3aed",
    "recurrent": "#0d9488",
    "norm": "#65a30d",
    "active": "#ea580c",
    "pool": "#dc2626",
    "merge": "#ca8a04",
    "noise": "#94a3b8",
    "other": "#475569",
}
_STYLE = """
text{font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#0f172a}
.paper{fill:#fff}.box{fill:#f8fafc;stroke:#cbd5e1}.end .box{stroke:#0f172a;stroke-width:1.6}
.title{font-weight:600}.words,.shape,.order{fill:#64748b;font-size:11px}.shape{text-anchor:end}
.order{text-anchor:end;font-size:10px;paint-order:stroke;stroke:#fff;stroke-width:4px}.edge{fill:none;stroke:#94a3b8;stroke-width:1.4}
.head{fill:#94a3b8}
@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.paper{fill:#0f172a}.box{fill:#1e293b;
stroke:#475569}.end .box{stroke:#e2e8f0}.words,.shape,.order{fill:#94a3b8}
.order{stroke:#0f172a}.edge{stroke:#64748b}.head{fill:#64748b}}
"""


def draw(graph: Graph, shapes: Mapping[str, str]) -> str:
    """Return the SVG of a network; `shapes` are of the outputs of layers, as far as known."""
    found = boxes(graph, shapes)
    after = {box.name: tuple(dict.fromkeys(box.sources)) for box in found}
    layout = arrange(after, {box.name: _size(box) for box in found})
    ports = _ports(layout, {box.name: _gap(box) for box in found})
    parts = [
        *(_edge(chain, ports[chain[-1]][chain[-2]], layout.places) for chain in layout.chains),
        *(_box(box, layout.places[box.name], ports.get(box.name, {})) for box in found),
    ]
    width, height = round(layout.width + 2 * _MARGIN), round(layout.height + 2 * _MARGIN)
    colours = "".join(f".{css}{{fill:{colour}}}" for css, colour in _COLOURS.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {width} {height}">'
        f"<title>{esc(graph.name)}</title><style>{_STYLE}{colours}</style>"
        f'<rect class="paper" x="{-_MARGIN}" y="{-_MARGIN}" width="{width}" height="{height}"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _size(box: ChainBox) -> tuple[int, int]:
    letters = max(len(_text(row)) + len(row.shape) for row in box.rows)
    ports = (_gap(box) * len(set(box.sources))) if len(box.sources) > 1 else 0
    width = max(letters * _LETTER + 18, len(box.title) * _LETTER * 1.15, ports) + 2 * _PAD
    return round(width), _HEAD + _ROW * len(box.rows) + 6


def _text(row: BoxRow) -> str:
    return f"{row.kind}  {row.words}  "


def _gap(box: ChainBox) -> int:
    """Return the room between two edges into a box: that of the longest number beside one."""
    orders = _orders(box).values()
    return max(_PORT, 10 + _DIGIT * max(map(len, orders), default=0))


def _orders(box: ChainBox) -> dict[str, str]:
    """Return the numbers of each source, where their order may matter."""
    orders: dict[str, list[str]] = {}
    for index, source in enumerate(box.sources, 1):
        orders.setdefault(source, []).append(str(index))
    return {source: ",".join(each) for source, each in orders.items() if len(box.sources) > 1}


def _ports(layout: PictureLayout, gaps: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return where the edges into each box end: sorted as what comes before it is."""
    before: dict[str, list[str]] = {}
    for chain in layout.chains:
        before.setdefault(chain[-1], []).append(chain[-2])
    ports = {}
    for name, ends in before.items():
        ends.sort(key=lambda end: layout.places[end].middle)
        start = layout.places[name].middle - gaps[name] * (len(ends) - 1) / 2
        ports[name] = {end: start + gaps[name] * index for index, end in enumerate(ends)}
    return ports


def _edge(chain: Sequence[str], port: float, places: Mapping[str, Spot]) -> str:
    """Return a curve from a box over its bends to a port of another, with its head."""
    first, *_, last = chain
    x = places[first].middle
    path = f"M{x:.1f} {places[first].y + places[first].height:.1f}"
    for one, two in itertools.pairwise(chain):
        x2 = port if two == last else places[two].middle
        y, y2 = places[one].bottom, places[two].y - (5 if two == last else 0)
        half = (y + y2) / 2
        path += f"V{y:.1f}C{x:.1f} {half:.1f} {x2:.1f} {half:.1f} {x2:.1f} {y2:.1f}"
        x = x2
    tip = places[last].y
    head = f"M{x - 4:.1f} {tip - 6:.1f}h8l-4 6z"
    return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>'


def _box(box: ChainBox, place: Spot, ports: Mapping[str, float]) -> str:
    x, y = place.x, place.y
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{place.width:.0f}" height="{place.height:.0f}"'
    parts = [
        f'<rect class="box" {frame} rx="7"/>',
        f'<text class="title" x="{x + _PAD:.1f}" y="{y + 17:.1f}">{esc(box.title)}</text>',
        *(_row(row, place, y + _HEAD + _ROW * i) for i, row in enumerate(box.rows)),
        *_numbers(box, place, ports),
    ]
    css = ' class="end"' if box.is_input or box.is_output else ""
    return f"<g{css}>{''.join(parts)}</g>"


def _row(row: BoxRow, place: Spot, y: float) -> str:
    x = place.x + _PAD
    return (
        f"<g><title>{esc(row.name)}</title>"
        f'<rect class="{row.css}" x="{x:.1f}" y="{y + 3:.1f}" width="4" height="14" rx="2"/>'
        f'<text x="{x + 11:.1f}" y="{y + 14:.1f}">{esc(row.kind)}'
        f'<tspan class="words" dx="6">{esc(row.words)}</tspan></text>'
        f'<text class="shape" x="{place.x + place.width - _PAD:.1f}" y="{y + 14:.1f}">'
        f"{esc(row.shape)}</text></g>"
    )


def _numbers(box: ChainBox, place: Spot, ports: Mapping[str, float]) -> list[str]:
    """Return the number of each source beside its port."""
    orders = _orders(box)
    return [
        f'<text class="order" x="{x - 5:.1f}" y="{place.y - 4:.1f}">{orders[source]}</text>'
        for end, x in ports.items()
        if (source := end.partition(">")[0]) in orders
    ]
