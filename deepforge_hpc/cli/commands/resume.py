"""`dfh resume`."""

from __future__ import annotations

from shlex import quote

import click

from deepforge_hpc.api import manage
from deepforge_hpc.cli.options import execution_argument, output_options, the_execution
from deepforge_hpc.cli.views.display import Display, if_interrupted


@click.command("resume")
@execution_argument
@output_options
def command(display: Display, execution: str) -> None:
    """Run again what did not succeed.

    The same execution, with the code as it was frozen: for a full disk, a walltime, a lost node,
    or a submission that broke off. After an edit of yours, `dfh submit` takes it up instead.
    EXECUTION is an id, its beginning or number, a path, or `latest` (the default).

    \b
    Example:
      dfh resume redshift-0007
    """
    from deepforge_hpc.cli.views.submission import next_commands

    with if_interrupted(f"See what is queued: dfh status {quote(execution)}"):
        report = manage.resume(the_execution(display, execution, acts=True))
    display.notices(report.warnings)
    lines = [f"{report.execution}: {report.message}"]
    lines += [f"  {job}  {native_id}" for job, native_id in report.submitted]
    if report.submitted:
        lines += ["next", *next_commands(report.execution)]
    display.result(report.to_dict(), lines)
