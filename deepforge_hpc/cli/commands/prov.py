"""`dfh prov show | trace | verify`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import provenance
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.cli.views.provenance import explanation_lines, trace_lines, verification_lines

_NOT_CHECKED, _NOT_SOUND = 6, 7


@click.group(
    "prov",
    cls=LazyGroup,
    entries=(
        LazyCommand("show", "Show what made a result.", "prov", "show"),
        LazyCommand("trace", "Show all it was made from.", "prov", "trace"),
        LazyCommand("verify", "Check that it all holds.", "prov", "verify"),
    ),
)
def command() -> None:
    """Explain and verify results.

    PATH is a file or folder of an execution, a copy of an output or figure anywhere (it is found by
    its content, or a figure by its id), an execution, a job as EXECUTION/JOB or
    EXECUTION/JOB[TASK], or the first digits of a record's id.

    \b
    Example:
      dfh prov show redshift-0007/train
    """


def _about(display: Display, path: str) -> Path:
    """Return the current folder; what is printed then is about that path."""
    from deepforge_hpc.api.steps import Steps

    cwd = Path.cwd()
    display.steps = Steps(cwd, (cwd / path).resolve())
    return cwd


@click.command("show")
@click.argument("path")
@click.option("--packages", is_flag=True, help="List the packages that it could import.")
@output_options
def show(display: Display, path: str, *, packages: bool) -> None:
    """Show what made a result.

    One screen: the job, the code, the inputs, the parameters, the environment, and whether the
    content still is what was made.

    \b
    Example:
      dfh prov show executions/redshift-0007/jobs/train/outputs/model.keras
    """
    found = provenance.explain(path, _about(display, path))
    display.notices(found.located.ledger.passed_over())
    display.result(found.to_dict(), explanation_lines(found, packages=packages))


@click.command("trace")
@click.argument("path")
@click.option("--depth", type=click.IntRange(0), help="Stop after so many steps.")
@output_options
def trace(display: Display, path: str, depth: int | None) -> None:
    """Show all it was made from.

    A tree of records up to the external inputs; a record that was shown before is folded.

    \b
    Example:
      dfh prov trace executions/redshift-0007/jobs/evaluate --depth 2
    """
    found = provenance.trace(path, _about(display, path))
    display.result(found.to_dict(), trace_lines(found, depth=depth))


@click.command("verify")
@click.argument("path")
@output_options
def verify(display: Display, path: str) -> int:
    """Check that it all holds.

    Checks the records of PATH and of everything it was made from, their outputs and success
    markers, the figures of PATH, the frozen plan, scripts and code. Exit code 0 if all holds, 7 if
    something was changed or is missing, 6 if nothing was but some of it cannot be read; each
    finding is named by its kind.

    \b
    Example:
      dfh prov verify executions/redshift-0007
    """
    found = provenance.verify(path, _about(display, path))
    display.result(found.to_dict(), verification_lines(found))
    if not found.is_sound:
        return _NOT_SOUND
    return 0 if found.is_checked else _NOT_CHECKED
