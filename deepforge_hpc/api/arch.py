"""Architecture files: the networks that they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.files.project import Project
    from deepforge_hpc.libraries.networks.compare import LayerChange
    from deepforge_hpc.libraries.networks.graph import Graph
    from deepforge_hpc.libraries.networks.library import NetworkLibrary

_LIST = "dfh arch new lists them."
DEFAULT = "keras"
"""The library of whom names none."""


class ShownInput(NamedTuple):
    """An input of a network."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    options: tuple[str, ...] = ()
    """What it says besides, such as batch_size=4."""


class ShownLayer(NamedTuple):
    """One layer, when all blocks are expanded."""

    name: str
    kind: str
    sources: tuple[str, ...]
    arguments: tuple[str, ...]
    """As source text: `filters=64`."""
    shared: str = ""
    """Name of the layer whose weights it uses again."""
    is_nested: bool = False
    """Whether it is a model of its own, whose layers stand above it as `NAME.LAYER`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownNetwork(JsonResult, schema="dfh/architecture/1"):
    """A network, when all blocks are expanded."""

    name: str
    path: str
    inputs: tuple[ShownInput, ...]
    layers: tuple[ShownLayer, ...]
    outputs: tuple[str, ...]


class Example(NamedTuple):
    """A network to begin with."""

    name: str
    about: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile(JsonResult, schema="dfh/written/1"):
    """A file that was made: an architecture, a picture, code."""

    path: str
    """Empty: only shown."""
    text: str


def examples(of: str) -> tuple[Example, ...]:
    """Return the files that come along with a library, mostly networks."""
    from deepforge_hpc.plugins.registry import create

    return tuple(
        Example(name, text.partition("\n")[0].removeprefix("# ").rstrip("."), text)
        for name, text in create("libraries", of).examples().items()
    )


def new(name: str, output: Path | None, *, of: str, force: bool = False) -> WrittenFile:
    """Return the file of a network that comes along with a library, written if there is where."""
    from deepforge_hpc.files.faults import nearest, shown

    known = {item.name: item.text for item in examples(of)}
    if name not in known:
        raise UsageError(f"no network {shown(name)} comes along", nearest(name, known) or _LIST)
    return write_file(known[name], output, force=force)


def write_file(text: str, output: Path | None, *, force: bool) -> WrittenFile:
    """Write a file; one that is there only by force."""
    from deepforge_hpc.api.pipelines import write

    if output is not None:
        if os.path.lexists(output) and not force:
            raise UsageError(f"{output} is there already", "Give another file, or --force.")
        write(output, text.encode(), "Give another file with -o.")
    return WrittenFile(path=str(output or ""), text=text)


def network(path: Path) -> Graph:
    """Return the network of a file; InvalidInputError with all faults."""
    graph, faults = partial_network(path)
    if faults or graph is None:
        raise InvalidInputError(faults)
    return graph


def partial_network(path: Path) -> tuple[Graph | None, tuple[Fault, ...]]:
    """Return the network of a file as far as it can be read, and all faults."""
    from deepforge_hpc.files.characters import decode
    from deepforge_hpc.files.project import Project, ProjectFiles, read_input
    from deepforge_hpc.paths import project_root

    files = ProjectFiles(Project(project_root(path.parent)[0], path.parent), Path.cwd())
    text = decode(read_input(path), str(path))
    name = _named(text, path)
    graph, faults = library(name).partial_graph(text, str(path), files)
    return (graph if graph is not None and graph.library == name else None), faults


def _named(text: str, path: Path) -> str:
    """Return the library that a file says it is of; of what is none the default, to tell why."""
    from deepforge_hpc.files.yaml12 import load
    from deepforge_hpc.plugins.registry import known

    try:
        found = load(text, str(path)).value()
    except InvalidInputError:
        found = None
    name = found.get("library") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name in known("libraries") else DEFAULT


def library(name: str) -> NetworkLibrary:
    """Return a library of networks; UsageError if there is none of that name."""
    from deepforge_hpc.libraries.networks.library import NetworkLibrary
    from deepforge_hpc.plugins.registry import create

    found = create("libraries", name)
    if not isinstance(found, NetworkLibrary):
        message = f"files of the library {name} are no networks"
        raise UsageError(message, "What it makes of them is in the job alone.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences(JsonResult, schema="dfh/architecture-diff/1"):
    """Where two networks differ."""

    one: str
    two: str
    changes: tuple[LayerChange, ...]


def diff(one: Path, two: Path) -> Differences:
    """Compare the networks of two files."""
    from deepforge_hpc.libraries.networks.compare import compare

    first, second = network(one), network(two)
    if first.library != second.library:
        message = f"{one} is of {first.library}, and {two} of {second.library}"
        raise UsageError(message, "Compare networks of one library.")
    changes = compare(first, second, library(first.library).dialect())
    return Differences(one=str(one), two=str(two), changes=changes)


def show(path: Path) -> ShownNetwork:
    """Return what a file expands to."""
    graph = network(path)
    return ShownNetwork(
        name=graph.name,
        path=str(path),
        inputs=shown_inputs(graph),
        layers=tuple(_layers(graph, "")),
        outputs=tuple(map(str, graph.outputs)),
    )


def _layers(graph: Graph, prefix: str) -> Iterator[ShownLayer]:
    """Yield the layers of a network, those of a nested model in front of it."""
    for call in graph.calls:
        if call.model is not None and not call.shared:
            yield from _layers(call.model, f"{prefix}{call.name}.")
        sources = tuple(f"{prefix}{tensor}" for tensor in call.sources)
        name, shared = f"{prefix}{call.name}", call.shared and f"{prefix}{call.shared}"
        words, is_nested = call.words, call.model is not None
        yield ShownLayer(name, call.kind, sources, words, shared=shared, is_nested=is_nested)


def shown_inputs(graph: Graph) -> tuple[ShownInput, ...]:
    """Return the inputs of a network."""
    return tuple(ShownInput(item.name, item.shape, item.dtype, item.words) for item in graph.inputs)


def why_not(beside: Path) -> Callable[[str], str]:
    """Return what says why the project around a file has no `MODULE:Name`; nothing is imported."""
    from deepforge_hpc.files.project import Project
    from deepforge_hpc.paths import project_root

    folders = dict.fromkeys((beside.parent.resolve(), Path.cwd()))
    projects = [Project(project_root(folder)[0], folder) for folder in folders]

    def why(name: str) -> str:
        found = [_absence(name, project) for project in projects]
        return "" if "" in found else found[0]

    return why


def _absence(name: str, project: Project) -> str:
    """Return why a project has no `MODULE:Name`; empty if it has."""
    from deepforge_hpc.files.project import ProjectError
    from deepforge_hpc.pipeline.sources import Sources

    try:
        Sources(project, ()).find_object(name)
    except ProjectError as error:
        return str(error)
    return ""
