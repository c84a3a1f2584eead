"""What installed packages bring and an execution carries: its source lies in `code/library`."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .codec import decode
from .failure import JobError
from .files import read_json
from .layout import PLUGINS

_tables: dict[Path, dict[str, dict[str, str]]] = {}
"""By `code/`: its table, which is frozen. It is asked for more than once, and mostly not there."""


def named_plugins(code: Path, kind: str) -> dict[str, str]:
    """Return `module:object` by name, as `code/plugins.json` has it for a kind."""
    if code not in _tables:
        _tables[code] = {}
        with suppress(FileNotFoundError):
            _tables[code] = decode(dict[str, dict[str, str]], read_json(code / PLUGINS))
    return _tables[code].get(kind, {})


def load_plugins(code: Path, kind: str) -> dict[str, Any]:
    """Return what `code/plugins.json` names for a kind, as objects; JobError if one cannot be."""
    named = named_plugins(code, kind)
    if not named:
        return {}
    library = str(code / "library")
    if library not in sys.path:
        sys.path.append(library)
    from importlib import import_module

    found = {}
    for name, target in named.items():
        module, _, attribute = target.partition(":")
        try:
            found[name] = getattr(import_module(module), attribute)()
        except (Exception, SystemExit) as error:  # the code of others may raise anything
            what = f"{type(error).__name__}: {error}".rstrip(".")
            reason = f"The {kind.removesuffix('s')} {name} ({target}) cannot be loaded: {what}."
            hint = "Update or replace the package that brings it, then submit again."
            raise JobError(reason, hint) from error
    return found
