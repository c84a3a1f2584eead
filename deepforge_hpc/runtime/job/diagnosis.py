"""Why the ranks ended as they did, in one sentence."""

from __future__ import annotations

import signal
from pathlib import Path

from ..base.codec import parse
from ..base.context import Context
from ..base.failure import EXIT_INTERRUPTED, JobError, Killed, Raised, resume, tell
from ..base.files import read_own
from ..base.layout import DONE
from ..base.limits import CPU_TIME, FILE_SIZE, elsewhere
from ..base.signals import CRASHES, killed_by, signal_name
from ..base.states import State
from ..base.text import plain
from ..rank.messages import RankError
from .blame import cause, is_victim, story
from .ranks import Ended, interruption, oom_kills

_LOG_TAIL = 1 << 16
_LIMITS = {
    int(signal.SIGXCPU): ("used up its limit on CPU time", CPU_TIME),
    int(signal.SIGXFSZ): ("wrote a larger file than it may", FILE_SIZE),
}


def diagnose(
    context: Context, ended: Ended, stop: signal.Signals | None, kills_before: int | None
) -> JobError | None:
    """Return why the ranks failed; None if all returned 0, and none before its operation did."""
    if ended.code == 0 and not _missing(context):
        return None
    errors = _read_errors(context.work)
    if stop is not None:
        return _stopped(context, ended, stop, errors)
    if (own := cause(errors)) is not None:
        for line in story(errors, context.job.launch.world_size):
            tell(f"dfh: {line}")
        seen = _by_launcher(context, kills_before) if is_victim(own) else None
        if seen is not None:
            return seen  # it has seen which rank was killed; that one could not say so
        if own.killed.signal:
            found = _killed(context, own.killed, kills_before)
            own = own._replace(
                reason=found.reason,
                hint=found.hint,
                is_retryable=found.is_retryable,
                lacks=found.lacks,
            )
        return _raised(context, own)
    if seen := _by_launcher(context, kills_before):
        return seen
    return _by_exit_code(context, ended.code, errors, kills_before)


def _raised(context: Context, own: RankError) -> JobError:
    from .undeclared import undeclared

    rank = f"Rank {own.rank}: " if context.job.launch.world_size > 1 else ""
    found = undeclared(context, own)
    if found and own.type == "ModuleNotFoundError":
        hint = found  # there is nothing to be installed
    else:
        hint = " ".join(filter(None, (own.hint, found))) or _edit_hint(context)
    return JobError(
        rank + own.reason,
        hint,
        error=_public(own),
        is_retryable=own.is_retryable,
        lacks="" if found else own.lacks,
    )


_ON_STOP = frozenset({"", "SystemExit", "KeyboardInterrupt"})
"""What ranks end with that were asked to stop; a program has no exception."""


def _stopped(
    context: Context, ended: Ended, stop: signal.Signals, errors: list[RankError]
) -> JobError:
    """Return the error of a job that was asked to stop, and what of its own went wrong besides."""
    found = interruption(context, stop, killed=ended.killed_by_us)
    own = cause(one for one in errors if one.type not in _ON_STOP and not one.killed.signal)
    silent = set(_missing(context)) - {error.rank for error in errors}
    if own is not None and not is_victim(own):
        raised = _raised(context, own)
        found.reason += f" {raised.reason}"
        found.error = raised.error
        if stop == signal.SIGUSR1:  # another stop says nothing of the next run
            found.hint, found.is_retryable = raised.hint, raised.is_retryable
            found.lacks = raised.lacks
    elif errors and silent and not ended.killed_by_us:
        from ..base.text import listed

        rank = min(silent)
        who = f"Rank{'s' if silent - {rank} else ''} {listed(map(str, sorted(silent)), 9)}"
        found.reason += f" {who} left no word, and may have ended before that."
        found.hint = _with_log(context, found.hint, rank)
    return found


def _by_exit_code(
    context: Context, code: int, errors: list[RankError], kills_before: int | None
) -> JobError:
    signalled = killed_by(code) if code < 0 or context.job.launch.argv else None
    # torchrun makes 1 of any code; ranks that all say that they were interrupted were not killed.
    is_said_by_all = len({error.rank for error in errors}) == context.job.launch.world_size
    if errors and (signalled == signal.SIGTERM or code == EXIT_INTERRUPTED or is_said_by_all):
        # Somebody signalled the ranks alone.
        reason = f"The job was interrupted by {errors[0].message or 'a signal'}."
        return JobError(
            reason, exit_code=EXIT_INTERRUPTED, state=State.INTERRUPTED, is_retryable=True
        )
    if signalled is not None:
        return _killed(context, Killed(signalled), kills_before)
    return _wordless(context, code)


def _by_launcher(context: Context, kills_before: int | None) -> JobError | None:
    """Return what the launcher says in the job's log, as its exit code alone says little."""
    from ..launchers.words import first_death, mpi_refusal, refusal, unlabelled

    if not context.job.launch.argv:
        return None
    try:
        tail = read_own(
            context.layout.log(context.name, context.attempt, context.task), tail=_LOG_TAIL
        )
    except (OSError, ValueError):
        return None  # by hand it is a terminal
    log = unlabelled(tail.decode(errors="replace"))
    if words := mpi_refusal(log):
        from ..rank.mpi import OTHER_MPI

        starter = context.job.launch.argv[0]
        reason = f"The MPI library of the ranks does not go with {starter}: {plain(words, 200)}"
        return JobError(reason, OTHER_MPI)
    death = first_death(log)
    if death is None:
        words = refusal(log)
        if not words or any(_has_started(context, rank) for rank in _missing(context)):
            return None
        reason = f"{context.job.launch.argv[0]} could not start the ranks: {plain(words, 200)}"
        return JobError(
            reason, f"See the end of the log: dfh logs {context.info.id} {context.name}"
        )
    if death.code < 0:
        error = _killed(context, Killed(-death.code), kills_before)
    else:
        error = _left(death.code)
        if death.rank is not None and not _has_started(context, death.rank):
            error.reason = f"Its process ended with exit code {death.code} before it could begin."
            error.hint = ""
    error.reason = f"{'A rank' if death.rank is None else f'Rank {death.rank}'}: {error.reason}"
    error.hint = _with_log(context, error.hint, death.rank)
    return error


def _with_log(context: Context, hint: str, rank: int | None) -> str:
    of = "" if rank is None else f" --rank {rank}"
    return f"{hint} Its log: dfh logs {context.info.id} {context.name}{of}".strip()


def _has_started(context: Context, rank: int) -> bool:
    """Tell whether a rank came as far as to open its log."""
    path = context.layout.rank_log(context.name, context.attempt, rank, context.task)
    return path.exists()


def _left(code: int) -> JobError:
    reason = f"The operation ended the process with exit code {code}."
    return JobError(reason, "Return the outputs; the runtime ends the process.")


def _edit_hint(context: Context) -> str:
    from ..base.advice import edit_hint

    return edit_hint(context.info.submit_command)


def _missing(context: Context) -> list[int]:
    """Return the ranks of several that have left no note that they are done."""
    if context.job.launch.world_size == 1:
        return []  # what it has saved is its note
    notes = read_own(context.work / DONE)
    return [rank for rank, note in enumerate(notes) if not note]


def _wordless(context: Context, code: int) -> JobError:
    argv = context.job.launch.argv
    if code == 0:
        from ..base.text import listed

        missing = _missing(context)
        who = f"Rank{'s' if missing[1:] else ''} {listed(map(str, missing), 9)}"
        reason = (
            f"{who} of {context.job.launch.world_size} ended before the operation returned, and "
            f"{argv[0]} tells of no failure."
        )
        return JobError(reason, "os._exit does that: return from the operation in every rank.")
    if argv:
        reason = f"{argv[0]} ended with exit code {code}, and no rank said why."
        return JobError(
            reason, f"See the end of the log: dfh logs {context.info.id} {context.name}"
        )
    return _left(code)


def _killed(context: Context, killed: Killed, kills_before: int | None) -> JobError:
    name, what = signal_name(killed.signal), killed.what
    kills = oom_kills()
    if kills is not None and kills_before is not None and kills > kills_before:
        return _for_memory(context, f"{what} ran out of memory: the kernel killed it.")
    if killed.signal in _LIMITS:
        met, limit = _LIMITS[killed.signal]
        hint = elsewhere(limit, resume(context.info.id))
        return JobError(f"{what} {met} ({name}).", hint, is_retryable=True)
    if killed.signal == signal.SIGKILL:
        reason = f"{what} was killed from outside (SIGKILL): probably it ran out of memory."
        return _for_memory(context, reason)
    if killed.signal in CRASHES:
        hint = killed.look or "The end of the log shows the Python lines that were running."
        return JobError(f"{what} crashed ({name}) in compiled code.", hint)
    return JobError(f"{what} was killed from outside ({name}).", is_retryable=True)


def _for_memory(context: Context, reason: str) -> JobError:
    from ..base.advice import kill_advice

    has_checkpoint = context.folder.has_checkpoint()
    hint, is_retryable, lacks = kill_advice(context.info.id, has_checkpoint=has_checkpoint)
    return JobError(reason, hint, is_retryable=is_retryable, lacks=lacks)


def _read_errors(work: Path) -> list[RankError]:
    """Return what ranks wrote about their failures, the earliest first."""
    found = (_read_error(path) for path in work.glob("error-*.json"))
    errors = [error for error in found if error is not None]
    return sorted(errors, key=lambda error: error.time)


def _read_error(path: Path) -> RankError | None:
    try:
        return parse(RankError, read_own(path))
    except (OSError, ValueError):
        return None


def _public(error: RankError) -> Raised:
    return Raised(*(getattr(error, name) for name in Raised._fields))
