"""Files of other programs as tables, and tables as files for other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.operations import files
from deepforge_hpc.operations.errors import OperationError, tell
from deepforge_hpc.operations.fields import unknown, without_gaps
from deepforge_hpc.operations.tables import (
    by_rows,
    column,
    columns,
    held,
    read,
    refuse_names,
    rewrite,
    row_count,
)

if TYPE_CHECKING:
    import h5py


class Load:
    """Reads a file of another program as a table.

    CSV has a header; its columns become whole numbers, floating point numbers or text, whichever
    fits all. No number is rounded or lost without a word; `007` and `1_000` are text. A field that
    is empty, `nan`, `NaN`, `NA`, `N/A` or `null` has no value: among numbers it is NaN, and whole
    numbers are floating point then. In a CSV of one column a blank line is an empty field. Parquet
    wants pyarrow, HDF5 h5py. Of a `.npy` the fields of a structured array are the columns, any
    other array is one column, `values`.

    Args:
        source: the file, or what the pipeline has already read from it (`npz`, `npy`, `hdf5`).
        format: what it is, where the ending does not say.
        columns: which to read; all by default.
        rename: `{name in the file: name in the table}`.
        missing: rows in which a number or a text has no value: `keep`, `drop`, or `refuse` the
            file. What was dropped is told in the log, and `row` says where each row was, unless the
            table has one.
        delimiter: of a CSV.
        table: the columns.
        report: rows that there are, and rows that were dropped.

    Source: RFC 4180 (CSV); https://parquet.apache.org; numpy.lib.format (npy, npz).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("id,z\\n1,0.5\\n2,\\n")
    >>> table, report = Load(missing="drop").execute(folder / "a.csv")
    >>> table["z"].tolist(), report
    ([0.5], {'rows': 1, 'dropped': 1, 'columns': ['id', 'z']})
    """

    def __init__(
        self,
        format: Literal["", "csv", "npz", "npy", "parquet", "hdf5"] = "",  # noqa: A002
        columns: list[str] | None = None,
        rename: dict[str, str] | None = None,
        missing: Literal["keep", "drop", "refuse"] = "keep",
        delimiter: str = ",",
    ):
        rename = rename or {}
        if len(delimiter) != 1:
            raise OperationError(f"delimiter: {delimiter!r} is not one character")
        if len(set(rename.values())) < len(rename):
            raise OperationError(f"rename: two columns would have one name: {rename}")
        if columns and set(rename) - set(columns):
            raise OperationError(
                f"rename: {sorted(set(rename) - set(columns))} is not among columns"
            )
        self.format, self.columns, self.rename = format, columns, rename
        self.missing, self.delimiter = missing, delimiter

    def execute(self, source: object) -> tuple[h5py.File, Annotated[dict[str, Any], "extra"]]:
        found = files.open_table(source, self.format, self.delimiter, self.columns)
        chosen = {name: column(found, name) for name in self.columns or columns(found)}
        for name in self.rename:
            column(chosen, name)
        refuse_names([self.rename.get(name, name) for name in chosen], "give another by rename")
        renamed = {self.rename.get(name, name): held(name, item) for name, item in chosen.items()}
        if len(renamed) < len(chosen):
            raise OperationError(f"rename: two columns would have one name: {self.rename}")
        count = row_count(renamed)
        keep = self._complete(renamed, count)
        plain = {name: without_gaps(name, item, keep) for name, item in renamed.items()}
        numbered = self.missing == "drop" and "row" not in plain
        table = rewrite(
            plain, np.flatnonzero(keep), extra={"row": np.flatnonzero(keep)} if numbered else None
        )
        rows = int(keep.sum())
        report = {"rows": rows, "dropped": count - rows, "columns": list(renamed)}
        return table, report

    def _complete(self, table: Any, count: int) -> Any:
        """Return which rows are kept."""
        complete = np.ones(count, dtype=bool)
        gaps = {}
        for name, item in by_rows(table, count).items() if self.missing != "keep" else ():
            bad = unknown(item)
            if self.missing == "refuse" and bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise OperationError(
                    f"{name!r} is NaN or empty in {int(bad.sum())} rows, the first of them row "
                    f"{row} (from 0); missing: drop leaves such rows out"
                )
            complete &= ~bad
            gaps[name] = int(bad.sum())
        if not complete.all():
            found = ", ".join(f"{name!r} in {number}" for name, number in gaps.items() if number)
            tell(f"{int((~complete).sum())} of {count} rows dropped: no value of {found}")
        return complete


class Convert:
    """Writes a table as a file for another program.

    In CSV a column of several numbers a row becomes `name_0`, `name_1`, ...; numbers are written so
    that they read back the same. A `.npy` holds one column.

    Args:
        table: the table.
        to: which kind of file.
        columns: which to write; all that have rows by default.
        file: the file.

    Source: RFC 4180 (CSV); https://parquet.apache.org; numpy.lib.format (npy, npz).

    >>> import os, tempfile
    >>> os.environ["DFH_SCRATCH"] = tempfile.mkdtemp()
    >>> Convert("csv").execute({"z": np.array([0.1, 0.25])}).read_text().split()
    ['z', '0.1', '0.25']
    >>> _ = os.environ.pop("DFH_SCRATCH")
    """

    def __init__(
        self,
        to: Literal["csv", "npz", "npy", "parquet", "hdf5"],
        columns: list[str] | None = None,
    ):
        if to == "npy" and columns and len(set(columns)) > 1:
            raise OperationError(f"columns: a npy holds one column, and these are {len(columns)}")
        if to == "npz" and columns and "file" in columns:
            raise OperationError("columns: one of an npz cannot be called 'file': rename it")
        self.to, self.columns = to, columns

    def execute(self, table: h5py.File) -> Path:
        names = self.columns or list(by_rows(table, row_count(table)))
        chosen = {name: read(column(table, name)) for name in names}
        file = Path(os.environ.get("DFH_SCRATCH", "."), f"table.{files.SUFFIXES[self.to]}")
        files.write_table(file, self.to, chosen)
        return file
