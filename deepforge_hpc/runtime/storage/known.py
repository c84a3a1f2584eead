"""Digests of data that no job made: computed by the first job that reads it, then remembered.

An entry `<ledger>/digests/<version>.json` holds for as long as the data has that version there.
It is a cache: it may be lost or removed at any time.
"""

# Annotations are types here, which the codec reads.
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..base.codec import parse
from ..base.files import publish_json, read_own
from .base import Stat, Storage
from .fault import DAMAGED, PlaceError

# A file changed this shortly before it was read may change again without a change of its times.
_SETTLED_S = 2.0


class KnownDigest(NamedTuple):
    """What an entry says."""

    sha256: str
    path: str
    size: int
    """Bytes."""
    schema: str = "dfh/digest/1"


def lookup(ledger: Path, found: Stat) -> str:
    """Return the remembered digest of what a place has told of; "" if there is none."""
    if not found.version:
        return ""
    try:
        return parse(KnownDigest, read_own(_entry(ledger, found))).sha256
    except (OSError, ValueError):
        return ""


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
        entry = KnownDigest(sha256, place.where(found.name), found.size)._asdict()
        with suppress(OSError):  # a read-only or full ledger: the next job computes it again
            _entry(ledger, found).parent.mkdir(parents=True, exist_ok=True)
            publish_json(_entry(ledger, found), entry, durable=False)
    return sha256


def _entry(ledger: Path, found: Stat) -> Path:
    return ledger / "digests" / f"{found.version}.json"
