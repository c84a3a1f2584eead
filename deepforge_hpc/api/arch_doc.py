"""What the catalogue of a library says of a layer, an initializer, a loss: needs no framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.api.arch import library
from deepforge_hpc.errors import UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.libraries.networks.catalogue import Texts, Thing


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
    version: str
    found: tuple[Documented, ...]


def doc(name: str, of: str = "") -> Documentation:
    """Return what is said of all things of a name, in the first library that knows it, or in `of`.

    Without `of`, those that come along are asked. UsageError if none knows it.
    """
    from deepforge_hpc.files.faults import nearest, shown
    from deepforge_hpc.plugins.registry import built_in

    asked, known = [], []
    for each in (of,) if of else built_in("libraries"):
        its = library(each)
        catalogue, texts = its.at_hand()
        framework = its.dialect().framework
        things = [catalogue.find(family, name) for family in catalogue.families]
        if found := tuple(_documented(thing, texts) for thing in things if thing is not None):
            version = catalogue.version
            return Documentation(library=each, framework=framework, version=version, found=found)
        asked.append(f"{framework} {catalogue.version}")
        known += [known for family in catalogue.families for known in catalogue.known(family)]
    has = "has" if len(asked) == 1 else "have"
    raise UsageError(f"{' and '.join(asked)} {has} no {shown(name)}", nearest(name, known))


def _documented(thing: Thing, texts: Texts) -> Documented:
    from deepforge_hpc.plugins.library import NEEDED

    arguments = (
        DocumentedArgument(
            name=name,
            sort=sort,
            default=None if thing.defaults[name] is NEEDED else thing.defaults[name],
            is_needed=thing.defaults[name] is NEEDED,
            text=texts.argument(thing, name),
        )
        for name, sort in thing.sorts.items()
    )
    return Documented(
        name=thing.name,
        family=thing.family,
        aliases=thing.aliases,
        text=texts.summary(thing),
        arguments=tuple(arguments),
        call=tuple(
            DocumentedArgument(name, "", None, False, texts.argument(thing, name))
            for name in thing.call
        ),
    )
