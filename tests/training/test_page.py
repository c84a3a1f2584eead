"""The program of docs/training.md runs as it stands there, on one rank and on two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

pytestmark = [
    pytest.mark.training,
    pytest.mark.horovod,
    pytest.mark.filterwarnings("default"),
]

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def block(comment: str) -> str:
    found = re.search(rf"<!-- {comment}[^\n]*-->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_program_and_its_commands(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(block("file: train.py"))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        images = rng.normal(labels[:, None, None, None], 1.0, (200, 8, 8, 1)).astype("f4")
        file.create_dataset("images", data=images, chunks=(1, 8, 8, 1))
        file["labels"] = labels
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environ |= {
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
    }
    environ |= {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
    environ |= {"OMPI_MCA_mpi_yield_when_idle": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    said = []
    for command in block("not run: tests/training/test_page").splitlines():
        done = subprocess.run(
            command.split(), cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
        assert (tmp_path / "model.keras").is_file()
        for path in (tmp_path / "checkpoints").iterdir():
            path.unlink()
    assert said[0].startswith("loss ")
    assert len(said[0].split()) == 4
    assert said[0] == said[1]
