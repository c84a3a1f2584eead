"""Every difference between sites that is known has a key of its own, none of which is free text.

The table is that of the facts that were collected on real sites (the fields that they force).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SiteFolder

DIFFERENCES = {
    "identify": "identify: [{env: {A: b}, hostname: '^a'}, {file: {path: /a, content: b}}, {cluster_name: c}]",
    "extends, variants": "variants: {a: {request: {gpu: none}}, b: {}}\ndefault_variant: a",
    "slurm": "slurm: {version: '25.11.4', flavour: psslurm}",
    "account": (
        "account: {required: if-several, pattern: '[a-z]+', env: A, list_command: accounts,\n"
        "  suffixes: [{when: {gpus: yes}, suffix: _g}]}"
    ),
    "routing by walltime, memory, nodes or nothing": "routing: {by: [walltime, memory, nodes], forbidden: [partition]}",
    "queues: where": "queues: [{name: a, partition: p, qos: q, constraint: 'a&b', default: yes, access: on request, automatic: no}]",
    "queues: sizes": (
        "queues: [{name: a, nodes: {min: 65, max: 256}, gpus: {min: 4}, cpus: {max: 4}, cpu_multiple: 128,\n"
        "  mem_per_node: {min: 256GiB}, time: {min: 24h, max: 4-00:00:00}}]"
    ),
    "queues: tiers and products": "queues: [{name: a, tiers: [{nodes: {max: 91}, time: {max: 2h}}], node_minutes: 90}]",
    "queues: jobs and what they hold": (
        "queues: [{name: a, jobs: {running: {max: 1}, submitted: {max: 2, scope: group}, eligible: {max: 4},\n"
        "  any_state: {max: 1, scope: account}}, at_once: {nodes: {max: 48}, gpus: {max: 32, scope: group}}}]"
    ),
    "queues: classes of allocation R, N, C and G": (
        "queues: [{name: r, exclusive: no}, {name: n, exclusive: yes}, {name: c, memory: fixed-per-core},\n"
        "  {name: g, memory: fixed-per-gpu}]"
    ),
    "queues: rules": (
        "queues: [{name: a, chaining: forbidden, account_suffix: -gpu, charge: '0.25',\n"
        "  preemptible: {exempt: 10m, grace: 300s, signal: SIGTERM}}]"
    ),
    "nodes": (
        "node_types: {a: {cores: 64, usable_cores: 62, reserved_cores: [0, 8], smt: 2, mem: 512GiB,\n"
        "  mem_requestable: 494000M, mem_includes_gpu: no, gpus: 4, gpu_model: V100, gpu_type: v100-32,\n"
        "  nics: 'hsn0, hsn1', local: {path: /tmp, size: 10GB, is_ram: yes, constraint: nvme}}}"
    ),
    "binding": (
        "queues: [{name: dev}]\n"
        "binding: {style: mask, gpu_core_base: [8, 0], width: 8, skip_first: 1, gpu_order: [1, 0],\n"
        "  nic_of_gpu: [hsn0, hsn1], needs_full_node: yes, except_queues: [dev]}"
    ),
    "request: GPUs": "request: {gpu: {style: gpus-per-node, typed: yes, where: both}}",
    "request: memory": "request: {memory: {policy: per-cpu-only, whole_node: '0', default_per_cpu: 1000MB}}",
    "request: flags": (
        "request: {required: [account, time], forbidden: [{flag: mem, severity: reject}, {flag: export,\n"
        "  severity: avoid}, {flag: nodelist, severity: policy}], extra: [{when: {node_local: yes},\n"
        "  directive: [constraint, nvme]}, {directive: [get-user-env, 60L]}]}"
    ),
    "submit": (
        "submit: {from: scratch, cluster: c, slurm_conf: /etc/slurm/b.conf, export: NONE, rate_per_min: 60,\n"
        "  max_queued: 100, requeue: no, max_array_tasks: 1000, array_counts_as: tasks}\n"
        "login: {poll_s: 60}"
    ),
    "launch": (
        "launchers: {mpi: {argv: [srun, -K1, --mpi=pmi2, '--distribution=block:block',\n"
        "  --hint=nomultithread, '{cpu_bind}', '{gpu_bind}'], modules: [slurm], env: {A: b},\n"
        "  avoid: slow}}"
    ),
    "environment sets": (
        "environment_sets: {rccl: {when: {gpus: yes}, env: {A: b}, modules: [rccl], since: 2025-05-13,\n"
        "  until: 2026-01-01, conflicts: memhooks}}"
    ),
    "software": (
        "modules: {init: force-purge, unload: [a], load: [arrow/1, b]}\n"
        "software: {conda: discouraged, python_env: node-local}"
    ),
    "containers": (
        "containers: {runtime: ce, gpu_flag: --nv, bind: [/scratch/a], flags: [--nccl], mpi: pmi2,\n"
        "  modules: [apptainer], build_on: [compute]}"
    ),
    "file systems": (
        "queues: [{name: a}]\n"
        "filesystems: [{role: scratch, path: '/s/$USER', env: S, env_after: module reset, type: lustre,\n"
        "  quota: 1TB, quota_files: 9, purge: {days: 90, basis: announced}, backup: no,\n"
        "  visible_on: [login, dtn], not_on_queues: [a], shared_by: a project}]"
    ),
    "transfer": (
        "transfer: {dtn: d.x.org, dtn_shell: no, dtn_batch: sbatch -M x, globus: [{name: X, uuid: unknown,\n"
        "  path_map: /a is /b, consent: data_access, session_domain: x.org, max_active: 3}]}"
    ),
    "network": (
        "network: {compute_internet: proxy-module, proxy: {https_proxy: 'http://p:1/'}, module: httpproxy,\n"
        "  allowlist: [wandb.ai], interface: hsn0}"
    ),
    "login": (
        "login: {policy: no training, cores: 16, mem: 37GB, cpu_minutes: 10, forbidden: [make -j 64],\n"
        "  cron: no, ai_tools: on compute nodes}"
    ),
    "accounting": (
        "accounting: {usage_command: u, balance_command: b, limits_command: l, charge: node-hours,\n"
        "  minimum_charge: 15 minutes, overuse: low priority}"
    ),
    "errors": "errors: [{match: 'Invalid qos', hint: ask}]",
    "facts": "facts: {queues.batch: {source: a page, date: 2026-07-22, confidence: O}}",
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_difference_has_its_key(files: SiteFolder, difference: str) -> None:
    spec = files.spec(DIFFERENCES[difference])
    known_by_hand = {"transfer.globus[0].uuid"} if difference == "transfer" else set()
    assert set(spec.unknowns) == known_by_hand
