"""What to type after an execution that did not succeed."""

from __future__ import annotations

import pytest

from deepforge_hpc.runtime.base.advice import (
    MEMORY,
    PACKAGE,
    TIME,
    End,
    edit_hint,
    next_step,
    submit_command,
)
from deepforge_hpc.runtime.base.states import State

MORE = "give it more {} in the file, or by --set {}=...; then dfh submit p.yaml"
FULL_DISK = End("a", State.FAILED, is_retryable=True)
BUG = End("b", State.FAILED, is_retryable=False)
SLOW = End("d", State.INTERRUPTED, is_retryable=False, lacks=TIME, operation="train")
LARGE = End("e", State.FAILED, is_retryable=False, lacks=MEMORY)
NOT_INSTALLED = End("f", State.FAILED, is_retryable=False, lacks=PACKAGE)
TIME_LIMIT = End("c", State.INTERRUPTED, is_retryable=True)
BELOW = End("d", State.NEVER_RAN, is_retryable=True)
DONE = End("e", State.SUCCEEDED, is_retryable=True)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([DONE, TIME_LIMIT, BELOW], "dfh resume p-1"),
        ([FULL_DISK, BELOW], "dfh logs p-1 a; then dfh resume p-1"),
        (
            [SLOW, BELOW],
            f"dfh logs p-1 d; {MORE.format('time', 'train.resources.time')}",
        ),
        (
            [LARGE],
            f"dfh logs p-1 e; {MORE.format('memory', 'e.resources.mem_per_node')}",
        ),
        ([NOT_INSTALLED], "dfh logs p-1 f; install what it misses; then dfh submit p.yaml"),
        ([NOT_INSTALLED, SLOW, BUG], "dfh logs p-1 b; edit; then dfh submit p.yaml"),
        ([TIME_LIMIT, FULL_DISK, BUG, BELOW], "dfh logs p-1 b; edit; then dfh submit p.yaml"),
    ],
)
def test_what_must_change_is_edited_and_the_rest_resumed(ends: list[End], expected: str) -> None:
    submit = submit_command("p.yaml", (), "")
    assert next_step(iter(ends), identity="p-1", submit=submit) == expected


def test_what_was_set_may_be_what_was_wrong() -> None:
    submit = submit_command("p.yaml", ["--set", "b.x=bad"], "")
    told = next_step([BUG], identity="p-1", submit=submit)
    assert told == f"dfh logs p-1 b; edit, or give --set another value; then {submit}"
    assert edit_hint(submit).startswith(f"Edit it, or give --set another value, then: {submit} (")


def test_what_was_asked_for_is_kept_and_strange_words_quoted() -> None:
    file = "p $(id).yaml"
    assert submit_command(file, (), "lab") == "dfh submit 'p $(id).yaml' --site lab"
    asked = ["--site", "lab", "--set", "train.epochs=1"]
    assert submit_command(file, asked, "lab") == f"dfh submit 'p $(id).yaml' {' '.join(asked)}"
