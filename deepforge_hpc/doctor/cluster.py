"""Does the cluster have what the site's file says? Pure: a site, and what the machine said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from deepforge_hpc.doctor.finding import error, ok, warn
from deepforge_hpc.plan.requests import suffixes
from deepforge_hpc.probe.queues import closed
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import Queue

_SKEW_S = 60
_ASK = "see the documentation of your centre, or ask its support"


def check_commands(needed: Sequence[str], which: Callable[[str], str | None]) -> Iterator[Notice]:
    """Look for the programs that dfh runs."""
    missing = [name for name in needed if which(name) is None]
    if missing:
        message = f"not on PATH: {', '.join(missing)}"
        step = "run this on a login node of the cluster (some need `module load slurm` first)"
        yield error("commands", message, step)
    else:
        yield ok("commands", "all that dfh runs are on PATH" if needed else "none are needed")


def check_controller(site: SiteSpec, machine: Machine) -> Iterator[Notice]:
    """See whether a controller answers, and whether it is that of the site."""
    if not machine.config:
        message = f"no controller of Slurm answers: {machine.refusal}"
        yield error("controller", message, machine.way_on)
        return
    names = [item.cluster_name for item in site.identify if item.cluster_name]
    cluster = machine.cluster
    if names and cluster not in names:
        message = f"this is the cluster {cluster}, the site is {' or '.join(names)}"
        yield error("controller", message, "give the site of this machine: dfh site detect")
    else:
        yield ok("controller", f"Slurm {machine.version} of the cluster {cluster} answers")


def check_account(
    site: SiteSpec, machine: Machine, account: str, *, proof: str
) -> Iterator[Notice]:
    """See whether there is an account that pays, and whether it is one's own.

    `proof`: the command that tries it.
    """
    mine = sorted({item.account for item in machine.associations})
    own = f"yours: {', '.join(mine)}" if mine else _ASK
    if account:
        ends = {"", *suffixes(site)}
        if mine and account not in {name + end for name in mine for end in ends}:
            yield error("account", f"{account} is none of your accounts", own)
        elif mine:
            yield ok("account", f"{account} is one of yours")
        else:
            message = f"Slurm does not show whether {account} is yours"
            yield warn("account", message, f"{proof} tries it")
        return
    required = site.account.required
    step = f"--account NAME, or `account:` in ~/.config/deepforge-hpc/settings.yaml; {own}"
    if required == "yes" or (required == "if-several" and len(mine) > 1):
        yield error("account", f"site {site.name} wants an account, and none is given", step)
    elif machine.associations or required == "no" or not machine.config:
        default = machine.default_account
        yield ok("account", f"none given: {default or 'the default'} pays")
    else:
        yield warn("account", "none is given, and Slurm shows none of yours", step)


def check_queues(site: SiteSpec, machine: Machine, *, named: str) -> Iterator[Notice]:
    """See whether the queues of the file are there, and open."""
    if not machine.partitions:
        yield warn("queues", "Slurm shows no partitions", _ASK)
        return
    found = [item for queue in site.queues for item in _queue(queue, machine, named)]
    yield from found
    good = len(site.queues) - len(found)
    if not site.queues:
        default = next((item.name for item in machine.partitions if item.is_default), "")
        if default:
            yield ok("queues", f"the file names none: jobs go to the default, {default}")
        else:
            step = f"write a queue into the file; there are {_names(machine)}"
            yield error("queues", "the file names none, and the cluster has no default", step)
    elif good:
        yield ok("queues", f"{good} of {len(site.queues)} of the file are there and up")


def _queue(queue: Queue, machine: Machine, named: str) -> Iterator[Notice]:
    known = {item.name: item for item in machine.partitions}
    names = queue.partition.split(",") if queue.partition else []
    partition = next((known[name] for name in names if name in known), None)
    level = error if queue.automatic else warn
    compare = f"dfh site diff {named} shows what there is"
    if missing := [name for name in names if name not in known]:
        message = f"{queue.name}: the cluster has no partition {', '.join(missing)}"
        yield level("queues", message, compare)
    elif queue.qos and machine.qos and queue.qos not in {item.name for item in machine.qos}:
        message = f"{queue.name}: the cluster has no QOS {queue.qos}"
        yield level("queues", message, compare)
    elif partition is not None and (why := closed(partition, machine)):
        step = "wait, or ask for another with resources.queue"
        yield warn("queues", f"{queue.name}: {partition.name} is {why}", step)


def _names(machine: Machine) -> str:
    return ", ".join(item.name for item in machine.partitions[:12])


def check_clock(machine: Machine, now: datetime) -> Iterator[Notice]:
    """Compare this host's clock with the controller's; `now` is local time without a zone."""
    try:
        theirs = datetime.fromisoformat(machine.clock)
    except ValueError:
        return
    skew = abs((now - theirs).total_seconds())
    if skew > _SKEW_S:
        message = f"this host and the controller are {skew:.0f} s apart"
        yield warn("clock", message, "times in reports will be wrong by that; tell your centre")
    else:
        yield ok("clock", "this host and the controller agree on the time")
