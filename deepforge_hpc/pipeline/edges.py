"""Agreement along the edges of a pipeline: sources exist, types fit, arrays can be split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from deepforge_hpc.files.faults import Path, nearest, shown
from deepforge_hpc.files.project import absolute
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.pipeline.bind import Binder
from deepforge_hpc.pipeline.external import scheme_problem
from deepforge_hpc.pipeline.file import OutputSpec
from deepforge_hpc.pipeline.formats import ANY, PICKLE, WEIGHTS
from deepforge_hpc.pipeline.graph import cycles
from deepforge_hpc.pipeline.interface import Edge, OperationInterface
from deepforge_hpc.pipeline.places import ending_of, may_be_one, places
from deepforge_hpc.pipeline.shape import FILES, UNKNOWN, Shape
from deepforge_hpc.runtime.base.arguments import PROGRAMS
from deepforge_hpc.runtime.base.plan import ExternalInput, argument_of
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.runtime.formats import FORMATS

_MAX_UNUSED = 10
_MAX_UNTYPED = 4
_AS_IT_WAS = frozenset({"json", "text", "joblib", PICKLE, ANY})
"""Formats that give back the value that was saved; of an array a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An entry of the pipeline's `outputs:`."""

    name: str
    operation: str
    output: str
    to: str = ""
    """Absolute path, or empty."""


class Edges:
    """Checks what stands between operations; faults and warnings go to the binder."""

    def __init__(
        self,
        binder: Binder,
        interfaces: Mapping[str, OperationInterface | None],
        externals: Mapping[str, ExternalInput | None],
    ) -> None:
        self.binder = binder
        self._fault = binder.reader.fault
        self.pipeline = binder.pipeline
        self.interfaces = interfaces
        self.externals = externals
        self._types = {
            name: {port.name: port.type for port in interface.outputs}
            for name, interface in interfaces.items()
            if interface is not None
        }
        self._untyped: dict[tuple[str, str, str], tuple[Path, str]] = {}
        """Input of an operation's code -> the first edge to it of which nobody says the type."""
        self._used: set[tuple[str, str]] = set()
        self._used_externals: set[str] = set()

    def check(self) -> None:
        """Check every source of every input, and every array."""
        for name, spec in self.pipeline.operations.items():
            interface = self.interfaces.get(name)
            edges = {edge.port: edge for edge in interface.inputs} if interface else {}
            for path, port, source in spec.sources():
                self._source(("operations", name, "inputs", *path), source, edges.get(port))
            for index, other in enumerate(spec.after):
                if other not in self.pipeline.operations:
                    hint = nearest(other, self.pipeline.operations)
                    self._fault(
                        ("operations", name, "after", index), f"no operation {shown(other)}", hint
                    )
            if interface is not None and spec.map is not None:
                self._map(name, interface, edges)
        if self._untyped:
            (at, _), *_ = found = list(self._untyped.values())
            edges_listed = listed([edge for _, edge in found], _MAX_UNTYPED)
            message = f"types are not compared along {edges_listed}"
            self.binder.warn_of_type(at, message, "annotate both ends, or use types:")

    def graph(self) -> dict[str, list[str]]:
        """Return what each operation waits for; a cycle is a fault, and then there is no graph."""
        known = self.pipeline.operations
        graph = {}
        for name, spec in known.items():
            given = [source for _, _, source in spec.sources()]
            sources = {source.partition(".")[0] for source in given if "." in source}
            graph[name] = sorted(other for other in {*sources, *spec.after} if other in known)
        found = cycles(graph)
        for cycle in found:
            message = f"operations wait for each other: {' -> '.join(cycle)}"
            self._fault(("operations", cycle[0]), message, "remove one of the edges")
        return {} if found else graph

    def results(self, folder: FilePath) -> tuple[Result, ...]:
        """Check the pipeline's outputs and return them."""
        results, wanted = [], self.pipeline.outputs
        taken = self._sources(folder) if any(spec.to for spec in wanted.values()) else {}
        for name, spec in wanted.items():
            operation, _, output = spec.source.partition(".")
            at: Path = ("outputs", name, "from")
            if not operation or not self._output(at, operation, output):
                continue
            to = self._destination(name, folder, taken) if spec.to else ""
            results.append(Result(name=name, operation=operation, output=output, to=to))
        self._refuse_nested(results)
        return tuple(results)

    def _destination(self, name: str, folder: FilePath, taken: dict[str, str]) -> str:
        """Return the absolute path of an output's `to`; refuse one that would replace something."""
        spec = self.pipeline.outputs[name]
        operation, _, output = spec.source.partition(".")
        at: Path = ("outputs", name, "to")
        if problem := scheme_problem(spec.to):
            self._fault(at, problem)
        to = absolute(spec.to, folder)
        if spec.to.endswith("/"):
            to = os.path.join(to, "")  # noqa: PTH118 - the slash says that it is a folder
        self._refuse_file_for_parts(name, operation, spec.to)
        self._refuse_other_ending(at, spec, operation, output)
        if LEDGER in FilePath(to).parts:
            self._fault(at, f"{shown(spec.to)} lies in the ledger, which dfh alone writes")
        kind = self._types.get(operation, {}).get(output, "")
        is_parts = self.pipeline.operations[operation].map is not None
        mine = places(to, name, ending_of(kind, is_one=not is_parts))
        same = next((what for place, what in taken.items() if may_be_one(place, mine[0])), "")
        is_folder = is_parts or kind == "directory"
        place = to if is_folder and not to.endswith("/") else mine[0].removesuffix(".*")
        if same:
            self._fault(at, f"{same} the same place")
        elif outer := next(filter(_has_history, FilePath(place).parents), None):
            message = f"{shown(spec.to)} lies in {outer}, a result that the next one replaces whole"
            self._fault(at, message, "write elsewhere")
        elif _is_of_others(FilePath(place), is_folder=is_folder):
            last = FilePath(place).name
            there = spec.to if FilePath(to).name == last else f"{spec.to.rstrip('/')}/{last}"
            message = f"{shown(there)} is there, and no {last}.prov says that an execution wrote it"
            self._fault(at, message, "move it away, or write elsewhere")
        taken |= dict.fromkeys(mine, f"output {name!r} goes to")
        return to

    def _sources(self, folder: FilePath) -> dict[str, str]:
        """Return what no result may replace: the pipeline's inputs, and its operations' files."""
        found = {}
        for name, spec in self.pipeline.operations.items():
            file = spec.uses.partition(":")[0]
            if file.endswith(".py"):
                found[absolute(file, folder)] = f"operation {name!r} stands in"
        read = {item.path: name for name, item in self.externals.items() if item}
        found |= {path: f"input {name!r} is read from" for path, name in read.items()}
        return {os.path.realpath(path): what for path, what in found.items()}

    def _refuse_nested(self, results: list[Result]) -> None:
        """Refuse a place inside of what another output replaces as a whole."""
        whole = {item.to: item.name for item in results if item.to}
        for item in results:
            for outer in filter(whole.get, map(str, FilePath(item.to).parents)):
                message = f"lies in {outer}, all of which output {whole[outer]!r} replaces"
                hint = f"if that is a folder for several, end it in a slash: to: {outer}/"
                self._fault(("outputs", item.name, "to"), message, hint)

    def _refuse_file_for_parts(self, name: str, operation: str, to: str) -> None:
        """Refuse the name of a file for what the tasks of an array make: a folder of parts."""
        place = FilePath(to)
        if self.pipeline.operations[operation].map is None or to.endswith("/") or not place.suffix:
            return
        message = f"{shown(to)} would be a folder: {operation} is an array and makes parts"
        hint = (
            f"write to: {place.with_suffix('')} and read it by deepforge_hpc.load_parts, or add an "
            "operation that returns it as one value"
        )
        self.binder.reader.fault(("outputs", name, "to"), message, hint)

    def _refuse_other_ending(self, at: Path, spec: OutputSpec, operation: str, output: str) -> None:
        """Refuse a name that says another format than the file will have; text fits any."""
        fmt = FORMATS.get(self._types.get(operation, {}).get(output, ""))
        place = FilePath(spec.to)
        is_file = self.pipeline.operations[operation].map is None and not spec.to.endswith("/")
        known = {one.suffix: name for name, one in FORMATS.items() if one.suffix}
        if not is_file or fmt is None or {fmt.suffix, place.suffix} & {"", ".txt"}:
            return
        if place.suffix != fmt.suffix and place.suffix in known:
            message = f"{shown(spec.to)} says {known[place.suffix]}, and {spec.source} is {fmt.id}"
            self._fault(at, message, f"write to: {place.with_suffix(fmt.suffix)}")

    def warn_of_unused(self) -> None:
        """Warn of outputs and external inputs that nobody reads.

        An output of the same code is told once, for all operations that leave it unused.
        """
        unused: dict[tuple[str, str], list[str]] = {}
        for name, types in self._types.items():
            for output in types:
                interface = self.interfaces[name]
                is_extra = interface is not None and output in interface.extra
                if (name, output) not in self._used and not is_extra:
                    uses = self.pipeline.operations[name].uses or name
                    unused.setdefault((uses, output), []).append(name)
        for (_, output), names in list(unused.items())[:_MAX_UNUSED]:
            more = f" and {len(names) - 1} more of the same code" if names[1:] else ""
            message = f"operations.{names[0]}{more}: output {output!r} is not used"
            hint = "list it under outputs: if it is a result"
            self.binder.warn_of_unused(("operations", names[0]), message, hint)
        if rest := list(unused.values())[_MAX_UNUSED:]:
            name, number = rest[0][0], sum(map(len, rest))
            message = f"operations.{name}: {number} more outputs are not used, from here on"
            self.binder.warn_of_unused(("operations", name), message)
        for name in self.pipeline.inputs:
            if name not in self._used_externals:
                self.binder.warn_of_unused(("inputs", name), f"inputs.{name}: not used")

    def _source(self, at: Path, source: str, edge: Edge | None) -> None:
        operation, dot, output = source.partition(".")
        if dot:
            if self._output(at, operation, output) and edge is not None:
                self._fit(at, edge, self._types[operation][output], source)
            return
        self._used_externals.add(source)
        if source in self.pipeline.inputs:
            external = self.externals.get(source)
            if external is not None and edge is not None:
                self._fit(at, edge, external.type, source)
        elif source in self.pipeline.operations:
            outputs = ", ".join(f"{source}.{one}" for one in self._types.get(source, ()))
            message = f"{source} is an operation, not an input of the pipeline"
            self._fault(at, message, f"name its output: {outputs}" if outputs else "")
        else:
            hint = nearest(source, (*self.pipeline.inputs, *self._all_outputs()))
            self._fault(at, f"no input {shown(source)} of the pipeline", hint)

    def _all_outputs(self) -> list[str]:
        return [f"{name}.{output}" for name, types in self._types.items() for output in types]

    def _output(self, at: Path, operation: str, output: str) -> bool:
        """Tell whether an operation has an output, and count it as used."""
        if operation not in self.pipeline.operations:
            message = f"no operation {shown(operation)}"
            self._fault(at, message, nearest(operation, self.pipeline.operations))
            return False
        types = self._types.get(operation)
        if types is None:  # its code has faults of its own
            return False
        self._used.add((operation, output))
        if output not in types:
            if ("operations", operation, "outputs", output) in self.binder.reader.broken:
                return False
            message = f"{operation} has no output {shown(output)}"
            hint = nearest(output, types) or f"{operation} returns nothing"
            self._fault(at, message, hint)
            return False
        return True

    def _fit(self, at: Path, edge: Edge, given: str, source: str) -> None:
        name = str(at[1])
        interface, spec = self.interfaces[name], self.pipeline.operations[name]
        assert interface is not None
        network = edge.weights_of
        if given == WEIGHTS and network and network not in {*spec.references, *spec.attributes}:
            message = f"{source} is weights ({given}) without their network, which is code"
            self._fault(at, message, f"name its file: references: {{{network}: FILE.yaml}}")
        elif edge.type != given and ANY not in (edge.type, given):
            message = f"{source} is {given}, but {interface.source.object} wants {edge.type}"
            hint = f"write types: {{{argument_of(edge.port)}: {given}}} if it takes that"
            if edge.external:
                hint = f"write type: {edge.type} under inputs: if that is what it is"
            hint = f"{hint}; see {interface.place}"
            self._fault(at, message, hint)
        elif {edge.type, given} <= _AS_IT_WAS:
            shape = self._shape(edge, given)
            self._agree(at, edge, shape, source)
            is_untyped = edge.type == given == ANY and None in (shape.kinds, edge.shape.kinds)
            if is_untyped and interface.source.kind not in PROGRAMS:
                port = argument_of(edge.port)
                once = (interface.source.module, interface.source.object, port)
                self._untyped.setdefault(once, (at, f"{source} -> {name}.{port}"))

    def _shape(self, edge: Edge, given: str) -> Shape:
        """Return what the other end says of the value that an edge brings."""
        if edge.operation is None:
            return FILES.get(given, UNKNOWN)
        producer = self.interfaces[edge.operation]
        found = producer.promises.get(edge.output or "", UNKNOWN) if producer else UNKNOWN
        if self.pipeline.operations[edge.operation].map is None:
            return found
        return found.gathered() if given == "json" else UNKNOWN

    def _agree(self, at: Path, edge: Edge, given: Shape, source: str) -> None:
        """Refuse an edge whose two annotations no value can keep, though its format is one."""
        name, port = str(at[1]), argument_of(edge.port)
        interface, array = self.interfaces[name], self.pipeline.operations[name].map
        assert interface is not None
        is_shared_out = array is not None and array.over == port
        if is_shared_out:
            given = given.part()
        is_kept = given.may_be(edge.shape)
        # Of a file nobody says what it holds, so nothing of it is more likely than the rest.
        if is_kept and (edge.operation is None or not given.is_narrowed_to(edge.shape)):
            return
        object_ = interface.source.object
        once = (interface.source.module, object_, port, source)
        if is_kept is None:
            message = f"types are not compared along {source} -> {name}.{port}"
            self.binder.warn_of_type(at, message, "their annotations have too many members", *once)
            return
        message = f"{source} is {given.text}, but {object_} wants {edge.shape.text}"
        producer = self.interfaces.get(edge.operation or "")
        places = ", ".join(one.place for one in (producer, interface) if one)
        hint = f"make the annotations agree: {places}"
        if is_shared_out:
            hint = f"a task of an array gets a block of the rows; {hint}"
        if not is_kept:
            self._fault(at, message, hint)
        else:
            message += ": a value that does not fit reaches it as it is"
            self.binder.warn_of_type(at, message, hint, *once, kind="type_narrowed")

    def _map(self, name: str, interface: OperationInterface, edges: Mapping[str, Edge]) -> None:
        spec = self.pipeline.operations[name].map
        assert spec is not None
        at: Path = ("operations", name, "map")
        if not spec.over:
            return
        edge = edges.get(spec.over)
        if edge is None:
            given = self.pipeline.operations[name].inputs
            hint = nearest(spec.over, map(argument_of, edges))
            message = f"{name} gets no input {shown(spec.over)}"
            if isinstance(given.get(spec.over), tuple):
                message = f"input {spec.over!r} is a list, and an array shares out one value"
                hint = "join the list in an operation before it"
            self._fault((*at, "over"), message, hint)
        else:
            kind = edge.type if edge.type != ANY else self._given(edge)
            self._capable(at, f"input {spec.over!r}", spec.over, kind, "split")
        for port in interface.outputs:
            self._capable(at, f"output {port.name!r}", port.name, port.type, "gather")

    def _given(self, edge: Edge) -> str:
        if edge.external is not None:
            external = self.externals.get(edge.external)
            return external.type if external is not None else ""
        return self._types.get(edge.operation or "", {}).get(edge.output or "", "")

    def _capable(self, at: Path, what: str, port: str, kind: str, verb: str) -> None:
        """Refuse a format that cannot be split or gathered; an unknown source has its fault."""
        if kind == ANY:
            message = f"{what} has no type, so it is unknown whether it can be {_DONE[verb]}"
            hint = f"annotate it, or write types: {{{port}: FORMAT}}"
            self._fault(at, message, hint)
        elif kind:
            formats = self.binder.formats
            if not getattr(formats[kind], f"can_{verb}", False):
                able = [
                    one for one in FORMATS if one != ANY and getattr(FORMATS[one], f"can_{verb}")
                ]
                message = f"{what} is {kind}, which cannot be {_DONE[verb]}"
                self._fault(at, message, f"these can: {', '.join(sorted(able))}")


_DONE = {"split": "split into blocks of rows", "gather": "gathered from the tasks' parts"}


def _is_of_others(place: FilePath, *, is_folder: bool) -> bool:
    """Tell whether a result would replace what has no history of dfh's beside it.

    A file does not replace a folder: it goes into it.
    """
    if not os.path.lexists(place) or (not is_folder and place.is_dir()):
        return False
    return not _has_history(place)


def _has_history(place: FilePath) -> bool:
    """Tell whether an execution laid it there."""
    return os.path.lexists(f"{place}.prov")
