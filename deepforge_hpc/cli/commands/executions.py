"""`dfh executions list | rm | prune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from deepforge_hpc.api import find, manage, whose
from deepforge_hpc.api.find import FoundExecution
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options, the_execution, together
from deepforge_hpc.cli.views.display import Display, listing
from deepforge_hpc.errors import DeepforgeHpcError, UsageError
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.text import count, size


@click.group(
    "executions",
    cls=LazyGroup,
    entries=(
        LazyCommand("list", "List with sizes.", "executions", "list_"),
        LazyCommand("rm", "Remove some.", "executions", "remove"),
        LazyCommand("prune", "Remove old ones.", "executions", "prune"),
    ),
)
def command() -> None:
    """List or remove executions.

    Removing an execution deletes its folder with its outputs; the records in .dfh stay, and so
    does all that was copied or linked elsewhere.

    \b
    Example:
      dfh executions list
    """


@click.command("list")
@output_options
def list_(display: Display) -> None:
    """List with sizes.

    \b
    Example:
      dfh executions list --json
    """
    found = manage.executions(Path.cwd())
    total = sum(item.size for item in found)
    lines = listing(_COLUMNS, found)
    document = {
        "schema": "dfh/executions/1",
        "executions": [item.to_dict() for item in found],
        "size": total,
    }
    display.result(document, [*lines, f"{count(len(found), 'execution')}, {size(total)}"])


_COLUMNS = (
    ("EXECUTION", "id"),
    ("STATE", "state"),
    ("CREATED", "created"),
    ("SITE", "site"),
    ("SIZE", lambda item: size(item.size)),
    ("NAME", "name"),
)
_removal_options = together(
    output_options,
    click.option("--force", is_flag=True, help="Also if the state of a job is unknown."),
    click.option("--yes", "-y", is_flag=True, help="Do not ask."),
)


@click.command("rm")
@click.argument("executions", nargs=-1, required=True, metavar="EXECUTION...")
@_removal_options
def remove(display: Display, executions: Sequence[str], *, yes: bool, force: bool) -> None:
    """Remove some.

    An execution with jobs that run or wait is refused.

    \b
    Example:
      dfh executions rm redshift-0003 redshift-0004
    """
    found = [the_execution(display, name, acts=True) for name in executions]
    _remove(display, found, yes=yes, force=force)


@click.command("prune")
@click.option("--keep", type=click.IntRange(0), required=True, help="How many of the newest stay.")
@_removal_options
def prune(display: Display, *, keep: int, yes: bool, force: bool) -> None:
    """Remove old ones.

    Keeps the newest, and those that are not over; takes what killed submissions left behind.

    \b
    Example:
      dfh executions prune --keep 5
    """
    project = find.project_above(Path.cwd())
    whose.require_project(project)

    def is_own(found: FoundExecution) -> bool:
        return find.is_own(found, project) and _is_to_act_on(display, found)

    own = list(filter(is_own, find.all_executions(project)))
    left = list(filter(is_own, find.leftovers(project)))
    old = left + own[keep:]  # in this order: what lies beside a leftover tells whose it is
    over = [found for found in old if _is_over(display, found, force=force)]
    _remove(display, over, yes=yes, force=force)


def _is_to_act_on(display: Display, found: FoundExecution) -> bool:
    try:
        whose.required(found)
    except UsageError as error:  # another user laid it here: it neither goes nor counts
        display.notices([Notice("project_untrusted", error.message, found.name, next=error.hint)])
        return False
    return True


def _is_over(display: Display, found: FoundExecution, *, force: bool) -> bool:
    try:
        return not manage.live_jobs(found, force=force)
    except DeepforgeHpcError as error:  # nobody knows whether its jobs run: it stays
        display.notices([Notice("file_damaged", error.message, found.name, next=error.hint)])
        return False


def _remove(display: Display, doomed: Sequence[FoundExecution], *, yes: bool, force: bool) -> None:
    sizes = {found.name: manage.disk_usage(found.layout.root)[0] for found in doomed}
    for found in doomed:
        display.talk(f"{found.name}  {size(sizes[found.name])}  {found.layout.root}")
    if doomed and not yes:
        _confirm(len(doomed), sum(sizes.values()))
    removed: list[str] = []
    try:
        for found in doomed:
            manage.remove(found, Path.cwd(), force=force)
            removed.append(found.name)
    except DeepforgeHpcError:
        for name in removed:
            display.talk(f"removed {name}")
        raise
    document = {
        "schema": "dfh/removed/1",
        "removed": removed,
        "size": sum(sizes[name] for name in removed),
    }
    display.result(document, [f"removed {name}" for name in removed] or ["nothing to remove"])


def _confirm(executions: int, total: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError("removing needs a yes, and there is no terminal to ask on", "Add --yes.")
    click.confirm(f"Remove {count(executions, 'execution')} ({size(total)})?", abort=True, err=True)
