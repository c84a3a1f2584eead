"""Which GPU each rank uses, where slurmd itself sets CUDA_VISIBLE_DEVICES.

The nodes have `Gres=gpu:fake:2` whose `File=` are devices, so that Slurm counts, chooses and names
GPUs as it does real ones; what computes on them is the one thing that is not there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.mpi]

CODE = """
import json, os

def look() -> int:
    with open(f"{os.environ['RANK']}.json", "w") as file:
        json.dump(dict(os.environ), file)
    done = 1
    return done
"""
SITE = """
site: here
extends: slurm-generic
queues: [{{name: gpu, partition: gpu}}]
node_types: {{default: {{cores: 8, gpus: 2}}}}
binding: {{style: {style}, gpu_order: {order}}}
request: {{gpu: {{style: {gpu}, where: {where}}}}}
launchers:
  srun: {{argv: [srun, "--ntasks={{world_size}}", "--ntasks-per-node={{ntasks_per_node}}",
                 "--cpus-per-task={{cpus_per_task}}", "{{gpu_bind}}"]}}
  mpi: {{argv: [mpirun, --allow-run-as-root, --oversubscribe, -np, "{{world_size}}",
                --map-by, "ppr:{{ntasks_per_node}}:node"]}}
"""
PIPELINE = """
pipeline: look
operations:
  look: {{uses: 'look.py:look', launch: {launch}, {visibility}
         resources: {{nodes: {nodes}, ntasks_per_node: {ranks}, gpus_per_node: 2, cpus_per_task: 1}}}}
outputs: {{done: {{from: look.done}}}}
"""


@pytest.fixture
def looked(slurm_cluster: Any, dfh: Any, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Return what each rank finds in its environment, by rank."""

    def run(launch: str, nodes: int, visibility: str = "", ranks: int = 2, **site: str) -> Any:
        words = {"style": "none", "order": "ascending", "gpu": "gres", "where": "header", **site}
        (tmp_path / "site-configs").mkdir()
        (tmp_path / "site-configs" / "here.yaml").write_text(SITE.format(**words), encoding="utf-8")
        (tmp_path / "look.py").write_text(CODE, encoding="utf-8")
        said = f"gpu_visibility: {visibility}," if visibility else ""
        sizes = {"launch": launch, "nodes": nodes, "ranks": ranks}
        text = PIPELINE.format(visibility=said, **sizes)
        (tmp_path / "pipeline.yaml").write_text(text, encoding="utf-8")
        dfh("run", "--site", "here", "--interval", "0.3", cwd=tmp_path)
        (left,) = tmp_path.glob(
            "**/jobs/look/left"
        )  # what an operation leaves where it works is kept
        files = [left / f"{rank}.json" for rank in range(nodes * ranks)]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    return run


def devices(rank: Mapping[str, str], *picked: str) -> list[str]:
    """Return the devices of its node behind the numbers that a rank picks among what it sees."""
    # With --gpu-bind=none Slurm 22.05 sets no variable: a rank sees what its node lets the job see.
    visible = rank.get("CUDA_VISIBLE_DEVICES", rank["SLURM_JOB_GPUS"]).split(",")
    return [visible[int(number)] for number in picked]


def by_node(found: list[dict[str, str]], which: Callable[[Any], list[str]]) -> list[list[str]]:
    """Return the devices of the ranks of each node, in the order of their local ranks."""
    nodes: dict[str, list[tuple[int, list[str]]]] = defaultdict(list)
    for rank in found:
        nodes[rank["SLURMD_NODENAME"]].append((int(rank["LOCAL_RANK"]), which(rank)))
    return [[device for _, own in sorted(ranks) for device in own] for ranks in nodes.values()]


WAYS = [
    pytest.param("srun", 2, {}, id="srun, two nodes"),
    pytest.param("mpi", 1, {}, id="mpirun"),
    pytest.param("srun", 1, {"gpu": "gpus-per-task", "where": "both"}, id="srun, by rank"),
    pytest.param("mpi", 1, {"gpu": "gpus-per-task"}, id="mpirun, by rank"),
    pytest.param("mpi", 2, {"gpu": "gpus-per-task"}, id="mpirun, by rank, two nodes"),
]


@pytest.mark.parametrize(
    ("visibility", "order"),
    [("own", "ascending"), ("own", "descending"), ("all", "descending"), ("", "ascending")],
)
@pytest.mark.parametrize(("launch", "nodes", "site"), WAYS)
def test_each_rank_has_a_gpu_by_the_site_s_order(
    looked: Any, launch: str, nodes: int, site: dict[str, str], visibility: str, order: str
) -> None:
    found = looked(launch, nodes, visibility, order=order, **site)
    # Which then chooses the order itself.
    by_slurm = visibility == "own" and "gpu" in site and launch == "srun"
    expected = ["0", "1"] if order == "ascending" or by_slurm else ["1", "0"]
    ours = by_node(found, lambda rank: devices(rank, *rank["DFH_GPUS"].split(",")))
    assert ours == [expected] * nodes
    assert [int(rank["LOCAL_RANK"]) for rank in found] == [0, 1] * nodes
    if visibility == "own":
        # A script that takes the first GPU that it sees.
        assert {len(rank["CUDA_VISIBLE_DEVICES"].split(",")) for rank in found} == {1}
        assert by_node(found, lambda rank: devices(rank, "0")) == [expected] * nodes
    else:
        # One of torchrun's, Horovod's or Accelerate's, which takes device `local_rank`.
        picked = by_node(found, lambda rank: devices(rank, rank["LOCAL_RANK"]))
        assert picked == [["0", "1"]] * nodes


@pytest.mark.parametrize("launch", ["srun", "mpi"])
def test_a_rank_alone_has_all_gpus_of_the_job(looked: Any, launch: str) -> None:
    (rank,) = looked(launch, 1, "own", ranks=1, order="descending")
    assert devices(rank, *rank["DFH_GPUS"].split(",")) == ["1", "0"]
