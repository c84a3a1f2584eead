"""`dfh cancel`."""

from __future__ import annotations

from shlex import quote

import click

from deepforge_hpc.api import manage
from deepforge_hpc.cli.options import output_options, the_execution
from deepforge_hpc.cli.views.display import Display, if_interrupted
from deepforge_hpc.errors import UsageError


@click.command("cancel")
@click.argument("execution", required=False, default="")
@output_options
def command(display: Display, execution: str) -> None:
    """Cancel an execution's jobs.

    Everything that has not ended is cancelled; what succeeded stays, and `dfh resume` goes on
    from there. EXECUTION is an id, its beginning or number, a path, or `latest`.

    \b
    Example:
      dfh cancel redshift-0007
    """
    if not execution:
        hint = "Name it: an id, its number, or `latest`, which is not meant by itself here."
        raise UsageError("nothing says which execution is to be cancelled", hint)
    with if_interrupted(f"Some jobs may go on. Cancel the rest: dfh cancel {quote(execution)}"):
        report = manage.cancel(the_execution(display, execution, acts=True))
    display.notices(report.warnings)
    name = report.execution
    lines = [f"{name}: nothing was queued or running"]
    if report.jobs:
        lines = [f"{name}: cancelled {', '.join(report.jobs)}", f"  dfh resume {name} goes on"]
    display.result(report.to_dict(), lines)
