"""A site file: every key read, what is unknown kept apart from no, and faults all at once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.unknown import UNKNOWN, Range, known

if TYPE_CHECKING:
    from conftest import SiteFolder

FULL = """\
dfh: 1
title: X
description: |
  A site.
identify:
  - {env: {CENTRE: x}, hostname: '^login'}
  - {file: {path: /etc/name, content: x}}
  - {cluster_name: lab}
slurm: {version: '24.05.3', flavour: cray}
dependency: afterany
account: {required: yes, value: abc123, pattern: '[a-z]{3}[0-9]{3}', env: ACCOUNT, suffixes: [{when: {gpus: yes}, suffix: _g}], list_command: sacctmgr show assoc}
routing: {by: [partition, qos], forbidden: [constraint]}
defaults: {time: 2h, mem_per_node: 4GiB, cpus_per_task: 2}
queues:
  - name: big
    partition: batch
    qos: normal
    node_type: fat
    automatic: no
    access: ask
    nodes: {min: 2, max: 8}
    gpus: {min: 4}
    gpus_per_node: {max: 4}
    cpus: {max: 256}
    cpus_per_node: {max: 64}
    cpu_multiple: 4
    mem_per_node: {max: 256GiB}
    time: {min: 5m, max: 1-00:00:00}
    tiers: [{nodes: {max: 4}, time: {max: 2h}}, {nodes: {min: 5}, time: {max: 1-00:00:00}}]
    node_minutes: 90
    jobs: {running: {max: 1}, submitted: {max: unknown, scope: account}}
    exclusive: yes
    chaining: forbidden
    preemptible: {grace: 300s, exempt: 10m}
    account_suffix: -gpu
    charge: 1 an hour
    note: for the few
  - {name: small, partition: small, node_type: fat, nodes: unknown}
node_types:
  fat: {cores: 64, usable_cores: 56, smt: 2, mem: 512GiB, mem_requestable: 494000MiB, gpus: 4, gpu_model: A100, gpu_type: a100, gpu_mem: 40GiB, local: {path: '/mnt/bb/$USER', size: 3800GB, is_ram: no, constraint: nvme}}
binding: {style: mask, gpu_core_base: [48, 32, 16, 0], width: 16, skip_first: 1, gpu_order: descending, needs_full_node: yes, except_queues: [small]}
request:
  gpu: {style: gpus-per-node, typed: yes, where: both}
  memory: {policy: required, whole_node: '0'}
  required: [account, time, partition]
  forbidden: [{flag: gres, severity: reject, why: it asks twice}]
  tasks: ntasks
  cpus_per_task: both
  extra: [{when: {node_local: yes, ntasks_per_node: {min: 57}}, directive: [constraint, nvme]}, {directive: [exclusive]}]
launchers:
  mpi: {argv: [mpirun, -np, '{world_size}'], env: {OMP_NUM_THREADS: '{cpus_per_task}'}, max_nodes: 4, modules: [openmpi/4]}
environment_sets:
  nccl: {when: {launch: [horovod]}, env: {NCCL_DIR: '$TMPDIR/nccl'}, modules: [nccl]}
modules: {init: reset, unload: [darshan], load: [gcc/12, cuda/12.4]}
containers: {runtime: apptainer, gpu_flag: --nv, bind: ['/scratch/$USER'], modules: [apptainer]}
filesystems:
  - {role: scratch, path: '/scratch/$USER', env: SCRATCH, type: lustre, quota: 50TB, quota_files: unknown, purge: {days: 90, basis: access}, backup: no, visible_on: [login, compute]}
transfer: {dtn: dtn.x.org, queue: small, globus: [{name: X, uuid: 00000000-0000-0000-0000-000000000000}]}
network: {compute_internet: proxy, proxy: {https_proxy: 'http://proxy.x.org:3128/'}, interface: hsn0}
login: {policy: no training, cpu_minutes: 10, mem: 64GiB, poll_s: 60, cron: no}
submit: {from: scratch, rate_per_min: 60, max_queued: 100, max_array_tasks: 1000, requeue: no, export: NONE, cluster: x}
accounting: {usage_command: usage, charge: node hours}
errors: [{match: 'Invalid .*', hint: ask}]
environment: {venv: /opt/env, modules: [gcc/12]}
executions: /scratch/x
facts:
  queues: {source: a page, date: 2026-07-22, confidence: O}
  queues.big: [{source: a file, date: unknown, confidence: T}, {source: sinfo, date: 2026-01-01, confidence: L, note: short}]
"""


def test_every_key_is_read(files: SiteFolder) -> None:
    spec = files.spec(FULL)

    big, small = spec.queues
    assert (spec.name, spec.title, spec.dependency) == ("x", "X", "afterany")
    assert spec.identify[0].env == {"CENTRE": "x"}
    assert (spec.identify[1].file, spec.identify[1].content) == ("/etc/name", "x")
    assert (spec.account.required, spec.account.suffixes[0].when.gpus) == ("yes", True)
    assert (spec.defaults.time_s, spec.defaults.mem_per_node_mib) == (7200, 4096)
    assert big.time == Range(min=300, max=86400)
    assert big.mem_per_node == Range(max=262144)
    assert [tier.time.max for tier in big.tiers] == [7200, 86400]
    assert big.jobs.running is not None
    assert (big.jobs.running.max, big.jobs.running.scope) == (1, "user")
    assert (big.automatic, big.exclusive, big.chaining) == (False, True, "forbidden")
    assert small.nodes == Range(min=UNKNOWN, max=UNKNOWN)
    fat = spec.node_types["fat"]
    assert (fat.mem_requestable_mib, fat.gpu_mem_mib) == (494000, 40960)
    assert fat.local is not UNKNOWN
    assert fat.local is not None
    assert fat.local.is_ram is False
    assert spec.binding.gpu_core_base == (48, 32, 16, 0)
    assert spec.request.extra[0].directive == ("constraint", "nvme")
    assert spec.request.extra[1].directive == ("exclusive", "")
    assert spec.request.memory.whole_node == "0"
    assert spec.launchers["mpi"].env == {"OMP_NUM_THREADS": "{cpus_per_task}"}
    assert spec.environment_sets["nccl"].env == {"NCCL_DIR": "$TMPDIR/nccl"}
    assert spec.submit.from_ == "scratch"
    assert (spec.submit.requeue, spec.submit.export) == (False, "NONE")
    assert spec.environment is not None
    assert spec.environment.venv == "/opt/env"
    assert [len(facts) for facts in spec.facts.values()] == [1, 2]
    assert spec.unknowns == (
        "queues[0].jobs.submitted.max",
        "queues[1].nodes",
        "filesystems[0].quota_files",
    )


def test_unknown_is_neither_no_nor_nothing(files: SiteFolder) -> None:
    spec = files.spec("submit: {requeue: unknown, rate_per_min: 0}\nlogin: {cron: no}\n")

    assert spec.submit.requeue is UNKNOWN
    assert spec.submit.rate_per_min == 0
    assert spec.login.cron is False
    assert spec.submit.max_queued is None
    assert known(spec.submit.requeue) is None
    assert (spec.submit.requeue is None, spec.submit.requeue == False) == (False, False)  # noqa: E712 -- the very question
    with pytest.raises(TypeError, match="neither true nor false"):
        assert spec.submit.requeue


def test_what_reaches_a_script_falls_back_where_it_is_unknown_and_is_listed(
    files: SiteFolder,
) -> None:
    spec = files.spec(
        """\
        queues: [{name: a, partition: unknown, qos: ''}]
        request: {tasks: unknown}
        modules: {load: unknown}
        containers: unknown
        """
    )
    assert (spec.queues[0].partition, spec.queues[0].qos) == ("", "")
    assert spec.request.tasks == "ntasks-per-node"
    assert spec.modules.load == ()
    assert spec.unknowns == (
        "queues[0].partition", "request.tasks", "modules.load", "containers",
    )  # fmt: skip


def test_nothing_takes_back_what_is_inherited(files: SiteFolder) -> None:
    files.write("base", "site: base\nscheduler: slurm\naccount: {value: abc, env: A}\n")
    files.write("x", "site: x\nextends: base\naccount: {value: '', env: null}\n")

    account = files.load().spec.account

    assert (account.value, account.env) == ("", "")


def test_the_model_is_frozen_and_can_be_changed_by_copy() -> None:
    queue = Queue(name="a")
    other = dataclasses.replace(queue, nodes=Range(max=3))

    assert other.nodes.max == 3
    assert queue == Queue(name="a")
    assert queue != other
    assert len({queue, other, Queue(name="a")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        queue.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="Queue has no field nme"):
        Queue(nme="a")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("queue: []", ["x.yaml:1: unknown key 'queue' (did you mean 'queues'?)"]),
        ("x-mine: 1", ["x.yaml:1: unknown key 'x-mine'"]),
        (
            "queues: [{name: a, time: {max: 90}, mem_per_node: {max: 512}}]",
            [
                (
                    "x.yaml:1: queues[0].time.max: expected a duration such as 90m, 2h or "
                    '"1-12:00:00", not 90 (give its unit)'
                ),
                (
                    "x.yaml:1: queues[0].mem_per_node.max: expected a memory size such as 4GiB or "
                    "512MiB, not 512 (give its unit)"
                ),
            ],
        ),
        (
            "node_types: {a: {mem: '512'}}",
            [
                (
                    "x.yaml:1: node_types.a.mem: expected a memory size such as 4GiB or 512MiB, not "
                    "'512' (give its unit)"
                )
            ],
        ),
        (
            "launchers:\n  mpi: {argv: [mpirun, '{word_size}']}\n  mpirun: {}",
            [
                (
                    "x.yaml:2: launchers.mpi.argv[1]: unknown placeholder 'word_size' (did you mean "
                    "'world_size'?)"
                ),
                "x.yaml:3: launchers: 'mpirun' is a launcher of this site, but has no argv (did you mean 'mpi'?)",
            ],
        ),
        (
            "account: {required: perhaps}\nslurm: {version: 24.05}\nerrors: [{match: '('}]",
            [
                "x.yaml:1: account.required: expected one of yes, no, if-several, not 'perhaps'",
                "x.yaml:2: slurm.version: expected a quoted version such as '24.05.3', not 24.05",
                (
                    "x.yaml:3: errors[0].match: not a regular expression: missing ), unterminated "
                    "subpattern at position 0"
                ),
                "x.yaml:3: errors[0]: 'hint' is missing",
            ],
        ),
        (
            "queues: [{name: a, nodes: 4, exclusive: maybe}]",
            [
                "x.yaml:1: queues[0].nodes: expected limits such as {min: 1, max: 8}, not 4",
                "x.yaml:1: queues[0].exclusive: expected yes or no, not 'maybe'",
            ],
        ),
        (
            "facts: {queues: {source: x, date: yesterday, confidence: sure}}",
            [
                (
                    "x.yaml:1: facts.queues.date: expected a date such as 2026-07-22, or unknown, not "
                    "'yesterday'"
                ),
                "x.yaml:1: facts.queues.confidence: expected one of O, T, L, M, not 'sure'",
            ],
        ),
    ],
)
def test_faults_are_told_all_at_once(files: SiteFolder, text: str, expected: list[str]) -> None:
    assert files.faults(text) == expected


def test_a_file_of_another_name_and_one_that_is_empty_are_refused(files: SiteFolder) -> None:
    files.write("x", "site: y\nscheduler: slurm\n")
    assert files.told() == ["x.yaml:1: site: 'y', but the file is x.yaml"]
    files.write("x", "site: x\n")
    assert files.told() == ["x.yaml:1: 'scheduler' is missing"]
    files.write("x", "")
    assert files.told() == ["x.yaml:1: 'site' is missing", "x.yaml:1: 'scheduler' is missing"]


def test_a_scheduler_without_an_adapter_is_refused(files: SiteFolder) -> None:
    files.write("x", "site: x\nscheduler: slrum\n")
    (told,) = files.told()
    assert told.startswith("x.yaml:2: scheduler: no 'slrum' (Did you mean 'slurm'?)")
