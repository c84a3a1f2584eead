"""A table of one's own: other names, other bands, gaps, redshifts beyond; nothing in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepforge_hpc.operations.binning import Bin
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.load import Load

CSV = """\
objid,zspec,mag_g,mag_r,mag_i,note
11,0.2,20.1,19.2,18.8,
12,0.3,20.4,NaN,18.9,no r
13,,20.2,19.4,19.1,no redshift
14,1.7,21.0,20.3,19.9,beyond the bins
15,0.9,20.8,19.9,19.2,
16,-0.0003,19.8,19.1,18.9,moves towards us
"""
SURVEY: dict[str, Any] = {
    "magnitudes": ["mag_g", "mag_r", "mag_i"],
    "pixel_scale": 0.2,
    "seeing": 0.7,
    "noise": [0.01, 0.02, 0.03],
    "electrons": [3000, 2000, 1500],
    "bulge": [0.8, 1.0, 1.1],
    "colour": [0, 1],
    "red": 0.8,
    "size": 32,
}


def load(folder: Path) -> Any:
    path = folder / "own.csv"
    path.write_text(CSV)
    columns = ["objid", "zspec", "mag_g", "mag_r", "mag_i"]
    rename = {"objid": "row", "zspec": "redshift"}
    return Load(columns=columns, rename=rename, missing="drop").execute(path)[0]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    return load(tmp_path)


def _cutouts(table: Any, **changes: Any) -> Any:
    from operations.images import RenderCutouts

    return RenderCutouts(**{**SURVEY, **changes}).execute(table)


def test_gaps_and_redshifts_beyond_the_bins_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = load(tmp_path)
    said = "2 of 6 rows dropped: no value of 'redshift' in 1, 'mag_r' in 1"
    assert capsys.readouterr().err == f"dfh: {said}\n"
    with pytest.raises(OperationError, match=r"beyond the bins, 0 to 1.2, in 2 of 4 rows"):
        Bin("redshift", 1.2, 6).execute(table)
    binned, report = Bin("redshift", 1.2, 6, beyond="drop").execute(table)
    assert "in 2 of 4 rows (from -0.0003 to 1.7): dropped" in capsys.readouterr().err
    assert (report["below"], report["above"], report["rows"]) == (1, 1, 2)
    cutouts = _cutouts(binned)
    assert cutouts["row"].tolist() == [11, 15]
    assert cutouts["bin"].tolist() == [1, 4]
    assert cutouts["pixels"].shape == (2, 32, 32, 3)
    assert (cutouts["@max_redshift"], cutouts["@bins_redshift"]) == (1.2, 6)


def test_cutouts_hold_the_flux_in_the_survey_s_own_pixels(table: Any) -> None:
    from operations.images import decode

    table = {name: values.repeat(30) for name, values in table.items()}
    table["row"] = np.arange(len(table["row"]))
    for scale, size in ((0.2, 96), (0.4, 64)):
        cutouts = _cutouts(table, pixel_scale=scale, size=size)
        flux = decode(cutouts["pixels"], SURVEY["noise"]).sum((1, 2))
        error = 22.5 - 2.5 * np.log10(flux) - cutouts["magnitudes"]
        assert abs(np.median(error)) < 0.03


def _width(pixels: Any, noise: list[float]) -> float:
    """Return how wide the light of the mean image is, in pixels."""
    from operations.images import decode

    image = decode(pixels, noise).mean(axis=0)[..., 2]
    across = np.where(image > 5 * noise[2], image, 0).sum(axis=0)
    place, share = np.arange(len(across)), across / across.sum()
    return float(np.sqrt(share @ (place - share @ place) ** 2))


def test_seeing_pixels_and_noise_are_the_survey_s(table: Any) -> None:
    quiet: dict[str, Any] = {"size": 64, "noise": [0.001, 0.001, 0.001]}

    def width(**changes: Any) -> float:
        return _width(_cutouts(table, **quiet, **changes)["pixels"], quiet["noise"])

    assert width(seeing=4.0) > 1.2 * width(seeing=0.3)
    assert width(pixel_scale=0.4) < 0.7 * width(pixel_scale=0.2)
    sharp = _cutouts(table, seeing=0.3)["pixels"]
    # Pixels count in units of the noise: with more of it the same galaxy is fainter.
    loud = _cutouts(table, noise=[0.1, 0.2, 0.3])["pixels"]
    assert loud.max() < sharp.max()
    # Fewer electrons, more noise of the galaxy's own light.
    centre = (slice(None), slice(15, 17), slice(15, 17), 2)
    few = _cutouts(table, electrons=[0.5, 0.5, 0.5])["pixels"][centre].astype(float)
    many = _cutouts(table, electrons=[1e9, 1e9, 1e9])["pixels"][centre].astype(float)
    assert np.abs(few - many).mean() > 5


def test_roles_are_drawn_by_the_galaxy_where_the_table_tells_none(table: Any) -> None:
    table = {name: values.repeat(50) for name, values in table.items()}
    table["row"] = np.arange(200)
    train = _cutouts(table, size=8, test_share=0.25)["train"]
    assert 0.65 < train.mean() < 0.85
    half = {name: values[100:] for name, values in table.items()}
    assert np.array_equal(_cutouts(half, size=8, test_share=0.25)["train"], train[100:])
    own = {**table, "train": np.arange(200) % 2}
    assert np.array_equal(_cutouts(own, size=8)["train"], own["train"])


def test_the_reddening_goes_along(table: Any) -> None:
    table["ebv"] = np.array([0.1, 0.2, 0.3, 0.4])
    assert _cutouts(table, reddening="ebv")["reddening"].tolist() == pytest.approx(
        np.float32([[0.1], [0.2], [0.3], [0.4]])
    )
    assert not _cutouts(table)["reddening"].any()


@pytest.mark.parametrize(
    ("column", "values", "changes", "message"),
    [
        (
            "mag_r",
            [19.0, -99.0, 20.0, 18.0],
            {},
            "1 galaxies have a magnitude that is none, as -99",
        ),
        ("mag_r", [19.0, np.nan, 20.0, 18.0], {}, "magnitude that is none, as nan: leave them out"),
        ("row", ["a", "b", "c", "d"], {}, "row names the galaxies by whole numbers"),
        ("x", [0, 0, 0, 0], {"noise": [0.1]}, "noise has 1 values, and there are 3 bands: set the"),
        ("x", [0, 0, 0, 0], {"bulge": [1, 1, 1, 1]}, "bulge has 4 values, and there are 3 bands"),
        ("x", [0, 0, 0, 0], {"electrons": [0, 1, 1]}, "electrons must be above 0"),
        ("x", [0, 0, 0, 0], {"colour": [0, 3]}, r"colour \[0, 3\]: two bands of 0 to 2"),
        ("x", [0, 0, 0, 0], {"magnitudes": ["g"]}, "the table has no g; it has mag_g, mag_i"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    table: Any, column: str, values: list[Any], changes: dict[str, Any], message: str
) -> None:
    table[column] = np.array(values)
    with pytest.raises(ValueError, match=message):
        _cutouts(table, **changes)


def test_the_page_shows_these_attributes_and_their_units(example: Path, dfh: Any) -> None:
    shown = dfh("operations", "doc", "operations/images.py:RenderCutouts", cwd=example).stdout
    for name, unit in (("pixel_scale", "arcsec"), ("seeing", "arcsec"), ("noise", "nanomaggies")):
        assert re.search(rf"^ *{name}: .*\n.*{unit}", shown, re.MULTILINE), shown
