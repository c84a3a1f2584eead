"""What the kernel itself keeps a trial from: Landlock, which no code can take off again.

Numbers and structures are those of `linux/landlock.h`; each version of the interface ("ABI") knows
more. A seal holds for this thread and what it starts, so it is laid on before others are there.
Changes of owner, mode and times are outside of what Landlock knows.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # numbers of the system calls, on all machines
_VERSION = 1
_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE = 1 << 0, 1 << 1
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_BIND_AND_CONNECT = 0b11


def seal(*, writable: Iterable[str]) -> bool:
    """Let nothing be written, made or removed but below some places; False if no kernel does so."""
    changes = _WRITE | _REMOVE_AND_MAKE
    changes |= (_REFER if _version() >= 2 else 0) | (_TRUNCATE if _version() >= 3 else 0)
    return _restrict(changes, 0, writable)


def seal_off() -> bool:
    """Let no program be started and no connection be made from now on; False if that is not so."""
    return _restrict(_EXECUTE, _BIND_AND_CONNECT if _version() >= 4 else 0, ())


def _call(number: int, *arguments: int | bytes) -> int:
    made = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *made))


def _version() -> int:
    """Return the version of the interface; 0 or less where there is none."""
    return _call(_CREATE, 0, 0, _VERSION)


def _restrict(files: int, network: int, writable: Iterable[str]) -> bool:
    if _version() < 1:
        return False
    handled = struct.pack("=QQ", files, network) if network else struct.pack("=Q", files)
    rules = _call(_CREATE, handled, len(handled), 0)
    if rules < 0:
        return False
    try:
        for place in writable:
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            allowed = files if os.path.isdir(place) else files & (_WRITE | _TRUNCATE)  # noqa: PTH112
            _call(_ADD_RULE, rules, _BENEATH, struct.pack("=Qi", allowed, handle), 0)
            os.close(handle)
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return _call(_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)
