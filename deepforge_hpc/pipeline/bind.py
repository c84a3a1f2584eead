"""Agreement of a pipeline with the code of its operations, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.pipeline.credentials import ATTRIBUTE
from deepforge_hpc.pipeline.environment import EnvironmentBase, resolve_environment
from deepforge_hpc.pipeline.file import OperationSpec, PipelineSpec
from deepforge_hpc.pipeline.formats import ANY, PICKLE, Formats, is_open, refines
from deepforge_hpc.pipeline.installed import Installed
from deepforge_hpc.pipeline.interface import (
    NO_DEFAULT,
    Edge,
    OperationInterface,
    Parameter,
    Port,
    edge_of,
)
from deepforge_hpc.pipeline.named_values import check_named
from deepforge_hpc.pipeline.references import References
from deepforge_hpc.pipeline.refusals import refused
from deepforge_hpc.pipeline.sources import FoundOperation, Sources
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import OperationSource, Reference, member_port
from deepforge_hpc.runtime.base.redact import filter_value

T = TypeVar("T")
_SHARDS = ("shard", "shards")


@dataclass(slots=True, eq=False)
class Binder:
    """Binds operations one by one; faults go to the reader, warnings are kept."""

    pipeline: PipelineSpec
    reader: Reader
    sources: Sources
    references: References
    formats: Formats
    environment_base: EnvironmentBase
    installed: Installed
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: list[Notice] = field(default_factory=list)
    _told: set[tuple[str, ...]] = field(default_factory=set)

    def bind(self, spec: OperationSpec) -> OperationInterface | None:
        """Return the interface of an operation; None if its code has faults."""
        if spec.command and spec.uses:  # they exclude each other, as was told
            return None
        if spec.command or spec.uses.endswith(".py"):
            from deepforge_hpc.pipeline.program import ProgramBinding

            return self.attempt(spec, ProgramBinding(self, spec).interface)
        if not spec.uses:
            return None
        for key in ("args", "outputs"):
            if getattr(spec, key):
                message = f"{key}: is of programs; the code of {spec.uses} says its own"
                hint = "remove it, or run a file as a program: uses: FILE.py"
                self.reader.fault(("operations", spec.name, key), message, hint, key=True)
        found = self.attempt(spec, lambda: self.sources.find(spec.uses))
        return None if found is None else _OperationBinding(self, spec, found).interface()

    def attempt(self, spec: OperationSpec, action: Callable[[], T | None]) -> T | None:
        """Return what an action finds; None after its fault was told at `uses:`."""
        try:
            return action()
        except ProjectError as error:
            if ("uses", str(error)) not in self._told:  # of a file, however many operations use it
                self._told.add(("uses", str(error)))
                key = "command" if spec.command else "uses"
                self.reader.fault(("operations", spec.name, key), str(error), error.hint)
            return None

    def warn_of_type(
        self, path: Path, message: str, hint: str, *once: str, kind: str = "type_unchecked"
    ) -> None:
        """Say what is not checked; once only for a port, however many operations have its code."""
        if once not in self._told:
            self._told.add(once)
            self._warn(kind, path, message, hint)

    def warn_of_unused(self, path: Path, message: str, hint: str = "") -> None:
        """Say what nobody reads."""
        self._warn("unused", path, message, hint, key=True)

    def _warn(self, kind: str, path: Path, message: str, hint: str, *, key: bool = False) -> None:
        fault = self.reader.document.fault(message, path, hint=hint, key=key)
        self.warnings.append(fault.notice(kind))


class _OperationBinding:
    """One operation on its way to an interface."""

    def __init__(self, binder: Binder, spec: OperationSpec, found: FoundOperation) -> None:
        self.binder = binder
        self.spec = spec
        self.found = found
        self.code = found.code
        self.at: Path = ("operations", spec.name)
        self.is_class = found.code.kind == "class"
        arguments = {parameter.name: parameter for parameter in found.code.parameters}
        if self.is_class:
            self.inputs = {parameter.name: parameter for parameter in found.code.inputs}
            self.parameters = arguments
        else:
            self.inputs = {name: arguments[name] for name in spec.inputs if name in arguments}
            self.parameters = {
                k: v for k, v in arguments.items() if k not in spec.inputs and not v.is_star
            }
        self.star = found.code.star
        own = spec.seed if spec.seed is not None else binder.pipeline.seed
        self.seed = own
        self.overridden = binder.overrides.get(spec.name, {})
        self.attributes = {**spec.attributes, **self.overridden}
        known = (*(("seed",) if own is not None else ()), *(_SHARDS if spec.map else ()))
        self.given = [name for name in known if name not in (*spec.inputs, *self.star[-1:])]
        """What the job gives by itself to `execute` of a class."""
        if own is not None and "seed" in self.parameters and "seed" not in spec.references:
            self.attributes.setdefault("seed", own)

    def interface(self) -> OperationInterface | None:
        """Check everything and return the interface; of code with faults the arguments alone."""
        self._check_names()
        self._check_missing()
        self._check_values()
        references = self._references()
        if not self.found.is_sound:
            return None
        types = self._types()
        spec, code, found = self.spec, self.code, self.found
        edges = [edge for port in sorted(spec.inputs) for edge in self._edges(types, port)]
        environment = resolve_environment(
            (spec.environment, self.binder.pipeline.environment), self.binder.environment_base
        )
        left = self._left_to_code()
        compiled = (self.binder.references.packages(item) for item in references)
        packages = found.packages.union(*compiled)
        return OperationInterface(
            name=spec.name,
            source=OperationSource(
                module=found.module,
                object=code.object,
                kind=code.kind,
                parameters=(*self.parameters, *self._taken_by_execute()),
                search=found.search,
                sha256=found.sha256,
                returns=code.returns,
                star=self.star if self.star[-1:] and self.star[-1] in spec.inputs else (),
            ),
            attributes=self.attributes,
            defaults={name: p.default for name, p in left.items() if p.default is not NO_DEFAULT},
            computed={name: p.default_code for name, p in left.items() if p.default is NO_DEFAULT},
            references=references,
            inputs=tuple(edges),
            outputs=tuple(port.output(self._output_type(types, port)) for port in code.outputs),
            environment=environment,
            software=self.binder.installed.software(environment, packages),
            seed=self.seed,
            after=tuple(sorted(set(spec.after))),
            place=f"{code.file}:{code.line}",
            pieces=found.pieces,
            promises={port.name: port.shape for port in code.outputs},
            extra=frozenset(port.name for port in code.outputs if port.is_extra),
        )

    def _edges(self, types: dict[str, str], port: str) -> Iterator[Edge]:
        """Yield the edge of an input, or those of a list."""
        given, parameter = self.spec.inputs[port], self.inputs.get(port)
        if parameter is None:
            return
        if isinstance(given, str):
            if parameter.is_star:
                message = f"{self._owner('inputs')} takes a list as *{port}, not one value"
                self._fault(("inputs", port), message, f"write {port}: [{given}]")
            kind = self._port_type(types, parameter, "input")
            yield edge_of(port, kind, given, parameter.shape, parameter.weights_of)
        elif (one := parameter.member) is None:
            what = parameter.type if parameter.type != ANY else parameter.constraint.words()
            message = f"{self._owner('inputs')} takes no list of any length as {port!r} ({what})"
            hint = f"annotate it list[...] ({self.code.file}:{parameter.line}), or give one source"
            self._fault(("inputs", port), message, hint)
        else:
            member = replace(parameter, type=one.type, annotation=one.annotation, shape=one.shape)
            kind = self._port_type(types, member, "input")
            for index, source in enumerate(given):
                yield edge_of(member_port(port, index), kind, source, one.shape)

    def _taken_by_execute(self) -> list[str]:
        names = [name for name in self.given if self.is_class and name in self.inputs]
        return [f"execute.{name}" for name in names]

    def _fault(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        if path[:1] == ("attributes",) and path[1] in self.overridden:
            file = f"--set {self.spec.name}.{path[1]}"
            self.binder.reader.faults.append(Fault(message=message, file=file, hint=hint))
        else:
            self.binder.reader.fault((*self.at, *path), message, hint, key=key)

    def _unknown(self, section: str, name: str, known: Iterable[str], other: str = "") -> None:
        what = {"inputs": "input", "attributes": "attribute", "references": "reference"}[section]
        message = f"{self._owner(section)} has no {what} {shown(name)}"
        self._fault((section, name), message, other or nearest(name, known), key=True)

    def _owner(self, section: str) -> str:
        method = ""
        if self.is_class:
            method = ".execute" if section == "inputs" else ".__init__"
        return f"{self.code.object}{method} ({self.code.file}:{self.code.line})"

    def _check_names(self) -> None:
        """Refuse names that the code does not know, or that are given twice."""
        spec = self.spec
        for name in spec.inputs:
            if name not in self.inputs:
                known = self.inputs if self.is_class else self.parameters
                other = "it is an argument of __init__: give it under attributes:"
                self._unknown("inputs", name, known, other if name in self.parameters else "")
        free = [name for name in self.parameters if not (spec.map and name in _SHARDS)]
        for section, names in (("attributes", self.attributes), ("references", spec.references)):
            for name in names:
                if spec.map and name in _SHARDS:
                    self._fault((section, name), f"{name!r} is set by map:", "remove it", key=True)
                elif name in spec.inputs and not self.is_class:
                    self._fault((section, name), f"{name!r} is an input already", key=True)
                elif name not in self.parameters:
                    self._unknown(section, name, free, self._place_of(name))
        for name in spec.references:
            if name in self.attributes:
                self._fault(("references", name), f"{name!r} is an attribute already", key=True)

    def _place_of(self, name: str) -> str:
        """Return what to do with the name of an input that is given as something else."""
        if name in self.star[-1:]:
            return f"*{name} takes a list of outputs: give it under inputs:"
        is_input = self.is_class and name in self.inputs
        return "it is an argument of execute: give it under inputs:" if is_input else ""

    def _is_broken(self, *sections: str) -> bool:
        broken = self.binder.reader.broken
        return bool(broken) and any((*self.at, section) in broken for section in sections)

    def _given(self) -> set[str]:
        return {*self.attributes, *self.spec.references, *(_SHARDS if self.spec.map else ())}

    def _check_missing(self) -> None:
        """Refuse what the code needs and nobody gives."""
        spec, given = self.spec, self._given()
        self._check_before_star({*given, *spec.inputs, *self.given})
        if self.is_class and not self._is_broken("inputs"):
            connected = {*spec.inputs, *self.given}
            for parameter in self.inputs.values():
                if parameter.required and not self._is_given(parameter.name, connected):
                    message = f"input {parameter.name!r} of {self._owner('inputs')} is missing"
                    self._fault(("inputs",), message, "give it under inputs:")
        if self._is_broken("inputs", "attributes", "references"):
            return
        for parameter in self.parameters.values():
            if parameter.required and not self._is_given(parameter.name, given):
                hint = "give it under attributes: or references:"
                if not self.is_class:
                    hint = "give it under inputs:, attributes: or references:"
                message = f"argument {parameter.name!r} of {self._owner('attributes')} is missing"
                self._fault((), message, hint)

    def _check_before_star(self, given: Collection[str]) -> None:
        """Refuse a default of an argument that has to be given by its position."""
        if not self.star or self.star[-1] not in self.spec.inputs:
            return
        for name in self.star[:-1]:
            parameter = self.inputs.get(name) or self.parameters.get(name)
            if parameter is not None and not parameter.required and name not in given:
                message = f"argument {name!r} of {self._owner('inputs')} stands before "
                message += f"*{self.star[-1]}, where its default cannot be used"
                self._fault((), message, f"give it, or write it after *{self.star[-1]}")

    def _is_given(self, name: str, given: Collection[str]) -> bool:
        """Tell whether an argument is given, be it badly."""
        return name in given or (*self.at, "inputs", name) in self.binder.reader.broken

    def _check_values(self) -> None:
        """Refuse attributes that their annotations, or the code by itself, do not allow."""
        good = {}
        is_clean = filter_value(self.attributes) == self.attributes
        for name, value in self.attributes.items():
            parameter = self.parameters.get(name)
            if not is_clean and filter_value({name: value}) != {name: value}:
                self._fault(("attributes", name), *ATTRIBUTE)
            elif parameter is not None:
                place = f"{self.code.file}:{parameter.line}"
                is_default = value is None and parameter.default is None
                if problem := "" if is_default else self._problem(parameter, value):
                    self._fault(("attributes", name), f"{problem} ({place})")
                else:
                    good[name] = value
        unknown = {*self._given(), *self.given}.difference(good)
        for path, message in refused(self.code, good, self.spec.inputs, unknown):
            self._fault(path, message)

    def _problem(self, parameter: Parameter, value: object) -> str:
        """Return what is wrong with an attribute; what a library says of it is told by itself."""
        constraint, name = parameter.constraint, parameter.name
        names = self._names(constraint.names)
        if (problem := constraint.problem(value)) or not names:
            return problem
        option = f"--set {self.spec.name}.{name}" if name in self.overridden else ""
        path = (*self.at, "attributes", name)
        return check_named(names, value, path, self.binder.reader, option)

    def _names(self, names: str) -> str:
        """Return `LIBRARY:SORT`; empty of `@ARGUMENT:SORT` where the library is not known."""
        if not names.startswith("@"):
            return names
        argument, _, sort = names[1:].partition(":")
        library = self._library_of(argument)
        return f"{library}:{sort}" if library else ""

    def _library_of(self, argument: str) -> str:
        """Return the library of the file that is given as an argument; empty if nobody knows it."""
        return self.binder.references.library_of(argument, self.spec.references)

    def _left_to_code(self) -> dict[str, Parameter]:
        """Return the parameters that are not given; none whose default looks like a credential."""
        given = self._given()
        return {
            name: parameter
            for name, parameter in self.parameters.items()
            if name not in given and not parameter.required and not parameter.hides_default
        }

    def _references(self) -> tuple[Reference, ...]:
        names = sorted(self.spec.references.keys() & self.parameters)
        return tuple(filter(None, map(self._reference, names)))

    def _reference(self, name: str) -> Reference | None:
        try:
            return self.binder.references.compile(name, self.spec.references[name])
        except ProjectError as error:
            self._fault(("references", name), str(error), error.hint)
            return None

    def _types(self) -> dict[str, str]:
        """Return what `types:` chooses, checked."""
        chosen = {}
        ports = {*self.inputs, *(port.name for port in self.code.outputs)}
        for name, kind in self.spec.types.items():
            path: Path = ("types", name)
            if name not in ports:
                message = f"{self.code.object} has no input or output {shown(name)}"
                self._fault(path, message, nearest(name, ports), key=True)
            elif kind not in self.binder.formats:
                self._fault(path, f"no format {kind!r}", nearest(kind, self.binder.formats))
            else:
                chosen[name] = kind
        return chosen

    def _output_type(self, types: dict[str, str], port: Port) -> str:
        if port.by_value and is_open(self.binder.pipeline, self.spec, port.name):
            return ANY
        return self._port_type(types, port, "output")

    def _port_type(self, types: dict[str, str], port: Parameter | Port, what: str) -> str:
        if port.trained and (library := self._library_of(port.trained)):
            port = replace(port, type=self.binder.references.trained(library))
        chosen = types.get(port.name)
        if (problem := getattr(port, "problem", "")) and chosen in (None, "json"):
            hint = f"write types: {{{port.name}: pickle}}, or return what JSON can hold"
            self._fault((), f"{what} {port.name!r} cannot be saved: {problem}", hint)
            return port.type
        if chosen is not None:
            if refines(chosen, port.type):
                return chosen
            message = f"{chosen}, but the code of {self.code.object} says {port.type}"
            self._fault(("types", port.name), message, "make the two agree")
            return port.type
        if port.type == PICKLE:
            hint = f"write types: {{{port.name}: pickle}}"
            self._fault((), f"{what} {port.name!r} is pickle, which only types: can choose", hint)
        unchecked = port.shape.kinds is None or (port.shape.is_named_tuple and what == "input")
        if port.annotation and unchecked:
            why = "which stands for no format: it is not checked"
            if port.shape.kinds is not None:
                why = "which comes as a list, without the names of its fields"
            message = f"{self.code.object}: {what} {port.name!r} is annotated {port.annotation}"
            hint = (
                f"write types: {{{port.name}: {'FORMAT' if port.shape.kinds is None else PICKLE}}}"
            )
            once = (self.found.module, self.code.object, f"{what} {port.name}")
            self.binder.warn_of_type((*self.at, "uses"), f"{message}, {why}", hint, *once)
        return port.type or ANY
