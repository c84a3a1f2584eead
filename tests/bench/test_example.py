"""What the example costs as a chain of jobs: against its operations in one plain process, and again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.training, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "redshift"
EPOCHS = 10
ADDED = 1.3
AGAIN = 0.05

PLAIN = """\
import sys
import h5py
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.operations.binning import Bin
from deepforge_hpc.operations.train import Train
from operations.images import RenderCutouts

with h5py.File("data/sdss_mgs.h5") as file:
    table = {name: file[name][:] for name in file}
cutouts = RenderCutouts().execute(Bin("redshift", 0.4, 32).execute(table)[0])
path = "architectures/inception.yaml"
namespace = {}
exec(KerasLibrary().compile(open(path).read(), path).code, namespace)
settings = {"epochs": int(sys.argv[1]), "batch_size": 64, "learning_rate": 4.0e-3}
settings |= {"schedule": "CosineDecay", "augment": "dihedral", "target": "bin", "rows": "train"}
loss = "SparseCategoricalCrossentropy"
Train(namespace["build"](), loss, **settings).execute(cutouts)
"""
# Jobs of the site `local` outlive the command: this process inherits them, waits, and adds them up.
ADD_UP = """\
import ctypes, os, resource, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
done = subprocess.run(sys.argv[1:], stdout=sys.stderr)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
sys.exit(done.returncode)
"""


@pytest.fixture
def project(tmp_path: Path, tries: Callable[[int], int]) -> Path:
    """Return a copy of the example: with all galaxies for a verdict, else with a few of them."""
    left = shutil.ignore_patterns("executions", ".dfh", ".venv", "__pycache__")
    copy = shutil.copytree(EXAMPLE, tmp_path / "redshift", ignore=left)
    if tries(EPOCHS) == EPOCHS:
        return copy
    import h5py

    data = copy / "data" / "sdss_mgs.h5"
    with h5py.File(data) as whole:
        part = {name: whole[name][::20] for name in whole}
    data.unlink()
    with h5py.File(data, "w") as file:
        file.update(part)
    return copy


@pytest.fixture
def spent_s(project: Path, clean_environment: dict[str, str]) -> Callable[..., tuple[float, str]]:
    """Return a function that gives the processor time of a command and what it left, and its words."""

    def measure(*argv: object) -> tuple[float, str]:
        done = subprocess.run(
            [sys.executable, "-c", ADD_UP, *map(str, argv)],
            cwd=project, env=clean_environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return float(done.stdout), done.stderr

    return measure


def test_jobs_add_little_to_rendering_and_training_and_again_cost_nothing(
    spent_s: Any, judge: Any, tries: Any
) -> None:
    epochs = tries(EPOCHS)
    dfh = Path(sys.executable).with_name("dfh")
    run = (dfh, "run", "pipeline.yaml", "--site", "local", "--python", sys.executable)
    settings = ("--set", f"train.epochs={epochs}", "--until", "train")
    plain_s, _ = spent_s(sys.executable, "-c", PLAIN, epochs)
    first_s, words = spent_s(*run, *settings)
    assert "redshift-0001  succeeded" in words
    again_s, words = spent_s(*run, *settings)
    assert "redshift-0002: 1 job submitted" in words  # the final one; all else is taken over
    print(f"plain {plain_s:.1f} s, first {first_s:.1f} s, again {again_s:.1f} s")
    judge("rendering and training in 12 jobs, against one plain process", first_s / plain_s, ADDED)
    judge("the same again, against the first run", again_s / first_s, AGAIN)
