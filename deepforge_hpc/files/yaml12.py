"""The one YAML loader: PyYAML's C parser, YAML 1.2 core values, and nothing that surprises.

    document = load(text, "net.yaml")           # InvalidInputError: every fault, with its place
    document.value()                            # dict, list, str, int, float, bool, None
    document.mark(("layers", 3))                # Mark(line, column) of that value
    document.fault("unknown layer", ("layers", 3))  # a Fault at that place, to collect and raise

What is text stays text (`12:30`, `no`, `on`, `1_000`); keys are text and unique; a file is one
document. Refused: control characters (escaped ones too) and characters that reverse the order of
writing, tags outside the core schema, merge keys, NaN and infinities (values travel as JSON),
values nested deeper than MAX_DEPTH, and aliases that unfold to more than MAX_UNFOLDED values.
"""

from __future__ import annotations

import contextlib
import gc
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from yaml import MappingNode, ScalarNode, SequenceNode

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.characters import MAX_FAULTS, decode, forbidden, refuse_forbidden

MAX_DEPTH = 64
MAX_UNFOLDED = 10_000
MAX_INTEGER_BITS = 14_284
"""Of an integer that Python writes in decimal, as in JSON: 4,300 digits."""
_MAX_MESSAGE = 2_000

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SPECIAL_START = frozenset(("", *"+-.0123456789~nNtTfF"))
"""First letters of all that is not text."""
_BASES = ("o", "x")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PLAIN, _QUOTED = "?", "!"
_CORE = "tag:yaml.org,2002:"
_SCALAR = frozenset((_PLAIN, _QUOTED))
_SEQUENCE = _SCALAR | {_CORE + "seq"}
_TEXT = frozenset((_QUOTED, _CORE + "str"))
_MAPPING = _SCALAR | {_CORE + "map"}


class Mark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


class Document:
    """The value of a YAML file, and where each part of it stands."""

    def __init__(self, file: str, value: object, root: yaml.Node | None) -> None:
        self.file = file
        self._value = value
        self._root = root
        self._indexes: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}

    def value(self) -> Any:
        """Return the plain data."""
        return self._value

    def mark(self, path: Path = (), *, key: bool = False) -> Mark:
        """Return where a value (or its key) stands; of an absent one, the nearest above it."""
        node = self._root
        name = node
        for step in path:
            if isinstance(node, MappingNode):
                found = self._index(node).get(str(step))
                if found is None:
                    break
                name, node = found
            elif isinstance(node, SequenceNode) and isinstance(step, int):
                if not 0 <= step < len(node.value):
                    break
                name = node = node.value[step]
            else:
                break
        at = name if key else node
        return Mark(1, 1) if at is None else _mark(at)

    def fault(self, message: str, path: Path = (), *, hint: str = "", key: bool = False) -> Fault:
        """Return a fault at the place of a value, or of its key."""
        line, column = self.mark(path, key=key)
        message, hint = (_shortened(text) for text in (message, hint))
        return Fault(message=message, file=self.file, line=line, column=column, hint=hint)

    def _index(self, node: MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        index = self._indexes.get(id(node))
        if index is None:
            pairs = ((key, value) for key, value in node.value if isinstance(key.value, str))
            index = {key.value: (key, value) for key, value in pairs}
            self._indexes[id(node)] = index
        return index


def load(text: str | bytes, file: str, faults: list[Fault] | None = None) -> Document:
    """Return the one document of a YAML text; InvalidInputError with all that is wrong in it.

    Faults of single values go to `faults` if it is given: null stands for such a value, and who
    reads the document can say what else is wrong with it.
    """
    with collector_paused():
        decoded = decode(text, file)
        refuse_forbidden(decoded, file)
        root = _compose(decoded, file)
        if root is None:
            return Document(file, None, None)
        builder = _Builder(file, has_aliases="*" in decoded)
        value = builder.build(root)
        found = list(builder.faults.values())
        if found and faults is None:
            raise InvalidInputError(found)
        if faults is not None:
            faults += found
        return Document(file, value, root)


def parse_value(text: str, source: str) -> object:
    """Return the value of one scalar or flow collection, such as `0.5` or `[1, 2]`."""
    return load(text, source).value()


def reads_as_text(text: str) -> bool:
    """Tell whether a scalar without quotes is this very text."""
    number = _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text)
    return text not in _CONSTANTS and number is None


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would read as another thing than text."""

    def represent_text(self, text: str) -> yaml.Node:
        style = None if reads_as_text(text) else '"'
        return self.represent_scalar(_CORE + "str", text, style=style)

    def ignore_aliases(self, _data: object) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(data: object, **words: Any) -> str:
    """Return the text of a file that `load` reads as the same data; `words` as for `yaml.dump`."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, **words
    )
    return text


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking a tree that only grows: a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # what another has frozen stays so
                gc.freeze()
                gc.unfreeze()  # old at once: as young it would be walked during each import to come
            gc.enable()


_INDENT = "indent it as the keys or items beside it"
_HINTS = {
    "could not find expected ':'": "write a space after the colon: `key: value`",
    "mapping values are not allowed": f"{_INDENT}, write a space after each colon, and put text "
    "with a colon between quotes",
    **dict.fromkeys(("did not find expected key", "did not find expected '-'"), _INDENT),
    "expected <block end>": _INDENT,  # as the parser in Python says both
}
"""Beginnings of what PyYAML says, and what is mostly meant."""
_TOO_DEEP = "nesting depth"
"""In the words of libyaml 0.2.6, which has a limit of its own; an older one overflows its stack."""


class _Hooks:
    """What the composer asks of a resolver: no implicit tags, and a limit of depth."""

    _depth = 0

    def resolve(self, kind: type[yaml.Node], _value: object, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _PLAIN

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            assert parent is not None
            mark = parent.start_mark
            raise yaml.MarkedYAMLError(None, None, _TOO_DEEP, mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1


class _PythonLoader(_Hooks, yaml.SafeLoader):
    """For an installation of PyYAML without its C part."""


if TYPE_CHECKING or not yaml.__with_libyaml__:
    _Loader = _PythonLoader
else:

    class _Loader(_Hooks, yaml.CSafeLoader):
        """The usual case: ten times faster."""


def _compose(text: str, file: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise InvalidInputError([_syntax_fault(error, text, file)]) from error
    except yaml.YAMLError as error:
        raise InvalidInputError([Fault(message=f"not valid YAML: {error}", file=file)]) from error
    finally:
        loader.dispose()
    return node


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, file: str) -> Fault:
    problem = error.problem or "cannot be read"
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    hint = next((what for said, what in _HINTS.items() if problem.startswith(said)), "")
    if _TOO_DEEP in problem:
        problem = f"nested deeper than {MAX_DEPTH} levels"
        return Fault(message=problem, file=file, line=line, column=column)
    if "expected a single document" in (error.context or ""):
        problem, hint = "a second document begins here", "keep one document a file; remove ---"
    elif error.context:
        problem = f"{problem} {error.context}"
        if error.context_mark and error.context_mark.line + 1 != line:
            problem += f" that begins in line {error.context_mark.line + 1}"
    lines = text.split("\n", line)
    if "cannot start any token" in problem and line <= len(lines):
        character = lines[line - 1][column - 1 : column]
        hint = (
            "indent with spaces, not tabs"
            if character == "\t"
            else f"put text with {character!r} between quotes"
        )
    return Fault(
        message=f"not valid YAML: {problem}", file=file, line=line, column=column, hint=hint
    )


def _shortened(text: str) -> str:
    """Return a message that a text of the file, however long, cannot flood the terminal with."""
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 3]}..."


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


class _Builder:
    """Turns composed nodes into plain data, and collects what is wrong with them."""

    def __init__(self, file: str, *, has_aliases: bool) -> None:
        self.file = file
        self.faults: dict[tuple[Mark, str], Fault] = {}
        self._has_aliases = has_aliases
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._unfolded = 0

    def fault(self, node: yaml.Node, message: str, hint: str = "") -> None:
        """Keep a fault; once only for a node that aliases repeat."""
        line, column = mark = _mark(node)
        fault = Fault(message=message, file=self.file, line=line, column=column, hint=hint)
        if len(self.faults) < MAX_FAULTS:
            self.faults.setdefault((mark, message), fault)

    def build(self, node: yaml.Node, depth: int = 0) -> object:
        """Return the value of a node."""
        if type(node) is ScalarNode:
            return self._scalar(node)
        if self._has_aliases:
            self._unfold(node, depth)
        self._open.add(id(node))
        try:
            if type(node) is MappingNode:
                return self._mapping(node, depth + 1)
            if node.tag not in _SEQUENCE:
                self._tag(node)
            return [self.build(item, depth + 1) for item in node.value]
        finally:
            self._open.discard(id(node))

    def _unfold(self, node: yaml.Node, depth: int) -> None:
        """Count what aliases repeat; raise when it is too much."""
        if id(node) not in self._seen:
            self._seen.add(id(node))
            return
        self._unfolded += len(node.value) + 1
        if id(node) in self._open:
            problem = "contains itself through an alias"
        elif depth > MAX_DEPTH:
            problem = f"is nested deeper than {MAX_DEPTH} levels by aliases"
        elif self._unfolded > MAX_UNFOLDED:
            problem = f"is unfolded by aliases to more than {MAX_UNFOLDED:,} values"
        else:
            return
        self.faults.clear()
        self.fault(node, f"this value {problem}", "write out what is needed")
        raise InvalidInputError(list(self.faults.values()))

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, object]:
        if node.tag not in _MAPPING:
            self._tag(node)
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self.build(key_node, depth)
            value = self.build(value_node, depth)
            if type(key) is not str or key in result or key == "<<":
                self._key(node, key_node, key)
            else:
                result[key] = value
        return result

    def _key(self, node: MappingNode, key_node: yaml.Node, key: object) -> None:
        """Say what is wrong with a key."""
        if not isinstance(key, str):
            if key is None and isinstance(key_node, ScalarNode) and forbidden(key_node.value):
                return  # that was said of it
            if isinstance(key_node, ScalarNode) and key_node.tag in _SCALAR:
                self.fault(key_node, f"the key {key_node.value!r} is not text", "quote it")
            else:
                self.fault(key_node, "a key must be text")
        elif key == "<<":
            self.fault(key_node, "merge keys (<<) are not YAML 1.2", "write the keys out")
        else:
            first = next(_mark(other).line for other, _ in node.value if other.value == key)
            message = f"duplicate key {key!r}, first in line {first}"
            self.fault(key_node, message, "remove one of the two")

    def _scalar(self, node: ScalarNode) -> object:
        text: str = node.value
        tag: str = node.tag
        if tag == _PLAIN:
            if text[:1] not in _SPECIAL_START:
                return text
            return self._plain(node, text)
        if node.style == '"' and (found := forbidden(text)):
            self.fault(node, f"{found} in a text", "remove it")
            return None  # no name of a file, and whoever looks for one would break
        if tag in _TEXT:
            return text
        value = self._plain(node, text)
        kind = "null" if value is None else type(value).__name__
        if tag == _CORE + "float" and isinstance(value, int) and kind == "int":
            with suppress(OverflowError):
                return float(value)
        if tag != _CORE + kind:
            self._tag(node)
        return value

    def _plain(self, node: ScalarNode, text: str) -> object:
        """Return what a scalar without quotes means in the core schema of YAML 1.2."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        try:
            if _INTEGER.fullmatch(text):
                whole = int(text, 0) if text[1:2] in _BASES else int(text)
                if whole.bit_length() <= MAX_INTEGER_BITS:
                    return whole
            elif _FLOAT.fullmatch(text):
                if math.isfinite(number := float(text)):
                    return number
            elif not _NOT_FINITE.fullmatch(text):
                return text
        except (ValueError, OverflowError):  # Python reads no integer of more than 4,300 digits
            pass
        shown = text if len(text) < 40 else text[:20] + "..."
        self.fault(node, f"{shown} is not a number that JSON can hold", "quote it if it is text")
        return None

    def _tag(self, node: yaml.Node) -> None:
        tag = "!!" + node.tag.removeprefix(_CORE) if node.tag.startswith(_CORE) else node.tag
        self.fault(node, f"tag {tag} does not fit here", "remove it; only plain values are read")
