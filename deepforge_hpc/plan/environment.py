"""Variables and modules that a site gives a job, before those of its own environment. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deepforge_hpc.plan.facts import SITE_UNKNOWN, Facts, disk_of, holds, node_path
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.unknown import known

_OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}
"""Libraries that would wait for a network that is not there."""
_INIT = {"purge": ("purge",), "force-purge": ("--force", "purge"), "reset": ("reset",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEnvironment:
    """What the site gives a job."""

    env: Mapping[str, str]
    module_init: tuple[str, ...]
    """Words after `module` with which it starts; empty: what is loaded stays."""
    module_unload: tuple[str, ...]
    modules: Mapping[str, tuple[str, ...]]
    """In load order, without those of the job's environment; each with its path in the file."""
    origins: Mapping[str, tuple[str, ...]]
    """Path in the site's file of each variable."""


def site_environment(site: SiteSpec, facts: Facts, *, container: bool = False) -> SiteEnvironment:
    """Return the variables and modules of a job."""
    env, origins = _network(site)
    modules: dict[str, tuple[str, ...]] = dict.fromkeys(site.modules.load, ("modules", "load"))

    def load(names: Iterable[str], *path: str) -> None:
        for name in names:
            modules.setdefault(name, path)

    for name, item in site.environment_sets.items():
        now = dataclasses.replace(facts, env=env, software=(*facts.software, *modules))
        if not holds(item.when, now):
            continue
        env = {**env, **item.env}
        origins.update({key: ("environment_sets", name, "env", key) for key in item.env})
        load(item.modules, "environment_sets", name, "modules")
    disk = disk_of(facts.node)
    if facts.resources.node_local and disk is not None and (path := known(disk.path)):
        env["DFH_NODE_LOCAL"] = path
        origins["DFH_NODE_LOCAL"] = (*node_path(site, facts), "local", "path")
    if site.network.compute_internet == "proxy-module" and site.network.module:
        load((site.network.module,), "network", "module")
    launcher = site.launchers.get(facts.launch)
    if launcher is not None:
        load(launcher.modules, "launchers", facts.launch, "modules")
    if container:
        load(site.containers.modules, "containers", "modules")
    return SiteEnvironment(
        env=env,
        module_init=_INIT.get(known(site.modules.init) or "none", ()),
        module_unload=site.modules.unload,
        modules=modules,
        origins=origins,
    )


def unsaid(
    site: SiteSpec, queues: Iterable[int], *, has_gpus: bool, has_images: bool
) -> list[Notice]:
    """Return warnings on what is unknown and would stand in a script, and what is done without it.

    `queues` are the indices of those that jobs go to. A section of which all is unknown is as if
    each part of it were.
    """
    own = "|".join(map(str, queues)) or "none"
    places = {
        "GPUs are asked for by --gres": r"request(\.gpu(\.style)?)?" if has_gpus else "",
        "memory is asked for as a job says": (
            rf"request|(request|queues\[({own})\])\.memory(\.policy)?"
        ),
        "apptainer is tried": r"containers(\.runtime)?" if has_images else "",
        "no queue is chosen, and no limit checked": "queues",
        "what a job asks of a node is not checked": r"node_types(\.[^.]+)?",
        "left out of the scripts": (
            r"(account\.suffixes|binding|containers\.(bind|flags|mpi|modules)|dependency|environment|"
            r"environment_sets|launchers|modules|network\.(proxy|module)|"
            r"request\.(memory\.\w+|required|forbidden|extra|tasks|cpus_per_task)|"
            r"submit\.(cluster|export|slurm_conf)|"
            rf"queues\[({own})\]\.(partition|qos|constraint|account_suffix|memory\.\w+))\b.*"
        ),
    }
    notices = []
    rest = list(site.unknowns)
    for done, place in places.items():
        if found := [path for path in rest if re.fullmatch(place, path)]:
            text = f"site {site.name}: unknown, and {done}: {', '.join(found)}"
            notices.append(Notice(SITE_UNKNOWN, text, keys=tuple(found)))
            rest = [path for path in rest if path not in found or path == "request"]
    return notices


def _network(site: SiteSpec) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    network = site.network
    env: dict[str, str] = {}
    if network.compute_internet in ("no", "proxy-module"):
        env.update(_OFFLINE)
    origins: dict[str, tuple[str, ...]] = dict.fromkeys(env, ("network", "compute_internet"))
    env.update(network.proxy)
    origins.update({key: ("network", "proxy", key) for key in network.proxy})
    return env, origins
