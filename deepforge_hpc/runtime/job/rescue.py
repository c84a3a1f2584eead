"""What an attempt left that could not save, or publish, all it made; the supervisor's part."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..base.codec import decode, encode, parse
from ..base.context import Context
from ..base.failure import JobError
from ..base.files import publish_json, read_json, read_own, remove
from ..base.layout import OUTPUTS, RESCUE, RESCUE_FORMATS, RESCUE_INDEX
from ..rank.messages import Rescue, Saved, TakenUp
from ..state.record import Published
from ..storage.local import LocalStorage


def read(folder: Path, *, owner: int | None = None) -> Rescue | None:
    """Return what a folder `rescue/` holds; None if it holds nothing that this version knows.

    Nothing either if it is not of the owner that is asked for.
    """
    with suppress(OSError, ValueError):
        return parse(Rescue, read_own(folder / RESCUE_INDEX, owner=owner), is_open=True)
    return None


def keep(context: Context, error: JobError) -> JobError:
    """Move what the ranks rescued beside the job, and return why it failed with the way on."""
    made = context.work / RESCUE
    if context.by_hand or (found := read(made)) is None:
        return error
    remove(context.folder.rescue)
    made.rename(context.folder.rescue)
    where = context.folder.rescue.relative_to(context.layout.root)
    names = ", ".join((*found.saved, *found.kept))
    hint = f"{error.hint} {where} keeps {names}"
    if found.unfit:
        hint += f"; no submission takes up {', '.join(found.unfit)}, which `pickle.load` reads."
    elif found.is_whole:
        hint += f"; then {context.info.submit_command} saves what it keeps, without a second run "
        hint += "unless you edit its code."
    else:
        hint += f"; {', '.join(found.lost)} could not be kept ({'; '.join(found.lost.values())})."
    return JobError(error.reason, hint, error=error.error, is_retryable=found.is_retryable)


def keep_made(context: Context, made: Mapping[str, Saved]) -> bool:
    """Keep whole outputs that could not be published, and tell whether the next attempt finds them.

    They lie in the work folder, or under their final names, where without a marker they count for
    nothing. What was taken up lies there as it did.
    """
    folder = context.folder.rescue
    if find(context) is not None or context.folder.success.exists():
        return True
    try:
        remove(folder)
        (folder / OUTPUTS).mkdir(parents=True)
        for path in (item.path for item in made.values()):
            begun = context.work / OUTPUTS / path
            place = begun if begun.exists() else context.folder.outputs / path
            place.rename(folder / OUTPUTS / path)
        remove(context.work)  # it may be what fills the disk, and all of worth in it has moved
        storage, found = LocalStorage(folder), _rescue(context, made)
        found = found._replace(sha256={path: storage.digest(path) for path in found.paths})
        publish_json(folder / RESCUE_INDEX, encode(found))
    except OSError:  # it may be the same disk that is full
        remove(folder)
        return False
    return True


def note_made(context: Context, made: Mapping[str, Saved], outputs: Iterable[Published]) -> None:
    """Note whole outputs while copies of them are laid elsewhere, which may take long.

    Whoever kills the job meanwhile costs no run: the next attempt finds them, see `recall`.
    """
    folder = context.folder.rescue
    if context.job.source is None or find(context) is not None:
        return
    digests = {f"{OUTPUTS}/{made[item.name].path}": item.entry.sha256 for item in outputs}
    with suppress(OSError):  # it is extra
        remove(folder)
        folder.mkdir()
        found = _rescue(context, made)._replace(sha256=digests)
        publish_json(folder / RESCUE_INDEX, encode(found))


def _rescue(context: Context, made: Mapping[str, Saved]) -> Rescue:
    """Return what is to be said of whole outputs, still without their digests."""
    key, execution = context.job.value_key, context.info.id
    return Rescue(context.attempt, dict(made), {}, {}, {}, key, execution)


def recall(context: Context) -> None:
    """Bring together what was noted and published in part by an attempt that was killed."""
    folder = context.folder.rescue
    found = read(folder)
    for item in found.saved.values() if found and not context.folder.success.exists() else ():
        kept, published = folder / OUTPUTS / item.path, context.folder.outputs / item.path
        if not os.path.lexists(kept) and os.path.lexists(published):
            kept.parent.mkdir(exist_ok=True)
            published.rename(kept)


def find(context: Context) -> TakenUp | None:
    """Return what is to be taken up in place of running the operation, if there is such a thing."""
    folder = context.folder.rescue
    found = read(folder)
    if found is None or not found.is_of(context.job):
        return None
    try:
        formats = decode(dict[str, str], read_json(folder / RESCUE_FORMATS))
    except (OSError, ValueError):
        return None
    if formats.keys() != found.kept.keys():
        return None
    return TakenUp(str(folder), found, formats)


def story(taken: TakenUp) -> str:
    """Return what the record says of outputs that were made in two attempts."""
    if not taken.formats:
        return f"Made by {taken.rescue.maker}, which could not publish it."
    saved = ", ".join(f"{name} as {kind}" for name, kind in sorted(taken.formats.items()))
    return f"Made by {taken.rescue.maker}, which could not save it all; saved {saved}."
