"""The page of the library has a line for each operation, as its code says."""

from __future__ import annotations

from pathlib import Path

from deepforge_hpc.api.operations import list_operations


def test_the_table_is_what_the_code_says(repository: Path, tmp_path: Path) -> None:
    lines = [
        f"| `{one.name}` | {one.about} | {' '.join(one.inputs)} | {' '.join(one.outputs)} |"
        for one in list_operations(tmp_path).library
    ]
    page = (repository / "docs/operations.md").read_text(encoding="utf-8")
    shown = page.partition("| operation | what | takes | gives |\n|---|---|---|---|\n")[2]
    assert shown.splitlines()[: len(lines)] == lines, "\n".join(lines)
