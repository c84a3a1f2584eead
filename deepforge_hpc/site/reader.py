"""A site file, `extends` and variant merged, to a `SiteSpec`; every fault of it at once."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from deepforge_hpc.errors import UsageError
from deepforge_hpc.files.faults import dotted
from deepforge_hpc.files.kinds import Choice, Field, Record, Text, version
from deepforge_hpc.plugins import registry
from deepforge_hpc.site import place, work
from deepforge_hpc.site.checks import check_site
from deepforge_hpc.site.kinds import LINE, TEXT, Unknown, unknown_leaves
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.secrets import check_secrets

if TYPE_CHECKING:
    from deepforge_hpc.files.faults import Reader

SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SECTIONS = {**work.FIELDS, **place.FIELDS}
SITE = Record(
    SiteSpec,
    {
        "dfh": version,
        "site": Field(Text("the name of a site", SITE_NAME.pattern), required=True, name="name"),
        "title": LINE,
        "description": TEXT,
        "scheduler": Field(
            Text("the name of a scheduler", r"[a-z][a-z0-9_-]{0,31}"), required=True
        ),
        "dependency": Unknown(Choice("afterok", "afterany"), absent=True),
        **{
            key: kind if isinstance(kind, Field | Unknown) else Unknown(kind, absent=True)
            for key, kind in _SECTIONS.items()
        },
    },
)


def read_site(reader: Reader, data: object) -> SiteSpec:
    """Return the site of merged data; faults go to the reader."""
    result = SITE(data, (), reader)
    if not isinstance(result, SiteSpec):
        return SiteSpec()
    stated = {k: v for k, v in data.items() if k not in _NO_FACTS} if isinstance(data, dict) else {}
    result = dataclasses.replace(result, unknowns=tuple(map(dotted, unknown_leaves(stated))))
    if result.scheduler:
        try:
            registry.target("schedulers", result.scheduler)
        except UsageError as error:
            reader.fault(("scheduler",), error.message.removeprefix("schedulers: "), error.hint)
    check_site(result, data, reader)
    check_secrets(data, reader)
    return result


_NO_FACTS = frozenset({"site", "title", "description", "facts"})
