"""What a leaf of a site file may hold: a value of its kind, or `unknown`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from deepforge_hpc.model.site import UNKNOWN, Range, When
from deepforge_hpc.spec.kinds import (
    Choice,
    Field,
    Integer,
    Items,
    MapOf,
    Parsed,
    Record,
    Text,
    described,
)
from deepforge_hpc.spec.schema import BAD, nearest, shown
from deepforge_hpc.units import DURATION, MEMORY, parse_duration, parse_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deepforge_hpc.spec.kinds import Kind, Schema
    from deepforge_hpc.spec.schema import Path, Reader

SLURM_NAME = r"[A-Za-z0-9][A-Za-z0-9_.,:+-]{0,100}"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
VARIABLE_RULE = "the name of a variable"
LAUNCHERS = ("none", "srun", "mpi", "horovod", "torchrun")
PLACEHOLDERS = (
    "world_size",
    "nodes",
    "ntasks_per_node",
    "cpus_per_task",
    "gpus_per_node",
    "cpu_bind",
    "gpu_bind",
)
_PLACEHOLDER = re.compile(r"(?<!\$)\{([^{}]*)\}")
_UNKNOWN: Schema = {"const": "unknown"}


class Unknown:
    """A kind that takes `unknown` besides: as UNKNOWN, or as if nothing were given.

    The second is for what is written into scripts, where nothing can stand for not knowing. The
    site lists all its unknown leaves either way. Nothing, or an empty text, is not given: so a file
    takes back what it inherits.
    """

    def __init__(self, kind: Kind, *, absent: bool = False) -> None:
        self.kind = kind
        self._answer = BAD if absent else UNKNOWN

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read `unknown`, or what the kind reads."""
        if value is None or value == "":
            return BAD
        return self._answer if value == "unknown" else self.kind(value, path, reader)

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [{"enum": ["unknown", "", None]}, self.kind.schema()]}


def facts(
    build: Callable[..., Any], fields: Mapping[str, Field | Kind], *, shorthand: str = ""
) -> Record:
    """Return the record of a part of a site: every key that may be left out may be unknown."""
    found = {
        key: field
        if isinstance(field, Unknown | RangeOf) or (isinstance(field, Field) and field.required)
        else Field(_lenient(field.kind), name=field.name)
        if isinstance(field, Field)
        else _lenient(field)
        for key, field in fields.items()
    }
    return Record(build, found, shorthand=shorthand)


def _lenient(kind: Kind) -> Kind:
    return kind if isinstance(kind, Unknown | RangeOf) else Unknown(kind, absent=True)


@described({"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no"]}]})
def yes_no(value: object, path: Path, reader: Reader) -> object:
    """Read yes, no, true or false: YAML 1.2 leaves the first two as text."""
    if isinstance(value, bool):
        return value
    if value in {"yes", "no"}:
        return value == "yes"
    return reader.wrong(path, "yes or no", value)


class YesNoOr:
    """A word for which `true` and `false` stand for `yes` and `no`."""

    def __init__(self, *options: str) -> None:
        self.kind = Choice("yes", "no", *options)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read a word."""
        if isinstance(value, bool):
            value = "yes" if value else "no"
        return self.kind(value, path, reader)

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [{"type": "boolean"}, self.kind.schema()]}


class RangeOf:
    """{min, max}, each of a kind or unknown; the whole may be unknown too."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._record = Record(Range, {"min": Unknown(kind), "max": Unknown(kind)})

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read limits."""
        if value == "unknown":
            return Range(min=UNKNOWN, max=UNKNOWN)
        if value is not None and not isinstance(value, dict):
            return reader.wrong(path, "limits such as {min: 1, max: 8}", value)
        result = self._record(value, path, reader)
        if not isinstance(result, Range):
            return BAD
        if isinstance(result.min, int) and isinstance(result.max, int) and result.min > result.max:
            assert isinstance(value, dict)
            message = f"min {shown(value['min'])} is above max {shown(value['max'])}"
            reader.fault(path, message)
        return result

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [_UNKNOWN, self._record.schema()]}


class OneOrMore:
    """One of a kind, or a list of them, read as a tuple."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._many = Items(kind)

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read one or a list."""
        if isinstance(value, list):
            return self._many(value, path, reader)
        found = self.kind(value, path, reader)
        return BAD if found is BAD else (found,)

    def schema(self) -> Schema:
        """Describe it."""
        return {"anyOf": [self.kind.schema(), self._many.schema()]}


@described({"anyOf": [{"const": "available"}, {"type": "integer", "minimum": 1}]})
def cores(value: object, path: Path, reader: Reader) -> object:
    """Read a number of cores, or `available`: those that this process may use."""
    if value == "available":
        import os

        return len(os.sched_getaffinity(0))
    return _CORES(value, path, reader)


@described({"type": "string", "format": "regex", "minLength": 1, "pattern": r"^[^\n\t]*$"})
def pattern(value: object, path: Path, reader: Reader) -> object:
    """Read a regular expression."""
    result = LINE(value, path, reader)
    if result is BAD:
        return BAD
    try:
        re.compile(str(result))
    except (re.error, RecursionError, OverflowError) as error:
        reader.fault(path, f"not a regular expression: {error}")
        return BAD
    return result


_CORES = Integer(1, 100_000)
LINE = Text("text of one line", r"[^\n\t]*")
TEXT = Text(lines=True)
COUNT = Integer(0, 100_000_000)
TIME = Parsed(parse_duration, 'a duration such as 90m, 2h or "1-12:00:00"', DURATION)
SIZE = Parsed(parse_memory, "a memory size such as 4GiB or 512MiB", MEMORY)
LINE_OR_UNKNOWN = Unknown(LINE)
TEXT_OR_UNKNOWN = Unknown(TEXT)
COUNT_OR_UNKNOWN = Unknown(COUNT)
FLAG_OR_UNKNOWN = Unknown(yes_no)
TIME_OR_UNKNOWN = Unknown(TIME)
SIZE_OR_UNKNOWN = Unknown(SIZE)
VARIABLE_NAME = Text(VARIABLE_RULE, VARIABLE.pattern)

# What follows may reach a script. The renderer quotes it all the same.
NAME = Text("a name of Slurm's", SLURM_NAME)
SUFFIX = Text("a suffix of letters, digits, _ and -", r"[A-Za-z0-9_-]{1,20}")
CONSTRAINT = Text("a constraint of Slurm's", r"[A-Za-z0-9][A-Za-z0-9_.,:&|*()\[\]+-]{0,200}")
MODULE = Text("the name of a module", r"[A-Za-z0-9][A-Za-z0-9_.+/@:-]{0,200}")
MODULES = Items(MODULE, "a list of modules")
PLACE = Text(
    "a path, with variables such as $USER, without spaces, quotes and commands",
    r"[A-Za-z0-9_./~$@+,:=%-]{1,500}|[A-Za-z0-9_./~$@+,:=%-]*(\$\{[A-Za-z_]\w*\}"
    r"[A-Za-z0-9_./~$@+,:=%-]*)+",
)
# What a variable of a job is set to: text and variables, never a command.
_SAFE = r"[^\x00-\x1f\x7f`\\\"';&|<>()!]*"
_PLAIN = "text without quotes, backslashes and commands"
_WORD = Text(
    "a word of a command, without spaces, quotes and commands", r"[A-Za-z0-9_.,:/@+=%{}\[\]^~*#-]+"
)
_SETTING = Text(f"the value of a variable: {_PLAIN}", _SAFE, empty=True)
_ALLOWED = re.compile(r"SLURM_[A-Z_]+|(CRAY_)?LD_LIBRARY_PATH|HOME|USER|TMPDIR|PATH|SCRATCH")
_ALLOWED_RULE = "only SLURM_*, [CRAY_]LD_LIBRARY_PATH, HOME, USER, TMPDIR, PATH and SCRATCH may"


@described(_WORD.schema())
def word(value: object, path: Path, reader: Reader) -> object:
    """Read a word of a launcher's command, with placeholders."""
    return _filled(_WORD(value, path, reader), path, reader)


@described(_SETTING.schema())
def setting(value: object, path: Path, reader: Reader) -> object:
    """Read the value of a variable; those that it names are on a list of harmless ones."""
    result = _SETTING(value, path, reader)
    if result is BAD:
        return BAD
    for used in re.findall(r"\$\{?(\w*)", result):
        if not _ALLOWED.fullmatch(used):
            reader.fault(path, f"${used} may not be used here", _ALLOWED_RULE)
            return BAD
    return result


@described(_SETTING.schema())
def launcher_setting(value: object, path: Path, reader: Reader) -> object:
    """Read the value of a variable of a launcher, with placeholders."""
    return _filled(setting(value, path, reader), path, reader)


def _filled(value: Any, path: Path, reader: Reader) -> Any:
    if value is not BAD:
        for name in _PLACEHOLDER.findall(value):
            if name not in PLACEHOLDERS:
                hint = nearest(name, PLACEHOLDERS)
                reader.fault(path, f"unknown placeholder {shown(name)}", hint)
                return BAD
    return value


VARIABLES = MapOf(setting, VARIABLE, VARIABLE_RULE)
LAUNCHER_VARIABLES = MapOf(launcher_setting, VARIABLE, VARIABLE_RULE)
OPTION = Text("the long name of an sbatch option, without --", r"[a-z][a-z0-9-]{1,40}")
_VALUE = Text("the value of an sbatch option", r"[A-Za-z0-9_.,:/@+=%&|*()\[\]-]{1,200}")


@described(
    {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "minLength": 1}}
)
def directive(value: object, path: Path, reader: Reader) -> object:
    """Read [option] or [option, value] of sbatch."""
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        what = "a list of an option and its value, such as [constraint, nvme]"
        return reader.wrong(path, what, value)
    name = OPTION(value[0], (*path, 0), reader)
    given = _VALUE(value[1], (*path, 1), reader) if len(value) == 2 else ""
    return BAD if BAD in (name, given) else (name, given)


WHEN = Record(
    When,
    {
        "gpus": yes_no,
        "queues": Items(NAME, "a list of queues"),
        "nodes": RangeOf(COUNT),
        "ntasks_per_node": RangeOf(COUNT),
        "launch": Items(Choice(*LAUNCHERS), "a list of launchers"),
        "env": MapOf(LINE, VARIABLE, VARIABLE_RULE),
        "node_local": yes_no,
        "whole_node": yes_no,
    },
)
