"""The command line: the only part that prints."""

from __future__ import annotations

import os
import sys

# Python puts the folder of the script `dfh` first on the path, and asks it for every module that is
# imported: a hundred calls to the file system for nothing, and a way in for a file that lies there.
# What `python -P` does from 3.11 on, an installed script cannot ask for.
if os.path.basename(sys.argv[0]) == "dfh" and sys.path[:1] == [os.path.dirname(sys.argv[0])]:  # noqa: PTH119, PTH120 -- pathlib is not loaded yet
    del sys.path[0]


def is_interruption(error: BaseException) -> bool:
    """Tell whether it is Ctrl-C; Python up to 3.11 wraps one that came as a class was made."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, RuntimeError) and isinstance(error.__cause__, KeyboardInterrupt)
    )


def _before_main(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Answer before `main` is there to: no traceback of Ctrl-C, by which Python then ends."""
    if is_interruption(error):
        return
    from deepforge_hpc.cli.hidden import explain_hidden

    text, hint = explain_hidden(error)
    if not text:
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]
        return
    sys.stderr.write(f"error: {text}\nhint: {hint}\n")
    sys.stderr.flush()
    os._exit(2)


if os.path.basename(sys.argv[0]) == "dfh":  # noqa: PTH119
    sys.excepthook = _before_main
    # What a folder of PYTHONPATH has by the name of a module of Python's own is not meant for us.
    _own = os.path.dirname(os.__file__)  # noqa: PTH120
    sys.path.sort(key=lambda entry: entry not in {_own, f"{_own}/lib-dynload"})

from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader  # noqa: E402


def _source_only(path: str) -> FileFinder:
    """Find this package's modules without asking each folder for compiled extensions first."""
    if path == _PACKAGE or path.startswith(_PACKAGE + os.sep):
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))
    raise ImportError(path)


_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
sys.path_hooks.insert(0, _source_only)
sys.path_importer_cache.pop(_PACKAGE, None)
