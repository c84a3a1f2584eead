"""`env:` of a pipeline and of its operations: variables of their jobs, and never a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader, unquoted
from deepforge_hpc.files.kinds import MapOf, described
from deepforge_hpc.plugins.registry import built_in
from deepforge_hpc.plugins.scheduler import scheduler_class
from deepforge_hpc.runtime.base.redact import filter_variable
from deepforge_hpc.site.kinds import VARIABLE, VARIABLE_RULE
from deepforge_hpc.site.words import SETTING, harmless

_OURS = re.compile(
    r"(DFH|PMI|PMIX)_\w+|OMPI_COMM_WORLD_\w+|(LOCAL_|GROUP_)?RANK|(LOCAL_)?WORLD_SIZE|"
    r"PYTHONPATH|PATH|HOME|USER"
)
"""Variables by which a job and its ranks find themselves and their code."""
_NOT_TO_SET = "{} is not for a pipeline to set: a job goes by it"
_INSTEAD = "read it when the operation runs, from a file that only you can read"


@described(SETTING.schema())
def _variable(value: object, path: Path, reader: Reader) -> object:
    if not isinstance(value, str):
        return reader.wrong(path, "text", value, unquoted(value))
    result: Any = SETTING(value, path, reader)
    name = str(path[-1])
    if result is BAD:
        return BAD
    if _OURS.fullmatch(name):
        reader.fault(path, _NOT_TO_SET.format(name), key=True)
        return BAD
    if result.startswith("secret:") or filter_variable(name, result) != result:
        reader.fault(path, "looks like a secret: plan, script and ledger would show it", _INSTEAD)
        return BAD
    return harmless(result, path, reader)


def check_scheduler(
    places: Mapping[Path, Mapping[str, str]], scheduler: str, reader: Reader
) -> None:
    """Report variables that a scheduler sets: one that comes along, or that of the site.

    `places`: the variables by where they stand. A pipeline may go to any of those that come along.
    """
    if not any(places.values()):
        return
    names = dict.fromkeys((*built_in("schedulers"), *([scheduler] if scheduler else ())))
    taken = tuple(begin for name in names for begin in scheduler_class(name).variables)
    for path, found in places.items():
        for name in found:
            if name.startswith(taken):
                reader.fault((*path, name), _NOT_TO_SET.format(name), key=True)


VARIABLES = MapOf(_variable, VARIABLE, VARIABLE_RULE)
