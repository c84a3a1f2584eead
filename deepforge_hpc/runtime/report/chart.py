"""The course of metrics as small SVG charts; a metric and its `val_` form share one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..base.metrics import Series
from ..base.text import minus, number
from .markup import esc

_WIDTH, _HEIGHT = 340, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 36
_TICKS = 4
_COLOURS = 4
_FAR = 1e150


def group(series: Sequence[Series]) -> list[list[Series]]:
    """Return the series that belong on one chart: `loss` with `val_loss`."""
    groups: dict[str, list[Series]] = {}
    for item in series:
        groups.setdefault(item.name.removeprefix("val_"), []).append(item)
    return [
        sorted(items, key=lambda item: item.name.startswith("val_")) for items in groups.values()
    ]


def draw_chart(series: Sequence[Series]) -> str:
    """Return a figure: legend with last values, and the course of up to four series."""
    shown = list(series)[:_COLOURS]
    legend = "".join(
        f'<li class="c{index}"><i></i>{esc(item.name)} <b>{number(item.last)}</b></li>'
        for index, item in enumerate(shown)
    )
    title = " and ".join(f"{item.name}, last value {number(item.last)}" for item in shown)
    return (
        f'<figure class="chart"><figcaption><ul class="legend">{legend}</ul></figcaption>'
        f'<svg role="img" aria-label="Chart of {esc(title)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{_plot(shown)}</svg></figure>"
    )


def has_course(series: Sequence[Series]) -> bool:
    """Tell whether there is more to show than one value."""
    return any(len(item.points) > 1 for item in series)


def _plot(series: Sequence[Series]) -> str:
    series = [item._replace(points=tuple(map(_bounded, item.points))) for item in series]
    xs = [x for item in series for x, _ in item.points]
    ys = [y for item in series for _, y in item.points]
    if not xs:
        return f'<text class="tick" x="{_LEFT}" y="{_HEIGHT // 2}">no finite value</text>'
    whole = all(x == int(x) for x in xs)
    x_range, x_ticks = _axis(min(xs), max(xs), tight=True, least=1.0 if whole else 0.0)
    y_range, y_ticks = _axis(min(ys), max(ys), tight=False)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at_x(value: float) -> float:
        return round(_LEFT + (value - x_range[0]) / (x_range[1] - x_range[0]) * (right - _LEFT), 1)

    def at_y(value: float) -> float:
        return round(bottom - (value - y_range[0]) / (y_range[1] - y_range[0]) * (bottom - _TOP), 1)

    grid = "".join(
        f'<path class="grid" d="M{_LEFT} {at_y(tick)}H{right}"/>'
        f'<text class="tick end" x="{_LEFT - 6}" y="{at_y(tick) + 4}">'
        f"{_label(tick, y_ticks)}</text>"
        for tick in y_ticks
    )
    marks = "".join(
        f'<text class="tick mid" x="{at_x(tick)}" y="{bottom + 15}">{_label(tick, x_ticks)}</text>'
        for tick in x_ticks
    )
    name = "step" if any(item.has_steps for item in series) else "call of log()"
    lines = "".join(
        _curve([(at_x(x), at_y(y)) for x, y in item.points], index)
        for index, item in reversed(list(enumerate(series)))
    )
    middle = (_LEFT + right) // 2
    label = f'<text class="tick mid" x="{middle}" y="{_HEIGHT - 4}">{name}</text>'
    axis = f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>'
    return grid + marks + axis + label + lines


def _bounded(point: tuple[float, float]) -> tuple[float, float]:
    """Return a point whose distance to any other is a finite number."""
    x, y = (min(_FAR, max(-_FAR, value)) for value in point)
    return x, y


def _curve(points: Sequence[tuple[float, float]], index: int) -> str:
    x, y = points[-1] if points else (0.0, 0.0)
    if not points:
        return ""
    dot = f'<circle class="dot c{index}" cx="{x}" cy="{y}" r="3"/>'
    path = "L".join(f"{x} {y}" for x, y in points)
    return f'<path class="curve c{index}" d="M{path}"/>{dot}'


def _axis(
    low: float, high: float, *, tight: bool, least: float = 0.0
) -> tuple[tuple[float, float], list[float]]:
    """Return the range of an axis and its ticks at round numbers, at least `least` apart."""
    if high - low <= abs(high) * 1e-12:
        middle = (low + high) / 2
        pad = abs(middle) / 10 or 1.0
        return (middle - pad, middle + pad), [middle]
    step = max(least, _round_step((high - low) / _TICKS))
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [index * step for index in range(first, last + 1)]
    if tight:
        inside = [tick for tick in ticks if low - step * 1e-9 <= tick <= high + step * 1e-9]
        return (low, high), inside
    return (ticks[0], ticks[-1]), ticks


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    factor = next(factor for factor in (1, 2, 5, 10) if raw <= factor * power * 1.0001)
    return factor * power


def _label(value: float, ticks: Sequence[float]) -> str:
    """Return a tick in as few digits as tell it from its neighbours."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(value) or 1.0
    top = max(map(abs, ticks))
    if not value:
        return "0" if top >= 1e5 or top < 1e-3 else f"{0:.{max(0, -_power(step))}f}"
    if top >= 1e5 or top < 1e-3:
        return minus(f"{value:.{max(0, _power(top) - _power(step))}e}")
    return minus(f"{value:.{max(0, -_power(step))}f}")


def _power(value: float) -> int:
    return math.floor(math.log10(value) + 1e-9)
