"""`pipeline.yaml` as frozen data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepforge_hpc.files.environment import environment_kind
from deepforge_hpc.files.faults import BAD, Marked, Path, Reader, shown
from deepforge_hpc.files.kinds import (
    GRES,
    Integer,
    Items,
    MapOf,
    OneOf,
    OneOrList,
    Parsed,
    Text,
    data,
    described,
    flag,
    version,
)
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.model.environment import EnvironmentSpec
from deepforge_hpc.pipeline.variables import VARIABLES
from deepforge_hpc.plugins import launcher
from deepforge_hpc.runtime.base.plan import member_port
from deepforge_hpc.units import DURATION, MEMORY, parse_duration, parse_memory

MAX_SHARDS = 10_000
OPERATIONS = "deepforge_hpc.operations"
MODULE = r"[A-Za-z0-9][A-Za-z0-9_.+/:@=~-]{0,200}"
_NAME = r"[A-Za-z][A-Za-z0-9_]{0,63}"
_SOURCE = Text("the name of an input, or OPERATION.OUTPUT", rf"{_NAME}(\.{_NAME})?")
_FORMAT = Text("the id of a format", r"[a-z][a-z0-9_-]{0,31}")
_SEED = Integer(0, 2**32 - 1)
_USES_TEXT = Text("FILE.py:Object, package.module:Object or FILE.py")
_USES = re.compile(r"[^:]+:[A-Za-z_][A-Za-z0-9_]*|[^:]+\.py")


@described({"type": "string", "pattern": f"^{_USES.pattern}$"})
def _uses(value: object, path: Path, reader: Reader) -> object:
    result = _USES_TEXT(value, path, reader)
    if isinstance(result, str) and result.endswith((".yaml", ".yml")):
        reader.fault(path, "a pipeline inside a pipeline is not in this version")
        return BAD
    if isinstance(result, str) and not _USES.fullmatch(result):
        hint = "write FILE.py:Object or package.module:Object, or FILE.py to run it as a program"
        reader.fault(path, f"{shown(result)} does not name an operation", hint)
        return BAD
    return result


def _positive(parse: Callable[[str], int]) -> Callable[[str], int]:
    """Refuse zero: for Slurm it means no limit (time), or all there is (memory)."""

    def read(text: str) -> int:
        if not (number := parse(text)):
            raise ValueError(text)
        return number

    return read


ENVIRONMENT = environment_kind(
    Items(Text("the name of a module", MODULE), "a list of module names")
)
_SIZE = Parsed(_positive(parse_memory), "a memory size above zero such as 4GiB or 512MiB", MEMORY)
_TIME = Parsed(
    _positive(parse_duration),
    'a duration above zero such as 90m, 2h, "08:00:00" or "1-12:00:00"',
    DURATION,
)


@described({"type": ["string", "number"], "description": "a word of a command line"})
def _word(value: object, path: Path, reader: Reader) -> object:
    """Read a word; a number is one, and of true and false nobody knows the program's spelling."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        reader.wrong(path, "a word, in quotes", value)
        return ""  # the words behind it keep their places
    return value


WORD = _word
LEFT = Text(
    "a path below the working folder of the program",
    r"(?!/|-)(?!(.*/)?\.\.?(/|$))[^\x00-\x1f{}]{1,1000}",
)
"""Where a program leaves an output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """An external input."""

    name: str
    uri: str = key(Text("a path"), "", required=True)
    type: str = key(_FORMAT, "")
    """Format id; empty: by the suffix of the uri."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcesSpec:
    """What an operation asks for; None where it leaves the choice."""

    nodes: int | None = key(Integer(1, 1_000_000))
    ntasks_per_node: int | None = key(Integer(1, 100_000))
    cpus_per_task: int | None = key(Integer(1, 100_000))
    gpus_per_node: int | None = key(Integer(0, 10_000))
    mem_per_node_mib: int | None = key(_SIZE, name="mem_per_node")
    time_s: int | None = key(_TIME, name="time")
    node_local: bool | None = key(flag)
    gres: Mapping[str, int] | None = key(
        MapOf(Integer(1, 10**15), GRES, "a name of the scheduler's; GPUs are gpus_per_node")
    )
    """What else each node shall have, by the scheduler's names: `{lscratch: 100}`."""
    queue: str | None = key(
        Text("the name of a queue of the site", r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,100}")
    )
    """Name of a queue in the site's file; None: the first that takes the job."""


_BY_QUEUE = "write queue: the name that the site's file gives it (dfh site show NAME)"
_BY_SITE = "write request: {extra: [{directive: [..]}]} in the site's file"
_NO_MAIL = "no mail is sent: dfh status --watch, or dfh run, waits for the end"
_KEYS = {
    **dict.fromkeys(("partition", "qos", "constraint", "partitions"), _BY_QUEUE),
    **dict.fromkeys(
        ("gpus", "gpu", "gpus_per_task", "ntasks_per_gpu"), "write gpus_per_node: those of one node"
    ),
    **dict.fromkeys(("mem", "memory", "mem_per_cpu", "mem_per_gpu"), "write mem_per_node"),
    **dict.fromkeys(
        ("cpus", "cores", "ncpus", "cpu", "threads"), "write cpus_per_task: those of one rank"
    ),
    **dict.fromkeys(("ntasks", "tasks", "ranks"), "write nodes and ntasks_per_node"),
    **dict.fromkeys(("walltime", "runtime", "time_limit"), "write time"),
    "tmp": "write node_local: true, for a disk of the node's own",
}
"""Other names of keys under `resources:`."""
_OTHERS = {
    **dict.fromkeys(("exclude", "nodelist", "reservation", "licenses", "exclusive"), _BY_SITE),
    **dict.fromkeys(("mail_type", "mail_user", "mail"), _NO_MAIL),
    "account": "give --account, or write account: {value: ..} in the site's file",
    "array": "write map: {over: PORT, shards: N} beside resources",
}
_ABOVE = {
    "env": "it is a key of an operation, beside resources",
    "launch": "it is a key of an operation, beside resources",
}
RESOURCES = Object(ResourcesSpec, instead={**_KEYS, **_OTHERS, **_ABOVE})
_OF_RESOURCES = {
    **{name: f"under resources: {place}" for name, place in _KEYS.items()},
    **_OTHERS,
    **dict.fromkeys(RESOURCES.fields, "it is a key of resources: of an operation"),
}
"""What to say where they do not stand under `resources:`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """A job array over blocks of rows of one input."""

    over: str = key(Text("the name of an input", _NAME), "", required=True)
    shards: int = key(Integer(1, MAX_SHARDS), 1, required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """A result that the user wants under a name of its own."""

    name: str
    source: str = key(
        Text("OPERATION.OUTPUT", rf"{_NAME}\.{_NAME}"), "", required=True, name="from"
    )
    """`OPERATION.OUTPUT`"""
    to: str = key(Text("a path"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSpec:
    """An operation of a pipeline."""

    name: str
    uses: str = key(_uses, "", required=True)
    """Code whose arguments and results are Python's; or `FILE.py`, run as a program."""
    command: tuple[str, ...] = key(Items(WORD, "a list of words", least=1), (), required=True)
    """A program with its words; no shell reads them."""
    args: tuple[str, ...] = key(Items(WORD, "a list of words"), ())
    """Further words of a program, with placeholders such as `{inputs.table}`."""
    description: str = key(Text(lines=True), "")
    inputs: Mapping[str, str | tuple[str, ...]] = key(
        MapOf(OneOrList(_SOURCE, "name at least one output, or leave the input out")), factory=dict
    )
    """Port -> its source, or the sources of a list in their order."""
    references: Mapping[str, str] = key(MapOf(Text("the path of a resource file")), factory=dict)
    attributes: Mapping[str, Any] = key(MapOf(data), factory=dict)
    outputs: Mapping[str, str] = key(MapOf(LEFT), factory=dict)
    """Of a program: name -> the file or `folder/` that it leaves in its working folder."""
    types: Mapping[str, str] = key(MapOf(_FORMAT), factory=dict)
    resources: ResourcesSpec = key(RESOURCES, ResourcesSpec())
    launch: str | None = key(launcher.NAME)
    map: MapSpec | None = key(Object(MapSpec))
    environment: EnvironmentSpec | None = key(ENVIRONMENT)
    env: Mapping[str, str] = key(VARIABLES, factory=dict)
    """Variables of the jobs: an operation wins over the pipeline, and that over the site."""
    seed: int | None = key(_SEED)
    gpu_visibility: str | None = key(OneOf("own", "all"))
    """Which GPUs of its node a rank sees: its own alone, or all of the job."""
    after: tuple[str, ...] = key(
        Items(Text("the name of an operation", _NAME), "a list of operations"), ()
    )

    @property
    def is_of_library(self) -> bool:
        """Tell whether the operation is one of those that come with the package."""
        return self.uses.partition(":")[0].startswith(OPERATIONS)

    def sources(self) -> Iterator[tuple[Path, str, str]]:
        """Yield each source with its path below `inputs:` and the name of its port."""
        for port, given in self.inputs.items():
            if isinstance(given, str):
                yield (port,), port, given
            else:
                for index, source in enumerate(given):
                    if source:  # else it is malformed, and was told
                        yield (port, index), member_port(port, index), source


OPERATION = Object(
    OperationSpec,
    reserved=("sweep", "checkpoint", "on_failure", "cache", "retries", "interactive"),
    named=True,
    exclusive=("uses", "command"),
    instead=_OF_RESOURCES,
)
_OF_OPERATION = dict.fromkeys(OPERATION.fields, "it is a key of an operation")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A whole pipeline."""

    dfh: int = key(version, 1)
    name: str = key(
        Text(
            "a name of letters, digits, _ and - after a first letter",
            r"[A-Za-z][A-Za-z0-9_-]{0,63}",
        ),
        "",
        required=True,
        name="pipeline",
    )
    description: str = key(Text(lines=True), "")
    inputs: Mapping[str, InputSpec] = key(
        MapOf(Object(InputSpec, shorthand="uri", named=True)), factory=dict
    )
    operations: Mapping[str, OperationSpec] = key(MapOf(OPERATION), factory=dict, required=True)
    outputs: Mapping[str, OutputSpec] = key(
        MapOf(Object(OutputSpec, shorthand="from", named=True)), factory=dict
    )
    executions: str = key(Text("a path"), "")
    code: tuple[str, ...] = key(
        Items(Text("a path or pattern such as helpers/**/*.py"), "a list of patterns"), ()
    )
    environment: EnvironmentSpec | None = key(ENVIRONMENT)
    env: Mapping[str, str] = key(VARIABLES, factory=dict)
    """Variables of the jobs: an operation wins over the pipeline, and that over the site."""
    seed: int | None = key(_SEED)


PIPELINE = Object(
    PipelineSpec,
    reserved=("sweep", "on_failure", "cache", "retries", "interactive"),
    instead={**_OF_RESOURCES, **_OF_OPERATION},
)


def read_pipeline(reader: Reader) -> PipelineSpec:
    """Return the pipeline of a document; faults go to the reader."""
    value = reader.document.value()
    if value is None:
        reader.fault((), "the file is empty", "a pipeline begins with pipeline: NAME")
        return PipelineSpec()
    result = PIPELINE(value, (), reader)
    if not isinstance(result, PipelineSpec):
        return PipelineSpec()
    if not result.operations and not reader.faults:
        reader.fault(("operations",), "a pipeline needs at least one operation")
    return result


def origin(document: Marked, *path: str | int) -> str:
    """Return `pipeline.yaml:14` for a value of a document, or the nearest above it."""
    return f"{document.file}:{document.mark(path, key=True).line}"
