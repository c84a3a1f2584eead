"""The arguments of layers and functions as kinds: what each may be, as source text.

A value becomes a literal by `repr`, a function or a layer the call of a name of the catalogue or of
the project (`MODULE:Name`).
"""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader, nearest, shown
from deepforge_hpc.files.kinds import Kind, Schema
from deepforge_hpc.files.object import closed
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.libraries.networks.catalogue import Texts, Thing
from deepforge_hpc.libraries.networks.code import (
    OBJECT_SCHEMA,
    Activation,
    Calls,
    Code,
    Either,
    Function,
    is_object,
    object_code,
    source,
)
from deepforge_hpc.libraries.networks.dialect import Dialect
from deepforge_hpc.libraries.networks.graph import Argument
from deepforge_hpc.libraries.networks.literals import PARAMETER, kind_of
from deepforge_hpc.plugins.library import NO_FILES, ResourceFiles

_MAX_LIST_BYTES = 4 << 20


class ArchitectureReader(Reader):
    """Reads a file that may name others."""

    files: ResourceFiles = NO_FILES

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file of the project; ProjectError or ValueError if it has none."""
        _, data = self.files.read(name, self.document.file)
        if len(data) > _MAX_LIST_BYTES:
            raise ValueError(f"it is larger than {_MAX_LIST_BYTES >> 20} MiB")
        return [line.removesuffix("\r") for line in data.decode().removesuffix("\n").split("\n")]


class _Of(ArchitectureReader):
    """Names the argument: its value may stand where a block is used, far from it."""

    def __init__(self, reader: Reader, name: str) -> None:
        super().__init__(reader.document)
        self.files = getattr(reader, "files", NO_FILES)
        self.faults, self.broken = reader.faults, reader.broken
        self._name = name

    def wrong(self, path: Path, expected: str, value: object, hint: str = "") -> object:
        self.fault(path, f"{self._name} must be {expected}, not {shown(value)}", hint)
        return BAD


class Kinds:
    """What the things of a catalogue take, each made once."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.catalogue = dialect.catalogue
        self._arguments: dict[tuple[str, str], Arguments] = {}
        self._sorts: dict[str, Kind] = {}

    def arguments(self, family: str, name: str) -> Arguments | None:
        """Return the arguments of a layer, an initializer, ...; None of what there is not."""
        thing = self.catalogue.find(family, name)
        if thing is None or (family == "layer" and thing.name in self.dialect.refused):
            return None
        key = (family, thing.name)
        if key not in self._arguments:
            self._arguments[key] = Arguments(self, thing)
        return self._arguments[key]

    def sort(self, sort: str) -> Kind:
        """Return the kind of a sort of value."""
        if sort not in self._sorts:
            self._sorts[sort] = self._sort(sort)
        return self._sorts[sort]

    def _sort(self, sort: str) -> Kind:
        if sort == "activation":
            return Activation(self.dialect)
        if sort == "function":
            return Function()
        if sort in self.catalogue.families:
            return Call(self, sort)
        if sort == "layers":
            return Calls(self.sort("layer"))
        literal, _, family = sort.partition("/")
        kind = kind_of(literal, self.catalogue.dtypes)
        return Either(kind, self.sort(family)) if family else kind

    def why_not(self, family: str, name: str) -> tuple[str, str]:
        """Return what to say of a name that cannot stand for a layer, an initializer, ..."""
        if refused := self.refusal(family, name):
            return refused
        hint = self.instead(name) or nearest(name, self.catalogue.known(family))
        return f"{self.dialect.framework} has no {family} {shown(name)}", hint

    def refusal(self, family: str, name: str) -> tuple[str, str] | None:
        """Return what to say of a name that is known, and not for this; None of any other."""
        refused = self.dialect.refused if family == "layer" else {}
        if name in refused:
            return f"{name} cannot be used here: {refused[name]}", ""
        if re.fullmatch(r"[\w/.-]+\.py:\w+", name):
            module = name.replace("./", "").replace("/", ".").replace(".py:", ":")
            return f"{shown(name)} names a file, and modules are wanted", f"write {module}"
        return None

    def instead(self, name: str) -> str:
        """Return what a word of another framework is called here, as a hint; or nothing."""
        word = self.dialect.elsewhere.get(name)
        return f"{self.dialect.framework} calls it {word}" if word else ""

    def definitions(self, sorts: Iterable[str]) -> dict[str, Schema]:
        """Return the schema of each sort of argument, and of each family that one names."""
        found = {_definition_name(sort): self._definition(sort) for sort in sorts}
        calls = [kind for kind in self._sorts.values() if isinstance(kind, Call)]
        return {**found, **{kind.family: kind.definition() for kind in calls}}

    def _definition(self, sort: str) -> Schema:
        """Describe an argument; a block's parameter may stand for it, and null leaves it out."""
        return {"anyOf": [self.sort(sort).schema(), PARAMETER, {"type": "null"}]}


def _definition_name(sort: str) -> str:
    """Return the name of the schema of a sort of argument; one of a family has the plain name."""
    return "argument_" + re.sub(r"\W", "_", sort)


@functools.cache
def kinds(dialect: Dialect) -> Kinds:
    """Return those of a library, made once."""
    return Kinds(dialect)


class ArgumentKind:
    """One argument; null leaves it to the framework."""

    def __init__(self, owner: Kinds, thing: Thing, name: str) -> None:
        self.sort = thing.sorts[name]
        self._kind = owner.sort(self.sort)
        self._is_required = name in thing.required
        self._name = f"{name} of {thing.name}"
        self._thing, self._of_lines = thing, owner.dialect.files.get(name)

    def content(self, value: object, path: Path, reader: Reader) -> object:
        """Return a value, the lines of a file in place of its name; BAD if there is none."""
        if self._of_lines is None or not isinstance(value, str):
            return value
        of = _Of(reader, self._name)
        try:
            return self._of_lines(self._thing, of.lines(value))
        except ProjectError as error:
            of.fault(path, f"{self._name}: {error}", error.hint)
        except ValueError as error:
            of.fault(path, f"{self._name}: {shown(value)} cannot be used: {error}")
        return BAD

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a value to its source."""
        if value is None and not self._is_required:
            return Code("None")
        found = self._kind(value, path, _Of(reader, self._name))
        return BAD if found is BAD else source(found)

    def schema(self) -> Schema:
        """Describe it by the definition of its sort."""
        return {"$ref": f"#/definitions/{_definition_name(self.sort)}"}


class Arguments:
    """The arguments of a layer or function, read to the source of each."""

    def __init__(self, owner: Kinds, thing: Thing) -> None:
        self._owner, self.thing = owner, thing
        self.name, self.code = thing.name, thing.code
        self.takes, self.call = thing.takes, thing.call
        self.kinds = {name: ArgumentKind(owner, thing, name) for name in thing.sorts}

    def gives_several(self, given: Mapping[str, Argument], call: Mapping[str, object]) -> bool:
        """Tell whether the layer gives, or may give, more than one tensor."""
        return self._owner.dialect.gives_several(self.thing, given, call)

    def given(self, value: object, path: Path, reader: Reader) -> dict[str, object]:
        """Return those that are given and known; their values are not looked at."""
        known = {}
        for name, item in mapping_of(self.name, value, path, reader, self.thing.required).items():
            if name in self.kinds:
                known[name] = item
            else:
                message = f"{self.thing.name} has no argument {shown(name)}"
                reader.fault((*path, name), message, nearest(name, self.kinds), key=True)
        return known

    def check_required(self, given: Mapping[str, object], path: Path, reader: Reader) -> None:
        """Report what must be given and is not."""
        if absent := [name for name in self.thing.required if name not in given]:
            reader.fault(path, f"{self.thing.name} needs {' and '.join(absent)}")

    def read(self, name: str, value: object, path: Path, reader: Reader) -> Argument:
        """Return an argument; the source of a value with a fault is `None`."""
        kind = self.kinds[name]
        found = kind.content(value, path, reader)
        return argument(None, BAD) if found is BAD else argument(found, kind(found, path, reader))

    def __call__(self, value: object, path: Path, reader: Reader, /) -> dict[str, Argument]:
        """Read a mapping."""
        given = self.given(value, path, reader)
        return {name: self.read(name, item, (*path, name), reader) for name, item in given.items()}

    def ordered(self, found: Mapping[str, Argument]) -> dict[str, Argument]:
        """Return what is given in the framework's order."""
        return {name: found[name] for name in self.kinds if name in found}

    def schema(self) -> Schema:
        """Describe them; `defaults` may give those that are required."""
        return closed({name: kind.schema() for name, kind in self.kinds.items()})


def mapping_of(
    name: str, value: object, path: Path, reader: Reader, needed: Sequence[str] = ()
) -> Mapping[str, object]:
    """Return the arguments of something; none after a fault."""
    if isinstance(value, dict | None):
        return value or {}
    what = f"the arguments of {name} must be a mapping, not {shown(value)}"
    is_it = len(needed) == 1 and isinstance(value, int | float | str)  # as Python's `Dense(10)`
    given, end = (f"{needed[0]}: {shown(value)}", "") if is_it else ("", " for none")
    reader.fault(path, what, f"write {{{name}: {{{given}}}}}{end}")
    return {}


def argument(data: object, code: Any) -> Argument:
    """Return what was read of a value."""
    found = Code("None") if code is BAD else code
    return Argument(data, found.text, found.objects, code is not BAD)


class Free:
    """The arguments of a layer or function of the project: any literal under any name."""

    takes = "any"
    call = None
    """Nobody knows what its call takes."""

    def __init__(self, owner: Kinds, name: str) -> None:
        self.name, self.code = name, object_code(name).text
        self._kind = owner.sort("any")

    def gives_several(self, given: object, call: object) -> bool:  # noqa: ARG002 - only its code knows
        """Tell that it may."""
        return True

    def check_required(self, given: Mapping[str, object], path: Path, reader: Reader) -> None:
        """Report nothing: only its code knows what it needs."""

    def ordered(self, found: Mapping[str, Argument]) -> dict[str, Argument]:
        """Return what is given, as it stands in the file."""
        return dict(found)

    def read(self, name: str, value: object, path: Path, reader: Reader) -> Argument:
        """Return an argument."""
        found = self._kind(value, path, _Of(reader, f"{name} of {self.name}"))
        return argument(value, BAD if found is BAD else source(found))

    def given(self, value: object, path: Path, reader: Reader) -> dict[str, object]:
        """Return those whose names Python can pass."""
        known = {}
        for name, item in mapping_of(self.name, value, path, reader).items():
            if name.isidentifier() and name.isascii() and not keyword.iskeyword(name):
                known[name] = item
            else:
                reader.fault((*path, name), f"{shown(name)} is no name of an argument", key=True)
        return known


class Call:
    """A layer or function by its name, or as {name: arguments}."""

    def __init__(self, owner: Kinds, family: str) -> None:
        self.family = family
        self._owner = owner

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a call to its source."""
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            return reader.wrong(path, "a name or one {name: arguments}", value)
        (name, content), *_ = value.items()
        at = (*path, name)
        if is_object(name):
            free = Free(self._owner, name)
            given = free.given(content, at, reader)
            found = {key: free.read(key, item, (*at, key), reader) for key, item in given.items()}
            return called(object_code(name), found)
        kind = self._owner.arguments(self.family, name)
        if kind is None:
            reader.fault(path, *self._owner.why_not(self.family, name))
            return BAD
        found = kind(content, at, reader)
        kind.check_required(found, at, reader)
        return called(Code(kind.thing.code), kind.ordered(found))

    def schema(self) -> Schema:
        """Describe it by its definition: layers hold layers."""
        return {"$ref": f"#/definitions/{self.family}"}

    def definition(self) -> Schema:
        """Describe a name, or {name: arguments}."""
        known = self._owner.catalogue.known(self.family)
        names = [name for name in known if self._owner.arguments(self.family, name)]
        calls = {name: self._described(name) for name in names}
        one = {**closed(calls), "minProperties": 1, "maxProperties": 1}
        of_project = {"type": "object", "propertyNames": OBJECT_SCHEMA, "minProperties": 1}
        return {"anyOf": [{"enum": names}, one, OBJECT_SCHEMA, of_project]}

    def _described(self, name: str) -> Schema:
        """Describe what no defaults fill up."""
        kind = self._owner.arguments(self.family, name)
        assert kind is not None
        if self.family != "layer":
            return {"anyOf": [kind.schema(), {"type": "null"}]}
        reference: Schema = {"$ref": f"#/definitions/{kind.thing.name}"}
        required = list(kind.thing.required)
        return {"allOf": [reference, {"required": required}]} if required else reference


def called(code: Code, arguments: Mapping[str, Argument]) -> Code:
    """Return the source of a call."""
    words = ", ".join(f"{name}={item.code}" for name, item in arguments.items())
    objects = (*code.objects, *(one for item in arguments.values() for one in item.objects))
    return Code(f"{code.text}({words})", objects)


def layer_definitions(owner: Kinds, texts: Texts) -> dict[str, Schema]:
    """Return the schema of each layer's arguments, with what is said of it."""
    found, sorts = {}, dict[str, None]()
    for thing in owner.catalogue.things("layer").values():
        kind = owner.arguments("layer", thing.name)
        if kind is None:
            continue
        found[thing.name] = {"description": texts.summary(thing), **kind.schema()}
        sorts.update(dict.fromkeys(thing.sorts.values()))
    for family in {"initializer", "regularizer", "constraint"} & set(owner.catalogue.families):
        for thing in owner.catalogue.things(family).values():
            sorts.update(dict.fromkeys(thing.sorts.values()))
    return {**found, **owner.definitions(sorts)}
