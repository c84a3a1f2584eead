"""The plan: a pipeline and a site, resolved to jobs. Frozen, deterministic, free of I/O.

`plan.json` in an execution is `Plan.to_dict()` as canonical JSON; jobs read it with the standard
library (`dfh_runtime`), so a change of a field here is a change of that file's `schema`.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deepforge_hpc.model.execution import PLAN_SCHEMA
from deepforge_hpc.model.resources import Resources
from deepforge_hpc.runtime.base.notice import Notice

FINAL_JOB = "_final"
"""Name of the job that closes an execution; no operation can have it."""


class JobKind(str, Enum):
    """What a job is for."""

    RUN = "run"
    ARRAY = "array"
    """One task for each block of rows of the mapped input."""
    GATHER = "gather"
    """Publishes the parts of an array as one value; named `<operation>.gather`."""
    FINAL = "final"
    """Closes the execution; runs after all leaves, however they ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalInput:
    """Data of the project or from outside that no job of the pipeline makes."""

    name: str
    uri: str
    """As the user wrote it."""
    type: str
    """Id of a format of the registry."""
    path: str
    """Absolute path of the file or folder."""
    size: int
    """Bytes (the sum, for a folder)."""
    mtime_ns: int
    sha256: str | None = None
    """`sha256:...` where it is known when the pipeline is loaded (small files), else None."""
    origin: str = ""
    """file:line of the declaration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputBinding:
    """Where the value of one input port of an operation comes from."""

    port: str
    type: str
    """Format id that the operation declares; `any` when it declares none."""
    job: str | None = None
    """Producing job (`<operation>.gather` if the producer is mapped), or None."""
    output: str | None = None
    external: str | None = None
    """Name of an external input, or None. Exactly one of `job` and `external` is given."""
    mapped: bool = False
    """True if each task of an array gets its own block of rows of this input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPort:
    """One output of an operation."""

    name: str
    type: str
    """Format id; `any` lets the runtime choose by the value and write the choice down."""
    annotation: str = ""
    """As the code has it, where it promises what `types` and `optional` say; else empty."""
    types: tuple[str, ...] = ()
    """Of bool, dict, float, int, list, str: what the value must be; empty: it may be anything."""
    optional: bool = True
    """Whether the value may be None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A resource that an operation gets, compiled to code."""

    name: str
    library: str
    source: str
    """Path of the user's file, relative to the project, with forward slashes."""
    module: str
    """Path below `code/` of the compiled module; it defines `build()`, which returns the value."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSource:
    """Where the code of an operation lies in the frozen `code/` of the execution."""

    module: str
    """Path below `code/` of the Python file, with forward slashes."""
    object: str
    """Name of the class or function."""
    kind: str
    """`class` (attributes to `__init__`, inputs to `execute`) or `function`."""
    parameters: tuple[str, ...] = ()
    """Names that the constructor (or the function) takes besides inputs: attributes and references,
    and `shard`, `shards` if the code names them."""
    search: tuple[str, ...] = ()
    """Folders below `code/` that go on `sys.path`, in order."""
    sha256: str = ""
    """Digest of the file and of the closure of its imports inside the project."""
    returns: str = "one"
    """What it returns: `none`, `one` (the value of the one output), `tuple` (of the outputs in
    order), `dict` (output name to value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchCommand:
    """What starts the ranks."""

    name: str = "none"
    """none | srun | mpi | horovod | torchrun"""
    argv: tuple[str, ...] = ()
    """Words before the rank's own command; empty: the supervisor starts one rank itself."""
    env: tuple[tuple[str, str], ...] = ()
    world_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The software that a job runs in."""

    python: str = ""
    """Absolute path of an interpreter, or a command name; from `python:` or `venv:`."""
    conda: str = ""
    container: str = ""
    modules: tuple[str, ...] = ()
    """In load order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLaunch:
    """How the site starts an image."""

    runtime: str
    """apptainer | shifter | podman-hpc | pyxis | ce"""
    flags: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    """Further paths of the host that are seen inside."""
    around: str = "job"
    """job: all of the job runs inside; ranks: each rank does, and what starts them does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One batch job (or one job array) of a plan."""

    name: str
    operation: str
    """Operation of the pipeline that it belongs to; empty for the final job."""
    kind: JobKind = JobKind.RUN
    tasks: int = 1
    """Number of array tasks; 1 unless `kind` is ARRAY."""
    after: tuple[str, ...] = ()
    """Names of the jobs that this one waits for, sorted."""
    dependency: str = "afterok"
    """afterok | afterany"""
    resources: Resources = field(default_factory=Resources)
    directives: tuple[tuple[str, str], ...] = ()
    """Options for the scheduler, e.g. ("nodes", "2"), in the order of the script; "" is a flag."""
    account: str = ""
    """With the suffix that the queue wants."""
    queue: str = ""
    """Name in the site's file of the queue; empty if the site names none."""
    inherits_shell: bool = False
    """Whether it gets the variables of the submitting shell, as some centres want it."""
    env: tuple[tuple[str, str], ...] = ()
    """Variables that the site gives the job; a value may hold `$VARIABLES` of the job."""
    module_init: tuple[str, ...] = ()
    """Words after `module` with which it starts, e.g. `("--force", "purge")`."""
    module_unload: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    """The site's, in load order, before those of the environment."""
    container: ContainerLaunch | None = None
    """How the image of the environment is started; None without one."""
    launch: LaunchCommand = field(default_factory=LaunchCommand)
    environment: Environment = field(default_factory=Environment)
    source: OperationSource | None = None
    """None for gather and final jobs."""
    attributes: tuple[tuple[str, Any], ...] = ()
    """Name and JSON value, sorted by name."""
    references: tuple[Reference, ...] = ()
    inputs: tuple[InputBinding, ...] = ()
    outputs: tuple[OutputPort, ...] = ()
    seed: int | None = None
    plan_key: str = ""
    """`sha256:...`: equal keys promise equal results; empty for the final job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOutput:
    """An entry of the pipeline's `outputs:`: a result that the user wants under a name."""

    name: str
    job: str
    output: str
    to: str = ""
    """Destination path (absolute), or empty: it stays in the execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a resolved value comes from."""

    key: str
    """e.g. `jobs.train.resources.time_s`"""
    value: str
    source: str
    """e.g. `pipeline.yaml:14`, `site local (shipped)`, `--set`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that will be submitted."""

    pipeline: str
    site: str
    scheduler: str
    """Name of the scheduler adapter: slurm | local | a third party's."""
    jobs: tuple[Job, ...]
    """In topological order, the final job last."""
    inputs: tuple[ExternalInput, ...] = ()
    outputs: tuple[DeclaredOutput, ...] = ()
    warnings: tuple[Notice, ...] = ()
    origins: tuple[Origin, ...] = ()
    """Not part of `plan.json`."""
    schema: str = PLAN_SCHEMA

    def job(self, name: str) -> Job:
        """Return the job of that name; KeyError if there is none."""
        for job in self.jobs:
            if job.name == name:
                return job
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON data, without `origins`."""
        data = _plain(self)
        assert isinstance(data, dict)
        del data["origins"]
        return {**data, "warnings": [notice.to_dict() for notice in self.warnings]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plan:
        """Return the plan that `to_dict` wrote; KeyError or TypeError if it is another thing."""
        return cls(
            schema=data["schema"],
            pipeline=data["pipeline"],
            site=data["site"],
            scheduler=data["scheduler"],
            jobs=tuple(_job(item) for item in data["jobs"]),
            inputs=tuple(ExternalInput(**item) for item in data["inputs"]),
            outputs=tuple(DeclaredOutput(**item) for item in data["outputs"]),
            warnings=tuple(Notice.from_data(item) for item in data["warnings"]),
        )


_LATER = {
    "env": (),
    "module_init": (),
    "module_unload": (),
    "modules": (),
    "container": None,
    "inherits_shell": False,
}
"""What plans of the first executions do not have."""


def _job(data: dict[str, Any]) -> Job:
    data = {**_LATER, **data}
    source = data["source"]
    launch = data["launch"]
    return Job(
        **{
            **data,
            "kind": JobKind(data["kind"]),
            "after": tuple(data["after"]),
            "resources": Resources(**data["resources"]),
            "directives": tuple((name, value) for name, value in data["directives"]),
            "env": tuple((name, value) for name, value in data["env"]),
            "module_init": tuple(data["module_init"]),
            "module_unload": tuple(data["module_unload"]),
            "modules": tuple(data["modules"]),
            "container": None if data["container"] is None else _container(data["container"]),
            "launch": LaunchCommand(
                **{
                    **launch,
                    "argv": tuple(launch["argv"]),
                    "env": tuple((name, value) for name, value in launch["env"]),
                }
            ),
            "environment": Environment(
                **{**data["environment"], "modules": tuple(data["environment"]["modules"])}
            ),
            "source": None
            if source is None
            else OperationSource(
                **{
                    **source,
                    "parameters": tuple(source["parameters"]),
                    "search": tuple(source["search"]),
                }
            ),
            "attributes": tuple((name, value) for name, value in data["attributes"]),
            "references": tuple(Reference(**item) for item in data["references"]),
            "inputs": tuple(InputBinding(**item) for item in data["inputs"]),
            "outputs": tuple(
                OutputPort(**{**item, "types": tuple(item.get("types", ()))})
                for item in data["outputs"]
            ),
        }
    )


def _container(data: dict[str, Any]) -> ContainerLaunch:
    return ContainerLaunch(**{**data, "flags": tuple(data["flags"]), "bind": tuple(data["bind"])})


def _plain(value: object) -> object:
    """Return dataclasses as dicts and tuples as lists (asdict copies deeply and is 10x slower)."""
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is tuple or kind is list:
        return [_plain(item) for item in value]  # type: ignore[attr-defined]
    names = _field_names(kind)  # type: ignore[arg-type]  # a class can be hashed
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    return value.value if isinstance(value, Enum) else value


@functools.cache
def _field_names(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields; None for any other type."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(item.name for item in dataclasses.fields(kind))
