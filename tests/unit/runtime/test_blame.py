"""Which of several ranks began a failure, and how it is told."""

from __future__ import annotations

import pytest

from deepforge_hpc.runtime.job.blame import cause, is_victim, story
from deepforge_hpc.runtime.rank.messages import RankError

SHUT = "Horovod has been shut down. This was caused by an exception on one of the ranks"
GLOO = "[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.1.1.2]:4711"


def error(rank: int, kind: str, message: str, time: float, line: int = 3) -> RankError:
    trace = (
        "Traceback (most recent call last):",
        f'  File "a.py", line {line}',
        f"{kind}: {message}",
    )
    found = RankError(rank, kind, message, trace, "a.py", line, "")
    return found._replace(time=time, host=f"n{rank // 2}")


def test_the_first_that_says_why_is_the_cause_and_the_rest_is_told_in_short() -> None:
    errors = [
        error(0, "HorovodInternalError", SHUT, 9.5),
        error(3, "ValueError", "rank 3 has no data", 10.0),
        error(1, "ValueError", "rank 1 has no data", 10.2),
        error(2, "KeyError", "'x'", 11.0, line=9),
    ]
    found = cause(errors)
    assert found is not None
    assert found.rank == 3
    assert story(errors, 6) == [
        "rank 3 on n1 failed first:",
        "  Traceback (most recent call last):",
        '    File "a.py", line 3',
        "  ValueError: rank 3 has no data",
        "rank 1 failed in the same way, 0.2 s later",
        "rank 2 failed in another way, 1.0 s later:",
        "  Traceback (most recent call last):",
        '    File "a.py", line 9',
        "  KeyError: 'x'",
        "rank 0 ended because a rank was lost, 0.0 s later",
        "ranks 4, 5 did not fail: done, or stopped after that",
    ]


def test_those_that_only_notice_a_loss_tell_nothing_else() -> None:
    errors = [error(rank, "HorovodInternalError", SHUT, rank) for rank in (2, 0)]
    assert story(errors, 3) == ["ranks 2, 0 only noticed that another one is gone"]
    assert cause(errors) == errors[0]
    assert cause([errors[0]._replace(interrupted=True)]) is None
    assert story([error(0, "ValueError", "x", 0)], 1) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("RuntimeError", GLOO),
        ("DistBackendError", "NCCL error in: ProcessGroupNCCL.cpp:3356, unhandled system error"),
        ("DistBackendError", "NCCL communicator was aborted on rank 1. Reason: timeout"),
        ("RuntimeError", "Timed out waiting 1800000ms for recv operation to complete"),
        ("ConnectionResetError", "[Errno 104] Connection reset by peer"),
    ],
)
def test_words_of_libraries_that_lost_a_rank(kind: str, message: str) -> None:
    assert is_victim(error(0, kind, message, 0))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("ValueError", "the data have NaN"), ("TimeoutError", "no answer"), ("MemoryError", "")],
)
def test_words_of_the_operation_itself(kind: str, message: str) -> None:
    assert not is_victim(error(0, kind, message, 0))
