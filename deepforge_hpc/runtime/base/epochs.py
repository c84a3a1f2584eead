"""Where the time of an epoch went, as a training logs it: seconds `time/NAME` of `time/epoch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .text import duration, size

PREFIXES = ("time/", "memory/", "gpu/", "gradients/", "activations/")
"""Of numbers about how a training runs; all others are results, which charts are for."""
PARTS = {
    "compile": "compiling",
    "compute": "computing",
    "waiting": "waiting for data",
    "communication": "between ranks",
    "validation": "validation",
    "checkpoint": "checkpoints",
}
MUCH = 0.2
"""A larger share of waiting is worth a change."""
WAITS_NEXT = (
    "let the rows lie in memory (memory_gib of Train), or in chunks of one row without "
    "compression; give the job more cores if it augments"
)


class EpochSplit(NamedTuple):
    """Of an epoch, or of several."""

    seconds: float
    shares: dict[str, float]
    """Name of a part -> its share; the rest is between the steps."""
    words: str

    @property
    def waits(self) -> str:
        """Return a sentence if it waits too much; else empty."""
        share = self.shares.get("waiting", 0.0)
        return f"{share:.0%} of an epoch is waiting for data" if share > MUCH else ""


def is_about_running(name: str) -> bool:
    """Tell whether a number is about how a training runs."""
    return name.startswith(PREFIXES)


def epoch_split(values: Mapping[str, object]) -> EpochSplit | None:
    """Return where the time went, by the numbers of a line of metrics; None if they do not tell."""
    known = {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and is_about_running(name) and value >= 0
    }
    whole = known.get("time/epoch", 0.0)
    if not whole:
        return None
    shares = {name: min(1.0, known.get(f"time/{name}", 0.0) / whole) for name in PARTS}
    parts = [f"{share:.0%} {PARTS[name]}" for name, share in shares.items() if share >= 0.005]
    words = [f"An epoch: {duration(whole)}", ", ".join(parts)]
    if "gpu/use" in known:
        words.append(f"GPU at {min(1.0, known['gpu/use']):.0%}")
    peaks = {"gpu/peak_mib": "of the GPU's memory", "memory/peak_mib": "of memory"}
    words += [f"{size(int(known[key] * 2**20))} {of}" for key, of in peaks.items() if key in known]
    return EpochSplit(whole, shares, " · ".join(filter(None, words)))
