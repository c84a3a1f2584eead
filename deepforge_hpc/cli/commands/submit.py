"""`dfh submit` and `dfh run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepforge_hpc.api import find, whose
from deepforge_hpc.cli.options import (
    is_given,
    output_options,
    pipeline_options,
    request_from,
    together,
)
from deepforge_hpc.cli.views.display import if_interrupted

if TYPE_CHECKING:
    from deepforge_hpc.api.pipelines import Request
    from deepforge_hpc.api.submission import Submission
    from deepforge_hpc.cli.views.display import Display

_NOTHING = "Nothing was submitted, and nothing of it is left."
_submit_options = together(
    click.option("--no-reuse", is_flag=True, help="Run every job, whatever still holds."),
    click.option("--tag", "tags", multiple=True, metavar="WORD", help="Repeatable."),
    click.option("--note", default="", metavar="TEXT", help="Why this was run."),
    click.option("--name", default="", metavar="TEXT", help="A name for people."),
)


@click.command("submit")
@pipeline_options
@_submit_options
@click.option("--dry-run", is_flag=True, help="Show the exact commands; send and write nothing.")
@output_options
def command(display: Display, /, *, dry_run: bool, **options: Any) -> None:
    """Submit a pipeline and return.

    Freezes PIPELINE (default: pipeline.yaml) and its code in a new execution and queues all of
    its jobs. Log out: nothing of dfh needs to stay. A job whose code, attributes and inputs have
    not changed since an earlier execution takes over that result.

    \b
    Example:
      dfh submit pipeline.yaml --site slurm-generic --set train.epochs=20 --dry-run
    """
    from deepforge_hpc.cli.views.submission import dry_run_lines, submission_lines

    if dry_run:
        with if_interrupted(_NOTHING):
            from deepforge_hpc.api.submission import dry_run as foresee

            found = foresee(
                _request(display, options),
                name=options["name"],
                note=options["note"],
                reuse=not options["no_reuse"],
            )
        display.notices(found.warnings)
        display.result(found.to_dict(), dry_run_lines(found))
        return
    submitted = _submit(display, options)
    display.result(submitted.to_dict(), submission_lines(submitted))


@click.command("run")
@pipeline_options
@_submit_options
@click.option("--interval", type=click.FloatRange(0.1), help="Seconds between looks.")
@output_options
def run_command(display: Display, /, *, interval: float | None, **options: Any) -> int:
    """Submit a pipeline and follow it.

    The same as `dfh submit`, then `dfh status --watch`. Ctrl-C or a lost terminal ends the
    watching, never the jobs. Exit code: 0 if every job succeeded, 9 if the execution ended
    otherwise, 130 after Ctrl-C, 129 after a lost terminal. With --json the status is printed
    once, at the end.

    \b
    Example:
      dfh run pipeline.yaml
    """
    from deepforge_hpc.cli.views.submission import submission_lines
    from deepforge_hpc.cli.views.watch import watch

    submitted = _submit(display, options)
    lines = list(submission_lines(submitted))
    if display.as_json:
        display.talk(lines[0])
    else:
        display.lines(lines)
    found = find.find_execution(str(submitted.layout.root), submitted.layout.root)
    return watch(display, found, interval=interval, notices=submitted.warnings)


def _request(display: Display, options: dict[str, Any]) -> Request:
    from deepforge_hpc.api.steps import Steps

    request = request_from(options)
    display.steps = Steps.of_pipeline(request.pipeline, Path.cwd())
    return request


def _submit(display: Display, options: dict[str, Any]) -> Submission:
    with if_interrupted(_NOTHING):
        from deepforge_hpc.api.submission import submit

        if not is_given("pipeline"):
            whose.require_here(Path.cwd(), "what it holds is not run")
        request = _request(display, options)
        submitted = submit(
            request,
            name=options["name"],
            note=options["note"],
            tags=options["tags"],
            reuse=not options["no_reuse"],
        )
    display.notices(submitted.warnings)
    return submitted
