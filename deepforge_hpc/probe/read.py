"""Asks the machine. What does not answer is left out, and said."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from deepforge_hpc.errors import SchedulerError, TransientSchedulerError
from deepforge_hpc.probe import accounts, commands
from deepforge_hpc.probe.values import ODD, marked, word
from deepforge_hpc.schedulers.command import CommandRunner
from deepforge_hpc.schedulers.slurm_errors import BUSY, meaning
from deepforge_hpc.site.kinds import SLURM_NAME

_Item = TypeVar("_Item")

LAUNCH_PROGRAMS = ("srun", "mpirun", "mpiexec", "ibrun", "jsrun", "flux", "aprun", "torchrun")
CONTAINERS = ("apptainer", "singularity", "shifter", "podman-hpc", "sarus", "enroot")
_VARIABLES = ("LMOD_SYSTEM_NAME", "LMOD_VERSION", "MODULESHOME", "NERSC_HOST", "SLURM_CLUSTERS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine says of itself."""

    version: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""
    """The controller's local time when it was asked, ISO 8601."""
    partitions: tuple[commands.Partition, ...] = ()
    nodes: tuple[commands.Node, ...] = ()
    qos: tuple[accounts.Qos, ...] = ()
    associations: tuple[accounts.Association, ...] = ()
    default_account: str = ""
    groups: frozenset[str] | None = None
    """One's groups of Unix; None: not asked for."""
    mpi: tuple[str, ...] = ()
    spank: tuple[str, ...] = ()
    """Options that plugins give srun, e.g. `container-image`."""
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    reservations: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()
    """What could not be asked, and why, as sentences."""

    @property
    def cluster(self) -> str:
        """Return ClusterName."""
        return self.config.get("ClusterName", "")

    @property
    def mpi_default(self) -> str:
        """Return the MPI plugin of jobs that name none."""
        return word(self.config.get("MpiDefault", "").replace("none", "NONE"))

    @property
    def refusal(self) -> str:
        """Return the first of what could not be asked; the others mostly say the same."""
        first, *others = self.unanswered or ("nothing was said",)
        return f"{first} (and {len(others)} more)" if others else first

    @property
    def way_on(self) -> str:
        """Return what to do about it, as a refused submission would say."""
        return meaning(self.refusal, BUSY)[1]


def read_machine(
    runner: CommandRunner,
    *,
    user: str,
    environ: Mapping[str, str],
    groups: frozenset[str] | None = None,
    which: Callable[[str], str | None] = shutil.which,
) -> Machine:
    """Return what the commands of Slurm and the environment say."""
    ask = _Asker(runner)
    version = commands.parse_version(ask(commands.VERSION_ARGV))
    config = commands.parse_config(ask(commands.CONFIG_ARGV))
    named = config.get("ClusterName", "")
    associations = ask(accounts.associations_argv(user))
    mpi = ask(commands.MPI_ARGV, both=True)
    machine = Machine(
        version=version or commands.parse_version(config.get("SLURM_VERSION", "")),
        config=config,
        clock=commands.parse_clock(ask(commands.CONFIG_ARGV)),
        partitions=commands.parse_partitions(ask(commands.PARTITIONS_ARGV)),
        nodes=commands.parse_nodes(ask(commands.NODES_ARGV)),
        qos=accounts.parse_qos(ask(accounts.QOS_ARGV)),
        associations=accounts.parse_associations(associations, named),
        default_account=accounts.parse_default_account(ask(accounts.default_account_argv(user))),
        groups=groups,
        mpi=commands.parse_mpi(mpi),
        spank=commands.parse_options(ask(commands.HELP_ARGV)),
        programs=tuple(name for name in (*LAUNCH_PROGRAMS, *CONTAINERS) if which(name)),
        modules=_modules(ask, environ),
        licenses=commands.parse_licenses(ask(commands.LICENSES_ARGV)),
        reservations=commands.parse_reservations(ask(commands.RESERVATIONS_ARGV)),
        variables={name: environ[name] for name in _VARIABLES if environ.get(name)},
        unanswered=tuple(ask.unanswered),
    )
    return _with_names(machine)


def _with_names(machine: Machine) -> Machine:
    """Leave out, and tell, what has a name that no site file may hold."""
    refused: list[str] = []

    def keep(what: str, items: Sequence[_Item], name: Callable[[_Item], str]) -> tuple[_Item, ...]:
        odd = [name(item) for item in items if not _is_name(name(item))]
        if odd:
            refused.append(f"left out, as no site file may hold the name: {what} {odd[0]!a}")
        return tuple(item for item in items if _is_name(name(item)))

    config = dict(machine.config)
    if not _is_name(config.get("ClusterName", "x")):
        refused.append(f"no name of a cluster: {config.pop('ClusterName')!a}")
    return replace(
        machine,
        config=config,
        partitions=keep("partition", machine.partitions, lambda item: item.name),
        nodes=keep("GPU type", machine.nodes, lambda item: item.gpu_type or "none"),
        qos=keep("QOS", machine.qos, lambda item: item.name),
        associations=keep("account", machine.associations, lambda item: item.account),
        unanswered=(*machine.unanswered, *refused),
    )


def _is_name(text: str) -> bool:
    return re.fullmatch(SLURM_NAME, text) is not None and text != "unknown"


def _modules(ask: _Asker, environ: Mapping[str, str]) -> tuple[str, ...]:
    if not environ.get("MODULESHOME") and not environ.get("LMOD_CMD"):
        return ()
    return commands.parse_modules(ask(commands.MODULES_ARGV))


class _Asker:
    """Runs each command once; one that fails says nothing, and is noted."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner
        self._said: dict[tuple[str, ...], str] = {}
        self._missing: set[str] = set()
        self._silent: set[str] = set()
        self.unanswered: list[str] = []

    def __call__(self, argv: Sequence[str], *, both: bool = False) -> str:
        key = tuple(argv)
        if key not in self._said:
            self._said[key] = self._run(key, both=both)
        return self._said[key]

    def _run(self, argv: tuple[str, ...], *, both: bool) -> str:
        # Two programs that hang: nobody is there, and each further one would cost as much.
        if argv[0] in self._missing | self._silent or len(self._silent) > 1:
            return ""
        try:
            done = self._runner.run(argv)
        except SchedulerError as error:
            is_passing = isinstance(error, TransientSchedulerError)
            (self._silent if is_passing else self._missing).add(argv[0])
            self.unanswered.append(error.message)
            return ""
        if done.returncode:
            said = marked(" ".join(done.stderr.split())[:300])
            self.unanswered.append(f"{' '.join(argv[:4])}: exit code {done.returncode}: {said}")
            return ""
        said = done.stdout + done.stderr if both else done.stdout
        shown = marked(said)
        if ODD in shown:
            what = "bytes that are no text" if ODD in said else "control characters"
            words = " ".join(argv[:4])
            self.unanswered.append(f"{words}: {what} in the output, shown as {ODD}")
        return shown
