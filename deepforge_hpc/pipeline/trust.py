"""What a person should know of files that are not theirs, or that take the place of ours."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.errors import Fault
from deepforge_hpc.files.project import ProjectError, read_bounded
from deepforge_hpc.paths import data_folder, is_trusted, on_the_way, trust_hint
from deepforge_hpc.processes import owner_name
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.site.find import FOLDER, FoundSite


def notices(refused: Path | None, site: FoundSite | None, project: Path) -> Iterator[Notice]:
    """Say which project was not taken for the pipeline's, and which shipped sites are replaced."""
    for path in (refused, *(site.refused if site else ())):
        if path is not None:
            text = f"{path} belongs to {owner_name(path)}, and is left out: it would act as you"
            yield Notice("project_untrusted", text, str(path), next=trust_hint(path.parent))
    for path in map(Path, site.document.files if site else ()):
        shipped = data_folder(FOLDER) / path.name
        if path.parent == project / FOLDER and path != shipped and shipped.is_file():
            text = f"site {path.stem} is {path}, in place of the shipped one"
            yield Notice("site_replaced", text, str(path), level=INFO)


def planted(
    files: Mapping[Path, bytes], asked: Iterable[Path], root: Path, trusted: Sequence[str]
) -> Iterator[Fault]:
    """Report what another user has laid where all may write: an import finds whatever has its name.

    Who may write by their group is a colleague, whose code runs as that of the project. `files`
    have been read: what lay there only at that moment is told too. `asked`: with their links, of
    which each says what the project is, and is held against the folder that it lies in.
    """
    reported: set[Path] = set()
    is_open = functools.cache(lambda folder: bool(folder.stat().st_mode & stat.S_IWOTH))
    for file, data in files.items():
        inside = [path for path in (file, *file.parents) if root in path.parents]
        laid = [path for path in inside if is_open(path.parent)]
        other = next((path for path in laid if not is_trusted(path, root, trusted)), None)
        what = f"belongs to {owner_name(other)}" if other else "changed while it was read"
        if other is None and file in laid and not _is_as_read(file, data, root, trusted):
            other = file
        if other is not None and other not in reported:
            reported.add(other)
            yield _fault(what, other)
    for path in dict.fromkeys(step for file in asked for step in on_the_way(file, root)):
        start = root if path.is_relative_to(root) else path.parent
        if path in reported or not os.path.islink(path) or not is_open(path.parent):  # noqa: PTH114 - Path raises if too long
            continue
        if not is_trusted(path, start, trusted):
            yield _fault(f"belongs to {owner_name(path)}", path)


def _fault(what: str, path: Path) -> Fault:
    message = f"{what}, in a folder that all may write to: it would act as you"
    return Fault(message, str(path), hint=trust_hint(path.parent))


def _is_as_read(file: Path, data: bytes, root: Path, trusted: Sequence[str]) -> bool:
    """Tell whether what was read is what a trusted user has there."""

    def judge(opened: int) -> None:
        if not is_trusted(file, root, trusted, opened=opened):
            raise ProjectError(f"{file} belongs to another user")

    with suppress(ProjectError):
        return read_bounded(file, str(file), judge) == data
    return False
