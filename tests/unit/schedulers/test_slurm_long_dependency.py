"""A job that waits for more others than one argument of a command can name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.schedulers.slurm import submit_argv

LINUX = 131_072
"""Bytes of an argument, with the one that ends it."""


@pytest.mark.parametrize("dependency", ["afterok", "afterany"])
def test_more_than_a_command_line_holds_is_refused_with_the_way(dependency: str) -> None:
    request = SubmitRequest(
        job="merge",
        arguments=(),
        script="jobs/merge/job.sh",
        directory="/scratch",
        name="merge.x",
        comment="",
        output="out.log",
        dependency=dependency,
        after=tuple(str(10_000_000 + n) for n in range(14_000)),
    )
    words = submit_argv(request)
    assert max(len(word) for word in words) < LINUX
    more = replace(request, after=(*request.after, *request.after[:1000]))
    with pytest.raises(SchedulerError, match="merge waits for 15,000 jobs") as caught:
        submit_argv(more)
    assert "two steps" in caught.value.hint
