"""Event files of TensorBoard, by its own package; TensorFlow is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.metrics import Point

_MOST_STEPS = 2**63 - 1


def write_events(folder: Path, name: str, found: Iterable[tuple[Point, float]]) -> None:
    """Write one file of a run: each number at its step (rounded down) and its wall time."""
    with (folder / name).open("wb") as file:
        writer = RecordWriter(file)

        def write(**words: Any) -> None:
            writer.write(Event(**words).SerializeToString())

        last = 0.0
        for number, (point, step) in enumerate(found):
            last = last if point.time is None else point.time
            if not number:
                write(wall_time=last, file_version="brain.Event:2")
            value = Summary.Value(tag=point.name, simple_value=point.value)
            at = int(min(max(step, 0), _MOST_STEPS))
            write(wall_time=last, step=at, summary=Summary(value=[value]))
        writer.flush()
