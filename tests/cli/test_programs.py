"""Scripts and programs as operations, in real jobs of the local engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = """\
import argparse
import json
import os
import subprocess
import runpy

import helper
from deepforge_hpc.job import log, ranks

parser = argparse.ArgumentParser()
for name in ("--rows", "--out", "--note"):
    parser.add_argument(name)
parser.add_argument("--layers", type=int, nargs="*")
options = parser.parse_args()
if __name__ == "__main__":
    log(1, loss=0.5)
    told = {
        "rows": json.load(open(options.rows)),
        "note": options.note,
        "layers": options.layers,
        "rank": ranks().rank,
        "helper": helper.VALUE,
        "main": helper.main_name(),
        "again": runpy.run_path(helper.__file__)["VALUE"],
        "kept": os.path.isdir(os.environ["DFH_CHECKPOINT_DIR"]),
    }
    with open(options.out, "w") as file:
        json.dump(told, file)
    print("the script is done")
"""
HELPER = """\
import sys
VALUE = 5

def main_name():
    return sys.modules["__main__"].options.note
"""
SHELL = """\
set -eu
test "$DFH_RANK" = 0
cp "$1" out.txt
python -c 'from deepforge_hpc.job import ranks; print(ranks().world_size)' >>out.txt
mkdir folder
echo "$2" >folder/words
"""
PIPELINE = """\
pipeline: p
inputs: {rows: rows.json}
operations:
  script:
    uses: scripts/run.py
    args: [--rows, "{inputs.rows}", --out, "{outputs.told}", --note, "{attributes.note}", --layers, "{attributes.layers}"]
    inputs: {rows: rows}
    attributes: {note: '$(touch planted); "x"', layers: [8, 4]}
    outputs: {told: deep/told.json}
  shell:
    command: [bash, "{code}/go.sh", "{inputs.one}"]
    args: ["{{braces}} {attributes.n}", "{code}/scripts/run.py"]
    inputs: {one: script.told}
    attributes: {n: 1.5}
    outputs: {text: out.txt, folder: folder/}
    types: {text: text, one: json}
  read:
    uses: ops.py:read
    inputs: {told: script.told, text: shell.text, folder: shell.folder}
    types: {folder: directory}
outputs: {all: {from: read.result, to: all.json}}
"""
READ = """\
from pathlib import Path

def read(told: dict, text: str, folder: Path) -> dict:
    result = {"told": told, "last": text.splitlines()[-1][-1], "words": (folder / "words").read_text()}
    return result
"""
FAILING = """\
pipeline: p
operations:
  exits: {uses: exits.py, outputs: {a: a.txt}}
  raises: {uses: raises.py}
  forgets: {command: [bash, -c, 'touch b.txt c.csv'], outputs: {a: a.txt, c: c.csv}}
  damaged: {command: [bash, -c, 'echo x >a.json'], outputs: {a: a.json}}
  missing: {command: [no-such-program]}
  code: {command: [bash, -c, 'exit 7']}
  crash: {command: [bash, -c, 'kill -SEGV $$']}
  fine: {command: [bash, -c, 'test "$(command -v python)" = "$0"', "{python}"]}
  quiet: {uses: quiet.py}
"""


def test_scripts_and_commands_take_and_leave_files(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    files = {
        "pipeline.yaml": PIPELINE,
        "rows.json": "[1, 2]",
        "ops.py": READ,
        "go.sh": SHELL,
        "scripts/run.py": SCRIPT,
        "scripts/helper.py": HELPER,
    }
    project = make_project(files)
    dfh("run", cwd=project)
    told = json.loads((project / "all.json").read_text())
    assert told == {
        "told": {
            "rows": [1, 2],
            "note": '$(touch planted); "x"',
            "layers": [8, 4],
            "rank": 0,
            "helper": 5,
            "main": '$(touch planted); "x"',
            "again": 5,
            "kept": True,
        },
        "last": "1",
        "words": "{braces} 1.5\n",
    }
    assert "the script is done" in dfh("logs", "p-0001", "script", cwd=project).stdout
    job = project / "executions/p-0001/jobs/script"
    assert json.loads((job / "metrics.jsonl").read_text())["loss"] == 0.5
    assert dfh("prov", "verify", "all.json", cwd=project).stdout.startswith("sound: 3 records")
    assert "project/scripts/run.py:__main__" in dfh("prov", "show", job, cwd=project).stdout

    text = (project / "pipeline.yaml").read_text()
    (project / "pipeline.yaml").write_text(text.replace("{{braces}}", "{{other}}"))
    (project / "scripts/helper.py").write_text(HELPER.replace("VALUE = 5", "VALUE = 6"))
    said = dfh("submit", "--dry-run", cwd=project).stdout
    assert "script runs: its code changed (scripts/helper.py, line " in said
    assert "shell runs: its command line changed" in said


def test_a_program_that_fails_says_how(
    dfh: Any, make_project: Callable[..., Path], follow: Any
) -> None:
    files = {
        "pipeline.yaml": FAILING,
        "exits.py": "import sys\nsys.exit('no data')\n",
        "raises.py": "def f():\n    raise KeyError('gone')\n\nf()\n",
        "quiet.py": "import sys\nif __name__ == '__main__':\n    sys.exit()\n",
    }
    project = make_project(files)
    python = project / "bin/python"  # in no virtual environment that a job could activate
    python.parent.mkdir()
    python.symlink_to(os.path.realpath(sys.executable))
    done = dfh("run", "--json", "--python", python, cwd=project, expect=9)
    jobs = {job["name"]: job for job in json.loads(done.stdout)["jobs"]}
    ends = {name: job["reason"] for name, job in jobs.items() if job["state"] == "failed"}
    assert ends.pop("missing").startswith("no-such-program cannot be started on ")
    assert ends.pop("damaged").startswith("Output a is not whole: a.json is not whole JSON")
    assert ends == {
        "exits": "exits.py ended with exit code 1.",
        "raises": "The operation raised KeyError: 'gone' (raises.py:2).",
        "forgets": "Output a cannot be saved: the program left no file a.txt (there are b.txt, c.csv).",
        "code": "bash ended with exit code 7.",
        "crash": "bash crashed (SIGSEGV) in compiled code.",
    }
    assert jobs["forgets"]["hint"].startswith("The program has to write a.txt. Then submit again.")
    assert jobs["damaged"]["hint"].startswith("The program has written a.json so: ")
    assert {jobs[name]["state"] for name in ("fine", "quiet")} == {"succeeded"}
    assert "no data" in dfh("logs", "p-0001", "exits", cwd=project).stdout
    follow("runtime/rank/program.py _log_hint: dfh logs", jobs["code"]["hint"], cwd=project)
    rescued = project / "executions/p-0001/jobs/forgets/rescue/outputs"
    assert [path.name for path in rescued.iterdir()] == ["c.csv"]


STOPPED = """\
pipeline: p
operations:
  slow:
    command: [bash, -c, 'trap "echo saved; exit 0" TERM; touch "$1"; sleep 100 & wait', bash, "{checkpoint_dir}/begun"]
"""


def test_a_program_that_is_asked_to_stop_can_save_first(
    dfh: Any, make_project: Callable[..., Path], until: Any
) -> None:
    project = make_project({"pipeline.yaml": STOPPED})
    dfh("submit", cwd=project)
    job = project / "executions/p-0001/jobs/slow"
    until((job / "checkpoints/begun").exists)
    dfh("cancel", "p-0001", cwd=project)
    until((job / "state.json").exists)
    until(lambda: json.loads((job / "state.json").read_text())["state"] == "cancelled")
    said = (job / "out.1.log").read_text()
    assert "saved" in said
    assert "subprocess" not in said


LIMITED = """\
pipeline: p
operations:
  python: {uses: 'ops.py:large'}
  program: {command: [bash, -c, 'exec head -c 9000000 /dev/zero >large']}
"""
LARGE = """\
def large() -> int:
    with open("large", "wb") as stream:
        stream.write(bytes(9_000_000))
    size = 1
    return size
"""


def test_a_limit_of_the_shell_is_told_and_not_met_from_another(
    dfh: Any,
    installed: Any,
    clean_environment: dict[str, str],
    make_project: Callable[..., Path],
    follow: Any,
    until: Any,
) -> None:
    project = make_project({"pipeline.yaml": LIMITED, "ops.py": LARGE})
    argv = ["bash", "-c", 'ulimit -f 8192 && exec "$0" run --json', str(installed.dfh)]
    done = subprocess.run(
        argv, cwd=project, env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    jobs = {job["name"]: job for job in json.loads(done.stdout)["jobs"]}
    assert jobs["python"]["hint"].startswith("A file may have 8.0 MiB here (ulimit -f).")
    assert jobs["program"]["reason"] == "bash wrote a larger file than it may (SIGXFSZ)."
    follow("runtime/base/failure.py resume: dfh resume", jobs["program"]["hint"], cwd=project)
    engine = project / "executions/p-0001/local/engine.json"
    until(lambda: not engine.exists())
    assert json.loads(dfh("status", "--json", cwd=project).stdout)["state"] == "succeeded"
