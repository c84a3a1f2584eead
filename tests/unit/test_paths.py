"""Which folder is a project's root, by whose it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc import paths

ME, OTHER = 1000, 1001


@pytest.mark.parametrize(
    ("owners", "trusted", "root", "refused"),
    [
        ({}, "", "top", ""),
        ({"top": OTHER, "top/.dfh": OTHER}, "", "top/mid/start", "top/.dfh"),
        ({"top": OTHER}, "", "top/mid/start", "top/.dfh"),  # who may replace what lies there
        ({"top/.dfh": OTHER}, "", "top/mid/start", "top/.dfh"),  # as where all may write
        ({"top/mid": OTHER}, "", "top/mid/start", ""),
        ({"top": 0, "top/.dfh": 0}, "", "top", ""),
        ({"top": OTHER, "top/.dfh": OTHER, "top/mid/start": OTHER}, "", "top", ""),
        ({"top": OTHER, "top/.dfh": OTHER}, "top", "top", ""),
        ({"top": OTHER, "top/.dfh": OTHER}, "to", "top/mid/start", "top/.dfh"),
    ],
)
def test_a_project_is_taken_from_above_unless_it_is_another_users(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: dict[str, int],
    trusted: str,
    root: str,
    refused: str,
) -> None:
    (tmp_path / "top/mid/start").mkdir(parents=True)
    (tmp_path / "top/.dfh").mkdir()
    of = {tmp_path / name: owner for name, owner in owners.items()}
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(paths, "_owners", lambda path: {of.get(path, ME)})
    trust = [str(tmp_path / trusted)] if trusted else []
    found = paths.project_root(tmp_path / "top/mid/start", trust)
    assert found == (tmp_path / root, tmp_path / refused if refused else None)
