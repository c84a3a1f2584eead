"""Make sdss_mgs.h5 from the two text files of MLZ 1.2 (`mlz/test/SDSS_MGS.train` and `.test`).

    python make_sdss_mgs.py SDSS_MGS.train SDSS_MGS.test sdss_mgs.h5

Checks that the sources are the ones the shipped file was made from, and that every number of the
HDF5 file prints as the very digits of its source. The colours of the sources are differences of
the magnitudes, and their errors follow from those of the magnitudes, so both are left out.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import h5py
import numpy as np

SOURCES = {
    "train": "f16579e52e5bdafcb7afda2e98353d671cc446216b73068a16d7558ab0e09c04",
    "test": "037f4fa18d298c4d3077bea5665161e2006240413e52e51a7aa7a18509274103",
}
BANDS = "ugriz"
# The header line of the training file omits `eu`, so columns are named by position.
REDSHIFT, MAGNITUDES, ERRORS = slice(0, 1), slice(1, 6), slice(10, 15)


def read(path: Path, sha256: str) -> list[list[str]]:
    """Return the 19 columns of a source file as text; SystemExit if it is another file."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        sys.exit(f"{path}: sha256 is {found}, wanted {sha256}")
    rows = [line.split() for line in data.decode("ascii").splitlines()[1:]]
    if {len(row) for row in rows} != {19}:
        sys.exit(f"{path}: not 19 columns in every line")
    return rows


def exact(rows: list[list[str]], columns: slice) -> np.ndarray:
    """Return columns as float32; SystemExit if one does not print as the digits it came from."""
    text = [row[columns] for row in rows]
    values = np.array(text, dtype=np.float64).astype(np.float32)
    if [[f"{value:.6f}" for value in row] for row in values] != text:
        sys.exit("a value is not exact in float32")
    return values


def main(train: str, test: str, target: str) -> None:
    """Write the HDF5 file; the same bytes each time with the same h5py."""
    parts = [read(Path(train), SOURCES["train"]), read(Path(test), SOURCES["test"])]
    rows = [row for part in parts for row in part]
    columns = {
        "magnitudes": (exact(rows, MAGNITUDES), "SDSS magnitudes in u, g, r, i, z"),
        "errors": (exact(rows, ERRORS), "one-sigma errors of the magnitudes"),
        "redshift": (exact(rows, REDSHIFT)[:, 0], "spectroscopic redshift"),
        "train": (
            np.repeat([1, 0], [len(part) for part in parts]).astype(np.uint8),
            "1: training sample, 0: test sample",
        ),
        "row": (np.arange(len(rows), dtype=np.int32), "number of the galaxy in this file"),
    }
    with h5py.File(target, "w") as file:
        file.attrs["title"] = "SDSS main galaxy sample: photometry and spectroscopic redshifts"
        file.attrs["bands"] = BANDS
        file.attrs["credit"] = (
            "SDSS-III; sample of MLZ 1.2 (Carrasco Kind & Brunner 2013, MNRAS 432, 1483); "
            "University of Illinois/NCSA Open Source License"
        )
        for part, digest in SOURCES.items():
            file.attrs[f"sha256 of SDSS_MGS.{part}"] = digest
        for name, (values, description) in columns.items():
            dataset = file.create_dataset(
                name, data=values, chunks=values.shape, compression="gzip", compression_opts=9,
                shuffle=True,
            )  # fmt: skip
            dataset.attrs["description"] = description


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
