"""How `dfh site` shows what is known of a site, and what is not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.api.site import SiteCheck
from deepforge_hpc.runtime.base.text import count

if TYPE_CHECKING:
    from deepforge_hpc.site.find import FoundSite
    from deepforge_hpc.site.place import Fact

SITES = (
    ("SITE", "name"),
    ("SCHEDULER", "scheduler"),
    ("FROM", "origin"),
    ("VARIANTS", lambda site: " ".join(site.variants)),
    ("TITLE", "title"),
)
_WIDTH = 96
_TOP = ("dfh", "site", "title", "description", "facts")
_CONFIDENCE = {"O": "official", "T": "third party", "L": "live output", "M": "measured"}


def site_lines(found: FoundSite, *, with_inherited_errors: bool = False) -> Iterator[str]:
    """Yield the facts of a site by section, each with its sources; `?` marks what is unknown.

    What the file itself says comes first. Inherited hints to messages of Slurm's are many, and the
    same for all sites: they are only counted, unless asked for.
    """
    spec = found.spec
    yield f"{spec.name}  ({found.where}: {found.path})"
    for text in (spec.title, spec.description):
        if text and text != spec.name:
            yield from text.strip().splitlines()
    if found.extends:
        yield f"extends: {', '.join(found.extends)}"
    if spec.variants:
        yield f"variants: {', '.join(spec.variants)}"
    for name in _sections(found):
        value = found.document.value()[name]
        hidden = 0
        if name == "errors" and not with_inherited_errors:
            shown = [item for at, item in enumerate(value) if _is_own(found, name, at)]
            hidden, value = len(value) - len(shown), shown
        yield ""
        if value or not hidden:
            yield from _named(name, value, 0)
            yield from _sources(found, name)
        if hidden:
            yield f"  errors: {count(hidden, 'inherited hint')}, shown with --all"
    if spec.unknowns:
        yield ""
        yield f"{len(spec.unknowns)} facts are unknown, marked by ?: they warn, and refuse nothing"


def _sections(found: FoundSite) -> list[str]:
    """Return the names of the sections: those of the file in its order, then that of `SiteSpec`."""
    from deepforge_hpc.site.read import SITE

    document = found.document
    given = document.value()
    names = [name for name in SITE.fields if name in given and name not in _TOP]
    own = [name for name in names if _is_own(found, name)]
    own.sort(key=lambda name: document.mark((name,), key=True).line)
    return own + [name for name in names if name not in own]


def _is_own(found: FoundSite, *path: str | int) -> bool:
    return Path(found.document.layer(path).document.file) == found.path


def _sources(found: FoundSite, name: str) -> Iterator[str]:
    for fact in _facts(found, name):
        yield f"    source: {fact}"
    for file in found.unsourced.get(name, ()):
        yield f"    source: none is named in {file}"


def check_lines(check: SiteCheck) -> Iterator[str]:
    """Yield what is said of a site file without a fault."""
    variants = f", variants {', '.join(check.variants)}" if check.variants else ""
    yield f"{check.path}: site {check.name}, {count(check.queues, 'queue')}{variants}: no faults"
    if check.unknown:
        yield f"{len(check.unknown)} unknown: {', '.join(check.unknown)}"
    if check.unsourced:
        yield f"no source is named under facts for: {', '.join(check.unsourced)}"


def _facts(found: FoundSite, name: str) -> Iterator[str]:
    for path, facts in found.spec.facts.items():
        if path.partition(".")[0] == name:
            part = f"{path}: " if path != name else ""
            for index, fact in enumerate(facts):
                file = Path(found.document.layer(("facts", path, index)).document.file)
                of_base = f" [{file.stem}]" if file != found.path else ""
                yield f"{part}{_fact(fact)}{of_base}"


def _fact(fact: Fact) -> str:
    kind = _CONFIDENCE.get(fact.confidence, fact.confidence)
    note = f" ({fact.note})" if fact.note else ""
    return f"{fact.source}, {fact.date}, {kind}{note}"


def _named(name: str, value: Any, depth: int) -> Iterator[str]:
    """Yield `name: value`, on one line if it fits."""
    inset = "  " * depth
    line = f"{inset}{name}: {_flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, (dict, list)):
        yield _marked(line, value)
        return
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        yield from _wrapped(line, value)
        return
    yield f"  {inset}{name}:"
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _named(key, item, depth + 1)
    else:
        for item in value:
            yield from _item(item, depth + 1)


def _wrapped(line: str, value: Any) -> Iterator[str]:
    """Yield a list of words on as few lines as it takes."""
    inset = " " * (len(line) - len(line.lstrip()) + 2)
    yield from textwrap.wrap(
        _marked(line, value),
        _WIDTH + 2,
        subsequent_indent=f"  {inset}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _item(value: Any, depth: int) -> Iterator[str]:
    line = f"{'  ' * depth}- {_flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, dict) or not value:
        yield _marked(line, value)
        return
    first, *others = value.items()
    yield from _named(f"- {first[0]}", first[1], depth)
    for key, item in others:
        yield from _named(key, item, depth + 1)


def _marked(line: str, value: Any) -> str:
    return f"{'?' if _has_unknown(value) else ' '} {line}"


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unknown(item) for item in value)
    return bool(value == "unknown")


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else " ".join(str(value).split())
