"""Where the values of a plan come from: notes for `dfh plan --origins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepforge_hpc.model.plan import Environment
    from deepforge_hpc.model.site import SiteSpec
    from deepforge_hpc.plan.requests import Answer
    from deepforge_hpc.plan.size import Sizer, Source
    from deepforge_hpc.spec.bind import OperationInterface
    from deepforge_hpc.spec.load import Loaded
    from deepforge_hpc.spec.pipeline import OperationSpec


class Notes:
    """Notes on the jobs of one plan."""

    def __init__(self, loaded: Loaded, site: SiteSpec, sizer: Sizer) -> None:
        self.loaded = loaded
        self.site = site
        self.sizer = sizer

    def answer(self, job: str, answer: Answer) -> None:
        """Say why a queue was taken, and where each option and variable comes from."""
        note, at = self.sizer.note, self.loaded.site_origin
        queue = answer.choice.queue
        place: tuple[str | int, ...] = ()
        if queue is not None:
            place = ("queues", self.site.queues.index(queue))
            refused = answer.choice.refusals
            why = "; ".join(f"not {item.queue.name}: {item.reasons}" for item in refused)
            source: Source = f"{at(*place)} ({why})" if why else (at, place)
            note(f"jobs.{job}.queue", queue.name, source)
        for name, value in answer.pairs:
            path = answer.directives.sources[name]
            if isinstance(path, tuple):
                path = (*place, *path[1:]) if path[0] == "queue" else path
                note(f"jobs.{job}.directives.{name}", value, (at, path))
            else:
                text = f"jobs.{job}.{path}" if path.startswith("resources.") else path
                note(f"jobs.{job}.directives.{name}", value, text)
        for name, value in answer.env:
            note(f"jobs.{job}.env.{name}", value, (at, answer.given.origins[name]))
        for name in answer.given.modules:
            note(f"jobs.{job}.modules.{name}", "load", at("modules"))
        if answer.account:
            source = self.loaded.account_origin
            if answer.account != self.loaded.account:
                suffix = at(*place, "account_suffix") if place else at("account", "suffixes")
                source = f"{source}, with the suffix of {suffix}"
            note(f"jobs.{job}.account", answer.account, source)

    def surroundings(self, spec: OperationSpec, environment: Environment) -> None:
        """Say where the environment of an operation comes from."""
        loaded, name = self.loaded, spec.name
        source: Source = "default"
        if spec.environment is not None:
            source = (loaded.origin, ("operations", name, "environment"))
        elif loaded.pipeline.environment is not None:
            source = (loaded.origin, ("environment",))
        elif self.site.environment is not None:
            source = (loaded.site_origin, ("environment",))
        value = environment.container or environment.conda or environment.python
        self.sizer.note(f"jobs.{name}.environment", value, source)

    def attributes(self, interface: OperationInterface) -> None:
        """Say where the attributes of an operation come from."""
        name = interface.name
        overridden = self.loaded.overrides.get(name, {})
        for attribute, value in interface.attributes.items():
            source: Source = (self.loaded.origin, ("operations", name, "attributes", attribute))
            if attribute in overridden:
                source = f"--set {name}.{attribute}"
            self.sizer.note(f"jobs.{name}.attributes.{attribute}", value, source)
