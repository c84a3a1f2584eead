"""What becomes of outputs when one of them cannot be saved: all that can be kept is.

It lies in `rescue/` beside the job, is no output, and is read again only if somebody names a format
for it under `types:`: it may hold pickles, and a pickle runs code.
"""

from __future__ import annotations

import os
import pickle
import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..base.codec import encode
from ..base.failure import JobError
from ..base.files import opened_own, publish_json, remove, sync_folder, sync_path
from ..base.layout import OUTPUTS, RESCUE, RESCUE_INDEX
from ..base.text import listed
from ..formats.base import Format, Json
from ..formats.file import choose
from ..storage.local import LocalStorage
from .messages import RankSpec, Rescue, Saved, TakenUp
from .stamp import stamp

_MAX_TRIED = 64 << 20
"""Of a value whose pickle is larger, no other format is tried: each would write as much."""
_NAMES = "\0"


def rescue(
    spec: RankSpec,
    values: Mapping[str, Any],
    saved: dict[str, Saved],
    refused: Mapping[str, JobError],
    lacking: dict[str, str],
    formats: Mapping[str, Format],
) -> JobError:
    """Keep what was saved, and the refused outputs as pickles; return why the job fails.

    `lacking`: as in `Rescue`.
    """
    work = Path(spec.work)
    folder = work / RESCUE
    folder.mkdir()
    (work / OUTPUTS).rename(folder / OUTPUTS)
    sync_folder(folder / OUTPUTS)
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
    able = {name: _able(spec, name, values[name], formats, folder) for name in kept}
    # Where an error has a hint of its own, the format that was tried may still be the one.
    unfit = tuple(
        name for name in kept if not (able[name] or name in lacking or refused[name].hint)
    )
    key, execution = spec.job.value_key, spec.execution
    found = Rescue(spec.attempt, saved, kept, lost, {}, key, execution, lacking, unfit)
    found = found._replace(sha256={path: place.digest(path) for path in found.paths})
    if found.paths:
        publish_json(folder / RESCUE_INDEX, encode(found))
    hints = _hints(
        (name, _way_on(name, values[name], found, why.hint, able.get(name, ())))
        for name, why in refused.items()
    )
    is_retryable = all(error.is_retryable for error in refused.values())
    if lost and not is_retryable:
        hints.append("Then submit again.")
    reason = " ".join(error.reason for error in refused.values())
    return JobError(reason, " ".join(hints), is_retryable=is_retryable)


def _able(
    spec: RankSpec, name: str, value: object, formats: Mapping[str, Format], folder: Path
) -> set[str]:
    """Return the formats that keep a value of which there is a pickle; of an array, that can be
    joined."""
    types = {port.name: port.type for port in spec.job.outputs}
    types |= spec.taken.formats if spec.taken else {}
    others = formats.keys() - {_tried(types[name], value), "any", "file", "directory"}
    if spec.task is not None:
        others = {one for one in others if formats[one].can_gather}
    elif (folder / f"{name}.pickle").stat().st_size > _MAX_TRIED:
        return others & {"pickle"}
    return {one for one in others if one == "pickle" or _keeps(formats[one], value, folder)}


def _tried(kind: str, value: object) -> str:
    """Return the format that has refused a value."""
    try:
        return choose(value) if kind == "any" else kind
    except Exception:  # noqa: BLE001 - to look at it may raise anything, and the others are to be kept
        return Json.id  # the last that is tried


def _hints(ways: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ways on, each once with the names of the outputs that go it."""
    found: dict[str, list[str]] = {}
    for name, way in ways:
        found.setdefault(way, []).append(name)
    return [way.replace(_NAMES, listed(names, 9)) for way, names in found.items()]


def _way_on(name: str, value: object, found: Rescue, own: str, able: Collection[str]) -> str:
    """Return the way on for an output, with `_NAMES` in place of its own name.

    `own`: what its error says of it; `able`: formats.
    """
    if name in found.lacking or (own and name in found.lost):
        return own
    if own:
        return f"{own} To keep it as it is, name a format for {_NAMES} under `types:`."
    if isinstance(value, Path):
        return f"Name file or directory for {_NAMES} under `types:`, or return what is in it."
    if name in found.lost:
        return f"Return another value for {_NAMES}: no format keeps this one, nor does pickle."
    if not able:
        return (
            f"None of the formats that an array can have keeps {_NAMES}: return arrays, tables, "
            "text or what JSON can hold, or run the operation without `map:`, where pickle keeps "
            "it."
        )
    surest = ["pickle, which takes most objects"] if "pickle" in able else []
    return (
        f"Name a format for {_NAMES} under `types:` "
        f"({listed([*sorted(set(able) - {'pickle'}), *surest], len(able), last=' or ')})."
    )


def _keeps(fmt: Format, value: object, folder: Path) -> bool:
    """Tell whether a format saves a value, by trying: none else knows."""
    trial = folder / "trial"
    trial.mkdir()
    try:
        fmt.save(value, trial / "value")
    except Exception:  # noqa: BLE001 - a package is not there, or refuses it in its own words
        return False
    finally:
        remove(trial)
    return True


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
        expected: object = sha256 or found.unread.get(path)
        if expected != (place.digest(path) if sha256 else stamp(place, path)):
            raise _unreadable(spec, taken, path, "it was changed since it was written")
    for item in found.saved.values():
        LocalStorage(outputs).link(folder / OUTPUTS / item.path, item.path)
    return {name: _load(spec, taken, path) for name, path in found.kept.items()}, found.saved


def _load(spec: RankSpec, taken: TakenUp, path: str) -> object:
    try:
        # Whose it is, is judged of what is open: a pickle runs as who loads it.
        with (
            opened_own(Path(taken.folder, path), owner=os.getuid()) as (handle, _),
            open(handle, "rb", closefd=False) as stream,
        ):
            return pickle.load(stream)  # noqa: S301 - `types:` asks for it, digest checked
    except Exception as error:
        raise _unreadable(spec, taken, path, f"{type(error).__name__}: {error}") from error


def _unreadable(spec: RankSpec, taken: TakenUp, path: str, why: str) -> JobError:
    reason = f"What {taken.rescue.maker} left cannot be read again: {path}: {why}."
    folder = shlex.quote(taken.folder)
    hint = f"To run the operation again: rm -r {folder}; then: dfh resume {spec.execution}"
    return JobError(reason, hint)
