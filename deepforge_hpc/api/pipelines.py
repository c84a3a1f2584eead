"""From a pipeline file to checked, planned, rendered and submitted jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import Fault, InvalidInputError, StorageError, UsageError
from deepforge_hpc.model.json_result import JsonResult

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.load import Loaded
    from deepforge_hpc.runtime.base.notice import Notice
    from deepforge_hpc.runtime.base.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pipeline file, and what is asked for beside what stands in it."""

    pipeline: Path
    site: str | None = None
    account: str | None = None
    overrides: tuple[str, ...] = ()
    """`operation.attribute=value`"""
    only: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    python: str | None = None

    def __post_init__(self) -> None:
        """Refuse a site without a name, which a script's empty variable makes."""
        if self.site == "":
            message = "--site: it is empty"
            raise UsageError(message, "Name one of `dfh site list`, or leave --site out.")

    def options(self, site: str = "") -> tuple[str, ...]:
        """Return the words that ask for the same again; `site` stands in for one not asked for."""
        named: dict[str, tuple[str | None, ...]] = {
            "--site": (self.site or site,),
            "--account": (self.account,),
            "--python": (self.python,),
            "--set": self.overrides,
            "--only": self.only,
            "--from": self.from_,
            "--until": self.until,
        }
        pairs = ((name, value) for name, values in named.items() for value in values if value)
        return tuple(word for pair in pairs for word in pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPipeline(JsonResult, schema="dfh/check/2"):
    """A pipeline without a fault."""

    pipeline: str
    path: str
    site: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    warnings: tuple[Notice, ...]


def check(request: Request) -> CheckedPipeline:
    """Return what a pipeline holds; InvalidInputError with all faults if it has any."""
    from deepforge_hpc.api.examination import examine

    loaded = load(request, needs_site=False)
    found = examine(loaded)
    return CheckedPipeline(
        pipeline=loaded.pipeline.name,
        path=str(loaded.path),
        site=loaded.site.name if loaded.site else "",
        operations=tuple(loaded.pipeline.operations),
        inputs=tuple(item.name for item in loaded.inputs),
        warnings=(*loaded.warnings, *found),
    )


def plan(request: Request, *, origins: bool = False) -> Plan:
    """Return the jobs that a pipeline becomes on a site; `origins`: and where values are from."""
    return planned(load(request), origins=origins)


def planned(loaded: Loaded, *, reuse: bool = True, origins: bool = False) -> Plan:
    """Return the plan; what a submission would reuse takes no room in a queue."""
    from deepforge_hpc.plan.resolve import resolve

    def sent(plan: Plan) -> dict[str, int]:
        from deepforge_hpc.submit.reuse import sent

        return sent(plan, loaded.project)

    return resolve(loaded, origins=origins, sent=sent if reuse else None)


def render(request: Request, folder: Path) -> dict[str, Path]:
    """Write the batch script of each job below a folder and return the paths by job."""
    from deepforge_hpc.render.script import render_scripts
    from deepforge_hpc.runtime.base.layout import ExecutionLayout

    scripts = render_scripts(plan(request))
    layout = ExecutionLayout(folder)
    hint = "Give another folder with -o."
    for job, script in scripts.items():
        write(layout.script(job), script.encode(), hint, durable=False, mode=0o755)
    return {job: layout.script(job) for job in scripts}


def write(path: Path, data: bytes, hint: str, **words: Any) -> None:
    """Publish a file that was asked for; StorageError with the hint if that cannot be."""
    from deepforge_hpc.runtime.base.files import publish_bytes

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish_bytes(path, data, **words)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint) from error


def refuse_bad_texts(texts: Mapping[str, str]) -> None:
    """Raise InvalidInputError for control characters and credentials in what is kept for good.

    `texts`: by the names that people know them by.
    """
    from deepforge_hpc.files.characters import control_character
    from deepforge_hpc.runtime.base.redact import holds_credential

    faults = [
        Fault(
            message="looks like a credential: the execution keeps it", file=name, hint="remove it"
        )
        for name, text in texts.items()
        if holds_credential(text)
    ]
    faults += [
        Fault(message=f"{found} in {text!r}", file=name, hint="remove it")
        for name, text in texts.items()
        if (found := control_character(text))
    ]
    if faults:
        raise InvalidInputError(faults)


def _check_python(python: str | None) -> None:
    """Raise UsageError for an interpreter that only the jobs would miss."""
    import shutil

    if python and shutil.which(python) is None:
        message = f"--python {python!r}: there is no such program on this machine"
        hint = "One that only the nodes have stands in the pipeline: environment: {python: PATH}"
        raise UsageError(message, hint)


def load(request: Request, *, needs_site: bool = True) -> Loaded:
    """Return the checked pipeline; InvalidInputError with all that is wrong."""
    from deepforge_hpc.paths import user_folder
    from deepforge_hpc.pipeline.load import load_pipeline
    from deepforge_hpc.pipeline.settings import PREFIX, Settings

    if not request.pipeline.exists():
        message = f"{request.pipeline}: there is no such file"
        raise UsageError(message, "Name the pipeline file, or change to its folder.")
    variables = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
    refuse_bad_texts(
        {"--account": request.account or "", "--python": request.python or "", **variables}
    )
    _check_python(request.python)
    settings = Settings(
        overrides=request.overrides,
        only=request.only,
        from_=request.from_,
        until=request.until,
        account=request.account,
        needs_site=needs_site,
        python=request.python,
        environ=os.environ,
        user_dir=user_folder(),
    )
    loaded = load_pipeline(request.pipeline, site=request.site, settings=settings)
    _refuse_path(loaded)
    return loaded


def _refuse_path(loaded: Loaded) -> None:
    """Raise InvalidInputError for a folder of executions in which no job would find its way."""
    from deepforge_hpc.plugins.scheduler import scheduler_named

    bad = ":"  # it parts the folders of PYTHONPATH
    if loaded.site is not None:
        bad += scheduler_named(loaded.site.scheduler).bad_in_paths
    folder = os.path.realpath(loaded.executions)  # where the jobs will be
    found = "".join(sorted({letter for letter in folder if letter in bad}))
    if found:
        signs = " and ".join(f"'{letter}'" for letter in found)
        message = f"the path holds {signs}, so no job could write its log"
        if found == ":":
            message = "the path holds ':', so no job could find its code"
        hint = "rename the folder, or set executions: to another"
        raise InvalidInputError([Fault(message=message, file=folder, hint=hint)])
