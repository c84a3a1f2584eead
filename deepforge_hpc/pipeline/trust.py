"""What a person should know of files that are not theirs, or that take the place of ours."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deepforge_hpc.errors import Fault
from deepforge_hpc.paths import data_folder, is_trusted, trust_hint
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


def planted(files: Iterable[Path], root: Path, trusted: Sequence[str]) -> Iterator[Fault]:
    """Report what another user has laid where all may write: an import finds whatever has its name.

    Who may write by their group is a colleague, whose code runs as that of the project.
    """
    seen = {root}
    for file in files:
        for path in (file, *file.parents):
            if path in seen or not path.is_relative_to(root):
                break
            seen.add(path)
            is_open = path.parent.stat().st_mode & stat.S_IWOTH
            if is_open and not is_trusted(path, root, trusted):
                message = f"belongs to {owner_name(path)}, in a folder that all may write to"
                yield Fault(
                    f"{message}: it would act as you", str(path), hint=trust_hint(path.parent)
                )
                break
