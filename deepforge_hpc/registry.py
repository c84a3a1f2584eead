"""Adapters by name: the built-in ones first, then installed entry points.

The only place that imports by a string. The entry points are scanned for an unknown name alone, so
a broken plugin costs nothing to those who do not ask for it.
"""

from __future__ import annotations

import importlib

from deepforge_hpc.errors import UsageError

_BUILT_IN: dict[str, dict[str, str]] = {
    "schedulers": {
        "slurm": "deepforge_hpc.schedulers.slurm:SlurmScheduler",
        "local": "deepforge_hpc.schedulers.local:LocalScheduler",
        "pbs": "deepforge_hpc.schedulers.pbs:PbsScheduler",
        "flux": "deepforge_hpc.schedulers.flux:FluxScheduler",
    },
    "libraries": {
        "keras": "deepforge_hpc.libraries.keras.library:KerasLibrary",
    },
}


def load(kind: str, name: str) -> type:
    """Return the class registered as `name` for a kind of adapter (`schedulers`, `libraries`).

    Raises UsageError if there is none, if two plugins claim the name, or if it cannot be imported.
    """
    target = find(kind, name)
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        message = f"{kind}: {name!r} is registered as {target!r}, which cannot be imported: {error}"
        raise UsageError(message, "Reinstall or remove the package that brings it.") from error
    if not isinstance(found, type):
        message = f"{kind}: {name!r} is registered as {target!r}, which is not a class"
        raise UsageError(message)
    return found


def find(kind: str, name: str) -> str:
    """Return `module:class` of an adapter, without importing it; UsageError if there is none."""
    return _BUILT_IN[kind].get(name) or _installed(kind, name)


def _installed(kind: str, name: str) -> str:
    from importlib.metadata import entry_points

    group = f"deepforge_hpc.{kind}"
    points = [point for point in entry_points(group=group) if point.name == name]
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        message = f"{kind}: {name!r} is claimed by {' and by '.join(targets)}"
        raise UsageError(message, "Uninstall one of the two packages.")
    if not targets:
        import difflib

        known = sorted({*_BUILT_IN[kind], *(point.name for point in entry_points(group=group))})
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        message = f"{kind}: no {name!r}"
        raise UsageError(message, hint)
    return targets[0]
