"""The sections of a site file that say how jobs are asked for and started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.kinds import Choice, Field, Integer, Items, MapOf, Record, Text, described
from deepforge_hpc.site import model
from deepforge_hpc.site.kinds import (
    COUNT_OR_UNKNOWN,
    DATE_OR_UNKNOWN,
    FLAG_OR_UNKNOWN,
    LINE,
    LINE_OR_UNKNOWN,
    SIZE,
    SLURM_NAME,
    TEXT,
    TEXT_OR_UNKNOWN,
    TIME,
    VARIABLE_NAME,
    Known,
    Unknown,
    Whole,
    YesNoOr,
    cores,
    facts,
    listed,
    pattern,
    yes_no,
)
from deepforge_hpc.site.queues import MEMORY_REQUEST, NODE_TYPE, QUEUE
from deepforge_hpc.site.words import (
    LAUNCHER_VARIABLES,
    LAUNCHERS,
    MODULES,
    NAME,
    NEVER,
    OPTION,
    PLACE,
    SUFFIX,
    VARIABLES,
    WHEN,
    bound,
    directive,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.files.faults import Path, Reader
    from deepforge_hpc.files.kinds import Kind

SELECTORS = ("partition", "qos", "constraint", "walltime", "memory", "nodes")
REQUIRED = ("account", "time", "nodes", "partition", "qos", "constraint", "memory", "gpus")
_TYPE = re.compile(SLURM_NAME)
_TYPE_RULE = "letters, digits and _ . -"
_SELECTOR_LIST = listed(Choice(*SELECTORS), "a list of selectors")
_ORDER = Whole(Integer(0, 1_000), "a list of GPU numbers")
_WORDS = Choice("ascending", "descending")
_ACCOUNT = facts(
    model.Account,
    {
        "required": Unknown(YesNoOr("if-several")),
        "value": NAME,
        "pattern": Unknown(pattern),
        "env": VARIABLE_NAME,
        "suffixes": Items(
            Record(
                model.AccountSuffix, {"suffix": Field(Known(SUFFIX), required=True), "when": WHEN}
            ),
            "a list of {when, suffix}",
        ),
        "list_command": TEXT_OR_UNKNOWN,
    },
)


@described({"anyOf": [{"enum": ["ascending", "descending"]}, _ORDER.schema()]})
def gpu_order(value: object, path: Path, reader: Reader) -> object:
    """Read a word, or the GPU of each rank of a node."""
    return _ORDER(value, path, reader) if isinstance(value, list) else _WORDS(value, path, reader)


_BINDING = facts(
    model.Binding,
    {
        "style": Unknown(Choice("mask", "map", "closest", "none")),
        "gpu_core_base": Whole(Integer(0, 10_000), "a list of core numbers"),
        "width": Integer(1, 1_000),
        "skip_first": Integer(0, 100),
        "gpu_order": gpu_order,
        "nic_of_gpu": Whole(LINE, "a list of network interfaces"),
        "needs_full_node": yes_no,
        "except_queues": listed(NAME, "a list of queues"),
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
_FORBIDDEN = facts(
    model.ForbiddenFlag,
    {
        "flag": Field(OPTION, required=True),
        "severity": Unknown(Choice("reject", "policy", "avoid")),
        "why": TEXT,
    },
)


def _extra(**values: Any) -> model.ExtraDirective:
    """Return an option for some jobs; one that is unknown is given to none."""
    if "directive" not in values:
        return model.ExtraDirective(when=NEVER)
    return model.ExtraDirective(**values)


_REQUEST = facts(
    model.Request,
    {
        "gpu": _GPU_REQUEST,
        "memory": MEMORY_REQUEST,
        "required": Unknown(listed(Choice(*REQUIRED), "a list of what a job must say")),
        "forbidden": Items(_FORBIDDEN, "a list of {flag, severity, why}"),
        "tasks": Choice("ntasks-per-node", "ntasks"),
        "cpus_per_task": Choice("header", "launch", "both", "none"),
        "extra": Items(
            Record(_extra, {"directive": Field(directive, required=True), "when": WHEN}),
            "a list of {when, directive}",
        ),
    },
)
_LAUNCHER = facts(
    model.Launcher,
    {
        "argv": Whole(word, "a list of words"),
        "env": LAUNCHER_VARIABLES,
        "modules": MODULES,
        "clamp": yes_no,
        "max_nodes": Integer(1, 1_000_000),
        "avoid": TEXT,
        "note": TEXT,
    },
)
_ENVIRONMENT_SET = facts(
    model.EnvironmentSet,
    {
        "when": WHEN,
        "env": VARIABLES,
        "modules": MODULES,
        "conflicts": TEXT_OR_UNKNOWN,
        "since": DATE_OR_UNKNOWN,
        "until": DATE_OR_UNKNOWN,
        "note": TEXT,
    },
)
_CONTAINERS = facts(
    model.Containers,
    {
        "runtime": Unknown(Choice("apptainer", "shifter", "podman-hpc", "pyxis", "ce", "none")),
        "gpu_flag": Text("a flag", r"--?[A-Za-z0-9=_,-]+"),
        "bind": listed(bound, "a list of paths"),
        "flags": listed(Text("a word", r"[A-Za-z0-9=_.,/:$@+-]+"), "a list of words"),
        "mpi": Unknown(NAME),
        "modules": MODULES,
        "build_on": Unknown(listed(Choice("login", "compute"), "a list of login, compute")),
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
    "queues": Items(QUEUE, "a list of queues"),
    "node_types": MapOf(NODE_TYPE, _TYPE, _TYPE_RULE),
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
            "slurm_conf": Unknown(PLACE),
            "array_counts_as": Unknown(Choice("tasks", "job")),
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
