"""The travelling runtime as one file: its sources, and their bytecode for those who can use it.

Jobs of hundreds of ranks read it from a shared file system, and each execution has one, so calls
and files count: see "How the runtime travels" in docs/developer/architecture.md.
"""

from __future__ import annotations

import functools
import io
import marshal
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import TYPE_CHECKING

import deepforge_hpc.runtime
from deepforge_hpc.pipeline.snapshot import CodeFile, code_file
from deepforge_hpc.plugins.travel import RUNTIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOLDER = Path(deepforge_hpc.runtime.__file__).parent
RUNTIME_ZIP = f"{RUNTIME}.zip"
_START = "__init__.py"
# Later ones depend on who else holds a string; but constants of Python 3.14 need the fifth.
_MARSHAL = 2 if marshal.version < 5 else marshal.version


@functools.cache
def runtime_zip() -> CodeFile:
    """Return the archive: the same bytes for the same sources and version of Python."""
    files = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
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


class _RuntimeLoader(SourceFileLoader):
    """A module under its name in a job; its bytecode is what Python keeps of it, if it does."""

    def get_data(self, path: str) -> bytes:
        return _installed(path).read_bytes()

    def path_stats(self, path: str) -> Mapping[str, float]:
        found = _installed(path).stat()
        return {"mtime": found.st_mtime, "size": found.st_size}

    def set_data(self, *_content: object, **_words: object) -> None:
        """Keep nothing: who imports the module does."""


def _installed(path: str) -> Path:
    return _FOLDER / path.removeprefix(f"{RUNTIME}/")


def _bytecode(files: Iterable[str]) -> bytes:
    """Return what `runtime.Archive` reads: for which Python it is, files and codes of modules."""
    modules = {_module(path): path for path in files if path.endswith(".py")}
    codes = {
        name: marshal.dumps(_RuntimeLoader(name, f"{RUNTIME}/{path}").get_code(name), _MARSHAL)
        for name, path in modules.items()
    }
    return marshal.dumps((MAGIC_NUMBER, modules, codes), _MARSHAL)


def _module(path: str) -> str:
    return f"{RUNTIME}/{path}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")
