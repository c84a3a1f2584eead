"""The travelling runtime as one file: its sources, and their bytecode for those who can use it.

Jobs of hundreds of ranks read it from a shared file system, and each execution has one, so calls
and files count: see "How the runtime travels" in docs/developer/architecture.md.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import zipfile
from pathlib import Path

import deepforge_hpc.runtime
from deepforge_hpc.pipeline.snapshot import CodeFile, code_file
from deepforge_hpc.plugins.travel import RUNTIME

RUNTIME_ZIP = f"{RUNTIME}.zip"
_START = "__init__.py"
# Later ones depend on who else holds a string; but constants of Python 3.14 need the fifth.
_MARSHAL = 2 if marshal.version < 5 else marshal.version


@functools.cache
def runtime_zip() -> CodeFile:
    """Return the archive: the same bytes for the same sources and version of Python."""
    folder = Path(deepforge_hpc.runtime.__file__).parent
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".py", ".css")
    }
    files[deepforge_hpc.runtime.BYTECODE] = _bytecode(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            # What every rank reads is not packed: to load zlib costs it more.
            is_read = name in (_START, deepforge_hpc.runtime.BYTECODE)
            method = zipfile.ZIP_STORED if is_read else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(f"{RUNTIME}/{name}"), data, method)
    return code_file(buffer.getvalue())


def _bytecode(files: dict[str, bytes]) -> bytes:
    """Return what `runtime.Archive` reads: for which Python it is, files and codes of modules."""
    modules = {_module(path): path for path in files if path.endswith(".py")}
    codes = {
        name: marshal.dumps(
            compile(files[path], f"{RUNTIME}/{path}", "exec", dont_inherit=True), _MARSHAL
        )
        for name, path in modules.items()
    }
    return marshal.dumps((importlib.util.MAGIC_NUMBER, modules, codes), _MARSHAL)


def _module(path: str) -> str:
    return f"{RUNTIME}/{path}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")
