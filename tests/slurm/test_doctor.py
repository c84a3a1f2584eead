"""`dfh doctor` on a real cluster: what it finds, and what it proves."""

from __future__ import annotations

import json
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


def test_a_good_site_is_proved_and_nothing_stays_behind(
    dfh: Any, project: Path, here: Path
) -> None:
    before = sorted(path.name for path in project.iterdir())
    done = dfh("doctor", "--site", "here", "--submit", "--yes", cwd=project, timeout=200)
    assert "ERROR" not in done.stdout
    assert "two jobs ran one after the other on here" in done.stdout
    assert sorted(path.name for path in project.iterdir()) == before


def test_it_says_where_the_proof_broke(dfh: Any, project: Path, here: Path) -> None:
    text = here.read_text(encoding="utf-8")
    assert "modules: {init: unknown}" in text
    broken = text.replace("modules: {init: unknown}", "modules: {load: [no-such/1.0]}")
    here.write_text(broken, encoding="utf-8")
    argv = ("doctor", "--site", "here", "--submit", "--yes", "--json")
    done = dfh(*argv, cwd=project, expect=5, timeout=200)
    proof = json.loads(done.stdout)["findings"][-1]
    assert (proof["check"], proof["level"]) == ("proof", "ERROR")
    assert "first failed" in proof["message"]
    assert "dfh logs" in proof["next"]


def test_a_file_that_has_drifted_is_an_error_before_anything_is_submitted(
    slurm_cluster: Any, dfh: Any, project: Path, here: Path
) -> None:
    text = here.read_text(encoding="utf-8").replace("partition: gpu\n", "partition: gone\n")
    here.write_text(text.replace("--mpi=pmix", "--mpi=nothing"), encoding="utf-8")
    argv = ("doctor", "--site", "here", "--account", "stranger", "--submit", "--yes", "--json")
    done = dfh(*argv, cwd=project, expect=5)
    found = json.loads(done.stdout)["findings"]
    errors = {item["check"]: item for item in found if item["level"] == "ERROR"}
    assert set(errors) == {"account", "queues", "launchers"}
    assert "no partition gone" in errors["queues"]["message"]
    assert all(item["next"] for item in errors.values())
    assert "Nothing was submitted" in done.stderr
    assert not list(project.glob("dfh-doctor-*"))
