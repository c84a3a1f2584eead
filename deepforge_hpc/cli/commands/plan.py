"""`dfh plan`."""

from __future__ import annotations

from typing import Any

import click

from deepforge_hpc.api import pipelines
from deepforge_hpc.cli.options import output_options, pipeline_options, request_from
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.cli.views.plan import plan_lines
from deepforge_hpc.runtime.base.codec import encode


@click.command("plan")
@pipeline_options
@click.option("--origins", is_flag=True, help="Say where each value comes from.")
@output_options
def command(display: Display, /, *, origins: bool, **options: Any) -> None:
    """Show the jobs of a pipeline.

    Resolves PIPELINE (default: pipeline.yaml) for a site: which queue, size and time each job
    gets and what it waits for. Nothing is submitted or written.

    \b
    Example:
      dfh plan pipeline.yaml --site slurm-generic --origins
    """
    plan = pipelines.plan(request_from(options), origins=origins)
    display.notices(plan.warnings)
    document = plan.to_dict() if display.as_json else {}
    if origins and display.as_json:
        document["origins"] = encode(plan.origins)
    display.result(document, plan_lines(plan, origins=origins))
