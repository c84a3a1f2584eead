"""A project in a temporary folder: files as texts in, a loaded pipeline or its faults out."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.pipeline.load import Loaded, Settings, load_pipeline

OPERATIONS = '''\
from __future__ import annotations
from pathlib import Path
from typing import Annotated, Literal, Optional
import numpy as np
import h5py


class Render:
    """Makes images."""

    def __init__(self, size: Annotated[int, {"min": 1, "max": 512}] = 64, shard=0, shards=1):
        self.size = size

    def execute(self, table: h5py.File) -> np.ndarray:
        images = table["x"][:]
        return images


class Train:
    def __init__(
        self,
        epochs: int,
        model=None,
        rate: float = 1e-3,
        loss: Literal["mse", "mae"] = "mse",
        note: Optional[str] = None,
        layers: list[int] = [1, 2],
        seed: int = 0,
    ):
        self.epochs = epochs

    def execute(self, images: np.ndarray) -> tuple[dict, str]:
        history, summary = {}, ""
        return history, summary


def evaluate(history: dict, threshold: float = 0.5, plot: Path | None = None):
    score = 1.0
    return {"score": score}
'''

PIPELINE = """\
pipeline: galaxies
inputs:
  catalogue: {uri: data/sdss.h5}
operations:
  render:
    uses: operations/all.py:Render
    inputs: {table: catalogue}
  train:
    uses: operations/all.py:Train
    inputs: {images: render.images}
    attributes: {epochs: 3}
  evaluate:
    uses: operations/all.py:evaluate
    inputs: {history: train.history}
outputs:
  score: {from: evaluate.score}
  summary: {from: train.summary, to: results/summary.txt}
"""


class ProjectFolder:
    """A project that a test writes and loads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("data/sdss.h5", "not really HDF5, and nobody looks")
        self.write("operations/all.py", OPERATIONS)
        self.write("pipeline.yaml", PIPELINE)

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file of the project."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(dedent(text), encoding="utf-8")
        return target

    def edit(self, old: str, new: str) -> None:
        """Replace a text in the pipeline's file, which must be there once."""
        text = (self.root / "pipeline.yaml").read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        self.write("pipeline.yaml", text.replace(old, new))

    def load(self, site: str | None = "local", **settings: object) -> Loaded:
        """Load the pipeline."""
        return load_pipeline(
            self.root / "pipeline.yaml",
            site=site,
            settings=Settings(**settings),  # type: ignore[arg-type]
        )

    def faults(self, site: str | None = None, **settings: object) -> list[Fault]:
        """Load the pipeline, which must be refused, and return why."""
        with pytest.raises(InvalidInputError) as caught:
            self.load(site, **settings)
        return list(caught.value.faults)

    def one_fault(self, site: str | None = None, **settings: object) -> str:
        """Return the only fault as a person reads it, its file without the folder."""
        faults = self.faults(site, **settings)
        assert len(faults) == 1, "\n".join(map(str, faults))
        return self.words(faults[0])

    def words(self, fault: Fault) -> str:
        """Return a fault without the name of the temporary folder."""
        return str(fault).replace(f"{self.root}/", "")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """Return a small valid project, which is also the working directory."""
    monkeypatch.chdir(tmp_path)
    return ProjectFolder(tmp_path)
