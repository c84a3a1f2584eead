"""What parts of a site say about each other: contradictions that no part shows alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import UsageError
from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.launchers import LAUNCHERS
from deepforge_hpc.site.request import QUEUE_SELECTORS
from deepforge_hpc.site.unknown import Range, known
from deepforge_hpc.site.words import IN_FULL, WRITTEN
from deepforge_hpc.units import format_duration

if TYPE_CHECKING:
    from deepforge_hpc.site.conditions import When
    from deepforge_hpc.site.model import SiteSpec
    from deepforge_hpc.site.queue import NodeType, Queue
    from deepforge_hpc.site.request import Binding

    _Places = list[tuple[Path, tuple[str, ...]]]


def check_site(site: SiteSpec, data: Any, reader: Reader) -> None:
    """Report what contradicts itself; `data` is what the file says, to tell it from defaults."""
    _routing(site, reader)
    _request(site, reader)
    names: set[str] = set()
    defaults = [index for index, queue in enumerate(site.queues) if known(queue.default)]
    for index in defaults[1:]:
        first = site.queues[defaults[0]].name
        reader.fault(("queues", index, "default"), f"{first!r} is the default already")
    for index, queue in enumerate(site.queues):
        at: Path = ("queues", index)
        if queue.name in names:
            reader.fault((*at, "name"), f"a second queue named {queue.name!r}")
        names.add(queue.name)
        _selectors(site, queue, at, reader, is_routed="by" in _section(data, "routing"))
        _tiers(queue, at, reader)
        _node_type(site, queue, at, reader)
    for name, node in site.node_types.items():
        _node(node, ("node_types", name), reader)
    _binding(site, reader)
    _names(site, names, reader)
    for index, entry in enumerate(_list(data, "identify")):
        if entry == {}:
            reader.fault(("identify", index), "an entry without a condition holds on all machines")
    account = site.account
    form = known(account.pattern)
    if account.value and form and not re.fullmatch(form, account.value):
        reader.fault(("account", "value"), f"{account.value!r} does not fit pattern {form!r}")


def _section(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _list(data: Any, name: str) -> list[Any]:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _routing(site: SiteSpec, reader: Reader) -> None:
    by = known(site.routing.by) or ()
    for index, selector in enumerate(site.routing.forbidden):
        if selector in by and reader.document.mark(("routing", "by")) != reader.document.mark():
            reader.fault(("routing", "forbidden", index), f"routing.by asks for {selector}")


def _rejected(site: SiteSpec) -> set[str]:
    return {one.flag for one in site.request.forbidden if one.severity == "reject"}


def _request(site: SiteSpec, reader: Reader) -> None:
    request, rejected = site.request, _rejected(site)
    style, policy = known(request.gpu.style), known(request.memory.policy)
    at: Path = ("request",)
    if style in rejected - {"none"}:  # the other styles are called as their options
        message = f"GPUs are asked for by --{style}, which request.forbidden rejects"
        reader.fault((*at, "gpu"), message, "choose another style, or none")
    if policy == "required" and "mem" in rejected:
        reader.fault((*at, "memory"), "memory is required, and request.forbidden rejects --mem")
    if request.memory.whole_node and policy == "forbidden":
        reader.fault((*at, "memory"), "whole_node is the value of --mem, and memory is forbidden")
    if request.tasks in rejected:
        reader.fault((*at, "tasks"), f"request.forbidden rejects --{request.tasks}")
    if request.cpus_per_task in {"header", "both"} and "cpus-per-task" in rejected:
        message = "request.forbidden rejects --cpus-per-task"
        reader.fault((*at, "cpus_per_task"), message, "write launch or none")
    for index, extra in enumerate(request.extra):
        here = (*at, "extra", index)
        if extra.directive[0] in rejected:
            reader.fault(here, f"request.forbidden rejects --{extra.directive[0]}")
        _extra(site, extra.directive[0], here, reader)
    _required(site, rejected, reader)


def _extra(site: SiteSpec, name: str, here: Path, reader: Reader) -> None:
    """Report an option that dfh writes, or one that the scheduler takes for another."""
    longer = [one for one in (*WRITTEN, *IN_FULL) if name and one.startswith(name)]
    if not longer or name in IN_FULL:
        return
    whole = name if name in WRITTEN else longer[0]
    title = "" if whole == name else _abbreviating(site)
    if whole in WRITTEN and (whole == name or title):
        reader.fault(
            here, f"--{whole} is written by dfh", WRITTEN[whole] and f"say {WRITTEN[whole]}"
        )
    elif title:
        reader.fault(here, f"--{name} is --{whole} to {title}", f"write {whole}")


def _abbreviating(site: SiteSpec) -> str:
    """Return what the scheduler is called if it takes the beginning of an option for all of it."""
    try:
        scheduler = scheduler_named(site.scheduler)
    except UsageError:  # it is not installed here, as who submits is told
        return ""
    return scheduler.title if scheduler.abbreviates else ""


def _required(site: SiteSpec, rejected: Collection[str], reader: Reader) -> None:
    for index, name in enumerate(known(site.request.required) or ()):
        if name == "account" and "required" not in _section(reader.document.value(), "account"):
            continue  # the default is not what the file says
        if problem := _cannot_be_required(site, name, rejected):
            reader.fault(("request", "required", index), f"{name} is required, but {problem}")


def _cannot_be_required(site: SiteSpec, name: str, rejected: Collection[str]) -> str:
    by = known(site.routing.by)
    if name in site.routing.forbidden:
        return "routing.forbidden names it"
    if name in QUEUE_SELECTORS and by is not None and name not in by:
        return "routing.by does not"
    if name == "memory" and known(site.request.memory.policy) == "forbidden":
        return "request.memory forbids it"
    if name == "gpus" and known(site.request.gpu.style) == "none":
        return "request.gpu has no way to ask for them"
    if name == "account" and known(site.account.required) == "no":
        return "account.required is no"
    return "request.forbidden rejects it" if name in rejected else ""


def _selectors(site: SiteSpec, queue: Queue, at: Path, reader: Reader, *, is_routed: bool) -> None:
    given = {name for name in QUEUE_SELECTORS if getattr(queue, name)}
    rejected = _rejected(site)
    for name in QUEUE_SELECTORS:
        if name not in given:
            continue
        if name in site.routing.forbidden:
            reader.fault((*at, name), f"routing.forbidden names {name}")
        elif name in rejected:
            reader.fault((*at, name), f"request.forbidden rejects --{name}")
    wanted = set(known(site.routing.by) or ()) & set(QUEUE_SELECTORS)
    if is_routed and wanted and queue.automatic and not given & wanted:
        options = " or ".join(name for name in QUEUE_SELECTORS if name in wanted)
        message = f"{queue.name!r} has no {options}, by which the site routes jobs"
        reader.fault(at, message, "give one, or write automatic: no")


def _tiers(queue: Queue, at: Path, reader: Reader) -> None:
    before: int | None = 0
    for index, tier in enumerate(queue.tiers):
        here: Path = (*at, "tiers", index)
        low, high = known(tier.nodes.min), known(tier.nodes.max)
        if before is None or (low is not None and low <= before):
            end = "all that follow" if before is None else f"up to {before}"
            reader.fault(here, f"the tier before it covers {end} nodes", "put the smallest first")
        before = high
        if outside := _outside(tier.nodes, queue.nodes):
            reader.fault(here, f"nodes: {outside} of the queue")
        if outside := _outside(tier.time, queue.time, is_time=True):
            reader.fault(here, f"time: {outside} of the queue")


def _outside(inner: Range, outer: Range, *, is_time: bool = False) -> str:
    """Say how a range leaves another one; empty if it does not."""
    write = format_duration if is_time else str
    low, high = known(inner.min), known(inner.max)
    least, most = known(outer.min), known(outer.max)
    if most is not None and high is not None and high > most:
        return f"max {write(high)} is above max {write(most)}"
    if least is not None and low is not None and low < least:
        return f"min {write(low)} is below min {write(least)}"
    return ""


def _node_type(site: SiteSpec, queue: Queue, at: Path, reader: Reader) -> None:
    if not queue.node_type:
        return
    node = site.node_types.get(queue.node_type)
    if node is None:
        hint = nearest(queue.node_type, site.node_types)
        message = f"no node type {shown(queue.node_type)}"
        reader.fault((*at, "node_type"), message, hint or "describe it under node_types")
        return
    cores, smt = known(node.cores), known(node.smt)
    threads = None if cores is None else cores * (smt or 1)
    limits = (
        ("gpus_per_node", queue.gpus_per_node, known(node.gpus), ""),
        ("cpus_per_node", queue.cpus_per_node, threads, ""),
        ("mem_per_node", queue.mem_per_node, known(node.mem_mib), " MiB"),
    )
    for name, limit, most, unit in limits:
        for end, asked in (("max", known(limit.max)), ("min", known(limit.min))):
            if asked is not None and most is not None and asked > most:
                has = f"is more than a node {queue.node_type!r} has: {most}{unit}"
                reader.fault((*at, name), f"{end} {asked}{unit} {has}")
    gpus = known(node.gpus)
    if gpus and site.request.gpu.typed and node.gpu_type is None:
        message = "request.gpu is typed, but the node type has no gpu_type"
        reader.fault(("node_types", queue.node_type), message, "write it, or gpu_type: unknown")


def _node(node: NodeType, at: Path, reader: Reader) -> None:
    pairs = (
        ("usable_cores", node.usable_cores, "cores", node.cores),
        ("mem_requestable", node.mem_requestable_mib, "mem", node.mem_mib),
    )
    for name, part, whole_name, whole in pairs:
        less, more = known(part), known(whole)
        if less is not None and more is not None and less > more:
            reader.fault((*at, name), f"{less} is more than {whole_name}: {more}")
    cores, usable = known(node.cores), known(node.usable_cores)
    strange = [core for core in node.reserved_cores if cores is not None and core >= cores]
    if strange:
        message = f"there is no core {strange[0]}: the node has {cores}, from 0"
        reader.fault((*at, "reserved_cores"), message)
    elif node.reserved_cores and None not in (cores, usable):
        count = len(set(node.reserved_cores))
        if cores != (usable or 0) + count:
            message = f"{count} of {cores} cores are the system's, and {usable} usable"
            reader.fault((*at, "reserved_cores"), message)


def _binding(site: SiteSpec, reader: Reader) -> None:
    binding, at = site.binding, ("binding",)
    style = known(binding.style)
    if "binding.gpu_core_base" in site.unknowns:
        return
    if style in {"mask", "map"} and not binding.gpu_core_base:
        reader.fault(at, f"style {style} needs gpu_core_base: the first core of each GPU's region")
        return
    order = binding.gpu_order
    if not isinstance(order, str) and sorted(order) != list(range(len(order))):
        reader.fault((*at, "gpu_order"), f"not each of the GPUs 0 to {len(order) - 1} once")
    if not binding.gpu_core_base:
        return
    if binding.skip_first >= binding.width:
        reader.fault((*at, "skip_first"), f"nothing is left of a region of {binding.width} cores")
    for problem in _overlaps(binding):
        reader.fault((*at, "gpu_core_base"), problem)
    counts = {known(node.gpus) for node in site.node_types.values()} - {None, 0}
    if counts and len(binding.gpu_core_base) not in counts:
        found = ", ".join(str(count) for count in sorted(filter(None, counts)))
        message = f"{len(binding.gpu_core_base)} regions, but the node types have {found} GPUs"
        reader.fault((*at, "gpu_core_base"), message)


def _overlaps(binding: Binding) -> Iterator[str]:
    bases = sorted(binding.gpu_core_base)
    for first, second in itertools.pairwise(bases):
        if second - first < binding.width:
            yield f"the regions that begin at core {first} and {second} overlap"


def _names(site: SiteSpec, queues: Collection[str], reader: Reader) -> None:
    """Report what names a queue or a launcher that there is not."""
    rules: list[tuple[Path, When]] = [
        *((("request", "extra", n), one.when) for n, one in enumerate(site.request.extra)),
        *((("account", "suffixes", n), one.when) for n, one in enumerate(site.account.suffixes)),
        *((("environment_sets", name), one.when) for name, one in site.environment_sets.items()),
    ]
    places: _Places = [
        (("binding", "except_queues"), site.binding.except_queues),
        *((("routing", "together", n), names) for n, names in enumerate(site.routing.together)),
        *(((*at, "when", "queues"), when.queues) for at, when in rules),
        *(
            (("filesystems", index, "not_on_queues"), one.not_on_queues)
            for index, one in enumerate(known(site.filesystems) or ())
        ),
    ]
    if queue := known(site.transfer.queue):
        places.append((("transfer", "queue"), (queue,)))
    if site.submit.internal_queue:
        places.append((("submit", "internal_queue"), (site.submit.internal_queue,)))
    if queues:
        _known(places, queues, "queue", reader)
    launches = [((*at, "when", "launch"), when.launch) for at, when in rules]
    _known(launches, {*LAUNCHERS, *site.launchers}, "launcher", reader)


def _known(places: _Places, names: Collection[str], what: str, reader: Reader) -> None:
    for at, found in places:
        for name in found:
            if name not in names:
                reader.fault(at, f"no {what} {shown(name)}", nearest(name, names))
