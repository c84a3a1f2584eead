"""What a person should know of files that are not theirs, or that take the place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepforge_hpc.paths import data_folder
from deepforge_hpc.processes import owner_name
from deepforge_hpc.runtime.base.notice import INFO, Notice
from deepforge_hpc.site.find import FOLDER, FoundSite


def notices(refused: Path | None, site: FoundSite | None) -> Iterator[Notice]:
    """Say which project was not taken for the pipeline's, and which shipped site is replaced."""
    if refused is not None:
        text = f"{refused} belongs to {owner_name(refused)}, and is not taken for the project's"
        yield Notice("project_untrusted", text, str(refused), next=trust_hint(refused))
    if site is None or site.where != "project":
        return
    if (data_folder(FOLDER) / site.path.name).is_file():
        text = f"site {site.path.stem} is {site.path}, in place of the shipped one"
        yield Notice("site_replaced", text, str(site.path), level=INFO)


def trust_hint(refused: Path) -> str:
    """Return what to do if another user's project is meant."""
    return f"if it is meant: trust: [{refused.parent}] in ~/.config/deepforge-hpc/settings.yaml"
