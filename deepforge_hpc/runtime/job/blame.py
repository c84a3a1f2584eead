"""Of several ranks that failed: which one began, and what became of the others.

When one is lost, those that wait for it fail too, with words of the library that connects them.
Some do before the first has written down why; so the earliest is the cause only among those whose
words are their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..base.text import listed
from ..rank.messages import RankError

_LOST = re.compile(
    r"Horovod has been shut down|HorovodInternalError|"
    r"Connection (?:closed|reset) by peer|Broken pipe|Socket closed|"
    r"NCCL.*(?:timeout|timed out|remote (?:process|error)|system error|aborted)|"
    r"(?:collective|barrier|store|socket).{0,80}(?:timeout|timed out)|"
    r"Timed out (?:after|waiting)|DistNetworkError|DistStoreError|MPI_ERR_PROC_FAILED|MPI_Abort",
    re.IGNORECASE | re.DOTALL,
)
_MAX_GROUPS = 5
_MAX_SHOWN = 9


def is_victim(error: RankError) -> bool:
    """Tell whether a rank only says that another one is gone."""
    return bool(_LOST.search(f"{error.type}: {error.message}"))


def cause(errors: Iterable[RankError]) -> RankError | None:
    """Return the error that began it, of some in the order of their times; None without any."""
    own = [error for error in errors if not error.interrupted]
    return next((error for error in own if not is_victim(error)), own[0] if own else None)


def story(errors: list[RankError], world_size: int) -> list[str]:
    """Return lines that tell of all ranks; equal tracebacks once, those of victims not at all."""
    first = cause(errors)
    if first is None or world_size == 1:
        return []
    own = [error for error in errors if not error.interrupted]
    if is_victim(first):
        return [f"{_ranks(own)} only noticed that another one is gone"]
    lines = [f"rank {first.rank} on {first.host or '?'} failed first:"]
    lines += [f"  {line}" for line in first.traceback or (first.reason,)]
    groups: dict[tuple[object, ...], list[RankError]] = {}
    victims = [error for error in own if error is not first and is_victim(error)]
    for error in own:
        if error not in victims and error is not first:
            groups.setdefault(_alike(error), []).append(error)
    if alike := groups.pop(_alike(first), []):
        lines.append(f"{_ranks(alike)} failed in the same way, {_later(alike, first)}")
    for group in list(groups.values())[:_MAX_GROUPS]:
        lines.append(f"{_ranks(group)} failed in another way, {_later(group, first)}:")
        lines += [f"  {line}" for line in group[0].traceback or (group[0].reason,)]
    if rest := list(groups.values())[_MAX_GROUPS:]:
        lines.append(f"{_ranks([one for group in rest for one in group])} failed in yet other ways")
    if victims:
        lines.append(f"{_ranks(victims)} ended because a rank was lost, {_later(victims, first)}")
    silent = set(range(world_size)) - {error.rank for error in own}
    if silent:
        lines.append(f"{_numbered(sorted(silent))} did not fail: done, or stopped after that")
    return lines


def _alike(error: RankError) -> tuple[object, ...]:
    """Return what two equal failures share; a message may name a rank or an address."""
    return (error.type, error.file, error.line, re.sub(r"\d+", "0", error.message))


def _ranks(errors: list[RankError]) -> str:
    return _numbered([error.rank for error in errors])


def _numbered(ranks: list[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {listed(map(str, ranks), _MAX_SHOWN)}"


def _later(errors: list[RankError], first: RankError) -> str:
    """Return when some ranks failed; clocks of two nodes may differ by a little."""
    seconds = max(0.0, min(error.time for error in errors) - first.time)
    return f"{seconds:.1f} s later"
