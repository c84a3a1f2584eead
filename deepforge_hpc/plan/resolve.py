"""Pipeline and site to plan: pure and deterministic; no clock, host, user or file is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.files.yaml12 import collector_paused
from deepforge_hpc.pipeline.file import OperationSpec
from deepforge_hpc.pipeline.graph import reachable
from deepforge_hpc.pipeline.interface import Edge, OperationInterface
from deepforge_hpc.pipeline.load import Loaded
from deepforge_hpc.plan import keys
from deepforge_hpc.plan.capacity import with_room
from deepforge_hpc.plan.notes import Notes
from deepforge_hpc.plan.queues import Choice, QueueRequest, lift, no_resources
from deepforge_hpc.plan.requests import Grant, JobRequest, Requests, check_account
from deepforge_hpc.plan.size import Sizer, as_text
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import (
    FINAL_JOB,
    DeclaredOutput,
    Environment,
    InputBinding,
    Job,
    JobKind,
    Plan,
    Resources,
)
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.unknown import known

_GATHER = Resources(time_s=3600)
_FINAL = Resources(time_s=900)
_MEMORY_MIB = 2048
"""Of an internal job, where the site wants a number."""


def resolve(
    loaded: Loaded, *, origins: bool = True, sent: Callable[[Plan], Mapping[str, int]] | None = None
) -> Plan:
    """Return what will be submitted; `origins=False` leaves out where each value comes from.

    `sent` tells how many of each job, or of its tasks, there are to submit, where some results can
    be reused; it is asked only of a plan that has too many jobs without that.

    With a selection (`--only`, `--from`, `--until`) the plan holds the selected operations and all
    that they need: results that still hold are reused, the others have to be made.

    Raises UsageError without a site or account, NoResourcesError if a job fits into no queue or
    all jobs together do not, InvalidInputError for a launcher that the site does not have.
    """
    site = loaded.site
    if site is None:
        message = f"{loaded.path.name}: a plan needs a site"
        raise UsageError(message, "Say which one: --site local, --site slurm-generic, ...")
    warnings = check_account(site, loaded.account)
    with collector_paused():
        return with_room(
            site, lambda full: _Resolution(loaded, site, warnings, full).plan(origins=origins), sent
        )


class _Resolution:
    """One run of resolve()."""

    def __init__(
        self, loaded: Loaded, site: SiteSpec, warnings: list[Notice], full: frozenset[str]
    ) -> None:
        self.loaded = loaded
        self.site = site
        self.account_warnings = warnings
        scheduler = scheduler_named(site.scheduler)
        self.sizer = Sizer(loaded, site, scheduler)
        self.notes = Notes(loaded, site, self.sizer)
        folders = (str(loaded.project), str(loaded.executions))
        self.requests = Requests(site, scheduler, loaded.account, folders)
        self.full = full
        """Queues that have no room for all jobs of the pipeline."""
        self.has_origins = True
        self.externals = {item.name: item for item in loaded.inputs}
        self.external_sources = {
            name: keys.external_source(item) for name, item in self.externals.items()
        }
        self.keys: dict[str, str] = {}
        self.refused: list[tuple[str, Resources, Choice]] = []

    def plan(self, *, origins: bool) -> Plan:
        """Return the plan; raises as `resolve`."""
        loaded = self.loaded
        self.has_origins = origins
        chosen = loaded.graph if loaded.selection is None else loaded.selection
        included = frozenset(reachable(chosen, loaded.graph))
        jobs: list[Job] = []
        for name, interface in loaded.operations.items():
            if name in included:
                jobs += self._operation(loaded.pipeline.operations[name], interface)
        jobs.append(self._final(jobs))
        self._raise_faults()
        used = {binding.external for job in jobs for binding in job.inputs}
        return Plan(
            pipeline=loaded.pipeline.name,
            site=self.site.name,
            scheduler=self.site.scheduler,
            key=keys.KEY_VERSION,
            jobs=tuple(jobs),
            inputs=tuple(item for item in loaded.inputs if item.name in used),
            outputs=tuple(
                DeclaredOutput(
                    name=item.name,
                    job=self._producer(item.operation),
                    output=item.output,
                    to=item.to,
                )
                for item in loaded.outputs
                if item.operation in included
            ),
            warnings=(
                *loaded.warnings,
                *self.account_warnings,
                *self.sizer.warnings(),
                *self.requests.warnings(),
                *_paid_elsewhere(jobs),
                *self._selection_warning(included),
            ),
            origins=self.sizer.origins() if origins else (),
        )

    def _selection_warning(self, included: frozenset[str]) -> list[Notice]:
        extra = included - (self.loaded.selection or included)
        if not extra:
            return []
        names = ", ".join(name for name in self.loaded.operations if name in extra)
        text = f"also needed, and reused where their results still hold: {names}"
        return [Notice("also_needed", text, subject=names)]

    def _operation(self, spec: OperationSpec, interface: OperationInterface) -> list[Job]:
        """Return the job of an operation, or its array and the job that gathers it."""
        is_array = spec.map is not None
        sources = {edge.port: self._source(edge) for edge in interface.inputs}
        declared = keys.declared_environment(spec.environment, self.loaded.pipeline.environment)
        tasks = spec.map.shards if spec.map else 1
        environment = interface.environment
        producers = {self._producer(edge.operation) for edge in interface.inputs if edge.operation}
        after = sorted(producers | {self._producer(name) for name in interface.after})
        self._refuse_large_array(spec.name, tasks if is_array else None)
        request = QueueRequest(
            resources=Resources(),
            has_dependencies=bool(after),
            queue=spec.resources.queue or "",
            full=self.full,
        )
        resources, launcher = self.sizer.size(spec, request)
        request = request._replace(resources=resources, launch=launcher)
        request = lift(self.site, request)
        self.sizer.raised(spec, resources, request)
        image = environment.container
        asked = JobRequest(
            queue=request,
            tasks=tasks if is_array else None,
            image=image,
            gpu_visibility=spec.gpu_visibility or "all",
            modules=environment.modules,
        )
        granted = self._granted(spec.name, asked)
        if spec.is_of_library and not spec.gpu_visibility and granted["launch"].gpus:
            # A framework takes all GPUs that it sees with the first network, which is built before
            # the operation begins: the rank hides the others' from it. Slurm still binds none.
            granted["launch"] = granted["launch"]._replace(gpu_visibility="own")
        own = {**self.loaded.pipeline.env, **spec.env}
        if own:
            declared["env"] = own
            granted |= with_variables(granted, own)
        key, value_key = keys.operation_keys(
            interface,
            inputs=sources,
            environment=declared,
            launch=granted["launch"],
            mapped=spec.map,
            code=self.loaded.snapshot.named,
        )
        job = Job(
            name=spec.name,
            operation=spec.name,
            kind=JobKind.ARRAY if is_array else JobKind.RUN,
            tasks=tasks,
            after=tuple(after),
            dependency=self.site.dependency,
            environment=environment,
            source=interface.source,
            attributes=tuple(sorted(interface.attributes.items())),
            defaults=tuple(sorted(interface.defaults.items())),
            computed=tuple(sorted(interface.computed.items())),
            references=interface.references,
            inputs=tuple(self._binding(spec, edge) for edge in interface.inputs),
            outputs=interface.outputs,
            seed=interface.seed,
            software=interface.software,
            plan_key=key,
            value_key=value_key,
            **granted,
        )
        if self.has_origins:
            self.notes.environment(job, spec)
            self.notes.attributes(interface)
            self.notes.variables(spec)
        if not is_array:
            self.keys[spec.name] = key
            return [job]
        gather = self._gather(job, spec)
        self.keys[spec.name] = gather.plan_key
        return [job, gather]

    def _gather(self, array: Job, spec: OperationSpec) -> Job:
        name = f"{array.operation}.gather"
        job = Job(
            name=name,
            operation=array.operation,
            kind=JobKind.GATHER,
            after=(array.name,),
            dependency=self.site.dependency,
            environment=array.environment,
            outputs=array.outputs,
            plan_key=keys.gather_key(array.plan_key),
            **self._granted(name, self._internal(_GATHER, array.environment)),
        )
        if self.has_origins:
            self.notes.environment(job, spec)
        return job

    def _final(self, jobs: Sequence[Job]) -> Job:
        spec, environment = self._final_environment()
        job = Job(
            name=FINAL_JOB,
            operation="",
            kind=JobKind.FINAL,
            after=last_jobs(jobs),
            dependency="afterany",
            environment=environment,
            **self._granted(FINAL_JOB, self._internal(_FINAL, environment)),
        )
        if self.has_origins:
            self.notes.environment(job, spec)
        return job

    def _final_environment(self) -> tuple[OperationSpec, Environment]:
        """Return the environment of pipeline and site, and an operation that has no other.

        If each has its own, that of one which needs the least: the final job needs no packages.
        """
        specs = self.loaded.pipeline.operations
        found = [(specs[name], item.environment) for name, item in self.loaded.operations.items()]
        general = [(spec, environment) for spec, environment in found if spec.environment is None]

        def needs(item: tuple[OperationSpec, Environment]) -> tuple[bool, bool, int]:
            return bool(item[1].container), bool(item[1].conda), len(item[1].modules)

        return min(general or found, key=needs)

    def _internal(self, resources: Resources, environment: Environment) -> JobRequest:
        """Return what an internal job asks for: the site's least, if no queue takes one core."""
        if self.site.request.memory.policy == "required":
            mib = self.site.defaults.mem_per_node_mib or _MEMORY_MIB
            resources = resources._replace(mem_per_node_mib=mib)
        own = self.site.submit.internal_queue
        asked = QueueRequest(resources=resources, has_dependencies=True, queue=own, full=self.full)
        request = lift(self.site, asked, is_internal=True)
        return JobRequest(queue=request, image=environment.container, is_internal=True)

    def _producer(self, operation: str) -> str:
        """Return the job that publishes the outputs of an operation."""
        is_array = self.loaded.pipeline.operations[operation].map is not None
        return f"{operation}.gather" if is_array else operation

    def _source(self, edge: Edge) -> object:
        if edge.external is not None:
            return self.external_sources[edge.external]
        assert edge.operation is not None
        return keys.produced_source(edge, self.keys[edge.operation])

    def _binding(self, spec: OperationSpec, edge: Edge) -> InputBinding:
        return InputBinding(
            port=edge.port,
            type=edge.type,
            job=self._producer(edge.operation) if edge.operation else None,
            output=edge.output,
            external=edge.external,
            mapped=spec.map is not None and spec.map.over == edge.port,
        )

    def _granted(self, job: str, wanted: JobRequest) -> dict[str, Any]:
        """Return the fields of a job that the site decides."""
        grant = self.requests.grant(wanted)
        resources = wanted.queue.resources
        if self.site.queues and grant.choice.queue is None:
            self.refused.append((job, resources, grant.choice))
        elif grant.problems:
            self._problems(job, grant)
        if self.has_origins:
            self.notes.grant(job, wanted, grant)
        return {
            "resources": resources,
            "directives": grant.pairs,
            "account": grant.account,
            "queue": grant.choice.names,
            "inherits_shell": self.site.submit.export == "ALL",
            "env": grant.env,
            "module_init": grant.given.module_init,
            "module_unload": grant.given.module_unload,
            "modules": tuple(grant.given.modules),
            "container": grant.container,
            "launch": grant.launch,
        }

    def _problems(self, job: str, grant: Grant) -> None:
        spec = self.loaded.pipeline.operations.get(job)
        path = ("operations", job) if spec is not None else ()
        whose = f"operations.{job}" if spec is not None else f"job {job}"
        for message, hint, source in grant.problems:
            at = f"{as_text(self.notes.directive(job, grant, source))}: " if source else ""
            text = f"{whose}: {at}{message}"
            self.sizer.faults.append(self.loaded.document.fault(text, path, hint=hint))

    def _refuse_large_array(self, job: str, tasks: int | None) -> None:
        most = known(self.site.submit.max_array_tasks)
        if tasks is not None and most is not None and tasks > most:
            message = f"operations.{job}.map.shards: site {self.site.name} takes {most} at most"
            path = ("operations", job, "map", "shards")
            self.sizer.faults.append(self.loaded.document.fault(message, path))

    def _raise_faults(self) -> None:
        if self.sizer.faults:
            raise InvalidInputError(self.sizer.faults)
        if self.refused:
            raise no_resources(self.site.name, self.refused)


def with_variables(granted: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables of a job and of its launch, once its operation has set some itself."""
    launch = granted["launch"]
    rest = tuple(pair for pair in launch.env if pair[0] not in own)
    return {
        "env": tuple({**dict(granted["env"]), **own}.items()),
        "launch": launch._replace(env=rest),
    }


def _paid_elsewhere(jobs: Sequence[Job]) -> list[Notice]:
    """Say if an account pays for jobs of dfh's own alone: it may have no hours there."""
    internal = (JobKind.GATHER, JobKind.FINAL)
    paying = {job.account for job in jobs if job.kind not in internal}
    own = {job.account: job.queue for job in jobs if job.kind in internal}
    return [
        Notice(
            "other_account",
            f"account {account} pays in {queue} for the jobs that join parts and close, and for no "
            "operation",
            keys=("submit.internal_queue",),
            next="submit: {internal_queue: NAME} in the site's file, if it has no hours there",
        )
        for account, queue in own.items()
        if paying - {""} and account not in paying
    ]


def last_jobs(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Return the jobs after which no job of a chain can still run, sorted.

    The leaves alone are too few: a leaf with two producers is cancelled as soon as one fails, while
    the other may still run. A job need not be waited for if some job waits for it alone.
    """
    covered = {job.after[0] for job in jobs if len(job.after) == 1}
    return tuple(sorted({job.name for job in jobs} - covered))
