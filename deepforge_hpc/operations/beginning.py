"""What a network begins with and which layers keep it, by their places, for any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.transports import Transport


def pair(
    mine: Mapping[str, Any],
    initial: Mapping[str, Any],
    assign: Callable[[str, Any], None],
    source: str = "initial",
) -> dict[str, Any]:
    """Assign those of other weights whose place and shape a network has; return which.

    `missing` are those of the network that are not there, `reshaped` have another shape there,
    `unused` are those that the network has not. Raises TrainingError if none fits.
    """
    there = dict(initial)
    report: dict[str, Any] = {"from": source}
    report |= {name: [] for name in ("loaded", "missing", "reshaped", "unused")}
    for name, weight in mine.items():
        other = there.pop(name, None)
        if other is None:
            report["missing"].append(name)
        elif tuple(other.shape) != tuple(weight.shape):
            shapes = f"{tuple(other.shape)} there, {tuple(weight.shape)} here"
            report["reshaped"].append(f"{name}: {shapes}")
        else:
            if not _is_finite(other):
                raise TrainingError(f"{source}: the weight {name} has values that are no numbers")
            assign(name, other)
            report["loaded"].append(name)
    report["unused"] = sorted(there)
    if not report["loaded"]:
        raise TrainingError(
            f"{source} has no weight with a name and a shape of this network's: it has "
            f"{some(initial)}; the network has {some(mine)}"
        )
    return report


def _is_finite(weight: Any) -> bool:
    found = weight.float() if hasattr(weight, "float") else weight  # numpy has not all of torch's
    return bool(np.isfinite(np.asarray(found)).all())


def begin(
    init_from: str,
    initial: Any,
    transport: Transport,
    by_source: Callable[[], dict[str, Any]],
    by_input: Callable[[], dict[str, Any]],
) -> Any:
    """Set what a network begins with on rank 0, which all ranks get before the first step."""
    found, error = None, ""
    if transport.rank == 0:
        try:
            if init_from:
                found = by_source()
            elif initial is not None:
                found = by_input()
        except TrainingError as fault:
            error = str(fault)
    found, error = transport.gather((found, error))[0]
    if error:
        raise TrainingError(error)
    return found


def matching(patterns: Sequence[str], places: Iterable[str]) -> list[str]:
    """Return the places of layers that match a pattern; TrainingError for one without a layer.

    `conv*` are layers of the network itself, `encoder/conv*` those of a network in it, and `*conv`
    either.
    """
    known = list(places)
    frozen: dict[str, None] = {}
    for pattern in patterns:
        found = [place for place in known if fnmatchcase(place, pattern)]
        if not found:
            raise TrainingError(f"freeze: no layer matches {pattern!r}; there are {some(known)}")
        frozen |= dict.fromkeys(found)
    return list(frozen)


def tell(report: Mapping[str, Any]) -> None:
    """Print what is known before the first step."""
    for name, value in report.items():
        shown = value
        if name == "initial":
            counts = ", ".join(f"{len(value[key])} {key}" for key in value if key != "from")
            shown = f"from {value['from']}: {counts}"
        print(f"{name}: {shown}", flush=True)  # noqa: T201 - the log of the job


def some(names: Iterable[str]) -> str:
    """Return the first of some names."""
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
