"""What the command line, `DEEPFORGE_HPC_*` variables and the user's own file say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import NAME, Reader, shown
from deepforge_hpc.files.kinds import Items, Text, version
from deepforge_hpc.files.object import Object, key
from deepforge_hpc.files.project import read_input
from deepforge_hpc.files.yaml12 import load, parse_value
from deepforge_hpc.runtime.base.files import canonical_json

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.file import PipelineSpec

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


Overrides = dict[str, dict[str, Any]]
"""Operation -> name -> value."""


class Overridden(NamedTuple):
    """What `--set` says, and what is wrong with it."""

    attributes: Overrides
    sizes: Overrides
    faults: list[Fault]


def parse_overrides(texts: tuple[str, ...]) -> Overridden:
    """Return what the texts of `--set` say: OP.ATTRIBUTE=VALUE, or OP.resources.KEY=VALUE."""
    found = Overridden({}, {}, [])
    for assignment in texts:
        target, equals, value = assignment.partition("=")
        operation, _, name = target.partition(".")
        where, kind = f"--set {target}", found.attributes
        if name.startswith("resources."):
            name, kind = name.removeprefix("resources."), found.sizes
        if not equals or not NAME.fullmatch(operation) or not NAME.fullmatch(name):
            message = f"{shown(assignment)} is not operation.attribute=value"
            hint = "or operation.resources.key=value"
            found.faults.append(Fault(message=message, file="--set", hint=hint))
        elif name in kind.get(operation, {}):
            found.faults.append(Fault(message="given twice", file=where))
        else:
            try:
                kind.setdefault(operation, {})[name] = parse_value(value, where)
            except InvalidInputError as error:
                found.faults.extend(_at(where, error.faults))
    return found


def resized(pipeline: PipelineSpec, sizes: Overrides) -> tuple[PipelineSpec, list[Fault]]:
    """Return a pipeline with the resources that `--set` says, and what is wrong with them."""
    from deepforge_hpc.pipeline.file import RESOURCES

    operations, faults = dict(pipeline.operations), list[Fault]()
    for operation, values in sizes.items():
        given: dict[str, Any] = {}
        for name, value in values.items():
            reader = Reader(load(canonical_json({name: value}), ""))
            read = RESOURCES(reader.document.value(), (), reader)
            faults += _at(f"--set {operation}.resources.{name}", reader.faults)
            if not reader.faults:
                field = RESOURCES.fields[name][1]
                given[field] = getattr(read, field)
        spec = operations[operation]
        operations[operation] = replace(spec, resources=replace(spec.resources, **given))
    return replace(pipeline, operations=operations), faults


def _at(where: str, faults: Iterable[Fault]) -> list[Fault]:
    return [Fault(message=one.message, file=where, hint=one.hint) for one in faults]
