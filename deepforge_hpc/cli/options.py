"""Options that several commands share, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deepforge_hpc.cli.views.display import Display

if TYPE_CHECKING:
    from deepforge_hpc.api.pipelines import Request

F = TypeVar("F", bound="Callable[..., object]")


def _set_format(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> None:  # noqa: ARG001 -- click's signature
    if value in {"json", True}:
        ctx.ensure_object(Display).as_json = True


def output_options(function: F) -> F:
    """Add `--format text|json` and its short form `--json`."""
    for option in (
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_set_format,
            help="Short for --format json.",
        ),
        click.option(
            "--format",
            type=click.Choice(["text", "json"]),
            expose_value=False,
            callback=_set_format,
            help="How to print the result.  [default: text]",
        ),
    ):
        function = option(function)
    return function


def waiting_options(function: F) -> F:
    """Add `--yes` and `--timeout`, of a command that sends small jobs and waits for them."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the jobs.",
    )
    return click.option("--yes", is_flag=True, help="Do not ask.")(timeout(function))


def pipeline_options(function: F) -> F:
    """Add PIPELINE and what changes how it is loaded."""
    for decorate in (
        click.option("--python", metavar="PATH", help="Interpreter that runs the operations."),
        click.option(
            "--until", multiple=True, metavar="OP", help="Only OP and what it needs; repeatable."
        ),
        click.option(
            "--from",
            "from_",
            multiple=True,
            metavar="OP",
            help="Only OP and what needs it; repeatable.",
        ),
        click.option("--only", multiple=True, metavar="OP", help="Only OP; repeatable."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="OP.ATTRIBUTE=VALUE",
            help="Change an attribute; repeatable.",
        ),
        click.option("--account", metavar="NAME", help="Account that the jobs are charged to."),
        click.option("--site", metavar="NAME", help="Where to run: a name from `dfh site list`."),
        click.argument("pipeline", required=False, default="pipeline.yaml"),
    ):
        function = decorate(function)
    return function


execution_argument = click.argument("execution", required=False, default="latest")
"""EXEC: an id, the start or number of one, a path, or `latest` (the default)."""


def request_from(options: dict[str, Any]) -> Request:
    """Return the request that the options of `pipeline_options` make."""
    from deepforge_hpc.api.pipelines import Request

    return Request(
        pipeline=Path(options.pop("pipeline")),
        **{name: options.pop(name) for name in _REQUEST if name in options},
    )


_REQUEST = ("site", "account", "overrides", "only", "from_", "until", "python")
