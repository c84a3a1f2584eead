"""Where the values of a plan come from: notes for `dfh plan --origins`."""

from __future__ import annotations

import shlex

from deepforge_hpc.pipeline.file import OperationSpec
from deepforge_hpc.pipeline.interface import OperationInterface
from deepforge_hpc.pipeline.load import Loaded
from deepforge_hpc.plan.directives import OptionSource
from deepforge_hpc.plan.requests import Grant, JobRequest
from deepforge_hpc.plan.size import Sizer, Source, as_text
from deepforge_hpc.runtime.base.plan import Job, JobKind
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import Binding

_OF_JOB = ("resources.", "environment")
_INTERNAL = "dfh, for a job of its own"


class Notes:
    """Notes on the jobs of one plan."""

    def __init__(self, loaded: Loaded, site: SiteSpec, sizer: Sizer) -> None:
        self.loaded = loaded
        self.site = site
        self.sizer = sizer

    def grant(self, job: str, wanted: JobRequest, grant: Grant) -> None:
        """Say why a queue was taken, and where all comes from that the site is asked for."""
        note, at = self.sizer.note, self.loaded.site_origin
        if wanted.is_internal:
            for key, size in wanted.queue.resources._asdict().items():
                if size is not None and size is not False and size != ():
                    note(f"jobs.{job}.resources.{key}", size, _INTERNAL)
        queue = grant.choice.queue
        if queue is not None:
            place = ("queues", self.site.queues.index(queue))
            refused = grant.choice.refusals
            why = "; ".join(f"not {item.queue.name}: {item.reasons}" for item in refused)
            source: Source = f"{at(*place)} ({why})" if why else (at, place)
            note(f"jobs.{job}.queue", grant.choice.names, source)
        for name, value in grant.pairs:
            found = [self.directive(job, grant, one) for one in grant.directives.sources[name]]
            source = found[0] if len(found) == 1 else ", ".join(map(as_text, found))
            note(f"jobs.{job}.directives.{name}", value, source)
        self._site_environment(job, grant)
        self._launch(job, grant)
        if grant.account:
            source = self.loaded.account_origin
            if grant.account_path[-1:] == ("account",) and grant.account_path[:1] == ("queues",):
                source = at(*grant.account_path)
            elif grant.account != self.loaded.account:
                source = f"{source}, with the suffix of {at(*grant.account_path)}"
            note(f"jobs.{job}.account", grant.account, source)

    def directive(self, job: str, grant: Grant, path: OptionSource) -> Source:
        """Return where an option of the header comes from."""
        if isinstance(path, str):
            if path == "map":
                return self.loaded.origin, ("operations", job, "map", "shards")
            return f"jobs.{job}.{path}" if path.startswith(_OF_JOB) else path
        if path[0] == "queue" and grant.choice.queue is not None:
            path = ("queues", self.site.queues.index(grant.choice.queue), *path[1:])
        return self.loaded.site_origin, path

    def _site_environment(self, job: str, grant: Grant) -> None:
        """Say where variables and modules come from."""
        note, at, given = self.sizer.note, self.loaded.site_origin, grant.given
        for name, value in grant.env:
            note(f"jobs.{job}.env.{name}", value, (at, given.origins[name]))
        if given.module_init:
            note(f"jobs.{job}.module_init", " ".join(given.module_init), (at, ("modules", "init")))
        for name in given.module_unload:
            note(f"jobs.{job}.modules.{name}", "unload", (at, ("modules", "unload")))
        for name, path in given.modules.items():
            note(f"jobs.{job}.modules.{name}", "load", (at, path))

    def _launch(self, job: str, grant: Grant) -> None:
        """Say where the line that starts the ranks, and what starts an image, come from."""
        note, at, launch = self.sizer.note, self.loaded.site_origin, grant.launch
        if launch.argv:
            paths: list[tuple[str, ...]] = [("launchers", launch.name, "argv")]
            if self.site.binding != Binding():
                paths.append(("binding",))
            if self.site.request.gpu.where != "header":
                paths.append(("request", "gpu"))
            if grant.container is not None:
                paths.append(("containers",))
            source = ", ".join(dict.fromkeys(at(*path) for path in paths))
            note(f"jobs.{job}.launch.argv", shlex.join(launch.argv), source)
        for name, value in launch.env:
            of_site = name in self.site.launchers[launch.name].env
            source = f"{self.sizer.scheduler.title}, whose ranks would not get their cores"
            if of_site:
                source = at("launchers", launch.name, "env", name)
            note(f"jobs.{job}.launch.env.{name}", value, source)
        if grant.container is not None:
            words = " ".join((grant.container.runtime, *grant.container.flags))
            note(f"jobs.{job}.container", words, (at, ("containers",)))

    def environment(self, job: Job, spec: OperationSpec) -> None:
        """Say what a job runs in and waits for; `spec`: the operation whose environment it has."""
        loaded, name = self.loaded, job.name
        source: Source = "default"
        if spec.environment is not None:
            source = (loaded.origin, ("operations", spec.name, "environment"))
        elif loaded.pipeline.environment is not None:
            source = (loaded.origin, ("environment",))
        elif self.site.environment is not None:
            source = (loaded.site_origin, ("environment",))
        environment = job.environment
        value = environment.container or environment.conda or environment.python
        self.sizer.note(f"jobs.{name}.environment", value, source)
        for module in environment.modules:
            self.sizer.note(f"jobs.{name}.modules.{module}", "load", source)
        shell: Source = "dfh: nothing of the submitting shell"
        if job.inherits_shell:
            shell = (loaded.site_origin, ("submit", "export"))
        self.sizer.note(f"jobs.{name}.inherits_shell", job.inherits_shell, shell)
        if job.after:
            is_final = job.kind is JobKind.FINAL
            why: Source = "dfh" if is_final else (loaded.site_origin, ("dependency",))
            self.sizer.note(f"jobs.{name}.dependency", job.dependency, why)

    def variables(self, spec: OperationSpec) -> None:
        """Say where the variables come from that the pipeline sets."""
        for name, value in {**self.loaded.pipeline.env, **spec.env}.items():
            place = ("operations", spec.name, "env", name) if name in spec.env else ("env", name)
            self.sizer.note(f"jobs.{spec.name}.env.{name}", value, (self.loaded.origin, place))

    def attributes(self, interface: OperationInterface) -> None:
        """Say where the attributes of an operation come from."""
        name = interface.name
        overridden = self.loaded.overrides.get(name, {})
        for attribute, value in interface.attributes.items():
            source: Source = (self.loaded.origin, ("operations", name, "attributes", attribute))
            if attribute in overridden:
                source = f"--set {name}.{attribute}"
            self.sizer.note(f"jobs.{name}.attributes.{attribute}", value, source)
        for attribute, value in {**interface.defaults, **interface.computed}.items():
            default = f"default ({interface.place})"
            self.sizer.note(f"jobs.{name}.attributes.{attribute}", value, default)
