"""A folder of checkpoints: each whole or not there, the newest valid one first.

A checkpoint is `step-0000000120.npz` and, written last, `step-0000000120.json` with its digest and
where the training stood. Arrays and JSON only: to read one runs no code. That of a sharded training
has a folder `step-0000000120.shards` in place of the arrays, to which each rank wrote its part.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepforge_hpc.training.errors import TrainingError

SCHEMA = "dfh/checkpoint/1"
KEPT = 3
"""Newest ones that stay: one that is torn has two before it."""
_MAX_JSON = 64 << 20
_SHARDS = ".shards"


@dataclass(frozen=True)
class Position:
    """Where a training stands: the epoch, its steps that are done, and all steps so far."""

    epoch: int = 0
    step: int = 0
    total: int = 0

    def __str__(self) -> str:
        within = f", step {self.step}" if self.step else ""
        return f"epoch {self.epoch + 1}{within}"


@dataclass(frozen=True)
class Checkpoint:
    """What the small file of a checkpoint says."""

    path: Path
    position: Position
    state: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_sharded(self) -> bool:
        """Return whether it is a folder of shards, which torch.distributed.checkpoint reads."""
        return self.path.suffix == _SHARDS

    def arrays(self) -> dict[str, Any]:
        """Return its arrays, by their names; TrainingError for a folder of shards."""
        import numpy as np

        if self.is_sharded:
            raise TrainingError(
                f"the checkpoint {self.path} is of a sharded training of PyTorch: remove the "
                "folder to begin anew, or submit again for an execution of its own"
            )
        with np.load(self.path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


class Checkpoints:
    """The checkpoints of one training. Rank 0 alone reads and writes them, but for shards."""

    def __init__(self, folder: str | Path, kept: int = KEPT) -> None:
        self.folder, self.kept = Path(folder), kept
        self.skipped: list[str] = []
        """Those that were not whole, in words."""

    def save(
        self, position: Position, state: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> Checkpoint:
        """Write a checkpoint and sync it, then remove the oldest of too many."""
        import numpy as np

        path = self._cleared(position, ".npz")
        with _written(path) as file:
            np.savez(file, **arrays)
        return self._publish(Checkpoint(path, position, state), noted(path))

    def begin_shards(self, position: Position) -> Path:
        """Return a new folder for the shards of a checkpoint, which does not count yet."""
        path = self._cleared(position, _SHARDS)
        path.mkdir()
        return path

    def publish_shards(
        self, position: Position, state: Mapping[str, Any], files: Mapping[str, Any]
    ) -> Checkpoint:
        """Let a folder of shards count: all are written, `files` says what is `noted` of each."""
        path = self._path(position, _SHARDS)
        _sync(path)
        return self._publish(Checkpoint(path, position, state), {"files": files})

    def _path(self, position: Position, suffix: str) -> Path:
        return self.folder / f"step-{position.total:010d}{suffix}"

    def _cleared(self, position: Position, suffix: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for one in (".npz", _SHARDS):  # of an earlier attempt: no longer true
            _remove(self._path(position, one))
        return self._path(position, suffix)

    def _publish(self, made: Checkpoint, noted: Mapping[str, Any]) -> Checkpoint:
        about: dict[str, Any] = {
            "schema": SCHEMA,
            **noted,
            "position": asdict(made.position),
            "state": made.state,
        }
        about["digest"] = _digest_of(about)
        with _written(made.path.with_suffix(".json")) as file:
            file.write(json.dumps(about).encode())
        self._thin(made.path)
        return made

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose digest holds; None if there is none."""
        self.skipped = []
        return next(filter(None, map(self._whole, reversed(self._all()))), None)

    def _all(self) -> list[Path]:
        found = self.folder.glob("step-*")
        return sorted(path for path in found if path.suffix in (".npz", _SHARDS))

    def _whole(self, path: Path) -> Checkpoint | None:
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.skipped.append(f"{path.name} is not whole ({error})")
            return None

    def _thin(self, newest: Path) -> None:
        # Of an attempt that went on from an older one, later steps may lie here: they stay until
        # they are written again, but never count as newer than what is saved now.
        files = self._all()
        older = [path for path in files if path.name <= newest.name]
        for path in (*older[: -self.kept], *files[len(older) :]):
            _remove(path)


def noted(path: Path) -> dict[str, Any]:
    """Return what a description says of a file: its digest and size."""
    return {"sha256": _digest(path), "size": path.stat().st_size}


def _remove(path: Path) -> None:
    """Remove a checkpoint, its description first: without one, none is whole."""
    path.with_suffix(".json").unlink(missing_ok=True)
    if path.suffix == _SHARDS and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Checkpoint:
    small = path.with_suffix(".json")
    if small.stat().st_size > _MAX_JSON:
        raise ValueError("its description is too large")
    about = json.loads(small.read_bytes())
    if about["schema"] != SCHEMA:
        raise ValueError(f"it is of another version, {about['schema']}")
    if about.pop("digest") != _digest_of(about):
        raise ValueError("its description was changed")
    files = {path: about} if "files" not in about else _shards(path, about["files"])
    for file, said in files.items():
        if said["size"] != file.stat().st_size or said["sha256"] != _digest(file):
            raise ValueError(f"the digest of {file.name} is another")
    position = Position(**{name: int(value) for name, value in about["position"].items()})
    return Checkpoint(path, position, _Fields(path, about["state"]))


class _Fields(dict[str, Any]):
    """The state of a checkpoint, which says where a field is missing."""

    def __init__(self, path: Path, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise TrainingError(
            f"the description of the checkpoint {self._path} has no {name!r}: remove it, to go on "
            "from the one before"
        )


def _shards(folder: Path, files: Mapping[str, Any]) -> dict[Path, Any]:
    if not files or not isinstance(files, dict) or any(Path(name).name != name for name in files):
        raise ValueError("its description names other files than shards")
    return {folder / name: said for name, said in files.items()}


def _digest_of(about: Mapping[str, Any]) -> str:
    """Return the digest of what the small file says."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _written:  # noqa: N801 - used as a function
    """A file that has its name once it is whole and synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Any:
        self._file = self._begun.open("wb")
        return self._file

    def __exit__(self, kind: object, *_error: object) -> None:
        try:
            with self._file as file:  # to close it writes too, and may fail
                if kind is None:
                    file.flush()
                    os.fsync(file.fileno())
            if kind is None:
                self._begun.replace(self._path)
        finally:
            self._begun.unlink(missing_ok=True)
        if kind is None:
            _sync(self._path.parent)


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def leaves(value: Any, name: str, arrays: dict[str, Any]) -> Iterator[Any]:
    """Yield the JSON of a plain value, its arrays put aside under `name`; nothing for another.

    A generator of at most one item, so that "cannot be kept" is not a value.
    """
    import numpy as np

    if value is None or isinstance(value, (bool, int, float, str)):
        yield value
    elif isinstance(value, np.generic):
        yield value.item()
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = value
        yield {"array": name}
    elif isinstance(value, (list, tuple)):
        items = [[*leaves(item, f"{name}/{place}", arrays)] for place, item in enumerate(value)]
        if all(items):
            yield {"list": [item for (item,) in items]}
    elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
        found = {key: [*leaves(item, f"{name}/{key}", arrays)] for key, item in value.items()}
        if all(found.values()):
            yield {"dict": {key: item for key, (item,) in found.items()}}


def value_of(data: Any, arrays: Mapping[str, Any]) -> Any:
    """Return what `leaves` took apart."""
    if not isinstance(data, dict):
        return data
    if "array" in data:
        return arrays[data["array"]]
    if "list" in data:
        return [value_of(item, arrays) for item in data["list"]]
    return {key: value_of(item, arrays) for key, item in data["dict"].items()}
