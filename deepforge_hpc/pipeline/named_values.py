"""Attributes that name something of a library, such as an optimizer: the library checks them.

The code of an operation says so: `Annotated[str, {"names": "LIBRARY:SORT"}]`.
"""

from __future__ import annotations

from dataclasses import dataclass

from deepforge_hpc.errors import Fault, UsageError
from deepforge_hpc.files.faults import Path, Reader, nearest
from deepforge_hpc.files.yaml12 import Mark
from deepforge_hpc.plugins import registry


@dataclass(frozen=True, slots=True)
class SetValue:
    """What `--set` gave: a document without lines."""

    file: str
    given: object

    def value(self) -> object:
        """Return the plain data."""
        return self.given

    def mark(self, path: Path = (), *, key: bool = False) -> Mark:  # noqa: ARG002
        """Return no place."""
        return Mark(0, 0)

    def fault(self, message: str, path: Path = (), *, hint: str = "", key: bool = False) -> Fault:  # noqa: ARG002
        """Return a fault of the option."""
        return Fault(message=message, file=self.file, hint=hint)


def check_named(names: str, value: object, path: Path, reader: Reader, option: str) -> str:
    """Report what is wrong with a value; return what is wrong with `names` itself, or nothing.

    `option`: what gave it, `--set OPERATION.NAME`, if it does not stand in the file.
    """
    if not option:
        return _check(names, value, path, reader)
    own = Reader(SetValue(option, value))
    problem = _check(names, value, (), own)
    reader.faults += own.faults
    return problem


def _check(names: str, value: object, path: Path, reader: Reader) -> str:
    library, _, sort = names.partition(":")
    try:
        found = registry.create("libraries", library)
    except UsageError:
        hint = nearest(library, registry.known("libraries"))
        return f"{names!r} is of no library" + (f" ({hint})" if hint else "")
    try:
        found.check_value(sort, value, path, reader)
    except LookupError as error:
        return str(error)
    except Exception as error:
        if library in registry.built_in("libraries"):  # a bug of ours
            raise
        return f"the library {library!r} failed: {type(error).__name__}: {error}"
    return ""
