"""What does not fill its nodes is not given whole ones, and what fills them does not share them."""

from __future__ import annotations

import pytest

from deepforge_hpc.paths import data_folder
from deepforge_hpc.plan.facts import node_of, usable_cores
from deepforge_hpc.plan.limits import QueueRequest
from deepforge_hpc.plan.queues import choose_queue
from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.site.find import ANY, SHIPPED, SiteFolder, load_site
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import NodeType, Queue
from deepforge_hpc.site.unknown import Range, known

FOLDERS = [SiteFolder(SHIPPED, data_folder("site-configs"))]


def shipped():
    for path in sorted(data_folder("site-configs").glob("*.yaml")):
        found = load_site(f"{path.stem}/{ANY}", FOLDERS).spec
        names = [f"{path.stem}/{variant}" for variant in found.variants] or [path.stem]
        for name in names:
            site = load_site(name, FOLDERS).spec
            if any(queue.exclusive is False and queue.automatic for queue in site.queues):
                yield pytest.param(site, id=name)


SITES = list(shipped())
SMALL = [Resources(gpus_per_node=1, cpus_per_task=4), Resources(cpus_per_task=4)]


def test_there_are_such_sites():
    assert len(SITES) >= 8


@pytest.mark.parametrize("size", SMALL, ids=["one GPU", "4 cores"])
@pytest.mark.parametrize("site", SITES)
def test_a_small_job_is_given_a_part_of_a_node_where_a_queue_has_that(site, size):
    request = QueueRequest(resources=size)
    taken = choose_queue(site, request).queue
    shared = [
        queue
        for queue in site.queues
        if queue.automatic
        and queue.exclusive is False
        and choose_queue(site, QueueRequest(resources=size, queue=queue.name)).queue
    ]
    assert not shared or taken.exclusive is not True, taken
    if shared and taken not in shared:
        # Another kind of node, which a site prefers, and of which it is not known that it is whole.
        assert taken.node_type != shared[0].node_type


@pytest.mark.parametrize("site", SITES)
def test_a_job_that_fills_nodes_has_them_for_itself_where_a_queue_has_that(site):
    for queue in site.queues:
        node = node_of(site, queue)
        if queue.exclusive is not True or not queue.automatic or node is None:
            continue
        gpus, cores = known(node.gpus) or 0, usable_cores(node)
        low = known(queue.nodes.min) or 1
        size = Resources(nodes=low, gpus_per_node=gpus, cpus_per_task=cores or 1)
        asked = QueueRequest(resources=size, queue=queue.name)
        if choose_queue(site, asked).queue is None:
            continue
        taken = choose_queue(site, QueueRequest(resources=size)).queue
        if taken.node_type != queue.node_type:
            continue  # a kind of node that the site prefers
        assert taken.exclusive is not False, (queue.name, taken.name)


ONE = Queue(name="shared", exclusive=False, nodes=Range(max=2))
WHOLE = Queue(name="whole", exclusive=True, nodes=Range(max=9))


def chosen(queues, **size):
    site = SiteSpec(queues=queues, node_types={"default": NodeType(cores=8, gpus=4)})
    return choose_queue(site, QueueRequest(resources=Resources(**size)))


def test_the_rule():
    assert chosen((ONE, WHOLE), gpus_per_node=1).queue is ONE
    assert chosen((ONE, WHOLE), nodes=2, gpus_per_node=1).queue is ONE
    full = chosen((ONE, WHOLE), gpus_per_node=4)
    assert full.queue is WHOLE
    assert full.refusals[0].reasons == "its nodes are shared, and the job wants them whole"
    assert chosen((ONE,), gpus_per_node=4).queue is ONE
    assert chosen((ONE,), gpus_per_node=4).refusals == ()
    by_name = Queue(name="x", exclusive=True, automatic=False)
    assert chosen((ONE, by_name), gpus_per_node=4).queue is ONE
    other = Queue(name="other", exclusive=True, node_type="fat")
    assert chosen((ONE, other), gpus_per_node=4).queue is ONE


def test_several_nodes_are_not_tried_where_nobody_knows_whether_they_are_shared_out():
    open_ = Queue(name="open", exclusive=False)
    assert chosen((open_, WHOLE), nodes=2).queue is WHOLE
    assert chosen((open_,), nodes=2).queue is open_


def test_a_part_of_a_node_comes_with_its_part_of_the_memory_where_the_site_says_so():
    site = load_site("lumi-g", FOLDERS).spec
    queue = choose_queue(site, QueueRequest(resources=Resources(gpus_per_node=1))).queue
    assert queue.name == "small-g"
    assert queue.memory.share is True
