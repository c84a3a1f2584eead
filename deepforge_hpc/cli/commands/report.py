"""`dfh report`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import find, manage
from deepforge_hpc.cli.options import execution_argument, output_options
from deepforge_hpc.cli.views.display import Display


@click.command("report")
@execution_argument
@output_options
def command(display: Display, execution: str) -> None:
    """Write the report anew.

    The jobs refresh report.html themselves; this renders it once more and prints its path.

    \b
    Example:
      dfh report latest
    """
    path, kept = manage.report(find.find_execution(execution, Path.cwd()))
    if kept:
        display.talk(kept)
    document = {"schema": "dfh/report/1", "path": str(path), "size": path.stat().st_size}
    display.result(document, [str(path)])
