"""What stops an operation of the library, and what it says where a package is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OperationError(RuntimeError):
    """Something that the person who wrote the pipeline can mend: it says what and how."""


def tell(text: str) -> None:
    """Say in the job's log what was done to the data that nobody may have asked for."""
    sys.stderr.write(f"dfh: {text}\n")
    sys.stderr.flush()


@contextmanager
def needed(package: str, extra: str) -> Iterator[None]:
    """Let an import inside the block say which extra of ours brings a package that is missing."""
    try:
        yield
    except ImportError as error:
        raise OperationError(
            f"{package} cannot be imported ({error}): pip install 'deepforge-hpc[{extra}]' into "
            "the environment of the job"
        ) from error


@contextmanager
def fits(what: str) -> Iterator[None]:
    """Let what is read inside the block say that the job's memory does not hold it."""
    try:
        yield
    except MemoryError as error:
        raise OperationError(
            f"{what} does not fit into the job's memory ({error}): ask for more by resources, or "
            "read fewer columns"
        ) from error


def pyplot() -> Any:
    """Return matplotlib.pyplot: in a job, what it shows goes into the report."""
    with needed("matplotlib", "operations"):
        import matplotlib.pyplot as plt
    return plt
