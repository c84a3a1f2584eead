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
from ..rank.stamp import stamp
from ..state import marker
from ..state.record import Published
from ..storage.local import LocalStorage


def read(folder: Path, *, owner: int | None = None) -> Rescue | None:
    """Return what a folder `rescue/` holds; None if it holds nothing that this version knows.

    Nothing either if it is not of the owner that is asked for.
    """
    with suppress(OSError, ValueError):
        return parse(Rescue, read_own(folder / RESCUE_INDEX, owner=owner), is_open=True)
    return None


def stranger(folder: Path, found: Rescue) -> str:
    """Return what of pickles, which may hold code, another user has written; empty if nothing."""
    names = ((folder / name) for name in (RESCUE_INDEX, *found.kept.values()))
    strange = (path for path in names if path.exists() and path.lstat().st_uid != os.getuid())
    return str(next(strange, "")) if found.kept else ""


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
        hint += f"; {', '.join(found.lost)} could not be kept ({'; '.join(found.lost.values())}), "
        hint += "so the next submission runs it again and makes all of them anew."
    is_retryable = error.is_retryable or found.is_retryable
    return JobError(
        error.reason, hint, error=error.error, is_retryable=is_retryable, lacks=error.lacks
    )


def keep_made(context: Context, made: Mapping[str, Saved]) -> bool:
    """Keep whole outputs that could not be published, and tell whether the next attempt finds them.

    They lie in the work folder, or under their final names, where without a marker they count for
    nothing. What was taken up lies there as it did.
    """
    folder = context.folder.rescue
    if find(context) is not None or _is_published(context):
        return True
    try:
        if not _is_set_aside(context):
            remove(folder)
        (folder / OUTPUTS).mkdir(parents=True, exist_ok=True)
        for path in (item.path for item in made.values()):
            kept, begun = folder / OUTPUTS / path, context.work / OUTPUTS / path
            place = begun if begun.exists() else context.folder.outputs / path
            if not os.path.lexists(kept):
                place.rename(kept)
        remove(context.work)  # it may be what fills the disk, and all of worth in it has moved
        storage, found = LocalStorage(folder), _rescue(context, made)
        _note(context, found._replace(sha256={path: storage.digest(path) for path in found.paths}))
    except OSError:  # it may be the same disk that is full
        if not _is_set_aside(context):
            remove(folder)
            return False
    return True


def set_aside(context: Context, made: Mapping[str, Saved]) -> Path:
    """Keep saved outputs beside the job while they are read, which may take long; return where.

    Whoever kills the job meanwhile costs no run: the next attempt finds them.
    """
    begun, folder = context.work / OUTPUTS, context.folder.rescue
    if context.job.source is None or find(context) is not None:
        return begun
    remove(folder)
    kept = folder / OUTPUTS
    try:  # it is extra
        folder.mkdir()
        begun.rename(kept)
        try:
            place, found = LocalStorage(folder), _rescue(context, made)
            unread = {path: stamp(place, path) for path in found.paths}
            _note(context, found._replace(sha256=dict.fromkeys(unread, ""), unread=unread))
        except OSError:
            kept.rename(begun)
            raise
    except OSError:
        return begun
    return kept


def drop(context: Context) -> None:
    """Remove what is set aside, or was taken up, and is not whole: nobody is to take it up."""
    if _is_set_aside(context) or find(context) is not None:
        remove(context.folder.rescue)


def _is_set_aside(context: Context) -> bool:
    """Tell whether what lies in the folder is of this very attempt."""
    found = read(context.folder.rescue)
    return found is not None and found.attempt == context.attempt


def _note(context: Context, found: Rescue) -> None:
    publish_json(context.folder.rescue / RESCUE_INDEX, encode(found))


def note_made(context: Context, made: Mapping[str, Saved], outputs: Iterable[Published]) -> None:
    """Note whole outputs while copies of them are laid elsewhere, which may take long.

    Whoever kills the job meanwhile costs no run: the next attempt finds them, see `recall`.
    """
    folder = context.folder.rescue
    if context.job.source is None or find(context) is not None:
        return
    with suppress(OSError):  # it is extra
        if not _is_set_aside(context):
            remove(folder)
            folder.mkdir()
        digests = {f"{OUTPUTS}/{made[item.name].path}": item.entry.sha256 for item in outputs}
        _note(context, _rescue(context, made)._replace(sha256=digests))


def _rescue(context: Context, made: Mapping[str, Saved]) -> Rescue:
    """Return what is to be said of whole outputs, still without their digests."""
    key, execution = context.job.value_key, context.info.id
    return Rescue(context.attempt, dict(made), {}, {}, {}, key, execution)


def _is_published(context: Context) -> bool:
    """Tell whether what lies under the final names counts: an unsound marker says nothing of it."""
    folder, key = context.folder, context.job.plan_key
    return marker.find(folder, context.name, context.task, key).marker is not None


def recall(context: Context) -> None:
    """Bring together what was noted and published in part by an attempt that was killed."""
    folder = context.folder.rescue
    found = read(folder)
    for item in found.saved.values() if found and not _is_published(context) else ():
        kept = LocalStorage(folder).path_of(f"{OUTPUTS}/{item.path}")
        published = LocalStorage(context.folder.root).path_of(f"{OUTPUTS}/{item.path}")
        if not os.path.lexists(kept) and os.path.lexists(published):
            kept.parent.mkdir(exist_ok=True)
            published.rename(kept)


def find(context: Context) -> TakenUp | None:
    """Return what is to be taken up in place of running the operation, if there is such a thing."""
    folder = context.folder.rescue
    found = read(folder)
    if found is None or not found.is_of(context.job):
        return None
    if not found.kept and not all((folder / path).exists() for path in found.sha256):
        return None  # of what was saved something is gone, and nothing is lost by another run
    try:
        formats = decode(dict[str, str], read_json(folder / RESCUE_FORMATS))
    except (OSError, ValueError):
        return None
    if formats.keys() != found.kept.keys() or stranger(folder, found):
        return None
    return TakenUp(str(folder), found, formats)


def story(taken: TakenUp) -> str:
    """Return what the record says of outputs that were made in two attempts."""
    if not taken.formats:
        return f"Made by {taken.rescue.maker}, which could not publish it."
    saved = ", ".join(f"{name} as {kind}" for name, kind in sorted(taken.formats.items()))
    return f"Made by {taken.rescue.maker}, which could not save it all; saved {saved}."
