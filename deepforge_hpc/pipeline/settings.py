"""What the command line, `DEEPFORGE_HPC_*` variables and the user's own file say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import NAME, Reader, shown
from deepforge_hpc.files.kinds import Items, Text, version
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.files.project import read_input
from deepforge_hpc.files.yaml12 import load, parse_value

USER_FILE = "settings.yaml"
PREFIX = "DEEPFORGE_HPC_"
VARIABLES = frozenset(f"{PREFIX}{name}" for name in ("SITE", "ACCOUNT", "EXECUTIONS", "PATH"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that reaches `load_pipeline` besides the files of the project."""

    overrides: tuple[str, ...] = ()
    """`operation.attribute=value`, the value as YAML."""
    only: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    account: str | None = None
    needs_site: bool = False
    """Whether the default site is taken if nobody names one."""
    python: str | None = None
    """What `python: submitter` stands for; None: this process's interpreter."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Those that begin with `DEEPFORGE_HPC_` must be of `VARIABLES`; a site may name others."""
    user_dir: Path | None = None
    """`paths.user_folder()`; None: the user has no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """`~/.config/deepforge-hpc/settings.yaml`"""

    dfh: int = key(version, 1)
    site: str = key(Text("the name of a site"), "")
    account: str = key(Text("the name of an account"), "")
    executions: str = key(Text("a folder"), "")
    trust: tuple[str, ...] = key(Items(Text("a folder")), ())
    """Folders of other users whose projects and site files act as one's own."""


_USER = Object(UserSettings)


def load_user_settings(folder: Path | None) -> UserSettings:
    """Return the user's settings; the defaults if there is no file."""
    path = None if folder is None else folder / USER_FILE
    if path is None or not path.exists():
        return UserSettings()
    document = load(read_input(path), str(path))
    reader = Reader(document)
    value = document.value()
    result = UserSettings() if value is None else _USER(value, (), reader)
    if reader.faults:
        raise InvalidInputError(reader.faults)
    assert isinstance(result, UserSettings)
    return result


def parse_overrides(texts: tuple[str, ...]) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
    """Return {operation: {attribute: value}} of `--set` texts, and what is wrong with them."""
    overrides: dict[str, dict[str, Any]] = {}
    faults: list[Fault] = []
    for assignment in texts:
        target, equals, value = assignment.partition("=")
        operation, _, attribute = target.partition(".")
        where = f"--set {target}"
        if not equals or not NAME.fullmatch(operation) or not NAME.fullmatch(attribute):
            message = f"{shown(assignment)} is not operation.attribute=value"
            faults.append(Fault(message=message, file="--set"))
        elif attribute in overrides.get(operation, {}):
            faults.append(Fault(message="given twice", file=where))
        else:
            try:
                parsed = parse_value(value, where)
            except InvalidInputError as error:
                faults += [
                    Fault(message=fault.message, file=where, hint=fault.hint)
                    for fault in error.faults
                ]
            else:
                overrides.setdefault(operation, {})[attribute] = parsed
    return overrides, faults
