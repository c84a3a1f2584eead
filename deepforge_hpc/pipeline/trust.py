"""What a person should know of files that are not theirs, or that take the place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepforge_hpc.paths import data_folder, trust_hint
from deepforge_hpc.processes import owner_name
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.site.find import FOLDER, FoundSite


def notices(refused: Path | None, site: FoundSite | None, project: Path) -> Iterator[Notice]:
    """Say which project was not taken for the pipeline's, and which shipped sites are replaced."""
    for path in (refused, *(site.refused if site else ())):
        if path is not None:
            text = f"{path} belongs to {owner_name(path)}, and is left out: it would act as you"
            yield Notice("project_untrusted", text, str(path), next=trust_hint(path))
    for path in map(Path, site.document.files if site else ()):
        shipped = data_folder(FOLDER) / path.name
        if path.parent == project / FOLDER and path != shipped and shipped.is_file():
            text = f"site {path.stem} is {path}, in place of the shipped one"
            yield Notice("site_replaced", text, str(path), level=INFO)
