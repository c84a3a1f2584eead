"""What runs inside a job.

This package travels with every execution as `code/dfh_runtime.zip`, so it uses the standard
library alone, imports its own modules relatively, and is the lowest layer of `deepforge_hpc`.
Operations may `import dfh_runtime`; the public names are `log` and nothing else.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # of `typing`, which a file on PYTHONPATH may still hide here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from zipimport import zipimporter

__all__ = ["log"]

BYTECODE = "bytecode"
"""The file in the archive that has all modules compiled, for the submitter's version of Python."""


def __getattr__(name: str) -> object:
    """Import `log` when it is first used: hundreds of ranks import this package at once."""
    if name == "log":
        from .base.metrics import log

        return log
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Archive:
    """Imports the modules of this package from the archive that it travels in.

    Python's own importer opens the archive twice for each module and compiles it each time; this
    one reads all bytecode at once. Another version of Python compiles the sources beside it.
    """

    def __init__(self, importer: zipimporter) -> None:
        import marshal
        from importlib.util import MAGIC_NUMBER

        self._importer = importer
        content = importer.get_data(f"{__path__[0]}/{BYTECODE}")
        magic, self._files, codes = marshal.loads(content)  # noqa: S302 - it is code of ours
        self._codes: dict[str, bytes] = codes if magic == MAGIC_NUMBER else {}

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of this package is; None for any other."""
        if name not in self._files:
            return None
        from importlib.machinery import ModuleSpec

        path = self.get_filename(name)
        is_package = path.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=path, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(path.rpartition("/")[0])
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave the making of modules to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module."""
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102 - this is how modules run

    def get_code(self, name: str) -> CodeType:
        """Return a module's code; compiled now if another version of Python submitted it."""
        import marshal

        if code := self._codes.get(name):
            return marshal.loads(code)  # type: ignore[no-any-return] # noqa: S302
        path = self.get_filename(name)
        return compile(self.get_data(path), path, "exec", dont_inherit=True)

    def get_filename(self, name: str) -> str:
        """Return where a module's source is, as if the archive were a folder."""
        return f"{__path__[0]}/{self._files[name]}"

    def get_source(self, name: str) -> str:
        """Return a module's source, for the lines of a traceback: of what `-m` runs too.

        That asks as `__main__`, and would end what only wants to print it (`import torch`).
        """
        name = f"{__name__}.__main__" if name == "__main__" else name
        return self.get_data(self.get_filename(name)).decode()

    def get_data(self, path: str) -> bytes:
        """Return a file of the archive."""
        return self._importer.get_data(path)


if __name__ == "dfh_runtime" and hasattr(_loader := globals()["__loader__"], "archive"):
    sys.meta_path.insert(0, Archive(_loader))
