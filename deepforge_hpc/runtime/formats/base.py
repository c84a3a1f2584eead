"""What a format is, and the two that need nothing but the standard library: JSON and text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NON_FINITE = "dfh/json/1"
"""Of a JSON file with NaN or infinities in it: `{"schema": ..., "value": ...}`, where they are the
words below; a text of the user's that is one, after any number of `~`, has one `~` more."""
_WORDS = frozenset({"NaN", "Infinity", "-Infinity"})

Rows = tuple[int, int]
"""First row, and the row after the last."""


class FormatError(Exception):
    """A value does not fit a format, or a file is damaged; the message says which way."""


class Format:
    """One way to keep a value in a file or folder. Third parties derive their own from this."""

    id = ""
    suffix = ""
    """Of the file, with the dot; empty for a folder or where the value decides."""
    expects = ""
    """The Python value, in words, for messages."""
    needs: tuple[str, ...] = ()
    """Packages that it imports: a job looks for them before it runs the operation."""
    runs_code = False
    """To read a file may run code of whoever made it: of another user's, none is reused."""
    can_split = False
    """Blocks of rows can be read: `rows` and `load(path, rows)` work."""
    can_gather = False
    """Parts written by the tasks of a job array can be read as one value."""

    def save(self, value: Any, stem: Path) -> Path:
        """Write a value to `stem` plus a suffix, and return that path."""
        raise NotImplementedError

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        """Return the value, or a block of its rows."""
        raise NotImplementedError

    def rows(self, path: Path) -> int:  # noqa: ARG002 - for those who have rows
        """Return the number of rows; FormatError if the value has none."""
        raise FormatError(f"a value of format {self.id} has no rows")

    def part_rows(self, path: Path) -> int | None:
        """Return how many rows a part adds to a gathered value; None if it has none."""
        return self.rows(path) if self.can_split else None

    def verify(self, path: Path) -> None:
        """Raise FormatError if the file cannot be whole. Cheap; no imports."""

    def join(self, values: list[Any]) -> Any:  # noqa: ARG002 - for those who can gather
        """Return the one value that parts make."""
        raise FormatError(f"parts of format {self.id} cannot be joined")

    def load_parts(self, folder: Path, rows: Rows | None = None) -> Any:
        """Return the value of a gathered folder, or a block of its rows."""
        blocks = part_blocks(folder, rows)
        return self.join([self.load(path, block) for path, block in blocks])


def part_blocks(folder: Path, rows: Rows | None) -> list[tuple[Path, Rows | None]]:
    """Return which rows of which parts make a block of a gathered value; None is the whole part."""
    from .parts import read_parts

    blocks: list[tuple[Path, Rows | None]] = []
    start = 0
    for part in read_parts(folder).parts:
        stop = start + (part.rows or 0)
        path = folder / part.file
        if rows is None:
            blocks.append((path, None))
        elif start < rows[1] and rows[0] < stop:
            blocks.append((path, (max(rows[0], start) - start, min(rows[1], stop) - start)))
        start = stop
    return blocks


def row_samples(folder: Path) -> list[tuple[Path, int]]:
    """Return one part of each number of rows, with that number.

    What is as long as the part in each of them is split by rows. One part is not enough: a table of
    constants may happen to be as long as one part, but not as two of different lengths.
    """
    from .parts import read_parts

    samples = {part.rows or 0: folder / part.file for part in read_parts(folder).parts}
    return [(path, rows) for rows, path in samples.items()]


def count_rows(fmt: Format, path: Path, *, parts: bool) -> int:
    """Return the rows of a file, or of a gathered folder."""
    if not parts:
        return fmt.rows(path)
    from .parts import read_parts

    total = read_parts(path).rows
    if total is None:
        raise FormatError(f"the parts in {path} have no rows")
    return total


def block_of(task: int, tasks: int, rows: int) -> Rows:
    """Return the contiguous block of rows of one task; sizes differ by at most one."""
    return rows * task // tasks, rows * (task + 1) // tasks


class Json(Format):
    """A JSON value; rows are the items of a list."""

    id = "json"
    suffix = ".json"
    expects = "a JSON value (dict, list, str, number, bool, None)"
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        path = stem.with_name(stem.name + self.suffix)
        plain = to_json(value)
        try:
            text = _dumps(plain)
        except ValueError:  # NaN or an infinity
            text = _dumps({"schema": NON_FINITE, "value": _spelt(plain)})
        else:
            if _is_spelt(plain):  # it looks like what we write, and must come back as it is
                text = _dumps({"schema": NON_FINITE, "value": _spelt(plain)})
        # A lone surrogate is legal in a Python string and in JSON, but not in UTF-8.
        path.write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
        return path

    def load(self, path: Path, rows: Rows | None = None) -> Any:
        value = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
        value = _unspelt(value["value"]) if _is_spelt(value) else value
        return value if rows is None else self._list(value)[slice(*rows)]

    def rows(self, path: Path) -> int:
        return len(self._list(self.load(path)))

    def part_rows(self, path: Path) -> int:
        """Count the items of a list; any other value becomes one item."""
        value = self.load(path)
        return len(value) if isinstance(value, list) else 1

    def load_parts(self, folder: Path, rows: Rows | None = None) -> Any:
        value = super().load_parts(folder)
        return value if rows is None else self._list(value)[slice(*rows)]

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise FormatError(f"only a JSON list has rows, and this is a {type(value).__name__}")
        return value

    def verify(self, path: Path) -> None:
        try:
            self.load(path)
        except ValueError as error:
            raise FormatError(f"{path.name} is not whole JSON: {error}") from error

    def join(self, values: list[Any]) -> Any:
        """Lists are chained; any other values become the items of a list, one a part."""
        if all(isinstance(value, list) for value in values):
            return [item for value in values for item in value]
        return values


class TextFormat(Format):
    """A string, kept as UTF-8; rows are lines."""

    id = "text"
    suffix = ".txt"
    expects = "a str"
    can_split = True
    can_gather = True

    def save(self, value: Any, stem: Path) -> Path:
        if not isinstance(value, str):
            raise unfit(self, value)
        path = stem.with_name(stem.name + self.suffix)
        path.write_bytes(value.encode())
        return path

    def load(self, path: Path, rows: Rows | None = None) -> str:
        text = path.read_bytes().decode()
        return text if rows is None else "".join(_lines(text)[slice(*rows)])

    def rows(self, path: Path) -> int:
        return len(_lines(self.load(path)))

    def verify(self, path: Path) -> None:
        try:
            self.load(path)
        except ValueError as error:
            raise FormatError(f"{path.name} is not UTF-8 text: {error}") from error

    def join(self, values: list[Any]) -> str:
        return "".join(values)


def _lines(text: str) -> list[str]:
    """Return lines with their ends; only a newline ends one (`splitlines` knows eight more)."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def to_json(value: Any, where: str = "value") -> Any:
    """Return `value` as plain JSON data, with numpy's numbers and arrays as numbers and lists.

    FormatError names the place of what JSON cannot say: a key that is no string, an object.
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise FormatError(f"{where} contains itself, or is nested too deep for JSON") from None


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise FormatError(f"{where} has the key {key!r}: keys of a JSON object are strings")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        plain = value.tolist()
        if type(plain) is not type(value):  # a longdouble has no plain form, and returns itself
            return _plain(plain, where)
    raise FormatError(f"{where} is {kind_of(value)}, which JSON cannot hold")


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)


def _is_spelt(value: object) -> bool:
    return isinstance(value, dict) and value.get("schema") == NON_FINITE and "value" in value


def _spelt(value: Any) -> Any:
    """Put words in the place of NaN and infinities, and a `~` before a text that is such a word."""
    if isinstance(value, dict):
        return {key: _spelt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelt(item) for item in value]
    if isinstance(value, str):
        return f"~{value}" if value.lstrip("~") in _WORDS else value
    if isinstance(value, float) and value - value != 0:  # without importing math
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    return value


def _unspelt(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unspelt(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unspelt(item) for item in value]
    if isinstance(value, str) and value.lstrip("~") in _WORDS:
        return value[1:] if value.startswith("~") else float(value)
    return value


def kind_of(value: object) -> str:
    """Return of which type a value is, with its article."""
    kind = type(value)
    name = kind.__qualname__
    return f"a {name}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{name}"


def whole(fmt: Format, path: Path, rows: Rows | None) -> Path:
    """Return the path of a value that has no rows; FormatError if a block of them is wanted."""
    if rows is not None:
        raise FormatError(f"a value of format {fmt.id} has no rows")
    return path


def unfit(fmt: Format, value: object) -> FormatError:
    """Return the error that says what a format expects, and what came."""
    return FormatError(f"format {fmt.id} expects {fmt.expects}, and got {kind_of(value)}")
