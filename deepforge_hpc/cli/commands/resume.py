"""`dfh resume`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from deepforge_hpc.api import find, manage
from deepforge_hpc.cli.options import execution_argument, output_options
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
        report = manage.resume(find.find_execution(execution, Path.cwd(), acts=True))
    display.notices(report.warnings)
    lines = [f"{report.execution}: {report.message}"]
    lines += [f"  {job}  {native_id}" for job, native_id in report.submitted]
    if report.submitted:
        lines += ["next", *next_commands(report.execution)]
    display.result(report.to_dict(), lines)
