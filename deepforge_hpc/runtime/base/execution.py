"""`execution.json`: which run of which pipeline a folder is."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple

from .advice import submit_command
from .codec import parse
from .files import read_own
from .layout import ExecutionLayout

EXECUTION_SCHEMA = "dfh/execution/1"
PLAN_SCHEMA = "dfh/plan/1"
"""Of `plan.json`; its classes are loaded by who reads it whole."""


class Manifest(NamedTuple):
    """The content of `code/MANIFEST.json`; its digest names the code."""

    files: dict[str, str]
    """Path below `code/` -> `sha256:...`"""
    schema: str = "dfh/code/1"


class ExecutionInfo(NamedTuple):
    """The content of `execution.json`, written once when the execution is created."""

    id: str
    """`<pipeline>-NNNN`, unique in the project."""
    uuid: str
    """32 hex digits."""
    pipeline: str
    pipeline_file: str
    """Path relative to the project."""
    site: str
    scheduler: str
    project: str
    """Absolute path of the project's root."""
    home: str
    """Absolute path at which the execution was created: a copy elsewhere is read-only."""
    ledger: str
    """Absolute path of the project's `.dfh`."""
    created: str
    """UTC, ISO 8601."""
    user: str
    version: str
    """Version of deepforge_hpc."""
    plan_sha256: str
    code_sha256: str
    pipeline_sha256: str = ""
    """Of `pipeline.yaml`, as the user wrote it."""
    site_sha256: str = ""
    """Of `site.yaml`, all layers merged."""
    name: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Words that followed `dfh submit PIPELINE`, for the command that does it again."""
    schema: str = EXECUTION_SCHEMA

    @classmethod
    def stand_in(cls, **known: str) -> "ExecutionInfo":
        """Return what is known of an execution whose file cannot be read; the rest is empty."""
        needed = (name for name in cls._fields if name not in cls._field_defaults)
        return cls(**{**dict.fromkeys(needed, ""), **known})  # type: ignore[arg-type]

    @classmethod
    def read(cls, layout: ExecutionLayout, *, is_open: bool = True) -> "ExecutionInfo":
        """Return what an execution's file says; OSError or ValueError if it cannot be read.

        `is_open`: fields of a later version are left alone.
        """
        return parse(cls, read_own(layout.execution), is_open=is_open)

    @property
    def token(self) -> str:
        """Return the 8 hex digits that name the execution in the scheduler's queue."""
        return self.uuid[:8]

    @property
    def submit_command(self) -> str:
        """Return the command that runs the pipeline as it is now."""
        return submit_command(self.pipeline_file, self.options, self.site)
