"""How `dfh operations` shows operations."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from deepforge_hpc.api.operations import (
    DocumentedValue,
    ListedOperations,
    OperationDocumentation,
)
from deepforge_hpc.cli.views.display import explained, listing
from deepforge_hpc.pipeline.file import OPERATIONS

_WIDTH = 96


def list_lines(found: ListedOperations) -> Iterator[str]:
    """Yield the library, then the project's own."""
    yield f"The library; uses: {OPERATIONS}:NAME"
    yield from listing((("NAME", "name"), ("WHAT", "about")), found.library)
    if found.project:
        yield ""
        yield "Of this folder"
        yield from listing((("USES", "uses"), ("WHAT", "about")), found.project)


def doc_lines(found: OperationDocumentation) -> Iterator[str]:
    """Yield what it is, what it takes and gives, and an example."""
    yield f"uses: {found.uses}"
    yield ""
    for paragraph in found.text.split("\n\n"):
        yield from textwrap.wrap(paragraph, _WIDTH)
        yield ""
    for title, values in (
        ("Inputs", found.inputs),
        ("References", found.references),
        ("Attributes", found.attributes),
        ("Outputs", found.outputs),
    ):
        if values:
            yield f"{title}:"
            for value in values:
                head = _head(value, is_given=title == "Outputs")
                yield from explained(head, value.text, _WIDTH)
            yield ""
    if found.example:
        yield "In Python:"
        if found.module:
            yield f"  >>> from {found.module} import {found.name}"
        if "np." in found.example:
            yield "  >>> import numpy as np"
        yield from (f"  {line}" for line in found.example.splitlines())
        yield ""
    yield f"Code: {found.place}"


def _head(value: DocumentedValue, *, is_given: bool) -> str:
    default = ", needed" if value.is_needed else f", default {json.dumps(value.default)}"
    return f"{value.name}: {value.kind}{'' if is_given else default}"
