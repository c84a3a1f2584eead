"""A shipped site file names the source of every section that states facts of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.yaml12 import Document

_NOT_OF_MACHINE = frozenset(
    (
        *("dfh", "site", "title", "description", "base", "extends"),
        *("variants", "default_variant"),
        *("scheduler", "dependency", "defaults", "environment", "executions", "clamp", "facts"),
    )
)
"""Keys that say what dfh shall do; all others say what a machine is like."""


def unsourced(document: Document) -> Iterator[Fault]:
    """Yield a fault for each section of a file, or of a variant, that no entry of `facts` covers.

    A section of which all is unknown has no source to name.
    """
    for path in sections_without_source(document):
        key = path[-1]
        hint = f"add facts: {{{key}: {{source, date, confidence}}}}"
        yield document.fault(f"{key}: no source is named for it", path, hint=hint, key=True)


def sections_without_source(document: Document) -> Iterator[tuple[str, ...]]:
    """Yield the path of each such section."""
    data = document.value()
    if not isinstance(data, dict):
        return
    yield from _bare(data, _covered(data), ())
    variants = data.get("variants")
    for name, part in (variants if isinstance(variants, dict) else {}).items():
        if isinstance(part, dict):
            yield from _bare(part, _covered(data) | _covered(part), ("variants", name))


def _covered(data: Mapping[str, object]) -> set[str]:
    found = data.get("facts")
    return {path.partition(".")[0] for path in found} if isinstance(found, dict) else set()


def _bare(
    data: Mapping[str, object], covered: set[str], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    for key, value in data.items():
        if key not in _NOT_OF_MACHINE and key not in covered and _states(value):
            yield (*path, key)


def _states(value: object) -> bool:
    """Tell whether anything is stated, or all is unknown."""
    if isinstance(value, dict):
        return any(_states(item) for item in value.values())
    if isinstance(value, list):
        return any(_states(item) for item in value)
    return value not in ("unknown", None)
