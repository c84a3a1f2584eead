"""The software of a job, as a user or a site asks for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """The software of a job; at most one of the first four is given."""

    python: str = ""
    """Path, command name, or `submitter`: the interpreter that runs dfh."""
    venv: str = ""
    conda: str = ""
    container: str = ""
    modules: tuple[str, ...] | None = None
