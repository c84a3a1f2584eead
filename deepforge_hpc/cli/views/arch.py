"""How `dfh arch` shows a network."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepforge_hpc.api.arch import Differences, ShownInput, ShownLayer, ShownNetwork
from deepforge_hpc.api.arch_doc import Documentation, DocumentedArgument
from deepforge_hpc.cli.views.display import explained, listing, table
from deepforge_hpc.runtime.base.text import count

if TYPE_CHECKING:
    from deepforge_hpc.api.arch_summary import NetworkSummary

_HEADER = ("LAYER", "KIND", "FROM", "ARGUMENTS")
_WIDTH = 96
_MODULE = re.compile(r"\b(?:keras\.\w+|nn(?:\.functional)?)\.")


def network_lines(found: ShownNetwork) -> Iterator[str]:
    """Yield what the network is, and a line for each input and layer."""
    yield _head(found, sum("." not in layer.name for layer in found.layers))
    inputs = [(item.name, "Input", "-", _input(item)) for item in found.inputs]
    layers = [
        (
            item.name,
            item.kind,
            ", ".join(item.sources),
            _words(item),
        )
        for item in found.layers
    ]
    yield from table(_HEADER, [*inputs, *layers])


def _input(item: ShownInput) -> str:
    """Return shape and type of an input, and what else it says."""
    return " ".join((sizes(item.shape), item.dtype, *item.options))


def _words(layer: ShownLayer) -> str:
    """Return the arguments of a layer; of one that is used again those stand where it is made."""
    if layer.shared:
        return f"shared with {layer.shared}"
    if layer.is_nested:
        return f"a model of its own: {layer.name}.*"
    return plain(", ".join(map(_short, layer.arguments)))


def _short(argument: str) -> str:
    """Return an argument on one line: a vocabulary may have thousands of words."""
    return argument if len(argument) <= _WIDTH else f"{argument[: _WIDTH - 3]}..."


def summary_lines(found: NetworkSummary) -> Iterator[str]:
    """Yield the network in numbers."""
    known = "" if found.parameters is None else f", {found.parameters:,} parameters"
    yield f"{_head(found, found.layers)}; {found.depth} deep{known}"
    inputs = [(item.name, _input(item)) for item in found.inputs]
    yield from table(("INPUT", "SHAPE"), inputs)
    yield from table(("KIND", "LAYERS"), [(kind, str(n)) for kind, n in found.kinds.items()])


def diff_lines(found: Differences) -> list[str]:
    """Return a line for each difference."""
    columns = (
        ("WHAT", "what"),
        ("LAYER", "layer"),
        (found.one, lambda change: plain(change.was)),
        (found.two, lambda change: plain(change.now)),
    )
    return listing(columns, found.changes) if found.changes else ["no difference"]


def doc_lines(found: Documentation) -> Iterator[str]:
    """Yield what is said of each thing, with all of its arguments."""
    for index, thing in enumerate(found.found):
        if index:
            yield ""
        also = f", also {', '.join(thing.aliases)}" if thing.aliases else ""
        of = f"{found.framework} {found.version}".rstrip()
        yield f"{thing.name}: {thing.family} of {of}{also}"
        yield from textwrap.wrap(thing.text, _WIDTH)
        for title, arguments in (("Arguments", thing.arguments), ("Of its call", thing.call)):
            if arguments:
                yield from ("", f"{title}:")
            for argument in arguments:
                yield from explained(_signature(argument), argument.text, _WIDTH)


def _signature(argument: DocumentedArgument) -> str:
    if not argument.sort:
        return argument.name
    default = "needed" if argument.is_needed else f"default {json.dumps(argument.default)}"
    return f"{argument.name}: {argument.sort}, {default}"


def _head(found: ShownNetwork | NetworkSummary, layers: int) -> str:
    parts = (
        count(len(found.inputs), "input"),
        count(layers, "layer"),
        count(len(found.outputs), "output"),
    )
    return f"{found.name}: {', '.join(parts)}: {', '.join(found.outputs)}"


def plain(arguments: str) -> str:
    """Return arguments without the modules of Keras: `Constant(value=0.1)`."""
    return _MODULE.sub("", arguments)


def sizes(shape: tuple[int | None, ...]) -> str:
    """Return `64 x 64 x 5`; `?` is any size."""
    return " x ".join("?" if size is None else str(size) for size in shape) or "scalar"
