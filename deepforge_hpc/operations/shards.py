"""Work in numbered shards that ranks share and that outlives an attempt."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Collection
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
        self._damaged: list[str] = []
        self._folder: Path | None = None
        if folder is not None:
            name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
            self._folder = folder / f"shards-{name}"
            self._folder.mkdir(parents=True, exist_ok=True)

    def _tell(self, own: Collection[int], there: int) -> None:
        if not there and not self._damaged:
            return
        text = f"shards: {there} of {len(own)} were there already"
        if self._damaged:
            text += f"; made again, for they are not whole: {', '.join(self._damaged)}"
        print(text, flush=True)  # noqa: T201 - the log of the job

    def all(self, count: int, make: Callable[[int], Shard]) -> list[Shard]:
        """Make this rank's shards; return all of them, in order, on rank 0 alone.

        Rank 0 makes what is missing when it has made its own, the last first: others come from the
        front. A shard that two ranks make is the same, so it does not matter whose stays.
        """
        own = range(self._me.rank, count, self._me.world_size)
        made = [self._ensure(number, make)[1] for number in own]
        self._tell(own, made.count(False))
        if not self._me.is_first:
            return []
        found = [self._ensure(number, make)[0] for number in reversed(range(count))]
        return found[::-1]

    def _ensure(self, number: int, make: Callable[[int], Shard]) -> tuple[Shard, bool]:
        """Return a shard, and whether it was made now."""
        found = self._load(number)
        if found is not None:
            return found, False
        found = make(number)
        self._save(number, found)
        return found, True

    def _load(self, number: int) -> Shard | None:
        """Return a shard; None if it is not there, or not what its digest is of."""
        if self._folder is None:
            return self._memory.get(number)
        try:
            # numpy leaves a file open that it has opened and cannot read.
            with (
                self._path(number).open("rb") as stream,
                np.load(stream, allow_pickle=False) as archive,
            ):
                names = [str(name) for name in archive["names"]]
                found = {name: archive[f"value{place}"] for place, name in enumerate(names)}
                if str(archive["digest"]) == _digest(found):
                    return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile):
            pass
        self._damaged.append(self._path(number).name)
        return None

    def _save(self, number: int, shard: Shard) -> None:
        if self._folder is None:
            self._memory[number] = shard
            return
        path = self._path(number)
        begun = path.with_name(f".{number}.{self._me.rank}.{os.getpid()}")
        arrays = {f"value{place}": item for place, item in enumerate(shard.values())}
        with begun.open("wb") as stream:
            names = np.asarray(list(shard), dtype="U")
            np.savez(stream, names=names, digest=np.asarray(_digest(shard)), **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        begun.replace(path)

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:06d}.npz"


def _digest(shard: Shard) -> str:
    """Return the digest of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, item in shard.items():
        digest.update(repr((name, item.dtype.str, item.shape)).encode())
        digest.update(np.ascontiguousarray(item).tobytes())
    return digest.hexdigest()
