"""A shipped site file names the source of every section that states facts of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deepforge_hpc.errors import Fault
    from deepforge_hpc.strictyaml import Document

_OURS = frozenset(
    (
        *("dfh", "site", "title", "description", "extends", "variants", "default_variant"),
        *("scheduler", "dependency", "defaults", "environment", "executions", "clamp", "facts"),
    )
)
"""Keys that say what dfh shall do; all others say what a machine is like."""


def unsourced(document: Document) -> Iterator[Fault]:
    """Yield a fault for each section of a file, or of a variant, that no entry of `facts` covers.

    A section of which all is unknown has no source to name.
    """
    data = document.value()
    if not isinstance(data, dict):
        return
    yield from _unsourced(document, data, _covered(data), ())
    variants = data.get("variants")
    for name, part in (variants if isinstance(variants, dict) else {}).items():
        if isinstance(part, dict):
            covered = _covered(data) | _covered(part)
            yield from _unsourced(document, part, covered, ("variants", name))


def _covered(data: Mapping[str, object]) -> set[str]:
    found = data.get("facts")
    return {path.partition(".")[0] for path in found} if isinstance(found, dict) else set()


def _unsourced(
    document: Document, data: Mapping[str, object], covered: set[str], path: tuple[str, ...]
) -> Iterator[Fault]:
    for key, value in data.items():
        if key not in _OURS and key not in covered and _states(value):
            message = f"{key}: no source is named for it"
            hint = f"add facts: {{{key}: {{source, date, confidence}}}}"
            yield document.fault(message, (*path, key), hint=hint, key=True)


def _states(value: object) -> bool:
    """Tell whether anything is stated, or all is unknown."""
    if isinstance(value, dict):
        return any(_states(item) for item in value.values())
    if isinstance(value, list):
        return any(_states(item) for item in value)
    return value not in ("unknown", None)
