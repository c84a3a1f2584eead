"""Where TensorFlow is missing, Keras runs on what is there; what was said stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deepforge_hpc.training import backend


@pytest.mark.parametrize(
    ("there", "environ", "settings", "chosen"),
    [
        ("jax torch", {}, "", "jax"),
        ("torch", {}, "", "torch"),
        ("jax torch", {"DFH_WORLD_SIZE": "2"}, "", "torch"),
        ("jax", {"DFH_WORLD_SIZE": "2"}, "", "jax"),
        ("tensorflow jax", {}, "", ""),
        ("jax", {"KERAS_BACKEND": "tensorflow"}, "", "tensorflow"),  # its own error tells
        ("jax torch", {}, '{"backend": "torch"}', ""),
        ("torch", {}, '{"backend": "tensorflow"}', "torch"),  # Keras writes that by itself
        ("torch", {}, '{"backend": "numpy"}', ""),
        ("torch", {}, "[", "torch"),
        ("", {}, "", ""),
    ],
)
def test_a_backend_is_chosen_among_those_that_are_there(
    there: str, environ: dict[str, str], settings: str, chosen: str, tmp_path: Path
) -> None:
    for name in there.split():
        (tmp_path / f"{name}.py").touch()
    if settings:
        (tmp_path / "keras.json").write_text(settings)
    code = (
        Path(backend.__file__).read_text()
        + "\nchoose()\nprint(os.environ.get('KERAS_BACKEND', ''))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        env={"KERAS_HOME": str(tmp_path), **environ}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == chosen
