"""What reaches a terminal, and what does not."""

from __future__ import annotations

import json

import pytest

from deepforge_hpc.cli.display import Display, clean, table
from deepforge_hpc.cli.status_views import screen_lines, status_lines
from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.submit.status import ExecutionStatus, JobStatus


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("1/9 [=>  ]\r9/9 [====]\r\n", "9/9 [====]\n"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("z = 0.1 ± 0.02", "z = 0.1 ± 0.02"),
    ],
)
def test_control_characters_never_reach_the_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_one_long_cell_does_not_push_all_rows_apart() -> None:
    lines = table(("VALUE OF", "IS", "FROM"), [("a", "1", "x"), ("b", "w" * 300, "y")])
    assert lines == ["VALUE OF  IS  FROM", "a         1   x", f"b         {'w' * 300}  y"]


def test_table_is_aligned_and_clean() -> None:
    assert table(("A", "BB"), [("x\x1b[2J", "1"), ("longer", "2")]) == [
        "A       BB",
        "x       1",
        "longer  2",
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
    Display().lines(["train  failed"])
    assert ("\x1b[31mfailed" in capsys.readouterr().out) == coloured


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
            name=f"fit_{index:03d}", operation=f"fit_{index:03d}", kind="run", after=(), state=state,
            detail=state, reason="", hint="", native_id=f"L{index}", raw="", exit_code=None,
            attempt=1, started="", ended="", elapsed_s=None, metrics={}, log="", outputs=(),
            reused_from="",
        )
        for index, state in enumerate(states)
    ]  # fmt: skip
    return ExecutionStatus(
        id="fits-0001", path="/x", pipeline="fits", site="local", scheduler="local", name="",
        note="", created="", state="running", attempt=1, jobs=tuple(jobs), warnings=(), next="",
    )  # fmt: skip


def test_a_screen_that_is_too_low_shows_what_needs_a_look() -> None:
    states = ["succeeded"] * 40 + ["failed", "running"] + ["pending"] * 58
    found = made_up_status(*states)
    lines = screen_lines(found, 12)
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
    assert screen_lines(found, 200) == list(status_lines(found))
