"""`dfh status`."""

from __future__ import annotations

import click

from deepforge_hpc.api import manage
from deepforge_hpc.cli.options import execution_argument, output_options, the_execution
from deepforge_hpc.cli.views.display import Display


@click.command("status")
@execution_argument
@click.option("-w", "--watch", "is_watched", is_flag=True, help="Follow until it is over.")
@click.option("--interval", type=click.FloatRange(0.1), help="Seconds between looks.")
@output_options
def command(display: Display, execution: str, *, is_watched: bool, interval: float | None) -> int:
    """Show what the jobs do.

    EXECUTION is an id, its beginning or number, a path, or `latest` (the default). With --watch
    the exit code is 0 if every job succeeded, 9 if the execution ended otherwise or cannot go on
    by itself; without, it is 0 whatever the jobs do. With --json it is printed once, at the end.

    \b
    Example:
      dfh status redshift-0007 --watch
    """
    found = the_execution(display, execution)
    if is_watched:
        from deepforge_hpc.cli.views.watch import watch

        return watch(display, found, interval=interval)
    from deepforge_hpc.cli.views.status import status_lines

    current = manage.status(found)
    others = tuple(orphan.notice for orphan in manage.other_orphans(found))
    display.notices(others)
    display.result(current.with_warnings(others).to_dict(), status_lines(current))
    return 0
