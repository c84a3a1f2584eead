"""`dfh doctor` on a real cluster: what it finds, and what it proves."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm


@pytest.fixture
def here(slurm_cluster: Any, dfh: Any, project: Path) -> Path:
    """Return the site file that was drafted into the project."""
    file = project / "site-configs" / "here.yaml"
    dfh("site", "probe", "-o", file, cwd=project)
    return file


@pytest.fixture
def without(dfh: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Return a function that gives `dfh` on a login node where a command of Slurm refuses to run."""

    def refuse(name: str) -> Any:
        program = tmp_path / "bin" / name
        program.parent.mkdir()
        program.write_text(f"#!/bin/bash\necho '{name}: not on a login node' >&2\nexit 1\n")
        program.chmod(0o755)
        path = f"{program.parent}:{os.environ['PATH']}"
        return replace(dfh, environ={**dfh.environ, "PATH": path})

    return refuse


def test_a_good_site_is_proved_and_nothing_stays_behind(
    slurm_cluster: Any, without: Callable[[str], Any], project: Path, follow: Any
) -> None:
    file = project / "site-configs" / "here.yaml"
    user = without("srun")
    drafted = user("site", "probe", "-o", file, cwd=project)
    before = sorted(path.name for path in project.iterdir())
    step = "api/target.py proof_command: dfh doctor"
    done = follow(step, drafted.stderr, cwd=project, by=user)
    assert "ERROR" not in done.stdout
    assert "two jobs ran one after the other, the second on two ranks (launch: mpi)" in done.stdout
    assert sorted(path.name for path in project.iterdir()) == before


def test_ctrl_c_leaves_no_job_behind(
    slurm_cluster: Any, dfh: Any, project: Path, here: Path
) -> None:
    jobs = ("squeue", "-h", "-o", "%j")
    slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=DRAIN", "Reason=test")
    try:
        process = dfh.start("doctor", "--site", "here", "--submit", "--yes", cwd=project)
        slurm_cluster.wait_for(lambda names: "second" in names, *jobs)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        slurm_cluster.wait_for(lambda names: not names, *jobs)
    finally:
        slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=RESUME")


INTERRUPTED = """
import sys
from deepforge_hpc.api import proof
from deepforge_hpc.cli.main import main

def interrupted(*args):
    raise KeyboardInterrupt

proof.find_execution = interrupted
del sys.argv[0]
sys.exit(main())
"""


def test_ctrl_c_just_after_the_queueing_leaves_no_job_behind(
    slurm_cluster: Any, dfh: Any, project: Path, here: Path
) -> None:
    user = replace(dfh, words=(sys.executable, "-c", INTERRUPTED))
    slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=DRAIN", "Reason=test")
    try:
        user("doctor", "--site", "here", "--submit", "--yes", cwd=project, expect=130)
        assert next(project.glob("dfh-doctor-*/executions/*/execution.json"))  # they were queued
        slurm_cluster.wait_for(lambda names: not names, "squeue", "-h", "-o", "%j")
    finally:
        slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=RESUME")


def test_a_launcher_that_starts_no_ranks_is_found_by_the_proof(
    dfh: Any, project: Path, here: Path
) -> None:
    # srun without a plugin for MPI starts ranks, env starts one process that is no rank of two.
    text = here.read_text(encoding="utf-8")
    start = text.index("  mpi:\n    argv:")
    end = text.index("  horovod:")
    here.write_text(f"{text[:start]}  mpi: {{argv: [env]}}\n{text[end:]}", encoding="utf-8")
    argv = ("doctor", "--site", "here", "--submit", "--yes", "--json")
    done = dfh(*argv, cwd=project, expect=5, timeout=200)
    proof = json.loads(done.stdout)["findings"][-1]
    assert (proof["kind"], proof["level"]) == ("proof", "error")
    assert "second failed" in proof["text"]


def test_a_pipeline_is_checked_from_anywhere_or_told_to_be_missing(
    dfh: Any, project: Path, here: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = dfh("doctor", project / "pipeline.yaml", "--site", "here", cwd=elsewhere)
    assert "3 jobs fit on here" in done.stdout
    assert "no job starts its ranks by one" in done.stdout
    missing = dfh("doctor", "none.yaml", "--site", "here", cwd=project, expect=2)
    assert "none.yaml: there is no such file" in missing.stderr


def test_it_says_where_the_proof_broke(
    without: Callable[[str], Any], project: Path, here: Path, follow: Any
) -> None:
    text = here.read_text(encoding="utf-8")
    assert "modules: {init: unknown}" in text
    broken = text.replace("modules: {init: unknown}", "modules: {load: [no-such/1.0]}")
    here.write_text(broken, encoding="utf-8")
    (project / "pipeline.yaml").unlink()  # it starts no ranks: then no launcher is looked at
    user = without("srun")
    looked = user("doctor", "--site", "here", cwd=project)
    step = "api/target.py proof_command: dfh doctor"
    done = follow(step, looked, cwd=project, by=user, expect=5)
    assert "ERROR  proof             it broke: first failed" in done.stdout
    logs = follow("api/proof.py _follow: dfh logs", done, cwd=project)
    assert "no command 'module'" in logs.stdout


def test_what_does_not_fit_the_machine_is_looked_up(
    dfh: Any, project: Path, slurm_cluster: Any, follow: Any
) -> None:
    file = project / "drafts" / "here.yaml"
    file.parent.mkdir()
    drafted = dfh("site", "probe", "-o", file, cwd=project)
    looked = follow("cli/commands/site_probe.py probe: dfh doctor", drafted, cwd=project)
    assert "3 jobs fit on here" in looked.stdout
    text = file.read_text(encoding="utf-8")
    step = "probe/write.py : dfh site"
    fill = {"FILE": str(file)}
    assert "no difference" in follow(step, text, cwd=project, verb="site diff", fill=fill).stdout
    text = text.replace("partition: gpu\n", "partition: gone\n")
    file.write_text(text.replace("qos: short\n", "qos: left\n"), encoding="utf-8")
    looked = dfh("doctor", "--site", file, cwd=project, expect=5)
    assert "no partition gone" in looked.stdout
    assert "no QOS left" in looked.stdout
    differ = follow("doctor/cluster.py _queue: dfh site", looked, cwd=project, expect=8).stdout
    assert "gone" in differ
    assert "left" in differ
    (project / "old.yaml").write_text("site: old\nextends: lab\nidentify: [{cluster_name: old}]\n")
    elsewhere = dfh("doctor", "--site", "old.yaml", cwd=project, expect=5)
    here = follow("doctor/cluster.py check_controller: dfh site", elsewhere, cwd=project)
    assert here.stdout == "lab\n"


def test_an_account_that_slurm_does_not_show_is_tried(
    without: Callable[[str], Any], project: Path, here: Path, follow: Any
) -> None:
    user = without("sacctmgr")
    looked = user("doctor", "--site", "here", "--account", "other", cwd=project)
    step = "api/target.py proof_command: dfh doctor"
    tried = follow(step, looked, cwd=project, by=user, expect=5)
    told = tried.stdout.partition("the jobs were refused: ")[2]
    assert "Invalid account" in told
    assert "doctor-0001 removes" not in told  # it is gone already


def test_a_file_that_has_drifted_is_an_error_before_anything_is_submitted(
    slurm_cluster: Any, dfh: Any, project: Path, here: Path
) -> None:
    text = here.read_text(encoding="utf-8").replace("partition: gpu\n", "partition: gone\n")
    here.write_text(text.replace("argv: [srun, ", "argv: [srun, --mpi=nothing, "), encoding="utf-8")
    (project / "pipeline.yaml").unlink()  # it starts no ranks: then no launcher is looked at
    argv = ("doctor", "--site", "here", "--account", "stranger", "--submit", "--yes", "--json")
    done = dfh(*argv, cwd=project, expect=5)
    found = json.loads(done.stdout)["findings"]
    errors = {item["kind"]: item for item in found if item["level"] == "error"}
    assert set(errors) == {"account", "queues", "launchers"}
    assert "no partition gone" in errors["queues"]["text"]
    assert all(item["next"] for item in errors.values())
    assert "Nothing was submitted" in done.stderr
    assert not list(project.glob("dfh-doctor-*"))
