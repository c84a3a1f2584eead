"""The code that an execution freezes: every file that its jobs may read, by its path in `code/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from deepforge_hpc.files.faults import shown
from deepforge_hpc.files.project import Project, ProjectError
from deepforge_hpc.runtime.base.files import digest
from deepforge_hpc.runtime.base.text import size

MAX_BYTES = 20 << 20
MAX_FILES = 2_000
_HIDDEN = re.compile(r"\.|__pycache__$")
PROJECT = "project"
LIBRARY = "library"
COMPILED = "compiled"
START_UP = "start_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFile:
    """One file of the snapshot; its bytes are those that were checked."""

    data: bytes
    sha256: str
    source: Path | None = None
    """Where it was read, with its links; None for compiled code."""

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of `code/` that a pipeline brings, by path with forward slashes."""

    files: Mapping[str, CodeFile]
    named: str = ""
    """Digest of the files that `code:` names; empty without them."""


def code_file(data: bytes, source: Path | None = None) -> CodeFile:
    """Return a file of the snapshot."""
    return CodeFile(data=data, sha256=digest(data), source=source)


def refusal(sizes: Mapping[str, int]) -> str:
    """Say why a user's files are too many or too large, with the largest; empty if they are not."""
    total = sum(sizes.values())
    if total <= MAX_BYTES and len(sizes) <= MAX_FILES:
        return ""
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:10]
    listed = "".join(f"\n  {size(each):>10}  {path}" for path, each in largest)
    return (
        f"the code is {size(total)} in {len(sizes):,} files; "
        f"the limit is {size(MAX_BYTES)} in {MAX_FILES:,} files. The largest:{listed}\n"
    )


def glob_files(project: Project, pattern: str) -> dict[str, Path]:
    """Return the files that a pattern of `code:` names: path in `code/` -> real path.

    A folder stands for all below it. Hidden files and caches are left out, unless the pattern names
    them (`.config/*`). Raises ProjectError.
    """
    parts = Path(pattern).parts
    if not parts:
        message = f"{pattern!r} is the whole folder of the pipeline"
        raise ProjectError(message, "name what is needed of it, such as helpers/**/*.py")
    if Path(pattern).is_absolute() or ".." in parts:
        message = f"{pattern!r} leaves the folder of the pipeline"
        raise ProjectError(message, "give patterns below it")
    try:
        matches = sorted(project.folder.glob(pattern))
    except (ValueError, NotImplementedError, OSError, RecursionError) as error:
        message = f"{shown(pattern)} is not a pattern of files"
        raise ProjectError(message, "write one such as helpers/**/*.py") from error
    found: dict[str, Path] = {}
    asked = [part for part in parts if _HIDDEN.match(part)]
    for match in matches:
        hidden = filter(_HIDDEN.match, match.relative_to(project.folder).parts)
        if not all(any(fnmatchcase(part, name) for name in asked) for part in hidden):
            continue
        for path in sorted(_below(match)):
            real = project.real(path, str(path.relative_to(project.folder)))
            project.asked[path] = None
            found[f"{PROJECT}/{project.relative(path)}"] = real
    if not found:
        raise ProjectError(f"{pattern!r} names no file", f"looked below {project.folder}")
    return found


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            if not _HIDDEN.match(child.name):
                yield from _below(child)
    elif path.is_file():
        yield path
