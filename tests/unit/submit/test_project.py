"""What a project notes in `.dfh/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepforge_hpc.submit.orphans import held_orphans
from deepforge_hpc.submit.project import executions_folders, last_number, note_number


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "[1]",
        '{"sums": "x"}',
        '{"sums": 999999999}',
        '{"sums": true}',
        '{"sums": -4}',
        f'{{"sums": 1{"0" * 300}}}',
        "[" * 100_000,
        "{" * 100_000,
        "",
        "\x00",
    ],
)
def test_a_note_of_another_shape_is_no_note(tmp_path: Path, text: str) -> None:
    """What stands in `.dfh/` may be of a later version, or damaged: it breaks no command."""
    ledger = tmp_path / ".dfh"
    ledger.mkdir()
    for name in ("executions.json", "numbers.json"):
        (ledger / name).write_text(text)
    assert executions_folders(tmp_path) == [tmp_path / "executions"]
    assert last_number(ledger, "sums") == 0
    note_number(ledger, "sums", 3)
    assert last_number(ledger, "sums") == 3


def test_a_project_that_can_be_no_path_holds_nothing() -> None:
    assert held_orphans(Path("a\0b")) == ()
