"""What a pipeline's data say of themselves, where that can be read before a job is asked for."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

_SECONDS = 20
_MOST = 10_000
_CODE = f"""
import json, sys
import h5py
found = {{}}
def look(name, item):
    if isinstance(item, h5py.Dataset):
        said = item.attrs.get("classes")
        is_list = getattr(said, "ndim", 0) == 1
        found[name] = [said if said is None else len(said) if is_list else int(said), item.shape]
    return len(found) >= {_MOST} or None
with h5py.File(sys.argv[1], "r") as file:
    file.visititems(look)
print(json.dumps(found))
"""


class Recorded:
    """The data sets of some HDF5 files; of those that cannot be read here nothing is known."""

    def __init__(self, files: Mapping[str, str], can_read: Callable[[], bool]) -> None:
        self._files, self._can_read = files, can_read

    def classes(self, name: str) -> int | None:
        """Return how many classes a data set says that its labels have.

        That is its attribute `classes`, a number or the classes' names.
        """
        return next((said for said, _ in self._told(name) if isinstance(said, int)), None)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a row of a data set."""
        return next((tuple(shape[1:]) for _, shape in self._told(name) if shape), None)

    def _told(self, name: str) -> Iterator[tuple[Any, Any]]:
        return (one[name] for one in self._all if name in one)

    @functools.cached_property
    def _all(self) -> list[dict[str, Any]]:
        return [*map(_read, self._files.values())] if self._files and self._can_read() else []


def _read(path: str) -> dict[str, Any]:
    """Return classes and shape of each data set: a process of its own reads, which may be ended."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        command = (sys.executable, "-I", "-c", _CODE, path)
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
        return dict(json.loads(done.stdout))
    return {}
