"""A draft says what Slurm shows, `unknown` for the rest, and is a valid site file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.model.site import UNKNOWN, SiteSpec, SlurmFacts
from deepforge_hpc.probe import commands
from deepforge_hpc.probe.compare import differences
from deepforge_hpc.probe.draft import draft, hidden_rules, module_notes, site_name
from deepforge_hpc.probe.read import Machine, read_machine
from deepforge_hpc.probe.write import site_yaml
from deepforge_hpc.schedulers.command import CommandRunner
from deepforge_hpc.spec.sites import load_site, site_folders

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
        qos=commands.parse_qos(output("qos")),
        associations=commands.parse_associations(output("assoc"), "lab"),
        default_account="lab",
        mpi=commands.parse_mpi(output("mpi")),
        programs=("srun", "mpirun"),
    )


@pytest.fixture
def lab() -> Machine:
    return recorded("22.05.8")


def loaded(data: dict[str, Any], folder: Path, warnings: tuple[str, ...] = ()) -> SiteSpec:
    path = folder / f"{data['site']}.yaml"
    path.write_text(site_yaml(data, warnings), encoding="utf-8")
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
    loaded(data, tmp_path, (note,))
    seen = "cuda/12.4 gcc/13.2.0 gcc/14.1.0 openmpi/5.0.3 python/3.11"
    assert note == f"modules of Lmod 8.7.60: {seen}"
    assert f"# {note}\n" in site_yaml(data, (), (note,))
    assert module_notes(lab) == ()


def test_each_fact_names_its_command_and_day(lab: Machine, tmp_path: Path) -> None:
    site = loaded(draft(lab, name="lab-draft", date=DATE), tmp_path)
    (queues,) = site.facts["queues"]
    assert queues.source == "probe: scontrol -a show -o partitions"
    assert (queues.date, queues.confidence) == (DATE, "L")


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


def test_the_limits_of_a_partitions_own_qos_hold(lab: Machine, tmp_path: Path) -> None:
    held = dataclasses.replace(lab.partitions[0], qos="big")
    rule = commands.parse_qos("big|06:00:00|node=3|gres/gpu=2|5|\n")
    machine = dataclasses.replace(lab, partitions=(held,), qos=rule)
    queue = loaded(draft(machine, name="x", date=DATE), tmp_path).queues[0]
    assert (queue.nodes.max, queue.time.max, queue.gpus.min) == (3, 6 * 3600, 2)


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
    warnings = hidden_rules(machine)
    assert any("JobSubmitPlugins=lua" in line for line in warnings)
    assert any("PrivateData=jobs,usage" in line for line in warnings)
    text = site_yaml(draft(machine, name="x", date=DATE), (*warnings, "a\nqueues: []\n"))
    assert "# WARNING: JobSubmitPlugins=lua" in text
    assert "# WARNING: a queues: []" in text
    assert hidden_rules(lab) == ()


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
    warnings = hidden_rules(machine)
    data = draft(machine, name="x", date=DATE)
    site = loaded(data, tmp_path, warnings)
    assert [(queue.name, queue.nodes.max, queue.time.max) for queue in site.queues] == [
        ("good", UNKNOWN, UNKNOWN)
    ]
    assert not (tmp_path / "x").exists()


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
            dataclasses.replace(item, max_submit=5) for item in lab.qos if item.name != "short"
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
