"""Jinja2 for shell scripts: each value is quoted for the shell unless code says otherwise."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from deepforge_hpc.errors import Fault, InvalidInputError

if TYPE_CHECKING:
    from jinja2 import Template


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
    raise TypeError(f"a template prints {value}, which is neither a text nor a number")


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


@contextlib.contextmanager
def faults_raised(folder: Path, name: str) -> Iterator[None]:
    """Turn what a template does wrong into an InvalidInputError that names its file and line."""
    from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError

    file, line, hint = str(folder / name), 0, "job-templates/README.md says what a template may use"
    try:
        yield
    except TemplateNotFound as error:
        message, file = f"no template {error.name}", str(folder)
        hint = "put it back, or install deepforge_hpc again"
        raise InvalidInputError([Fault(message=message, file=file, hint=hint)]) from error
    except TemplateSyntaxError as error:
        fault = Fault(
            message=error.message or "not a template",
            file=error.filename or file,
            line=error.lineno,
            hint=hint,
        )
        raise InvalidInputError([fault]) from error
    except (TemplateError, TypeError) as error:
        # Jinja makes the lines of a template the frames of the traceback.
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename.startswith(f"{folder}/"):
                file, line = frame.filename, frame.lineno or 0
        if not line:
            raise  # not the template's doing
        fault = Fault(message=str(error), file=file, line=line, hint=hint)
        raise InvalidInputError([fault]) from error
    except UnicodeDecodeError as error:
        fault = Fault(message="not UTF-8", file=file, hint="save the file as UTF-8")
        raise InvalidInputError([fault]) from error
