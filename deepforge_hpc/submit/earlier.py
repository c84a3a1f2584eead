"""The earlier executions of a pipeline, each read once, and only as far back as somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import count, islice
from pathlib import Path

from deepforge_hpc.errors import DeepforgeHpcError
from deepforge_hpc.paths import is_trusted, user_folder
from deepforge_hpc.pipeline.settings import load_user_settings
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.plan import Plan
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.project import executions_folders, numbered

_MAX_EARLIER = 20


class EarlierExecutions:
    """The latest executions of a pipeline, the newest first; a damaged one is left out."""

    def __init__(self, pipeline: str, project: Path) -> None:
        self.project = project
        self._read: list[tuple[ExecutionLayout, Plan]] = []
        self._left = islice(_read(pipeline, project), _MAX_EARLIER)

    def trusts(self, *paths: Path) -> bool:
        """Tell whether what lies in the project may run code as the caller: whose each path is."""
        return all(is_trusted(path, self.project, self._trusted) for path in paths)

    @cached_property
    def _trusted(self) -> tuple[str, ...]:
        return load_user_settings(user_folder()).trust

    def __iter__(self) -> Iterator[tuple[ExecutionLayout, Plan]]:
        for index in count():
            if index == len(self._read):
                self._read += islice(self._left, 1)
            if index == len(self._read):
                return
            yield self._read[index]


def _read(pipeline: str, project: Path) -> Iterator[tuple[ExecutionLayout, Plan]]:
    found = {
        number: path
        for folder in executions_folders(project)
        for number, path in numbered(folder, pipeline).items()
    }
    for number in sorted(found, reverse=True):
        layout = ExecutionLayout(found[number])
        with suppress(DeepforgeHpcError, OSError, ValueError):
            yield layout, read_plan(layout, read_info(layout))
