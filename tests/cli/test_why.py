"""`dfh submit` says why a job runs again, and a comment runs nothing again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPS = """\
from helper import scale


def make(n: int = 2) -> int:
    # how many
    number = n
    return number


def train(number: int, epochs: int = 3) -> int:
    model = scale(number) + epochs
    return model


def evaluate(model: int, scores: list) -> int:
    score = model
    return score
"""
PIPELINE = """\
pipeline: demo
env: {MODE: a, OLD: x}
inputs: {scores: scores.json}
operations:
  make: {uses: "ops.py:make", attributes: {n: 1}}
  train: {uses: "ops.py:train", inputs: {number: make.number}}
  evaluate: {uses: "ops.py:evaluate", inputs: {model: train.model, scores: scores}}
outputs: {score: evaluate.score}
"""
HELPER = "def scale(x):\n    return x\n"


@pytest.fixture
def ran(make_project: Callable[..., Path], dfh: Any) -> Path:
    """Return a project with one execution that succeeded."""
    files = {"ops.py": OPS, "helper.py": HELPER, "pipeline.yaml": PIPELINE, "scores.json": "[1]"}
    project = make_project(files)
    first = dfh("run", cwd=project)
    assert "runs:" not in first.stdout
    return project


def why(dfh: Any, project: Path) -> dict[str, str]:
    document: dict[str, str] = json.loads(dfh("submit", "--dry-run", "--json", cwd=project).stdout)[
        "why"
    ]
    return document


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("ops.py", "    # how many\n", '    """How many."""\n\n', {}),
        ("ops.py", "score = model", "score = model + 0", {
            "evaluate": "its code changed (ops.py, line 15) since demo-0001",
        }),
        ("helper.py", "return x", "return x * 1", {
            "train": "its code changed (helper.py, line 1) since demo-0001",
            "evaluate": "train, which makes its input model, runs again since demo-0001",
        }),
        ("pipeline.yaml", "n: 1", "n: 5", {
            "make": "its attribute n (1 -> 5) changed since demo-0001",
            "train": "make, which makes its input number, runs again since demo-0001",
            "evaluate": "train, which makes its input model, runs again since demo-0001",
        }),
        ("scores.json", "[1]", "[2]", {
            "evaluate": "its input scores changed (scores.json) since demo-0001",
        }),
        ("pipeline.yaml", "uses: \"ops.py:evaluate\"", "uses: \"ops.py:evaluate\", types: {score: pickle}", {
            "evaluate": "its outputs or their types changed since demo-0001",
        }),
        ("pipeline.yaml", "MODE: a, OLD: x}", "MODE: b, MORE: c}", {
            job: f"{first}its variable MODE changed; its variable MORE is new; its variable OLD is gone since demo-0001"
            for job, first in (
                ("make", ""),
                ("train", "make, which makes its input number, runs again; "),
                ("evaluate", "train, which makes its input model, runs again; "),
            )
        }),
        ("pipeline.yaml", "env: {MODE", "code: [helper.py]\nenv: {MODE", {
            "make": "what it is made of changed (a file that `code:` names, its `env:`, or how its environment is named) since demo-0001",
            "train": "make, which makes its input number, runs again since demo-0001",
            "evaluate": "train, which makes its input model, runs again since demo-0001",
        }),
        ("pipeline.yaml", "pipeline: demo", "pipeline: demo\nseed: 3", {
            "make": "its seed changed since demo-0001",
            "train": "make, which makes its input number, runs again; its seed changed since demo-0001",
            "evaluate": "train, which makes its input model, runs again; its seed changed since demo-0001",
        }),
    ],
)  # fmt: skip
def test_why_a_job_runs_again(
    dfh: Any, ran: Path, file: str, old: str, new: str, expected: dict[str, str]
) -> None:
    path = ran / file
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    assert why(dfh, ran) == expected


def test_a_variable_is_named_on_another_site_too(dfh: Any, ran: Path) -> None:
    path = ran / "pipeline.yaml"
    path.write_text(path.read_text().replace("MODE: a", "MODE: b"))
    (ran / "site-configs").mkdir()
    (ran / "site-configs" / "other.yaml").write_text("site: other\nextends: local\n")
    told = dfh("submit", "--site", "other", "--dry-run", "--json", cwd=ran).stdout
    assert json.loads(told)["why"]["make"] == "its variable MODE changed since demo-0001"


def test_what_is_gone_is_named(dfh: Any, ran: Path) -> None:
    output = ran / "executions/demo-0001/jobs/train/outputs/model.json"
    moved = output.rename(output.with_name("moved"))
    assert why(dfh, ran) == {"train": "its output model is gone since demo-0001"}
    moved.rename(output)
    (ran / ".dfh" / "loose").rename(ran / ".dfh" / "elsewhere")
    told = "its result is there, and its record in the ledger is gone or damaged since demo-0001"
    assert why(dfh, ran)["train"] == told


def test_the_terminal_says_it_once_for_jobs_of_one_reason(dfh: Any, ran: Path) -> None:
    path = ran / "executions" / "demo-0001" / "jobs" / "train" / "outputs" / "model.json"
    path.chmod(0o644)
    path.write_text("7")
    assert why(dfh, ran) == {"train": "its output model was modified since demo-0001"}
    text = dfh("run", cwd=ran).stdout + dfh("run", cwd=ran).stderr
    assert "\ntrain runs: its output model was modified since demo-0001\n" in text
    assert why(dfh, ran) == {}
    plan = json.loads((ran / "executions" / "demo-0002" / "plan.json").read_bytes())
    assert plan["key"] == "dfh/plan-key/3"


def test_a_package_that_is_edited_in_place_is_not_taken_for_the_same(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    library = tmp_path / "work" / "mylib"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("def scale(x):\n    return x\n")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "mylib.pth").write_text(f"{tmp_path}/work\n")
    ops = OPS.replace("from helper", "from mylib")
    text = PIPELINE.replace("pipeline: demo", f"pipeline: demo\nenvironment: {{venv: {venv}}}")
    project = make_project({"ops.py": ops, "pipeline.yaml": text, "scores.json": "[1]"})
    dfh("run", cwd=project)
    assert why(dfh, project) == {}
    (library / "__init__.py").write_text("def scale(x):\n    return 2 * x\n")
    assert why(dfh, project) == {
        "make": "the code of mylib changed since demo-0001",
        "train": "make, which makes its input number, runs again; the code of mylib changed since demo-0001",
        "evaluate": "train, which makes its input model, runs again; the code of mylib changed since demo-0001",
    }  # fmt: skip


def test_a_package_that_an_imported_one_needs_has_another_version(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    for name, need in (("upper", "Requires-Dist: lower\n"), ("lower", ""), ("beside", "")):
        (site / f"{name}.py").write_text("def scale(x):\n    return x\n")
        (site / f"{name}-1.0.dist-info").mkdir()
        (site / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\n{need}")
    ops = (
        "from upper import scale\n\ndef make() -> list:\n    rows = [1, 2]\n    return rows\n\n"
        "def double(rows: list) -> list:\n    more = scale(rows) * 2\n    return more\n"
    )
    text = (
        f"pipeline: demo\nenvironment: {{venv: {venv}}}\noperations:\n"
        "  make: {uses: 'ops.py:make'}\n"
        "  double: {uses: 'ops.py:double', inputs: {rows: make.rows}, map: {over: rows, shards: 2}}\n"
        "outputs: {more: double.more}\n"
    )
    project = make_project({"ops.py": ops, "pipeline.yaml": text})
    dfh("run", cwd=project)

    def told(*words: str) -> list[dict[str, Any]]:
        document = json.loads(dfh("submit", "--dry-run", "--json", *words, cwd=project).stdout)
        return [one for one in document["warnings"] if one["kind"] == "packages_changed"]

    assert told() == []
    (site / "beside-1.0.dist-info").rename(site / "beside-2.0.dist-info")
    assert told() == []
    (site / "lower-1.0.dist-info").rename(site / "lower-2.0.dist-info")
    (one,) = told()
    assert one["text"] == (
        "reused: make, double, made with other versions of what the imported packages "
        "need: lower 2.0 (was 1.0)"
    )
    assert one["next"] == "to run all again: dfh submit pipeline.yaml --no-reuse"
    assert told("--no-reuse") == []
    shown = dfh("run", cwd=project)
    assert "warning: reused: make, double, made with other" in shown.stderr
    assert told(), "the results are those of then, whoever took them over"
    dfh("run", *one["next"].partition("submit ")[2].split(), cwd=project)
    assert told() == []


def test_a_job_is_compared_with_one_whose_marker_is_sound(dfh: Any, ran: Path) -> None:
    (ran / "pipeline.yaml").write_text(PIPELINE.replace("n: 1", "n: 5"))
    assert "make" in why(dfh, ran)
    marker = ran / "executions" / "demo-0001" / "jobs" / "make" / "success.json"
    marker.write_text(marker.read_text().replace('"job":"make"', '"job":"train"'))
    assert "make" not in why(dfh, ran)


OF_PATH = """\
pipeline: demo
environment: {python: python3}
operations: {make: {uses: "ops.py:make"}}
outputs: {n: make.n}
"""
USES_OWN = "import own\n\ndef make() -> int:\n    n = own.N\n    return n\n"


def test_a_package_of_the_python_that_path_leads_to_has_another_version(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "own.py").write_text("N = 1\n")
    (site / "own-1.0.dist-info").mkdir()
    project = make_project({"ops.py": USES_OWN, "pipeline.yaml": OF_PATH})
    env = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
    dfh("run", cwd=project, env=env)

    def asked() -> dict[str, Any]:
        done = dfh("submit", "--dry-run", "--json", cwd=project, env=env)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    assert asked()["why"] == {}
    assert "packages_unseen" not in {one["kind"] for one in asked()["warnings"]}
    (site / "own-1.0.dist-info").rename(site / "own-2.0.dist-info")
    assert asked()["why"] == {"make": "own changed (1.0 -> 2.0) since demo-0001"}


def test_of_a_python_that_cannot_be_seen_a_reuse_says_so(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    shim = tmp_path / "shims" / "python3"  # as pyenv has them
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    code = USES_OWN.replace("import own\n", "").replace("own.N", "1")
    project = make_project({"ops.py": code, "pipeline.yaml": OF_PATH})
    env = {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    assert "cannot be seen" not in dfh("run", cwd=project, env=env).stderr
    told = dfh("run", cwd=project, env=env).stderr
    words = "reused: make, though versions of python3 cannot be seen from here"
    assert told.count(words) == 1
    assert "cannot be seen" not in dfh("run", cwd=project, env=env).stderr  # it is said once
    (project / "site-configs").mkdir()
    (project / "site-configs" / "other.yaml").write_text("site: other\nextends: local\n")
    told = dfh("run", "--site", "other", cwd=project, env=env).stderr
    assert told.count(words) == 1  # of each site
    dfh("run", "--no-reuse", cwd=project, env=env)
    assert dfh("run", cwd=project, env=env).stderr.count(words) == 1
    done = dfh("submit", "--dry-run", "--json", cwd=project, env=env)
    (one,) = (one for one in json.loads(done.stdout)["warnings"] if one["text"] == words)
    assert (one["kind"], one["subject"]) == ("packages_unseen", "make")
    begin, _, step = one["next"].partition(": dfh ")
    assert begin == "to run all again"
    again = dfh(*shlex.split(step), "--json", cwd=project, env=env)
    assert json.loads(again.stdout)["reused"] == {}
    assert words not in again.stderr


def test_the_file_is_named_that_a_program_of_a_command_uses(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project(
        {
            "pipeline.yaml": (
                "pipeline: demo\nenvironment: {python: /usr/bin/python3}\noperations:\n"
                '  made:\n    command: [python3, "{code}/x.py", "{code}/words.txt", "{outputs.a}"]\n'
                "    outputs: {a: a.txt}\n"
            ),
            "x.py": "import sys\nfrom lib.g import VALUE\nopen(sys.argv[2], 'w').write(VALUE)\n",
            "lib/__init__.py": "",
            "lib/g.py": "VALUE = 'one'\n",
            "words.txt": "a\n",
        }
    )
    dfh("run", cwd=project)
    (project / "lib/g.py").write_text("VALUE = 'two'\n")
    told = dfh("submit", "--dry-run", cwd=project).stdout
    assert "made runs: its code changed (lib/g.py, line 1) since demo-0001" in told
    (project / "lib/g.py").write_text("VALUE = 'one'\n")
    (project / "words.txt").write_text("b\n")
    told = dfh("submit", "--dry-run", cwd=project).stdout
    assert "made runs: its code changed (words.txt, line 1) since demo-0001" in told
