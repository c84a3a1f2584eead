"""Numbers of a running operation: one JSON line each time user code calls `dfh_runtime.log`.

A line is {"t": unix seconds, "step": int or null, name: number or null, ...}. Values that are not
finite are written as null and named under "not_finite", since JSON has no NaN.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .files import opened

_RESERVED = frozenset({"t", "step", "not_finite"})
_MAX_NAMES = 200
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf}


class Point(NamedTuple):
    """A number that was logged."""

    name: str
    line: int
    """Number of its line, from 0."""
    time: float | None
    """Unix seconds."""
    step: float | None
    value: float
    """Not finite where the number was not."""


class Series(NamedTuple):
    """The course of one metric, decimated."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(step, or the number of the line where no step was given; value), in the order written."""
    last: float | None
    """The last value; None if it was not finite."""
    total: int
    """Number of values before decimation."""
    has_steps: bool


def is_main_rank(environ: Mapping[str, str]) -> bool:
    """Tell whether this process is rank 0 (or the only one)."""
    return environ.get("DFH_WORLD_SIZE", "1") == "1" or environ.get("DFH_RANK", "0") == "0"


def log(step: int | None = None, **values: object) -> None:
    """Append the numbers to `$DFH_METRICS`; does nothing outside of a job and on ranks above 0.

    Takes whatever `float()` takes: ints, floats, NumPy scalars, tensors of one element. Raises
    TypeError for anything else, and for a name that a line uses itself.
    """
    path = os.environ.get("DFH_METRICS")
    if not path or not is_main_rank(os.environ):
        return
    line = _line(time.time(), step, values)
    # One write to an O_APPEND file: lines of several threads or processes never mix.
    with opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as handle:
        os.write(handle, line)


def _line(now: float, step: int | None, values: Mapping[str, object]) -> bytes:
    taken = _RESERVED.intersection(values)
    if taken:
        raise TypeError(f"log(): {', '.join(sorted(taken))} cannot be the name of a metric")
    numbers = {name: _number(name, value) for name, value in values.items()}
    data: dict[str, object] = {
        "t": round(now, 3),
        "step": None if step is None else int(step),
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
    }
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        data["not_finite"] = {name: str(numbers[name]) for name in bad}
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _number(name: str, value: object) -> float:
    if isinstance(value, int):
        return int(value)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TypeError(f"log(): {name} is a {type(value).__name__}, not a number") from error


def parse_metrics(lines: Iterable[bytes], limit: int = 500, since: float = 0.0) -> list[Series]:
    """Return the series in lines of a metrics file, each with at most `limit` points.

    First, last, least and greatest points are kept. Lines that are torn, damaged or older than
    `since` (unix seconds) are left out.
    """
    found: dict[str, list[tuple[float, float | None]]] = {}
    stepped: set[str] = set()
    for name, line, at, step, value in points(lines):
        if (since if at is None else at) < since:
            continue
        if not (name in found or len(found) < _MAX_NAMES):
            continue
        place = float(line) if step is None else step
        found.setdefault(name, []).append((place, value if math.isfinite(value) else None))
        if step is not None:
            stepped.add(name)
    return [_series(name, rows, limit, name in stepped) for name, rows in found.items()]


def points(lines: Iterable[bytes]) -> Iterator[Point]:
    """Yield the numbers in lines of a metrics file; torn and damaged lines are left out."""
    for number, line in enumerate(lines):
        row = _parse(line)
        if row is None:
            continue
        at, step, odd = _finite(row.get("t")), _finite(row.get("step")), row.get("not_finite")
        for name, value in row.items():
            if name in _RESERVED:
                continue
            known = _finite(value)
            if known is None and value is None:
                word = odd.get(name) if isinstance(odd, dict) else None
                known = _NOT_FINITE.get(str(word), math.nan)
            if known is not None:
                yield Point(name, number, at, step, known)


def _parse(line: bytes) -> dict[str, object] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _finite(value: object) -> float | None:
    """Return a JSON number as a float, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _series(
    name: str, rows: list[tuple[float, float | None]], limit: int, has_steps: bool
) -> Series:
    finite = [(step, value) for step, value in rows if value is not None]
    return Series(
        name=name,
        points=tuple(decimate(finite, limit)),
        last=rows[-1][1],
        total=len(rows),
        has_steps=has_steps,
    )


def decimate(points: list[tuple[float, float]], limit: int) -> list[tuple[float, float]]:
    """Return at most `limit` (>= 4) of the points: the ends, and each stretch's extremes."""
    if len(points) <= limit:
        return points
    inner = points[1:-1]
    stretches = (limit - 2) // 2
    kept = [points[0]]
    for index in range(stretches):
        first = index * len(inner) // stretches
        end = (index + 1) * len(inner) // stretches
        stretch = range(first, end)
        low = min(stretch, key=lambda position: inner[position][1])
        high = max(stretch, key=lambda position: inner[position][1])
        kept.extend(inner[position] for position in sorted({low, high}))
    return [*kept, points[-1]]
