"""What it costs to let Keras build a network on trial, against importing Keras in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.training]

PASQUET = Path(__file__).parents[2] / "examples" / "redshift" / "architectures" / "pasquet.yaml"
CHECK = (sys.executable, "-m", "deepforge_hpc.cli.main", "arch", "check")
BARE_S = 0.009
"""`python -c pass` where the limits below were set; they are judged in units of it."""
_MEASURE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


@pytest.fixture
def measured(clean_environment: dict[str, str], tmp_path: Path, tries: Any) -> Any:
    """Return a function that gives processor seconds and peak MiB of a command and what it starts."""
    fresh = iter(range(100))

    def once(argv: tuple[object, ...], cache: Path) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, *map(str, argv)],
            cwd=tmp_path,
            env={
                **clean_environment,
                "XDG_CACHE_HOME": str(cache),
                "KERAS_BACKEND": "tensorflow",
            },
            check=True,
            capture_output=True,
            text=True,
        )
        found: list[float] = json.loads(done.stdout)
        return found

    return lambda *argv: min(once(argv, tmp_path / f"cache{next(fresh)}") for _ in range(tries(3)))


def test_the_first_look_costs_little_more_than_the_import_and_the_second_nothing(
    measured: Any,
    processor_seconds: Any,
    clean_environment: dict[str, str],
    bare_python_s: float,
    judge: Any,
    tries: Any,
    tmp_path: Path,
) -> None:
    unit = bare_python_s / BARE_S
    first_s, peak_mib = measured(*CHECK, PASQUET)
    judge("peak memory, MiB", peak_mib, 1024)
    kept = {"XDG_CACHE_HOME": str(tmp_path / "cache0"), "KERAS_BACKEND": "tensorflow"}
    again_s = processor_seconds((*CHECK, PASQUET), cwd=tmp_path, env={**clean_environment, **kept})
    judge("second look, s", again_s / unit, 0.15)
    if tries(2) == 1:  # what follows is a comparison, and tells nothing that is not judged
        return

    imported_s, _ = measured(sys.executable, "-c", "import keras")
    layers = "".join(
        f"  - l{i}: {'{LayerNormalization: {}}' if i % 4 else '{Dense: {units: 64}}'}\n"
        for i in range(1000)
    )
    deep = tmp_path / "deep.yaml"
    deep.write_text(f"library: keras\narchitecture: deep\ninputs: {{x: [64]}}\nlayers:\n{layers}")
    deep_s, _ = measured(*CHECK, deep)
    print(f"import {imported_s:.2f} s, pasquet {first_s:.2f} s, 1,000 layers {deep_s:.2f} s")
    judge("first look, beyond the import, s", (first_s - imported_s) / unit, 1.0)
    judge("1,000 layers, beyond the import, s", (deep_s - imported_s) / unit, 5.0)
