"""What launchers say, in the log of their job, of ranks that died without a word of their own.

Read only after a failure. The forms are those of Open MPI 4.1 and 5 (`mpirun`, `prterun`), Slurm
22.05 to 24.11 (`srun`), MPICH's Hydra and PyTorch 2 (`torchrun`).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import NamedTuple

from ..base.failure import EXIT_INTERRUPTED
from ..base.signals import killed_by

_DEATHS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"Process name: \[.*?,(?P<rank>\d+)\]\s+Exit code:\s+(?P<code>\d+)",
        r"noticed that process rank (?P<rank>\d+) with PID .*exited on signal (?P<signal>\d+)",
        r"^srun: error: \S+: tasks? (?P<rank>\d+)[-,\d]*: Exited with exit code (?P<code>\d+)",
        r"^srun: error: \S+: tasks? (?P<rank>\d+)[-,\d]*: (?P<word>[A-Z][A-Za-z/ ]+)",
        r"^=\s+(?:RANK (?P<rank>\d+) )?PID (?:.*\n){1,3}?=\s+KILLED BY SIGNAL: (?P<signal>\d+)",
        (  # of a signal, versions tell its number or 128 more as the code, and then which it was
            r"^=\s+(?:RANK (?P<rank>\d+) )?PID (?:.*\n){1,3}?=\s+EXIT CODE: (?P<code>\d+)"
            r"(?:(?:.*\n){1,5}?.*\bEXIT STRING: .*\(signal (?P<signal>\d+)\))?"
        ),
        r"^\s*rank +: (?P<rank>\d+) \(local_rank: \d+\)\s+exitcode +: (?P<code>-?\d+)",
    )
)
_REFUSALS = (
    re.compile(r"^srun: (?:fatal|error): (?!\S+: tasks? \d)(.+)$", re.MULTILINE),
    re.compile(  # Open MPI; a program's own tables have such lines too
        r"^-{40,}\n((?:(?!-{40}|\n\n).)*?\b(?:mpirun|mpiexec|prterun|prted|orted|PMIx|PRTE|ORTE|"
        r"Open MPI|slots|allocated)\b.*?)(?:\n\n|\n-{40,}$)",
        re.MULTILINE | re.DOTALL,
    ),
    re.compile(r"^(?:mpirun|mpiexec|prterun|torchrun): (.+)$", re.MULTILINE),
)
_NO_MPI = (
    re.compile(  # Open MPI
        r"(The application appears to have been direct launched using .{1,200}?execute)", re.DOTALL
    ),
    re.compile(r"(MPIR_pmi_init|PMI2?_Init)\S* (?:failed|returned)", re.MULTILINE),  # MPICH
    re.compile(r"(PMI (?:server|library) not found)", re.IGNORECASE),  # Intel MPI
)
_LABEL = re.compile(r" *(\d+): ?(.*\n?)")
_SIGNALS = {signal.strsignal(number): int(number) for number in signal.valid_signals()}
_SIGNALS["Out Of Memory"] = int(signal.SIGKILL)  # Slurm's word for a step that the kernel ended


class Death(NamedTuple):
    """How the launcher saw a rank end."""

    rank: int | None
    """None: MPICH's Hydra names the process and its node alone."""
    code: int
    """Exit code, or minus the number of a signal."""

    @property
    def is_effect(self) -> bool:
        """Whether it was asked to end, as launchers do with all when one is lost."""
        return self.code in {EXIT_INTERRUPTED, -signal.SIGTERM}


def unlabelled(log: str) -> str:
    """Return a log as it is without `srun --label`: the lines of each task together."""
    tasks: dict[str, list[str]] = {"": []}
    for line in log.splitlines(keepends=True):
        label, text = found.groups() if (found := _LABEL.fullmatch(line)) else ("", line)
        tasks.setdefault(label, []).append(text)
    return "".join(line for lines in tasks.values() for line in lines)


def first_death(log: str) -> Death | None:
    """Return the rank whose end was not an effect of another one's; None if the log names none."""
    deaths = sorted(_deaths(log), key=lambda found: found[0])
    causes = [death for _, death in deaths if not death.is_effect]
    # A launcher may end the others by SIGKILL, too.
    own = [death for death in causes if death.code != -signal.SIGKILL]
    return next(iter((*own, *causes)), None)


def _deaths(log: str) -> Iterator[tuple[int, Death]]:
    for pattern in _DEATHS:
        for match in pattern.finditer(log):
            found = match.groupdict()
            code = _code(found.get("code"), found.get("signal"), found.get("word"))
            if code is not None:
                rank = found["rank"]
                yield match.start(), Death(None if rank is None else int(rank), code)


def _code(code: str | None, number: str | None, word: str | None) -> int | None:
    if number is not None:
        return -int(number)
    if code is not None:
        killer = killed_by(int(code))
        return int(code) if killer is None else -killer
    known = _SIGNALS.get(str(word).strip())
    return None if known is None else -known


def mpi_refusal(log: str) -> str:
    """Return in which words an MPI library said that it does not find its launcher; or nothing."""
    found = next(filter(None, (pattern.search(log) for pattern in _NO_MPI)), None)
    return f"{' '.join(found[1].split())}." if found else ""


def refusal(log: str) -> str:
    """Return in which words a launcher said that it cannot start the ranks; empty if in none."""
    for pattern in _REFUSALS:
        if match := pattern.search(log):
            return " ".join(match[1].split())
    return ""
