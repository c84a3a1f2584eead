"""The shipped site files: they load, name their sources, and hold what the centres publish."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.site.find import SiteFolder, load_site
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.unknown import UNKNOWN

SHIPPED = Path(__file__).parents[3] / "site-configs"
FOLDERS = [SiteFolder("shipped", SHIPPED)]
MACHINES = {
    *("frontier", "perlmutter", "lumi-g", "daint", "clariden", "juwels-booster", "leonardo"),
    *("delta", "expanse", "expanse-nairr", "bridges-2", "anvil", "stampede3", "vista", "della"),
    *("narval",),
}
COMMON_PARTS = {"slurm-base", "alps", "tacc"}
GENERIC = {"local", "slurm-generic", "slurm-pyxis", "lab"}
ALL = sorted(MACHINES | COMMON_PARTS | GENERIC)
OURS = {
    *("dfh", "site", "title", "description", "base", "extends"),
    *("variants", "default_variant"),
    *("scheduler", "facts", "dependency", "defaults", "environment", "clamp"),
}
"""Keys that say what dfh does; all others state facts."""

H, D = 3600, 86400
GIB = 1024


@cache
def document(name: str) -> dict[str, Any]:
    """Return the plain data of a file."""
    data = load((SHIPPED / f"{name}.yaml").read_bytes(), f"{name}.yaml").value()
    assert isinstance(data, dict)
    return data


def names_with_variants() -> list[str]:
    """Return `lumi-g`, `perlmutter/gpu`, `perlmutter/cpu`, ..."""
    names = []
    for name in ALL:
        variants = document(name).get("variants", {})
        names += [f"{name}/{variant}" for variant in variants] or [name]
    return names


@cache
def site(name: str) -> SiteSpec:
    """Return a shipped site."""
    return load_site(name, FOLDERS).spec


def look(value: Any, path: str) -> Any:
    """Return what a path such as `queues/batch/time/max` leads to; lists by name or index."""
    for step in path.split("/"):
        if isinstance(value, Mapping):
            value = value[step]
        elif isinstance(value, tuple):
            named = {getattr(item, "name", ""): item for item in value}
            value = named[step] if step in named else value[int(step)]
        else:
            value = getattr(value, step)
    return value


def keys(value: object) -> Iterator[str]:
    """Yield every key of nested data."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


# -- all files


def test_every_file_is_tested() -> None:
    assert {path.stem for path in SHIPPED.glob("*.y*ml")} == set(ALL)


@pytest.mark.parametrize("name", names_with_variants())
def test_every_site_and_variant_loads(name: str) -> None:
    assert site(name).scheduler == ("local" if name == "local" else "slurm")


def test_what_is_common_to_several_is_no_machine() -> None:
    assert {name for name in ALL if load_site(f"{name}/*", FOLDERS).is_base} == COMMON_PARTS


def test_all_load_within_a_second_of_work() -> None:
    begin = time.process_time()
    for name in names_with_variants():
        load_site(name, FOLDERS)
    assert time.process_time() - begin <= 1.0


@pytest.mark.parametrize("name", ALL)
def test_every_section_of_a_file_has_a_source(name: str) -> None:
    data = document(name)
    sourced = {path.partition(".")[0] for path in data["facts"]}
    variants = data.get("variants", {}).values()
    sections = {key for part in (data, *variants) for key in part} - OURS
    assert {key for key in sections if not _is_all_unknown(data.get(key))} <= sourced
    assert sourced <= sections | set(site_of_any_variant(name).facts)


def _is_all_unknown(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_all_unknown(item) for item in value.values())
    return value in ("unknown", [])


def site_of_any_variant(name: str) -> SiteSpec:
    """Return a site, in its first variant if it has several."""
    return site(next(full for full in names_with_variants() if full.partition("/")[0] == name))


@pytest.mark.parametrize("name", ALL)
def test_every_fact_is_dated_and_tells_how_sure_it_is(name: str) -> None:
    for path, facts in site_of_any_variant(name).facts.items():
        for fact in facts:
            assert fact.source, path
            assert "idx:" not in fact.source, "a number that nobody can look up"
            assert fact.confidence in {"O", "T", "L", "M"}, path
            assert date.fromisoformat(str(fact.date)) >= date(2024, 1, 1), path


@pytest.mark.parametrize("name", ALL)
def test_no_file_needs_an_escape_field(name: str) -> None:
    assert [key for key in keys(document(name)) if key.startswith("x-")] == []


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_every_machine_has_a_title_queues_and_a_kind_of_node(name: str) -> None:
    data = document(name)
    assert data["title"]
    assert data["description"]
    assert site_of_any_variant(name).queues
    assert site_of_any_variant(name).node_types


@pytest.mark.parametrize("name", names_with_variants())
def test_every_queue_names_a_kind_of_node_that_is_described(name: str) -> None:
    spec = site(name)
    for queue in spec.queues:
        if queue.node_type:
            assert queue.node_type in spec.node_types, queue.name
        else:
            assert len(spec.node_types) == 1 or "default" in spec.node_types or not queue.automatic


@pytest.mark.parametrize("name", names_with_variants())
def test_no_job_lands_in_a_queue_for_tests_or_transfers_unasked(name: str) -> None:
    spec = site(name)
    for queue in spec.queues:
        is_special = queue.chaining == "forbidden" or queue.name == spec.transfer.queue
        is_for_tests = re.search(r"debug|dev|interactive|dbg", queue.name)
        assert not (queue.automatic and (is_special or is_for_tests)), queue.name


@pytest.mark.parametrize("name", names_with_variants())
def test_the_base_gives_every_site_all_launchers(name: str) -> None:
    assert set(site(name).launchers) >= {"none", "srun", "mpi", "horovod", "torchrun"}


def test_the_partition_is_never_given_where_the_site_forbids_it() -> None:
    for name in ("perlmutter/gpu", "perlmutter/gpu80", "perlmutter/cpu", "narval"):
        spec = site(name)
        assert "partition" in spec.routing.forbidden
        assert [queue.partition for queue in spec.queues if queue.partition] == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("login05.frontier.olcf.ornl.gov", "frontier"),
        ("lumi-uan03.csc.fi", "lumi-g"),
        ("daint-ln002.alps.cscs.ch", "daint"),
        ("clariden-ln001.alps.cscs.ch", "clariden"),
        ("login02.leonardo.local", "leonardo"),
        ("dt-login03.delta.ncsa.illinois.edu", "delta"),
        ("login01.expanse.sdsc.edu", "expanse"),
        ("br011.bridges2.psc.edu", "bridges-2"),
        ("login03.anvil.rcac.purdue.edu", "anvil"),
        ("login2.stampede3.tacc.utexas.edu", "stampede3"),
        ("login1.vista.tacc.utexas.edu", "vista"),
        ("della-gpu.princeton.edu", "della"),
        ("uan01.another-cray.example.org", None),
    ],
)
def test_a_host_is_one_site_or_none(host: str, name: str | None) -> None:
    found = [
        candidate
        for candidate in sorted(MACHINES)
        for entry in site_of_any_variant(candidate).identify
        if entry.hostname and re.search(entry.hostname, host)
    ]
    assert found == ([name] if name else [])


# -- what Slurm says, in the words of 22.05 (libslurmfull, `strings`)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid account or account/partition combination specified",
        "Invalid qos specification",
        "Invalid partition name specified",
        "Required partition not available (inactive or drain)",
        "Requested time limit is invalid (missing or exceeds some limit)",
        "Node count specification invalid",
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "Requested node configuration is not available",
        "Invalid generic resource (gres) specification",
        "Invalid feature specification",
        "Invalid job array specification",
        "More processors requested than permitted",
        "Unable to contact slurm controller (connect failure)",
        "Zero Bytes were transmitted or received",
        *("QOSMaxJobsPerUserLimit", "QOSMaxSubmitJobPerUserLimit", "QOSMinGRES", "QOSMinNode"),
        *(
            "QOSMinCpuNotSatisfied",
            "QOSMaxNodePerJobLimit",
            "QOSMaxGRESPerJob",
            "PartitionTimeLimit",
        ),
        *("QOSMaxWallDurationPerJobLimit", "AssocGrpCPUMinutesLimit", "AssocGrpBillingMinutes"),
        *("AssocMaxSubmitJobLimit", "AssocMaxJobsLimit", "AssocGrpSubmitJobsLimit"),
        "BadConstraints",
    ],
)
def test_a_message_of_slurm_has_one_hint(message: str) -> None:
    for name in ("frontier", "slurm-generic"):
        hints = [item.hint for item in site(name).errors if re.search(item.match, message)]
        assert len(hints) == 1


def test_a_number_of_nodes_that_is_refused_may_be_too_small() -> None:
    said = "Node count specification invalid"
    (hint,) = [item.hint for item in site("slurm-generic").errors if re.search(item.match, said)]
    assert "fewer than its least, or more than its most" in hint


# -- the numbers

CHECKS: list[tuple[str, str, object]] = [
    # Frontier: the walltime is a step function of the nodes.
    ("frontier", "slurm/version", "25.11.4"),
    ("frontier", "queues/batch/tiers/0/nodes/max", 91),
    ("frontier", "queues/batch/tiers/0/time/max", 2 * H),
    ("frontier", "queues/batch/tiers/1/nodes/min", 92),
    ("frontier", "queues/batch/tiers/1/nodes/max", 183),
    ("frontier", "queues/batch/tiers/1/time/max", 6 * H),
    ("frontier", "queues/batch/tiers/2/nodes/min", 184),
    ("frontier", "queues/batch/tiers/2/nodes/max", 9472),
    ("frontier", "queues/batch/tiers/2/time/max", 12 * H),
    ("frontier", "queues/batch/jobs/eligible/max", 4),
    ("frontier", "submit/max_queued", 100),
    ("frontier", "queues/extended/nodes/max", 64),
    ("frontier", "queues/extended/time/max", 24 * H),
    ("frontier", "queues/extended/jobs/running/max", 1),
    ("frontier", "queues/debug/chaining", "forbidden"),
    ("frontier", "queues/debug/qos", "debug"),
    ("frontier", "queues/debug/time/max", 2 * H),
    ("frontier", "node_types/default/usable_cores", 56),
    ("frontier", "node_types/default/gpus", 8),
    ("frontier", "binding/gpu_core_base", (48, 56, 16, 24, 0, 8, 32, 40)),
    ("frontier", "binding/style", "closest"),
    ("frontier", "request/gpu/style", "gpus-per-task"),
    ("frontier", "request/gpu/where", "launch"),
    ("frontier", "network/proxy/https_proxy", "http://proxy.ccs.ornl.gov:3128/"),
    ("frontier", "filesystems/2/purge/days", 90),
    ("frontier", "environment_sets/rccl/env/FI_MR_CACHE_MONITOR", "kdreg2"),
    # Perlmutter: QOS and constraint, never a partition.
    ("perlmutter/gpu", "routing/by", ("qos", "constraint")),
    ("perlmutter/gpu", "queues/regular/constraint", "gpu"),
    ("perlmutter/gpu", "queues/regular/account_suffix", "_g"),
    ("perlmutter/gpu", "queues/regular/time/max", 48 * H),
    ("perlmutter/gpu", "queues/debug/nodes/max", 8),
    ("perlmutter/gpu", "queues/debug/time/max", 30 * 60),
    ("perlmutter/gpu", "node_types/gpu/gpus", 4),
    ("perlmutter/gpu", "binding/gpu_order", "descending"),
    ("perlmutter/gpu80", "queues/regular/constraint", "gpu&hbm80g"),
    ("perlmutter/gpu80", "queues/regular/nodes/max", 256),
    ("perlmutter/cpu", "queues/regular/constraint", "cpu"),
    ("perlmutter/cpu", "queues/preempt/time/max", UNKNOWN),
    ("perlmutter/gpu", "queues/overrun/automatic", False),
    ("perlmutter/gpu", "environment_sets/libfabric/env/FI_MR_CACHE_MONITOR", "kdreg2"),
    ("perlmutter/cpu", "queues/regular/nodes/max", 3072),
    ("perlmutter/cpu", "queues/regular/account_suffix", ""),
    ("perlmutter/gpu", "filesystems/2/purge/days", 56),
    ("perlmutter/gpu", "filesystems/2/purge/basis", "access"),
    ("perlmutter/gpu", "transfer/globus/0/uuid", "9d6d994a-6d04-11e5-ba46-22000b92c6ec"),
    ("perlmutter/gpu", "transfer/queue", "xfer"),
    # LUMI: masks of 56 usable cores.
    ("lumi-g", "node_types/gpu/usable_cores", 56),
    ("lumi-g", "node_types/gpu/cores", 64),
    ("lumi-g", "node_types/cpu/threads_per_core", UNKNOWN),
    ("lumi-g", "environment_sets/rccl/env/FI_MR_CACHE_MONITOR", "userfaultfd"),
    ("lumi-g", "queues/standard-g/nodes/max", 1024),
    ("lumi-g", "queues/standard-g/time/max", 2 * D),
    ("lumi-g", "queues/standard-g/jobs/running/max", 200),
    ("lumi-g", "queues/small-g/nodes/max", 4),
    ("lumi-g", "queues/small-g/time/max", 3 * D),
    ("lumi-g", "queues/small-g/exclusive", False),
    ("lumi-g", "queues/dev-g/nodes/max", 32),
    ("lumi-g", "queues/dev-g/time/max", 3 * H),
    ("lumi-g", "queues/debug/time/max", 30 * 60),
    ("lumi-g", "binding/except_queues", ("dev-g",)),
    ("lumi-g", "binding/skip_first", 1),
    ("lumi-g", "node_types/largemem/mem_mib", 4096 * GIB),
    ("lumi-g", "network/compute_internet", "nat"),
    ("lumi-g", "node_types/gpu/local/is_ram", True),
    # Alps: a product of nodes and minutes.
    ("daint", "queues/normal/time/max", 24 * H),
    ("daint", "queues/normal/nodes/max", None),
    ("daint", "queues/debug/nodes/max", 2),
    ("daint", "queues/debug/time/max", 30 * 60),
    ("daint", "queues/xfer/nodes/max", 1),
    ("daint", "slurm/version", "25.05.9"),
    ("daint", "submit/max_array_tasks", 20_001),
    ("clariden", "queues/normal/time/max", 12 * H),
    ("clariden", "queues/debug/node_minutes", 90),
    ("clariden", "queues/debug/nodes/max", 4),
    ("clariden", "queues/debug/jobs/submitted/max", 2),
    ("clariden", "node_types/default/cores", 288),
    ("clariden", "request/memory/whole_node", "450G"),
    ("clariden", "containers/runtime", "ce"),
    # JUWELS: no slurmd.
    ("juwels-booster", "slurm/flavour", "psslurm"),
    ("juwels-booster", "queues/booster/nodes/max", 384),
    ("juwels-booster", "queues/largebooster/nodes/min", 385),
    ("juwels-booster", "identify/0/file", "/etc/FZJ/systemname"),
    ("juwels-booster", "request/gpu/style", "gres"),
    ("juwels-booster", "node_types/default/cores", 48),
    # Leonardo: a least size.
    ("leonardo", "queues/boost_usr_prod/nodes/max", 64),
    ("leonardo", "queues/bprod/nodes/min", 65),
    ("leonardo", "queues/bprod/nodes/max", 256),
    ("leonardo", "queues/bprod/qos", "boost_qos_bprod"),
    ("leonardo", "queues/lprod/time/max", 4 * D),
    ("leonardo", "queues/dbg/time/max", 30 * 60),
    ("leonardo", "queues/lrd_all_serial/cpus/max", 4),
    ("leonardo", "queues/lrd_all_serial/automatic", False),
    ("leonardo", "node_types/default/mem_requestable_mib", 494_000),
    ("leonardo", "request/memory/whole_node", "494000M"),
    ("leonardo", "network/compute_internet", "no"),
    ("leonardo", "login/cpu_minutes", 10),
    ("leonardo", "environment_sets/offline/env/HF_HUB_OFFLINE", "1"),
    # Delta: the account follows the partition, and jobs say which file systems they need.
    ("delta", "account/suffixes/0/suffix", "-delta-cpu"),
    ("delta", "account/suffixes/1/suffix", "-delta-gpu"),
    ("delta", "request/extra/0/directive", ("constraint", "scratch")),
    ("delta", "request/memory/policy", "required"),
    ("delta", "queues/gpuH200x8/nodes/max", 1),
    ("delta", "queues/gpuA100x8-interactive/nodes/max", 2),
    ("delta", "queues/gpuA100x4-preempt/preemptible/grace_s", 300),
    ("delta", "queues/gpuA100x4-preempt/preemptible/exempt_s", 600),
    ("delta", "node_types/a100x4/cores", 64),
    ("delta", "node_types/mi100x8/cores", 128),
    ("delta", "modules/init", "reset"),
    ("delta", "filesystems/2/purge/basis", "none"),
    # Expanse: memory and Lustre have to be asked for; purged by age.
    ("expanse", "request/memory/policy", "required"),
    ("expanse", "request/gpu/style", "gpus"),
    ("expanse", "request/extra/0/directive", ("constraint", "lustre")),
    ("expanse", "queues/compute/nodes/max", 32),
    ("expanse", "queues/gpu/nodes/max", 4),
    ("expanse", "queues/large-shared/mem_per_node/min", 256 * GIB),
    ("expanse", "queues/preempt/time/max", 7 * D),
    ("expanse", "queues/shared/jobs/submitted/scope", "group"),
    ("expanse", "filesystems/1/purge/basis", "creation"),
    ("expanse", "launchers/srun/argv/1", "--mpi=pmi2"),
    ("expanse", "modules/init", "purge"),
    ("expanse-nairr", "request/gpu/typed", True),
    ("expanse-nairr", "request/extra", ()),
    ("expanse-nairr", "node_types/default/gpu_type", "h100"),
    ("expanse-nairr", "identify", ()),
    # Bridges-2: three kinds of node in one partition, typed GPUs, no --mem.
    ("bridges-2", "queues/GPU/partition", "GPU"),
    ("bridges-2", "queues/GPU-h100/partition", "GPU"),
    ("bridges-2", "node_types/v100/gpu_type", "v100-32"),
    ("bridges-2", "node_types/h100/gpu_type", "h100-80"),
    ("bridges-2", "node_types/l40s/gpu_type", "l40s-48"),
    ("bridges-2", "request/gpu/typed", True),
    ("bridges-2", "request/forbidden/0/flag", "mem"),
    ("bridges-2", "launchers/mpi/argv/0", "mpirun"),
    # Anvil
    ("anvil", "slurm/version", "25.11.1"),
    ("anvil", "account/suffixes/0/suffix", "-gpu"),
    ("anvil", "account/suffixes/0/when/queues", ("gpu", "gpu-debug", "ai")),
    ("anvil", "queues/wholenode/cpu_multiple", 128),
    ("anvil", "queues/wholenode/nodes/max", 16),
    ("anvil", "node_types/highmem/cores", 128),
    ("anvil", "node_types/highmem/mem_mib", 1_000_000),
    ("anvil", "queues/wide/nodes/max", 56),
    ("anvil", "queues/wide/time/max", 12 * H),
    ("anvil", "queues/shared/time/max", 96 * H),
    ("anvil", "queues/gpu/exclusive", False),
    ("anvil", "queues/gpu-debug/gpus/max", 2),
    # TACC: nothing but nodes, tasks and time; ibrun.
    ("stampede3", "request/gpu/style", "none"),
    ("stampede3", "request/memory/policy", "forbidden"),
    ("stampede3", "request/tasks", "ntasks"),
    ("stampede3", "account/required", "if-several"),
    ("stampede3", "launchers/mpi/argv", ("ibrun",)),
    ("stampede3", "queues/h100/nodes/max", 4),
    ("stampede3", "queues/h100/jobs/running/max", 2),
    ("stampede3", "queues/skx/nodes/max", 256),
    ("stampede3", "queues/skx-dev/time/max", 2 * H),
    ("stampede3", "node_types/h100/cores", 96),
    ("stampede3", "filesystems/2/purge/days", 10),
    ("stampede3", "transfer/globus/0/uuid", "1e9ddd41-fe4b-406f-95ff-f3d79f9cb523"),
    ("vista", "queues/gg/nodes/max", 32),
    ("vista", "queues/gh/nodes/max", 64),
    ("vista", "queues/gh-dev/nodes/max", 8),
    ("vista", "queues/gh-dev/jobs/submitted/max", 3),
    ("vista", "node_types/gh/cores", 72),
    ("vista", "node_types/gh/gpus", 1),
    ("vista", "launchers/srun/argv", ("ibrun",)),
    # Della: the walltime decides, and a QOS may not be named.
    ("della", "routing/by", ("walltime",)),
    ("della", "routing/forbidden", ("qos",)),
    ("della", "queues/test/time/max", 1 * H),
    ("della", "queues/vlong/time/max", 144 * H),
    ("della", "queues/short/jobs/running/max", 40),
    ("della", "network/compute_internet", "no"),
    # Narval: nothing is named; GPUs are typed; offline.
    ("narval", "routing/by", ()),
    ("narval", "queues/cpu/time/max", 168 * H),
    ("narval", "node_types/cpu/cores", 64),
    ("narval", "node_types/gpu/gpu_type", "a100"),
    ("narval", "request/gpu/typed", True),
    ("narval", "request/gpu/style", "gpus-per-node"),
    ("narval", "network/module", "httpproxy"),
    ("narval", "submit/rate_per_min", 60),
    ("narval", "login/poll_s", 60),
]
NOBODY_KNOWS = [
    ("perlmutter/gpu", "slurm/version"),
    ("perlmutter/gpu", "network/compute_internet"),
    ("perlmutter/gpu", "queues/premium/time/max"),
    ("frontier", "filesystems/2/purge/basis"),
    ("lumi-g", "slurm/version"),
    ("lumi-g", "transfer/globus"),
    ("clariden", "slurm/version"),
    ("daint", "transfer/globus/0/uuid"),
    ("juwels-booster", "queues/booster/time/max"),
    ("juwels-booster", "queues/largebooster/nodes/max"),
    ("juwels-booster", "network/compute_internet"),
    ("leonardo", "slurm/version"),
    ("delta", "queues/gpuA100x4/nodes/max"),
    ("delta", "network/compute_internet"),
    ("expanse", "transfer/globus/0/uuid"),
    ("bridges-2", "queues/GPU/time/max"),
    ("bridges-2", "containers/runtime"),
    ("della", "account/required"),
    ("narval", "filesystems/2/purge/days"),
    ("vista", "network/compute_internet"),
]


@pytest.mark.parametrize(("name", "path", "expected"), CHECKS)
def test_a_file_holds_what_its_centre_publishes(name: str, path: str, expected: object) -> None:
    assert look(site(name), path) == expected


@pytest.mark.parametrize(("name", "path"), NOBODY_KNOWS)
def test_what_no_source_tells_stays_unknown(name: str, path: str) -> None:
    assert look(site(name), path) is UNKNOWN


def test_lumi_s_table_gives_the_cores_of_its_own_page() -> None:
    binding = site("lumi-g").binding
    first = [base + binding.skip_first for base in binding.gpu_core_base]
    assert first == [49, 57, 17, 25, 1, 9, 33, 41]


@pytest.mark.parametrize("name", ["stampede3", "vista"])
def test_tacc_refuses_gpu_and_memory_options(name: str) -> None:
    severities = {item.flag: item.severity for item in site(name).request.forbidden}
    assert severities == {
        "gres": "reject",
        "gpus-per-task": "reject",
        "mem": "reject",
        "export": "avoid",
        "nodelist": "policy",
        "exclude": "policy",
    }


def test_the_tiers_of_frontier_leave_no_gap() -> None:
    tiers = look(site("frontier"), "queues/batch/tiers")
    ends = [(tier.nodes.min, tier.nodes.max) for tier in tiers]
    assert all(below[1] + 1 == above[0] for below, above in pairwise(ends))
    assert (ends[0][0], ends[-1][1]) == (1, 9472)
