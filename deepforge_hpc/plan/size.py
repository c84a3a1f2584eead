"""How large each job is: what the operation asks for, the site's defaults, what the site lacks."""

from __future__ import annotations

import math
from collections.abc import Callable

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.object import keys_of
from deepforge_hpc.pipeline.file import OperationSpec, ResourcesSpec
from deepforge_hpc.pipeline.load import Loaded
from deepforge_hpc.plan.facts import SITE_UNKNOWN, node_of, usable_cores, whole_cores
from deepforge_hpc.plan.limits import QueueRequest
from deepforge_hpc.plan.queues import choose_queue
from deepforge_hpc.plugins.scheduler import Scheduler
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import Origin, Resources
from deepforge_hpc.runtime.base.text import listed
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.request import LaunchMethod
from deepforge_hpc.site.unknown import known
from deepforge_hpc.units import format_duration

Source = str | tuple[Callable[..., str], tuple[str | int, ...]]
"""Where a value comes from: text, or who knows it and of which path (looking it up takes time)."""

# Field of Resources -> key in the files.
_KEYS = {field.name: name for name, field in keys_of(ResourcesSpec).items()}


class Sizer:
    """Sizes operations one by one; keeps warnings, faults and origins."""

    def __init__(self, loaded: Loaded, site: SiteSpec, scheduler: Scheduler) -> None:
        self.loaded = loaded
        self.site = site
        self.scheduler = scheduler
        self._notes: list[tuple[str, object, Source]] = []
        self.faults: list[Fault] = []
        self._changes: dict[tuple[str, str, str, str], list[str]] = {}

    def size(self, spec: OperationSpec, request: QueueRequest) -> tuple[Resources, str]:
        """Return an operation's resources and launcher; `request`: what else it asks of a queue."""
        clamp, defaults = self.site.clamp, self.site.defaults
        launcher = self._launcher(spec)
        gpus = self._value(spec, "gpus_per_node", 0, clamp.gpus_per_node)
        nodes = self._value(spec, "nodes", 1, clamp.nodes)
        cuts_ranks = spec.launch not in (None, "none") and launcher.clamp
        has_ranks = spec.launch not in (None, "none") and not launcher.clamp
        ranks = max(1, gpus) if has_ranks else 1
        most_ranks = 1 if cuts_ranks else clamp.cpus_per_node
        by_gpu = "one rank a GPU" if ranks > 1 else "default"
        ntasks = self._value(spec, "ntasks_per_node", ranks, most_ranks, by_gpu)
        cores = clamp.cpus_per_node and max(1, clamp.cpus_per_node // ntasks)
        resources = Resources(
            nodes=1 if cuts_ranks else nodes,
            ntasks_per_node=ntasks,
            gpus_per_node=gpus,
            mem_per_node_mib=self._memory(spec),
            time_s=self._optional(spec, "time_s", defaults.time_s),
            node_local=bool(spec.resources.node_local),
            gres=self._gres(spec),
        )
        asked = request._replace(resources=resources)
        cpus = self._cpus(spec, asked, cores)
        resources = resources._replace(cpus_per_task=cpus)
        if resources.node_local:
            place = ("operations", spec.name, "resources", "node_local")
            self.note(f"jobs.{spec.name}.resources.node_local", "true", (self.loaded.origin, place))
        return resources, self._launch(spec, launcher, resources)

    def warnings(self) -> list[Notice]:
        """Return what was cut down, one notice a cut."""
        return [
            Notice(kind, f"{listed(names, 4)}: {change}", ", ".join(names), (key,), advice)
            for (kind, key, change, advice), names in self._changes.items()
        ]

    def raised(self, spec: OperationSpec, asked: Resources, request: QueueRequest) -> None:
        """Say what was raised to the least that a queue takes."""
        queue = choose_queue(self.site, request).queue
        if queue is None:
            return
        least = self.loaded.site_origin("queues", self.site.queues.index(queue))
        for field, value in request.resources._asdict().items():
            before = getattr(asked, field)
            if value == before:
                continue
            name = _KEYS[field]
            words = [_shown(field, each) for each in (before, value)]
            change = f"{name} {words[0]} -> {words[1]}, the least that queue {queue.name} takes"
            self._change("raised", spec, f"resources.{name}", change)
            key = f"jobs.{spec.name}.resources.{field}"
            notes = {note[0]: note[2] for note in self._notes}
            self._notes = [note for note in self._notes if note[0] != key]
            source = f" ({as_text(notes[key])})" if key in notes else ""
            self.note(key, value, f"{least} instead of {words[0]}{source}")

    def note(self, key: str, value: object, source: Source) -> None:
        """Keep where a value comes from."""
        self._notes.append((key, value, source))

    def origins(self) -> tuple[Origin, ...]:
        """Return where each value comes from."""
        return tuple(
            Origin(key=key, value=str(value), source=as_text(source))
            for key, value, source in self._notes
        )

    def _launcher(self, spec: OperationSpec) -> LaunchMethod:
        name = spec.launch or "none"
        launcher = self.site.launchers.get(name)
        if launcher is not None:
            return launcher
        if name != "none":
            message = f"operations.{spec.name}.launch: site {self.site.name} has no launcher {name}"
            self._fault(spec, message, f"add launchers: {{{name}: {{argv: [...]}}}} to its file")
        return LaunchMethod()

    def _cpus(self, spec: OperationSpec, request: QueueRequest, most: int | None) -> int:
        """Return the cores a rank: as asked, else as the site says, else its share of the node."""
        source: Source = (self.loaded.site_origin, ("defaults", "cpus_per_task"))
        cpus = self.site.defaults.cpus_per_task
        if cpus is None:
            cpus, source = 1, "default"
            if spec.resources.cpus_per_task is None and (share := self._share(request)):
                what = "as its GPUs are" if request.resources.gpus_per_node else "as it is whole"
                cpus, source = share, f"the cores of a node, shared out {what}"
            elif spec.resources.cpus_per_task is None and (queue := self._in_doubt(request)):
                doubt = f"whether queue {queue} gives whole nodes is unknown, so a rank gets 1 core"
                key = f"queues.{queue}.exclusive"
                self._change(SITE_UNKNOWN, spec, key, doubt, "cpus_per_task asks for more")
        ntasks = request.resources.ntasks_per_node
        room = self._room(ntasks)
        if room is not None and room < cpus:
            cpus, source = room, f"the cores of a node, for {ntasks} ranks"
        return self._value(spec, "cpus_per_task", cpus, most, source)

    def _share(self, request: QueueRequest) -> int:
        """Return the cores a rank that go with its GPUs, or its whole node, where the job goes.

        0: neither, or nobody knows. Where a job with so many cores would go elsewhere, it gets the
        least of all shares; without GPUs, none. Whole nodes are also taken where no queue takes
        one core a rank, and several of them before a queue of which nobody knows.
        """
        size = request.resources
        name = request.queue
        queues = [q for q in self.site.queues if q.name == name or (not name and q.automatic)]
        shares = {
            queue.name if queue else "": self._share_of(queue, size) for queue in queues or (None,)
        }
        least = min(filter(None, shares.values()), default=0)
        taken = self._taken(request, least if size.gpus_per_node else min(least, 1))
        share = shares.get(taken, 0)
        if share and self._taken(request, share) == taken:
            return share
        if size.gpus_per_node:
            return least
        if taken and (size.nodes == 1 or not self._in_doubt(request)):
            return 0
        return next(
            (each for name, each in shares.items() if self._taken(request, each) == name), 0
        )

    def _in_doubt(self, request: QueueRequest) -> str:
        """Return the queue where nobody knows whether several ranks leave cores of theirs idle."""
        queue = choose_queue(self.site, request).queue
        size = request.resources
        if queue is None or size.gpus_per_node or size.world_size == 1:
            return ""
        node = node_of(self.site, queue)
        cores = usable_cores(node, surely=True) if node is not None else None
        is_full = cores is not None and cores < 2 * size.ntasks_per_node
        return "" if is_full or known(queue.exclusive) is not None else queue.name

    def _taken(self, request: QueueRequest, cpus: int) -> str:
        if not cpus:
            return ""
        size = request.resources._replace(cpus_per_task=cpus)
        queue = choose_queue(self.site, request._replace(resources=size)).queue
        return queue.name if queue is not None else ""

    def _share_of(self, queue: Queue | None, size: Resources) -> int:
        node = node_of(self.site, queue)
        cores = usable_cores(node, surely=True) if node is not None else None
        gpus = known(node.gpus) if node is not None else None
        if cores and not size.gpus_per_node:
            if queue is None or not known(queue.exclusive):
                return 0
            step = known(queue.cpu_multiple) or 1
            step //= math.gcd(step, size.world_size)
            share = whole_cores(node, max(1, cores // size.ntasks_per_node))
            return share - share % step
        if not cores or not gpus or size.gpus_per_node > gpus:
            return 0
        share = max(1, cores * size.gpus_per_node // gpus // size.ntasks_per_node)
        return whole_cores(node, share)

    def _room(self, ntasks: int) -> int | None:
        """Return how many cores a rank can have if so many share the largest kind of node."""
        for all_cores in (False, True):
            found = [usable_cores(n, all_cores=all_cores) for n in self.site.node_types.values()]
            most = max((count for count in found if count is not None), default=None)
            if most is None:
                return None
            if most >= ntasks:
                return most // ntasks
        return 1

    def _launch(self, spec: OperationSpec, launcher: LaunchMethod, resources: Resources) -> str:
        name = spec.launch or "none"
        key = f"jobs.{spec.name}.launch"
        asked: Source = "default"
        if spec.launch:
            asked = (self.loaded.origin, ("operations", spec.name, "launch"))
        if name == "none":
            self.note(key, name, asked)
            if resources.world_size > 1:
                cut = "launch: none starts one rank, whatever nodes and tasks it has"
                self._cut(spec, "launch", cut)
            return "none"
        if launcher.clamp:
            source = self.loaded.site_origin("launchers", name, "clamp")
            self.note(key, "none", f"{source} instead of {name} ({as_text(asked)})")
            cut = f"launch {name} -> one rank, as site {self.site.name} has no {name}"
            self._cut(spec, "launch", cut)
            return "none"
        if launcher.max_nodes is not None and resources.nodes > launcher.max_nodes:
            message = (
                f"operations.{spec.name}.launch: {name} starts ranks on at most "
                f"{launcher.max_nodes} node(s) of site {self.site.name}, not on {resources.nodes}"
            )
            self._fault(spec, message, f"use fewer nodes, or another launcher than {name}")
        self.note(key, name, asked)
        return name

    def _value(
        self,
        spec: OperationSpec,
        field: str,
        default: int,
        most: int | None,
        default_source: Source = "default",
    ) -> int:
        asked, source = self._asked(spec, field)
        value = asked
        if value is None:
            value, source = default, default_source
        if most is not None and value > most:
            cut = f"{field} {value} -> {most}, as site {self.site.name} has no more"
            self._cut(spec, f"resources.{field}", cut)
            clamped = self.loaded.site_origin("clamp")
            source = f"{clamped} instead of {value} ({as_text(source)})"
            value = most
        self.note(f"jobs.{spec.name}.resources.{field}", value, source)
        return value

    def _optional(self, spec: OperationSpec, field: str, default: int | None) -> int | None:
        asked, source = self._asked(spec, field)
        if asked is None and default is not None:
            source = (self.loaded.site_origin, ("defaults", _KEYS[field]))
        value = default if asked is None else asked
        if value is not None:
            self.note(f"jobs.{spec.name}.resources.{field}", value, source)
        return value

    def _memory(self, spec: OperationSpec) -> int | None:
        """Return the memory a node; where nobody holds a job to it, the user must learn it."""
        asked, source = self._asked(spec, "mem_per_node_mib")
        if asked is None or self.scheduler.enforces_memory:
            return self._optional(spec, "mem_per_node_mib", self.site.defaults.mem_per_node_mib)
        unenforced = f"not enforced by site {self.site.name}"
        cut = f"mem_per_node is {unenforced}, which holds jobs to cores and time alone"
        self._cut(spec, "resources.mem_per_node", cut)
        if not isinstance(source, str):
            origin, path = source
            source = (lambda *place: f"{origin(*place)}, {unenforced}", path)
        self.note(f"jobs.{spec.name}.resources.mem_per_node_mib", asked, source)
        return asked

    def _gres(self, spec: OperationSpec) -> tuple[tuple[str, int], ...]:
        asked = spec.resources.gres or {}
        if asked and not self.scheduler.enforces_memory:
            cut = f"gres {', '.join(asked)} is left out: site {self.site.name} has none"
            self._cut(spec, "resources.gres", cut)
            return ()
        for name, each in asked.items():
            place = ("operations", spec.name, "resources", "gres", name)
            self.note(
                f"jobs.{spec.name}.resources.gres", f"{name}:{each}", (self.loaded.origin, place)
            )
        return tuple(sorted(asked.items()))

    def _asked(self, spec: OperationSpec, field: str) -> tuple[int | None, Source]:
        asked: int | None = getattr(spec.resources, field)
        if asked is None:
            return None, "default"
        key = _KEYS[field]
        if key in self.loaded.sizes.get(spec.name, {}):
            return asked, f"--set {spec.name}.resources.{key}"
        return asked, (self.loaded.origin, ("operations", spec.name, "resources", key))

    def _cut(self, spec: OperationSpec, key: str, cut: str) -> None:
        self._change("cut_down", spec, key, cut)

    def _change(
        self, kind: str, spec: OperationSpec, key: str, change: str, advice: str = ""
    ) -> None:
        names = self._changes.setdefault((kind, key, change, advice), [])
        if spec.name not in names[-1:]:
            names.append(spec.name)

    def _fault(self, spec: OperationSpec, message: str, hint: str) -> None:
        document = self.loaded.document
        self.faults.append(document.fault(message, ("operations", spec.name, "launch"), hint=hint))


def _shown(field: str, value: int | None) -> str:
    if value is None:
        return "none"
    if field == "time_s":
        return format_duration(value)
    return f"{value}MiB" if field.endswith("_mib") else str(value)


def as_text(source: Source) -> str:
    """Return where a value comes from, looked up."""
    return source if isinstance(source, str) else source[0](*source[1])
