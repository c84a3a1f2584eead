"""What a job on a node saw is written into the draft; what it did not see stays unknown."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.probe import commands
from deepforge_hpc.probe.draft import draft, node_kinds
from deepforge_hpc.probe.read import Machine
from deepforge_hpc.probe.visit import SCRIPT, add_visit, notes, parse_visit, visits

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "slurm" / "22.05.8"
SEEN = """\
==dfh== cores
pid 12's current affinity list: 0-7
==dfh== gpus
NVIDIA A100-SXM4-40GB, 40960
NVIDIA A100-SXM4-40GB, 40960
==dfh== topology
==dfh== interfaces
bond0
hsn0
hsn1
lo
==dfh== internet
HTTP/2 200
==dfh== proxies
https_proxy
==dfh== tmpdir
tmpfs          tmpfs        4194304  1024   4193280       1% /tmp
==dfh== topology
\tGPU0\tCPU Affinity
GPU0\tX\t48-63
"""


@pytest.fixture
def machine() -> Machine:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in OUTPUTS.glob("*.txt")}
    return Machine(
        partitions=commands.parse_partitions(texts["partitions"]),
        nodes=commands.parse_nodes(texts["nodes"]),
    )


def test_each_kind_of_node_is_visited_once_and_gpus_are_asked_for(machine: Machine) -> None:
    kinds = node_kinds(machine.nodes)
    found = {item.node_type: item for item in visits(machine, kinds)}
    assert set(found) == {"gpu-fake", "cpu-8"}
    assert (found["gpu-fake"].partition, found["cpu-8"].partition) == ("gpu", "cpu")
    assert found["cpu-8"].nodes == {"n3", "n4"}
    shared = {"nodes": "1", "ntasks": "1", "time": "00:05:00"}
    assert dict(found["cpu-8"].options) == {**shared, "partition": "cpu", "exclude": "n1,n2"}
    assert dict(found["gpu-fake"].options) == {**shared, "partition": "gpu", "gres": "gpu:1"}


def test_a_partition_of_whole_nodes_costs_a_whole_node(machine: Machine) -> None:
    cpu, gpu = machine.partitions
    whole = dataclasses.replace(
        machine, partitions=(cpu, dataclasses.replace(gpu, is_exclusive=True))
    )
    found = {
        item.node_type: item.takes_whole_node for item in visits(whole, node_kinds(machine.nodes))
    }
    assert found == {"gpu-fake": True, "cpu-8": False}


def test_what_was_seen_is_written_down(machine: Machine) -> None:
    data: dict[str, Any] = draft(machine, name="x", date="2026-11-22")
    add_visit(data, "gpu-fake", parse_visit(SEEN), "2026-11-22")
    assert data["node_types"]["gpu-fake"]["gpu_model"] == "NVIDIA A100-SXM4-40GB"
    assert data["node_types"]["gpu-fake"]["gpu_mem"] == "40960MiB"
    local = {"path": "/tmp", "size": "4096MiB", "is_ram": True}
    assert data["node_types"]["gpu-fake"]["local"] == local
    assert data["network"] == {"compute_internet": "proxy", "interface": "hsn0"}
    assert data["facts"]["network"]["source"] == "probe: a job on gpu-fake"


def test_a_person_gets_what_only_a_person_can_read() -> None:
    found = notes("gpu-fake", parse_visit(SEEN))
    assert found[0] == "gpu-fake, cores: pid 12's current affinity list: 0-7"
    assert [line.split() for line in found[2:]] == [
        ["gpu-fake,", "topology:", "GPU0", "X", "48-63"]
    ]


def test_a_temporary_folder_that_other_nodes_see_is_not_local(machine: Machine) -> None:
    data: dict[str, Any] = draft(machine, name="x", date="2026-11-22")
    line = "nfs:/scratch nfs4 4194304 1024 4193280 1% /scratch/tmp"
    add_visit(data, "cpu-8", parse_visit(f"==dfh== tmpdir\n{line}\n"), "d")
    assert data["node_types"]["cpu-8"]["local"] == "unknown"


def test_a_disk_at_the_root_is_used_below_tmp(machine: Machine) -> None:
    data: dict[str, Any] = draft(machine, name="x", date="2026-11-22")
    line = "/dev/vda ext4 264212072 1024 100 1% /"
    add_visit(data, "cpu-8", parse_visit(f"==dfh== tmpdir\n{line}\n"), "d")
    local = {"path": "/tmp", "size": "258019MiB", "is_ram": False}
    assert data["node_types"]["cpu-8"]["local"] == local


def test_no_answer_from_outside_is_not_a_no(machine: Machine) -> None:
    data: dict[str, Any] = draft(machine, name="x", date="2026-11-22")
    add_visit(data, "cpu-8", parse_visit("==dfh== internet\n==dfh== interfaces\nlo\n"), "d")
    assert data["network"] == {"compute_internet": "unknown", "interface": "unknown"}


def test_the_script_runs_where_hardly_any_command_is(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", SCRIPT],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("==dfh==") == 8
    assert parse_visit(done.stdout) == {}
