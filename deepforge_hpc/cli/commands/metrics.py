"""`dfh metrics export`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import metrics
from deepforge_hpc.cli.commands.arch import output_file_options
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import job_argument, output_options, the_job
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.runtime.base.text import count


@click.group(
    "metrics",
    cls=LazyGroup,
    entries=(LazyCommand("export", "Write metrics for other programs.", "metrics", "export"),),
)
def command() -> None:
    """Write metrics for other programs.

    They are the numbers that operations log as they run, and that the report draws.

    \b
    Example:
      dfh metrics export latest --to tensorboard
    """


@click.command("export")
@job_argument
@click.option(
    "--to", "form", type=click.Choice(metrics.FORMS), required=True, help="Form to write."
)
@output_file_options
@output_options
def export(
    display: Display, /, *, execution: str, form: str, output: Path | None, force: bool
) -> None:
    """Write metrics for other programs.

    EXECUTION is an id, its beginning or number, a path, or `latest` (the default); EXECUTION/JOB
    is one of its jobs alone. CSV has a line for each number, and without -o it is shown.
    For TensorBoard each job is a run of the folder FILE, tensorboard/EXECUTION without -o.

    \b
    Example:
      dfh metrics export redshift-0007/train --to csv -o train.csv
    """
    found, job = the_job(display, execution)
    done = metrics.export(found, job, form, output, force=force)
    if not done.is_whole:
        display.talk("a file of metrics is very large: its beginning was left out")
    if form == "tensorboard":
        numbers = count(sum(done.runs.values()), "number")
        display.talk(
            f"{numbers} of {count(len(done.runs), 'run')}; tensorboard --logdir shows them"
        )
    display.result(done.to_dict(), [done.path] if done.path else done.text.splitlines())
