"""How a change is told to users: one fragment each, moved into CHANGELOG.md by a script."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

NAME = re.compile(r"[a-z0-9][a-z0-9-]*\.(added|changed|fixed|removed)\.md")
TOOLS = {"README.md", "assemble.py"}


def test_fragments_are_list_items_of_a_kind(repository: Path) -> None:
    for path in (repository / "changelog.d").iterdir():
        if path.name in TOOLS or path.name == "__pycache__":
            continue
        assert NAME.fullmatch(path.name), path.name
        first, *rest = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        assert first.startswith("- "), path.name
        assert all(re.match(r"- \S|  \S", line) for line in rest), path.name


def test_they_are_moved_below_the_heading_of_their_kind(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changelog.d"
    folder.mkdir()
    shutil.copy(repository / "changelog.d/assemble.py", folder)
    (folder / "b.added.md").write_text("- new B\n  of two lines\n")
    (folder / "a.added.md").write_text("- new A\n")
    (folder / "c.fixed.md").write_text("- mended C\n")
    changelog = tmp_path / "CHANGELOG.md"
    old = "\n## 0.1.0\n\n### Added\n\n- all\n"
    changelog.write_text(f"# Changelog\n\n## Unreleased\n\n### Added\n\n- first\n{old}")
    subprocess.run([sys.executable, folder / "assemble.py"], check=True)
    assert changelog.read_text() == (
        "# Changelog\n\n## Unreleased\n\n### Added\n\n- first\n- new A\n- new B\n  of two lines\n"
        f"\n### Fixed\n\n- mended C\n{old}"
    )
    assert [path.name for path in folder.glob("*.md")] == []


def test_the_changelog_itself_can_take_them(repository: Path) -> None:
    assert "\n## Unreleased\n" in (repository / "CHANGELOG.md").read_text(encoding="utf-8")
