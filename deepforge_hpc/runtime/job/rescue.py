"""What an attempt left that could not save all of its outputs, as the supervisor handles it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..base.codec import decode, parse
from ..base.context import Context
from ..base.failure import JobError
from ..base.files import read_json, read_own, remove
from ..base.layout import RESCUE, RESCUE_FORMATS, RESCUE_INDEX
from ..rank.messages import Rescue, TakenUp


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
    if found.is_whole:
        hint += f"; then {context.info.submit_command} saves what it keeps, without a second run "
        hint += "unless you edit its code."
    else:
        hint += f"; {', '.join(found.lost)} could not be kept ({'; '.join(found.lost.values())})."
    return JobError(error.reason, hint, error=error.error, is_retryable=found.is_retryable)


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
    saved = ", ".join(f"{name} as {kind}" for name, kind in sorted(taken.formats.items()))
    return f"Made by {taken.rescue.maker}, which could not save it all; saved {saved}."
