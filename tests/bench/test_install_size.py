"""How much a plain `pip install deepforge-hpc` brings: at most 10 packages and 25 MiB."""

from __future__ import annotations

import subprocess
from typing import Any


def test_core_install_is_small(installed: Any, record_property: Any) -> None:
    packages = sorted(path.name for path in installed.packages.glob("*.dist-info"))
    used = subprocess.run(
        ["du", "-sk", str(installed.packages)], check=True, capture_output=True, text=True
    )
    mebibytes = int(used.stdout.split()[0]) / 1024
    record_property("packages", len(packages))
    record_property("MiB", round(mebibytes, 1))
    print(f"{len(packages)} packages (at most 10), {mebibytes:.1f} MiB (at most 25)")
    assert len(packages) <= 10, packages
    assert mebibytes <= 25
