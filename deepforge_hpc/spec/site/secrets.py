"""No secret stands in a site file: what a site says ends up in plans, scripts and messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deepforge_hpc.spec.schema import Path, Reader

_NAMES = re.compile(r"(?i)(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|CREDENTIALS?)$")
_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")
_HINT = "set it in the job, from a file that only you can read"


def check_secrets(data: object, reader: Reader) -> None:
    """Report values that are secrets, or references to some."""
    for path, value in _texts(data, ()):
        if value.startswith("secret:"):
            reader.fault(path, "a site file shows all that it holds; no secret can be named", _HINT)
        elif _IN_URL.search(value):
            reader.fault(path, "a password inside an address is shown to all who read the script")
        elif path[-2:-1] in {("env",), ("proxy",)} and _NAMES.search(str(path[-1])):
            reader.fault(path, f"{path[-1]} is a secret by its name", _HINT)


def _texts(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _texts(item, (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _texts(item, (*path, index))
