"""What becomes of outputs when one of them cannot be saved: all that can be kept is.

It lies in `rescue/` beside the job, is no output, and is read again only if somebody names a format
for it under `types:`: it may hold pickles, and a pickle runs code.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.codec import encode
from ..base.failure import JobError
from ..base.files import publish_json, remove, sync_path
from ..base.layout import RESCUE, RESCUE_INDEX
from ..storage.local import LocalStorage
from .messages import RankSpec, Rescue, Saved, TakenUp


def rescue(
    spec: RankSpec,
    values: Mapping[str, Any],
    saved: dict[str, Saved],
    refused: Mapping[str, JobError],
) -> JobError:
    """Keep what was saved, and the refused outputs as pickles; return why the job fails."""
    work = Path(spec.work)
    folder = work / RESCUE
    folder.mkdir()
    (work / "outputs").rename(folder / "outputs")
    kept, lost = {}, {}
    for name in refused:
        path = folder / f"{name}.pickle"
        try:
            _keep(values[name], path)
            kept[name] = path.name
        except Exception as error:  # noqa: BLE001 - an object may raise anything when it is pickled
            remove(path)
            lost[name] = str(error) or type(error).__name__
    place = LocalStorage(folder)
    paths = [*kept.values(), *(f"outputs/{item.path}" for item in saved.values())]
    digests = {path: place.digest(path) for path in paths}
    found = Rescue(spec.attempt, spec.job.plan_key, saved, kept, lost, digests)
    if paths:
        publish_json(folder / RESCUE_INDEX, encode(found))
    first = next(iter(refused.values()))
    return JobError(" ".join(error.reason for error in refused.values()), first.hint)


def _keep(value: object, path: Path) -> None:
    if isinstance(value, Path):
        raise TypeError(f"{value} is only a path, into a folder that is removed")
    with path.open("xb") as stream:
        pickle.dump(value, stream, protocol=5)
    sync_path(path)


def take_up(
    spec: RankSpec, taken: TakenUp, outputs: Path
) -> tuple[dict[str, Any], dict[str, Saved]]:
    """Return the values that an earlier attempt left as pickles; what it had saved is linked."""
    folder, found = Path(taken.folder), taken.rescue
    place = LocalStorage(folder)
    for path, sha256 in found.sha256.items():
        if place.digest(path) != sha256:
            raise _unreadable(spec, taken, path, "it was changed since it was written")
    for item in found.saved.values():
        LocalStorage(outputs).link(folder / "outputs" / item.path, item.path)
    return {name: _load(spec, taken, path) for name, path in found.kept.items()}, found.saved


def _load(spec: RankSpec, taken: TakenUp, path: str) -> object:
    try:
        with Path(taken.folder, path).open("rb") as stream:
            return pickle.load(stream)  # noqa: S301 - `types:` asks for it, digest checked
    except Exception as error:
        raise _unreadable(spec, taken, path, f"{type(error).__name__}: {error}") from error


def _unreadable(spec: RankSpec, taken: TakenUp, path: str, why: str) -> JobError:
    reason = f"What attempt {taken.rescue.attempt} left cannot be read again: {path}: {why}."
    hint = f"To run the operation again: rm -r {taken.folder}; then: dfh resume {spec.execution}"
    return JobError(reason, hint)
