"""What of a site file reaches a script: words that are safe there.

The renderer quotes them all the same.
"""

from __future__ import annotations

import re
from typing import Any

from deepforge_hpc.files.faults import BAD, Path, Reader, nearest, shown
from deepforge_hpc.files.kinds import MapOf, Schema, Text, described
from deepforge_hpc.site.kinds import SLURM_NAME, VARIABLE, VARIABLE_RULE, list_of

SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SIZES = ("world_size", "nodes", "ntasks_per_node", "cpus_per_task", "gpus_per_node")
"""What of a job's resources a launch line may name."""
PLACEHOLDERS = (*SIZES, "cpu_bind", "gpu_bind")
_PLACEHOLDER = re.compile(r"(?<!\$)\{([^{}]*)\}")
NAME = Text("a name of the scheduler's", SLURM_NAME)
SUFFIX = Text("a suffix of letters, digits, _ and -", r"[A-Za-z0-9_-]{1,20}")
CONSTRAINT = Text(
    "a constraint of the scheduler's", r"[A-Za-z0-9][A-Za-z0-9_.,:&|*()\[\]+-]{0,200}"
)
MODULE = Text("the name of a module", r"[A-Za-z0-9][A-Za-z0-9_.+/@:-]{0,200}")
MODULES = list_of(MODULE, "a list of modules")
PLACE = Text(
    "a path, with variables such as $USER, without spaces, quotes and commands",
    r"[A-Za-z0-9_./~$@+,:=%-]{1,500}|[A-Za-z0-9_./~$@+,:=%-]*(\$\{[A-Za-z_]\w*\}"
    r"[A-Za-z0-9_./~$@+,:=%-]*)+",
)
_UNSAFE = r"""\x00-\x1f\x7f`\\"';&|<>()!"""
LITERAL = rf"[^{_UNSAFE}$*?]+"
"""A text that a shell leaves as it is."""
# What a variable of a job is set to: text and variables, never a command.
_PLAIN = "text without quotes, backslashes and commands"
_WORD = Text(
    "a word of a command, without spaces, quotes and commands", r"[A-Za-z0-9_.,:/@+=%{}\[\]^~*#-]+"
)
SETTING = Text(f"the value of a variable: {_PLAIN}", f"[^{_UNSAFE}]*", empty=True)
HARMLESS = re.compile(
    r"SLURM_[A-Z_]+|(CRAY_)?LD_LIBRARY_PATH|PATH|HOME|USER|TMPDIR|PROJECT|"
    r"[A-Z]*SCRATCH[A-Z]*|[A-Z]*WORK[A-Z]*"
)
"""Variables that a text in a script may name."""
_HARMLESS_RULE = (
    "only SLURM_*, [CRAY_]LD_LIBRARY_PATH, PATH, HOME, USER, TMPDIR, PROJECT and names with "
    "SCRATCH or WORK may"
)
SECRET = re.compile(r"secret:([A-Za-z0-9][A-Za-z0-9_.-]{0,63})")
"""The value of a variable that the job reads from a file of the user's."""


@described(_WORD.schema())
def word(value: object, path: Path, reader: Reader) -> object:
    """Read a word of a launcher's command, with placeholders."""
    return _filled(_WORD(value, path, reader), path, reader)


@described(SETTING.schema())
def setting(value: object, path: Path, reader: Reader) -> object:
    """Read the value of a variable; those that it names are on a list of harmless ones."""
    if value == "unknown":
        return BAD  # a job is not given it
    result = SETTING(value, path, reader)
    if result is BAD:
        return BAD
    return harmless(result, path, reader)


@described(PLACE.schema())
def bound(value: object, path: Path, reader: Reader) -> object:
    """Read a path that a script names."""
    result = PLACE(value, path, reader)
    return result if result is BAD else harmless(result, path, reader)


def harmless(value: str, path: Path, reader: Reader) -> object:
    """Return a text that goes into a script; BAD, with a fault, if it names other variables."""
    for used in re.findall(r"\$\{?(\w*)", value):
        if not HARMLESS.fullmatch(used):
            reader.fault(path, f"${used} may not be used here", _HARMLESS_RULE)
            return BAD
    return value


@described(SETTING.schema())
def launcher_setting(value: object, path: Path, reader: Reader) -> object:
    """Read the value of a variable of a launcher, with placeholders."""
    return _filled(setting(value, path, reader), path, reader)


def _filled(value: Any, path: Path, reader: Reader) -> Any:
    if value is not BAD:
        for name in _PLACEHOLDER.findall(value):
            if name not in PLACEHOLDERS:
                hint = nearest(name, PLACEHOLDERS)
                reader.fault(path, f"unknown placeholder {shown(name)}", hint)
                return BAD
    return value


VARIABLES = MapOf(setting, VARIABLE, VARIABLE_RULE)
LAUNCHER_VARIABLES = MapOf(launcher_setting, VARIABLE, VARIABLE_RULE)
OPTION = Text("the long name of an option of the scheduler, without --", r"[a-z][a-z0-9-]{1,40}")
_VALUE = Text("the value of such an option", r"[A-Za-z0-9_.,:/@+=%&|*()\[\]-]{1,200}")
JOINED = {"constraint": "&", "gres": ",", "licenses": ",", "exclude": ",", "network": ","}
"""Options whose value is a list, to which several rules may add; with what stands between."""
WRITTEN = {
    "account": "account: {value: ..}",
    "array": "map: in the pipeline",
    "clusters": "submit: {cluster: ..}",
    "export": "submit: {export: ALL}",
    "nodes": "resources: {nodes: ..} in the pipeline",
    "ntasks": "request: {tasks: ntasks}",
    **dict.fromkeys(
        ("ntasks-per-node", "tasks-per-node", "ntasks-per-gpu"),
        "resources: {ntasks_per_node: ..} in the pipeline",
    ),
    **dict.fromkeys(("time", "time-min"), "defaults: {time: ..}"),
    **dict.fromkeys(("chdir", "comment", "dependency", "error", "hold", "input", "job-name"), ""),
    **dict.fromkeys(("kill-on-invalid-dep", "no-requeue", "open-mode", "output", "parsable"), ""),
    **dict.fromkeys(("gid", "uid"), ""),
    **dict.fromkeys(("propagate", "requeue", "signal", "test-only", "wait", "wrap"), ""),
}
"""Options that dfh gives every job itself, or that its jobs cannot bear; with what to write."""
IN_FULL = (
    *("constraint", "cpus-per-task", "exclude", "exclusive", "gpus", "gpus-per-node"),
    *("gpus-per-task", "gres", "image", "licenses", "mem", "mem-per-cpu", "network", "partition"),
    *("qos", "reservation", "segment"),
)
"""Options that several parts of a file ask for, and that are compared by their whole names."""
_DIRECTIVE: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 2,
    "items": [OPTION.schema(), _VALUE.schema()],
}


@described({"anyOf": [{"enum": ["unknown", ["unknown"]]}, _DIRECTIVE]})
def directive(value: object, path: Path, reader: Reader) -> object:
    """Read [option] or [option, value]; BAD if any of it is unknown."""
    if value == "unknown" or (isinstance(value, list) and "unknown" in value):
        return BAD
    if not isinstance(value, list) or not 1 <= len(value) <= 2:
        what = "a list of an option and its value, such as [constraint, nvme]"
        return reader.wrong(path, what, value)
    name = OPTION(value[0], (*path, 0), reader)
    given = _VALUE(value[1], (*path, 1), reader) if len(value) == 2 else ""
    return BAD if BAD in (name, given) else (name, given)
