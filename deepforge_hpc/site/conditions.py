"""Conditions of the rules of a site: on which jobs a rule holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader
from deepforge_hpc.files.kinds import Kind, MapOf, Schema
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.plugins import launcher
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import (
    COUNT,
    LINE,
    VARIABLE,
    VARIABLE_RULE,
    Known,
    RangeOf,
    list_of,
    unknown_leaves,
    yes_no,
)
from deepforge_hpc.site.unknown import ANY, UNKNOWN, Flag, Range
from deepforge_hpc.site.words import NAME


class When(Frozen):
    """Conditions on a job, as data; all that are given must hold.

    If any of them is unknown, `gpus` is UNKNOWN here, and the rule holds for no job.
    """

    gpus: Flag = key(Known(yes_no))
    queues: tuple[str, ...] = key(list_of(NAME, "a list of queues"), ())
    nodes: Range = key(RangeOf(COUNT), ANY)
    ntasks_per_node: Range = key(RangeOf(COUNT), ANY)
    launch: tuple[str, ...] = key(list_of(launcher.NAME, "a list of launchers"), ())
    env: Mapping[str, str] = key(MapOf(Known(LINE), VARIABLE, VARIABLE_RULE), factory=dict)
    """Variables that an environment set of the site gives the job."""
    software: tuple[str, ...] = key(list_of(LINE, "a list of patterns"), ())
    """Patterns such as `rocm/6.*`, one of which a module or the image of the job fits."""
    node_local: bool | None = key(Known(yes_no))
    whole_node: bool | None = key(Known(yes_no))


NEVER = When(gpus=UNKNOWN)
"""The condition of a rule of which nobody knows when it holds: it is applied to no job."""


class Conditions(Kind):
    """Conditions of a rule; if any of them is unknown, they hold for no job."""

    kind = Object(When)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        if value in (None, ""):
            return BAD
        if value == "unknown":
            return NEVER
        found = self.kind(value, path, reader)
        return NEVER if next(unknown_leaves(value), None) is not None else found

    def schema(self) -> Schema:
        return {"anyOf": [{"enum": ["unknown", "", None]}, self.kind.schema()]}


WHEN = Conditions()
