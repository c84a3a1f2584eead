"""Outputs of several Slurm versions are read; what is missing or unknown does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepforge_hpc.probe import accounts, commands, values

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "slurm"
RECORDED = ("22.05.8", "24.11.5", "26.05.5")
"""All outputs of the test cluster with that Slurm; its set-up is told beside them."""


def output(name: str) -> str:
    return (OUTPUTS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("slurm-wlm 22.05.8\n", "22.05.8"),
        ("slurm 25.11.4\n", "25.11.4"),
        ("slurm 20.11.9-1chameleon\n", "20.11.9-1"),
        ("", ""),
        ("command not found", ""),
    ],
)
def test_a_version_is_read(text: str, version: str) -> None:
    assert commands.parse_version(text) == version


def test_the_configuration_leaves_out_what_is_not_set() -> None:
    config = commands.parse_config(output("22.05.8/config.txt"))
    assert config["ClusterName"] == "lab"
    assert config["MaxArraySize"] == "2001"
    assert "JobSubmitPlugins" not in config
    assert config["SlurmctldHost[0]"] == "vm(127.0.0.1)"


def test_partitions_of_the_recorded_cluster() -> None:
    cpu, gpu = commands.parse_partitions(output("22.05.8/partitions.txt"))
    assert (cpu.name, cpu.is_default, cpu.total_nodes, cpu.max_nodes) == ("cpu", True, 4, None)
    assert (cpu.max_time_s, cpu.default_time_s) == (86400, 300)
    assert (gpu.is_default, gpu.max_time_s, gpu.is_exclusive) == (False, 7200, False)
    assert (gpu.accounts, gpu.qos) == ((), "")


def test_partitions_with_limits_accounts_and_whole_nodes() -> None:
    batch, gpu, huge = commands.parse_partitions(output("owens/partitions.txt"))
    assert not batch.is_up
    assert batch.denied_accounts == ("pcon0003", "pcon0014")
    assert (gpu.min_nodes, gpu.max_nodes, gpu.is_exclusive) == (2, 81, True)
    assert gpu.max_cpus_per_node == 28
    assert huge.accounts[0] == "pzs0708"


@pytest.mark.parametrize("version", RECORDED)
def test_every_recorded_version_is_read_alike(version: str) -> None:
    def said(name: str) -> str:
        return output(f"{version}/{name}.txt")

    assert commands.parse_version(said("version")) == version
    config = commands.parse_config(said("config"))
    assert (config["SLURM_VERSION"], config["ClusterName"]) == (version, "lab")
    assert (config["MaxArraySize"], config["JobRequeue"]) == ("2001", "1")
    assert config["SelectTypeParameters"] == "CR_CORE_MEMORY"
    assert config["AccountingStorageEnforce"] == "associations,limits,qos"
    assert commands.parse_clock(said("config")).startswith("2026-11-2")
    cpu, gpu = commands.parse_partitions(said("partitions"))
    assert (cpu.name, cpu.is_default, cpu.is_up, cpu.is_open) == ("cpu", True, True, True)
    assert (cpu.total_nodes, cpu.max_nodes, cpu.max_time_s) == (4, None, 86400)
    assert (gpu.name, gpu.total_nodes, gpu.max_time_s) == ("gpu", 2, 7200)
    nodes = commands.parse_nodes(said("nodes"))
    assert [node.name for node in nodes] == ["n1", "n2", "n3", "n4"]
    assert nodes[0].partitions == ("cpu", "gpu")
    assert {(node.cpus, node.usable, node.threads, node.mem_mib) for node in nodes} == {
        (8, 8, 1, 16000)
    }
    assert [(node.gpus, node.gpu_type) for node in nodes[1:3]] == [(2, "fake"), (0, "")]
    assert [item.name for item in accounts.parse_qos(said("qos"))][:3] == [
        "normal",
        "short",
        "tiny",
    ]
    mine = accounts.parse_associations(said("assoc"), "lab")
    assert {item.account for item in mine} == {"root", "lab"}
    assert accounts.parse_default_account(said("user")) == "lab"
    assert {"none", "pmi2", "cray_shasta"} <= set(commands.parse_mpi(said("mpi")))
    assert commands.parse_options(said("srun-help")) == ()


@pytest.mark.parametrize(
    ("version", "is_exclusive"),
    [("22.05.8", [False, False]), ("24.11.5", [False, True]), ("26.05.5", [False, True])],
)
def test_whole_nodes_are_known_by_the_words_of_each_version(
    version: str, is_exclusive: list[bool]
) -> None:
    found = commands.parse_partitions(output(f"{version}/partitions.txt"))
    assert [item.is_exclusive for item in found] == is_exclusive


@pytest.mark.parametrize("version", ["24.11.5", "26.05.5"])
def test_limits_of_jobs_are_read_from_qos(version: str) -> None:
    big = accounts.parse_qos(output(f"{version}/qos.txt"))[-1]
    assert (big.name, big.max_wall_s, big.user.running, big.user.submitted) == (
        "big",
        6 * 3600,
        5,
        None,
    )
    assert (big.max_tres, big.min_tres) == ({"gres/gpu": 2, "node": 3}, {"gres/gpu": 1})


@pytest.mark.parametrize(
    ("file", "partition", "expected"),
    [
        ("20.11.8/nodes.txt", "pall", (16, 16, 250000, 0, "")),
        ("22.05.8/nodes.txt", "gpu", (8, 8, 16000, 2, "fake")),
        ("24.11.7/nodes.txt", "compute-gpu", (32, 32, 249036, 1, "rtxproserver6000")),
    ],
)
def test_nodes_of_three_versions(file: str, partition: str, expected: tuple[object, ...]) -> None:
    node = commands.parse_nodes(output(file))[0]
    assert partition in node.partitions
    assert (node.cpus, node.usable, node.mem_mib, node.gpus, node.gpu_type) == expected


@pytest.mark.parametrize(
    ("gres", "number", "kind"),
    [
        ("gpu:a100:4(S:0-1)", 4, "a100"),
        ("gpu:4", 4, ""),
        ("gpu", 1, ""),
        ("gpu:a100:2(S:0,1),nvme:1,gpu:a100:2(S:2,3)", 4, "a100"),
        ("gpu:a100:2,gpu:v100:1", 3, ""),
        ("gpu:a100_1g.5gb:7", 7, "a100_1g.5gb"),
        ("nvme:1,gpumem:3", 0, ""),
    ],
)
def test_gpus_of_a_node(gres: str, number: int, kind: str) -> None:
    (node,) = commands.parse_nodes(f"NodeName=a Gres={gres} Partitions=p State=IDLE\n")
    assert (node.gpus, node.gpu_type) == (number, kind)


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("gpu:a100:4(S:0-1)", {}),
        ("lscratch:100,gpu:2,nvme:fast:1(S:0),nvme:fast:1(S:1)", {"lscratch": 100, "nvme:fast": 2}),
        ("disk:2K,shard:no_consume:8,craynetwork", {"disk": 2048, "shard": 8, "craynetwork": 1}),
        ("(null)", {}),
        ("$(x):1", {}),
    ],
)
def test_what_else_a_node_has(gres: str, expected: dict[str, int]) -> None:
    (node,) = commands.parse_nodes(f"NodeName=a Gres={gres} Partitions=p State=IDLE\n")
    assert dict(node.gres) == expected


def test_cores_that_the_system_keeps_are_not_for_jobs() -> None:
    text = "NodeName=f1 CPUTot=128 CoreSpecCount=8 ThreadsPerCore=2 RealMemory=515072 Partitions=b"
    (node,) = commands.parse_nodes(text)
    assert (node.cpus, node.usable) == (128, 112)


@pytest.mark.parametrize(
    ("fields", "mem"),
    [
        ("RealMemory=515072 MemSpecLimit=15072", 500000),
        ("RealMemory=515072 MemSpecLimit=0", 515072),
        ("RealMemory=1", None),
        ("", None),
    ],
)
def test_memory_that_the_system_keeps_is_not_for_jobs(fields: str, mem: int | None) -> None:
    (node,) = commands.parse_nodes(f"NodeName=f1 CPUTot=8 {fields} Partitions=b\n")
    assert node.mem_mib == mem


def test_a_value_may_hold_spaces_and_unknown_fields_are_left_alone() -> None:
    text = "NodeName=a NewIn26.05=x y z OS=Linux 5 #1 SMP Partitions=p,q Reason=bad = worse [r@t]"
    (node,) = commands.parse_nodes(text)
    assert node.partitions == ("p", "q")
    assert (node.cpus, node.mem_mib) == (None, None)


def test_limits_of_qos() -> None:
    normal, short, tiny = accounts.parse_qos(output("22.05.8/qos.txt"))
    assert (normal.name, normal.max_wall_s, normal.user.running) == ("normal", None, None)
    assert short.max_wall_s == 600
    assert (tiny.user.running, tiny.user.submitted) == (1, 3)
    (big,) = accounts.parse_qos("big|2-00:00:00|cpu=128,node=64,mem=1T|gres/gpu=8|||\n")
    assert (big.max_tres["node"], big.min_tres) == (64, {"gres/gpu": 8})


def test_limits_of_all_jobs_of_one_are_read() -> None:
    (low,) = accounts.parse_qos("low||||||node=2|gres/gpu=3|4||00:01:00|a,b\n")
    assert low.user == accounts.Held(tres={"node": 2})
    assert low.account == accounts.Held(running=4, tres={"gres/gpu": 3})
    assert (low.grace_s, low.preempts) == (60, ("a", "b"))
    (mine,) = accounts.parse_associations("lab|lab||normal|7|50\n")
    assert (mine.max_jobs, mine.max_submit) == (7, 50)


def test_licences_and_reservations_are_read() -> None:
    text = "LicenseName=matlab@x Total=4 Used=0 Free=4 Reserved=0 Remote=yes\n"
    assert commands.parse_licenses(text) == ("matlab@x (4)",)
    assert commands.parse_licenses("No licenses configured in Slurm.\n") == ()
    text = (
        "ReservationName=maint StartTime=2026-12-24T00:00:00 EndTime=2026-12-24T01:00:00 "
        "Nodes=n1 Users=root Groups=(null) Accounts=lab,ai Licenses=(null)\n"
    )
    found = "maint, 2026-12-24T00:00:00 to 2026-12-24T01:00:00, n1, for root, lab, ai"
    assert commands.parse_reservations(text) == (found,)
    assert commands.parse_reservations("No reservations in the system\n") == ()


def test_associations_of_another_cluster_are_not_ours() -> None:
    text = output("22.05.8/assoc.txt") + "elsewhere|other||normal\n"
    found = accounts.parse_associations(text, "lab")
    assert {item.account for item in found} == {"root", "lab"}
    assert found[0].qos == ("normal", "short", "tiny")
    assert accounts.parse_default_account(output("22.05.8/user.txt")) == "lab"


@pytest.mark.parametrize(
    ("text", "plugins"),
    [
        (output("22.05.8/mpi.txt"), ("pmix", "none", "cray_shasta", "pmi2", "pmix_v4")),
        (
            "srun: MPI types are...\nsrun: none\nsrun: pmi2\nsrun: pmix_v3\n",
            ("none", "pmi2", "pmix_v3"),
        ),
        ("MPI plugin types are...\n\tnone\n\tpmix\n", ("none", "pmix")),
        (
            "MPI plugin types are...\n none\nspecific pmix plugin versions: pmix_v3,pmix_v4 \n",
            ("none", "pmix_v3", "pmix_v4"),
        ),
        ("", ()),
    ],
)
def test_plugins_of_srun(text: str, plugins: tuple[str, ...]) -> None:
    assert commands.parse_mpi(text) == plugins


def test_options_that_plugins_add_to_srun() -> None:
    assert commands.parse_options(output("22.05.8/srun-help.txt")) == ()
    text = "      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH\n      --uenv=<file>\n"
    assert commands.parse_options(text) == ("container-image", "uenv")


@pytest.mark.parametrize("system", ["lmod-8.7.60", "environment-modules-5.7.0"])
def test_modules_of_both_systems_are_read(system: str) -> None:
    found = commands.parse_modules(output(f"modules/{system}.txt"))
    ours = tuple(name for name in found if not name.startswith("Core/"))
    assert ours == ("cuda/12.4", "gcc/13.2.0", "gcc/14.1.0", "openmpi/5.0.3", "python/3.11")


def test_modules_are_names_and_not_headings() -> None:
    text = "/opt/modules:\ncuda/12.4(default)\ngcc/\nopenmpi/5.0.3\nWarning: something odd\n"
    assert commands.parse_modules(text) == ("cuda/12.4", "openmpi/5.0.3")


@pytest.mark.parametrize(
    ("text", "number"), [("8", 8), ("4k", None), ("9" * 20, None), ("UNLIMITED", None)]
)
def test_what_is_no_number_of_this_world_is_none(text: str, number: int | None) -> None:
    assert values.count(text) == number
    assert values.tres(f"cpu={text}") == ({"cpu": number} if number else {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "PartitionName=\x00",
        "|||||||\n",
        "a=b=c\n=\n",
        "q|99999999999999-00:00:00|cpu=²||1|\n",
    ],
)
def test_no_output_at_all_breaks_nothing(text: str) -> None:
    commands.parse_config(text)
    commands.parse_partitions(text)
    commands.parse_nodes(text)
    accounts.parse_qos(text)
    accounts.parse_associations(text)
    commands.parse_mpi(text)
