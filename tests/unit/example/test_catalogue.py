from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest


def test_the_catalogue_holds_the_survey_as_described(example: Path) -> None:
    with h5py.File(example / "data" / "sdss_mgs.h5") as file:
        assert file["magnitudes"].shape == file["errors"].shape == (10_000, 5)
        assert file["train"][:].sum() == 5_000
        assert list(file["train"][4_999:5_001]) == [1, 0]
        assert np.array_equal(file["row"][:], np.arange(10_000))
        # First line of SDSS_MGS.train and of SDSS_MGS.test, digit by digit.
        assert [f"{x:.6f}" for x in file["magnitudes"][0]] == [
            "19.655096", "18.149183", "17.298376", "16.878389", "16.562674",
        ]  # fmt: skip
        assert f"{file['redshift'][0]:.6f}" == "0.083125"
        assert f"{file['redshift'][5000]:.6f}" == "0.122743"
        assert [f"{x:.6f}" for x in file["errors"][5000]] == [
            "0.073073", "0.009366", "0.005931", "0.005708", "0.011625",
        ]  # fmt: skip
        assert 0.0019 < file["redshift"][:].min() < file["redshift"][:].max() < 0.2983


def test_the_script_refuses_another_source(example: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("#zs u g r i z\n")
    done = subprocess.run(
        [sys.executable, example / "data" / "make_sdss_mgs.py", "x", "x", "out.h5"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "sha256 is " in done.stderr
    assert not (tmp_path / "out.h5").exists()


def test_the_script_makes_the_shipped_columns(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(example / "data"))
    import make_sdss_mgs

    rows = {"train": 3, "test": 2}
    with h5py.File(example / "data" / "sdss_mgs.h5") as file:
        for part, count in rows.items():
            start = 0 if part == "train" else 5_000
            lines = ["#header"]
            for i in range(start, start + count):
                numbers = [file["redshift"][i], *file["magnitudes"][i], *[0.5] * 4]
                numbers += [*file["errors"][i], *[0.5] * 4]
                lines.append(" ".join(f"{x:.6f}" for x in numbers))
            text = "\n".join(lines) + "\n"
            (tmp_path / part).write_text(text)
            monkeypatch.setitem(
                make_sdss_mgs.SOURCES, part, hashlib.sha256(text.encode()).hexdigest()
            )
        make_sdss_mgs.main(str(tmp_path / "train"), str(tmp_path / "test"), str(tmp_path / "o.h5"))
        with h5py.File(tmp_path / "o.h5") as made:
            assert np.array_equal(made["magnitudes"][:3], file["magnitudes"][:3])
            assert np.array_equal(made["errors"][3:], file["errors"][5000:5002])
            assert list(made["train"]) == [1, 1, 1, 0, 0]
