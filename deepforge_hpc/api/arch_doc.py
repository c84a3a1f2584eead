"""What the catalogue of a library says of a layer, an initializer, a loss: needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.errors import UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.plugins.library import Entry, Library


class DocumentedArgument(NamedTuple):
    """An argument of a layer, ..., or of its call."""

    name: str
    sort: str
    """The sort of value; empty for arguments of the call."""
    default: Any
    """As in the framework; only told if it is not needed."""
    is_needed: bool
    text: str


class Documented(NamedTuple):
    """What is said of one thing."""

    name: str
    family: str
    """layer | initializer | loss | ..."""
    aliases: tuple[str, ...]
    text: str
    arguments: tuple[DocumentedArgument, ...]
    call: tuple[DocumentedArgument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Documentation(JsonResult, schema="dfh/architecture-doc/1"):
    """All things of a name."""

    library: str
    framework: str
    """Its name where it is of none."""
    version: str
    """Empty where it is of none."""
    found: tuple[Documented, ...]


def doc(name: str, of: str = "") -> Documentation:
    """Return what is said of all things of a name, in the first library that knows it, or in `of`.

    Without `of`, those that come along are asked. UsageError if none knows it.
    """
    from deepforge_hpc.files.faults import nearest, shown
    from deepforge_hpc.plugins.registry import built_in, create

    asked: list[str] = []
    known: list[str] = []
    for each in (of,) if of else built_in("libraries"):
        its: Library = create("libraries", each)
        framework, version, catalogue = _asked(its)
        found = []
        for family, table in catalogue.items():
            for own, entry in table.items():
                names = (own, *entry.aliases)
                known += names
                if name in names:
                    found.append(_documented(own, family, entry))
        if found:
            return Documentation(
                library=each, framework=framework, version=version, found=tuple(found)
            )
        asked.append(f"{framework} {version}".rstrip())
    has = "has" if len(asked) == 1 else "have"
    raise UsageError(f"{' and '.join(asked)} {has} no {shown(name)}", nearest(name, known))


def _asked(its: Library) -> tuple[str, str, Mapping[str, Mapping[str, Entry]]]:
    """Return what a library speaks for, its version, and what is in it.

    Of one without a framework its name.
    """
    from deepforge_hpc.libraries.networks.library import NetworkLibrary

    if isinstance(its, NetworkLibrary):
        known, texts = its.at_hand()
        return its.dialect().framework, known.version, its.entries(known, texts)
    return its.name, "", its.catalogue()


def _documented(name: str, family: str, entry: Entry) -> Documented:
    from deepforge_hpc.plugins.library import NEEDED

    arguments = (
        DocumentedArgument(
            name=one,
            sort=option.sort,
            default=None if option.default is NEEDED else option.default,
            is_needed=option.default is NEEDED,
            text=option.text,
        )
        for one, option in entry.options.items()
    )
    return Documented(
        name=name,
        family=family,
        aliases=entry.aliases,
        text=entry.text,
        arguments=tuple(arguments),
        call=tuple(
            DocumentedArgument(one, "", None, False, text) for one, text in entry.call.items()
        ),
    )
