"""The sections of a site file that say where jobs can go: queues, and kinds of node."""

from __future__ import annotations

from deepforge_hpc.files.kinds import Choice, Field, Integer, Items, Record, Text
from deepforge_hpc.site.kinds import (
    COUNT,
    COUNT_OR_UNKNOWN,
    FLAG_OR_UNKNOWN,
    LINE_OR_UNKNOWN,
    SIZE,
    SIZE_OR_UNKNOWN,
    SLURM_NAME,
    TEXT,
    TEXT_OR_UNKNOWN,
    TIME,
    TIME_OR_UNKNOWN,
    NoOr,
    RangeOf,
    Unknown,
    Whole,
    facts,
    yes_no,
)
from deepforge_hpc.site.model_queue import (
    Holdings,
    JobLimit,
    JobLimits,
    LocalDisk,
    MemoryRequest,
    NodeType,
    Preemption,
    Queue,
    Tier,
)
from deepforge_hpc.site.words import CONSTRAINT, NAME, SUFFIX, bound

MEMORY_REQUEST = facts(
    MemoryRequest,
    {
        "policy": Unknown(
            Choice(
                *("required", "optional", "forbidden"),
                *("fixed-per-core", "fixed-per-gpu", "per-cpu-only"),
            )
        ),
        "whole_node": Text("the value of --mem for a whole node, such as 0", r"\d+[KMGT]?"),
        "share": FLAG_OR_UNKNOWN,
        "default_per_cpu": Field(SIZE_OR_UNKNOWN, name="default_per_cpu_mib"),
    },
    shorthand="policy",
)
_TIER = Record(Tier, {"nodes": RangeOf(COUNT), "time": RangeOf(TIME)})
_LIMIT = facts(
    JobLimit, {"max": COUNT_OR_UNKNOWN, "scope": Unknown(Choice("user", "account", "group"))}
)
QUEUE = facts(
    Queue,
    {
        "name": Field(Text("the name of a queue", SLURM_NAME), required=True),
        "partition": NAME,
        "qos": NAME,
        "constraint": CONSTRAINT,
        "default": FLAG_OR_UNKNOWN,
        "node_type": NAME,
        "automatic": yes_no,
        "access": TEXT_OR_UNKNOWN,
        "nodes": RangeOf(COUNT),
        "gpus": RangeOf(COUNT),
        "gpus_per_node": RangeOf(COUNT),
        "cpus": RangeOf(COUNT),
        "cpus_per_node": RangeOf(COUNT),
        "cpu_multiple": Unknown(Integer(1, 100_000)),
        "mem_per_node": RangeOf(SIZE),
        "time": RangeOf(TIME),
        "tiers": Items(_TIER, "a list of {nodes, time}"),
        "node_minutes": COUNT_OR_UNKNOWN,
        "jobs": facts(
            JobLimits,
            dict.fromkeys(("running", "submitted", "eligible", "any_state"), _LIMIT),
        ),
        "at_once": facts(Holdings, dict.fromkeys(("nodes", "gpus"), _LIMIT)),
        "memory": MEMORY_REQUEST,
        "exclusive": FLAG_OR_UNKNOWN,
        "chaining": Unknown(Choice("allowed", "forbidden")),
        "preemptible": Unknown(
            facts(
                Preemption,
                {
                    "grace": Field(TIME_OR_UNKNOWN, name="grace_s"),
                    "exempt": Field(TIME_OR_UNKNOWN, name="exempt_s"),
                    "signal": LINE_OR_UNKNOWN,
                },
            )
        ),
        "account_suffix": SUFFIX,
        "charge": TEXT_OR_UNKNOWN,
        "note": TEXT,
    },
)
NODE_TYPE = facts(
    NodeType,
    {
        "count": COUNT_OR_UNKNOWN,
        "cpu": LINE_OR_UNKNOWN,
        "cores": COUNT_OR_UNKNOWN,
        "usable_cores": COUNT_OR_UNKNOWN,
        "reserved_cores": Whole(Integer(0, 10_000), "a list of core numbers"),
        "smt": COUNT_OR_UNKNOWN,
        "mem": Field(SIZE_OR_UNKNOWN, name="mem_mib"),
        "mem_requestable": Field(SIZE_OR_UNKNOWN, name="mem_requestable_mib"),
        "mem_includes_gpu": FLAG_OR_UNKNOWN,
        "gpus": COUNT_OR_UNKNOWN,
        "gpu_model": LINE_OR_UNKNOWN,
        "gpu_type": Unknown(NAME),
        "gpu_mem": Field(SIZE_OR_UNKNOWN, name="gpu_mem_mib"),
        "nics": LINE_OR_UNKNOWN,
        "local": NoOr(
            facts(
                LocalDisk,
                {
                    "path": Unknown(bound),
                    "size": Field(SIZE_OR_UNKNOWN, name="size_mib"),
                    "is_ram": FLAG_OR_UNKNOWN,
                    "constraint": CONSTRAINT,
                },
            )
        ),
    },
)
