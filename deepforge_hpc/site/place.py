"""The sections of a site file that say what a machine is, and what surrounds its jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.faults import BAD
from deepforge_hpc.files.kinds import Choice, Field, Items, MapOf, Record, Text
from deepforge_hpc.model.environment import EnvironmentSpec
from deepforge_hpc.site import model
from deepforge_hpc.site.kinds import (
    COUNT_OR_UNKNOWN,
    FLAG_OR_UNKNOWN,
    LINE,
    LINE_OR_UNKNOWN,
    SIZE_OR_UNKNOWN,
    TEXT,
    TEXT_OR_UNKNOWN,
    UNKNOWN_SCHEMA,
    VARIABLE,
    VARIABLE_NAME,
    VARIABLE_RULE,
    Known,
    OneOrMore,
    Unknown,
    YesNoOr,
    facts,
    listed,
    pattern,
    unknown_leaves,
)
from deepforge_hpc.site.words import MODULE, MODULES, NAME, PLACE, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deepforge_hpc.files.faults import Path, Reader
    from deepforge_hpc.files.kinds import Kind, Schema

_FACT_PATH = re.compile(r"[a-z_]+(\.[A-Za-z0-9_.:+-]+)*")
_SAFE = r"""[^\x00-\x1f\x7f`\\"';&|<>()!$*?]+"""


def _identify(*, file: Mapping[str, Any] | None = None, **values: Any) -> model.Identify:
    return model.Identify(**values, **(file or {}))


_CONDITIONS = Record(
    _identify,
    {
        "env": MapOf(LINE, VARIABLE, VARIABLE_RULE),
        "hostname": pattern,
        "file": Record(
            lambda **values: values,
            {
                "path": Field(
                    Known(Text("an absolute path", r"/[^\n\t]*")), required=True, name="file"
                ),
                "content": LINE,
            },
        ),
        "cluster_name": NAME,
    },
)


class _Identify:
    """One way to know the machine; with anything unknown in it, it is none."""

    kind = _CONDITIONS

    def __call__(self, value: object, path: Path, reader: Reader, /) -> Any:
        """Read conditions."""
        found = BAD if value == "unknown" else self.kind(value, path, reader)
        return BAD if next(unknown_leaves(value), None) is not None else found

    def schema(self) -> Schema:
        """Describe them."""
        return {"anyOf": [UNKNOWN_SCHEMA, self.kind.schema()]}


_IDENTIFY = _Identify()
_FILE_SYSTEM = facts(
    model.FileSystem,
    {
        "role": Field(
            Unknown(
                Choice("home", "project", "scratch", "node-local", "archive", "software", "other")
            ),
            required=True,
        ),
        "path": Unknown(PLACE),
        "env": Unknown(VARIABLE_NAME),
        "env_after": LINE_OR_UNKNOWN,
        "type": LINE_OR_UNKNOWN,
        "quota": LINE_OR_UNKNOWN,
        "quota_files": COUNT_OR_UNKNOWN,
        "purge": Unknown(
            facts(
                model.Purge,
                {
                    "days": COUNT_OR_UNKNOWN,
                    "basis": Unknown(Choice("access", "creation", "none", "announced")),
                },
            )
        ),
        "backup": FLAG_OR_UNKNOWN,
        "visible_on": Unknown(
            listed(Choice("login", "compute", "dtn"), "a list of login, compute, dtn")
        ),
        "not_on_queues": listed(NAME, "a list of queues"),
        "shared_by": LINE_OR_UNKNOWN,
        "note": TEXT,
    },
)
_COLLECTION = facts(
    model.GlobusCollection,
    {
        "name": Field(LINE, required=True),
        "uuid": Unknown(Text("a uuid in lower case", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
        "path_map": LINE_OR_UNKNOWN,
        "consent": LINE_OR_UNKNOWN,
        "session_domain": LINE_OR_UNKNOWN,
        "max_active": COUNT_OR_UNKNOWN,
    },
)
_FACT = Record(
    model.Fact,
    {
        "source": Field(LINE, required=True),
        "date": Field(
            Text("a date such as 2026-07-22, or unknown", r"\d{4}-\d{2}-\d{2}|unknown"),
            required=True,
        ),
        "confidence": Field(Choice("O", "T", "L", "M"), required=True),
        "note": TEXT,
    },
)

FIELDS: Mapping[str, Field | Kind] = {
    "identify": Items(_IDENTIFY, "a list of ways to know the machine"),
    "slurm": facts(
        model.SlurmFacts,
        {
            "version": Unknown(
                Text("a quoted version such as '24.05.3'", r"\d+\.\d+(\.\d+){0,2}(-\d+)?")
            ),
            "flavour": Unknown(Choice("slurmd", "psslurm", "cray")),
            "mpi_default": Unknown(NAME),
        },
    ),
    "software": facts(
        model.Software,
        {
            "conda": TEXT_OR_UNKNOWN,
            "python_env": Unknown(Choice("home", "project", "scratch", "node-local", "container")),
            "note": TEXT,
        },
    ),
    "filesystems": Unknown(Items(_FILE_SYSTEM, "a list of file systems")),
    "transfer": facts(
        model.Transfer,
        {
            "dtn": LINE_OR_UNKNOWN,
            "dtn_shell": FLAG_OR_UNKNOWN,
            "dtn_batch": TEXT_OR_UNKNOWN,
            "queue": Unknown(NAME),
            "globus": Unknown(Items(_COLLECTION, "a list of collections")),
            "note": TEXT,
        },
    ),
    "network": facts(
        model.Network,
        {
            "compute_internet": Unknown(YesNoOr("nat", "proxy", "proxy-module")),
            "proxy": VARIABLES,
            "module": MODULE,
            "allowlist": listed(LINE, "a list of what is let through"),
            "interface": LINE_OR_UNKNOWN,
            "note": TEXT,
        },
    ),
    "login": facts(
        model.Login,
        {
            "policy": TEXT_OR_UNKNOWN,
            "forbidden": listed(LINE, "a list of what may not be run"),
            "ai_tools": TEXT_OR_UNKNOWN,
            "cores": COUNT_OR_UNKNOWN,
            "cpu_minutes": COUNT_OR_UNKNOWN,
            "mem": Field(SIZE_OR_UNKNOWN, name="mem_mib"),
            "poll_s": COUNT_OR_UNKNOWN,
            "cron": FLAG_OR_UNKNOWN,
        },
    ),
    "accounting": facts(
        model.Accounting,
        dict.fromkeys(
            (
                *("usage_command", "balance_command", "limits_command"),
                *("charge", "minimum_charge", "overuse"),
            ),
            TEXT_OR_UNKNOWN,
        ),
    ),
    "errors": Items(
        Record(
            model.ErrorHint,
            {"match": Field(pattern, required=True), "hint": Field(TEXT, required=True)},
        ),
        "a list of {match, hint}",
    ),
    "environment": Record(
        EnvironmentSpec,
        {
            "python": Unknown(
                Text("the path or command name of an interpreter, or submitter", _SAFE), absent=True
            ),
            "venv": Unknown(Text("the folder of a virtual environment", _SAFE), absent=True),
            "conda": Unknown(Text("the name or folder of a conda environment", _SAFE), absent=True),
            "container": Unknown(Text("a container image", _SAFE), absent=True),
            "modules": MODULES,
        },
        exclusive=("python", "venv", "conda", "container"),
    ),
    "executions": Text("a folder", _SAFE),
    "facts": MapOf(OneOrMore(_FACT), _FACT_PATH, "a dotted path such as queues.batch"),
}
"""Top-level keys by section."""
