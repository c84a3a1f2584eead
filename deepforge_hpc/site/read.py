"""A site file, `extends` and variant merged, to a `SiteSpec`; every fault of it at once."""

from __future__ import annotations

import dataclasses

from deepforge_hpc.files.faults import Reader, dotted
from deepforge_hpc.files.object import Object
from deepforge_hpc.plugins import registry
from deepforge_hpc.site.checks import check_site
from deepforge_hpc.site.kinds import unknown_leaves
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.secrets import check_secrets

SITE = Object(SiteSpec)


def read_site(reader: Reader, data: object) -> SiteSpec:
    """Return the site of merged data; faults go to the reader."""
    result = SITE(data, (), reader)
    if not isinstance(result, SiteSpec):
        return SiteSpec()
    stated = {k: v for k, v in data.items() if k not in _NO_FACTS} if isinstance(data, dict) else {}
    result = dataclasses.replace(result, unknowns=tuple(map(dotted, unknown_leaves(stated))))
    if result.scheduler and (why := registry.why_not("schedulers", result.scheduler)):
        reader.fault(("scheduler",), *why)
    check_site(result, data, reader)
    check_secrets(data, reader)
    return result


_NO_FACTS = frozenset({"site", "title", "description", "facts"})
