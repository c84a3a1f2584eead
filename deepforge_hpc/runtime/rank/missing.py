"""Which files an exception may miss, by its words: libraries have each their own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator

_SAYS = re.compile(r"no such file|not found|does not exist|cannot open|can't open", re.IGNORECASE)
_QUOTED = re.compile(r"'([^'\n]{1,400})'|\"([^\"\n]{1,400})\"")
_WORD = re.compile(r"[^\s'\"(),;:=<>|&]*[./][^\s'\"(),;:=<>|&]*")
_MOST = 20


def missing_files(errors: Iterable[tuple[BaseException, str]], code: str) -> tuple[str, ...]:
    """Return the paths, relative ones as they are, that exceptions with their words may miss.

    What stands in the words need be no path: whoever asks looks which of them there are.
    """
    found: dict[str, None] = {}
    for error, text in errors:
        if isinstance(error, FileNotFoundError) or _SAYS.search(text):
            named = getattr(error, "filename", None) or ""
            names = [os.fsdecode(named)] if isinstance(named, (str, bytes)) else []
            names += names_in(text[:10_000])
        else:
            names = [*_of_module(error), *_of_command(error)]
        found |= dict.fromkeys(_relative(name, code) for name in names)
    return tuple(name for name in found if name and not name.startswith("/"))[:_MOST]


def _of_module(error: BaseException) -> Iterator[str]:
    """Yield where a module that is missing would lie, in the folders that Python looks in."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.replace(".", "/")
        for folder in sys.path:
            start = f"{folder}/{name}" if folder else name
            yield from (f"{start}.py", f"{start}/__init__.py")


def _of_command(error: BaseException) -> Iterator[str]:
    """Yield what a command that failed was told and is not there; its own words went elsewhere."""
    said = getattr(error, "cmd", None)
    words = said if isinstance(said, (list, tuple)) else [said]
    for word in words:
        if isinstance(word, (str, os.PathLike)):
            text = os.fspath(word)
            names = [text, *names_in(text[:10_000])] if isinstance(text, str) else []
            yield from (name for name in names if not os.access(name, os.F_OK))


def names_in(text: str) -> Iterator[str]:
    """Yield what in a text may be a path: what is quoted, and words with a dot or a slash."""
    yield from (one or other for one, other in _QUOTED.findall(text))
    yield from (word.rstrip(".") for word in _WORD.findall(text))


def _relative(name: str, code: str) -> str:
    """Return a path of the frozen code, or of the working folder, from the project's folder on."""
    for folder in (f"{code}/project", os.environ.get("DFH_SCRATCH", "")):
        for place in (folder, os.path.realpath(folder)):
            if folder and name.startswith(f"{place}/"):
                return name[len(place) + 1 :]
    return name
