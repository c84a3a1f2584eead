"""The format `keras` with real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepforge_hpc.runtime.formats import FORMATS
from deepforge_hpc.runtime.formats.file import choose

# NumPy 2.1 and later warn of how a Keras variable becomes an array.
pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


def test_a_keras_model_comes_back_and_lambdas_do_not_run(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    fmt = FORMATS["keras"]
    path = fmt.save(model, tmp_path / "model")
    fmt.verify(path)
    x = np.ones((1, 2))
    assert np.allclose(fmt.load(path).predict(x, verbose=0), model.predict(x, verbose=0))
    assert choose(model) == "keras"
    evil = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda t: t + 1)])
    path = fmt.save(evil, tmp_path / "evil")
    with pytest.raises(ValueError, match="safe"):
        fmt.load(path)
