"""Site files as texts in; a site, or the faults of its files, out."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.site.find import FoundSite, load_site, site_folders
from deepforge_hpc.site.model import SiteSpec

HEAD = "site: x\nscheduler: slurm\n"


class SiteFolder:
    """A folder of site files that stands before the shipped ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "site-configs"
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def load(self, name: str = "x") -> FoundSite:
        return load_site(name, site_folders(self.root, None, {}))

    def spec(self, text: str) -> SiteSpec:
        """Return site x of a text, which needs no `site` and no `scheduler`."""
        self.write("x", HEAD + dedent(text))
        return self.load().spec

    def faults(self, text: str, name: str = "x") -> list[str]:
        """Return the faults of site x, with lines counted in the text alone."""
        self.write("x", HEAD + dedent(text))
        return self.told(name, skip=2)

    def told(self, name: str = "x", skip: int = 0) -> list[str]:
        with pytest.raises(InvalidInputError) as caught:
            self.load(name)
        found = []
        for fault in caught.value.faults:
            file = Path(fault.file).name
            at = f"{file}:{fault.line - skip if file == 'x.yaml' else fault.line}"
            hint = f" ({fault.hint})" if fault.hint else ""
            found.append(f"{at}: {fault.message}{hint}")
        return found


@pytest.fixture
def files(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path)
