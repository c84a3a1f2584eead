"""How benches count: file-system calls by strace, processor time by the kernel."""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

SLOWER = 1.05
"""How much longer a step of our training may take than one that was written by hand."""

# What a shared file system feels: open, stat, readlink, getdents and access calls.
_CALLS = (
    *("open", "openat", "openat2", "stat", "lstat", "newfstatat", "statx", "readlink"),
    *("readlinkat", "getdents", "getdents64", "access", "faccessat", "faccessat2"),
)
# The status of a file that is open already is no question to a metadata server: fstat, which the C
# library spells newfstatat(handle, "", ..., AT_EMPTY_PATH), does not count, whatever its name.
_CALL = re.compile(rf"^(?:{'|'.join(_CALLS)})\((?!.*AT_EMPTY_PATH)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes as a user's are: not measured for coverage."""
    monkeypatch.setenv("TESTS_WITHOUT_COVERAGE", "1")


@pytest.fixture
def dfh(dfh: Any) -> Any:
    """Return the command as a user starts it: a program of its own, not a fork of one that is warm."""
    return replace(dfh, warm=None)


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Return how many times to measure: as many as a verdict needs, or once if none is asked for."""
    return lambda runs: runs if _judging(request.config) else 1


@pytest.fixture
def judge(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[..., None]:
    """Return a function that keeps a measured figure, and fails over its limit if benches are judged.

    The clock of a machine with other work on it says little: a whole run only tries the benches
    (--figures=try), `tests/run.sh tests/bench` judges them.
    """

    def verdict(what: str, measured: float, limit: float) -> None:
        record_property(what, measured)
        print(f"{what}: {measured:.4g} (limit {limit:.4g})")
        if _judging(request.config):
            assert measured <= limit, what

    return verdict


@pytest.fixture
def judge_pairs(judge: Callable[..., None]) -> Callable[..., None]:
    """Return a function that judges a step of ours against one of theirs, which took turns.

    It is given pairs of stretches, ours and theirs: seconds by the clock and of processor time.
    """

    def verdict(what: str, pairs: Sequence[Sequence[Sequence[float]]], steps: int) -> None:
        ratios = sorted(mine[0] / theirs[0] for mine, theirs in pairs)
        low, high = _around_median(ratios)
        mine, theirs = (
            [1000 * median(clock) / steps for clock in zip(*column, strict=True)]
            for column in zip(*pairs, strict=True)
        )
        print(
            f"{what}: x {low:.3f} to x {high:.3f}, {len(pairs)} pairs; a step takes {mine[0]:.1f} ms"
        )
        print(
            f"and by hand {theirs[0]:.1f} ms; of processor time {mine[1]:.1f} and {theirs[1]:.1f}"
        )
        judge(f"a step over {what}, against one by hand", median(ratios), SLOWER)

    return verdict


@pytest.fixture
def judge_processor_time(judge: Callable[..., None], bare_python_s: float) -> Callable[..., None]:
    """Return a function that judges processor time by what `python -c pass` takes here and now.

    Limits are given in seconds of the machine where that is 12 ms (2 quiet cores, CPython 3.11): a
    busy or slow machine needs more for both.
    """

    def verdict(what: str, measured_s: float, limit_s: float) -> None:
        print(f"{what}: {1000 * measured_s:.0f} ms, python -c pass: {1000 * bare_python_s:.0f} ms")
        judge(f"{what}, in units of python -c pass", measured_s / bare_python_s, limit_s / 0.012)

    return verdict


def _around_median(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the two values that enclose the median of what was measured, with 95 % confidence.

    Each value lies below it with a chance of a half: of 12, the third and the tenth enclose it.
    """
    count, place, chance = len(ordered), 0, 0.0
    while (chance := chance + math.comb(count, place) / 2**count) <= 0.025:
        place += 1
    return ordered[max(0, place - 1)], ordered[-max(1, place)]


def _judging(config: pytest.Config) -> bool:
    return bool(config.getoption("--figures") == "judge")


class FileSystemCalls:
    """Counts the file-system calls of one process, not of its children."""

    # A call of a name that this processor's kernel does not have is not an error (?).
    names = ",".join(f"?{name}" for name in _CALLS)

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._log = folder / "calls.log"
        self._environ = environ

    def __call__(self, argv: Sequence[object], *, cwd: Path) -> int:
        options = ("-qq", "-o", self._log, "-e", f"trace={self.names}", "-e", "signal=none")
        done = subprocess.run(
            ["strace", *map(str, options), *map(str, argv)],
            cwd=cwd,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return self.count(self._log.read_text(encoding="utf-8", errors="replace"))

    @staticmethod
    def count(log: str) -> int:
        """Return how many lines of strace are such calls."""
        return len(_CALL.findall(log))


@pytest.fixture
def file_system_calls(tmp_path: Path, clean_environment: dict[str, str]) -> FileSystemCalls:
    """Return the counter; strace must be there, `tests/run.sh` installs it."""
    assert shutil.which("strace"), "strace is not installed: apt-get install strace"
    return FileSystemCalls(tmp_path, clean_environment)


@pytest.fixture
def processor_seconds(
    clean_environment: dict[str, str], tries: Callable[[int], int]
) -> Callable[..., float]:
    """Return a function that gives the least processor time of a command over some runs."""

    def measure(
        argv: Sequence[object],
        *,
        cwd: Path,
        runs: int = 7,
        env: Mapping[str, str] = clean_environment,
    ) -> float:
        def once() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                list(map(str, argv)), cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        return min(once() for _ in range(tries(runs)))

    return measure


@pytest.fixture
def bare_python_s(processor_seconds: Callable[..., float], tmp_path: Path) -> float:
    """Return the processor time of an interpreter that does nothing: the peer of every other."""
    return processor_seconds((sys.executable, "-c", "pass"), cwd=tmp_path, runs=21)


def pytest_report_header() -> str:
    return f"bench: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
