"""Next steps as they are typed in the current folder: an id of another project means nothing there.

Texts name executions by their ids and a pipeline by its path in the project, for most of them are
frozen by a job, which knows no reader. Whoever prints one passes it through here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.api.find import project_above
from deepforge_hpc.paths import LEDGER
from deepforge_hpc.runtime.base.advice import pipeline_command
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.submit.project import executions_folders

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.execution import ExecutionInfo

_OF_EXECUTION = re.compile(
    r"(?<!&& )\bdfh (?P<verb>status|logs|cancel|resume|report|executions rm"
    r"|prov (?:show|trace|verify))(?: -[-\w]+)* "
    r"(?P<name>[\w.+-]+-\d{4,9})(?:/(?P<job>[\w.-]*\w))?(?![\w/\[-])"
)


class Steps:
    """What is typed in a folder about the executions and the pipeline of a project."""

    def __init__(self, cwd: Path, start: Path, *, project: str = "", pipeline: str = "") -> None:
        self._cwd = cwd
        self._start = start
        self._named = project
        self._pipeline = pipeline

    @classmethod
    def of_execution(cls, root: Path, info: ExecutionInfo, cwd: Path) -> Steps:
        """Return the steps of an execution, its siblings and its pipeline."""
        return cls(cwd, root, project=info.project, pipeline=info.pipeline_file)

    @classmethod
    def of_pipeline(cls, file: Path, cwd: Path) -> Steps:
        """Return the steps of a pipeline and its executions."""
        real = file.resolve()
        project = project_above(real.parent)
        return cls(cwd, real, project=str(project), pipeline=os.path.relpath(real, project))

    def typed(self, text: str) -> str:
        """Return a text whose steps do here what they say."""
        if "dfh " not in text or self._project == self._cwd:
            return text
        text = _OF_EXECUTION.sub(self._with_path, text)
        if self._pipeline:
            file = os.path.relpath(self._project / self._pipeline, self._cwd)
            for verb in ("submit", "plan"):
                command = pipeline_command(verb, self._pipeline)
                here = pipeline_command(verb, file)
                text = re.sub(rf"{re.escape(command)}(?![\w/-]|\.\w)", _as_it_is(here), text)
        return text

    @cached_property
    def _project(self) -> Path:
        """Return the project as it lies now: it may have been moved."""
        named = Path(self._named)
        return named if self._named and (named / LEDGER).is_dir() else project_above(self._start)

    def _with_path(self, step: re.Match[str]) -> str:
        from shlex import quote

        name, job = step["name"], step["job"]
        place = next(iter(_places([self._start.parent], name)), None)
        place = place or next(iter(_places(executions_folders(self._project), name)), None)
        if place is None or self._is_found_here(place):
            return step[0]
        if step["verb"] == "executions rm":  # it removes what is the project's alone
            return f"cd {quote(str(self._project))} && {step[0]}"
        path = ExecutionLayout(place).jobs / job if job else place
        words = step.string[step.start() : step.start("name")]
        return words + quote(str(path))

    def _is_found_here(self, place: Path) -> bool:
        found = _places(executions_folders(project_above(self._cwd)), place.name)
        return len(found) == 1 and found[0].samefile(place)


def _places(folders: list[Path], name: str) -> list[Path]:
    return [folder / name for folder in folders if (folder / name).is_dir()]


def _as_it_is(text: str) -> Callable[[object], str]:
    return lambda _: text
