"""The parts of the time of an epoch, whatever the framework, and what a rank's GPU did in it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from deepforge_hpc.job import ranks
from deepforge_hpc.training.devices import GpuWatch, own_gpu
from deepforge_hpc.training.transports import Transport

PARTS = ("waiting", "compile", "compute", "communication", "validation", "checkpoint")


class EpochParts:
    """Seconds of an epoch by what they were for; exchanges between ranks count by themselves."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._gpu = GpuWatch(own_gpu(ranks()))
        self._begin()
        self._exchanged, self._in_graph = transport.seen_s, transport.spent_in_graph_s

    def _begin(self) -> None:
        self._begun = time.perf_counter()
        self.parts = dict.fromkeys(PARTS, 0.0)

    def look(self) -> None:
        """Look at the GPU, if the last look was a while ago."""
        self._gpu.look()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count the block as a part, but for what its exchanges take."""
        self.exchange()
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self.parts[part] += max(0.0, taken - self.exchange())

    def exchange(self) -> float:
        """Count what exchanges took since the last call, but for those in a graph; return it."""
        spent = self._transport.seen_s
        taken, self._exchanged = spent - self._exchanged, spent
        self.parts["communication"] += taken
        return taken

    def record(self) -> dict[str, float]:
        """Return the parts in seconds since the last record, means over ranks, and peak memory.

        A checkpoint at the end of an epoch counts to the next: it is written behind the record.
        """
        self.exchange()
        spent = self._transport.spent_in_graph_s
        taken, self._in_graph = spent - self._in_graph, spent
        self.parts["communication"] += taken
        self.parts["compute"] = max(0.0, self.parts["compute"] - taken)
        found = {f"time/{name}": value for name, value in self.parts.items()}
        found["time/epoch"] = time.perf_counter() - self._begun
        found["memory/peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found |= self._gpu.record()
        self._begin()
        gathered = self._transport.gather(found)
        return {
            name: _together(name, [one[name] for one in gathered if name in one]) for name in found
        }


def _together(name: str, values: list[float]) -> float:
    return float(max(values) if name.endswith("peak_mib") else np.mean(values))
