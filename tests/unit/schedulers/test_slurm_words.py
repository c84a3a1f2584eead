from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers import memory_words
from deepforge_hpc.runtime.schedulers.sacct import _native
from deepforge_hpc.runtime.schedulers.slurm import ENDS, STATES, wants_memory
from deepforge_hpc.schedulers.slurm_states import (
    explain_reason,
    interpret,
    never_starts,
    parse_state,
)

_REASONS = Path(__file__).parents[2] / "fixtures" / "slurm" / "reasons.txt"

# squeue(1), section JOB STATE CODES
_CODES = [
    "BF",
    "BOOT_FAIL",
    "CA",
    "CANCELLED",
    "CD",
    "COMPLETED",
    "CF",
    "CONFIGURING",
    "CG",
    "COMPLETING",
    "DL",
    "DEADLINE",
    "F",
    "FAILED",
    "NF",
    "NODE_FAIL",
    "OOM",
    "OUT_OF_MEMORY",
    "PD",
    "PENDING",
    "PR",
    "PREEMPTED",
    "R",
    "RUNNING",
    "RD",
    "RESV_DEL_HOLD",
    "RF",
    "REQUEUE_FED",
    "RH",
    "REQUEUE_HOLD",
    "RQ",
    "REQUEUED",
    "RS",
    "RESIZING",
    "RV",
    "REVOKED",
    "SI",
    "SIGNALING",
    "SE",
    "SPECIAL_EXIT",
    "SO",
    "STAGE_OUT",
    "ST",
    "STOPPED",
    "S",
    "SUSPENDED",
    "TO",
    "TIMEOUT",
]
# https://slurm.schedmd.com/job_state_codes.html of 25.11: flags without a two-letter form
_FLAGS = ["EXPEDITING", "LAUNCH_FAILED", "POWER_UP_NODE", "RECONFIG_FAIL", "UPDATE_DB"]
_PAIRS = list(zip(_CODES[::2], _CODES[1::2], strict=True))


def test_every_state_of_the_manual_is_known():
    assert {word for _, word in _PAIRS} | set(_FLAGS) == set(STATES)
    assert len(_PAIRS) == 24


@pytest.mark.parametrize(("code", "word"), _PAIRS)
def test_short_and_long_form_mean_the_same(code, word):
    assert parse_state(code) == parse_state(word)
    assert parse_state(word)[1] == word
    assert parse_state(word)[2].endswith(".")


@pytest.mark.parametrize(
    ("raw", "reason", "code", "state"),
    [
        ("COMPLETED", "None", "0:0", State.SUCCEEDED),
        ("FAILED", "NonZeroExitCode", "1:0", State.FAILED),
        ("FAILED", "", "75:0", State.INTERRUPTED),
        ("FAILED", "", "86:0", State.UPSTREAM_FAILED),
        ("FAILED", "", "87:0", State.FAILED),
        ("FAILED", "", "88:0", State.FAILED),
        ("FAILED", "", "89:0", State.FAILED),
        ("CANCELLED by 1000", "", "0:0", State.CANCELLED),
        ("CANCELLED", "DependencyNeverSatisfied", "0:0", State.NEVER_RAN),
        ("CANCELLED", "Dependency", "0:0", State.NEVER_RAN),
        ("OUT_OF_MEMORY", "OutOfMemory", "0:125", State.FAILED),
        ("OUT_OF_ME+", "", "0:125", State.FAILED),
        ("RUNNING+", "", "", State.RUNNING),
        ("TIMEOUT", "TimeLimit", "0:0", State.INTERRUPTED),
        ("PREEMPTED", "", "", State.INTERRUPTED),
        ("NODE_FAIL", "NodeDown", "", State.INTERRUPTED),
        ("PENDING", "JobHeldUser", "", State.HELD),
        ("PENDING", "JobHeldAdmin", "", State.HELD),
        ("PENDING", "launch_failed_requeued_held", "", State.HELD),
        ("PENDING", "Priority", "", State.PENDING),
        ("PENDING", "(Resources)", "", State.PENDING),
        ("SUSPENDED", "", "", State.RUNNING),
        ("REVOKED", "", "", State.UNKNOWN),
        ("NEW_IN_27", "", "", State.UNKNOWN),
        ("RE+", "", "", State.UNKNOWN),
        ("LAUNCH_FAILED", "", "", State.FAILED),
        ("POWER_UP_NODE", "", "", State.PENDING),
        ("EXPEDITING", "", "", State.RUNNING),
        ("", "", "", State.UNKNOWN),
    ],
)
def test_slurms_words_become_our_states(raw, reason, code, state):
    found, sentence = interpret(raw, reason, code)
    assert found is state
    assert sentence.endswith(".")


@pytest.mark.parametrize("reason", _REASONS.read_text(encoding="utf-8").split())
def test_every_reason_has_a_sentence_of_its_own(reason):
    sentence = explain_reason(reason)
    assert sentence.endswith(".")
    assert "Slurm gives the reason" not in sentence
    assert never_starts(reason) is sentence.startswith("It will not start")


def test_a_reason_that_waiting_does_not_cure_says_so():
    for reason in (
        "QOSMaxWallDurationPerJobLimit",
        "AssocMaxNodePerJobLimit",
        "QOSMinGRES",
        "PartitionTimeLimit",
        "BadConstraints",
        "QOSMaxMemoryPerNode",
    ):
        assert "will not start" in explain_reason(reason), reason
    for reason in ("AssocGrpGRES", "QOSMaxJobsPerUserLimit", "AssocMaxJobsLimit", "Resources"):
        assert explain_reason(reason).startswith("It waits"), reason
    assert "allocation may be spent" in explain_reason("AssocGrpCPUMinutesLimit")


def test_details_of_a_reason_do_not_hide_it():
    assert explain_reason("ReqNodeNotAvail, UnavailableNodes:n[1-3]") == explain_reason(
        "ReqNodeNotAvail"
    )


def test_an_unknown_reason_is_passed_on():
    assert "'NewReason'" in explain_reason("NewReason")
    assert interpret("PENDING", "NewReason")[0] is State.PENDING


def test_a_signal_is_named():
    assert "memory" in interpret("FAILED", "JobLaunchFailure", "0:9")[1]
    unopened = interpret("FAILED", "NonZeroExitCode", "0:53")[1]
    assert "could not be opened on its node" in unopened
    assert "signal" not in unopened
    assert "signal 11" in interpret("FAILED", "JobLaunchFailure", "0:11")[1]
    assert "file system" in interpret("FAILED", "JobLaunchFailure")[1]


@pytest.mark.parametrize(
    ("reason", "code"),
    [("RaisedSignal:53(Real-time_signal_19)", "0:53"), ("RaisedSignal:9(Killed)", "0:9")],
)
def test_a_signal_of_which_the_reason_alone_tells_is_the_same(reason: str, code: str) -> None:
    """Without accounting there is no exit code."""
    told, known = interpret("FAILED", reason, ""), interpret("FAILED", "", code)
    assert told[:2] == known[:2]
    native = _native("7", "FAILED", reason, "", "name")
    assert (native.state, native.explanation) == known[:2]
    assert native.wants_memory is wants_memory("FAILED", code)


@pytest.mark.parametrize(
    ("state", "code", "wants"),
    [
        ("OUT_OF_MEMORY", "0:125", True),
        ("OUT_OF_ME+", "", True),
        ("FAILED", "0:9", True),
        ("FAILED", "9:0", False),
        ("FAILED", "0:11", False),
        ("CANCELLED by 0", "0:9", False),
        ("TIMEOUT", "0:9", False),
    ],
)
def test_want_of_memory_is_seen_in_state_or_signal(state, code, wants):
    assert wants_memory(state, code) is wants


@given(st.text(), st.text(), st.text())
def test_no_word_of_slurm_crashes(state, reason, code):
    found, sentence = interpret(state, reason, code)
    assert isinstance(found, State)
    assert sentence


@pytest.mark.parametrize("code", ["", "0:0", "3:0", "0:9", "0:53", "75:0", "86:0"])
@pytest.mark.parametrize("raw", [*STATES, "CANCELLED by 1000"])
def test_the_final_job_says_of_an_end_what_the_login_node_says(raw: str, code: str) -> None:
    for reason in (
        "",
        "None",
        *ENDS,
        "Dependency",
        "DependencyNeverSatisfied",
        "Newer",
        "RaisedSignal:9(Killed)",
    ):
        state, sentence = interpret(raw, reason, code)
        told = _native("7", raw, reason, code, "name")
        if state.is_final or told.state.is_final:
            assert (told.state, told.explanation) == (state, sentence)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "slurmstepd-n1: error: StepId=110.batch exceeded memory limit (340951040 > 314572800), b",
            "exceeded memory limit (340951040 > 314572800)",
        ),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks",
            "Detected 1 oom_kill event",
        ),
        ("error: the user's own exceeded memory limit (2 > 1)", ""),
    ],
)
def test_what_slurm_wrote_of_a_memory_limit_is_found(line: str, told: str) -> None:
    assert memory_words("slurm", f"before\n{line}\nafter\n") == told
    assert memory_words("local", line) == ""
    assert memory_words("of_a_plugin", line) == ""
