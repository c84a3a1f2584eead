"""The sections of a site file that say how jobs are asked for and started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepforge_hpc.model import site as model
from deepforge_hpc.spec.kinds import Choice, Field, Integer, Items, MapOf, Record, Text
from deepforge_hpc.spec.site.kinds import (
    CONSTRAINT,
    COUNT,
    COUNT_OR_UNKNOWN,
    FLAG_OR_UNKNOWN,
    LAUNCHER_VARIABLES,
    LAUNCHERS,
    LINE_OR_UNKNOWN,
    MODULES,
    NAME,
    OPTION,
    PLACE,
    SIZE,
    SIZE_OR_UNKNOWN,
    SLURM_NAME,
    SUFFIX,
    TEXT,
    TEXT_OR_UNKNOWN,
    TIME,
    TIME_OR_UNKNOWN,
    VARIABLE_NAME,
    VARIABLES,
    WHEN,
    RangeOf,
    Unknown,
    YesNoOr,
    cores,
    directive,
    facts,
    pattern,
    word,
    yes_no,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.spec.kinds import Kind

SELECTORS = ("partition", "qos", "constraint", "walltime", "memory", "nodes")
REQUIRED = ("account", "time", "nodes", "partition", "qos", "constraint", "memory", "gpus")
_TYPE = re.compile(SLURM_NAME)
_TYPE_RULE = "letters, digits and _ . -"
_SELECTOR_LIST = Items(Choice(*SELECTORS), "a list of selectors")
_ACCOUNT = facts(
    model.Account,
    {
        "required": Unknown(YesNoOr("if-several")),
        "value": NAME,
        "pattern": Unknown(pattern),
        "env": VARIABLE_NAME,
        "suffixes": Items(
            Record(model.AccountSuffix, {"suffix": Field(SUFFIX, required=True), "when": WHEN}),
            "a list of {when, suffix}",
        ),
        "list_command": TEXT_OR_UNKNOWN,
    },
)
_TIER = Record(model.Tier, {"nodes": RangeOf(COUNT), "time": RangeOf(TIME)})
_LIMIT = Record(
    model.JobLimit, {"max": COUNT_OR_UNKNOWN, "scope": Choice("user", "account", "group")}
)
_QUEUE = facts(
    model.Queue,
    {
        "name": Field(Text("the name of a queue", SLURM_NAME), required=True),
        "partition": NAME,
        "qos": NAME,
        "constraint": CONSTRAINT,
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
            model.JobLimits,
            dict.fromkeys(("running", "submitted", "eligible", "any_state"), _LIMIT),
        ),
        "exclusive": FLAG_OR_UNKNOWN,
        "chaining": Unknown(Choice("allowed", "forbidden")),
        "preemptible": Unknown(
            facts(
                model.Preemption,
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
_NODE_TYPE = facts(
    model.NodeType,
    {
        "count": COUNT_OR_UNKNOWN,
        "cpu": LINE_OR_UNKNOWN,
        "cores": COUNT_OR_UNKNOWN,
        "usable_cores": COUNT_OR_UNKNOWN,
        "smt": COUNT_OR_UNKNOWN,
        "mem": Field(SIZE_OR_UNKNOWN, name="mem_mib"),
        "mem_requestable": Field(SIZE_OR_UNKNOWN, name="mem_requestable_mib"),
        "gpus": COUNT_OR_UNKNOWN,
        "gpu_model": LINE_OR_UNKNOWN,
        "gpu_type": Unknown(NAME),
        "gpu_mem": Field(SIZE_OR_UNKNOWN, name="gpu_mem_mib"),
        "nics": LINE_OR_UNKNOWN,
        "local": Unknown(
            facts(
                model.LocalDisk,
                {
                    "path": Unknown(PLACE),
                    "size": Field(SIZE_OR_UNKNOWN, name="size_mib"),
                    "is_ram": FLAG_OR_UNKNOWN,
                    "constraint": CONSTRAINT,
                },
            )
        ),
    },
)
_BINDING = facts(
    model.Binding,
    {
        "style": Unknown(Choice("mask", "map", "closest", "none")),
        "gpu_core_base": Items(Integer(0, 10_000), "a list of core numbers"),
        "width": Integer(1, 1_000),
        "skip_first": Integer(0, 100),
        "gpu_order": Choice("ascending", "descending"),
        "needs_full_node": yes_no,
        "except_queues": Items(NAME, "a list of queues"),
    },
)
_GPU_REQUEST = facts(
    model.GpuRequest,
    {
        "style": Unknown(Choice("gres", "gpus", "gpus-per-node", "gpus-per-task", "none")),
        "typed": yes_no,
        "where": Choice("header", "launch", "both"),
    },
    shorthand="style",
)
_MEMORY_REQUEST = facts(
    model.MemoryRequest,
    {
        "policy": Unknown(
            Choice("required", "optional", "forbidden", "fixed-per-core", "fixed-per-gpu")
        ),
        "whole_node": Text("the value of --mem for a whole node, such as 0", r"\d+[KMGT]?"),
    },
    shorthand="policy",
)
_FORBIDDEN = Record(
    model.ForbiddenFlag,
    {
        "flag": Field(OPTION, required=True),
        "severity": Choice("reject", "policy", "avoid"),
        "why": TEXT,
    },
)
_REQUEST = facts(
    model.Request,
    {
        "gpu": _GPU_REQUEST,
        "memory": _MEMORY_REQUEST,
        "required": Unknown(Items(Choice(*REQUIRED), "a list of what a job must say")),
        "forbidden": Items(_FORBIDDEN, "a list of {flag, severity, why}"),
        "tasks": Choice("ntasks-per-node", "ntasks"),
        "cpus_per_task": Choice("header", "launch", "both", "none"),
        "extra": Items(
            Record(
                model.ExtraDirective, {"directive": Field(directive, required=True), "when": WHEN}
            ),
            "a list of {when, directive}",
        ),
    },
)
_LAUNCHER = facts(
    model.Launcher,
    {
        "argv": Items(word, "a list of words"),
        "env": LAUNCHER_VARIABLES,
        "modules": MODULES,
        "clamp": yes_no,
        "max_nodes": Integer(1, 1_000_000),
        "note": TEXT,
    },
)
_ENVIRONMENT_SET = facts(
    model.EnvironmentSet,
    {"when": WHEN, "env": VARIABLES, "modules": MODULES, "note": TEXT},
)
_CONTAINERS = facts(
    model.Containers,
    {
        "runtime": Unknown(Choice("apptainer", "shifter", "podman-hpc", "pyxis", "ce", "none")),
        "gpu_flag": Text("a flag", r"--?[A-Za-z0-9=_-]+"),
        "bind": Items(PLACE, "a list of paths"),
        "flags": Items(Text("a word", r"[A-Za-z0-9=_.,/:$@+-]+"), "a list of words"),
        "modules": MODULES,
        "note": TEXT,
    },
)

FIELDS: Mapping[str, Field | Kind] = {
    "account": _ACCOUNT,
    "routing": facts(model.Routing, {"by": Unknown(_SELECTOR_LIST), "forbidden": _SELECTOR_LIST}),
    "defaults": facts(
        model.Defaults,
        {
            "time": Field(TIME, name="time_s"),
            "mem_per_node": Field(SIZE, name="mem_per_node_mib"),
            "cpus_per_task": Integer(1, 100_000),
        },
    ),
    "queues": Items(_QUEUE, "a list of queues"),
    "node_types": MapOf(_NODE_TYPE, _TYPE, _TYPE_RULE),
    "binding": _BINDING,
    "request": _REQUEST,
    "launchers": Record(
        lambda **launchers: launchers, dict.fromkeys(LAUNCHERS, Unknown(_LAUNCHER, absent=True))
    ),
    "environment_sets": MapOf(_ENVIRONMENT_SET, _TYPE, _TYPE_RULE),
    "modules": facts(
        model.Modules,
        {
            "init": Unknown(Choice("none", "purge", "force-purge", "reset")),
            "unload": MODULES,
            "load": MODULES,
            "note": TEXT,
        },
    ),
    "containers": _CONTAINERS,
    "submit": facts(
        model.SubmitSettings,
        {
            "from": Field(LINE_OR_UNKNOWN, name="from_"),
            "rate_per_min": COUNT_OR_UNKNOWN,
            "max_queued": COUNT_OR_UNKNOWN,
            "max_array_tasks": COUNT_OR_UNKNOWN,
            "requeue": FLAG_OR_UNKNOWN,
            "export": Choice("ALL", "NONE"),
            "cluster": NAME,
        },
    ),
    "clamp": facts(
        model.Clamp,
        {
            "nodes": Integer(1, 1_000_000),
            "gpus_per_node": Integer(0, 10_000),
            "cpus_per_node": cores,
        },
    ),
}
"""Top-level keys by section."""
