"""Trials of earlier tried, in the user's cache folder: by the digest of what was built.

A file there is believed if it is the user's own, nobody else's to write, small and of the right
form; anything else is as if it were not there. The oldest go when there are many.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepforge_hpc.libraries.networks.trial.judge import Judge
from deepforge_hpc.libraries.networks.trial.result import Trial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.runtime.base.codec import encode, parse
from deepforge_hpc.runtime.base.files import canonical_json, digest, publish_bytes, read_own

_MAX_FILES = 200
_MAX_BYTES = 8 << 20


def folder(name: str = "trials") -> Path:
    """Return `~/.cache/deepforge-hpc/NAME`, or what XDG_CACHE_HOME makes of it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "deepforge-hpc" / name


def key(network: dict[str, Any], setting: TrialSetting, software: object) -> str:
    """Return the name of a trial: of a network, a framework, and how it is asked."""
    script = digest(setting.judge.script().encode())
    how = [setting.backend, setting.job_backend, setting.precision]
    identity = [network, *how, software, script]
    identity += [_environment(setting.judge), setting.judge.settings()]
    return digest(canonical_json(identity)).removeprefix("sha256:")


def _environment(judge: Judge) -> dict[str, str]:
    """Return the variables that a framework or its Python may heed."""
    beginnings = ("PYTHONHOME", "PYTHONPATH", *judge.variables)
    return {name: value for name, value in os.environ.items() if name.startswith(beginnings)}


def get(name: str, layers: int) -> Trial | None:
    """Return the trial of that name, if there is one that can be believed."""
    here = folder()
    with suppress(OSError, ValueError):
        if stat.S_IMODE(here.stat().st_mode) & 0o022:
            return None
        data = read_own(here / f"{name}.json", owner=os.geteuid(), limit=_MAX_BYTES)
        found = parse(Trial, data)
        return found if len(found.layers) == layers else None
    return None


def put(name: str, trial: Trial) -> None:
    """Keep a trial; a cache that cannot be written is none."""
    data = canonical_json(encode(trial))
    here = folder()
    with suppress(OSError):
        here.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(data) <= _MAX_BYTES:
            publish_bytes(here / f"{name}.json", data, durable=False, mode=0o600)
        _thin_out(here)


def _thin_out(here: Path) -> None:
    """Remove the oldest of too many."""
    with os.scandir(here) as entries:
        found = sorted(
            (entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries
        )
    for _, path in found[: max(0, len(found) - _MAX_FILES)]:
        with suppress(OSError):
            Path(path).unlink()
