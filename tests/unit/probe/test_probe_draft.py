"""A draft says what Slurm shows, `unknown` for the rest, and is a valid site file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import probing
from deepforge_hpc.api.probing import Probed
from deepforge_hpc.cli.main import main
from deepforge_hpc.files import yaml12
from deepforge_hpc.probe import accounts, commands
from deepforge_hpc.probe.compare import differences
from deepforge_hpc.probe.draft import draft, hidden_rules, module_notes, site_name, slurm_notes
from deepforge_hpc.probe.queues import together
from deepforge_hpc.probe.read import Machine, read_machine
from deepforge_hpc.probe.write import site_yaml
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.schedulers.command import CommandRunner
from deepforge_hpc.site.find import load_site, site_folders
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import SlurmFacts
from deepforge_hpc.site.sourced import sections_without_source
from deepforge_hpc.site.unknown import UNKNOWN

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "slurm"
DATE = "2026-11-22"


def recorded(version: str) -> Machine:
    """Return the test cluster as a version of Slurm showed it."""

    def output(name: str) -> str:
        return (OUTPUTS / version / f"{name}.txt").read_text(encoding="utf-8")

    return Machine(
        version=commands.parse_version(output("version")),
        config=commands.parse_config(output("config")),
        partitions=commands.parse_partitions(output("partitions")),
        nodes=commands.parse_nodes(output("nodes")),
        qos=accounts.parse_qos(output("qos")),
        associations=accounts.parse_associations(output("assoc"), "lab"),
        default_account="lab",
        mpi=commands.parse_mpi(output("mpi")),
        programs=("srun", "mpirun"),
    )


@pytest.fixture
def lab() -> Machine:
    return recorded("22.05.8")


def loaded(data: dict[str, Any], folder: Path, warnings: Any = (), notes: Any = ()) -> SiteSpec:
    path = folder / f"{data['site']}.yaml"
    path.write_text(site_yaml(data, warnings, notes), encoding="utf-8")
    return load_site(str(path), site_folders(folder, None, {})).spec


def test_the_draft_is_a_site_file_that_says_what_slurm_shows(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    assert site.slurm.version == "22.05.8"
    assert [queue.name for queue in site.queues] == ["cpu", "gpu", "cpu-short", "cpu-tiny"]
    cpu, gpu, short, tiny = site.queues
    assert (cpu.nodes.max, cpu.time.max, cpu.automatic) == (4, 86400, True)
    assert (gpu.nodes.max, gpu.time.max, gpu.node_type) == (2, 7200, "gpu-fake")
    assert (short.qos, short.time.max, short.automatic) == ("short", 600, False)
    assert tiny.jobs.submitted is not None
    assert tiny.jobs.submitted.max == 3
    assert site.node_types["gpu-fake"].gpus == 2
    assert site.submit.max_array_tasks == 2001
    assert site.slurm.mpi_default == "none"
    # Else the cores that go with a job's GPUs would not be asked for.
    assert site.defaults.cpus_per_task is None
    assert site.launchers["mpi"].argv[:2] == ("srun", "--mpi=pmix")


@pytest.mark.parametrize(("version", "plugin"), [("24.11.5", "pmix"), ("26.05.5", "pmi2")])
def test_newer_versions_give_drafts_too(version: str, plugin: str, tmp_path: Path) -> None:
    machine = recorded(version)
    site = loaded(draft(machine, name="newer", date=DATE), tmp_path)
    assert site.slurm.version == version
    assert [queue.name for queue in site.queues][:2] == ["cpu", "gpu"]
    assert [queue.exclusive for queue in site.queues[:2]] == [False, True]
    big = next(queue for queue in site.queues if queue.qos == "big")
    assert (big.nodes.max, big.gpus.min, big.gpus.max, big.time.max) == (3, 1, 2, 6 * 3600)
    assert site.launchers["mpi"].argv[1] == f"--mpi={plugin}"
    assert differences(site, machine) == ()


def test_what_slurm_cannot_know_is_unknown(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    assert site.filesystems is UNKNOWN
    assert site.network.compute_internet is UNKNOWN
    assert site.login.policy is UNKNOWN
    assert site.transfer.dtn is UNKNOWN
    assert site.containers.runtime is UNKNOWN
    assert site.submit.max_queued is UNKNOWN
    assert {queue.chaining for queue in site.queues} == {UNKNOWN}
    assert site.binding.style is UNKNOWN
    assert site.request.gpu.style == "gres"
    bare = loaded(draft(Machine(), name="bare", date=DATE), tmp_path)
    assert bare.request.gpu.style is UNKNOWN
    assert bare.accounting.limits_command is UNKNOWN


def test_modules_tell_a_name_of_the_machine_and_what_a_person_may_load(
    lab: Machine, tmp_path: Path
) -> None:
    names = (OUTPUTS / "modules" / "lmod-8.7.60.txt").read_text(encoding="utf-8")
    machine = dataclasses.replace(
        lab,
        modules=commands.parse_modules(names),
        variables={"LMOD_SYSTEM_NAME": "lab-system", "LMOD_VERSION": "8.7.60"},
    )
    data = draft(machine, name="x", date=DATE)
    assert data["identify"] == [
        {"cluster_name": "lab"},
        {"env": {"LMOD_SYSTEM_NAME": "lab-system"}},
    ]
    assert data["modules"] == {"init": "unknown"}
    (note,) = module_notes(machine)
    loaded(data, tmp_path, notes=(note,))
    seen = "cuda/12.4 gcc/13.2.0 gcc/14.1.0 openmpi/5.0.3 python/3.11"
    assert note == f"modules of Lmod 8.7.60: {seen}"
    assert f"# {note}\n" in site_yaml(data, (), (note,))
    assert module_notes(lab) == ()


def test_each_fact_names_its_command_and_day(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    (queues,) = site.facts["queues"]
    partitions, qos, mine = queues.source.removeprefix("probe: ").split("; ")
    assert (partitions, qos) == ("scontrol -a show -o partitions", "sacctmgr -nP show qos")
    assert mine == "sacctmgr -nP show assoc user=$USER"
    assert (queues.date, queues.confidence) == (DATE, "L")
    for machine in (lab, Machine()):
        text = site_yaml(draft(machine, name="x", date=DATE))
        assert list(sections_without_source(yaml12.load(text, "x.yaml"))) == []


def test_a_draft_of_nothing_is_still_a_site_file(tmp_path: Path) -> None:
    site = loaded(draft(Machine(), name="bare", date=DATE), tmp_path)
    assert site.queues == ()
    assert site.slurm.version is UNKNOWN
    assert site.account.required is UNKNOWN


@pytest.mark.parametrize(
    "gres", ["gpu:H100:8", "gpu:a100_1g.5gb:7", "gpu:nvidia_h100_80gb_hbm3:4(S:0-1)", "gpu:2"]
)
def test_types_of_gpus_become_kinds_of_nodes(lab: Machine, gres: str, tmp_path: Path) -> None:
    text = f"NodeName=a CPUTot=8 RealMemory=9 Gres={gres} Partitions=gpu\n"
    nodes = commands.parse_nodes(text + text.replace("RealMemory=9", "RealMemory=4096"))
    site = loaded(draft(dataclasses.replace(lab, nodes=nodes), name="x", date=DATE), tmp_path)
    assert len(site.node_types) == 2


def test_partitions_of_a_large_centre_become_queues(lab: Machine, tmp_path: Path) -> None:
    owens = (OUTPUTS / "owens" / "partitions.txt").read_text(encoding="utf-8")
    machine = dataclasses.replace(lab, partitions=commands.parse_partitions(owens), qos=())
    site = loaded(draft(machine, name="owens", date=DATE), tmp_path)
    queues = {queue.name: queue for queue in site.queues}
    assert list(queues) == ["gpubackfill-parallel", "batch", "hugemem-parallel"]
    first = queues["gpubackfill-parallel"]
    assert (first.nodes.min, first.nodes.max, first.exclusive) == (2, 81, True)
    assert (queues["batch"].access, queues["batch"].automatic) == (
        "not up when it was looked at",
        False,
    )
    assert queues["hugemem-parallel"].automatic is False


def test_a_partition_without_a_limit_has_an_unknown_one(lab: Machine, tmp_path: Path) -> None:
    endless = dataclasses.replace(lab.partitions[0], max_time_s=None)
    machine = dataclasses.replace(lab, partitions=(endless,), qos=())
    site = loaded(draft(machine, name="x", date=DATE), tmp_path)
    assert site.queues[0].time.max is UNKNOWN


def test_a_partition_that_is_not_for_me_is_only_taken_by_name(lab: Machine, tmp_path: Path) -> None:
    theirs = dataclasses.replace(lab.partitions[0], accounts=("vip",))
    roots = dataclasses.replace(lab.partitions[1], name="root", is_open=False)
    machine = dataclasses.replace(lab, partitions=(theirs, lab.partitions[1], roots), qos=())
    site = loaded(draft(machine, name="x", date=DATE), tmp_path)
    assert [(item.name, item.automatic) for item in site.queues] == [("gpu", True), ("cpu", False)]
    assert site.queues[1].access == "for the accounts vip"


def test_a_partition_that_denies_all_of_my_accounts_is_only_taken_by_name(lab: Machine) -> None:
    def access(rows: str) -> list[tuple[bool, str | None]]:
        text = "PartitionName=a State=UP DenyAccounts=lab,ai\n"
        machine = dataclasses.replace(
            lab,
            partitions=commands.parse_partitions(text),
            associations=accounts.parse_associations(rows),
            qos=(),
        )
        queues = draft(machine, name="x", date=DATE)["queues"]
        return [(queue.get("automatic", True), queue.get("access")) for queue in queues]

    assert access("lab|lab||normal||\n") == [(False, "not for your accounts")]
    assert access("lab|lab||normal||\nlab|other||normal||\n") == [(True, None)]
    denied = "lab|lab||normal||\nlab|ai||normal||\n"
    assert access(denied) == [(False, "not for your accounts")]
    assert access("") == [(True, None)]


@pytest.mark.parametrize(
    ("rule", "drafted"),
    [
        ("AllowQos=ALL", True),
        ("AllowQos=normal,short", True),
        ("AllowQos=normal", False),
        ("AllowQos=ALL DenyQos=short", False),
        ("AllowQos=ALL DenyQos=tiny", True),
    ],
)
def test_a_qos_that_a_partition_does_not_take_is_no_queue_of_it(
    lab: Machine, rule: str, drafted: bool
) -> None:
    text = f"PartitionName=a State=UP Default=YES {rule}\n"
    machine = dataclasses.replace(lab, partitions=commands.parse_partitions(text))
    names = [queue["name"] for queue in draft(machine, name="x", date=DATE)["queues"]]
    assert ("a-short" in names) == drafted


def test_what_a_job_can_have_of_a_node_is_the_least_of_node_and_partition(
    lab: Machine, tmp_path: Path
) -> None:
    text = "PartitionName=cpu State=UP MaxCPUsPerNode={} MaxMemPerNode={}\n"

    def most(cpus: str, mem: str) -> tuple[object, object]:
        partitions = commands.parse_partitions(text.format(cpus, mem))
        machine = dataclasses.replace(lab, partitions=partitions, qos=())
        (queue,) = loaded(draft(machine, name="x", date=DATE), tmp_path).queues
        return (queue.cpus_per_node.max, queue.mem_per_node.max)

    assert most("UNLIMITED", "UNLIMITED") == (8, 16000)
    assert most("6", "9000") == (6, 9000)
    assert most("28", "64000") == (8, 16000)


def test_slurm_that_sells_nodes_gives_whole_ones(lab: Machine) -> None:
    config = {**lab.config, "SelectType": "select/linear"}
    linear = dataclasses.replace(lab, config=config)
    assert {item["exclusive"] for item in draft(linear, name="x", date=DATE)["queues"]} == {True}
    assert {item["exclusive"] for item in draft(lab, name="x", date=DATE)["queues"]} == {False}


@pytest.mark.parametrize(
    ("parameters", "policy"),
    [("CR_CORE_MEMORY", "optional"), ("CR_CORE", UNKNOWN), ("", UNKNOWN)],
)
def test_whether_memory_is_sold_is_known_where_slurm_counts_it(
    lab: Machine, parameters: str, policy: object, tmp_path: Path
) -> None:
    config = {**lab.config, "SelectTypeParameters": parameters}
    machine = dataclasses.replace(lab, config=config)
    request = loaded(draft(machine, name="x", date=DATE), tmp_path).request
    assert request.memory.policy == policy


@pytest.mark.parametrize(
    ("default", "enforce", "rows", "required"),
    [
        ("lab", "associations", "lab|lab||normal||\n", "no"),
        ("", "", "lab|lab||normal||\n", "no"),
        ("", "limits,qos", "lab|lab||normal||\n", "no"),
        ("", "associations,limits", "lab|lab||normal||\n", "if-several"),
        ("", "associations", "lab|lab||normal||\nlab|ai||normal||\n", UNKNOWN),
        ("", "associations", "", UNKNOWN),
    ],
)
def test_whether_an_account_must_be_named_follows_from_what_slurm_enforces(
    lab: Machine, default: str, enforce: str, rows: str, required: object, tmp_path: Path
) -> None:
    machine = dataclasses.replace(
        lab,
        default_account=default,
        config={**lab.config, "AccountingStorageEnforce": enforce},
        associations=accounts.parse_associations(rows),
    )
    assert loaded(draft(machine, name="x", date=DATE), tmp_path).account.required == required


@pytest.mark.parametrize(("setting", "requeue"), [("0", False), ("1", True), ("", UNKNOWN)])
def test_whether_slurm_starts_jobs_again_is_drafted(
    lab: Machine, setting: str, requeue: object, tmp_path: Path
) -> None:
    machine = dataclasses.replace(lab, config={**lab.config, "JobRequeue": setting})
    site = loaded(draft(machine, name="x", date=DATE), tmp_path)
    assert site.submit.requeue is requeue
    assert differences(site, machine) == ()


def test_the_limits_of_a_partitions_own_qos_hold(lab: Machine, tmp_path: Path) -> None:
    held = dataclasses.replace(lab.partitions[0], qos="big")
    rule = accounts.parse_qos("big|06:00:00|node=3|gres/gpu=2|5|\n")
    machine = dataclasses.replace(lab, partitions=(held,), qos=rule)
    queue = loaded(draft(machine, name="x", date=DATE), tmp_path).queues[0]
    assert (queue.nodes.max, queue.time.max, queue.gpus.min) == (3, 6 * 3600, 2)


HELD = """\
normal||||||||||00:00:00|
short|00:10:00|||||||||00:00:00|
tiny|00:10:00|||9|3|||2||00:00:00|
low||||||node=2|gres/gpu=3|4|8|00:01:00|
high||||||||||00:00:00|low
"""
"""As sacctmgr 22.05.8 shows QOS with limits of all jobs of a user, of an account."""


def held(lab: Machine, **config: str) -> Machine:
    return dataclasses.replace(
        lab,
        config={**lab.config, **config},
        qos=accounts.parse_qos(HELD),
        associations=accounts.parse_associations("lab|lab||normal,short,tiny,low|7|50\n"),
    )


def test_limits_of_all_jobs_of_one_are_drafted(lab: Machine, tmp_path: Path) -> None:
    data = draft(held(lab), name="x", date=DATE)
    queues = {queue["name"]: queue for queue in data["queues"]}
    assert list(queues) == ["cpu", "gpu", "cpu-short", "cpu-tiny", "cpu-low"]
    # Of a user's and an account's, the one that is reached first.
    assert queues["cpu-tiny"]["jobs"] == {
        "running": {"max": 2, "scope": "account"},
        "submitted": {"max": 3, "scope": "user"},
    }
    assert queues["cpu-low"]["at_once"] == {
        "nodes": {"max": 2, "scope": "user"},
        "gpus": {"max": 3, "scope": "account"},
    }
    # The association's holds where no QOS has one of that kind.
    assert queues["cpu"]["jobs"] == {"running": {"max": 7, "scope": "user"}}
    assert queues["cpu-low"]["jobs"]["running"] == {"max": 4, "scope": "account"}
    assert loaded(data, tmp_path).submit.max_queued == 50
    assert differences(loaded(data, tmp_path), held(lab)) == ()


PRECEDENCE = """\
part|04:00:00|node=3|||||||||||||
own|01:00:00|node=2,cpu=64|||||||||||||
over|01:00:00|node=2|||||||||||||OverPartQOS
"""


@pytest.mark.parametrize(
    ("of_partition", "association", "time", "nodes", "cpus"),
    [
        # What Slurm 22.05 does: the partition's first, but for a QOS with the flag.
        ("part", "own", 4, 3, 64),
        ("part", "over", 1, 2, None),
        ("", "own", 1, 2, 64),
        ("part", "", 4, 3, None),
    ],
)
def test_the_limits_of_one_qos_stand_before_those_of_the_other(
    lab: Machine,
    tmp_path: Path,
    of_partition: str,
    association: str,
    time: int,
    nodes: int,
    cpus: int | None,
) -> None:
    mine = f"lab|lab||normal,own,over|||{association}\n"
    machine = dataclasses.replace(
        lab,
        partitions=(dataclasses.replace(lab.partitions[0], qos=of_partition),),
        qos=accounts.parse_qos(PRECEDENCE),
        associations=accounts.parse_associations(mine),
    )
    data = draft(machine, name="x", date=DATE)
    queue = loaded(data, tmp_path).queues[0]
    assert (queue.time.max, queue.nodes.max, queue.cpus.max) == (time * 3600, nodes, cpus)
    assert differences(loaded(data, tmp_path), machine) == ()


@pytest.mark.parametrize(
    ("qos", "name"), [("normal,own", "normal"), ("own", "own"), ("own,over", "normal")]
)
def test_the_qos_of_jobs_that_name_none(qos: str, name: str) -> None:
    (mine,) = accounts.parse_associations(f"lab|lab||{qos}\n")
    assert mine.unnamed == name


def drafted_of(lab: Machine, partitions: str, nodes: str, qos: str = "") -> Machine:
    names = ",".join(item.name for item in commands.parse_partitions(partitions))
    return dataclasses.replace(
        lab,
        partitions=commands.parse_partitions(partitions),
        nodes=commands.parse_nodes(f"{nodes} Partitions={names}"),
        qos=accounts.parse_qos(qos),
    )


NODE = "NodeName=n1 CPUTot=16 Sockets=1 CoresPerSocket=8 ThreadsPerCore=2 RealMemory=16000"


@pytest.mark.parametrize(
    ("partitions", "node", "qos"),
    [
        ("PartitionName=cpu\nPartitionName=cpu-short", NODE, "short|00:10:00||"),
        (f"PartitionName={'p' * 95}", NODE, "short|00:10:00||"),
        ("PartitionName=cpu MinNodes=4 TotalNodes=2", NODE, ""),
        ("PartitionName=cpu QoS=q", NODE, "q||cpu=32,gres/gpu=2|cpu=64,gres/gpu=4|"),
        ("PartitionName=cpu QoS=q", NODE, "q||gres/gpu=0|||||gres/gpu=0,cpu=0|"),
        ("PartitionName=cpu", f"{NODE} Gres=nvme:no_consume:1T,lscratch:900G,gpu:1080:2", ""),
        ("PartitionName=on\nPartitionName=007\nPartitionName=null\nPartitionName=1e3", NODE, ""),
    ],
)
def test_whatever_a_cluster_says_is_read_back(
    lab: Machine, tmp_path: Path, partitions: str, node: str, qos: str
) -> None:
    machine = drafted_of(lab, partitions, node, qos)
    data = draft(machine, name="x", date=DATE)
    site = loaded(data, tmp_path)
    assert len(site.queues) == len(machine.partitions) + ("short" in qos)
    assert differences(site, machine) == ()


def test_the_limit_of_the_default_account_holds_else_the_widest(lab: Machine) -> None:
    rows = "lab|lab||normal||50\nlab|a||normal||60\nlab|b||normal||70\n"
    mine = accounts.parse_associations(rows)

    def most(**values: Any) -> Any:
        machine = dataclasses.replace(lab, **{"associations": mine, **values})
        return draft(machine, name="x", date=DATE)["submit"]["max_queued"]

    assert most() == 50
    assert most(default_account="") == 70
    endless = accounts.parse_associations("lab|c||normal||\n")
    assert most(default_account="", associations=mine + endless) == "unknown"


def test_a_limit_that_slurm_keeps_and_the_file_does_not_name_is_drift(
    lab: Machine, tmp_path: Path
) -> None:
    before = dataclasses.replace(
        lab,
        qos=accounts.parse_qos("low|1-00:00:00\n"),
        associations=accounts.parse_associations("lab|lab||normal,low||\n"),
    )
    site = loaded(draft(before, name="x", date=DATE), tmp_path)
    after = held(lab, PreemptType="preempt/qos", DefMemPerCPU="1000")
    found = {item.key: (item.file, item.machine) for item in differences(site, after)}
    assert found == {
        "submit.max_queued": ("unknown", "50"),
        "request.memory.default_per_cpu": ("1500MiB", "1000MiB"),
        "queues.cpu.jobs.running.max": ("-", "7"),
        "queues.gpu.jobs.running.max": ("-", "7"),
        "queues.cpu-low.jobs.running.max": ("-", "4"),
        "queues.cpu-low.jobs.submitted.max": ("-", "8"),
        "queues.cpu-low.at_once.nodes.max": ("-", "2"),
        "queues.cpu-low.at_once.gpus.max": ("-", "3"),
        "queues.cpu-low.preemptible": ("no", "yes"),
    }


@pytest.mark.parametrize(
    ("scope", "most", "differs"),
    [("user", 9, ()), ("account", 2, ()), ("account", 9, ("9", "2")), ("group", 1, ())],
)
def test_a_limit_is_held_against_that_of_its_own_scope(
    lab: Machine, scope: str, most: int, differs: tuple[str, ...], tmp_path: Path
) -> None:
    data = draft(held(lab), name="x", date=DATE)
    tiny = next(queue for queue in data["queues"] if queue["name"] == "cpu-tiny")
    tiny["jobs"]["running"] = {"max": most, "scope": scope}
    found = [(item.file, item.machine) for item in differences(loaded(data, tmp_path), held(lab))]
    assert found == ([differs] if differs else [])


def test_a_job_may_be_thrown_out_where_slurm_says_so(lab: Machine, tmp_path: Path) -> None:
    def drafted(machine: Machine) -> dict[str, Any]:
        queues = draft(machine, name="x", date=DATE)["queues"]
        return {queue["name"]: queue.get("preemptible") for queue in queues}

    assert set(drafted(held(lab, PreemptType="preempt/none")).values()) == {None}
    by_qos = held(lab, PreemptType="preempt/qos")
    assert drafted(by_qos) == {
        # Nobody names the QOS of these.
        "cpu": "unknown",
        "gpu": "unknown",
        "cpu-short": None,
        "cpu-tiny": None,
        "cpu-low": {"grace": "00:01:00"},
    }
    rows = "low||||||||||00:01:00|\nhigh||||||||||00:00:00|low\n"
    alone = dataclasses.replace(by_qos, qos=accounts.parse_qos(rows))
    assert list(drafted(alone)) == ["cpu", "gpu", "cpu-low"]
    cpu, gpu = lab.partitions
    weak = dataclasses.replace(cpu, priority_tier=1, preempt_mode="REQUEUE", grace_s=30)
    strong = dataclasses.replace(gpu, priority_tier=2, preempt_mode="REQUEUE")
    config = {**lab.config, "PreemptType": "preempt/partition_prio"}
    by_partition = dataclasses.replace(lab, config=config, partitions=(weak, strong), qos=())
    assert drafted(by_partition) == {"cpu": {"grace": "00:00:30"}, "gpu": None}
    never = dataclasses.replace(weak, preempt_mode="OFF")
    assert drafted(dataclasses.replace(by_partition, partitions=(never, strong)))["cpu"] is None
    site = loaded(draft(by_partition, name="x", date=DATE), tmp_path)
    assert differences(site, by_partition) == ()
    longer = dataclasses.replace(weak, grace_s=60)
    changed = dataclasses.replace(by_partition, partitions=(longer, strong))
    (found,) = differences(site, changed)
    assert (found.key, found.file, found.machine) == (
        "queues.cpu.preemptible.grace",
        "00:00:30",
        "00:01:00",
    )


def test_memory_of_jobs_that_do_not_ask_is_drafted_or_told(lab: Machine, tmp_path: Path) -> None:
    text = "PartitionName=a State=UP DefMemPerCPU=777\nPartitionName=b State=UP DefMemPerGPU=9000\n"
    machine = dataclasses.replace(
        lab,
        partitions=commands.parse_partitions(text),
        qos=(),
        licenses=("matlab (4)",),
        reservations=("maint, ...",),
    )
    site = loaded(draft(machine, name="x", date=DATE), tmp_path)
    assert site.request.memory.default_per_cpu_mib == 1500
    memory = {queue.name: queue.memory for queue in site.queues}
    assert memory["a"] is not None
    assert (memory["a"].policy, memory["a"].default_per_cpu_mib) == ("optional", 777)
    assert memory["b"] is None
    assert slurm_notes(machine) == (
        "licences, to ask for by request.extra: matlab (4)",
        "reservation: maint, ...",
        "DefMemPerGPU=9000 of partition b: MiB of a job that does not ask for memory",
    )
    text = text.replace("777", "778")
    changed = dataclasses.replace(machine, partitions=commands.parse_partitions(text))
    (found,) = differences(site, changed)
    assert (found.key, found.machine) == ("queues.a.memory.default_per_cpu", "778MiB")


@pytest.mark.parametrize(
    ("programs", "mpi", "default", "argv"),
    [
        (("ibrun", "srun"), ("pmi2",), "none", ("ibrun",)),
        (("srun",), ("none", "pmi2"), "none", ("srun", "--mpi=pmi2")),
        (("srun",), ("none", "cray_shasta"), "cray_shasta", ("srun", "--nodes={nodes}")),
        (("srun", "mpirun"), ("none",), "none", ("mpirun", "-np")),
    ],
)
def test_the_launcher_is_one_that_the_machine_has(
    lab: Machine, programs: Any, mpi: Any, default: str, argv: tuple[str, ...]
) -> None:
    config = {**lab.config, "MpiDefault": default}
    machine = dataclasses.replace(lab, programs=programs, mpi=mpi, config=config)
    data = draft(machine, name="x", date=DATE)
    assert data["slurm"]["mpi_default"] == default
    found = data["launchers"]["mpi"]["argv"]
    assert tuple(found[: len(argv)]) == argv


@pytest.mark.parametrize(
    ("spank", "programs", "runtime"),
    [
        (("container-image",), ("apptainer",), "pyxis"),
        (("environment", "uenv"), (), "ce"),
        ((), ("srun", "apptainer"), "apptainer"),
        ((), ("srun",), UNKNOWN),
    ],
)
def test_containers_are_started_by_what_srun_or_path_offers(
    lab: Machine, spank: Any, programs: Any, runtime: Any, tmp_path: Path
) -> None:
    machine = dataclasses.replace(lab, spank=spank, programs=programs)
    assert loaded(draft(machine, name="x", date=DATE), tmp_path).containers.runtime == runtime


def test_rules_that_cannot_be_read_are_told(lab: Machine, tmp_path: Path) -> None:
    config = {**lab.config, "JobSubmitPlugins": "lua", "PrivateData": "jobs,usage"}
    machine = dataclasses.replace(lab, config=config)
    warnings = hidden_rules(machine, "x")
    assert any("JobSubmitPlugins=lua" in line.text for line in warnings)
    assert any("PrivateData=jobs,usage" in line.text for line in warnings)
    text = site_yaml(
        draft(machine, name="x", date=DATE), (*warnings, Notice("x", "a\nqueues: []\n"))
    )
    assert "# WARNING: JobSubmitPlugins=lua" in text
    assert "# WARNING: a queues: []" in text
    assert hidden_rules(lab, "x") == ()


@pytest.mark.parametrize(
    ("cluster", "name"), [("Frontier", "frontier"), ("my_lab 2", "my-lab-2"), ("", "my-cluster")]
)
def test_a_cluster_gives_its_site_a_name(cluster: str, name: str) -> None:
    assert site_name(cluster) == name


def test_a_machine_without_slurm_answers_nothing(tmp_path: Path) -> None:
    runner = CommandRunner(environ={"PATH": str(tmp_path)})
    machine = read_machine(runner, user="me", environ={}, which=lambda _: None)
    assert machine == Machine(unanswered=machine.unanswered)
    assert machine.unanswered[0] == "sinfo is not on PATH"


def wrappers(folder: Path, bodies: dict[str, str]) -> None:
    """Write programs of Slurm's names into a folder."""
    for name, body in bodies.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)


def test_output_that_no_file_may_hold_is_left_out_and_told(tmp_path: Path) -> None:
    config = r"ClusterName = e\033[31mvil\nSLURM_VERSION = 24.05.1\nJobSubmitPlugins = lua\007\n"
    partitions = (
        r"PartitionName=a\033[2Jb State=UP\nPartitionName=\xff\xfe State=UP\n"
        r"PartitionName=$(touch x) State=UP\nPartitionName=\nPartitionName=good State=UP"
        r" MaxNodes=99999999999999999999 MaxTime=99999999999-00:00:00 AllowAccounts=$(id)\n"
    )
    nodes = r"NodeName=x CPUTot=8 Gres=gpu:a\033b:4 Partitions=good\nNodeName=y Partitions=good\n"
    scontrol = f"""case "$*" in
        *config) printf '{config}' ;;
        *partitions) printf '{partitions}' ;;
        *nodes) printf '{nodes}' ;;
        esac"""
    sacctmgr = r"""printf '$(id)|x\033|good|good|1|\n'"""
    mpi = r"""printf 'MPI plugin types are...\n\tpm\033ix\n\tpmi2\r\n'"""
    programs = {"scontrol": scontrol, "sacctmgr": sacctmgr, "srun": mpi, "sinfo": "exec cat"}
    wrappers(tmp_path, programs)
    runner = CommandRunner(environ={"PATH": f"{tmp_path}:/bin:/usr/bin"})

    machine = read_machine(runner, user="me", environ={}, which=lambda _: None)

    assert [item.name for item in machine.partitions] == ["good"]
    assert [item.name for item in machine.nodes] == ["y"]
    assert (machine.cluster, machine.qos, machine.associations) == ("", (), ())
    assert machine.mpi == ("pmi2",)
    told = "\n".join(machine.unanswered)
    assert "scontrol -a show -o: bytes that are no text in the output" in told
    assert "no site file may hold the name: partition 'a\\ufffd[2Jb'" in told
    assert "\x1b" not in told
    assert "\x07" not in told
    warnings = hidden_rules(machine, "x")
    data = draft(machine, name="x", date=DATE)
    site = loaded(data, tmp_path, warnings)
    assert [(queue.name, queue.nodes.max, queue.time.max) for queue in site.queues] == [
        ("good", UNKNOWN, UNKNOWN)
    ]
    assert not (tmp_path / "x").exists()


def test_memory_that_costs_cores_is_drafted(lab: Machine, tmp_path: Path) -> None:
    parts = "PartitionName=cpu\nPartitionName=own MaxMemPerCPU=2000\nPartitionName=node MaxMemPerNode=9000"
    machine = drafted_of(lab, parts, NODE)
    machine = dataclasses.replace(machine, config={**lab.config, "MaxMemPerCPU": "1000"})
    site = loaded(draft(machine, name="x", date=DATE), tmp_path)
    # One of a partition stands for the cluster's, of whatever kind.
    found = {queue.name: queue.mem_per_cpu.max for queue in site.queues}
    assert found == {"cpu": 1000, "own": 2000, "node": None}
    assert differences(site, machine) == ()


def test_what_is_no_program_is_left_out_and_told(tmp_path: Path) -> None:
    wrappers(tmp_path, {"sinfo": "", "scontrol": ""})
    (tmp_path / "sinfo").chmod(0o644)
    (tmp_path / "scontrol").write_bytes(b"\x00\x01 neither binary nor script")
    runner = CommandRunner(environ={"PATH": str(tmp_path)})
    machine = read_machine(runner, user="me", environ={}, which=lambda _: None)
    assert machine.unanswered[:2] == (
        "sinfo cannot be run: Permission denied",
        "scontrol cannot be run: Exec format error",
    )


def test_a_command_that_prints_too_much_is_stopped(tmp_path: Path) -> None:
    # scontrol would end by itself, somewhat beyond what is taken.
    long = f"yes A=b | head -c {72 << 20} >&2"
    wrappers(tmp_path, {"sinfo": "exec yes slurm 24.05.1", "scontrol": long})
    runner = CommandRunner(environ={"PATH": f"{tmp_path}:/bin:/usr/bin"}, timeout_s=30)
    machine = read_machine(runner, user="me", environ={}, which=lambda _: None)
    assert machine.version == ""
    assert machine.unanswered[:2] == (
        "sinfo printed more than 64 MiB",
        "scontrol printed more than 64 MiB",
    )


def test_commands_that_fail_or_hang_are_left_out(tmp_path: Path) -> None:
    programs = {
        "sinfo": "echo slurm 24.05.1",
        "scontrol": "exec /bin/sleep 30",
        "sacctmgr": "echo denied >&2; exit 1",
        "srun": "echo 'MPI plugin types are...' >&2; echo pmix >&2",
    }
    wrappers(tmp_path, programs)
    runner = CommandRunner(environ={"PATH": str(tmp_path)}, timeout_s=0.5)
    machine = read_machine(runner, user="me", environ={}, which=lambda _: None)
    assert (machine.version, machine.mpi, machine.partitions) == ("24.05.1", ("pmix",), ())
    assert any("did not answer" in line for line in machine.unanswered)
    assert any("exit code 1: denied" in line for line in machine.unanswered)


def test_a_draft_does_not_differ_from_its_machine(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    assert differences(site, lab) == ()


def test_drift_is_found_value_by_value(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    cpu, gpu = lab.partitions
    machine = dataclasses.replace(
        lab,
        version="23.02.1",
        config={**lab.config, "JobRequeue": "0", "MpiDefault": "pmi2", "MaxArraySize": "1001"},
        nodes=tuple(
            dataclasses.replace(node, cores=16, partitions=("cpu", "gpu2"))
            for node in lab.nodes[2:]
        ),
        partitions=(
            dataclasses.replace(cpu, max_time_s=43200, max_nodes=3),
            dataclasses.replace(gpu, name="gpu2"),
        ),
        qos=tuple(
            dataclasses.replace(item, user=accounts.Held(running=1, submitted=5))
            for item in lab.qos
            if item.name != "short"
        ),
        mpi=("none", "pmi2"),
    )
    found = {item.key: (item.file, item.machine) for item in differences(site, machine)}
    assert found["slurm.version"] == ("22.05.8", "23.02.1")
    assert found["submit.requeue"] == ("yes", "no")
    assert found["slurm.mpi_default"] == ("none", "pmi2")
    assert found["submit.max_array_tasks"] == ("2001", "1001")
    assert found["queues.cpu-tiny.jobs.submitted.max"] == ("3", "5")
    assert "queues.cpu-tiny.jobs.running.max" not in found
    assert found["queues.cpu.time.max"] == ("1-00:00:00", "12:00:00")
    assert found["queues.cpu.nodes.max"] == ("4", "3")
    assert found["queues.gpu.partition"] == ("gpu", "-")
    assert found["queues.cpu-short.qos"] == ("short", "-")
    assert found["queues"] == ("-", "partition gpu2")
    assert found["launchers.mpi"] == ("--mpi=pmix", "srun --mpi has none, pmi2")


def test_whole_nodes_that_are_no_longer_so_are_a_difference(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="x", date=DATE), tmp_path)
    cpu, gpu = lab.partitions

    def changed(is_exclusive: bool | None) -> list[tuple[str, str, str]]:
        whole = dataclasses.replace(gpu, is_exclusive=is_exclusive)
        machine = dataclasses.replace(lab, partitions=(cpu, whole))
        return [(item.key, item.file, item.machine) for item in differences(site, machine)]

    assert changed(True) == [("queues.gpu.exclusive", "no", "yes")]
    assert changed(None) == []


@pytest.mark.parametrize(
    ("version", "differs"), [("22.05", 0), ("22", 0), ("22.0", 1), ("24.11", 1)]
)
def test_a_release_is_all_of_its_versions(lab: Machine, version: str, differs: int) -> None:
    site = SiteSpec(name="x", scheduler="slurm", slurm=SlurmFacts(version=version))
    assert len(differences(site, lab)) == differs


def test_other_nodes_in_a_partition_are_a_difference(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    nodes = tuple(dataclasses.replace(node, cores=16, gpus=4) for node in lab.nodes)
    found = {item.key: item for item in differences(site, dataclasses.replace(lab, nodes=nodes))}
    assert found["node_types.gpu-fake.cores"].machine == "16"
    assert found["node_types.gpu-fake.gpus"].machine == "4"


def test_what_the_file_does_not_know_is_no_difference(lab: Machine) -> None:
    assert differences(SiteSpec(name="bare", scheduler="slurm"), lab) == ()


def test_a_draft_is_read_back_before_it_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "site: here\nscheduler: slurm\nextends: slurm-base\nnode_types: {a: {cores: C}}\n"
    drafted = [
        Probed(name="here", data={}, text=text.replace("C", cores), warnings=(), notes=(),
               machine=Machine())
        for cores in ("8", "8, usable_cores: 16")
    ]  # fmt: skip
    assert drafted[0].faults("my.yaml") == []
    (fault,) = drafted[1].faults("my.yaml")
    assert (fault.file, fault.line) == ("my.yaml", 4)
    assert fault.message.endswith("16 is more than cores: 8")
    for one, code in zip(drafted, (0, 3), strict=True):  # as it is printed, too
        monkeypatch.setattr(probing, "probe", lambda *, one=one, **_: one)
        assert main(["site", "probe"]) == code
        said = capsys.readouterr()
        assert said.out == one.text
        assert ("the draft:4" in said.err) == bool(code)


def test_what_all_who_use_a_qos_hold_together_is_a_limit_of_the_queue() -> None:
    row = "few||||||||||||cpu=8,mem=1T,gres/gpu=2|3|9"
    (few,) = accounts.parse_qos(row)
    assert few.group == accounts.Held(
        running=3, submitted=9, tres={"cpu": 8, "mem": 1 << 20, "gres/gpu": 2}
    )
    found = together(Machine(), [few])
    assert found["at_once", "mem"] == {"group": 1 << 20}
    assert found["at_once", "cpus"] == {"group": 8}
