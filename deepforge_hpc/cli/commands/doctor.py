"""`dfh doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from deepforge_hpc.api import doctor as diagnose
from deepforge_hpc.api import whose
from deepforge_hpc.api.doctor import Diagnosis
from deepforge_hpc.cli.options import output_options, waiting_options
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.errors import UsageError

FAILED = 5
_LEVELS = {"info": "OK", "warning": "WARN", "error": "ERROR"}


@click.command("doctor")
@click.argument("pipeline", required=False)
@click.option("--site", metavar="NAME", help="A name from `dfh site list`, or a file.")
@click.option("--account", metavar="NAME", help="Account that the jobs would be charged to.")
@click.option("--submit", is_flag=True, help="Prove it with two tiny jobs; asks first.")
@waiting_options
@output_options
def command(
    display: Display,
    /,
    *,
    pipeline: str | None,
    site: str | None,
    account: str | None,
    submit: bool,
    yes: bool,
    timeout: float,
) -> int:
    """Check that a site is ready for a pipeline.

    Looks at commands, controller, account, queues, launchers and MPI, what each job runs in
    (Python, conda, image, modules), folders, quota, purge and Globus, and names the next step for
    what is not as it should be. PIPELINE is held against all that; without it, pipeline.yaml if
    there is one. Exit code: 0 if there is no ERROR, 5 if there is.

    \b
    Example:
      dfh doctor --site mycluster
    """
    from deepforge_hpc.api.pipelines import Request

    if pipeline is not None and not Path(pipeline).exists():
        message = f"{pipeline}: there is no such file"
        raise UsageError(message, "Name the pipeline file, or leave it out to check a site alone.")
    if pipeline is None:  # it starts the interpreter that the site's file names
        whose.require_here(Path.cwd(), "what it holds is not run")
    request = Request(pipeline=Path(pipeline or "pipeline.yaml"), site=site, account=account)
    found = diagnose.doctor(request, Path.cwd())
    if submit and not display.as_json:
        display.lines(_lines(found))
    if submit and not found.has_errors:
        if not yes:
            click.confirm(f"Submit two tiny jobs to {found.site}?", abort=True, err=True)
        proof = diagnose.prove(request, Path.cwd(), limit_s=timeout)
        found = found.with_more(proof)
        if not display.as_json:
            display.lines(_lines(proof))
            return FAILED if found.has_errors else 0
    elif submit:
        display.talk("Nothing was submitted: solve the errors first.")
        if not display.as_json:
            return FAILED
    display.result(found.to_dict(), _lines(found))
    return FAILED if found.has_errors else 0


def _lines(found: Diagnosis) -> Iterator[str]:
    for item in found.findings:
        check = f"{item.kind} {item.subject}" if item.kind == "folder" else item.kind
        yield f"{_LEVELS[item.level]:<6} {check:<17} {item.text}"
        if item.next:
            yield f"{'':<24} next: {item.next}"
