"""Jinja2 for shell scripts: each value is quoted for the shell unless code says otherwise."""

from __future__ import annotations

import shlex
import traceback
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from deepforge_hpc.errors import Fault, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jinja2 import Template


_HINT = "job-templates/README.md says what a template may use."


class Raw(str):
    """Text made by this package's code alone, which a template takes in as it is."""

    __slots__ = ()


def quote(value: object) -> str:
    """Return a value as one word of the shell; Raw as it is.

    Raises InvalidInputError for control characters (a line break would end a comment line) and
    TypeError for what is not a text or a number.
    """
    if isinstance(value, Raw):
        return value
    if isinstance(value, str):
        if not value.isprintable():
            message = f"{value!r} has control characters and cannot stand in a job script"
            raise InvalidInputError([Fault(message=message)])
        return shlex.quote(value)
    if isinstance(value, int):
        return str(int(value))
    # The text of an undefined name is jinja2's own error, which names it.
    message = f"a template prints {value}, which is neither a text nor a number"
    raise TypeError(message)


@lru_cache(maxsize=8)
def load_template(folder: Path, name: str) -> Template:
    """Return a compiled template of a folder; jinja2.TemplateError if it is wrong."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # No autoescape: that is for HTML; `finalize` quotes for the shell.
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        finalize=quote,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    return environment.get_template(name)


@contextmanager
def template_faults(folder: Path) -> Iterator[None]:
    """Turn what is wrong with a template of a folder into InvalidInputError with file and line."""
    from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError

    try:
        yield
    except TemplateNotFound as error:
        hint = "the templates are part of the installation: install deepforge_hpc again"
        fault = Fault(message="there is no such template", file=f"{folder}/{error.name}", hint=hint)
        raise InvalidInputError([fault]) from error
    except TemplateSyntaxError as error:
        fault = Fault(message=f"{error.message}", file=f"{error.filename}", line=error.lineno)
        raise InvalidInputError([fault], _HINT) from error
    except (TemplateError, TypeError) as error:
        # jinja2 puts the lines of the template into the traceback.
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if f.filename.startswith(f"{folder}/")), None)
        if place is None:
            raise
        fault = Fault(message=str(error), file=place.filename, line=place.lineno or 0)
        raise InvalidInputError([fault], _HINT) from error
