"""The pipeline files of the example fit their operations and a cluster, without a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "redshift"


@pytest.mark.parametrize("file", sorted(path.name for path in EXAMPLE.glob("pipeline*.yaml")))
def test_a_pipeline_is_sound_and_plans_without_a_warning(file: str, dfh: Any) -> None:
    planned = dfh("plan", file, "--site", "slurm-generic", cwd=EXAMPLE)
    assert "render" in planned.stdout or "preprocess" in planned.stdout
    # What is unknown of a cluster of which nothing is known.
    unknown = (
        "whether site slurm-generic wants an account",
        "whether srun of slurm-generic starts",
    )
    for line in planned.stderr.splitlines():
        assert line.removeprefix("warning: ").startswith(unknown)
