"""What site files cost a command: processor time of fresh processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench

ONE_S, ALL_S = 0.040, 1.0
# What every command that reads a pipeline has imported anyway.
_COMMON = (
    "import deepforge_hpc.pipeline.file, deepforge_hpc.files.project, deepforge_hpc.files.yaml12, "
    "deepforge_hpc.runtime.base.files"
)
_LOAD = """
from pathlib import Path
from deepforge_hpc.site.find import ANY, known_sites, load_site, site_folders
folders = site_folders(Path("/nowhere"), None, {})
"""
_ONE = f'{_COMMON}{_LOAD}load_site("frontier", folders)'
_ALL = f'{_COMMON}{_LOAD}for name in known_sites(folders): load_site(f"{{name}}/{{ANY}}", folders)'


def test_one_site_costs_little(
    processor_seconds: Any, judge_processor_time: Any, tmp_path: Path
) -> None:
    common, one = (
        processor_seconds((sys.executable, "-c", code), cwd=tmp_path) for code in (_COMMON, _ONE)
    )
    judge_processor_time("one site file", one - common, ONE_S)


def test_all_shipped_sites_load_in_a_second(
    processor_seconds: Any, judge_processor_time: Any, tmp_path: Path
) -> None:
    common, all_of_them = (
        processor_seconds((sys.executable, "-c", code), cwd=tmp_path, runs=3)
        for code in (_COMMON, _ALL)
    )
    judge_processor_time("all shipped sites", all_of_them - common, ALL_S)
