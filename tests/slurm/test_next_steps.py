"""What dfh says to do after Slurm has refused a submission, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm
SITE = """\
site: there
extends: slurm-generic
defaults: {time: 5m}
queues: [{name: q, partition: cpu, qos: %s, time: {max: 12h}}]
"""
HELD = ("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true")


@pytest.fixture
def refused(slurm_cluster: Any, dfh: Any, project: Path) -> Any:
    """Return a function that submits to a QOS, which is refused."""

    def submit(qos: str) -> Any:
        file = project / "site-configs" / "there.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(SITE % qos)
        return dfh("submit", "--site", "there", cwd=project, expect=5)

    return submit


def test_a_limit_on_jobs_and_what_no_wait_helps(
    slurm_cluster: Any, dfh: Any, project: Path, refused: Any, follow: Any
) -> None:
    mine = slurm_cluster.run(
        *HELD, "--qos=tiny"
    ).strip()  # three jobs may be there, and ours are three
    full = refused("tiny")
    slurm_cluster.run("scancel", mine)
    follow("submit/submitter.py Submitter._way_on: dfh resume", full, cwd=project)
    done = dfh("status", "--watch", "--interval", "0.3", cwd=project)
    assert "small-0001  succeeded" in done.stdout
    unknown = refused("nosuch")
    step = "submit/submitter.py Submitter._way_on: dfh executions"
    assert follow(step, unknown, cwd=project).stdout == "removed small-0002\n"
    assert [path.name for path in (project / "executions").glob("small-*")] == ["small-0001"]


def test_a_job_that_asks_for_more_than_its_qos_allows(
    slurm_cluster: Any, dfh: Any, project: Path, follow: Any
) -> None:
    file = project / "site-configs" / "there.yaml"
    file.parent.mkdir()
    file.write_text((SITE % "short").replace("5m", "11h"))
    dfh("submit", "--site", "there", cwd=project)
    watched = dfh("status", "--watch", "--interval", "0.3", cwd=project, expect=9)
    assert "It will not start: it asks for more walltime than the QOS allows." in watched.stdout
    step = "submit/inspect.py _next: dfh cancel #2"
    follow(step, watched, cwd=project, verb="cancel")
    file.write_text(SITE % "short")
    follow(step, watched, cwd=project, verb="submit")
    done = dfh("status", "--watch", "--interval", "0.3", cwd=project)
    assert "small-0002  succeeded" in done.stdout


def test_a_log_that_cannot_be_opened(
    slurm_cluster: Any, dfh: Any, project: Path, follow: Any
) -> None:
    queue = ("scontrol", "update", "PartitionName=cpu")
    folder = project / "executions" / "small-0001" / "jobs" / "count"
    slurm_cluster.run(*queue, "State=DOWN")
    try:
        dfh("submit", "--site", "lab", cwd=project)
        away = folder.rename(folder.with_name("away"))
        folder.symlink_to("nowhere")  # Slurm makes a folder that is missing since 23.02
    finally:
        slurm_cluster.run(*queue, "State=UP")
    dfh("status", "--watch", "--interval", "0.3", cwd=project, expect=9)
    told = dfh("status", cwd=project)
    assert "could not be opened on its node" in told.stdout
    assert "exit code 0:53" in told.stdout
    assert "next    dfh resume small-0001\n" in told.stdout  # there is no log to be read first
    folder.unlink()
    away.rename(folder)
    follow("runtime/state/judge.py _resume: dfh resume", told, cwd=project)
    done = dfh("status", "--watch", "--interval", "0.3", cwd=project)
    assert "small-0001  succeeded" in done.stdout
