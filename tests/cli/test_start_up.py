"""What the command line costs before it does anything.

On a shared file system every `open` and `stat` of an import is a round trip to a metadata server,
and hundreds of users share it: a slow `dfh --help` is a `dfh` that nobody calls. If one of these
tests fails, a module is imported too early: import it inside the function that needs it, and the
command inside `deepforge_hpc.cli.commands`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.cli.main import dfh as group

HEAVY = ("pydantic", "jinja2", "yaml", "importlib.metadata", "subprocess", "tempfile", "h5py")


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import deepforge_hpc",
        "from deepforge_hpc.cli.main import main; main(['--help'])",
        "from deepforge_hpc.cli.main import main; main(['--version'])",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    loaded = loaded_after(code)
    assert not loaded.intersection(HEAVY)
    assert not [name for name in loaded if name.startswith("deepforge_hpc.cli.commands.")]


def test_help_of_a_command_loads_no_parser_of_files() -> None:
    for command in group.entries:
        code = f"from deepforge_hpc.cli.main import main; main(['{command}', '--help'])"
        assert not loaded_after(code).intersection(("pydantic", "jinja2", "yaml")), command


def test_table_says_what_each_command_says_of_itself() -> None:
    def compare(found: object) -> None:
        for entry in found.entries.values():
            command = found.get_command(None, entry.name)
            short = (command.help or "").split("\n")[0]
            assert short == entry.help, entry.name
            assert command.name == entry.name
            assert "Example:\n" in command.help, entry.name
            if hasattr(command, "entries"):
                compare(command)
            else:
                names = {option for item in command.params for option in item.opts}
                assert {"--json", "--format"} <= names, entry.name

    compare(group)


@pytest.mark.parametrize("words", [[], ["executions"]])
def test_name_of_a_group_alone_shows_its_help(dfh: Any, tmp_path: Path, words: list[str]) -> None:
    done = dfh(*words, cwd=tmp_path, expect=2)
    assert done.stderr.startswith(f"Usage: {' '.join(['dfh', *words])} ")
    assert "list" in done.stderr or "submit" in done.stderr
    assert done.stdout == ""
