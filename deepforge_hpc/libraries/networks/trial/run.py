"""Asks a framework in a process of its own: limited, and ended with all that it started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, NoTrial, Objection, Trial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.runtime.base.codec import ShapeError, decode
from deepforge_hpc.runtime.base.files import parse_object

_MAX_STARTS = 3
"""Of one trial: where it ends at a layer, the rest is asked for again without that."""
_MAX_LINE = 1 << 20
_MAX_ANSWER = 64 << 20
_FIELDS = frozenset(BuiltLayer._fields)


class _EndedError(Exception):
    """The trial was late (`time`), or is gone (`end`)."""

    def __init__(self, stage: str, text: str = "") -> None:
        super().__init__(stage)
        self.stage = stage
        self.text = text


_Layer = tuple[int, int]
"""Numbers of a network and of one of its items; that behind the last is the network as a whole."""


def ask(networks: Sequence[dict[str, Any]], setting: TrialSetting) -> tuple[Trial, ...] | NoTrial:
    """Return what the framework says of networks, as `request.network` describes them."""
    ended: dict[_Layer, BuiltLayer] = {}
    last = (len(networks) - 1, len(networks[-1]["items"]) - 1)  # nothing is behind it
    trials: tuple[Trial, ...] = ()
    for _ in range(_MAX_STARTS):
        found = _asked(_without(networks, ended), setting)
        if isinstance(found, NoTrial):
            return trials or found
        trials = tuple(_with(trial, ended, index) for index, trial in enumerate(found[0]))
        if (at := found[1]) is None or at in ended or at >= last:
            break
        if at[1] >= len(layers := trials[at[0]].layers):  # it put the network together
            break
        ended[at] = layers[at[1]]
    return trials


def _without(
    networks: Sequence[dict[str, Any]], ended: Mapping[_Layer, BuiltLayer]
) -> list[dict[str, Any]]:
    """Return networks in which the layers are left out that a trial ended at."""
    return [
        {
            **network,
            "items": [
                {"name": item["name"]} if (index, number) in ended else item
                for number, item in enumerate(network["items"])
            ],
        }
        for index, network in enumerate(networks)
    ]


def _with(trial: Trial, ended: Mapping[_Layer, BuiltLayer], index: int) -> Trial:
    """Return a trial with what was found of the layers that it left out."""
    layers = enumerate(trial.layers)
    return trial._replace(layers=tuple(ended.get((index, i), one) for i, one in layers))


def _asked(
    networks: Sequence[dict[str, Any]], setting: TrialSetting
) -> tuple[tuple[Trial, ...], _Layer | None] | NoTrial:
    """Ask once; return what was said, and where the trial ended before its time."""
    with tempfile.TemporaryDirectory(prefix="dfh-trial-", ignore_cleanup_errors=True) as scratch:
        errors = Path(scratch, "stderr")
        try:
            process = _start(setting, scratch, errors)
        except OSError as error:
            return NoTrial("start", f"{setting.python}: {error.strerror}")
        try:
            return _trials(networks, setting, _Lines(process, networks, setting), errors)
        finally:
            _end(process)


def _start(setting: TrialSetting, scratch: str, errors: Path) -> subprocess.Popen[bytes]:
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            [setting.python, "-c", setting.judge.script()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=scratch,
            env={**os.environ, "TMPDIR": scratch, "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the trial and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            if stream is not None:
                stream.close()
    process.wait()


class _Lines:
    """The conversation: what is sent, and the lines that come back in time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        networks: Sequence[dict[str, Any]],
        setting: TrialSetting,
    ) -> None:
        self._process = process
        self._setting = setting
        request = {
            name: getattr(setting, name)
            for name in (
                "backend",
                "job_backend",
                "folders",
                "precision",
                "memory_mib",
                "cpu_s",
                "file_mib",
            )
        }
        self._unsent = b"".join(json.dumps(part).encode() + b"\n" for part in (request, networks))
        self._buffer = b""
        self._taken = 0

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what the trial says, until it says that this was all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, source = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(out, False)
        limit = self._setting.start_s
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(out, selectors.EVENT_WRITE)
            while True:
                deadline = time.monotonic() + limit
                while b"\n" not in self._buffer:
                    ready = selector.select(max(0.0, deadline - time.monotonic()))
                    if not ready:
                        raise _EndedError("time", f"{limit:g} s")
                    for key, _ in ready:
                        if key.fd == out:
                            self._send(selector, out)
                        else:
                            self._receive(source)
                line, _, self._buffer = self._buffer.partition(b"\n")
                message = parse_object(line)
                if message.get("end"):
                    return
                limit = self._setting.layer_s
                yield message

    def _send(self, selector: selectors.BaseSelector, out: int) -> None:
        try:
            self._unsent = self._unsent[os.write(out, self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = b""  # it is gone, or does not read: the other pipe tells
        if not self._unsent:
            selector.unregister(out)

    def _receive(self, source: int) -> None:
        data = os.read(source, 1 << 16)
        self._taken += len(data)
        self._buffer += data
        if not data or len(self._buffer) > _MAX_LINE or self._taken > _MAX_ANSWER:
            raise _EndedError("end")


def _trials(
    networks: Sequence[dict[str, Any]], setting: TrialSetting, lines: _Lines, errors: Path
) -> tuple[tuple[Trial, ...], _Layer | None] | NoTrial:
    messages = lines.messages()
    layers: list[list[BuiltLayer]] = [[] for _ in networks]
    whole: dict[int, Objection] = {}
    at, is_ended = (0, 0), False
    try:
        ready = next(messages)
        if not ready["ready"]:
            return NoTrial(ready["why"], ready["text"])
    except (_EndedError, StopIteration, ValueError, KeyError) as error:
        return NoTrial(getattr(error, "stage", "end"), _last_words(errors))
    try:
        for message in messages:
            if "begin" in message:
                at = tuple(message["begin"])
            elif "item" in message:
                known = {name: value for name, value in message.items() if name in _FIELDS}
                layers[message["item"][0]].append(decode(BuiltLayer, known))
            elif message.get("error"):
                whole[message["network"]] = decode(Objection, message["error"])
    except (_EndedError, ShapeError, ValueError, KeyError, IndexError, TypeError) as error:
        stage = getattr(error, "stage", "end")
        text = getattr(error, "text", "") or _last_words(errors)
        is_ended = True
        index, number = at
        ended = Objection(stage, "", text, "code" if setting.folders else "framework")
        if number < len(networks[index]["items"]):
            layers[index].append(BuiltLayer(error=ended))
        else:
            whole[index] = ended
    guard = ready.get("guard", "")
    trials = tuple(
        Trial(ready["version"], ready["backend"], tuple(found), whole.get(index), guard)
        for index, found in enumerate(layers)
    )
    return trials, at if is_ended else None


def _last_words(errors: Path) -> str:
    """Return the last line that the process wrote before it ended."""
    with suppress(OSError):
        with errors.open("rb") as file:
            file.seek(max(0, errors.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""
