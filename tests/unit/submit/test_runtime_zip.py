"""The runtime as it travels: one file, read a few times however many modules a process imports."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import deepforge_hpc.runtime
from deepforge_hpc.submit.runtime_zip import runtime_zip

FOLDER = Path(deepforge_hpc.runtime.__file__).parent
BYTECODE = "dfh_runtime/bytecode"


@pytest.fixture(params=["the same Python", "another Python"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the archive of the Python that runs it, and that of one with other bytecode."""
    content = runtime_zip().data
    if request.param == "another Python":
        magic = importlib.util.MAGIC_NUMBER
        assert content.count(magic) == 1
        content = content.replace(magic, b"\0\0\r\n")
    path = tmp_path / "code" / "dfh_runtime.zip"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def python(archive: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run what a job or an operation would, in a folder of its own."""
    return subprocess.run(
        [sys.executable, *argv],
        cwd=archive.parent.parent,
        env={**os.environ, "PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )


def say(archive: Path, code: str) -> Any:
    done = python(archive, "-c", code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_has_every_source_and_is_the_same_from_another_process() -> None:
    with zipfile.ZipFile(io.BytesIO(runtime_zip().data)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    del found[BYTECODE]
    sources = [path for path in FOLDER.rglob("*") if path.suffix in (".py", ".css")]
    assert found == {
        f"dfh_runtime/{p.relative_to(FOLDER).as_posix()}": p.read_bytes() for p in sources
    }
    code = "from deepforge_hpc.submit.runtime_zip import runtime_zip; print(runtime_zip().sha256)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if sys.version_info >= (3, 11):  # 3.10 writes some constants as other modules hold them
        assert done.stdout.strip() == runtime_zip().sha256


def test_what_python_keeps_compiled_is_what_the_sources_give(tmp_path: Path) -> None:
    code = "from deepforge_hpc.submit.runtime_zip import runtime_zip; print(runtime_zip().sha256)"
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}  # where it keeps nothing yet
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(io.BytesIO(runtime_zip().data)) as archive:
        _, files, codes = marshal.loads(archive.read(BYTECODE))
    for name, path in files.items():
        made = compile(
            (FOLDER / path).read_bytes(), f"dfh_runtime/{path}", "exec", dont_inherit=True
        )
        assert marshal.loads(codes[name]).co_filename == made.co_filename
        if sys.version_info >= (3, 11):  # as above
            assert codes[name] == marshal.dumps(made, 2 if marshal.version < 5 else marshal.version)
    if sys.version_info >= (3, 11):
        assert done.stdout.strip() == runtime_zip().sha256


ALL = """
import importlib, json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
import dfh_runtime
for name in [n for n in MODULES if n != "dfh_runtime.__main__"]:
    importlib.import_module(name)
here = [str(path) for path in opened if "dfh_runtime" in str(path)]
modules = [module for name, module in sys.modules.items() if name.startswith("dfh_runtime.")]
print(json.dumps([len(here), len(modules), sorted({m.__file__ for m in modules})]))
"""


def test_every_module_can_be_imported_from_it(archive: Path) -> None:
    sources = [path.relative_to(FOLDER).as_posix() for path in sorted(FOLDER.rglob("*.py"))]
    names = [
        f"dfh_runtime/{path}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in sources
    ]
    opens, count, files = say(archive, ALL.replace("MODULES", repr(names)))
    assert count == len(names) - 2  # the package itself, and __main__
    left = {f"{archive}/dfh_runtime/{path}" for path in sources} - set(files)
    assert left == {f"{archive}/dfh_runtime/{name}.py" for name in ("__init__", "__main__")}
    # `__init__` twice and the bytecode; if that is of no use, each source once.
    is_same = archive.read_bytes() == runtime_zip().data
    assert opens == (3 if is_same else 3 + count)
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_what_operations_import_is_there(archive: Path) -> None:
    code = """
import json, pickle
import dfh_runtime
from dfh_runtime.formats import FORMATS, Format, FormatError
from dfh_runtime import formats
shown = pickle.loads(pickle.dumps(formats.Json))
print(json.dumps([callable(dfh_runtime.log), sorted(FORMATS)[0], shown is formats.Json]))
"""
    assert say(archive, code) == [True, "any", True]


def test_a_traceback_shows_its_lines_and_a_user_sees_none_of_its_frames(archive: Path) -> None:
    code = """
import json, traceback
from dfh_runtime.base.files import read_json
from dfh_runtime.rank.explain import describe
try:
    read_json("/nowhere")
except Exception as error:
    told = describe(error, rank=0, code="/code")
    print(json.dumps([traceback.format_exc(), told.traceback]))
"""
    full, told = say(archive, code)
    assert "dfh_runtime/base/files.py" in full
    line = next(n for n, text in enumerate(full.splitlines()) if "in read_json" in text)
    assert full.splitlines()[line + 1].strip() in (FOLDER / "base" / "files.py").read_text()
    assert not [text for text in told if "dfh_runtime" in text]


def test_it_runs_as_a_module_and_finds_the_data_of_the_report(archive: Path) -> None:
    done = python(archive, "-m", "dfh_runtime")
    assert (done.returncode, done.stderr[:6]) == (2, "usage:")
    code = "import json, pkgutil; print(json.dumps(len(pkgutil.get_data('dfh_runtime.report', 'report.css'))))"
    assert say(archive, code) == (FOLDER / "report" / "report.css").stat().st_size
