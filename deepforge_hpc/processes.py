"""Processes of this machine, as `/proc` shows them: when one began, and whose it is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.runtime.base.files import read_own


def start_time(pid: int) -> str:
    """Return when a process began (clock ticks since boot); empty if there is none or a zombie."""
    text = read(pid, "stat")
    # The name of the command may hold blanks and brackets: count behind the last bracket.
    fields = text[text.rfind(b")") + 2 :].split()
    return "" if len(fields) < 20 or fields[0] in {b"Z", b"X"} else fields[19].decode()


def machine() -> str:
    """Return a name of what `/proc` shows: this machine since it was started, or a container."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no path


def owner(pid: int) -> int:
    """Return the user id of a process, -1 if there is none."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1


def owner_name(path: Path) -> str:
    """Return the name of the user that a path belongs to, else the number.

    Of a link whoever made it, if that is another user.
    """
    maker = path.lstat().st_uid
    return name_of(path.stat().st_uid if maker in {0, os.geteuid()} else maker)


def write_for_owner(folder: Path) -> None:
    """Let whoever owns a folder read what this process, and all that it starts, will write there.

    A umask of 077 keeps it from the very user whose it is, and whose jobs go on with it; and from
    all others where the folder's group may write, as git's core.sharedRepository has it.
    """
    found = folder.stat()
    given = 0o055 if found.st_uid != os.geteuid() else 0
    if found.st_mode & stat.S_IWGRP:
        given |= 0o070
    os.umask(os.umask(0o077) & ~given)


def user_name() -> str:
    """Return the name of the user of this process, else the number: some containers have none."""
    return name_of(os.getuid())


def name_of(uid: int) -> str:
    """Return the name of a user, else the number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def read(pid: int, name: str) -> bytes:
    """Return a file of a process; empty if there is none, or if it may not be read."""
    with suppress(OSError):
        return read_own(Path(f"/proc/{pid}/{name}"))
    return b""
