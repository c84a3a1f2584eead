"""Attributes of operations that name parts of PyTorch, checked by the catalogue."""

from __future__ import annotations

from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.libraries.networks.arguments import kinds
from deepforge_hpc.libraries.torch.catalogue import dialect, shipped
from deepforge_hpc.operations.spec import FORM, parse


def check_value(family: str, value: object, path: Path, reader: Reader) -> None:
    """Report what is wrong with a value; LookupError for a family that there is not."""
    if family not in shipped().families:
        raise LookupError(f"PyTorch has no {family!r}: {nearest(family, shipped().families)}")
    if value is None:
        return
    try:
        name, arguments = parse(value)
    except ValueError:
        reader.fault(path, f"must be {FORM}, not {shown(value)}")
        return
    at = path if isinstance(value, str) else (*path, name)
    found = kinds(dialect()).arguments(family, name)
    if found is None:
        reader.fault(at, *kinds(dialect()).why_not(family, name), key=at != path)
        return
    found.check_required(found(dict(arguments), at, reader), at, reader)
