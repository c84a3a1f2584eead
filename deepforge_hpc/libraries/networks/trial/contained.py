"""What every trial does, whichever framework is asked: it takes its limits, and converses.

This file and `sealed.py` go to the Python of an environment before the framework's own `child.py`,
which imports this one by its name here. It reads JSON lines from stdin, first how to go about it,
then the networks, and writes JSON lines to where stdout was: `{"ready": ...}`, then for each layer
`{"begin": [network, layer]}` and what became of it, so that whoever reads knows where it hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from typing import Any, Protocol

from deepforge_hpc.libraries.networks.trial.sealed import seal, seal_off

_MIB = 1 << 20
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MAX_TEXT = 4_000
MAX_TENSORS = 64
MAX_WEIGHTS = 10_000
PROBES = ((2, 8), (3, 12))
"""Two sizes of batch and of other unknown dimensions: what differs between them is unknown."""
_WRITES = {
    *("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "os.mkfifo", "os.mknod", "shutil.rmtree"),
}
_NEVER = {
    *("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"),
    *("pty.spawn", "os.kill", "os.killpg", "socket.connect", "socket.bind", "socket.sendto"),
}
Write = Callable[[dict[str, Any]], None]


class NetworkBuild(Protocol):
    """One network while it is built."""

    def add(self, item: dict[str, Any]) -> dict[str, Any]:
        """Add an input, a layer or a model of those before, and return what is to be said of it."""

    def finish(self, network: dict[str, Any]) -> dict[str, Any]:
        """Put the network together, if all of it could be built."""


def limit(memory_mib: int, cpu_s: int, file_mib: int) -> None:
    """Take no more than this from the machine, and end with whoever started this process."""
    bounds = [
        (resource.RLIMIT_DATA, memory_mib * _MIB, memory_mib * _MIB),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 5),
        (resource.RLIMIT_FSIZE, file_mib * _MIB, file_mib * _MIB),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    for which, soft, hard in bounds:
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)  # noqa: PLW2901
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(which, (soft, hard))
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


def contain(*, sealed: bool) -> list[str]:
    """Let nothing below write files, start processes or talk to others; return what tried to.

    Compiled code is seen by the kernel alone: where that has no seal, no file can grow.
    """
    denied: list[str] = []
    if sealed:
        seal_off()
    else:
        null = os.open(os.devnull, os.O_WRONLY)  # what layers print goes to a file, else
        for stream in (1, 2):
            os.dup2(null, stream)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            changes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if not changes or isinstance(path, int) or path == os.devnull:
                return
            if str(path).endswith(".pyc") or ".pyc." in str(path):
                raise PermissionError(13, "nothing is written here")  # import goes on without it
        elif event not in _WRITES and event not in _NEVER:
            return
        what = " ".join(
            [event, *(str(one) for one in args[:1] if isinstance(one, (str, os.PathLike)))]
        )
        denied.append(what[:200])
        raise PermissionError(f"a check may not do this: {what}")

    sys.addaudithook(hook)
    return denied


def words_of(error: BaseException) -> str:
    """Return what an exception says, as plain text."""
    while "__init__() missing" in str(error) and error.__context__ is not None:
        error = error.__context__  # Keras could not make another of its class
    return (_ANSI.sub("", str(error)).strip() or type(error).__name__)[:_MAX_TEXT]


def reads(item: dict[str, Any]) -> list[list[Any]]:
    """Return all tensors that a layer is called with."""
    found = list(item["sources"])
    for value in item["keywords"].values():
        found += value.get("many", ()) or ([value["one"]] if "one" in value else [])
    return found


def picked(known: dict[str, Any], one: list[Any]) -> Any:
    """Return what a layer gives; IndexError for an output that it has not."""
    name, index = one
    found = known[name]
    if index is None:
        return found
    count = len(found) if isinstance(found, (list, tuple)) else 0
    if index < count:
        return found[index]
    what = f"{count} outputs, 0 to {count - 1}" if count else "one tensor: leave out the number"
    raise IndexError(f"{name} gives {what}")


def build(network: dict[str, Any], index: int, one: NetworkBuild, write: Write) -> None:
    """Build a network and write what becomes of each layer."""
    for number, item in enumerate(network["items"]):
        write({"begin": [index, number]})
        write({"item": [index, number], **one.add(item)})
    write({"begin": [index, len(network["items"])]})
    write({"network": index, **one.finish(network)})


def converse(
    start: Callable[[dict[str, Any]], dict[str, Any]],
    build_all: Callable[[list[dict[str, Any]], Write, dict[str, Any], list[str]], None],
) -> None:
    """Be the trial, whose stdout is where the outcome goes and whose stdin brings the work."""
    request = json.loads(sys.stdin.readline())
    limit(request["memory_mib"], request["cpu_s"], request["file_mib"])
    sys.path[:] = [folder for folder in sys.path if folder]
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what frameworks and layers print is no trial

    def write(message: dict[str, Any]) -> None:
        answer.write(json.dumps(message) + "\n")
        answer.flush()

    # What frameworks keep for themselves goes to the temporary folder, which is removed.
    runs_code = bool(request["folders"])
    sealed = runs_code and seal(writable=(os.environ["TMPDIR"], os.devnull))
    ready = start(request)
    write({**ready, "guard": ("kernel" if sealed else "limits") if runs_code else ""})
    if not ready["ready"]:
        return
    denied = contain(sealed=sealed) if runs_code else []
    sys.path[:0] = request["folders"]
    build_all(json.loads(sys.stdin.readline()), write, {**request, **ready}, denied)
    write({"end": True})
