"""What reaches a terminal, and what does not."""

from __future__ import annotations

import json

import pytest

from deepforge_hpc.cli.views import watch
from deepforge_hpc.cli.views.display import Display, table
from deepforge_hpc.cli.views.plan import plan_lines
from deepforge_hpc.cli.views.status import rows_of, screen_lines, status_lines
from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.outline import PlannedJob
from deepforge_hpc.runtime.base.plan import (
    Job,
    JobKind,
    LaunchCommand,
    Plan,
    Resources,
)
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state.status import ExecutionStatus, JobStatus


@pytest.mark.parametrize(("sees", "words"), [("own", "sees its own"), ("all", "sees all")])
def test_a_plan_says_which_gpus_a_rank_sees(sees: str, words: str) -> None:
    launch = LaunchCommand(name="srun", argv=("srun",), gpu_visibility=sees)
    size = Resources(ntasks_per_node=2, gpus_per_node=2)
    plan = Plan("p", "s", "slurm", (Job("a", "a", launch=launch, resources=size),))
    assert f"2 gpus (a rank {words})" in "\n".join(plan_lines(plan, origins=False))


def test_one_long_cell_does_not_push_all_rows_apart() -> None:
    lines = table(("VALUE OF", "IS", "FROM"), [("a", "1", "x"), ("b", "w" * 300, "y")])
    assert lines == ["VALUE OF  IS  FROM", "a         1   x", f"b         {'w' * 300}  y"]


def test_table_is_aligned_and_clean() -> None:
    assert table(("A", "BB"), [("x\x1b[2J", "1"), ("longer", "2")]) == [
        "A       BB",
        "x       1",
        "longer  2",
    ]


def test_a_line_break_in_a_cell_is_seen_and_breaks_no_table() -> None:
    assert table(("A", "B"), [("one\ntwo\tthree", "1")]) == [
        "A                B",
        "one\\ntwo\\tthree  1",
    ]


def test_a_long_name_moves_its_own_row_alone_and_the_state_stays_whole() -> None:
    name = "n" * 60
    lines = table(("JOB", "STATE", "ID"), [("train", "failed", "1"), (name, "running 1/2", "2")])
    assert [str(line) for line in lines] == [
        "JOB    STATE        ID",
        "train  failed       1",
        f"{name}  running 1/2  2",
    ]


def test_no_colour_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Display().lines(["train  failed"])
    assert capsys.readouterr().out == "train  failed\n"


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_unless_no_color(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    coloured: bool,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    Display().lines(
        table(
            ("JOB", "STATE"),
            [("failed", "succeeded"), ("succeeded", "failed 1/2")],
            ("succeeded", "failed"),
        )
    )
    _, first, second = capsys.readouterr().out.splitlines()
    green, red = "\x1b[32msucceeded\x1b[0m", "\x1b[31mfailed\x1b[0m"
    assert first == "failed     " + (green if coloured else "succeeded")
    assert second == f"succeeded  {red if coloured else 'failed'} 1/2"


def test_words_that_are_no_state_are_not_coloured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Display().result({}, ["the running mean failed"])  # what a job printed
    Display().lines(table(("OUTPUT", "NAME"), [("failed", "running")]))
    assert "\x1b" not in capsys.readouterr().out
    Display().lines(table(("JOB", "STATE", ""), [("\x1b[31mé", "failed", "\x1b[2J")], ("failed",)))
    assert "é    \x1b[31mfailed\x1b[0m\n" in capsys.readouterr().out


def test_error_lists_all_faults_and_is_json_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault(message=f"wrong {n}", file="p.yaml", line=n, hint="fix it") for n in (1, 2)]
    Display(as_json=True).error(InvalidInputError(faults))
    out, err = capsys.readouterr()
    assert err == "error: p.yaml:1: wrong 1 (fix it)\nerror: p.yaml:2: wrong 2 (fix it)\n"
    document = json.loads(out)
    assert document["schema"] == "dfh/error/1"
    assert document["error"]["exit_code"] == 3
    assert [fault["line"] for fault in document["error"]["faults"]] == [1, 2]


def made_up_status(*states: str) -> ExecutionStatus:
    jobs = [
        JobStatus(
            plan=PlannedJob(f"fit_{index:03d}"), state=State(state),
            detail=state, reason="", hint="", native_id=f"L{index}", raw="", exit_code=None,
            attempt=1, started="", ended="", elapsed_s=None, metrics={}, log="", outputs=(),
            reused_from="",
        )
        for index, state in enumerate(states)
    ]  # fmt: skip
    return ExecutionStatus(
        path="/x", info=ExecutionInfo.stand_in(id="fits-0001", pipeline="fits", site="local"),
        state=State.RUNNING, attempt=1, jobs=tuple(jobs), copies={},
    )  # fmt: skip


def test_many_copies_are_not_all_listed() -> None:
    copies = {f"x{n}": f"/results/{n}" for n in range(7)}
    found = made_up_status("succeeded")._replace(copies=copies)
    assert not [line for line in status_lines(found) if line.startswith("copy")]
    lines = list(status_lines(found._replace(state=State.SUCCEEDED)))
    assert lines[-7:-1] == [
        *(f"copy    x{n}: /results/{n}" for n in range(5)),
        "copy    and 2 more, see --json",
    ]


def test_a_screen_that_is_too_low_shows_what_needs_a_look() -> None:
    states = ["succeeded"] * 40 + ["failed", "running"] + ["pending"] * 58
    found = made_up_status(*states)
    lines = screen_lines(found, 12, 80)
    assert len(lines) == 12
    assert [line.split()[:2] for line in lines[3:9]] == [
        ["fit_040", "failed"],
        ["fit_041", "running"],
        ["fit_042", "pending"],
        ["fit_043", "pending"],
        ["fit_044", "pending"],
        ["fit_045", "pending"],
    ]
    assert lines[9] == "... and 94 more jobs: 54 pending, 40 succeeded"
    assert lines[11] == "report  /x/report.html"
    assert screen_lines(found, 200, 80) == list(status_lines(found))


def test_no_line_is_cut_and_what_wraps_takes_its_rows() -> None:
    found = made_up_status(*["running"] * 30)
    folder = "/scratch/" + "long/" * 30
    losses = {f"loss_{number}": 0.123456 for number in range(5)}
    jobs = tuple(job._replace(metrics=losses) for job in found.jobs)
    found = found._replace(path=folder, jobs=jobs)
    lines = screen_lines(found, 20, 60)
    assert lines[-1] == f"report  {folder}/report.html"
    assert "loss_4 0.1235" in lines[3]
    assert rows_of(lines, 60) <= 20 < rows_of(status_lines(found), 60)
    assert rows_of(["", "x" * 60, "x" * 61, "\x1b[31mx\x1b[0m"], 60) == 5


def test_a_metric_that_is_not_finite_is_told() -> None:
    found = made_up_status("running")
    metrics = {"t": 1.0, "step": 11, "loss": None, "not_finite": {"loss": "nan"}}
    found = found._replace(jobs=(found.jobs[0]._replace(metrics=metrics),))
    assert "step 11  loss nan" in "\n".join(status_lines(found))


@pytest.mark.parametrize(
    ("gpus", "said"), [(0, "1 cpu"), (1, "1 cpu, 1 gpu"), (4, "1 cpu, 4 gpus")]
)
def test_sizes_of_jobs_are_counted(gpus: int, said: str) -> None:
    job = Job(name="a", operation="a", kind=JobKind.RUN, resources=Resources(gpus_per_node=gpus))
    plan = Plan(pipeline="p", site="s", scheduler="local", jobs=(job,))
    (row,) = [line for line in plan_lines(plan, origins=False) if line.startswith("a ")]
    assert f"1 node, {said}  " in row


def test_one_reason_and_one_hint_are_told_once() -> None:
    found = made_up_status("failed", *["never_ran"] * 12, "never_ran")
    reasons = ["It raised ValueError.", *["fit_000 failed."] * 12, "fit_001 never ran."]
    hints = ["Mend it.", *["dfh resume runs what is missing."] * 13]
    jobs = tuple(
        job._replace(reason=reason, hint=hint)
        for job, reason, hint in zip(found.jobs, reasons, hints, strict=True)
    )
    lines = list(status_lines(found._replace(jobs=jobs)))
    assert lines[lines.index("fit_000: It raised ValueError.") : -2] == [
        "fit_000: It raised ValueError.",
        "    Mend it.",
        "fit_001, fit_002, fit_003, fit_004, fit_005, fit_006, fit_007 and 5 more: fit_000 failed.",
        "fit_013: fit_001 never ran.",
        "    dfh resume runs what is missing.",
    ]


def test_a_job_that_waits_for_many_is_told_once_until_few_are_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = watch._Appended(Display())
    for ended in range(9):
        found = made_up_status(*["succeeded"] * ended, *["running"] * (8 - ended), "pending")
        others = tuple(job.name for job in found.jobs[:-1])
        reason = f"It waits for {8 - ended} jobs."
        last = found.jobs[-1]
        join = last._replace(plan=last.plan._replace(name="join", after=others), reason=reason)
        view.show(found._replace(jobs=(*found.jobs[:-1], join)))
    lines = [line for line in capsys.readouterr().out.splitlines() if "  join  " in line]
    assert [line.split("for ")[1] for line in lines] == [
        f"{left} jobs." for left in (8, 5, 4, 3, 2, 1, 0)
    ]
