"""The example on a table of one's own, changed as its page says, and run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

ROWS, GAPS, BEYOND = 160, 9, 5
NAMES = ("objid", "zspec", "mag_g", "mag_r", "mag_i", "mag_z")


def write_table(path: Path) -> None:
    """Write galaxies whose magnitudes tell the redshift; some lack a value, some are too far."""
    rng = np.random.default_rng(4)
    redshift = rng.uniform(0.05, 1.1, ROWS)
    redshift[:BEYOND] = 1.5
    bands = 20 - 2 * redshift[:, None] * np.linspace(-1, 1, 4) + rng.normal(0, 0.05, (ROWS, 4))
    lines = [",".join((*NAMES, "remark"))]
    for row in range(ROWS):
        cells = [str(1000 + row), f"{redshift[row]:.5f}", *(f"{value:.4f}" for value in bands[row])]
        if ROWS - row <= GAPS:
            cells[1 + row % 5] = ["", "nan", "NaN"][row % 3]
        lines.append(",".join([*cells, ""]))
    path.write_text("\n".join(lines) + "\n")


def changed_as_the_page_says(project: Path) -> None:
    changes, network = re.findall(
        r"```yaml\n(.*?)```", (project / "README.md").read_text(), re.DOTALL
    )
    file = project / "pipeline.yaml"
    pipeline, changes = yaml.safe_load(file.read_text()), yaml.safe_load(changes)
    pipeline["inputs"] |= changes["inputs"]
    for name, change in changes["operations"].items():
        pipeline["operations"][name] |= change
    pipeline["operations"]["train"]["attributes"] |= {"epochs": 6, "batch_size": 16}
    file.write_text(yaml.safe_dump(pipeline, sort_keys=False))
    architecture = project / "architectures" / "inception.yaml"
    text, count = re.subn(
        r"^parameters: .*\n", network, architecture.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    architecture.write_text(text)


def test_a_table_with_other_columns_gaps_and_far_galaxies_is_learnt_and_all_is_told(
    copy_example: Callable[[Path], Path], dfh: Any, tmp_path: Path
) -> None:
    project = copy_example(tmp_path / "redshift")
    changed_as_the_page_says(project)
    write_table(project / "my_survey.csv")
    dfh(
        "run", "--site", "local", "--python", sys.executable, "--until", "evaluate",
        cwd=project, timeout=500,
    )  # fmt: skip

    jobs = project / "executions" / "redshift-0001" / "jobs"
    logs = {
        job: "".join(p.read_text() for p in (jobs / job).glob("*.log")) for job in ("load", "bin")
    }
    assert (
        f"{GAPS} of {ROWS} rows dropped: no value of 'redshift' in 1, 'mag_g' in 2" in logs["load"]
    )
    beyond = f"in {BEYOND} of {ROWS - GAPS} rows (from 1.5 to 1.5): dropped"
    assert f"'redshift' is beyond the bins, 0 to 1.2, {beyond}" in logs["bin"]
    report = json.loads((jobs / "bin" / "outputs" / "report.json").read_text())
    assert (report["above"], report["dropped"], report["rows"]) == (
        BEYOND,
        BEYOND,
        ROWS - GAPS - BEYOND,
    )

    with h5py.File(jobs / "redshifts" / "outputs" / "estimated.h5") as file:
        assert file["pdf"].shape[1] == 24
        named, true = file["row"][:], file["redshift"][:]
        assert 25 < len(named) < 65
        assert 1000 + BEYOND <= named.min() < named.max() < 1000 + ROWS - GAPS
        assert np.all((file["predicted"][:] > 0) & (file["predicted"][:] < 1.2))
    metrics = json.loads((jobs / "evaluate" / "outputs" / "metrics.json").read_text())
    assert (metrics["objects"], metrics["beyond_bins"]) == (len(true), 0)
    assert np.isfinite(metrics["crps"])
