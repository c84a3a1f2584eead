"""How the scheduler says that jobs ended: one sacct call, kept as a record."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.context import timestamp
from ..base.failure import explain_os_error
from ..base.files import read_json
from ..base.native import WHOLE_LISTS, expand
from ..base.states import State
from ..base.text import plain
from ..state.journal import submitted_tasks
from ..state.record import write_blob, write_record
from .slurm import STATES, explain_exit, wants_memory

if TYPE_CHECKING:
    from ..base.context import Context

_FIELDS = (
    "JobID", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "CPUTimeRAW", "TotalCPU",
    "MaxRSS", "ReqMem", "NNodes", "NCPUS", "NodeList", "AllocTRES", "ConsumedEnergyRaw",
)  # fmt: skip
_TIMES = frozenset({"Submit", "Start", "End"})
_TIMEOUT_S = 60
_LAG_S = 10.0
"""How long the database may not know yet that the jobs have ended, which this one waited for."""
_PAUSE_S = 0.5


class Account(NamedTuple):
    """How one job or array task ended, by the scheduler."""

    ended: bool
    state: State
    sentence: str
    again: bool = True
    """Whether the same job may do better in another run."""


def ask(context: Context, ids: dict[str, str]) -> dict[str, Account]:
    """Return what the scheduler says, by native id; empty if it does not say anything."""
    scheduler = context.plan["scheduler"]
    if scheduler == "slurm":
        return _ask_slurm(context, ids)
    if scheduler == "local":
        return _ask_local(context)
    return {}


def gone(context: Context) -> set[str]:
    """Return the ids of jobs and tasks of which no process is left; only the local site knows."""
    if context.plan["scheduler"] != "local":
        return set()
    return {native for native, account in _ask_local(context).items() if account.ended}


def _ask_slurm(context: Context, ids: dict[str, str]) -> dict[str, Account]:
    native = {native for job, native in ids.items() if job != context.name}
    units = _units(context, ids)
    deadline = time.monotonic() + _LAG_S
    accounts: dict[str, Account] = {}
    raw: str | None = ""
    while native:
        raw = _run_sacct(sorted(native))
        accounts = _accounts(parse_sacct(raw or ""))
        if raw is None or _have_ended(units, accounts) or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_S)
    if raw and (rows := parse_sacct(raw)):
        _keep(context, rows, raw)
    return accounts


def _accounts(rows: list[dict[str, Any]]) -> dict[str, Account]:
    """Return the account of each job and array task; tasks that never started share a row."""
    return {native: _account(row) for row in rows for native in expand(str(row["jobid"]))}


def _units(context: Context, ids: dict[str, str]) -> set[str]:
    """Return the ids of all jobs and array tasks of this attempt, but for this job."""
    some = submitted_tasks(context.layout, context.attempt)
    units = set()
    for job in context.plan["jobs"]:
        native = ids.get(job["name"])
        if not native or job["name"] == context.name:
            continue
        if job["kind"] == "array":
            tasks = some.get(job["name"], range(job["tasks"]))
            units |= {f"{native}_{task}" for task in tasks}
        else:
            units.add(native)
    return units


def _have_ended(units: set[str], accounts: dict[str, Account]) -> bool:
    """Tell whether each is known, and has ended: the database learns of array tasks one by one."""
    return all(unit in accounts and accounts[unit].ended for unit in units)


def _run_sacct(native: list[str]) -> str | None:
    """Return what sacct prints of jobs; None if it does not answer."""
    import subprocess

    # No --array, which sacct of Slurm 22.05 does not know. The end lies in the future: the
    # controller's clock may be ahead of this host's.
    argv = ["sacct", "--parsable2", "--noheader", "--format=" + ",".join(_FIELDS)]
    argv += ["--starttime=2000-01-01", "--endtime=2099-01-01", "--jobs=" + ",".join(native)]
    variables = dict([WHOLE_LISTS], SLURM_TIME_FORMAT="standard", TZ="UTC0", LC_ALL="C")
    try:
        found = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, **variables},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(f"sacct: {error}")
        return None
    if found.returncode != 0:
        _say("sacct: " + plain(found.stderr.decode("utf-8", "replace")))
        return None
    return found.stdout.decode("utf-8", "replace")


def parse_sacct(text: str) -> list[dict[str, Any]]:
    """Return the rows of `sacct --parsable2` with our fields; numbers as numbers, "" as None.

    sacct was asked for times in UTC; it cuts them to 19 characters, so the zone is added here.
    """
    rows = []
    for line in text.splitlines():
        values = line.split("|")
        if len(values) != len(_FIELDS):
            continue
        row: dict[str, Any] = {}
        for name, value in zip(_FIELDS, values, strict=True):
            number = value.isascii() and value.isdigit() and name != "JobID"
            zone = "+00:00" if name in _TIMES and len(value) == len("2026-11-22T08:00:00") else ""
            row[name.lower()] = int(value) if number else f"{value}{zone}" or None
        rows.append(row)
    return rows


def _account(row: dict[str, Any], who: str = "Slurm") -> Account:
    raw, code = str(row["state"] or ""), str(row["exitcode"] or "")
    word = (raw.split() or [""])[0].rstrip("+")
    state, sentence = STATES.get(word, (State.UNKNOWN, "It is not known how it ended."))
    if not state.is_final and state is not State.UNKNOWN:
        return Account(ended=False, state=State.UNKNOWN, sentence="")
    if word == "FAILED":
        state, sentence = explain_exit(code) or (state, sentence)
    if state.is_success:
        state = State.FAILED
        sentence = "Its script ended without an error, but there is no success marker."
    sentence = f"{sentence.rstrip('.')} ({who} says {raw}, exit code {code})."
    again = not wants_memory(word, code)
    return Account(ended=True, state=state, sentence=sentence, again=again)


def _keep(context: Context, rows: list[dict[str, Any]], raw: str) -> None:
    info = context.info
    try:
        data = {
            "schema": "dfh/record/1",
            "kind": "acct",
            "execution": info["id"],
            "uuid": info["uuid"],
            "attempt": context.attempt,
            "clock": "slurmctld",
            "jobs": rows,
            "raw": write_blob(context.ledger, raw.encode()),
            "inputs": [],
            "outputs": [],
            "time": {"end": timestamp()},
            "user": info["user"],
            "dfh": info["version"],
        }
        write_record(context.ledger, data, user=info["user"])
    except OSError as error:
        _say(f"the accounting could not be kept: {explain_os_error(error)}")


def _ask_local(context: Context) -> dict[str, Account]:
    """Read what the engine of the local scheduler published."""
    try:
        jobs = read_json(context.layout.root / "local" / "status.json")["jobs"]
        return {
            native: _account({"state": entry["state"], "exitcode": entry["exit"]}, "The queue")
            for native, entry in jobs.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _say(text: str) -> None:
    sys.stderr.write(f"dfh: {text}\n")
