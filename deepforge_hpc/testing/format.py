"""What every format of values must do, as tests: subclass `FormatContract` and run pytest.

class TestLines(FormatContract):
    value = [str(number) for number in range(10)]   # of ten rows, if it has rows
    unfit = 3

    @pytest.fixture
    def fmt(self) -> Format:
        return Lines()
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deepforge_hpc.runtime.base.files import publish_json
from deepforge_hpc.runtime.formats import Format
from deepforge_hpc.runtime.formats.base import block_of
from deepforge_hpc.runtime.formats.parts import INDEX, PARTS_SCHEMA

_ROWS = 10


def error_of(fmt: Format) -> type[Exception]:
    """Return FormatError as the format knows it: by the runtime's name in a job, or by ours."""
    base = next(kind for kind in type(fmt).__mro__ if kind.__name__ == "Format")
    error: type[Exception] = vars(sys.modules[base.__module__])["FormatError"]
    return error


class FormatContract:
    """Behaviour that saving, stage-in, arrays and their gathered values rely on."""

    value: ClassVar[Any]
    """One that comes back as it was; of ten rows if the format can split."""
    unfit: ClassVar[Any]
    """One that the format cannot keep."""
    is_checked: ClassVar[bool] = False
    """`verify` finds a file that was cut short."""

    @pytest.fixture
    def fmt(self) -> Format:
        """Return the format."""
        raise NotImplementedError

    def plain(self, value: Any) -> Any:
        """Return a loaded value so that `save` takes it again."""
        return value

    def same(self, one: Any, other: Any) -> bool:
        """Tell whether two plain values are equal."""
        return bool(one == other)

    def test_it_says_what_it_is(self, fmt: Format) -> None:
        """Id and suffix name files; what it expects stands in messages."""
        assert fmt.id.isidentifier()
        assert fmt.suffix[:1] in ("", ".")
        assert fmt.expects

    def test_a_value_comes_back_as_it_was(self, fmt: Format, tmp_path: Path) -> None:
        """From a file beside which nothing else lies."""
        path = fmt.save(self.value, tmp_path / "value")
        assert path == tmp_path / f"value{fmt.suffix}"
        assert list(tmp_path.iterdir()) == [path]
        fmt.verify(path)
        assert self.same(self.plain(fmt.load(path)), self.value)

    def test_what_does_not_fit_is_refused(self, fmt: Format, tmp_path: Path) -> None:
        """With a message that the scientist understands, not whatever happens inside."""
        with pytest.raises(error_of(fmt)) as caught:
            fmt.save(self.unfit, tmp_path / "value")
        assert str(caught.value)

    def test_a_file_that_was_cut_short_is_refused(self, fmt: Format, tmp_path: Path) -> None:
        """Before anybody is told that the job succeeded."""
        path = fmt.save(self.value, tmp_path / "value")
        content = path.read_bytes()
        if not self.is_checked:
            return
        for length in {0, 5, min(60, len(content) - 2), len(content) // 2, len(content) - 2}:
            path.write_bytes(content[:length])
            with pytest.raises(error_of(fmt)):
                fmt.verify(path)

    def test_rows_where_it_has_them(self, fmt: Format, tmp_path: Path) -> None:
        """Blocks of rows are what the tasks of an array get."""
        path = fmt.save(self.value, tmp_path / "value")
        if not fmt.can_split:
            with pytest.raises(error_of(fmt)):
                fmt.rows(path)
            return
        assert fmt.rows(path) == _ROWS
        for shard in range(3):
            start, stop = block = block_of(shard, 3, _ROWS)
            part = fmt.save(self.plain(fmt.load(path, block)), tmp_path / f"part-{shard}")
            assert fmt.rows(part) == stop - start

    def test_blocks_joined_are_the_whole(self, fmt: Format, tmp_path: Path) -> None:
        """What an array made is read as one value, or by blocks that lie across its parts."""
        if not (fmt.can_split and fmt.can_gather):
            return
        path = fmt.save(self.value, tmp_path / "whole")
        folder = tmp_path / "parts"
        folder.mkdir()
        parts = []
        for shard in range(3):
            block = self.plain(fmt.load(path, block_of(shard, 3, _ROWS)))
            saved = fmt.save(block, folder / f"part-{shard}")
            parts.append({"file": saved.name, "rows": fmt.part_rows(saved)})
        index = {"schema": PARTS_SCHEMA, "format": fmt.id, "parts": parts, "rows": _ROWS}
        publish_json(folder / INDEX, index)
        for rows in (None, (0, _ROWS), (2, 5), (9, _ROWS)):
            joined, whole = fmt.load_parts(folder, rows), fmt.load(path, rows)
            assert self.same(self.plain(joined), self.plain(whole))
