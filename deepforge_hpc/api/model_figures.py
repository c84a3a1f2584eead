"""Pictures of what is inside a model, as SVG files that need nothing else."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from deepforge_hpc.runtime.base.text import number
from deepforge_hpc.runtime.report.markup import esc

if TYPE_CHECKING:
    from deepforge_hpc.api.model import InspectedModel, LayerCourse
    from deepforge_hpc.libraries.keras.models.result import InspectedLayer, SaliencyMap

_STYLE = (
    'text{font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#0f172a}'
    ".paper{fill:#fff}.title{font-weight:600;font-size:14px}.soft{fill:#64748b;font-size:11px}"
    ".end{text-anchor:end}.mid{text-anchor:middle}.norm{fill:#2563eb}.dead{fill:#dc2626}"
    ".rail{fill:#e2e8f0}"
)
_ROW, _LABELS, _BAR, _LETTER = 20, 220, 260, 6.6
_MOST_ROWS = 200
_DARK = ((13, 8, 56), (114, 31, 129), (241, 96, 93), (252, 253, 191))
"""From nothing to most: dark to light, and told apart in grey as well."""


def figures(found: InspectedModel) -> dict[str, str]:
    """Return the pictures that there is something to show on, by name."""
    made = {"weights": _weights(found)}
    for what in ("gradients", "activations"):
        if courses := [one for one in found.courses if one.what == what]:
            made[what] = _heat(f"{found.name}: {_TITLES[what]}", courses)
    if found.saliency:
        made["saliency"] = _saliency(found)
    return made


_TITLES = {
    "gradients": "norm of the gradients of each layer",
    "activations": "mean absolute activation of each layer",
}


def _svg(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"><title>{esc(title)}</title>'
        f'<style>{_STYLE}</style><rect class="paper" width="100%" height="100%"/>'
        f'<text class="title" x="16" y="26">{esc(title)}</text>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, css: str = "") -> str:
    words = f' class="{css}"' if css else ""
    return f'<text{words} x="{x:.1f}" y="{y:.1f}">{esc(text)}</text>'


def _fitted(name: str, width: float = _LABELS - 20) -> str:
    most = int(width / _LETTER)
    return name if len(name) <= most else f"…{name[1 - most :]}"


# -- weights


def _weights(found: InspectedModel) -> str:
    layers = [layer for layer in found.layers if layer.parameters or layer.dead_units]
    more = len(layers) - _MOST_ROWS
    layers = layers[:_MOST_ROWS]
    known = [_per_weight(layer) for layer in layers]
    top = max((value for value in known if value is not None), default=0) or 1.0
    x, x2 = 16 + _LABELS, 16 + _LABELS + _BAR + 90
    parts = [
        _text(x, 52, "root mean square of its weights", "soft"),
        _text(x2, 52, "units that do nothing", "soft"),
    ]
    for row, (layer, value) in enumerate(zip(layers, known, strict=True)):
        y = 64 + row * _ROW
        parts.append(_text(x - 10, y + 13, _fitted(layer.name), "end"))
        width = 0 if value is None else _BAR * value / top
        parts.append(f'<rect class="norm" x="{x}" y="{y + 3}" width="{width:.1f}" height="13"/>')
        said = "not finite" if value is None else number(value)
        parts.append(_text(x + width + 6, y + 13, said if layer.parameters else "", "soft"))
        parts.append(_dead(layer, x2, y))
    if more > 0:
        parts.append(_text(x, 80 + len(layers) * _ROW, f"and {more} more", "soft"))
    return _svg(f"{found.name}: layers", x2 + 200, 96 + len(layers) * _ROW, parts)


def _per_weight(layer: InspectedLayer) -> float | None:
    return None if layer.norm is None else layer.norm / math.sqrt(max(1, layer.parameters))


def _dead(layer: InspectedLayer, x: float, y: float) -> str:
    """Return the share of units that are dead: by activation where that is known."""
    dead, units = idle_units(layer)
    if not units:
        return ""
    rail = f'<rect class="rail" x="{x}" y="{y + 3}" width="100" height="13"/>'
    bar = f'<rect class="dead" x="{x}" y="{y + 3}" width="{100 * dead / units:.1f}" height="13"/>'
    return rail + bar + _text(x + 106, y + 13, f"{dead}/{units}", "soft")


def idle_units(layer: InspectedLayer) -> tuple[int, int]:
    """Return how many units do nothing, and of how many; by activation where that is known."""
    if layer.dead_units is not None:
        return layer.dead_units, layer.active_units or 0
    return layer.zero_units or 0, layer.units or 0


# -- courses


def _heat(title: str, courses: Sequence[LayerCourse]) -> str:
    """Return layers by epochs, on a logarithmic scale of colours."""
    courses = courses[:_MOST_ROWS]
    steps = sorted({step for one in courses for step, _ in one.points})
    values = [value for one in courses for _, value in one.points if 0 < value < math.inf]
    low, high = (math.log10(min(values)), math.log10(max(values))) if values else (0.0, 1.0)
    cell = max(3.0, min(36.0, 600 / max(1, len(steps))))
    x = 16 + _LABELS
    parts = []
    for row, one in enumerate(courses):
        y = 48 + row * _ROW
        parts.append(_text(x - 10, y + 14, _fitted(one.name), "end"))
        known = dict(one.points)
        for column, step in enumerate(steps):
            colour = _colour(_share(known.get(step), low, high))
            parts.append(
                f'<rect x="{x + column * cell:.1f}" y="{y}" width="{cell:.1f}" height="{_ROW - 1}" '
                f'fill="{colour}"><title>{esc(one.name)}, {number(step)}: '
                f"{number(known.get(step))}</title></rect>"
            )
    bottom = 48 + len(courses) * _ROW
    every = max(1, math.ceil(len(steps) / 10))
    for column in range(0, len(steps), every):
        place = x + (column + 0.5) * cell
        parts.append(_text(place, bottom + 14, number(steps[column]), "soft mid"))
    parts.append(_text(x, bottom + 32, "epoch", "soft"))
    right = x + max(240.0, len(steps) * cell) + 24
    parts += _scale(right, 10**low, 10**high)
    return _svg(title, right + 110, max(bottom + 44, 220), parts)


def _share(value: float | None, low: float, high: float) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return 0.0 if value <= 0 else (math.log10(value) - low) / max(1e-9, high - low)


def _scale(x: float, low: float, high: float) -> list[str]:
    parts = [
        f'<rect x="{x:.1f}" y="{48 + 7 * i}" width="14" height="7" fill="{_colour(1 - i / 19)}"/>'
        for i in range(20)
    ]
    return [
        *parts,
        _text(x + 20, 58, number(high), "soft"),
        _text(x + 20, 188, number(low), "soft"),
    ]


def _colour(share: float | None) -> str:
    return "#cbd5e1" if share is None else "#{:02x}{:02x}{:02x}".format(*_rgb(share))


def _rgb(share: float) -> tuple[int, int, int]:
    at = max(0.0, min(1.0, share)) * (len(_DARK) - 1)
    first = min(int(at), len(_DARK) - 2)
    one, two = _DARK[first], _DARK[first + 1]
    red, green, blue = (round(a + (b - a) * (at - first)) for a, b in zip(one, two, strict=True))
    return red, green, blue


# -- saliency


def _saliency(found: InspectedModel) -> str:
    """Return a map for each example and input, each on its own scale."""
    side, gap = 180, 24
    parts = []
    rows = sorted({one.input for one in found.saliency})
    examples = sorted({one.example for one in found.saliency})
    for one in found.saliency:
        x = 16 + examples.index(one.example) * (side + gap)
        y = 60 + rows.index(one.input) * (side + 56)
        top = max((max(row, default=0.0) for row in one.rows), default=0.0)
        image = base64.b64encode(_png(one, top or 1.0)).decode()
        height = side if len(one.rows) > 1 else 24
        parts.append(
            f'<image x="{x}" y="{y}" width="{side}" height="{height}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{image}"/>'
        )
        parts.append(_text(x, y - 6, f"{one.input}, example {one.example}"))
        said = f"output {one.unit}, up to {number(top)}"
        parts.append(_text(x, y + height + 16, said, "soft"))
    width = 32 + len(examples) * (side + gap)
    title = f"{found.name}: what an output looks at, |gradient by the input|"
    return _svg(title, max(width, 560), 60 + len(rows) * (side + 56), parts)


def _png(one: SaliencyMap, top: float) -> bytes:
    """Return a map as a PNG of one cell a pixel (W3C PNG, third edition: RGB of 8 bits)."""
    lines = [b"\0" + b"".join(bytes(_rgb(value / top)) for value in row) for row in one.rows]
    head = struct.pack(">IIBBBBB", len(one.rows[0]), len(one.rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
