"""Steps that are printed outside of their project do what they say when they are typed there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api.steps import Steps

CANCEL = "cli/views/submission.py next_commands: dfh cancel"
RESUME = "cli/commands/cancel.py command: dfh resume"


@pytest.fixture
def other(gated: Path, tmp_path: Path, dfh: Any, until: Any) -> Any:
    """Return another project, with an execution of the same id that runs."""
    other = tmp_path / "other"
    shutil.copytree(gated, other)
    dfh("submit", cwd=other)
    yield other
    dfh("cancel", "1", cwd=other)
    until(lambda: not (other / "executions" / "gated-0001" / "local" / "engine.json").exists())


def test_steps_from_three_folders(
    dfh: Any, gated: Path, other: Path, tmp_path: Path, follow: Any, status: Any
) -> None:
    nowhere, inside = tmp_path / "no project", gated / "more files"
    nowhere.mkdir()
    inside.mkdir()
    (gated / "-p 1.yaml").write_text((gated / "pipeline.yaml").read_text())
    shown = dfh("submit", "../gated/-p 1.yaml", cwd=other)
    stopped = follow(CANCEL, shown, cwd=other)
    assert "gated-0001: cancelled wait" in stopped.stdout
    assert status(other)["jobs"][0]["state"] in {"pending", "running"}
    assert status(gated)["jobs"][0]["state"] == "cancelled"
    resumed = follow(RESUME, stopped, cwd=other)
    assert "gated-0001: Submitted" in resumed.stdout
    assert "cancelled wait" in follow(CANCEL, resumed, cwd=nowhere).stdout
    shown = dfh("status", gated / "executions" / "gated-0001", cwd=nowhere)
    step = "runtime/base/advice.py next_step: dfh resume"
    assert "Submitted" in follow(step, shown, cwd=nowhere).stdout
    document = status(nowhere, str(gated / "executions" / "gated-0001"))
    assert document["next"].startswith(f"dfh status {gated}/executions/gated-0001")
    refused = dfh(
        "executions", "rm", gated / "executions" / "gated-0001", "-y", cwd=nowhere, expect=2
    )
    assert "not in an executions folder" in refused.stderr
    shown = dfh("status", cwd=inside)
    assert "dfh status gated-0001" in shown.stdout
    (gated / "executions" / "gated-0001" / "code" / "project" / "operations.py").chmod(0o644)
    (gated / "executions" / "gated-0001" / "code" / "project" / "operations.py").write_text("")
    dfh("cancel", "gated-0001", cwd=inside)
    shown = dfh("status", "gated-0001", "--watch", cwd=inside, expect=9)
    (step,) = [line.split(None, 1)[1] for line in shown.stdout.splitlines() if "next  " in line]
    assert step == "dfh submit '../-p 1.yaml' --site local"


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("see dfh logs p-0001 train.", "see dfh logs {p} train."),
        ("dfh executions rm --force p-0001;", "cd {a} && dfh executions rm --force p-0001;"),
        ("dfh prov show p-0001/train tells", "dfh prov show {p}/jobs/train tells"),
        ("(`dfh cancel p-0001`)", "(`dfh cancel {p}`)"),
        ("edit; then dfh submit x.yaml --set a=1", "edit; then dfh submit ../a/x.yaml --set a=1"),
        *(
            (same, same)
            for same in (
                "dfh cancel p-0002",
                "dfh cancel p-00011",
                "dfh submit x.yaml.old",
                "p-0001 is dfh cancel",
            )
        ),
    ],
)
def test_a_step_gets_the_path_of_what_it_is_about(text: str, here: str, tmp_path: Path) -> None:
    project = tmp_path / "a"
    (project / ".dfh").mkdir(parents=True)
    (project / "executions" / "p-0001").mkdir(parents=True)
    (tmp_path / "b" / "executions" / "p-0001").mkdir(parents=True)
    file = project / "x.yaml"
    steps = Steps.of_pipeline(file, tmp_path / "b")
    expected = here.format(a=project, p=project / "executions" / "p-0001")
    assert steps.typed(text) == expected
    assert steps.typed(expected) == expected
    assert Steps.of_pipeline(file, project).typed(text) == text


def test_an_id_is_short_where_it_is_found(tmp_path: Path) -> None:
    (tmp_path / ".dfh").mkdir()
    (tmp_path / "executions" / "p-0001").mkdir(parents=True)
    (tmp_path / "sub").mkdir()
    steps = Steps.of_pipeline(tmp_path / "x.yaml", tmp_path / "sub")
    assert steps.typed("dfh resume p-0001") == "dfh resume p-0001"
    assert steps.typed("dfh plan x.yaml") == "dfh plan ../x.yaml"


def test_a_log_is_shown_as_the_job_wrote_it_but_for_our_own_words(
    dfh: Any, make_project: Any, tmp_path: Path
) -> None:
    code = "def work() -> int:\n    print('see dfh status p-0001')\n    raise ValueError('x')\n"
    pipeline = "pipeline: p\noperations: {work: {uses: 'ops.py:work'}}\n"
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline})
    dfh("run", cwd=project, expect=9)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    execution = project / "executions" / "p-0001"
    lines = dfh("logs", execution, "work", cwd=nowhere).stdout.splitlines()
    assert "see dfh status p-0001" in lines
    step = f"dfh submit {os.path.relpath(project / 'pipeline.yaml', nowhere)} --site local"
    assert any(line.startswith("dfh: ") and step in line for line in lines)


def test_what_a_record_says_is_told_as_it_is(dfh: Any, make_project: Any, tmp_path: Path) -> None:
    code = "def work(next: dict) -> str:\n    word = 'x'\n    return word\n"
    value = "{next: {hint: dfh resume p-0001}}"
    pipeline = (
        f"pipeline: p\noperations: {{work: {{uses: 'ops.py:work', attributes: {value}}}}}\n"
        "outputs: {word: work.word}\n"
    )
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline})
    dfh("run", cwd=project)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    output = project / "executions" / "p-0001" / "jobs" / "work" / "outputs" / "word.txt"
    assert "next={'hint': 'dfh resume p-0001'}" in dfh("prov", "show", output, cwd=nowhere).stdout
    document = json.loads(dfh("prov", "show", output, "--json", cwd=nowhere).stdout)
    (record,) = document["records"]
    assert record["operation"]["attributes"] == {"next": {"hint": "dfh resume p-0001"}}
