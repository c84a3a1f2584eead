"""No secret stands in a site file: what a site says ends up in plans, scripts and messages.

A variable of a job may be set to `secret:NAME`, which the job reads from a file of the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepforge_hpc.files.faults import Path, Reader, shown
from deepforge_hpc.runtime.base.redact import holds_credential, is_secret_variable
from deepforge_hpc.site.words import SECRET

_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")
_HINT = "write secret:NAME, and the secret into ~/.config/deepforge-hpc/secrets/NAME"
_ELSEWHERE = "only variables of environment_sets and of network.proxy can be a secret"


def check_secrets(data: object, reader: Reader) -> None:
    """Report values that are secrets, or references to some."""
    for path, value in _texts(data, ()):
        if value.startswith("secret:"):
            if not _is_variable(path):
                reader.fault(path, f"{shown(value)} is not read here", _ELSEWHERE)
            elif not SECRET.fullmatch(value):
                reader.fault(path, f"{shown(value)} is not the name of a secret", _HINT)
        elif _IN_URL.search(value):
            reader.fault(
                path, "a password inside an address is shown to all who read the script", _HINT
            )
        elif holds_credential(value):
            reader.fault(
                path, "looks like a credential: plan, script and ledger would show it", _HINT
            )
        elif path[-2:-1] in {("env",), ("proxy",)} and is_secret_variable(str(path[-1])):
            reader.fault(path, f"{path[-1]} is a secret by its name", _HINT)


def _is_variable(path: Path) -> bool:
    """Tell whether a script sets the value."""
    return path[:-1] == ("network", "proxy") or (
        path[0] == "environment_sets" and path[2:-1] == ("env",)
    )


def _texts(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _texts(item, (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _texts(item, (*path, index))
