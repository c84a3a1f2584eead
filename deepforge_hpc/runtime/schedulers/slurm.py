"""Slurm, as a job sees it: its ids, variables, states and exit codes, for commands alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..base.native import FAILED, WAITS, NativeStatus
from ..base.states import State
from .base import QueryResult, Scheduler

ID = re.compile(r"\d{1,10}(_\d{1,10})?")
"""One job, or one task of an array."""
CLUSTER = re.compile(r"(?m)^ClusterName\s*=\s*(\S+)")
"""In what CONFIG_ARGV prints: the cluster that the commands reach."""
CONFIG_ARGV = ("scontrol", "show", "config")
WHOLE_LISTS = ("SLURM_BITSTR_LEN", "0")
"""Set for Slurm's commands: they cut longer lists of tasks to 64 bytes and `...` otherwise."""
_LIST = re.compile(r"(\d+)_\[([\d,:-]*)(?:,?\.\.\.)?(?:%\d+)?\]")
_SPAN = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")


_MEMORY = re.compile(
    r"(?m)^slurmstepd\S*: error: .*?(exceeded (?:job |step )?memory limit(?: \(\d+ > \d+\))?"
    r"|Detected \d+ oom[-_]kill events?)"
)
"""What slurmstepd writes into the log of a job: without cgroups, and with them."""


# All states of squeue(1), and the flags that newer Slurms (25.11) may give in their place.
# COMPLETED says that the script returned 0: the success marker says whether the results are there.
STATES: dict[str, tuple[State, str]] = {
    "BOOT_FAIL": (State.FAILED, "The nodes could not be booted."),
    "CANCELLED": (State.CANCELLED, "It was cancelled."),
    "COMPLETED": (State.SUCCEEDED, "Its script ended with exit code 0."),
    "COMPLETING": (State.RUNNING, "It is ending; Slurm cleans up its nodes."),
    "CONFIGURING": (State.PENDING, "It has its nodes, which are being made ready."),
    "DEADLINE": (State.CANCELLED, "It could not end before its deadline."),
    "EXPEDITING": (State.RUNNING, "It has ended; Slurm decides whether to put it back at once."),
    "FAILED": (State.FAILED, "Its script failed."),
    "LAUNCH_FAILED": (State.FAILED, "Slurm could not launch it on its nodes."),
    "NODE_FAIL": (State.INTERRUPTED, "A node that it ran on failed."),
    "OUT_OF_MEMORY": (State.FAILED, "It needed more memory than it had asked for."),
    "PENDING": (State.PENDING, "It waits in the queue."),
    "POWER_UP_NODE": (State.PENDING, "It has its nodes, which are being powered up."),
    "PREEMPTED": (State.INTERRUPTED, "It was stopped to make room for a job that goes first."),
    "RECONFIG_FAIL": (State.FAILED, "Its nodes could not be made ready."),
    "REQUEUED": (State.PENDING, "It was put back into the queue."),
    "REQUEUE_FED": (State.PENDING, "It is being put back into the queue of the federation."),
    "REQUEUE_HOLD": (State.HELD, "It was put back into the queue and is held."),
    "RESIZING": (State.RUNNING, "It is changing its size."),
    "RESV_DEL_HOLD": (State.HELD, "It is held, as its reservation was deleted."),
    "REVOKED": (State.UNKNOWN, "Another cluster of the federation has taken it."),
    "RUNNING": (State.RUNNING, "It runs."),
    "SIGNALING": (State.RUNNING, "It is being signalled."),
    "SPECIAL_EXIT": (State.HELD, "It was put back into the queue in a special state and is held."),
    "STAGE_OUT": (State.RUNNING, "Its burst buffer is being written back."),
    "STOPPED": (State.RUNNING, "It was stopped with SIGSTOP and keeps its cores."),
    "SUSPENDED": (State.RUNNING, "It is suspended; its cores serve another job."),
    "TIMEOUT": (State.INTERRUPTED, "It reached its time limit."),
    "UPDATE_DB": (State.RUNNING, "Slurm is telling its database of it."),
}

# Exit codes of job.sh (docs: the job contract) that say more than "failed".
_EXITS: dict[str, tuple[State, str]] = {
    "75:0": (State.INTERRUPTED, "It was interrupted: walltime, preemption or SIGTERM."),
    "86:0": (State.UPSTREAM_FAILED, "A job that it needs has not succeeded."),
    "87:0": (State.FAILED, "Its execution folder is not what was submitted."),
    "88:0": (State.FAILED, "Its environment (modules, Python, container) could not be set up."),
    "89:0": (State.FAILED, "An output could not be published."),
}


ENDS: dict[str, str] = {
    "InactiveLimit": "It was ended for doing nothing for too long.",
    "JobLaunchFailure": (
        "Slurm could not launch it, or a signal ended its script (file system, log file, shell)."
    ),
    "NodeDown": "A node that it needs is down.",
    "NonZeroExitCode": "Its script ended with an exit code other than 0.",
    "OutOfMemory": "It needed more memory than it had asked for.",
    "RaisedSignal": "A signal ended its script.",
    "SystemFailure": "Slurm, a file system or the network failed.",
    "TimeLimit": "It reached its time limit.",
}
"""Reasons that Slurm gives to jobs that have failed."""


DROPPED = (State.NEVER_RAN, "It never started: it was cancelled while it waited in the queue.")
"""What is known of a job that was cancelled before its start, by whom or for what is not told."""


def was_dropped(raw_state: str, nodes: object) -> bool:
    """Tell whether an accounting row is of a job that Slurm took out of the queue by itself.

    Without "by UID" it was no user. A dependency that failed is one cause, and a controller that
    has lost its jobs another.
    """
    return raw_state == "CANCELLED" and nodes in {None, "", "None assigned"}


def explain_end(raw_state: str, reason: str, exit_code: str) -> tuple[State, str] | None:
    """Return what reason and exit code add to the state of a job that has ended, if anything.

    Asked at the login node and by the final job alike, so that both say the same.
    """
    word, _, more = raw_state.partition(" ")
    if word.rstrip("+") == "FAILED":
        known = (State.FAILED, ENDS[reason]) if reason in ENDS else None
        return explain_exit(_exit_code(reason, exit_code)) or known
    if word.rstrip("+") == "CANCELLED" and dependency(reason) == FAILED:
        return State.NEVER_RAN, "It never started: a job that it depends on failed."
    if word.rstrip("+") == "CANCELLED" and dependency(reason):
        return DROPPED  # whoever cancels a waiting job leaves that reason too
    if word.rstrip("+") == "CANCELLED" and more.startswith("by "):
        return State.CANCELLED, f"It was cancelled by user {more.removeprefix('by ').strip()}."
    return None


NO_ACCOUNTING = "accounting storage is disabled"
"""What sacct says where there is none, and so never will be."""


def lost(raw_state: str) -> tuple[State, str]:
    """Return what is known of a job that the accounting calls alive, and no controller knows."""
    said = f"Accounting says {raw_state}, but the controller does not know it: lost."
    return State.UNKNOWN, said


def is_filled(name: str) -> bool:
    """Tell whether the accounting knows the name of a job: until then its row tells of no end."""
    return name not in {"", "allocation"}


def unfilled(native_id: str, raw_state: str) -> NativeStatus:
    """Return what is known of a job that the accounting has only begun to write down."""
    said = "Its accounting is not filled in yet: it is not known whether it ended."
    return NativeStatus(native_id, State.UNKNOWN, raw_state, "", said)


def of_units(found: dict[str, NativeStatus]) -> dict[str, NativeStatus]:
    """Leave out the row of an array that is never filled in, where its tasks have their own."""
    arrays = {native_id.partition("_")[0] for native_id in found if "_" in native_id}
    return {key: job for key, job in found.items() if key not in arrays or is_filled(job.name)}


def explain_exit(exit_code: str) -> tuple[State, str] | None:
    """Return what the exit code of a job that FAILED says; `0:9` is code 0, signal 9."""
    if exit_code in _EXITS:
        return _EXITS[exit_code]
    match = re.fullmatch(r"(\d+):(\d+)", exit_code)
    if not match or exit_code == "0:0":
        return None
    sentence = f"Its script ended with exit code {match[1]}."
    if match[2] == "53":  # slurmd's own word, no signal
        sentence = "Its log, or the folder that it starts in, could not be opened on its node: is "
        sentence += "the project on a file system that the nodes see?"
    elif match[2] == "9":
        sentence = "A signal 9 (SIGKILL) ended its script, most often for want of memory."
    elif match[2] != "0":
        sentence = f"A signal {match[2]} ended its script."
    return State.FAILED, sentence


def _exit_code(reason: str, exit_code: str) -> str:
    """Return the exit code, of which the reason alone tells where there is no accounting.

    `RaisedSignal:53(Real-time_signal_19)`.
    """
    raised = re.match(r"RaisedSignal:(\d+)", reason)
    return exit_code or (f"0:{raised[1]}" if raised else "")


def is_held(reason: str) -> bool:
    """Tell whether the reason of a waiting job is that somebody, or Slurm, holds it."""
    held = {"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "launch failed requeued held"}
    return reason.replace("_", " ") in held


def dependency(reason: str) -> str:
    """Return what a reason says of the jobs that a waiting one depends on."""
    return {"Dependency": WAITS, "DependencyNeverSatisfied": FAILED}.get(reason, "")


def ended_by(raw_state: str) -> str:
    """Return who ended a job, if not its own script: `node`, `limit`, `scheduler` or empty."""
    word = (raw_state.split() or [""])[0].rstrip("+")
    if STATES.get(word, (State.UNKNOWN, ""))[0] in {State.INTERRUPTED, State.CANCELLED}:
        return {"NODE_FAIL": "node", "TIMEOUT": "limit"}.get(word, "scheduler")
    return ""


def wants_memory(state: str, exit_code: str) -> bool:
    """Tell whether a job ended so that it needs more memory before it runs again.

    Without cgroups Slurm kills what takes too much, and gives no state of its own to it.
    """
    is_killed = state == "FAILED" and exit_code.endswith(":9")
    return is_killed or state.startswith("OUT_OF_ME")  # sacct may cut it to `OUT_OF_ME+`


def native_status(
    state: State, sentence: str, raw: str, reason: str, name: str, code: str = "", native: str = ""
) -> NativeStatus:
    """Return what a line of Slurm's says of a job, and what a state and reason of it mean."""
    return NativeStatus(
        native, state, raw, reason, sentence, name, code,
        wants_memory=wants_memory(raw, _exit_code(reason, code)), ended_by=ended_by(raw),
        dependency=dependency(reason),
    )  # fmt: skip


def expand(text: str) -> list[str]:
    """Return the ids that `123`, `123_4`, `123_[0-2,7]`, `123_[0-7:2%3]` stand for; [] if none."""
    if ID.fullmatch(text):
        return [text]
    match = _LIST.fullmatch(text)
    if not match:
        return []
    tasks: list[int] = []
    for part in filter(None, match[2].split(",")):
        span = _SPAN.fullmatch(part)
        if not span:
            return []
        first = int(span[1])
        tasks.extend(range(first, int(span[2] or first) + 1, int(span[3] or 1) or 1))
    return [f"{match[1]}_{task}" for task in tasks]


class Slurm(Scheduler):
    """SIGKILL follows SIGTERM after KillWait, which is 30 s by default."""

    grace_s = 20.0

    def native_id(self, environ: Mapping[str, str]) -> str:
        array = environ.get("SLURM_ARRAY_JOB_ID")
        if array:
            return f"{array}_{environ.get('SLURM_ARRAY_TASK_ID', '')}"
        return environ.get("SLURM_JOB_ID", "")

    def nodes(self, environ: Mapping[str, str]) -> str:
        return environ.get("SLURM_JOB_NODELIST", "")

    def scratch(self, environ: Mapping[str, str]) -> str:
        return environ.get("SLURM_TMPDIR", "")

    def memory_words(self, log: str) -> str:
        found = _MEMORY.findall(log)
        return found[-1] if found else ""

    def query(self, root: Path, ids: set[str]) -> QueryResult:
        """Ask the controller, and its database, again while that lags behind."""
        from .sacct import query

        return query(ids)
