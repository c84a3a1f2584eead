"""What the cluster lacks of what the site's file says becomes an ERROR with a next step."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from deepforge_hpc.doctor import cluster
from deepforge_hpc.doctor.finding import of_plan
from deepforge_hpc.probe.accounts import Association, Qos
from deepforge_hpc.probe.commands import Partition
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.schedulers.command import Completed
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.schedulers.slurm_errors import parse_error
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import Identify
from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.request import Account, AccountSuffix
from deepforge_hpc.site.unknown import UNKNOWN

MACHINE = Machine(
    version="22.05.8",
    config={"ClusterName": "lab"},
    clock="2026-11-22T12:00:00",
    partitions=(Partition(name="cpu", is_default=True), Partition(name="gpu", is_up=False)),
    qos=(Qos(name="normal"),),
    associations=(Association(account="lab"), Association(account="root")),
    mpi=("none", "pmi2"),
)


def site(**values: Any) -> SiteSpec:
    return SiteSpec(**{"name": "here", "scheduler": "slurm", **values})


def levels(findings: Any) -> list[str]:
    found = list(findings)
    assert all(isinstance(item, Notice) for item in found)
    assert all(item.next for item in found if item.level != "info")
    return [item.level for item in found]


def test_missing_commands_are_an_error() -> None:
    present = {"sbatch", "squeue", "sacct", "scancel", "scontrol", "srun"}
    assert levels(cluster.check_commands(SlurmScheduler.programs, lambda _: None)) == ["error"]
    found = cluster.check_commands(
        SlurmScheduler.programs, lambda name: name if name in present else None
    )
    assert levels(found) == ["info"]


def test_the_controller_of_another_cluster_is_not_the_sites() -> None:
    here, there = (site(identify=(Identify(cluster_name=name),)) for name in ("lab", "other"))
    assert levels(cluster.check_controller(here, MACHINE)) == ["info"]
    assert levels(cluster.check_controller(there, MACHINE)) == ["error"]
    assert levels(cluster.check_controller(here, Machine())) == ["error"]


def test_a_controller_that_refuses_everything_is_told_once() -> None:
    refused = tuple(f"scontrol show {what}: refused" for what in "abc")
    (finding,) = cluster.check_controller(site(), Machine(unanswered=refused))
    said = "no controller of Slurm answers: scontrol show a: refused (and 2 more)"
    assert finding.text == said
    (finding,) = cluster.check_controller(site(), Machine(unanswered=refused[:1]))
    assert finding.text.endswith(": scontrol show a: refused")
    assert finding.next == "The controller is down or busy. Try again in some minutes."


def test_a_host_without_slurm_is_told_as_a_submission_tells_it() -> None:
    said = "scontrol: exit code 1: fatal: Could not establish a configuration source"
    (finding,) = cluster.check_controller(site(), Machine(unanswered=(said,)))
    submitted = parse_error(Completed(argv=("sbatch",), returncode=1, stdout="", stderr=said))
    assert finding.next == submitted.hint
    assert "not set up on this host" in finding.next


def test_what_is_unknown_is_to_be_written_under_its_keys() -> None:
    keys = ("queues.cpu.chaining", "queues.cpu.time", "node_types.cpu.cores")
    warning = Notice("site_unknown", "nobody knows", "cpu", keys)
    expected = f"look it up, and write it into the file of site here: {', '.join(keys)}"
    assert of_plan(warning, "here", "dfh plan x") == warning._replace(next=expected)


def test_other_warnings_are_explained_by_themselves_or_by_the_plan() -> None:
    unused = Notice("unused", "output 'n' is not used")
    assert of_plan(unused, "here", "dfh plan x").next == "dfh plan x"
    told = unused._replace(keys=("a",), next="list it under outputs:")
    assert of_plan(told, "here", "dfh plan x") == told


@pytest.mark.parametrize(
    ("required", "account", "level"),
    [
        ("no", "", "info"),
        ("yes", "", "error"),
        ("if-several", "", "error"),
        ("yes", "lab", "info"),
        ("yes", "lab_g", "info"),
        ("yes", "lab-gpu", "info"),
        ("yes", "lab-cpu", "error"),
        ("no", "stranger", "error"),
        (UNKNOWN, "", "info"),
    ],
)
def test_an_account_is_given_where_it_must_be_and_is_ones_own(
    required: Any, account: str, level: str
) -> None:
    spec = site(
        account=Account(required=required, suffixes=(AccountSuffix(suffix="_g"),)),
        queues=(Queue(name="gpu", account_suffix="-gpu"),),
    )
    assert levels(cluster.check_account(spec, MACHINE, account, proof="dfh")) == [level]


def test_an_account_that_slurm_does_not_show_is_no_error() -> None:
    hidden = Machine(config={"ClusterName": "lab"})
    assert levels(cluster.check_account(site(), hidden, "lab", proof="dfh")) == ["warning"]


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (Queue(name="a", partition="cpu"), ["info"]),
        (Queue(name="a", partition="gone"), ["error"]),
        (Queue(name="a", partition="gone", automatic=False), ["warning"]),
        (Queue(name="a", partition="cpu", qos="gone"), ["error"]),
        (Queue(name="a", partition="gpu"), ["warning"]),
    ],
)
def test_queues_of_the_file_are_looked_for(queue: Queue, expected: list[str]) -> None:
    assert levels(cluster.check_queues(site(queues=(queue,)), MACHINE, named="lab")) == expected


def test_without_queues_the_cluster_must_have_a_default() -> None:
    assert levels(cluster.check_queues(site(), MACHINE, named="lab")) == ["info"]
    without = Machine(partitions=(Partition(name="cpu"),))
    assert levels(cluster.check_queues(site(), without, named="lab")) == ["error"]


@pytest.mark.parametrize(("minute", "level"), [(0, "info"), (5, "warning")])
def test_a_controller_whose_clock_is_wrong_is_told(minute: int, level: str) -> None:
    now = datetime(2026, 11, 22, 12, minute)  # noqa: DTZ001 -- as scontrol prints it
    assert levels(cluster.check_clock(MACHINE, now)) == [level]
