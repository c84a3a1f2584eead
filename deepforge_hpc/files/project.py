"""Files of a project: found without leaving it, read once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from deepforge_hpc.errors import Fault, InvalidInputError

MAX_FILE_BYTES = 20 << 20
"""No single file of code can be larger; the snapshot has the same limit for all together."""


class ProjectError(Exception):
    """A path that cannot be used; the text says why, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def absolute(text: str, folder: Path) -> str:
    """Return the absolute path of what a user wrote, `~` understood; its links are kept."""
    return os.path.normpath(folder / os.path.expanduser(text))  # noqa: PTH111 - raises for ~nobody


class Project:
    """The root of a project, and the folder of the pipeline file in it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.folder = Path(os.path.realpath(folder))
        self.asked: dict[Path, None] = {}
        """What was found in it, with its links."""

    def beside(self, folder: Path) -> Project:
        """Return the same project, of which paths are relative to another folder."""
        found = Project(self.root, folder)
        found.asked = self.asked
        return found

    def inside(self, text: str) -> Path:
        """Return the real path of a file that the pipeline names; it lies inside the project.

        Raises ProjectError if it is absolute, leaves the project (also by a link), or is no file.
        """
        if Path(text).is_absolute():
            hint = f"give it relative to {self.folder}"
            raise ProjectError(f"{text!r} is an absolute path", hint)
        path = Path(os.path.normpath(self.folder / text))
        real = self.real(path, text)
        try:
            mode = real.stat().st_mode
        except OSError as error:
            message = f"{text!r} cannot be read: {error.strerror}"
            raise ProjectError(message, f"looked for {path}") from error
        if not stat.S_ISREG(mode):
            raise ProjectError(f"{text!r} is not a file")
        self.asked[path] = None
        return real

    def real(self, path: Path, text: str) -> Path:
        """Return a path with its links resolved, or raise ProjectError if it leaves the project."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.root):
            how = "by a link" if path.is_relative_to(self.root) else ""
            where = f"to {real}" if how else ""
            message = " ".join(f"{text!r} leaves the project {self.root} {how} {where}".split())
            raise ProjectError(message, "copy the file into the project")
        return real

    def relative(self, path: Path) -> str:
        """Return a path relative to the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()


class ProjectFiles:
    """Files of a project that name each other: each may lie anywhere inside."""

    def __init__(self, project: Project, base: Path) -> None:
        self._project = project
        self._base = base
        """Folder that the paths of files, as faults name them, are relative to."""
        self.found: dict[str, tuple[Path, bytes]] = {}
        """What was read: path -> real path and bytes."""

    def read(self, name: str, beside: str) -> tuple[str, bytes]:
        """Return path and bytes of what a file names, relative to it; ProjectError if it is out."""
        folder = (self._base / beside).parent
        real = self._project.beside(folder).inside(name)
        path = os.path.relpath(real, self._base)
        if path not in self.found:
            self.found[path] = (real, read_bounded(real, path))
        return path, self.found[path][1]


def read_input(path: Path, hint: str = "", judge: Callable[[int], None] = lambda _: None) -> bytes:
    """Return the bytes of a file that a user named; InvalidInputError as `read_bounded`."""
    try:
        return read_bounded(path, str(path), judge)
    except ProjectError as error:
        raise InvalidInputError([Fault(str(error), hint=error.hint or hint)]) from error


def read_bounded(path: Path, text: str, judge: Callable[[int], None] = lambda _: None) -> bytes:
    """Return the bytes of a regular file; ProjectError if it is too large or cannot be read.

    `judge` is given the open file before a byte of it is read, and raises if it is not to be.
    """
    try:
        # O_NONBLOCK: a pipe under the name of a file must not block the check.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProjectError(f"{text!r} is not a file")
            judge(stream.fileno())
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ProjectError(f"{text!r} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        message = f"{text!r} is larger than {MAX_FILE_BYTES >> 20} MiB"
        raise ProjectError(message, "code is small; give data as an input")
    return data
