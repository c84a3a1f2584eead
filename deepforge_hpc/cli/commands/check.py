"""`dfh check`."""

from __future__ import annotations

from typing import Any

import click

from deepforge_hpc.api import pipelines
from deepforge_hpc.cli.options import output_options, pipeline_options, request_from
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.cli.views.plan import checked_lines


@click.command("check")
@pipeline_options
@output_options
def command(display: Display, /, **options: Any) -> None:
    """Check a pipeline file.

    Reads PIPELINE (default: pipeline.yaml), the operations it names and, with --site, the site
    file, and reports every fault at once with its place. Nothing of the project is written or
    imported. What Keras says of its networks is told too, if it is installed beside dfh, or was
    asked before (dfh arch check).

    \b
    Example:
      dfh check pipeline.yaml --set train.epochs=20
    """
    checked = pipelines.check(request_from(options))
    display.notices(checked.warnings)
    display.result(checked.to_dict(), checked_lines(checked))
