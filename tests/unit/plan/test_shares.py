"""Cores of ranks without GPUs: of a whole node none idle that could be shared out."""

from __future__ import annotations

import dataclasses

import pytest

from deepforge_hpc.paths import data_folder
from deepforge_hpc.pipeline.load import Loaded, Settings, load_text
from deepforge_hpc.plan.facts import node_of, usable_cores, whole_cores
from deepforge_hpc.plan.limits import QueueRequest
from deepforge_hpc.plan.queues import choose_queue, lift
from deepforge_hpc.plan.size import Sizer
from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.site.find import ANY, SHIPPED, SiteFolder, load_site
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.unknown import known

FOLDERS = [SiteFolder(SHIPPED, data_folder("site-configs"))]
PIPELINE = """\
pipeline: p
environment: {python: /opt/python}
operations:
  work: {command: [work], outputs: {table: t.csv}, launch: srun}
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    path = tmp_path_factory.mktemp("project") / "pipeline.yaml"
    settings = Settings(python="/opt/python", user_dir=None, account="p1")
    return load_text(PIPELINE.encode(), path, site="anvil", settings=settings)


def sized(loaded: Loaded, site: SiteSpec, **asked: object) -> tuple[QueueRequest, list[str]]:
    """Return what one operation asks a site's queues for, and its doubts."""
    spec = loaded.pipeline.operations["work"]
    wanted = dataclasses.replace(spec.resources, **asked)
    sizer = Sizer(loaded, site, SlurmScheduler())
    request = QueueRequest(resources=Resources(), queue=wanted.queue or "")
    resources, _ = sizer.size(dataclasses.replace(spec, resources=wanted), request)
    told = [str(notice) for notice in sizer.warnings() if "exclusive" in "".join(notice.keys)]
    return lift(site, request._replace(resources=resources)), told


def anvil() -> SiteSpec:
    return load_site("anvil", FOLDERS).spec


def whole() -> list[tuple[SiteSpec, Queue]]:
    """Return the queues of shipped sites that give whole nodes, whose cores are known."""
    sites = []
    for path in sorted(FOLDERS[0][1].glob("*.yaml")):
        found = load_site(f"{path.stem}/{ANY}", FOLDERS).spec
        sites += [
            load_site(f"{path.stem}/{variant}", FOLDERS).spec for variant in found.variants
        ] or [found]
    return [(site, queue) for site in sites for queue in site.queues if known(queue.exclusive)]


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 6, 8, 16])
def test_ranks_share_all_cores_of_whole_nodes_however_many(loaded: Loaded, nodes: int) -> None:
    for asked in ({"queue": "wholenode"}, {"time_s": 13 * 3600, "nodes": max(2, nodes)}):
        found, _ = sized(loaded, anvil(), **{"nodes": nodes, "ntasks_per_node": 16, **asked})
        assert found.resources.cpus_per_task == 8, asked


def test_no_core_of_a_whole_node_is_left_idle_that_could_be_shared(loaded: Loaded) -> None:
    seen = 0
    for site, queue in whole():
        node = node_of(site, queue)
        cores = usable_cores(node, surely=True) if node is not None else None
        for nodes in (1, 2, 3, 4, 8):
            for ranks in (1, 2, 4, 16, 24, 48) if cores else ():
                asked = {"queue": queue.name, "nodes": nodes, "ntasks_per_node": ranks}
                request, _ = sized(loaded, site, **asked)
                if choose_queue(site, request).queue is None:
                    continue
                has, seen = request.resources.cpus_per_task, seen + 1
                for more in range(has + 1, whole_cores(node, cores // ranks) + 1):
                    size = request.resources._replace(cpus_per_task=more)
                    taken = choose_queue(site, request._replace(resources=size)).queue
                    assert taken is None, (site.name, asked, has, more)
    assert seen > 300


@pytest.mark.parametrize(("ranks", "cpus"), [(1, 256), (3, 84), (7, 36), (48, 4), (128, 2)])
def test_no_two_ranks_share_a_core(loaded: Loaded, ranks: int, cpus: int) -> None:
    """128 cores of two threads: as NERSC counts them, 2 * floor(128 / ranks)."""
    site = load_site("perlmutter/cpu", FOLDERS).spec
    found, _ = sized(loaded, site, queue="regular", nodes=2, ntasks_per_node=ranks)
    assert found.resources.cpus_per_task == cpus


@pytest.mark.parametrize(
    ("queue", "nodes", "ranks", "is_told"),
    [
        ("debug", 1, 16, True),
        ("highmem", 1, 64, True),
        ("wide", 2, 1, True),
        ("debug", 1, 1, False),
        ("debug", 1, 65, False),
        ("wide", 20, 128, False),
        ("shared", 1, 16, False),
    ],
)
def test_a_doubt_is_told_where_several_ranks_may_leave_cores_idle(
    loaded: Loaded, queue: str, nodes: int, ranks: int, is_told: bool
) -> None:
    _, told = sized(loaded, anvil(), queue=queue, nodes=nodes, ntasks_per_node=ranks)
    doubt = f"work: whether queue {queue} gives whole nodes is unknown, so a rank gets 1 core"
    assert told == is_told * [f"{doubt} (cpus_per_task asks for more)"]


def test_no_doubt_is_told_of_ranks_with_gpus(loaded: Loaded) -> None:
    """Their cores go with the GPUs, of which the site's file does not tell how many a node has."""
    found, told = sized(loaded, anvil(), queue="ai", nodes=2, ntasks_per_node=2, gpus_per_node=2)
    assert (found.resources.cpus_per_task, told) == (1, [])
