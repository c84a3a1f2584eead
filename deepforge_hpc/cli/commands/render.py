"""`dfh render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deepforge_hpc.api import pipelines
from deepforge_hpc.cli.options import output_options, pipeline_options, request_from
from deepforge_hpc.cli.views.display import Display


@click.command("render")
@pipeline_options
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the scripts; made if it is not there.",
)
@output_options
def command(display: Display, /, *, output: Path, **options: Any) -> None:
    """Write the batch scripts.

    Writes DIR/jobs/JOB/job.sh for each job of PIPELINE (default: pipeline.yaml), the same bytes
    that a submission sends. Nothing is submitted.

    \b
    Example:
      dfh render pipeline.yaml --site slurm-generic -o scripts
    """
    paths = pipelines.render(request_from(options), output)
    document = {
        "schema": "dfh/render/1",
        "folder": str(output),
        "scripts": {job: str(path) for job, path in paths.items()},
    }
    display.result(document, (str(path) for path in paths.values()))
