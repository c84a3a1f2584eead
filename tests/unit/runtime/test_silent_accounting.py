"""The final job's question where accounting says nothing, with real programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepforge_hpc.runtime.schedulers import sacct


@pytest.mark.parametrize(
    ("says", "has_accounting"),
    [("Slurm accounting storage is disabled", True), ("sacct: error: DBD is down", False)],
)
def test_what_is_not_there_is_told_from_what_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, has_accounting: bool
) -> None:
    for name, words in (("squeue", "slurm_load_jobs error: Invalid job id"), ("sacct", says)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    monkeypatch.setattr(sacct, "_LAG_S", 0.0)
    told = sacct.query({"7"})
    assert (told.jobs, told.has_accounting) == ({}, has_accounting)
