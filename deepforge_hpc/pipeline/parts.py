"""Read an output of a mapped operation, which lies in parts, as one value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.runtime.formats import Format, FormatError
from deepforge_hpc.runtime.formats.parts import read_parts

if TYPE_CHECKING:
    import os


def load_parts(folder: str | os.PathLike[str], rows: tuple[int, int] | None = None) -> Any:
    """Return the value whose parts a folder holds, or its rows from the first to before the last.

    InvalidInputError if the folder holds no parts, or one of them is damaged.
    """
    path = Path(folder)
    try:
        return _format(path).load_parts(path, rows)
    except (OSError, ValueError, TypeError, FormatError) as error:
        message = f"{path} cannot be read as the parts of one value: {error}"
        hint = "name the folder in which index.json and part-00000... lie"
        raise InvalidInputError([Fault(message=message, hint=hint)]) from error


def _format(folder: Path) -> Format:
    """Return the format of the parts, after a look at what the index names."""
    from deepforge_hpc.pipeline.formats import Formats

    found = read_parts(folder).format
    formats = Formats()
    if found not in formats:
        raise ValueError(f"there is no format {found!r} here")
    return formats[found]
