"""Tables of pandas, in Parquet by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .base import Format, FormatError, Rows, part_blocks, unfit
from .integrity import check_parquet


class Parquet(Format):
    """A DataFrame with its index."""

    id = "parquet"
    suffix = ".parquet"
    expects = "a pandas.DataFrame"
    needs = ("pandas", "pyarrow")
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        import pandas as pd

        if not isinstance(value, pd.DataFrame):
            raise unfit(self, value)
        path = stem.with_name(stem.name + self.suffix)
        try:
            value.to_parquet(path, engine="pyarrow")
        except (ValueError, TypeError, NotImplementedError) as error:
            raise FormatError(f"Parquet cannot keep it: {error}") from error
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        return _table(path, rows).to_pandas()

    def rows(self, path: Path) -> int:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as file:
            return int(file.metadata.num_rows)

    def verify(self, path: Path) -> None:
        check_parquet(path)

    def load_parts(self, folder: Path, rows: Rows | None = None) -> Any:
        import pyarrow as pa

        tables = [_table(path, block) for path, block in part_blocks(folder, rows)]
        try:
            return pa.concat_tables(tables, promote_options="default").to_pandas()
        except (ValueError, TypeError) as error:
            raise FormatError(f"the parts are no one table: {error}") from error


def _table(path: Path, rows: Rows | None) -> Any:
    from pyarrow.parquet import ParquetFile

    # Not read_table: it would take `a=b` in the path for a column.
    with ParquetFile(path) as file:
        table = file.read(use_pandas_metadata=True)
    return table if rows is None else table.slice(rows[0], rows[1] - rows[0])
