"""Adapters by name: the built-in ones first, then installed entry points.

The only place that imports by a string. The entry points are scanned for an unknown name alone, so
a broken plugin costs nothing to those who do not ask for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

_BUILT_IN: dict[str, dict[str, str]] = {
    "schedulers": {
        "slurm": "deepforge_hpc.schedulers.slurm:SlurmScheduler",
        "local": "deepforge_hpc.schedulers.local:LocalScheduler",
        "pbs": "deepforge_hpc.schedulers.pbs:PbsScheduler",
        "flux": "deepforge_hpc.schedulers.flux:FluxScheduler",
    },
    "libraries": {
        "keras": "deepforge_hpc.libraries.keras.library:KerasLibrary",
        "torch": "deepforge_hpc.libraries.torch.library:TorchLibrary",
    },
    "storage": {
        "file": "deepforge_hpc.runtime.storage.local:LocalStorage",
    },
    # Those of this package come with the runtime: runtime.formats.FORMATS, runtime.launchers.
    "formats": {},
    "launchers": {},
}


def load(kind: str, name: str) -> type:
    """Return the class registered as `name` for a kind of adapter (`schedulers`, `storage`).

    Raises UsageError if there is none, if two plugins claim the name, or if it cannot be imported.
    """
    place = target(kind, name)
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # the code of another package may raise anything
        message = (
            f"{kind}: {name!r} is registered{_by_package(kind, name)} as {place!r}, "
            f"which cannot be imported: {error}"
        )
        raise UsageError(message, "Reinstall or remove the package that brings it.") from error
    if not isinstance(found, type):
        raise UsageError(f"{kind}: {name!r} is registered as {place!r}, which is not a class")
    return found


def create(kind: str, name: str, *arguments: object) -> Any:
    """Return the adapter registered as `name`; UsageError as `load`, or if its class raises."""
    found = load(kind, name)
    try:
        return found(*arguments)
    except (Exception, SystemExit) as error:  # the code of another package may raise anything
        message = (
            f"{kind}: {name!r} is registered{_by_package(kind, name)} as {target(kind, name)!r}, "
            f"which raised {type(error).__name__} when it was created: {error}"
        )
        raise UsageError(message, "Update or remove the package that brings it.") from error


def _by_package(kind: str, name: str) -> str:
    """Return ` by PACKAGE` for what an installed package brings."""
    packages = {
        point.dist.name for point in _entry_points(kind) if point.name == name and point.dist
    }
    return f" by {', '.join(sorted(packages))}" if packages and name not in _BUILT_IN[kind] else ""


def built_in(kind: str) -> tuple[str, ...]:
    """Return the names of those that come along."""
    return tuple(_BUILT_IN[kind])


def installed(kind: str) -> frozenset[str]:
    """Return the names that installed packages register, whether or not they work."""
    return frozenset(point.name for point in _entry_points(kind))


def known(kind: str) -> frozenset[str]:
    """Return the names of all adapters of a kind: ours, and what `installed` returns."""
    return installed(kind) | _BUILT_IN[kind].keys()


def target(kind: str, name: str) -> str:
    """Return the `module:object` of an adapter, without importing it; UsageError as `load`."""
    found = _targets(kind, name)
    if why := _why_not(kind, name, found):
        raise UsageError(f"{kind}: {why[0]}", why[1])
    return found[0]


def why_not(kind: str, name: str) -> tuple[str, str] | None:
    """Return why no adapter is had by a name, and what to do; None if one is."""
    return _why_not(kind, name, _targets(kind, name))


def _targets(kind: str, name: str) -> list[str]:
    if name in _BUILT_IN[kind]:
        return [_BUILT_IN[kind][name]]
    return sorted({point.value for point in _entry_points(kind) if point.name == name})


def _why_not(kind: str, name: str, targets: list[str]) -> tuple[str, str] | None:
    if len(targets) > 1:
        claimed = f"{name!r} is claimed by {' and by '.join(targets)}"
        return claimed, "Uninstall one of the two packages."
    if targets:
        return None
    from deepforge_hpc.files.faults import near

    names = sorted(known(kind))
    meant = near(name, names)
    hint = f"Did you mean {meant!r}?" if meant else f"Known: {', '.join(names)}."
    return f"no {name!r}", hint


def _entry_points(kind: str) -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=f"deepforge_hpc.{kind}")
