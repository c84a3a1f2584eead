"""What the kernel keeps code of the project from, and what is left where it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepforge_hpc.libraries.networks.trial import sealed

_TRY = """
import json, os, socket, sqlite3, subprocess, sys
from deepforge_hpc.libraries.networks.trial import contained, sealed

outside, scratch, has_seal = sys.argv[1], sys.argv[2], sys.argv[3] == "seal"
if has_seal:
    assert sealed.seal(writable=(scratch, os.devnull))
answer = os.fdopen(os.dup(1), "w")
with open(f"{scratch}/printed", "w") as printed:
    os.dup2(printed.fileno(), 1)
contained.contain(sealed=has_seal)
found = {}

def attempt(name, act):
    try:
        act()
        found[name] = "done"
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"

def table(folder):
    with sqlite3.connect(f"{folder}/made") as base:
        base.execute("create table t (x)")
    base.close()

libc = __import__("ctypes").CDLL(None)
attempt("sqlite", lambda: table(outside))
attempt("in scratch", lambda: table(scratch))
attempt("read", lambda: open(f"{outside}/kept").read())
found["unlink"] = libc.unlink(f"{outside}/kept".encode())
found["truncate"] = libc.truncate(f"{outside}/kept".encode(), 0)
found["mkdir"] = libc.mkdir(f"{outside}/folder".encode(), 0o700)
found["system"] = libc.system(b"exit 7")
found["null"] = libc.open(b"/dev/null", 1) >= 0
attempt("print", lambda: print("x" * 100_000, flush=True))
answer.write(json.dumps(found))
"""


def tried(tmp_path: Path, how: str) -> dict[str, object]:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    outside.mkdir()
    scratch.mkdir()
    (outside / "kept").write_text("here")
    argv = [sys.executable, "-c", _TRY, str(outside), str(scratch), how]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(sealed._version() < 3, reason="no Landlock here")
def test_compiled_code_can_write_nothing_and_start_nothing(tmp_path: Path) -> None:
    found = tried(tmp_path, "seal")
    assert found.pop("sqlite") == "OperationalError: unable to open database file"
    assert found.pop("system") == 127 << 8  # the shell could not be started
    refused = {"unlink": -1, "truncate": -1, "mkdir": -1}
    done = dict.fromkeys(("in scratch", "read", "print"), "done")
    assert found == {**refused, **done, "null": True}
    outside = tmp_path / "outside"
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "here"


def test_without_a_seal_no_file_grows(tmp_path: Path) -> None:
    found = tried(tmp_path, "limits")
    assert "done" not in str(found["sqlite"])
    assert found["print"] == "done"  # a layer that prints is none that writes
    assert not (tmp_path / "outside" / "made").stat().st_size
