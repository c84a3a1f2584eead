"""What a site is asked for a job: queue, account, options, launch line, environment.

Most jobs of a large pipeline are of one size, so each decision is made once and kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from deepforge_hpc.errors import UsageError
from deepforge_hpc.files.faults import dotted
from deepforge_hpc.plan.containers import container_of
from deepforge_hpc.plan.directives import Directives, Problem, build_directives
from deepforge_hpc.plan.environment import SiteEnvironment, site_environment, unsaid
from deepforge_hpc.plan.facts import SITE_UNKNOWN, Facts, holds, node_of
from deepforge_hpc.plan.launch import launch_command, unbound
from deepforge_hpc.plan.limits import OF_NODE, QueueRequest
from deepforge_hpc.plan.queues import Choice, choose_queue
from deepforge_hpc.plugins.launcher import launcher_named
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import ContainerLaunch, LaunchCommand
from deepforge_hpc.site.model import MPI_DEFAULT, VERSION, SiteSpec
from deepforge_hpc.site.unknown import UNKNOWN, known

_LONGEST = 100
"""Characters of the name of an account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What is decided on; equal ones get the same grant."""

    queue: QueueRequest
    tasks: int | None = None
    image: str = ""
    gpu_visibility: str = "all"
    modules: tuple[str, ...] = ()
    """Of its own environment."""
    is_internal: bool = False


@dataclass(slots=True, kw_only=True)
class Grant:
    """What the job gets."""

    choice: Choice
    directives: Directives
    given: SiteEnvironment
    pairs: tuple[tuple[str, str], ...]
    env: tuple[tuple[str, str], ...]
    launch: LaunchCommand = field(default_factory=LaunchCommand)
    account: str = ""
    account_path: tuple[str | int, ...] = ()
    """Of what decides its suffix, in the site's file."""
    container: ContainerLaunch | None = None
    problems: list[Problem] = field(default_factory=list)


class Requests:
    """What jobs are granted, for one site and account."""

    def __init__(
        self, site: SiteSpec, scheduler: Scheduler, account: str, folders: tuple[str, ...]
    ) -> None:
        self.site = site
        self.scheduler = scheduler
        self.account = account
        self.folders = folders
        """Folders that a container has to see."""
        self._grants: dict[JobRequest, Grant] = {}

    def grant(self, wanted: JobRequest) -> Grant:
        """Return what a job gets, decided once; no queue is chosen if none takes it."""
        found = self._grants.get(wanted)
        if found is None:
            choice = choose_queue(self.site, wanted.queue)
            found = self._decide(wanted, choice)
            self._grants[wanted] = self._together(wanted, found)
        return found

    def warnings(self) -> list[Notice]:
        """Return what the site may not like, each once."""
        site = self.site
        found: list[Notice] = []
        if not self.scheduler.runs:
            text = f"scripts for {site.scheduler} are rendered, not run, in this version"
            found.append(Notice("not_run", text))
        open_limits: dict[int, dict[str, None]] = {}
        for grant in self._grants.values():
            if grant.choice.queue is not None:
                index = site.queues.index(grant.choice.queue)
                open_limits.setdefault(index, {}).update(dict.fromkeys(grant.choice.unknowns))
            found += grant.directives.warnings
        found += [_unchecked(site, index, names) for index, names in open_limits.items() if names]
        asked = [wanted.queue.resources for wanted in self._grants]
        has_gpus = any(size.gpus_per_node for size in asked)
        has_images = any(wanted.image for wanted in self._grants)
        found += unsaid(site, sorted(open_limits), has_gpus=has_gpus, has_images=has_images)
        conf, variable = known(site.submit.slurm_conf), self.scheduler.configuration
        if conf and variable:
            text = f"site {site.name} is another cluster to {self.scheduler.title}: export "
            found.append(
                Notice("other_cluster", f"{text}{variable}={conf}", keys=("submit.slurm_conf",))
            )
        return list(dict.fromkeys(found))

    def _together(self, wanted: JobRequest, grant: Grant) -> Grant:
        """Let Slurm choose among queues that charge alike, which would grant all else the same.

        Each must surely take the job: Slurm refuses it if one does not. Who names a queue gets it.
        """
        first, pairs = grant.choice.queue, grant.directives.pairs
        if first is None or wanted.queue.queue or "clusters" in pairs or "partition" not in pairs:
            return grant
        found = {first.name: first.partition}
        for index, names in enumerate(self.site.routing.together):
            for name in names if first.name in names else ():
                choice = choose_queue(self.site, wanted.queue._replace(queue=name))
                queue = choice.queue
                if queue is None or not queue.automatic or name in wanted.queue.full:
                    continue
                if not choice.unknowns and _is_alike(grant, self._decide(wanted, choice)):
                    found.setdefault(name, queue.partition)
            if len(found) > 1:
                grant.choice = replace(grant.choice, together=tuple(found))
                pairs["partition"] = ",".join(dict.fromkeys(",".join(found.values()).split(",")))
                grant.directives.sources["partition"] += (("routing", "together", index),)
                grant.pairs = tuple(pairs.items())
                break
        return grant

    def _decide(self, wanted: JobRequest, choice: Choice) -> Grant:
        site, request = self.site, wanted.queue
        facts = Facts(
            resources=request.resources,
            launch=request.launch,
            queue=choice.queue,
            node=node_of(site, choice.queue),
            gpu_visibility=wanted.gpu_visibility,
            software=(
                *wanted.modules,
                *([PurePosixPath(wanted.image).name] if wanted.image else []),
            ),
        )
        given = site_environment(site, facts, container=bool(wanted.image))
        facts = replace(facts, env=given.env)
        launch = launch_command(site, self.scheduler, request.launch, facts)
        header: tuple[tuple[str, str], ...] = ()
        container = None
        problems: list[Problem] = []
        if wanted.image:
            gpus = request.resources.gpus_per_node > 0
            disk = given.env.get("DFH_NODE_LOCAL", "")
            way = container_of(
                site, wanted.image, gpus=gpus, folders=self.folders, node=facts.node, disk=disk
            )
            if problem := way.problem or _unfit(site, launch, way.runtime):
                problems.append(Problem(problem, "use conda:, venv: or modules: for it"))
            header = way.header
            container = ContainerLaunch(
                runtime=way.runtime,
                flags=way.flags,
                bind=way.bind,
                around="ranks" if launch.argv else "job",
            )
            launch = launch_command(site, self.scheduler, request.launch, facts, way)
        directives = build_directives(
            site,
            facts,
            account=self.account,
            tasks=wanted.tasks,
            header=header,
            argv=launch.argv,
            is_internal=wanted.is_internal,
        )
        if launch.argv and (why := site.launchers[launch.name].avoid):
            text = f"site {site.name} advises against {launch.name}: {why}"
            directives.warn("launcher_unwanted", text, f"launchers.{launch.name}.avoid")
        self._refuse_conflicts(directives, launch)
        _without_mpi(site, directives, launch)
        _with_few_gpus(directives, facts, launch)
        for text in unbound(site, facts, launch.argv):
            directives.warn("binding", text, "binding")
        account, account_path = charged(site, self.account, facts)
        if not account.startswith(self.account):
            where = f"queue {choice.queue.name}" if choice.queue is not None else "them"
            text = f"account {self.account} does not pay for {where}: {account} does"
            directives.warn("other_account", text, dotted(account_path))
        return Grant(
            choice=choice,
            directives=directives,
            given=given,
            pairs=tuple(directives.pairs.items()),
            env=tuple(given.env.items()),
            launch=launch,
            account=account,
            account_path=account_path,
            container=container,
            problems=[*problems, *directives.problems],
        )

    def _refuse_conflicts(self, directives: Directives, launch: LaunchCommand) -> None:
        """Say what the site's scheduler would not take, as far as its version is known."""
        site = self.site
        version = site.scheduler_version
        for found in self.scheduler.conflicts(version, directives.pairs, launch.argv):
            if found.is_certain:
                hint = f"correct request and launchers in the file of site {site.name}"
                directives.problems.append(Problem(f"site {site.name}: {found.text}", hint))
            else:
                text = f"site {site.name}: {found.text}; its version is unknown"
                directives.warn(SITE_UNKNOWN, text, VERSION)


def _is_alike(one: Grant, other: Grant) -> bool:
    """Return whether two queues grant the same but for the partition."""

    def rest(grant: Grant) -> tuple[object, ...]:
        queue = grant.choice.queue
        return (
            {name: value for name, value in grant.pairs if name != "partition"},
            (grant.env, grant.given, grant.launch, grant.account, grant.container, grant.problems),
            queue is not None and known(queue.exclusive),
        )

    return "partition" in other.directives.pairs and rest(one) == rest(other)


def _unchecked(site: SiteSpec, index: int, limits: Iterable[str]) -> Notice:
    """Say which limits of a queue nobody has told."""
    queue = site.queues[index]
    node = node_of(site, queue)
    kind = next((name for name, each in site.node_types.items() if each is node), "")
    text = f"queue {queue.name} of {site.name}: unknown and not checked: {', '.join(limits)}"
    keys = (
        f"node_types.{kind}.{OF_NODE[name]}" if name in OF_NODE else f"queues.{queue.name}.{name}"
        for name in limits
    )
    return Notice(SITE_UNKNOWN, text, subject=queue.name, keys=tuple(keys))


def _without_mpi(site: SiteSpec, directives: Directives, launch: LaunchCommand) -> None:
    """Say if ranks of MPI may not meet: what starts them is told no way, and may know none."""
    has_mpi = any(word.startswith("--mpi=") for word in launch.argv)
    if has_mpi or not launch.argv or not site.launchers[launch.name].starter.has_mpi_option:
        return
    if not launcher_named(launch.name).needs_mpi:
        return
    way = f"srun --mpi=list shows the ways; one can be named in launchers.{launch.name}.argv"
    if site.mpi_default is UNKNOWN:
        text = f"whether srun of {site.name} starts MPI by itself is unknown: {way}"
        directives.warn(SITE_UNKNOWN, text, MPI_DEFAULT)
    elif site.mpi_default == "none":
        text = f"srun of {site.name} starts no MPI by itself: {way}"
        directives.warn("no_mpi", text, f"launchers.{launch.name}.argv")


def _with_few_gpus(directives: Directives, facts: Facts, launch: LaunchCommand) -> None:
    """Say if ranks cannot have a GPU each: nobody then knows which is whose."""
    ranks, gpus = facts.resources.ntasks_per_node, facts.resources.gpus_per_node
    if launch.argv and gpus and gpus % ranks:
        text = f"{ranks} ranks have {gpus} GPU{'s' * (gpus > 1)} on each node: which are whose"
        text += " nobody says, and they may meet on one"
        directives.warn("gpus_shared", text, "resources.gpus_per_node")


def charged(site: SiteSpec, account: str, facts: Facts) -> tuple[str, tuple[str | int, ...]]:
    """Return the account that pays, and the path in the site's file of what decides its suffix.

    One name is given for all jobs of a pipeline, so the suffix of another kind of job is replaced.
    """
    suffix = ""
    path: tuple[str | int, ...] = ("account",)
    if facts.queue is not None and facts.queue.account:
        return facts.queue.account, ("queues", site.queues.index(facts.queue), "account")
    if facts.queue is not None and facts.queue.account_suffix:
        suffix = facts.queue.account_suffix
        path = ("queues", site.queues.index(facts.queue), "account_suffix")
    else:
        for index, rule in enumerate(site.account.suffixes):
            if holds(rule.when, facts):
                suffix, path = rule.suffix, ("account", "suffixes", index)
                break
    return (_bare(site, account) + suffix if account else ""), path


def _bare(site: SiteSpec, account: str) -> str:
    """Return an account without the suffix that some queue wants, if it has one."""
    found = [suffix for suffix in suffixes(site) if account.endswith(suffix)]
    return account.removesuffix(max(found, key=len, default=""))


def suffixes(site: SiteSpec) -> set[str]:
    """Return what a site appends to the accounts of some jobs."""
    rules = {rule.suffix for rule in site.account.suffixes}
    return (rules | {queue.account_suffix for queue in site.queues}) - {""}


def check_account(site: SiteSpec, account: str) -> list[Notice]:
    """Return warnings on the account; UsageError if the site refuses jobs like that."""
    rule = site.account
    if not account:
        if site.queues and all(queue.account for queue in site.queues):
            return []  # each says who pays
        if rule.required == "yes":
            message = f"site {site.name} wants to know which account pays"
            hint = "Say which one: --account A, or account: {value: A} in its file."
            raise UsageError(message, hint + _listing(site))
        if rule.required == "if-several":
            text = f"site {site.name} wants an account of those who have several; none is given"
            return [Notice("no_account", text, keys=("account.required",))]
        if rule.required is UNKNOWN or "account" in site.unknowns:
            text = f"whether site {site.name} wants an account is unknown, and none is given"
            return [Notice(SITE_UNKNOWN, text, keys=("account.required",))]
        return []
    if len(account) > _LONGEST:
        message = f"{account[:20]}... is no account of site {site.name}: it is too long"
        raise UsageError(message, "Say which one pays: --account A." + _listing(site))
    pattern = known(rule.pattern)
    names = {account, _bare(site, account)}
    if pattern and not any(re.fullmatch(pattern, name) for name in names):
        message = f"{account} is no account of site {site.name}: they look like {pattern}"
        raise UsageError(message, "Say which one pays: --account A." + _listing(site))
    return []


def _listing(site: SiteSpec) -> str:
    command = known(site.account.list_command)
    return f" List yours on the machine: {command}" if command else ""


def _unfit(site: SiteSpec, launch: LaunchCommand, runtime: str) -> str:
    """Return why ranks cannot be started in an image this way."""
    if not launch.argv:
        return ""
    if not launcher_named(launch.name).in_containers:
        return f"{launch.name} in a container is not in this version"
    if runtime != "apptainer" and not site.launchers[launch.name].starter.starts_images:
        return f"{launch.argv[0]} cannot start ranks in {runtime}; only srun can"
    return ""
