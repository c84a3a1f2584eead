"""Digests of data that no job made: computed by the first job that reads it, then remembered.

An entry `<ledger>/digests/<version>.json` holds for as long as the data has that version there.
It is a cache: it may be lost or removed at any time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.files import publish_json, read_json
from .fault import DAMAGED, PlaceError

if TYPE_CHECKING:
    from .base import Stat, Storage

SCHEMA = "dfh/digest/1"
# A file changed this shortly before it was read may change again without a change of its times.
_SETTLED_S = 2.0


def lookup(ledger: Path, found: Stat) -> str:
    """Return the remembered digest of what a place has told of; "" if there is none."""
    if not found.version:
        return ""
    try:
        entry = read_json(_entry(ledger, found))
    except (OSError, ValueError):
        return ""
    return str(entry.get("sha256") or "") if entry.get("schema") == SCHEMA else ""


def known_digest(ledger: Path, place: Storage, found: Stat) -> str:
    """Return the digest of what a place has told of, remembered or computed now.

    PlaceError (damaged) if it changes while it is read.
    """
    known = found.sha256 or lookup(ledger, found)
    if known:
        return known
    sha256 = place.digest(found.name)
    if place.stat(found.name)[:5] != found[:5]:
        raise PlaceError(DAMAGED, place.where(found.name), "changed while its digest was computed")
    if found.version and time.time() - found.mtime_ns / 1e9 > _SETTLED_S:
        where = place.where(found.name)
        entry = {"schema": SCHEMA, "sha256": sha256, "path": where, "size": found.size}
        with suppress(OSError):  # a read-only or full ledger: the next job computes it again
            _entry(ledger, found).parent.mkdir(parents=True, exist_ok=True)
            publish_json(_entry(ledger, found), entry, durable=False)
    return sha256


def _entry(ledger: Path, found: Stat) -> Path:
    return ledger / "digests" / f"{found.version}.json"
