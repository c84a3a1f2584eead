from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest


def _rows(example: Path, start: int, stop: int) -> dict[str, np.ndarray]:
    with h5py.File(example / "data" / "sdss_mgs.h5") as file:
        return {name: file[name][start:stop] for name in file}


def test_cutouts_do_not_depend_on_how_the_catalogue_is_cut(example: Path) -> None:
    from operations.images import RenderCutouts

    whole = RenderCutouts(size=32).execute(_rows(example, 0, 6))
    parts = [RenderCutouts(size=32).execute(_rows(example, a, b)) for a, b in ((0, 1), (1, 6))]
    for name, values in whole.items():
        if name[:1] == "@":
            continue
        assert np.array_equal(values, np.concatenate([part[name] for part in parts])), name
    assert not np.array_equal(
        whole["pixels"], RenderCutouts(size=32, seed=2).execute(_rows(example, 0, 6))["pixels"]
    )


def test_cutouts_hold_the_flux_of_the_magnitudes(example: Path) -> None:
    from operations.images import RenderCutouts, decode

    table = _rows(example, 0, 60)
    cutouts = RenderCutouts().execute(table)
    pixels = cutouts["pixels"]
    assert pixels.shape == (60, 64, 64, 5)
    assert pixels.dtype == np.uint8
    flux = decode(pixels, cutouts["@noise"]).sum((1, 2))
    error = 22.5 - 2.5 * np.log10(flux[:, 1:4]) - table["magnitudes"][:, 1:4]
    assert np.median(np.abs(error)) < 0.02
    assert abs(np.median(error)) < 0.005


def test_the_redshift_does_not_reach_the_pixels(example: Path) -> None:
    from operations.images import RenderCutouts

    table = _rows(example, 0, 2)
    pixels = RenderCutouts(size=32).execute(table)["pixels"]
    table["redshift"] = table["redshift"][::-1] * 2
    table["errors"] *= 3
    assert np.array_equal(RenderCutouts(size=32).execute(table)["pixels"], pixels)


def test_encoding_keeps_faint_light_apart_and_does_not_wrap_around() -> None:
    from operations.images import SDSS_NOISE, encode

    noise = np.array(SDSS_NOISE)
    steps = encode(np.array([[-1e9], [0.0], [0.1], [1.0], [1e9]]) * noise, SDSS_NOISE)
    assert (steps == np.array([0, 56, 58, 77, 255])[:, None]).all()


def test_the_notebook_code_of_the_readme_runs(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (example / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(example)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["cutouts"]["pixels"].shape == (8, 64, 64, 5)  # type: ignore[index]
    names["table"].close()  # type: ignore[attr-defined]
