"""Work in numbered shards that ranks share and that outlives an attempt."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deepforge_hpc.job import Rank
from deepforge_hpc.operations.errors import OperationError

Shard = dict[str, Any]
"""Name -> array."""


class Shards:
    """Shards in a folder, each whole or not there; without a folder one rank keeps them itself.

    `key`: what makes them these shards, as JSON can hold it: of others, a folder of its own.
    """

    def __init__(self, folder: Path | None, key: Any, me: Rank) -> None:
        if folder is None and me.world_size > 1:
            raise OperationError(
                "several ranks share what they made by a folder: set DFH_CHECKPOINT_DIR to one "
                "that all of them see, as a job has it"
            )
        self._me = me
        self._memory: dict[int, Shard] = {}
        self._folder: Path | None = None
        if folder is not None:
            name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
            self._folder = folder / f"shards-{name}"
            self._folder.mkdir(parents=True, exist_ok=True)

    def all(self, count: int, make: Callable[[int], Shard]) -> list[Shard]:
        """Make this rank's shards; return all of them, in order, on rank 0 alone.

        Rank 0 makes what is missing when it has made its own, the last first: others come from the
        front. A shard that two ranks make is the same, so it does not matter whose stays.
        """
        for number in range(self._me.rank, count, self._me.world_size):
            self._ensure(number, make)
        if not self._me.is_first:
            return []
        found = [self._ensure(number, make) for number in reversed(range(count))]
        return found[::-1]

    def _ensure(self, number: int, make: Callable[[int], Shard]) -> Shard:
        found = self._load(number)
        if found is None:
            found = make(number)
            self._save(number, found)
        return found

    def _load(self, number: int) -> Shard | None:
        """Return a shard; None if it is not there, or damaged: zip has a sum of each member."""
        if self._folder is None:
            return self._memory.get(number)
        try:
            # numpy leaves a file open that it has opened and cannot read.
            with (
                self._path(number).open("rb") as stream,
                np.load(stream, allow_pickle=False) as archive,
            ):
                names = [str(name) for name in archive["names"]]
                return {name: archive[f"value{place}"] for place, name in enumerate(names)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def _save(self, number: int, shard: Shard) -> None:
        if self._folder is None:
            self._memory[number] = shard
            return
        path = self._path(number)
        begun = path.with_name(f".{number}.{self._me.rank}.{os.getpid()}")
        arrays = {f"value{place}": item for place, item in enumerate(shard.values())}
        with begun.open("wb") as stream:
            np.savez(stream, names=np.asarray(list(shard), dtype="U"), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        begun.replace(path)

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:06d}.npz"
