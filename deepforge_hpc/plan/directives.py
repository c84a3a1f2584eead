"""The options that the scheduler reads in a job's script, as pairs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from deepforge_hpc.plan.facts import (
    SITE_UNKNOWN,
    SURELY_FREE,
    Facts,
    disk_of,
    holds,
    node_key,
    node_path,
    usable_cores,
)
from deepforge_hpc.plan.launch import asks_for_gpus, gpu_option
from deepforge_hpc.plan.limits import most_memory
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import MemoryRequest, Queue
from deepforge_hpc.site.request import QUEUE_SELECTORS
from deepforge_hpc.site.unknown import UNKNOWN, known
from deepforge_hpc.site.words import JOINED
from deepforge_hpc.units import format_duration

WARNING_S = 60
"""How long before the end of its time a job is told, so that it can say `interrupted`."""
_NO_MEMORY = ("forbidden", "fixed-per-core", "fixed-per-gpu")
OptionSource = tuple[str | int, ...] | str
"""Path in the site's file; `resources.KEY` or `environment` of the job, `map`; or a text."""


class Problem(NamedTuple):
    """Why a job cannot be asked for like that."""

    text: str
    hint: str
    source: OptionSource = ()
    """What of the site's file is to be corrected, where that is known."""


@dataclass(slots=True, kw_only=True)
class Directives:
    """Options, where each comes from, and what the site would say to them."""

    pairs: dict[str, str] = field(default_factory=dict)
    sources: dict[str, tuple[OptionSource, ...]] = field(default_factory=dict)
    """Several of a list, which several rules may add to."""
    warnings: list[Notice] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def warn(self, kind: str, text: str, *keys: str) -> None:
        """Keep a warning, with the keys of the site's file that it comes from."""
        self.warnings.append(Notice(kind, text, keys=keys))

    def put(self, name: str, value: str, source: OptionSource) -> None:
        """Keep an option; a list grows, and two values of anything else are a problem."""
        before = self.pairs.get(name, value)
        if before != value:
            joined = _joined(name, before, value)
            if joined is None:
                text = f"--{name} is asked for twice: {before or 'alone'} and {value or 'alone'}"
                self.problems.append(Problem(text, "leave one of them out", source))
            value = joined or before
        self.pairs[name] = value
        self.sources[name] = (*self.sources.get(name, ()), source)


def _joined(name: str, before: str, value: str) -> str | None:
    """Return two values of an option as one; None if it is no list, or names a thing twice."""
    between = JOINED.get(name)
    if between is None or (between == "," and "|" in before + value):
        return None
    items = list(dict.fromkeys([*_items(before, between), *_items(value, between)]))
    is_counted = name in ("gres", "licenses")
    things = {item.partition(":")[0] if is_counted else item for item in items}
    return between.join(items) if len(things) == len(items) else None


def _items(value: str, between: str) -> list[str]:
    """Return the items of a list; a choice (a|b) among constraints stays one of them."""
    if "|" in re.sub(r"[\[(][^\[\]()]*[\])]", "", value):
        return [f"({value})"]
    return re.split(rf"{between}(?![^\[(]*[\])])", value)


def build_directives(
    site: SiteSpec,
    facts: Facts,
    *,
    account: str = "",
    tasks: int | None = None,
    header: tuple[tuple[str, str], ...] = (),
    argv: tuple[str, ...] = (),
    is_internal: bool = False,
) -> Directives:
    """Return the options of a job in its queue, in the order of the script.

    `tasks` is None unless it is an array; `header`: options of its container; `argv`: what
    starts its ranks; `is_internal`: no user wrote it, so what the site leaves out is not said.
    """
    built = Directives()
    _size(site, facts, built)
    _gpus(site, facts, built, argv)
    for name, each in facts.resources.gres:
        built.put("gres", f"{name}:{each}", "resources.gres")
    _memory(site, facts, built, is_internal=is_internal)
    if facts.resources.time_s is not None:
        built.put("time", format_duration(facts.resources.time_s), "resources.time_s")
    _selectors(site, facts, built)
    _node_local(site, facts, built)
    for index, rule in enumerate(site.request.extra):
        if holds(rule.when, facts):
            built.put(*rule.directive, ("request", "extra", index))
    for name, value in header:
        built.put(name, value, "environment")
    if tasks is not None:
        built.put("array", f"0-{tasks - 1}", "map")
    if site.submit.cluster:
        built.put("clusters", site.submit.cluster, ("submit", "cluster"))
    # B: the shell of the script is told, which passes it on to the supervisor. Without it Slurm
    # tells the steps of srun alone: neither a job without srun nor the supervisor would hear.
    built.put("signal", f"B:USR1@{warning_s(facts.resources.time_s)}", "dfh: to end in order")
    # A log of an earlier start (a node that failed) is kept; the job is not started again behind
    # our back, whatever the site's habit: `dfh resume` does that, with a number of its own.
    built.put("open-mode", "append", "dfh: no log is lost")
    built.put("no-requeue", "", "dfh: only `dfh resume` starts a job again")
    _check(site, facts, built, account)
    return built


def warning_s(time_s: int | None) -> int:
    """Return how many seconds before its end a job is warned: a quarter of a very short time."""
    if time_s is None:
        return WARNING_S
    whole_minutes = -(-time_s // 60) * 60  # Slurm rounds up
    return min(WARNING_S, whole_minutes // 4)


def _size(site: SiteSpec, facts: Facts, built: Directives) -> None:
    size = facts.resources
    built.put("nodes", str(size.nodes), "resources.nodes")
    if site.request.tasks == "ntasks":
        ranks = size.nodes * size.ntasks_per_node
        built.put("ntasks", str(ranks), "resources.ntasks_per_node")
    else:
        built.put("ntasks-per-node", str(size.ntasks_per_node), "resources.ntasks_per_node")
    # "launch" is enough where a job has whole nodes: elsewhere srun cannot have more cores than the
    # header asked for, and without a launch line the header is the only place.
    is_whole = facts.queue is not None and known(facts.queue.exclusive) is True
    if site.request.cpus_per_task in ("header", "both") or (
        site.request.cpus_per_task == "launch" and not (is_whole and facts.launch != "none")
    ):
        built.put("cpus-per-task", str(size.cpus_per_task), "resources.cpus_per_task")


def _gpus(site: SiteSpec, facts: Facts, built: Directives, argv: tuple[str, ...]) -> None:
    count, ranks = facts.resources.gpus_per_node, facts.resources.ntasks_per_node
    if not count:
        return
    request = site.request.gpu
    option = gpu_option(site, facts)
    if option is None and request.style == "gpus-per-task":
        message = f"site {site.name} wants GPUs to be asked for by rank, and {ranks} ranks a node"
        hint = f"make gpus_per_node a multiple of ntasks_per_node (now {ranks})"
        built.problems.append(Problem(f"{message} cannot share {count}", hint))
    kind = facts.node.gpu_type if facts.node is not None else None
    if request.typed and option is not None and known(kind) is None:
        text = f"site {site.name} wants the type of a GPU, which is not known"
        built.warn(SITE_UNKNOWN, text, node_key(site, facts, "gpu_type"))
    # Whatever the site prefers: what the launch line does not say must stand in the header.
    if option is not None and (request.where != "launch" or not asks_for_gpus(argv)):
        built.put(*option, ("request", "gpu"))


def _memory(site: SiteSpec, facts: Facts, built: Directives, *, is_internal: bool) -> None:
    rule, place = memory_rule(site, facts.queue)
    size, policy = facts.resources, known(rule.policy)
    mib = size.mem_per_node_mib
    if policy in _NO_MEMORY:
        if mib is not None and not is_internal:
            text = _not_asked(site, policy, size.gpus_per_node)
            queue = facts.queue
            owner = f"queues.{queue.name}" if queue and queue.memory else "request"
            built.warn("memory_not_asked", text, f"{owner}.memory.policy")
    elif mib is not None and policy == "per-cpu-only":
        cpus = size.ntasks_per_node * size.cpus_per_task
        built.put("mem-per-cpu", f"{-(-mib // cpus)}M", "resources.mem_per_node_mib")
    elif mib is not None:
        built.put("mem", f"{mib}M", "resources.mem_per_node_mib")
    elif rule.whole_node and facts.has_whole_nodes:
        is_exclusive = facts.queue is not None and known(facts.queue.exclusive)
        if is_exclusive and policy != "required":
            return  # whole nodes come with their memory
        if rule.whole_node == "0" and not is_exclusive:
            # All memory of a node that others may be on is not to be had.
            built.put("exclusive", "", (*place, "whole_node"))
        built.put("mem", rule.whole_node, (*place, "whole_node"))
    elif (policy == "required" or known(rule.share)) and (share := memory_share(facts)):
        _put_share(site, facts, built, share)
    elif policy == "required":
        text = f"site {site.name} refuses jobs without memory"
        built.problems.append(Problem(text, _MISSING["memory"]))


def _put_share(site: SiteSpec, facts: Facts, built: Directives, share: int) -> None:
    """Ask for a share of a node's memory; nobody asked for more than the queue takes."""
    source = _source_of_share(site, facts, built)
    most = most_memory(site, facts.queue, facts.resources) if facts.queue is not None else None
    if most is not None and most < share:
        share, source = most, f"{source}, and no more than its queue takes"
    built.put("mem", f"{share}M", source)


def _not_asked(site: SiteSpec, policy: str | None, gpus: int) -> str:
    with_what = "GPUs" if policy == "fixed-per-gpu" and gpus else "cores"
    what = f"gives memory with the {with_what} of a job"
    if policy == "forbidden":
        what = "takes no --mem"
    why = next((item.why for item in site.request.forbidden if item.flag == "mem"), "")
    return f"site {site.name} {what}: mem_per_node is checked and not asked for" + (
        f" ({why})" if why else ""
    )


def _source_of_share(site: SiteSpec, facts: Facts, built: Directives) -> str:
    """Return of what a share is asked for; with a warning, if nobody told how much there is."""
    source = "the share of its cores or GPUs in"
    if facts.node is None or known(facts.node.mem_requestable_mib) is not None:
        return f"{source} a node"
    key = node_key(site, facts, "mem")
    built.warn(
        SITE_UNKNOWN,
        f"site {site.name}: what a job can have of {key} is unknown: it is asked for its share of "
        f"{SURELY_FREE} %",
        f"{key}_requestable",
    )
    return f"{source} {SURELY_FREE} % of {key}"


def memory_rule(site: SiteSpec, queue: Queue | None) -> tuple[MemoryRequest, tuple[str, ...]]:
    """Return how memory is asked for, and where the file says so: the queue's own rule first."""
    if queue is not None and queue.memory is not None:
        return queue.memory, ("queue", "memory")
    return site.request.memory, ("request", "memory")


def memory_share(facts: Facts) -> int | None:
    """Return the MiB of a node that belong to a job's part of its cores or GPUs, if known."""
    node, size = facts.node, facts.resources
    if node is None:
        return None
    mib = known(node.mem_requestable_mib)
    if mib is None and (built_in := known(node.mem_mib)) is not None:
        mib = built_in * SURELY_FREE // 100
    cores, gpus = usable_cores(node, all_cores=True), known(node.gpus)
    if mib is None or not cores:
        return None
    part = mib * size.ntasks_per_node * size.cpus_per_task // cores
    if gpus:
        part = max(part, mib * size.gpus_per_node // gpus)
    return min(part, mib)


def _selectors(site: SiteSpec, facts: Facts, built: Directives) -> None:
    queue = facts.queue
    if queue is None:
        return
    for name in QUEUE_SELECTORS:
        value = getattr(queue, name)
        if value and name not in site.routing.forbidden:
            built.put(name, value, ("queue", name))
    if queue.reservation:
        built.put("reservation", queue.reservation, ("queue", "reservation"))
    if queue.segment is not None:
        built.put("segment", str(min(queue.segment, facts.resources.nodes)), ("queue", "segment"))


def _node_local(site: SiteSpec, facts: Facts, built: Directives) -> None:
    """Ask for nodes with a disk of their own. Not by --tmp: few sites tell Slurm of their disks."""
    if not facts.resources.node_local:
        return
    disk = disk_of(facts.node)
    if disk is None or not known(disk.path):
        built.warn(
            SITE_UNKNOWN,
            f"whether a node of {site.name} has a disk of its own, and where, is unknown: "
            "$DFH_NODE_LOCAL is not set",
            node_key(site, facts, "local"),
        )
    elif known(disk.is_ram):
        text = f"what lies in {disk.path} of {site.name} counts as the job's memory"
        built.warn("disk_is_memory", text, node_key(site, facts, "local"))
    if disk is not None and disk.constraint:
        built.put("constraint", disk.constraint, (*node_path(site, facts), "local", "constraint"))


def _check(site: SiteSpec, facts: Facts, built: Directives, account: str) -> None:
    """Compare the options with what the site requires and forbids."""
    required = site.request.required
    given = {
        "account": bool(account),
        # Said above already, in other words.
        "memory": not {"mem", "mem-per-cpu"}.isdisjoint(built.pairs)
        or memory_rule(site, facts.queue)[0].policy == "required",
        "gpus": gpu_option(site, facts) is not None,
        # A queue of the file is a whole answer: what it leaves out is not needed there.
        **{name: name in built.pairs or facts.queue is not None for name in QUEUE_SELECTORS},
        **{name: name in built.pairs for name in ("time", "nodes")},
    }
    for name in () if required is UNKNOWN else required:
        if not given[name]:
            hint = _MISSING.get(name, f"its file needs queues with a {name}")
            text = f"site {site.name} refuses jobs without {name}"
            built.problems.append(Problem(text, hint))
    for rule in site.request.forbidden:
        if rule.flag not in built.pairs:
            continue
        why = f": {rule.why}" if rule.why else ""
        text = f"site {site.name} does not want --{rule.flag}{why}"
        if rule.severity == "reject":
            hint = f"the site's file asks for --{rule.flag} and forbids it: correct one of them"
            built.problems.append(Problem(text, hint))
        else:
            built.warn("option_unwanted", text, "request.forbidden")


_MISSING = {
    "account": "--account A, or account: {value: A} in its file",
    "time": "give time, or defaults: {time: ...} in its file",
    "memory": "give mem_per_node, or defaults: {mem_per_node: ...} in its file",
    "gpus": "give gpus_per_node",
}
