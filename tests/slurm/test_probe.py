"""`dfh site probe` and `diff` on a real cluster: the draft submits a job as it is."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm


def test_a_draft_submits_a_working_job_unchanged(
    slurm_cluster: Any, dfh: Any, project: Path
) -> None:
    file = project / "site-configs" / "here.yaml"
    dfh("site", "probe", "-o", file, cwd=project)
    text = file.read_text(encoding="utf-8")
    assert "filesystems: unknown" in text
    done = dfh("run", "--site", "here", "--interval", "0.3", cwd=project)
    assert "2/2 operations done" in done.stdout
    sacct = ("sacct", "-n", "-P", "-X", "-E", "2099-01-01", "-o", "Partition")
    slurm_cluster.wait_for(lambda partitions: "cpu" in partitions.split(), *sacct)


def test_a_draft_agrees_with_its_machine_until_one_of_them_changes(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    file = tmp_path / "here.yaml"
    dfh("site", "probe", "-o", file, cwd=tmp_path)
    assert dfh("site", "diff", file, cwd=tmp_path).stdout.endswith("no difference\n")
    slurm_cluster.run("scontrol", "update", "PartitionName=gpu", "MaxTime=01:00:00")
    try:
        done = dfh("site", "diff", file, "--json", cwd=tmp_path, expect=8)
    finally:
        slurm_cluster.run("scontrol", "update", "PartitionName=gpu", "MaxTime=02:00:00")
    (difference,) = json.loads(done.stdout)["differences"]
    assert difference == {
        "key": "queues.gpu.time.max",
        "file": "02:00:00",
        "machine": "01:00:00",
    }


def test_the_largest_array_of_a_draft_is_the_largest_that_slurm_takes(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    site = json.loads(dfh("site", "show", "lab", "--json", cwd=tmp_path).stdout)["site"]
    most = site["submit"]["max_array_tasks"]
    # As ours: the first task is 0.
    queued = ("sbatch", "--parsable", "--hold", "--wrap", "true", "--output", "/dev/null")
    job = slurm_cluster.run(*queued, f"--array=0-{most - 1}").strip()
    slurm_cluster.run("scancel", job)
    assert slurm_cluster.run(*queued, f"--array=0-{most}", check=False) == ""  # refused


def test_a_limit_of_all_jobs_of_a_user_is_drafted_and_is_drift_where_it_is_new(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.yaml", tmp_path / "after.yaml"
    dfh("site", "probe", "-o", before, cwd=tmp_path)
    limit = ("sacctmgr", "-i", "modify", "qos", "tiny", "set")
    slurm_cluster.run(*limit, "MaxTRESPerUser=node=2", "MaxJobsPerAccount=4")
    try:
        done = dfh("site", "diff", before, cwd=tmp_path, expect=8)
        dfh("site", "probe", "-o", after, cwd=tmp_path)
        agrees = dfh("site", "diff", after, cwd=tmp_path)
    finally:
        slurm_cluster.run(*limit, "MaxTRESPerUser=node=-1", "MaxJobsPerAccount=-1")
    assert done.stdout.splitlines()[1].split() == ["queues.cpu-tiny.at_once.nodes.max", "-", "2"]
    assert "nodes: {max: 2, scope: user}" in after.read_text(encoding="utf-8")
    assert "no difference" in agrees.stdout


def test_the_shipped_file_of_the_cluster_has_not_drifted(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    assert "no difference" in dfh("site", "diff", "lab", cwd=tmp_path).stdout


def test_a_draft_beside_the_shipped_file_is_an_ambiguity_that_is_told(
    slurm_cluster: Any, dfh: Any, project: Path
) -> None:
    assert dfh("site", "detect", cwd=project).stdout == "lab\n"
    dfh("site", "probe", "-o", project / "site-configs" / "here.yaml", cwd=project)
    done = dfh("site", "detect", cwd=project, expect=4)
    assert "more than one site" in done.stderr
    assert "--site here or --site lab" in done.stderr


def test_a_machine_that_no_file_knows_is_probed(
    slurm_cluster: Any, dfh: Any, project: Path, follow: Any
) -> None:
    (project / "site-configs").mkdir()
    other = "{site: lab, scheduler: slurm, identify: [{cluster_name: another}]}"
    (project / "site-configs" / "lab.yaml").write_text(other)
    refused = dfh("site", "detect", cwd=project, expect=4)
    drafted = follow("api/site.py _undecided: dfh site", refused, cwd=project)
    assert "cluster_name: lab" in drafted.stdout


def test_a_controller_that_is_down_is_told(slurm_cluster: Any, dfh: Any, tmp_path: Path) -> None:
    conf = Path(slurm_cluster.environ["SLURM_CONF"]).read_text(encoding="utf-8")
    port = re.search(r"(?m)^SlurmctldPort=(\d+)", conf)
    assert port is not None
    closed = conf.replace(port[0], "SlurmctldPort=1").replace(
        "MessageTimeout=10", "MessageTimeout=1"
    )
    (tmp_path / "slurm.conf").write_text(closed, encoding="utf-8")
    env = {"SLURM_CONF": str(tmp_path / "slurm.conf")}
    for argv in (("probe",), ("diff", "lab")):
        done = dfh("site", *argv, cwd=tmp_path, env=env, expect=5)
        assert "no Slurm answers here" in done.stderr
    done = dfh("doctor", "--site", "lab", cwd=tmp_path, env=env, expect=5)
    assert "ERROR  controller" in done.stdout
    assert done.stdout.count("Unable to contact slurm controller") == 1


def test_a_file_that_is_there_is_not_replaced(slurm_cluster: Any, dfh: Any, tmp_path: Path) -> None:
    file = tmp_path / "here.yaml"
    file.write_text("mine\n", encoding="utf-8")
    done = dfh("site", "probe", "-o", file, cwd=tmp_path, expect=2)
    assert "is there already" in done.stderr
    assert file.read_text(encoding="utf-8") == "mine\n"
    dfh("site", "probe", "-o", file, "--force", cwd=tmp_path)
    assert "site: here" in file.read_text(encoding="utf-8")


def test_a_job_on_each_kind_of_node_is_sent_after_a_yes(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    refused = dfh("site", "probe", "--submit", cwd=tmp_path, expect=1)
    assert "gpu-fake in partition gpu" in refused.stderr
    assert "dfh-probe" not in slurm_cluster.run("sacct", "-n", "-X", "-o", "JobName%30")
    done = dfh("site", "probe", "--submit", "--yes", "--name", "x", cwd=tmp_path)
    sacct = ("sacct", "-n", "-X", "-E", "2099-01-01", "-o", "JobName%30")
    expected = {"dfh-probe-gpu-fake", "dfh-probe-cpu-8"}
    slurm_cluster.wait_for(
        lambda names: expected <= {name.partition(".")[0] for name in names.split()}, *sacct
    )
    assert "probe: a job on cpu-8" in done.stdout
    assert "ran on another kind" not in done.stderr
    argv = ("site", "probe", "--submit", "--yes", "--name", "x", "--account", "nobody")
    assert (
        "the job on cpu-8 was refused: sbatch: Invalid account" in dfh(*argv, cwd=tmp_path).stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_is_left_or_waits_too_long_leaves_no_job(
    slurm_cluster: Any, dfh: Any, tmp_path: Path
) -> None:
    slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=DRAIN", "Reason=test")
    jobs = ("squeue", "-h", "-o", "%j")
    try:
        argv = ("site", "probe", "--submit", "--yes", "--name", "x")
        done = dfh(*argv, "--timeout", "2", cwd=tmp_path)
        assert "the job on cpu-8 did not end in time" in done.stderr
        slurm_cluster.wait_for(lambda names: not names, *jobs)
        process = dfh.start(*argv, cwd=tmp_path)
        slurm_cluster.wait_for(lambda names: names.count("dfh-probe") == 2, *jobs)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        slurm_cluster.wait_for(lambda names: not names, *jobs)
    finally:
        slurm_cluster.run("scontrol", "update", "NodeName=n[1-4]", "State=RESUME")
    assert list(tmp_path.iterdir()) == []
