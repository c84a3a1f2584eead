"""A job that could not save all saves the rest: at the next `dfh submit` or `dfh resume`, once the
pipeline names a format for it or the package is there that a format wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CODE = """
class Model:
    def __init__(self, score):
        self.score = score

def fit(log: str):
    with open(log, "a") as stream:
        stream.write("fit\\n")
    import dfh_runtime
    dfh_runtime.log(1, loss=0.5)
    model, curve, note = Model(0.5), {"loss": [0.5, float("nan")]}, "fine"
    return model, curve, note

def use(model, curve: dict) -> dict:
    import math
    found = {"score": model.score, "is_nan": math.isnan(curve["loss"][1])}
    return found
"""
PIPELINE = """
pipeline: fit
operations:
  fit: {{uses: 'ops.py:fit', attributes: {{log: {log}}}{types}}}
  use: {{uses: 'ops.py:use', inputs: {{model: fit.model, curve: fit.curve}}}}
outputs: {{found: use.found}}
"""


@pytest.fixture
def failed(dfh: Any, make_project: Callable[..., Path]) -> Path:
    """Return a project whose execution fit-0001 could not save a model."""
    project = make_project({"ops.py": CODE}, name="fit")
    write(project)
    dfh("run", cwd=project, expect=9)
    return project


def write(project: Path, types: str = "", log: str = "log") -> None:
    text = PIPELINE.format(log=project / log, types=types and f", types: {{{types}}}")
    (project / "pipeline.yaml").write_text(text)


def assert_saved(project: Path, execution: str, dfh: Any) -> None:
    """Check that a pipeline has succeeded of which the first job ran once."""
    assert (project / "log").read_text() == "fit\n"
    folder = project / "executions" / execution / "jobs"
    found = json.loads((folder / "use" / "outputs" / "found.json").read_bytes())
    assert found == {"score": 0.5, "is_nan": True}
    assert not (folder / "fit" / "rescue").exists()
    assert (folder / "fit" / "metrics.jsonl").read_text().count("loss") == 1
    dfh("prov", "verify", execution, cwd=project)


def test_the_step_that_is_told_is_the_one_whose_result_is_reused(
    failed: Path, dfh: Any, follow: Any
) -> None:
    shown = dfh("status", cwd=failed)
    assert "dfh logs fit-0001 fit; edit; then dfh submit" in shown.stdout
    error = dfh("resume", cwd=failed, expect=2)
    assert "no format that it can have is named" in error.stderr
    assert "types: {model: FORMAT} under fit (pickle, say), or edit its code; then" in error.stderr
    write(failed, "model: pikle")
    assert "(did you mean 'pickle'?)" in dfh("submit", cwd=failed, expect=3).stderr
    write(failed, "model: pickle")
    step = "runtime/base/advice.py pipeline_command: dfh VERB"
    follow(step, shown, cwd=failed, verb="submit")
    dfh("status", "--watch", cwd=failed)
    assert_saved(failed, "fit-0002", dfh)
    again = follow(step, error, cwd=failed, verb="submit")
    assert "reused  from fit-0002/fit" in again.stdout
    dfh("status", "--watch", cwd=failed)


def test_resume_saves_it_once_a_format_is_named(failed: Path, dfh: Any) -> None:
    write(failed, "model: pickle")
    dfh("resume", cwd=failed)
    dfh("status", "--watch", cwd=failed)
    assert_saved(failed, "fit-0001", dfh)
    write(failed, "model: joblib")
    assert "reused" not in dfh("submit", "--dry-run", cwd=failed).stdout
    write(failed, "model: pickle")
    why = dfh("run", cwd=failed)
    assert "fit     reused  from fit-0001/fit" in why.stdout
    told = "use runs: only the format of fit, which makes its input curve, changed; only the format"
    assert told in why.stdout + why.stderr
    assert_saved(failed, "fit-0002", dfh)


def test_of_several_that_kept_a_value_one_is_taken_that_can_be(failed: Path, dfh: Any) -> None:
    dfh("run", "--no-reuse", cwd=failed, expect=9)
    folders = [failed / f"executions/fit-000{number}/jobs/fit/rescue" for number in (2, 1)]
    error = dfh("submit", cwd=failed, expect=2).stderr
    assert (
        f"then submit again. To run the operation again instead, first: rm -r {folders[0]} {folders[1]}\n"
        in error
    )
    index = json.loads((folders[1] / "index.json").read_bytes())
    (folders[1] / "index.json").write_text(json.dumps({**index, "lacking": {"model": "pickle"}}))
    told = "fit does not run again: it saves what attempt 1 of fit-0001 kept (model as pickle)"
    assert told in dfh("submit", "--dry-run", cwd=failed).stderr


def test_a_submission_that_is_killed_while_it_takes_up_costs_no_run(
    failed: Path, dfh: Any, tmp_path: Path
) -> None:
    write(failed, "model: pickle")
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "sys.addaudithook(lambda event, args: event == 'os.rename' and 'rescue/formats.json' in "
        "str(args[1]) and os._exit(137))\n"
    )
    dfh("submit", cwd=failed, expect=137, env={"PYTHONPATH": str(tmp_path / "killed")})
    assert list(failed.glob("executions/fit-0002/jobs/fit/rescue/*.pickle"))
    assert "fit-0002" in dfh("resume", "fit-0002", cwd=failed, expect=2).stderr
    assert "it saves what attempt 1 of fit-0001 kept" in dfh("run", cwd=failed).stderr
    assert_saved(failed, "fit-0003", dfh)


def test_a_new_submission_saves_it_once_a_format_is_named(failed: Path, dfh: Any) -> None:
    folder = failed / "executions" / "fit-0001" / "jobs" / "fit" / "rescue"
    for command in (("submit", "--dry-run"), ("submit",), ("run",)):
        error = dfh(*command, cwd=failed, expect=2).stderr
        assert "no format is named for what it kept" in error
        assert "under fit (pickle, say), or edit its code; then submit again" in error
    assert [path.name for path in (failed / "executions").iterdir()] == ["fit-0001"]
    write(failed, "model: pickle, note: json")
    error = dfh("submit", cwd=failed, expect=2).stderr
    assert "is to save its output note as json" in error
    assert "Name text for it." in error
    write(failed, "model: pickle")
    told = "fit does not run again: it saves what attempt 1 of fit-0001 kept (model as pickle)"
    assert f"info: {told}" in dfh("submit", "--dry-run", cwd=failed).stderr
    assert told in dfh("run", cwd=failed).stderr
    (execution,) = failed.glob("executions/fit-000[!1]")
    assert_saved(failed, execution.name, dfh)
    assert (folder / "model.pickle").is_file()  # it is the other one's
    again = dfh("submit", "--dry-run", cwd=failed)
    assert "not sent, reused" in again.stdout
    assert "kept" not in again.stderr


@pytest.mark.parametrize("what", ["code", "no reuse"])
def test_it_runs_again_where_that_is_what_was_asked(what: str, failed: Path, dfh: Any) -> None:
    write(failed, "model: pickle")
    if what == "code":
        code = (failed / "ops.py").read_text()
        (failed / "ops.py").write_text(code.replace("Model(0.5)", "Model(0.25)"))
    words = ["--no-reuse"] if what == "no reuse" else []
    shown = dfh("run", *words, cwd=failed)
    assert "does not run again" not in shown.stderr
    assert (failed / "log").read_text() == "fit\n" * 2


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return the packages' folder of an environment that has none."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    return site


JOBLIB = """
import pickle
def dump(value, path): path.write_bytes(pickle.dumps(value))
def load(path): return pickle.loads(path.read_bytes())
"""


def test_a_package_that_a_format_wants_is_installed_and_the_job_resumed(
    bare: Path, dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    project = make_project({"ops.py": CODE}, name="fit")
    words = ("run", "--python", bare.parents[2] / "bin" / "python")
    write(project, "model: joblib")
    shown = dfh(*words, cwd=project, expect=9)
    assert not (project / "log").exists()  # it was looked at before
    write(project)
    dfh(*words, cwd=project, expect=9)
    write(project, "model: joblib")
    again = dfh(*words, cwd=project, expect=9)
    assert "joblib needs joblib, which" in again.stdout
    (bare / "joblib.py").write_text(JOBLIB)
    follow("runtime/rank/saving.py _installing: dfh resume", again, cwd=project)
    dfh("status", "--watch", cwd=project)
    assert_saved(project, "fit-0003", dfh)
    follow("runtime/rank/saving.py _installing: dfh resume", shown, cwd=project)
    dfh("status", "fit-0001", "--watch", cwd=project)


@pytest.mark.parametrize("verb", ["resume", "submit"])
def test_a_format_that_the_value_chose_and_that_wants_a_package(
    verb: str, dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    code = """
import sys

def make(log: str):
    with open(log, "a") as stream:
        stream.write("made\\n")
    sys.modules["pyarrow"] = None
    import pandas as pd
    table = pd.DataFrame({"z": [0.5]})
    return table
"""
    text = "pipeline: t\noperations: {make: {uses: 'ops.py:make', attributes: {log: LOG}}}\n"
    text += "outputs: {table: make.table}\n"
    project = make_project({"ops.py": code}, name="t")
    (project / "pipeline.yaml").write_text(text.replace("LOG", str(project / "log")))
    shown = dfh("run", cwd=project, expect=9)
    _, _, hint = shown.stdout.partition("Install it there, or name another format")
    steps = {"resume": "next_step: dfh resume", "submit": "pipeline_command: dfh VERB"}
    follow(f"runtime/base/advice.py {steps[verb]}", hint, cwd=project, verb=verb)
    dfh("status", "--watch", cwd=project)
    assert (project / "log").read_text() == "made\n"
    number = {"resume": 1, "submit": 2}[verb]
    assert list(project.glob(f"executions/t-000{number}/jobs/make/outputs/table.parquet"))
    assert "not sent, reused" in dfh("submit", "--dry-run", cwd=project).stdout


def test_of_another_user_nothing_is_loaded(failed: Path, dfh: Any, as_user: Any) -> None:
    write(failed, "model: pickle")
    folder = failed / "executions" / "fit-0001" / "jobs" / "fit" / "rescue"
    os.chown(folder / "model.pickle", 65534, 65534)
    for verb in ("submit", "resume"):
        assert "model.pickle belongs to another user" in dfh(verb, cwd=failed, expect=2).stderr
    assert [path.name for path in (failed / "executions").iterdir()] == ["fit-0001"]
    os.chown(folder / "index.json", 65534, 65534)
    assert "kept" not in dfh("submit", "--dry-run", cwd=failed).stderr


def test_what_is_not_there_any_more_is_said_and_nothing_is_left(failed: Path, dfh: Any) -> None:
    write(failed, "model: pickle")
    folder = failed / "executions" / "fit-0001" / "jobs" / "fit" / "rescue"
    (folder / "model.pickle").unlink()
    error = dfh("submit", cwd=failed, expect=2).stderr
    assert "fit: what attempt 1 of fit-0001 kept cannot be taken up" in error
    assert (
        f"model.pickle: No such file or directory\nhint: To run the operation again instead, first: rm -r {folder}"
        in error
    )
    assert [path.name for path in (failed / "executions").iterdir()] == ["fit-0001"]


@pytest.mark.parametrize(
    "change",
    [
        {"kept": {"other": "model.pickle"}},
        {"kept": {"model": "../../../../../evil.pickle"}},
        {"sha256": {"model.pickle": "sha256:0"}},
    ],
)
def test_a_list_that_is_not_of_all_it_names_is_no_list(
    change: dict[str, Any], failed: Path, dfh: Any
) -> None:
    write(failed, "model: pickle")
    index = failed / "executions" / "fit-0001" / "jobs" / "fit" / "rescue" / "index.json"
    (failed / "evil.pickle").write_bytes((index.parent / "model.pickle").read_bytes())
    index.write_text(json.dumps({**json.loads(index.read_bytes()), **change}))
    assert "does not run again" not in dfh("submit", "--dry-run", cwd=failed).stderr


def test_of_an_array_the_tasks_are_told_that_do_not_run_again(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    code = "def work(rows: list):\n    made = [1j] if 0 in rows else rows\n    return made\n"
    text = (
        "pipeline: parts\ninputs: {rows: rows.json}\noperations:\n  work: {uses: 'ops.py:work', "
        "inputs: {rows: rows}, map: {over: rows, shards: 3}, types: {made: %s}}\n"
        "outputs: {made: work.made}\n"
    )
    project = make_project({"ops.py": code, "rows.json": "[0, 1, 2]"}, name="parts")
    (project / "pipeline.yaml").write_text(text % "json")
    dfh("run", cwd=project, expect=9)
    (project / "pipeline.yaml").write_text(text % "pickle")
    able = "under work (arrays or hdf5 or json or npy or npz or parquet or text, if one keeps it)"
    assert able in dfh("resume", cwd=project, expect=2).stderr
    (project / "pipeline.yaml").write_text(text % "npy")
    told = (
        "work task 0 does not run again: it saves what attempt 1 of parts-0001 kept (made as npy)"
    )
    assert told in dfh("submit", "--dry-run", cwd=project).stderr


NESTED = """
def make():
    good, around = {"a": 1}, []
    around.append(around)
    return good, around
"""


def test_a_value_that_contains_itself_does_not_cost_the_others(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project({"ops.py": NESTED}, name="nested")
    (project / "pipeline.yaml").write_text(
        "pipeline: nested\noperations: {make: {uses: 'ops.py:make'}}\n"
    )
    said = dfh("run", cwd=project, expect=9).stdout
    assert "Output around cannot be saved: no format fits by itself: value contains itself" in said
    assert "Name a format for around under `types:`" in said
    kept = project / "executions" / "nested-0001" / "jobs" / "make" / "rescue"
    assert json.loads((kept / "outputs" / "good.json").read_bytes()) == {"a": 1}
    assert (kept / "around.pickle").exists()


IN_THE_WAY = """
from pathlib import Path

def work(log: str, way: str, torn: bool):
    with open(log, "a") as stream:
        stream.write("work\\n")
    Path(way).parent.mkdir()
    Path(way).write_text("somebody's")
    if torn:
        Path(log).with_name("executions").joinpath("work-0001/jobs/work/success.json").write_text("{")
    number, words = 1, ["a"]
    return number, words
"""


@pytest.mark.parametrize("torn", ["false", "true"], ids=["no marker", "a torn marker"])
def test_a_result_that_could_not_be_published_does_not_cost_the_run(
    torn: str, dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    project = make_project({"ops.py": IN_THE_WAY}, name="work")
    way, log = project / "to" / "words.json", project / "log"
    (project / "pipeline.yaml").write_text(
        f"pipeline: work\noperations: {{work: {{uses: 'ops.py:work', attributes: {{log: {log}, way: {way}, torn: {torn}}}}}}}\n"
        "outputs: {number: work.number, words: {from: work.words, to: to/words.json}}\n"
    )
    said = dfh("run", cwd=project, expect=9)
    assert "Mend that, then: dfh resume work-0001, which publishes what was made." in said.stdout
    folder = project / "executions" / "work-0001" / "jobs" / "work"
    assert sorted(path.name for path in (folder / "rescue" / "outputs").iterdir()) == [
        "number.json",
        "words.json",
    ]
    way.unlink()
    told = "work does not run again: it publishes what attempt 1 of work-0001 made and could not"
    assert told in dfh("submit", "--dry-run", cwd=project).stderr
    follow("runtime/base/failure.py resume: dfh resume", said, cwd=project)
    dfh("status", "--watch", cwd=project)
    assert log.read_text() == "work\n"
    assert json.loads(way.read_bytes()) == ["a"]
    assert not (folder / "rescue").exists()
    dfh("prov", "verify", "work-0001", cwd=project)
