"""The redshift pipeline on a real cluster: the file of the demo, by one word more on two ranks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

pytestmark = [pytest.mark.training, pytest.mark.horovod, pytest.mark.timeout(900)]

TRAINING, TEST = 1_500, 300
"""Galaxies: enough to tell that both ranks learn, for a cluster that is one small machine."""


@pytest.fixture
def redshift(copy_example: Callable[[Path], Path], tmp_path: Path) -> Path:
    """Return a copy of the example with a part of its galaxies."""
    project = copy_example(tmp_path / "redshift")
    data = project / "data" / "sdss_mgs.h5"
    rows = [*range(TRAINING), *range(5_000, 5_000 + TEST)]
    with h5py.File(data) as whole:
        part = {name: whole[name][:][rows] for name in whole}
    data.unlink()
    with h5py.File(data, "w") as file:
        file.update(part)
    with (project / "pipeline.yaml").open("a") as pipeline:
        # Both ranks and what else is tested share two cores: who waits for the other lets it run.
        pipeline.write('env: {OMPI_MCA_mpi_yield_when_idle: "1"}\n')
    return project


def test_two_ranks_train_by_horovod_and_every_result_verifies(
    slurm_cluster: Any, dfh: Any, redshift: Path
) -> None:
    run = ("run", "--site", "slurm-generic", "--python", sys.executable, "--interval", "1")
    done = dfh(*run, "--set", "train.epochs=6", cwd=redshift, timeout=800)
    assert "redshift-0001  succeeded  13/13 operations done" in done.stdout, done.stdout

    jobs = redshift / "executions" / "redshift-0001" / "jobs"
    assert sorted(path.name for path in jobs.glob("train/out.1*.log")) == [
        "out.1.log", "out.1.rank-00000.log", "out.1.rank-00001.log",
    ]  # fmt: skip
    metrics = json.loads((jobs / "evaluate" / "outputs" / "metrics.json").read_text())
    assert metrics["objects"] == TEST
    # The mean redshift for all has 0.047.
    assert metrics["sigma_mad"] < 0.036

    shown = dfh("prov", "show", jobs / "train", "--json", cwd=redshift)
    (record,) = json.loads(shown.stdout)["records"]
    assert (record["world_size"], record["scheduler"]["name"]) == (2, "slurm")
    verified = dfh("prov", "verify", "redshift-0001", cwd=redshift)
    assert verified.stdout.startswith("sound: ")
