"""What the command line costs before it does anything.

On a shared file system every `open` and `stat` of an import is a round trip to a metadata server,
and hundreds of users share it: a slow `dfh --help` is a `dfh` that nobody calls. If one of these
tests fails, a module is imported too early: import it inside the function that needs it, and the
command inside `deepforge_hpc.cli.commands`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

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


def file_system_calls(tmp_path: Path, *argv: str) -> int:
    """Count open, stat, readlink, getdents and access calls of one process."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    log = tmp_path / "strace"
    calls = "trace=open,openat,stat,lstat,newfstatat,statx,readlink,readlinkat,getdents64,access,faccessat,faccessat2"
    # -S: the .pth files of the test environment (coverage, editable install) are not ours to count.
    python = [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parents[2])]
    subprocess.run(
        ["strace", "-f", "-c", "-e", calls, "-o", str(log), *python, *argv],
        check=False,
        capture_output=True,
        cwd=tmp_path,
    )
    total = log.read_text().splitlines()[-1].split()
    assert total[-1] == "total"
    return int(total[3])


_START = """
import sys, sysconfig
sys.path += [sys.argv.pop(1), sysconfig.get_paths()["purelib"]]
from deepforge_hpc.cli.main import main
sys.exit(main())
"""


def test_help_stays_within_its_file_system_calls(tmp_path: Path) -> None:
    assert file_system_calls(tmp_path, "--help") <= 750


def test_table_says_what_each_command_says_of_itself() -> None:
    def compare(found: object) -> None:
        for entry in found.entries.values():
            command = found.get_command(None, entry.name)
            short = (command.help or "").split("\n")[0]
            assert short == entry.help, entry.name
            assert command.name == entry.name
            if hasattr(command, "entries"):
                compare(command)
            else:
                assert "Example:\n" in command.help, entry.name
                names = {option for item in command.params for option in item.opts}
                assert {"--json", "--format"} <= names, entry.name

    compare(group)
