"""The rendered script at work: what it does before and around the runtime."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.files import canonical_json, digest_file
from deepforge_hpc.runtime.base.plan import ContainerLaunch, Environment, Job, JobKind, Plan
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.state import statefile

UUID = "0123456789abcdef0123456789abcdef"
ARGUMENTS = ("--uuid", UUID, "--attempt", "2", "--plan", "sha256:p", "--code", "sha256:c")
# Stands for the runtime: says how it was called, then does what the test wrote into `behaviour.py`.
STUB = """\
import json, os, sys
seen = {"argv": sys.argv[1:], "cwd": os.getcwd(), "path": sys.path[:3], "env": dict(os.environ)}
with open("seen.json", "w") as stream:
    json.dump(seen, stream)
if os.path.exists("behaviour.py"):
    exec(open("behaviour.py").read())
"""


def make(**changes: object) -> Job:
    settings: dict[str, object] = {
        "name": "train",
        "operation": "train",
        "directives": (("nodes", "1"), ("no-requeue", "")),
        "environment": Environment(python=sys.executable),
        **changes,
    }
    return Job(**settings)  # type: ignore[arg-type]


class Execution:
    """A folder as a submission leaves it, with one script."""

    def __init__(self, root: Path, job: Job, *others: Job, scheduler: str = "slurm") -> None:
        self.root = root
        self.job = job
        plan = Plan(pipeline="demo", site="local", scheduler=scheduler, jobs=(*others, job))
        self.script = root / "jobs" / job.name / "job.sh"
        self.script.parent.mkdir(parents=True)
        self.script.write_text(render_scripts(plan)[job.name], encoding="utf-8")
        text = json.dumps({"uuid": UUID, "project": str(root.parent)}, separators=(",", ":"))
        (root / "execution.json").write_text(text, encoding="utf-8")
        runtime = root / "code" / "dfh_runtime.zip" / "dfh_runtime"
        runtime.mkdir(parents=True)
        (runtime / "__init__.py").touch()
        (runtime / "__main__.py").write_text(STUB, encoding="utf-8")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.script), *arguments],
            cwd=self.root,
            env=self.environ(environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @staticmethod
    def environ(more: dict[str, str]) -> dict[str, str]:
        names = ("PATH", "HOME")
        return {name: os.environ[name] for name in names if name in os.environ} | more

    def behave(self, code: str) -> None:
        (self.root / "behaviour.py").write_text(code, encoding="utf-8")

    @property
    def seen(self) -> dict[str, object]:
        return json.loads((self.root / "seen.json").read_text(encoding="utf-8"))

    @property
    def has_started(self) -> bool:
        return (self.root / "seen.json").exists()

    def state(self, task: int | None = None) -> dict[str, object]:
        folder = self.script.parent if task is None else self.script.parent / f"task-{task:05d}"
        return json.loads((folder / "state.json").read_text(encoding="utf-8"))

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.script.parent.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's $(touch pwned) an execution"


def test_the_runtime_is_called_with_what_was_submitted(folder):
    execution = Execution(folder, make())
    done = execution.run(*ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert execution.seen["argv"] == [
        "run", "train", "--attempt", "2", "--plan", "sha256:p", "--code", "sha256:c",
    ]  # fmt: skip
    assert execution.seen["cwd"] == str(folder.resolve())
    assert str(folder.resolve() / "code" / "dfh_runtime.zip") in execution.seen["path"]
    assert execution.files == {"job.sh"}


def test_by_hand_it_runs_from_anywhere_and_leaves_the_state_alone(folder, tmp_path):
    execution = Execution(folder, make())
    execution.behave("sys.exit(1)")
    done = subprocess.run(
        ["bash", os.path.relpath(execution.script, tmp_path)],
        cwd=tmp_path,
        env=execution.environ({}),
        check=False,
    )
    assert done.returncode == 1
    assert execution.seen["argv"] == ["run", "train", "--attempt", "0"]
    assert execution.seen["cwd"] == str(folder.resolve())
    assert execution.files == {"job.sh"}


def test_by_hand_from_its_own_folder(folder):
    execution = Execution(folder, make())
    done = subprocess.run(
        ["bash", "job.sh"], cwd=execution.script.parent, env=execution.environ({}), check=False
    )
    assert done.returncode == 0
    assert execution.seen["cwd"] == str(folder.resolve())


def test_a_copy_in_the_spool_runs_in_the_working_directory(folder, tmp_path):
    """As slurmd does it."""
    execution = Execution(folder, make())
    spool = tmp_path / "job00001"
    spool.mkdir()
    copy = shutil.copy(execution.script, spool / "slurm_script")
    done = subprocess.run(
        ["bash", copy, *ARGUMENTS], cwd=folder, env=execution.environ({}), check=False
    )
    assert done.returncode == 0
    assert execution.has_started


def test_another_folder_than_the_one_submitted_is_refused(folder, tmp_path):
    execution = Execution(folder, make())
    other = [UUID[::-1] if word == UUID else word for word in ARGUMENTS]
    done = execution.run(*other)
    assert done.returncode == 87
    assert "not the execution" in done.stderr
    copy = shutil.copy(execution.script, tmp_path / "slurm_script")
    done = subprocess.run(
        ["bash", copy, *ARGUMENTS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 87
    assert "execution.json" in done.stderr
    assert execution.run("--attempt", "2").returncode == 87
    assert not execution.has_started
    assert execution.files == {"job.sh"}


@pytest.mark.parametrize(
    "arguments", [("--what", "1"), ("--attempt",), ("--attempt", "x"), ("--attempt", "-1")]
)
def test_wrong_arguments_are_refused(folder, arguments):
    execution = Execution(folder, make())
    done = execution.run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("dfh: ")
    assert not execution.has_started


def test_a_missing_marker_stops_the_job_and_is_named(folder):
    array = make(name="render", kind=JobKind.ARRAY, tasks=3)
    execution = Execution(folder, make(after=("other", "render")), make(name="other"), array)
    for name in ("other", "render/task-00000", "render/task-00002"):
        (folder / "jobs" / name).mkdir(parents=True)
        (folder / "jobs" / name / "success.json").write_text("{}")
    done = execution.run(*ARGUMENTS, SLURM_JOB_ID="77")
    assert done.returncode == 86
    state = execution.state()
    assert state["state"] == "upstream_failed"
    assert "jobs/render/task-00001" in state["reason"]
    assert (state["schema"], state["job"], state["task"]) == ("dfh/state/1", "train", None)
    assert (state["attempt"], state["exit_code"], state["native_id"]) == (2, 86, "77")
    assert "dfh status" in state["hint"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", state["since"])
    assert not execution.has_started
    assert execution.files == {"job.sh", "state.json"}

    (folder / "jobs/render/task-00001").mkdir()
    (folder / "jobs/render/task-00001/success.json").touch()  # whether it is sound the runtime asks
    assert execution.run(*ARGUMENTS).returncode == 0
    assert execution.has_started


def test_the_state_of_the_script_has_the_fields_of_the_runtimes(folder):
    execution = Execution(folder, make(environment=Environment(python="/no/python")))
    execution.run(*ARGUMENTS)
    of_runtime = encode(statefile.Said(State.FAILED, 1))
    left_out = {"lacks", "left", "first"}  # not written if there is none
    assert execution.state().keys() == of_runtime.keys() - left_out
    # Each is read by somebody: the status, the report, the final job.
    assert "progress" not in of_runtime


def test_the_final_job_runs_whatever_became_of_the_others(folder):
    final = make(name="_final", kind=JobKind.FINAL, after=("other",), dependency="afterany")
    execution = Execution(folder, final, make(name="other"))
    assert execution.run(*ARGUMENTS).returncode == 0
    assert execution.has_started


@pytest.mark.parametrize(
    ("scheduler", "variable"),
    [
        ("slurm", "SLURM_ARRAY_TASK_ID"),
        ("slurm", "DFH_ARRAY_TASK_ID"),
        ("local", "DFH_ARRAY_TASK_ID"),
    ],
)
def test_a_task_of_an_array_knows_its_number(folder, scheduler, variable):
    execution = Execution(folder, make(kind=JobKind.ARRAY, tasks=8), scheduler=scheduler)
    assert execution.run(*ARGUMENTS, **{variable: "7"}).returncode == 0
    assert execution.seen["argv"][:6] == ["run", "train", "--task", "7", "--attempt", "2"]


def test_an_array_without_a_number_says_how_to_give_one(folder):
    execution = Execution(folder, make(kind=JobKind.ARRAY, tasks=8))
    done = execution.run()
    assert done.returncode == 2
    assert "DFH_ARRAY_TASK_ID=0 bash" in done.stderr


def test_the_state_of_a_task_lies_in_its_folder(folder):
    job = make(kind=JobKind.ARRAY, tasks=8, environment=Environment(python="/no/python"))
    execution = Execution(folder, job)
    done = execution.run(*ARGUMENTS, SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_JOB_ID="12")
    assert done.returncode == 88
    assert (execution.state(3)["task"], execution.state(3)["native_id"]) == (3, "12_3")


def test_a_job_that_is_no_array_ignores_the_number_of_an_outer_one(folder):
    execution = Execution(folder, make())
    assert execution.run(*ARGUMENTS, SLURM_ARRAY_TASK_ID="7").returncode == 0
    assert "--task" not in execution.seen["argv"]


def test_a_python_that_is_not_there_is_a_state_with_a_sentence(folder):
    execution = Execution(folder, make(environment=Environment(python='/no/"py\\thon"')))
    done = execution.run(*ARGUMENTS)
    assert done.returncode == 88
    assert execution.state()["state"] == "failed"
    assert '/no/"py\\thon"' in execution.state()["reason"]
    assert "environment:" in execution.state()["hint"]


def test_modules_are_loaded_in_order_before_python_is_looked_for(folder, tmp_path):
    init = tmp_path / "modules" / "init"
    init.mkdir(parents=True)
    (init / "bash").write_text(
        'module() { echo "$*" >>loaded; [ "$2" != "broken" ] && PATH="$BIN:$PATH"; }\n'
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "only-by-module").symlink_to(sys.executable)
    environment = Environment(python="only-by-module", modules=("gcc/12", "cuda/12.4"))
    execution = Execution(folder, make(environment=environment))
    variables = {"MODULESHOME": str(tmp_path / "modules"), "BIN": str(tmp_path / "bin")}
    done = execution.run(*ARGUMENTS, **variables)
    assert done.returncode == 0, done.stderr
    assert (folder / "loaded").read_text() == "load gcc/12\nload cuda/12.4\n"

    broken = Environment(python=sys.executable, modules=("broken",))
    execution = Execution(tmp_path / "second", make(environment=broken))
    assert execution.run(*ARGUMENTS, **variables).returncode == 88
    assert "module broken could not be loaded" in execution.state()["reason"]


def test_without_a_module_command_the_job_says_so(folder):
    environment = Environment(python=sys.executable, modules=("gcc",))
    execution = Execution(folder, make(environment=environment))
    done = execution.run(*ARGUMENTS)
    if Path("/usr/share/modules/init/bash").exists() or Path("/etc/profile.d/lmod.sh").exists():
        pytest.skip("this machine has environment modules")
    assert done.returncode == 88
    assert "no command 'module'" in execution.state()["reason"]


def test_a_conda_environment_is_activated_by_name(folder, tmp_path):
    base = tmp_path / "conda base"
    (base / "etc/profile.d").mkdir(parents=True)
    (base / "bin").mkdir()
    (base / "etc/profile.d/conda.sh").write_text(
        'conda() { [ "$2" != missing ] && export CONDA_PREFIX="$2" PATH="$BIN:$PATH"; }\n'
    )
    (base / "bin/conda").write_text(f'#!/bin/sh\necho "{base}"\n')
    (base / "bin/conda").chmod(0o755)
    (base / "bin/python").symlink_to(sys.executable)
    variables = {"PATH": f"{base}/bin:/usr/bin:/bin", "BIN": f"{base}/bin"}
    execution = Execution(folder, make(environment=Environment(conda="my env")))
    done = execution.run(*ARGUMENTS, **variables)
    assert done.returncode == 0, done.stderr
    assert execution.seen["env"]["CONDA_PREFIX"] == "my env"

    execution = Execution(tmp_path / "b", make(environment=Environment(conda="missing")))
    assert execution.run(*ARGUMENTS, **variables).returncode == 88
    assert "missing could not be activated" in execution.state()["reason"]
    execution = Execution(tmp_path / "c", make(environment=Environment(conda="x")))
    assert execution.run(*ARGUMENTS, PATH="/usr/bin:/bin").returncode == 88
    assert "no conda" in execution.state()["reason"]


def test_a_virtual_environment_is_the_users_whole_path(folder, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = str(venv / "bin" / "python")
    execution = Execution(folder, make(environment=Environment(python=python)))
    assert execution.run(*ARGUMENTS).returncode == 0
    assert execution.seen["env"]["VIRTUAL_ENV"] == str(venv)
    assert execution.seen["env"]["PATH"].startswith(f"{venv}/bin:")


def test_a_container_gets_project_and_execution(folder, tmp_path):
    (tmp_path / "bin").mkdir()
    engine = tmp_path / "bin" / "apptainer"
    engine.write_text('#!/bin/bash\nprintf "%s\\n" "$@" >engine.txt\n')
    engine.chmod(0o755)
    environment = Environment(container="/images/it's $(touch pwned).sif")
    job = make(
        environment=environment, container=ContainerLaunch(runtime="apptainer", flags=("--nv",))
    )
    execution = Execution(folder, job)
    assert execution.run(*ARGUMENTS, PATH=f"{tmp_path}/bin:/usr/bin:/bin").returncode == 0
    words = (folder / "engine.txt").read_text().splitlines()
    root = str(folder.resolve())
    assert words[:9] == [
        "exec", "--nv", "--bind", root, "--bind", str(folder.parent), "--pwd", root,
        "/images/it's $(touch pwned).sif",
    ]  # fmt: skip
    assert words[9:12] == ["python3", "-m", "dfh_runtime"]
    assert execution.run(*ARGUMENTS, PATH="/usr/bin:/bin").returncode == 88
    assert not list(folder.parent.rglob("pwned"))


def test_the_export_policy_of_sbatch_does_not_reach_srun(folder):
    execution = Execution(folder, make())
    execution.run(*ARGUMENTS, SLURM_EXPORT_ENV="NONE", PYTHONPATH="/mine")
    assert "SLURM_EXPORT_ENV" not in execution.seen["env"]
    assert execution.seen["env"]["PYTHONPATH"] == f"{folder.resolve()}/code/dfh_runtime.zip:/mine"


@pytest.mark.parametrize("code", [0, 1, 75, 89])
def test_the_exit_code_is_the_supervisors(folder, code):
    execution = Execution(folder, make())
    execution.behave(
        "open('jobs/train/state.json', 'w').write("
        "json.dumps({'attempt': 2, 'state': 'failed', 'x': 1}, separators=(',', ':')))\n"
        f"sys.exit({code})"
    )
    assert execution.run(*ARGUMENTS).returncode == code
    assert execution.state() == {"attempt": 2, "state": "failed", "x": 1}


@pytest.mark.parametrize("hiding", ["", "contextlib.py", "json/__init__.py", "helper.py"])
def test_a_runtime_that_does_not_start_is_a_failure_with_a_state(folder, hiding, tmp_path):
    path = tmp_path / "my scripts"
    (path / hiding).parent.mkdir(parents=True, exist_ok=True)
    if hiding:
        (path / hiding).write_text("mine = 1")
    execution = Execution(folder, make())
    (execution.script.parent / "state.json").write_text('{"attempt":1,"state":"failed"}')
    shutil.rmtree(folder / "code")
    done = execution.run(*ARGUMENTS, PYTHONPATH=f"/none:{path}")
    assert done.returncode == 1
    assert execution.state()["attempt"] == 2
    assert "could not start" in execution.state()["reason"]
    if hiding in {"", "helper.py"}:
        assert "dfh_runtime" in done.stderr
        assert "PYTHONPATH" not in execution.state()["hint"]
    else:
        told = f"{path / hiding.partition('/')[0]} hides one of Python's own modules: rename it, or"
        assert told in execution.state()["hint"]


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_supervisor_that_ends_without_a_word_is_no_want_of_memory(folder, tmp_path, is_moved):
    execution = Execution(folder, make())
    moved = tmp_path / "moved"
    execution.behave(
        "open('jobs/train/state.json', 'w').write('{\"attempt\":2,\"state\":\"running\"}')\n"
        + (f"os.rename({str(folder)!r}, {str(moved)!r})\n" if is_moved else "")
        + "os._exit(1)"
    )
    done = execution.run(*ARGUMENTS)
    home = moved if is_moved else folder
    state = json.loads((home / "jobs" / "train" / "state.json").read_text())
    assert done.returncode == state["exit_code"] == 1
    assert "memory" not in state["reason"] + state["hint"]
    assert (f"it is no longer at {folder}" in state["reason"]) is is_moved
    assert state["again"] is is_moved


def test_a_supervisor_that_is_killed_leaves_a_failure_behind(folder):
    execution = Execution(folder, make())
    execution.behave(
        "open('jobs/train/state.json', 'w').write(json.dumps("
        "{'attempt': 2, 'started': '2026-01-01T00:00:00.000+00:00', 'state': 'running'},"
        " separators=(',', ':')))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert execution.run(*ARGUMENTS).returncode == 1
    state = execution.state()
    assert (state["state"], state["exit_code"]) == ("failed", 1)
    assert "exit code 137" in state["reason"]
    assert "memory" in state["hint"]
    assert state["started"] == "2026-01-01T00:00:00.000+00:00"


def test_a_supervisor_without_cpu_time_is_told_as_such(folder):
    execution = Execution(folder, make())
    word = "{'attempt': 2, 'started': None, 'state': 'running'}"
    execution.behave(
        f"open('jobs/train/state.json', 'w').write(json.dumps({word}, separators=(',', ':')))\n"
        f"os.kill(os.getpid(), {int(signal.SIGXCPU)})"
    )
    assert execution.run(*ARGUMENTS).returncode == 1
    state = execution.state()
    assert state["reason"] == "The supervisor of the job used up its limit on CPU time (SIGXCPU)."
    assert state["hint"].endswith(f"(ulimit -t). Where it is not so: dfh resume {folder.name}")
    assert state["again"] is True


@pytest.mark.parametrize("code", [3, 9])
def test_only_what_was_killed_is_told_to_want_memory(folder, code):
    execution = Execution(folder, make())
    word = "{'attempt': 2, 'started': None, 'state': 'running'}"
    execution.behave(
        f"open('jobs/train/state.json', 'w').write(json.dumps({word}, separators=(',', ':')))\n"
        + ("os.kill(os.getpid(), 9)" if code == 9 else f"sys.exit({code})")
    )
    assert execution.run(*ARGUMENTS).returncode == (1 if code == 9 else code)
    assert ("memory" in execution.state()["hint"]) is (code == 9)


@pytest.mark.parametrize("how", ["torn", "gone", "as it was"])
def test_a_runtime_that_was_changed_is_told_as_such(folder, how):
    execution = Execution(folder, make())
    shutil.rmtree(folder / "code")
    (folder / "code").mkdir()
    archive = folder / "code" / "dfh_runtime.zip"
    archive.write_bytes(b"no archive")
    files = {"dfh_runtime.zip": digest_file(archive), "project/a.py": "sha256:0"}
    manifest = folder / "code" / "MANIFEST.json"
    manifest.write_bytes(canonical_json({"files": files, "schema": "dfh/code/1"}))
    if how == "torn":
        archive.write_bytes(b"no")
    elif how == "gone":
        archive.unlink()
    changed = how != "as it was"
    assert execution.run(*ARGUMENTS).returncode == (87 if changed else 1)
    state = execution.state()
    assert (state["exit_code"], state["again"]) == (87 if changed else 1, False)
    assert ("was changed after it was submitted" in state["reason"]) is changed


def _start(execution: Execution) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["bash", str(execution.script), *ARGUMENTS],
        cwd=execution.root,
        env=execution.environ({}),
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 30
    while not (execution.root / "ready").exists():
        assert time.monotonic() < end, "the runtime did not start"
        time.sleep(0.01)
    return process


def test_signals_reach_the_supervisor_and_its_answer_counts(folder):
    execution = Execution(folder, make())
    execution.behave(
        "import signal, time\n"
        "got = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: got.append('USR1'))\n"
        "signal.signal(signal.SIGTERM, lambda *_: got.append('TERM'))\n"
        "open('ready', 'w').close()\n"
        "while len(got) < 2: time.sleep(0.01)\n"
        "open('got', 'w').write(' '.join(got))\n"
        "open('jobs/train/state.json', 'w').write('{\"attempt\":2,\"state\":\"interrupted\"}')\n"
        "sys.exit(75)"
    )
    process = _start(execution)
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.2)  # two signals at once would be one order or the other
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 75, printed
    assert (folder / "got").read_text() == "USR1 TERM"
    assert execution.state() == {"attempt": 2, "state": "interrupted"}


def test_a_supervisor_that_ends_at_once_keeps_its_exit_code(folder):
    """Slurm's walltime: SIGUSR1, SIGTERM, to the shell and to the supervisor itself."""
    execution = Execution(folder, make())
    execution.behave(
        "import signal, time\n"
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(75))\n"
        "open('jobs/train/state.json', 'w').write('{\"attempt\":2,\"state\":\"interrupted\"}')\n"
        "open('ready', 'w').close()\n"
        "time.sleep(30)"
    )
    for _ in range(5):
        process = _start(execution)
        (folder / "ready").unlink()
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 75


@pytest.mark.parametrize(
    "state",
    ["", "open('jobs/train/state.json', 'w').write('{\"attempt\":2,\"state\":\"running\"}')\n"],
)
def test_a_supervisor_that_cannot_answer_a_signal_was_interrupted(folder, state):
    execution = Execution(folder, make())
    execution.behave(state + "import time\nopen('ready', 'w').close()\ntime.sleep(30)")
    process = _start(execution)
    process.terminate()
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 75, printed
    assert execution.state()["state"] == "interrupted"
    assert execution.state()["reason"] == "The job was interrupted by SIGTERM."


def test_a_signal_before_the_operation_is_an_interruption(folder, tmp_path):
    init = tmp_path / "modules" / "init"
    init.mkdir(parents=True)
    (init / "bash").write_text("module() { touch ready; sleep 0.5; }\n")
    environment = Environment(python=sys.executable, modules=("slow", "slow"))
    execution = Execution(folder, make(environment=environment))
    process = subprocess.Popen(
        ["bash", str(execution.script), *ARGUMENTS],
        cwd=folder,
        env=execution.environ({"MODULESHOME": str(tmp_path / "modules")}),
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 30
    while not (folder / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=30) == 75
    assert execution.state()["state"] == "interrupted"
    assert "SIGTERM" in execution.state()["reason"] or "TERM" in execution.state()["reason"]
    assert not execution.has_started


def test_a_state_file_that_is_a_link_is_replaced_not_followed(folder, tmp_path):
    execution = Execution(folder, make(environment=Environment(python="/no/python")))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (execution.script.parent / "state.json").symlink_to(victim)
    assert execution.run(*ARGUMENTS).returncode == 88
    assert victim.read_text() == "precious"
    assert not (execution.script.parent / "state.json").is_symlink()


@pytest.mark.parametrize(
    "value", ["a\nb", "$(x)\n#SBATCH --account=other", "\x1b[2J", "tab\there", "\x7f", "a\u2028b"]
)
def test_control_characters_never_reach_a_script(value):
    with pytest.raises(InvalidInputError, match="control characters"):
        render_scripts(_plan(make(environment=Environment(python=value))))


@pytest.mark.parametrize(
    "pair", [("nodes", "1 --account=x"), ("nodes", "1\n"), ("Nodes", "1"), ("comment", "it's #1")]
)
def test_a_directive_that_sbatch_would_misread_is_refused(pair):
    with pytest.raises(InvalidInputError, match="header of its script"):
        render_scripts(_plan(make(directives=(pair,))))


@pytest.mark.parametrize(
    "value",
    ["$(touch pwned)", "`touch pwned`", "'; touch pwned; '", '"; touch pwned; "', "-x", "*"],
)
def test_a_hostile_value_is_only_a_word(folder, value):
    environment = Environment(python=f"/no/{value}")
    execution = Execution(folder, make(environment=environment))
    assert execution.run(*ARGUMENTS).returncode == 88
    assert f"/no/{value}" in execution.state()["reason"]
    assert not list(folder.parent.rglob("pwned"))


def _plan(*jobs: Job) -> Plan:
    return Plan(pipeline="demo", site="local", scheduler="local", jobs=jobs)


def test_equal_plans_give_equal_bytes_in_every_process():
    plan = _plan(make(after=()), make(name="b", after=("train",)))
    here = render_scripts(plan)
    code = (
        "import json, sys; from deepforge_hpc.runtime.base.plan import parse_plan;"
        "from deepforge_hpc.render.script import render_scripts;"
        "plan = parse_plan(sys.stdin.read());"
        "print(json.dumps(render_scripts(plan)))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(plan.to_dict()),
        env={**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(there.stdout) == here


def test_other_templates_can_stand_in(tmp_path):
    (tmp_path / "base.sh.j2").write_text("#!/bin/bash\n{{ directives }}\necho {{ python }}\n")
    job = make(environment=Environment(python="a b"))
    text = render_scripts(_plan(job), templates=tmp_path)["train"]
    assert text == "#!/bin/bash\n#SBATCH --nodes=1\n#SBATCH --no-requeue\necho 'a b'\n"


def test_a_secret_is_read_in_the_job_and_stands_nowhere_else(folder, tmp_path):
    execution = Execution(folder, make(env=(("TOKEN", "secret:hub"), ("A", "1"))))
    execution.behave("print(os.environ['TOKEN'], os.environ['A'])")
    file = tmp_path / "home/.config/deepforge-hpc/secrets/hub"
    file.parent.mkdir(parents=True)
    home = {"HOME": str(tmp_path / "home")}

    done = execution.run(*ARGUMENTS, **home)
    assert (done.returncode, execution.has_started) == (88, False)
    assert f"The secret hub, for TOKEN, is not there: {file}" in execution.state()["reason"]

    file.write_text("it's $(a) key\n")
    file.chmod(0o640)
    assert execution.run(*ARGUMENTS, **home).returncode == 88
    assert "can be read by others" in execution.state()["reason"]
    assert execution.state()["hint"] == f"Run: chmod 600 {file}"

    file.chmod(0o600)
    done = execution.run(*ARGUMENTS, **home)
    assert done.stdout == "it's $(a) key 1\n", done.stderr
    assert "key" not in execution.script.read_text()
    moved = {"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / "home/.config")}
    assert execution.run(*ARGUMENTS, **moved).stdout == done.stdout


def test_the_final_job_needs_no_secret(folder):
    env = (("TOKEN", "secret:hub"), ("A", "1"))
    job = make(name="_final", kind=JobKind.FINAL, operation="", env=env)
    execution = Execution(folder, job)
    execution.behave("print('TOKEN' in os.environ, os.environ['A'])")
    done = execution.run(*ARGUMENTS)
    assert done.stdout == "False 1\n", done.stderr


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (None, "", "no template base.sh.j2"),
        ("{{ name.__class__.__mro__ }}", "base.sh.j2:1", "__class__"),
        ("#!/bin/bash\n{{ nmae }}\n", "base.sh.j2:2", "'nmae' is undefined"),
        ("\n\n{% if name %}\n", "base.sh.j2:3", "Unexpected end of template"),
        ("{{ name | quoted }}\n", "base.sh.j2:1", "No filter named 'quoted'"),
        ("\n{{ upstream }}\n", "base.sh.j2:2", "neither a text nor a number"),
        ("\n{{ name + 1 }}\n", "base.sh.j2:2", "can only concatenate str"),
        ('{% extends "bsae.sh.j2" %}\n', "", "no template bsae.sh.j2"),
        (b"caf\xe9", "base.sh.j2", "not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_template_is_told_with_its_line(tmp_path, text, place, message):
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "base.sh.j2").write_bytes(data)
    with pytest.raises(InvalidInputError) as caught:
        render_scripts(_plan(make()), templates=tmp_path)
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"{tmp_path}{'/' if place else ''}{place}: ")
    assert message in fault.message
    assert fault.hint


@pytest.mark.parametrize(
    ("runtime", "command", "words"),
    [
        ("shifter", "shifter", ["--module=gpu", "--image=im age", "python3"]),
        (
            "podman-hpc",
            "podman-hpc",
            ["run", "--rm", "--env-host", "--module=gpu", "-v", "HERE:HERE", "-v", "PROJECT:PROJECT",
             "-v", "/data:/data", "-w", "HERE", "im age", "python3"],
        ),
        (
            "pyxis",
            "srun",
            ["--nodes=1", "--ntasks=1", "--container-image=im age",
             "--container-mounts=HERE:HERE,PROJECT:PROJECT,/data:/data", "--container-workdir=HERE",
             "--module=gpu", "python3"],
        ),
        ("ce", "srun", ["--nodes=1", "--ntasks=1", "--environment=im age", "--module=gpu", "python3"]),
    ],
)  # fmt: skip
def test_a_job_starts_in_the_container_of_its_site(folder, tmp_path, runtime, command, words):
    (tmp_path / "bin").mkdir()
    engine = tmp_path / "bin" / command
    engine.write_text('#!/bin/bash\nprintf "%s\\n" "$@" >engine.txt\n')
    engine.chmod(0o755)
    container = ContainerLaunch(runtime=runtime, flags=("--module=gpu",), bind=("/data",))
    job = make(environment=Environment(container="im age"), container=container)
    execution = Execution(folder, job)
    assert execution.run(*ARGUMENTS, PATH=f"{tmp_path}/bin:/usr/bin:/bin").returncode == 0
    root = str(folder.resolve())
    text = (folder / "engine.txt").read_text().replace(root, "HERE")
    seen = text.replace(str(folder.parent.resolve()), "PROJECT").splitlines()
    assert seen[: len(words)] == words
    assert seen[len(words) :][:4] == ["-m", "dfh_runtime", "run", "train"]

    engine.unlink()
    if shutil.which(command, path="/usr/bin:/bin") is None:
        execution = Execution(tmp_path / "again", job)
        assert execution.run(*ARGUMENTS, PATH="/usr/bin:/bin").returncode == 88
        assert f"There is no {command}" in execution.state()["reason"]


def test_the_site_sets_variables_and_modules_before_the_environment(folder, tmp_path):
    init = tmp_path / "modules" / "init"
    init.mkdir(parents=True)
    (init / "bash").write_text('module() { echo "$*" >>loaded; export FROM_MODULE=yes; }\n')
    job = make(
        module_init=("--force", "purge"),
        module_unload=("old",),
        modules=("site/1",),
        env=(("SITE_PATH", "/x:$LD_LIBRARY_PATH"),),
        environment=Environment(python=sys.executable, modules=("mine/2",)),
    )
    execution = Execution(folder, job)
    done = execution.run(*ARGUMENTS, MODULESHOME=str(tmp_path / "modules"), LD_LIBRARY_PATH="/y")
    assert done.returncode == 0, done.stderr
    loaded = (folder / "loaded").read_text().splitlines()
    assert loaded == ["--force purge", "unload old", "load site/1", "load mine/2"]
    assert execution.seen["env"]["SITE_PATH"] == "/x:/y"


@pytest.mark.parametrize(
    ("kept", "lost", "is_whole"),
    [("{}", "{}", True), ('{"a":"a.pickle"}', "{}", False), ("{}", '{"a":"no pickle"}', False)],
)
def test_a_kill_while_outputs_are_published_costs_no_run(folder, kept, lost, is_whole):
    execution = Execution(folder, make())
    rescue = execution.script.parent / "rescue"
    rescue.mkdir()
    index = f'{{"attempt":2,"kept":{kept},"lacking":{{}},"lost":{lost}}}'
    (rescue / "index.json").write_text(index)
    execution.behave(
        """
import signal
with open("jobs/train/state.json", "w") as state:
    state.write('{"attempt":2,"first":"before","started":"then","state":"running"}')
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert execution.run(*ARGUMENTS).returncode == 1
    state = execution.state()
    assert (state["state"], state["again"]) == ("failed", is_whole)
    assert (state["first"], state["started"]) == ("before", "then")
    assert ("publishes them without another run" in state["hint"]) is is_whole
    assert ("mem_per_node" in state["hint"]) is not is_whole


@pytest.mark.parametrize(
    ("given", "got"),
    [("60", "59 60"), ("-S 40", "40 unlimited"), ("unlimited", "unlimited unlimited")],
)
def test_a_limit_on_cpu_time_warns_before_it_kills(folder: Path, given: str, got: str) -> None:
    """The kernel sends SIGXCPU at the soft limit, and at the hard one the SIGKILL that want of memory has."""
    execution = Execution(folder, make())
    execution.behave("os.system('echo $(ulimit -S -t) $(ulimit -H -t)')")
    argv = ["bash", "-c", f'ulimit -t {given} && exec "$@"', "bash", "bash", str(execution.script)]
    done = subprocess.run(
        [*argv, *ARGUMENTS], cwd=execution.root, env=execution.environ({}), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == got, done.stderr
