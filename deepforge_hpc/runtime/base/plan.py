"""The plan: a pipeline and a site, resolved to jobs; `plan.json` holds it for good.

One class for each thing, in the job as on the login node. Fields that were added later have the
default that stands for what was so before: plans of earlier versions lack them.
"""

# Annotations are types here, which the codec reads.
from enum import Enum
from typing import Any, NamedTuple

from .codec import decode, encode, object_of
from .execution import PLAN_SCHEMA
from .notice import Notice

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

    __str__ = str.__str__


class ExternalInput(NamedTuple):
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
    listing: str = ""
    """Of a folder without `sha256`: the digest of its files' names, sizes and times."""


def member_port(port: str, index: int) -> str:
    """Return the name of one member of an input that is a list; no argument has such a name."""
    return f"{port}[{index}]"


def argument_of(port: str) -> str:
    """Return the argument that a port, or a member of one that is a list, belongs to."""
    return port.partition("[")[0]


class InputBinding(NamedTuple):
    """Where the value of one input port of an operation comes from."""

    port: str
    """Name of the argument; of a list `parts` its members follow each other as `parts[0]`, ..."""
    type: str
    """Format id that the operation declares; `any` when it declares none."""
    job: str | None = None
    """Producing job (`<operation>.gather` if the producer is mapped), or None."""
    output: str | None = None
    external: str | None = None
    """Name of an external input, or None. Exactly one of `job` and `external` is given."""
    mapped: bool = False
    """True if each task of an array gets its own block of rows of this input."""


class OutputPort(NamedTuple):
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
    file: str = ""
    """Of a program: where it leaves it, below its working folder; a folder if it ends in `/`."""


class Reference(NamedTuple):
    """A resource that an operation gets, compiled to code."""

    name: str
    library: str
    source: str
    """Path of the user's file, relative to the project, with forward slashes."""
    module: str
    """Path below `code/` of the compiled module; it defines `build()`, which returns the value."""
    sha256: str


class OperationSource(NamedTuple):
    """Where the code of an operation lies in the frozen `code/` of the execution."""

    module: str
    """Path below `code/` of the Python file, with forward slashes."""
    object: str
    """Name of the class or function; of a program, `__main__` or the first word of its command."""
    kind: str
    """`class` (attributes to `__init__`, inputs to `execute`), `function`, `script` (the module is
    run as a program) or `command` (there is no module)."""
    parameters: tuple[str, ...] = ()
    """Names that the constructor (or the function) takes besides inputs: attributes and references,
    and `shard`, `shards` if the code names them; `execute.shard` if `execute` of a class does."""
    search: tuple[str, ...] = ()
    """Folders below `code/` that go on `sys.path`, in order."""
    sha256: str = ""
    """Digest of the file and of the closure of its imports inside the project."""
    returns: str = "one"
    """What it returns: `none`, `one` (the value of the one output), `tuple` (of the outputs in
    order), `dict` (output name to value)."""
    star: tuple[str, ...] = ()
    """If it gets a list of inputs as `*NAME`: the arguments before it, and NAME."""
    argv: tuple[str, ...] = ()
    """Of a script its arguments, of a command all words, with placeholders."""


class LaunchCommand(NamedTuple):
    """What starts the ranks."""

    name: str = "none"
    """none | srun | mpi | horovod | torchrun"""
    argv: tuple[str, ...] = ()
    """Words before the rank's own command; empty: the supervisor starts one rank itself."""
    env: tuple[tuple[str, str], ...] = ()
    world_size: int = 1
    gpus: tuple[tuple[int, ...], ...] = ()
    """Of each rank of a node, the GPUs it is to use, counted among those of the job on that node;
    empty: not shared out, or the scheduler does that."""
    gpu_visibility: str = "all"
    """own | all: which GPUs of its node a rank sees."""
    gpu_variable: str = "CUDA_VISIBLE_DEVICES"
    """What makes it see some alone."""


class Environment(NamedTuple):
    """The software that a job runs in."""

    python: str = ""
    """Absolute path of an interpreter, or a command name; from `python:` or `venv:`."""
    conda: str = ""
    container: str = ""
    modules: tuple[str, ...] = ()
    """In load order."""


class ContainerLaunch(NamedTuple):
    """How the site starts an image."""

    runtime: str
    """apptainer | shifter | podman-hpc | pyxis | ce"""
    flags: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    """Further paths of the host that are seen inside."""
    around: str = "job"
    """job: all of the job runs inside; ranks: each rank does, and what starts them does not."""


class Resources(NamedTuple):
    """The size of one job (of one task of it, for a job array)."""

    nodes: int = 1
    ntasks_per_node: int = 1
    """Ranks a node."""
    cpus_per_task: int = 1
    gpus_per_node: int = 0
    mem_per_node_mib: int | None = None
    """MiB; None leaves it to the site."""
    time_s: int | None = None
    """Walltime in seconds; None leaves it to the site."""

    node_local: bool = False
    """Whether it wants a disk that its node has of its own."""
    gres: tuple[tuple[str, int], ...] = ()
    """Further resources of each node, by the site's names for them."""

    @property
    def world_size(self) -> int:
        """Return the number of ranks."""
        return self.nodes * self.ntasks_per_node


class Job(NamedTuple):
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
    resources: Resources = Resources()
    directives: tuple[tuple[str, str], ...] = ()
    """Options for the scheduler, e.g. ("nodes", "2"), in the order of the script; "" is a flag."""
    account: str = ""
    """With the suffix that the queue wants."""
    queue: str = ""
    """Name in the site's file of the queue, or several with commas; empty if it names none."""
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
    launch: LaunchCommand = LaunchCommand()
    environment: Environment = Environment()
    source: OperationSource | None = None
    """None for gather and final jobs."""
    attributes: tuple[tuple[str, Any], ...] = ()
    """Name and JSON value of those that are given, sorted by name."""
    defaults: tuple[tuple[str, Any], ...] = ()
    """Of those that are left to the code, where JSON can hold them."""
    computed: tuple[tuple[str, str], ...] = ()
    """Of the rest, what the code says."""
    references: tuple[Reference, ...] = ()
    inputs: tuple[InputBinding, ...] = ()
    outputs: tuple[OutputPort, ...] = ()
    seed: int | None = None
    software: tuple[tuple[str, str], ...] = ()
    """Package that it imports -> its version, or the digest of its files; empty if unknown."""
    plan_key: str = ""
    """`sha256:...`: equal keys promise equal results; empty for the final job."""
    value_key: str = ""
    """The same without the formats of the outputs; empty for a job that runs no operation."""

    @property
    def indices(self) -> tuple[int | None, ...]:
        """Return those of its tasks; (None,) of a job that is no array."""
        return indices_of(self.kind, self.tasks)


def indices_of(kind: JobKind, tasks: int) -> tuple[int | None, ...]:
    """Return those of the tasks of a job; (None,) of one that is no array."""
    return tuple(range(tasks)) if kind is JobKind.ARRAY else (None,)


def cluster_of(directives: tuple[tuple[str, str], ...]) -> str:
    """Return the cluster that directives name; empty: the one that a shell reaches."""
    return next((value for key, value in directives if key == "clusters"), "")


class DeclaredOutput(NamedTuple):
    """An entry of the pipeline's `outputs:`: a result that the user wants under a name."""

    name: str
    job: str
    output: str
    to: str = ""
    """Destination (absolute; with a slash at its end a folder for it), or empty: it stays."""


class Origin(NamedTuple):
    """Where a resolved value comes from."""

    key: str
    """e.g. `jobs.train.resources.time_s`"""
    value: str
    source: str
    """e.g. `pipeline.yaml:14`, `site local (shipped)`, `--set`"""


class Plan(NamedTuple):
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
    key: str = "dfh/plan-key/1"
    """What the keys of its jobs cover, by version."""
    schema: str = PLAN_SCHEMA

    @property
    def cluster(self) -> str:
        """Return the cluster that the site names; empty: the one that a shell reaches."""
        return cluster_of(self.jobs[-1].directives) if self.jobs else ""

    def job(self, name: str) -> Job:
        """Return the job of that name; KeyError if there is none."""
        for job in self.jobs:
            if job.name == name:
                return job
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON data, without `origins`."""
        data: dict[str, Any] = encode(self._replace(origins=()))
        del data["origins"]
        return data


def parse_plan(content: bytes | str, *, job: str = "") -> Plan:
    """Return the plan that a file holds; ShapeError if it is none that this version can read.

    With `job`, of its jobs only that one and those that it waits for: all that it has to know.
    """
    data = object_of(content)
    if job not in {"", FINAL_JOB}:
        data["jobs"] = _needed(data.get("jobs"), job)
    if type(listed := data.get("warnings")) is list:  # those of earlier versions are sentences
        data["warnings"] = [
            Notice("earlier_plan", w).to_dict() if type(w) is str else w for w in listed
        ]
    return decode(Plan, data)


def _needed(jobs: Any, name: str) -> object:
    """Leave the others of a thousand jobs unread."""
    try:
        wanted = {name, *next(item["after"] for item in jobs if item["name"] == name)}
        return [item for item in jobs if item["name"] in wanted]
    except (StopIteration, KeyError, TypeError):
        return jobs  # it is not a plan, or has no such job: reading all of it says so
