"""What dfh says to do where a job left no word, or only its script could tell, is done, word for word."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.base.local_status import read_status


def closed(project: Path, name: str) -> bool:
    return not (project / "executions" / name / "local" / "engine.json").exists()


def test_jobs_that_left_no_word(dfh: Any, project: Path, follow: Any, until: Any) -> None:
    dfh("run", cwd=project)
    until(lambda: closed(project, "small-0001"))
    folder = project / "executions" / "small-0001"
    for file in ("state.json", "success.json"):
        (folder / "jobs" / "total" / file).unlink()
    said = dfh("status", cwd=project)
    log = follow("runtime/state/judge.py _look: dfh logs", said, cwd=project)
    assert "small-0001 total, attempt 1" in log.stderr
    shutil.rmtree(folder / "local")
    (folder / "jobs" / "total" / "state.json").unlink()
    said = dfh("status", cwd=project)
    refused = dfh("executions", "rm", "small-0001", "--yes", cwd=project, expect=2)
    follow("runtime/state/judge.py _lost: dfh resume", said, cwd=project)
    assert "small-0001  succeeded" in dfh("status", "--watch", cwd=project).stdout
    follow("api/manage.py remove: dfh executions", refused, cwd=project)
    assert not folder.exists()


def test_a_cancellation_of_which_nobody_tells(
    dfh: Any, gated: Path, follow: Any, until: Any, at_gate: Any, status: Any
) -> None:
    dfh("submit", cwd=gated)
    folder = gated / "executions" / "gated-0001"
    at_gate(gated)
    dfh("cancel", "latest", cwd=gated)
    until(lambda: closed(gated, "gated-0001"))
    (folder / "jobs" / "wait" / "state.json").unlink()
    queue = folder / "local" / "jobs.jsonl"
    whole = queue.read_text()
    queue.write_text("[]\n")
    said = dfh("status", cwd=gated, expect=None)
    queue.write_text(whole)
    told = follow("runtime/state/judge.py _silent: dfh cancel", said, cwd=gated)
    assert "nothing was queued or running" in told.stdout
    assert status(gated)["state"] == "cancelled"


LIMITED = """
import os, signal
from pathlib import Path

def train() -> str:
    kept = Path(os.environ["DFH_CHECKPOINT_DIR"], "epoch")
    if not kept.exists():
        kept.write_text("3")
        signal.pause()
    epoch = kept.read_text()
    return epoch
"""


def test_a_time_limit_and_a_checkpoint(
    dfh: Any, make_project: Callable[..., Path], follow: Any, until: Any
) -> None:
    train = "{train: {uses: 'ops.py:train'}}"
    files = {"ops.py": LIMITED, "pipeline.yaml": f"pipeline: limited\noperations: {train}\n"}
    project = make_project(files, name="limited")
    dfh("submit", cwd=project)
    folder = project / "executions" / "limited-0001"
    until((folder / "jobs/train/checkpoints/epoch").exists)
    pid = until(lambda: (job := read_status(folder / "local").get("L1")) and job.pid)
    os.kill(pid, signal.SIGUSR1)
    said = dfh("status", "--watch", cwd=project, expect=9)
    follow("runtime/base/advice.py _goes_on: dfh resume", said, cwd=project)
    assert "limited-0001  succeeded" in dfh("status", "--watch", cwd=project).stdout


def test_frozen_code_that_was_edited(
    dfh: Any, gated_then_used: Path, follow: Any, until: Any, at_gate: Any
) -> None:
    gated = gated_then_used
    dfh("submit", cwd=gated)
    at_gate(gated)
    refused = dfh("logs", "gated-0001", "use", cwd=gated, expect=2)
    told = follow("api/logs.py read_log: dfh status", refused, cwd=gated)
    assert "use     pending" in told.stdout
    frozen = gated / "executions" / "gated-0001" / "code" / "project" / "operations.py"
    frozen.chmod(0o644)
    frozen.write_text("")
    (gated / "open").touch()
    until(lambda: closed(gated, "gated-0001"))
    said = dfh("logs", "gated-0001", "use", cwd=gated)
    again = follow("runtime/base/failure.py not_as_submitted: dfh submit", said, cwd=gated)
    assert "gated-0002" in again.stdout
    assert "gated-0002  succeeded" in dfh("status", "--watch", cwd=gated).stdout


READING = """
from pathlib import Path

def read() -> str:
    text = {path}.read_text()
    return text
"""


def test_a_file_of_the_project_that_the_job_does_not_see(
    dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    pipeline = "pipeline: reads\noperations: {read: {uses: 'ops.py:read'}}\n"
    code = READING.format(path="Path('data/x.csv')")
    files = {"ops.py": code, "pipeline.yaml": pipeline, "data/x.csv": "1"}
    project = make_project(files, name="reads")
    dfh("run", cwd=project, expect=9)
    said = dfh("status", cwd=project)
    assert "under `code:` and open it from beside __file__" in " ".join(said.stdout.split())
    (project / "ops.py").write_text(READING.format(path="(Path(__file__).parent / 'data/x.csv')"))
    (project / "pipeline.yaml").write_text(f"{pipeline}code: [data/x.csv]\n")
    step = "runtime/base/advice.py pipeline_command: dfh VERB"
    follow(step, said, cwd=project, verb="submit")
    assert "reads-0002  succeeded" in dfh("status", "--watch", cwd=project).stdout


MODEL = """
class Model:
    pass

def fit() -> Model:
    print("it runs")
    model = Model()
    return model
"""


def test_what_was_kept_and_was_changed_since(
    dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    project = make_project({"ops.py": MODEL}, name="fit")
    pipeline = "pipeline: fit\noperations: {{fit: {{uses: 'ops.py:fit'{types}}}}}\n"
    (project / "pipeline.yaml").write_text(pipeline.format(types=""))
    dfh("run", cwd=project, expect=9)
    (project / "pipeline.yaml").write_text(pipeline.format(types=", types: {model: pickle}"))
    (project / "executions/fit-0001/jobs/fit/rescue/model.pickle").write_bytes(b"")
    said = dfh("run", cwd=project, expect=9)
    step = "runtime/rank/rescue.py _unreadable: dfh resume"
    follow(step, said, cwd=project, verb="rm")
    follow(step, said, cwd=project, verb="resume")
    dfh("status", "--watch", cwd=project)
    assert "it runs" in dfh("logs", "fit-0002", "fit", cwd=project).stdout


HIDING = """
import sys
if "dfh_runtime" in sys.orig_argv:  # else it is dfh itself
    raise ImportError("mine")
sys.path.remove("FOLDER")
del sys.modules["encodings"]
import encodings
"""


def test_a_folder_of_the_login_shell_that_hides_a_module_of_python(
    dfh: Any, project: Path, follow: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "encodings.py").write_text(HIDING.replace("FOLDER", str(folder)))
    said = dfh("run", cwd=project, env={"PYTHONPATH": str(folder)}, expect=9)
    assert f"{folder}/encodings.py hides one of Python's own modules: rename it" in said.stdout
    log = follow("job-templates/base.sh.j2 : dfh logs", said, cwd=project)
    assert "ImportError: mine" in log.stdout


PYTHON = """\
#!/bin/bash
[ ! -e FOLDER/broken ] || { echo "it is broken"; exit 3; }
touch FOLDER/starting
while [ ! -e FOLDER/ready ]; do sleep 0.05; done
exec PYTHON "$@"
"""


def test_what_the_script_of_a_job_tells(
    dfh: Any, gated: Path, follow: Any, until: Any, at_gate: Any, status: Any
) -> None:
    away, beside = gated.with_name("away"), gated.with_name("beside")
    beside.mkdir()
    python, gate = beside / "python3", beside / "open"
    text = PYTHON.replace("FOLDER", str(beside)).replace("PYTHON", sys.executable)
    python.write_text(text)
    python.chmod(0o755)
    file = gated / "pipeline.yaml"
    text = file.read_text().replace(str(gated / "open"), str(gate))
    file.write_text(text + f"environment: {{python: {python}}}\n")
    folder = gated / "executions" / "gated-0001"

    def ended() -> Any:
        until(lambda: closed(gated, "gated-0001"))
        return dfh("status", "gated-0001", cwd=gated)

    dfh("submit", cwd=gated)
    until((beside / "starting").exists)
    gated.rename(away)  # before the runtime has begun
    (beside / "ready").touch()
    until(lambda: closed(away, "gated-0001"))
    away.rename(gated)
    assert "Move it back, then: dfh resume gated-0001" in ended().stdout
    for name in ("starting", "ready"):
        (beside / name).unlink()

    (beside / "broken").touch()
    dfh("resume", cwd=gated)
    logs = follow("job-templates/base.sh.j2 : dfh logs", ended(), cwd=gated)
    assert "it is broken" in logs.stdout
    (beside / "broken").unlink()
    dfh("resume", cwd=gated)
    try:
        until((beside / "starting").exists)
        pid = until(lambda: (job := read_status(folder / "local").get("L5")) and job.pid)
        os.kill(pid, signal.SIGTERM)
    finally:
        (beside / "ready").touch()
    follow("job-templates/base.sh.j2 interrupted: dfh resume", ended(), cwd=gated)
    at_gate(gated, attempt=4)
    gated.rename(away)
    gate.touch()
    until(lambda: closed(away, "gated-0001"))
    moved = dfh("logs", "gated-0001", "wait", cwd=away)
    away.rename(gated)
    assert "then dfh resume gated-0001" in dfh("status", cwd=gated).stdout
    follow("job-templates/base.sh.j2 : dfh resume", moved, cwd=gated)
    assert "gated-0001  succeeded" in dfh("status", "--watch", cwd=gated).stdout


KILLED = """\
#!/bin/bash
[ "$2" = dfh_runtime ] && [ ! -e FOLDER/whole ] || exec PYTHON "$@"
exec PYTHON -c '
import os, signal, sys
from dfh_runtime.job import destination, supervisor
from dfh_runtime.__main__ import main

WHERE = lambda *_: os.kill(os.getpid(), signal.SIGNAL)
sys.exit(main(sys.argv[1:]))
' "${@:3}"
"""


@pytest.mark.parametrize(
    ("where", "killer", "step"),
    [
        ("destination.Destination.publish", "SIGKILL", "job-templates/base.sh.j2 : dfh resume #2"),
        ("supervisor.stage_inputs", "SIGXCPU", "job-templates/base.sh.j2 : dfh resume #3"),
    ],
    ids=["while it publishes", "for its CPU time"],
)  # fmt: skip
def test_a_job_of_which_the_supervisor_is_killed(
    dfh: Any, make_project: Any, follow: Any, until: Any, where: str, killer: str, step: str
) -> None:
    code = "def make() -> str:\n    open('RUNS', 'a').write('ran ')\n    word = 'done'\n    return word\n"
    project = make_project({"operations.py": code}, name="kept")
    ran, python = project / "runs", project / "python3"
    (project / "operations.py").write_text(code.replace("RUNS", str(ran)))
    words = {"FOLDER": str(project), "PYTHON": sys.executable, "WHERE": where, "SIGNAL": killer}
    text = KILLED
    for word, means in words.items():
        text = text.replace(word, means)
    python.write_text(text)
    python.chmod(0o755)
    (project / "pipeline.yaml").write_text(
        f"pipeline: kept\nenvironment: {{python: {python}}}\n"
        "operations: {make: {uses: 'operations.py:make'}}\n"
        "outputs: {word: {from: make.word, to: word.txt}}\n"
    )
    dfh("run", cwd=project, expect=9)
    until(lambda: closed(project, "kept-0001"))
    (project / "whole").touch()
    follow(step, dfh("status", cwd=project), cwd=project)
    assert "kept-0001  succeeded" in dfh("status", "--watch", cwd=project).stdout
    assert ((project / "word.txt").read_text(), ran.read_text()) == ("done", "ran ")


def test_an_output_that_is_gone_and_one_of_another_size(
    dfh: Any, project: Path, follow: Any
) -> None:
    dfh("run", cwd=project)
    output = project / "executions/small-0001/jobs/total/outputs/sum.json"
    output.write_text("1" * 99)
    said = dfh("prov", "verify", "small-0001", cwd=project, expect=7).stdout
    assert ": output sum of small-0001/total is damaged: it has 99 bytes, and " in said
    output.unlink()
    said = dfh("prov", "verify", "small-0001", cwd=project, expect=7)
    shown = follow("ledger/verify.py _compared: dfh prov", said, cwd=project)
    assert "small-0001/total" in shown.stdout


def test_what_came_in_the_way_of_a_job_since_it_was_submitted(
    dfh: Any, gated: Path, follow: Any, until: Any, at_gate: Any
) -> None:
    code, file, place = gated / "operations.py", gated / "pipeline.yaml", gated / "said.txt"
    code.write_text(
        code.read_text() + "def say(word: str) -> str:\n    said = word\n    return said\n"
    )
    text = file.read_text().replace("word: wait.word", "said: {from: say.said, to: said.txt}")
    say = "  say: {uses: 'operations.py:say', inputs: {word: wait.word}}\n"
    file.write_text(text.replace("outputs:", f"{say}outputs:"))
    dfh("submit", cwd=gated)
    at_gate(gated)
    place.write_text("mine")
    (gated / "open").touch()
    until(lambda: closed(gated, "gated-0001"))
    assert place.read_text() == "mine"
    place.unlink()
    step = "runtime/job/destination.py refuse_files_of_others: dfh resume"
    follow(step, dfh("status", cwd=gated), cwd=gated)
    assert "gated-0001  succeeded" in dfh("status", "--watch", cwd=gated).stdout
    assert place.read_text() == "done"
