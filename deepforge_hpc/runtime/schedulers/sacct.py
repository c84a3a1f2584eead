"""What Slurm says of the jobs of an execution: its controller, and its accounting."""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from ..base.native import NativeStatus
from ..base.states import State
from ..base.text import plain
from .base import Cell, QueryResult
from .slurm import (
    CLUSTER,
    CONFIG_ARGV,
    DROPPED,
    NO_ACCOUNTING,
    STATES,
    WHOLE_LISTS,
    expand,
    explain_end,
    is_filled,
    is_held,
    lost,
    native_status,
    of_units,
    unfilled,
    was_dropped,
)

_TIMES = frozenset({"submit", "start", "end"})
_TIMEOUT_S = 60
_LAG_S = 10.0
"""How long the database may not know yet that the jobs have ended, which this one waited for."""
_PAUSE_S = 0.5
_CLEANUP_S, _CLEANUP_PAUSE_S = 60.0, 2.0
"""How long a node may take to clean up after a job, which is not over before that."""


class AccountingRow(NamedTuple):
    """What sacct says of a job or array task, by its own names of the fields."""

    jobid: str
    state: Cell
    exitcode: Cell
    submit: Cell
    start: Cell
    end: Cell
    elapsedraw: Cell
    cputimeraw: Cell
    totalcpu: Cell
    maxrss: Cell
    reqmem: Cell
    nnodes: Cell
    ncpus: Cell
    nodelist: Cell
    alloctres: Cell
    consumedenergyraw: Cell
    jobname: Cell


def query(ids: set[str]) -> QueryResult:
    """Ask the controller, which is right on what is alive, then the accounting how the rest ended.

    The controller remembers a job for some minutes, so it knows of ends where there is no database.
    """
    native = sorted({id_.partition("_")[0] for id_ in ids})
    if not native:
        return QueryResult({})
    cluster = _cluster_option()
    queued = _settled_queue(native, cluster)
    alive = {key for key, job in (queued or {}).items() if not job.state.is_final}
    ended = _query_accounting(native, ids - alive, cluster)
    if queued is None:  # what accounting does not know either may be alive
        return ended._replace(jobs=ended.jobs or None, has_accounting=False)
    if ended.jobs is None:
        return ended._replace(jobs=queued, has_accounting=False)
    accounted = [(key, job) for key, job in ended.jobs.items() if key not in alive]
    past = {key: job for key, job in accounted if job.state.is_final}
    gone = {key: _lost(job) for key, job in accounted if key not in past and key not in queued}
    return ended._replace(jobs=of_units({**queued, **past, **gone}))


def _cluster_option() -> list[str]:
    """Return the option for the cluster of this job, if the commands would ask another."""
    mine = os.environ.get("SLURM_CLUSTER_NAME", "")
    found = CLUSTER.search(_run([*CONFIG_ARGV]) or "") if mine else None
    return [f"--clusters={mine}"] if mine and not (found and found[1] == mine) else []


def _query_accounting(native: list[str], units: set[str], cluster: list[str]) -> QueryResult:
    """Ask until the database knows how all units ended, which it learns one by one."""
    deadline = time.monotonic() + _LAG_S
    while True:
        raw = _run([*_sacct_argv(native), *cluster], harmless=NO_ACCOUNTING)
        if raw is None:
            return QueryResult(None)
        rows = parse_sacct(raw)
        found = {key: _account(key, row) for row in rows for key in expand(row.jobid)}
        filled = {key for row in rows if is_filled(_name(row)) for key in expand(row.jobid)}
        ended = {key for key in filled if not found[key].state.is_live}
        if units <= ended or time.monotonic() > deadline:
            return QueryResult(found, [row._asdict() for row in rows], raw.encode(), "slurmctld")
        time.sleep(_PAUSE_S)


def _settled_queue(native: list[str], cluster: list[str]) -> dict[str, NativeStatus] | None:
    """Ask the controller again while nodes of a job that has ended are cleaned up."""
    deadline = time.monotonic() + _CLEANUP_S
    while True:
        queued = _ask_queue(native, cluster)
        is_settled = all(job.raw_state != "COMPLETING" for job in (queued or {}).values())
        if is_settled or time.monotonic() > deadline:
            return queued
        time.sleep(_CLEANUP_PAUSE_S)


def _ask_queue(native: list[str], cluster: list[str]) -> dict[str, NativeStatus] | None:
    argv = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%j", *cluster]
    # Where it knows none of the ids it says so and fails.
    raw = _run([*argv, "--jobs=" + ",".join(native)], harmless="Invalid job id")
    if raw is None:
        return None
    lines = [line.strip().split("|", 3) for line in raw.splitlines()]
    rows = [(key, line) for line in lines if len(line) == 4 for key in expand(line[0])]
    return {key: _native(key, state, reason, "", name) for key, (_, state, reason, name) in rows}


def _sacct_argv(native: list[str]) -> list[str]:
    # No --array, which sacct of Slurm 22.05 does not know. The end lies in the future: the
    # controller's clock may be ahead of this host's.
    argv = ["sacct", "--parsable2", "--noheader", "--format=" + ",".join(AccountingRow._fields)]
    argv += ["--starttime=2000-01-01", "--endtime=2099-01-01", "--jobs=" + ",".join(native)]
    return argv


def _run(argv: list[str], harmless: str = "") -> str | None:
    """Return what a command of Slurm prints; None if it does not answer."""
    import subprocess

    variables = dict([WHOLE_LISTS], SLURM_TIME_FORMAT="standard", TZ="UTC0", LC_ALL="C")
    try:
        found = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**_environ(), **variables},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(f"{argv[0]}: {error}")
        return None
    said = found.stderr.decode("utf-8", "replace")
    if found.returncode != 0 and not (harmless and harmless in said):
        _say(f"{argv[0]}: " + plain(said))
        return None
    return found.stdout.decode("utf-8", "replace")


def _environ() -> dict[str, str]:
    """Return the environment without what the submitting shell told commands: which cluster, too.

    slurmd sets SLURM_CONF to that of its own cluster.
    """
    prefixes = ("SLURM_", "SQUEUE_", "SACCT_", "SCONTROL_")
    return {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or not k.startswith(prefixes)}


def parse_sacct(text: str) -> list[AccountingRow]:
    """Return the rows of `sacct --parsable2` with our fields; numbers as numbers, "" as None.

    sacct was asked for times in UTC; it cuts them to 19 characters, so the zone is added here.
    """
    rows = []
    for line in text.splitlines():
        values = line.split("|")
        if len(values) == len(AccountingRow._fields):
            native, *others = zip(AccountingRow._fields, values, strict=True)
            rows.append(AccountingRow(native[1], *(_cell(*one) for one in others)))
    return rows


def _cell(name: str, value: str) -> Cell:
    if value.isascii() and value.isdigit():
        return int(value)
    zone = "+00:00" if name in _TIMES and len(value) == len("2026-11-22T08:00:00") else ""
    return f"{value}{zone}" or None


def _account(native: str, row: AccountingRow) -> NativeStatus:
    raw, code = str(row.state or ""), str(row.exitcode or "")
    if not is_filled(_name(row)):
        return unfilled(native, raw)
    end = str(row.end or "")
    found = _native(native, raw, "", code, _name(row))
    if was_dropped(raw, row.nodelist):
        found = found._replace(state=DROPPED[0], explanation=DROPPED[1])
    return found._replace(ended=end if end[:1].isdigit() else "")  # it may be `Unknown`


def _name(row: AccountingRow) -> str:
    return str(row.jobname or "")


def _native(native: str, raw: str, reason: str, code: str, name: str) -> NativeStatus:
    word = (raw.split() or [""])[0].rstrip("+")
    state, sentence = STATES.get(word, (State.UNKNOWN, "It is not known how it ended."))
    if word == "PENDING" and is_held(reason):
        state, sentence = State.HELD, "It is held."
    state, sentence = explain_end(raw, reason, code) or (state, sentence)
    return native_status(state, sentence, raw, reason, name, code, native)


def _lost(job: NativeStatus) -> NativeStatus:
    if not is_filled(job.name):
        return job
    state, sentence = lost(job.raw_state)
    return job._replace(state=state, explanation=sentence)


def _say(text: str) -> None:
    sys.stderr.write(f"dfh: {text}\n")
