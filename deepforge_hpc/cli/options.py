"""Options that several commands share, each defined once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deepforge_hpc.cli.views.display import Display

if TYPE_CHECKING:
    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.api.pipelines import Request

F = TypeVar("F", bound="Callable[..., object]")


def _set_format(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> None:  # noqa: ARG001 -- click's signature
    if value in {"json", True}:
        ctx.ensure_object(Display).as_json = True


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return a decorator that adds several options; `--help` shows the last of them first."""
    return lambda function: functools.reduce(lambda found, add: add(found), options, function)


def _many(*names: str, metavar: str = "OP", help: str) -> Callable[[Any], Any]:  # noqa: A002 - click's
    return click.option(*names, multiple=True, metavar=metavar, help=f"{help}; repeatable.")


_format = functools.partial(click.option, expose_value=False, callback=_set_format)
output_options = together(
    click.pass_obj,
    _format("--json", is_flag=True, help="Short for --format json."),
    _format(
        "--format",
        type=click.Choice(["text", "json"]),
        help="How to print the result.  [default: text]",
    ),
)
"""`--format text|json` and its short form `--json`; the command gets its Display by it."""

waiting_options = together(
    click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the jobs.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask."),
)
"""Of a command that sends small jobs and waits for them."""

pipeline_options = together(
    click.option("--python", metavar="PATH", help="Interpreter that runs the operations."),
    _many("--until", help="Only OP and what it needs"),
    _many("--from", "from_", help="Only OP and what needs it"),
    _many("--only", help="Only OP"),
    _many(
        "--set",
        "overrides",
        metavar="OP.ATTRIBUTE=VALUE",
        help="Change an attribute, or OP.resources.KEY",
    ),
    click.option("--account", metavar="NAME", help="Account that the jobs are charged to."),
    click.option("--site", metavar="NAME", help="Where to run: a name from `dfh site list`."),
    click.argument("pipeline", required=False, default="pipeline.yaml"),
)
"""PIPELINE and what changes how it is loaded."""


def the_execution(display: Display, reference: str, *, acts: bool = False) -> FoundExecution:
    """Return the execution that a reference means here; what is printed then is about it."""
    from deepforge_hpc.api.find import find_execution

    cwd = Path.cwd()
    found = find_execution(reference, cwd, acts=acts)
    if found.info.project != str(cwd):  # where most stand, all steps are right as they are
        from deepforge_hpc.api.steps import Steps

        display.steps = Steps.of_execution(found.layout.root, found.info, cwd)
    return found


def the_job(display: Display, reference: str) -> tuple[FoundExecution, str]:
    """Return the execution that EXECUTION or EXECUTION/JOB means here, and the job or ""."""
    from deepforge_hpc.api.find import split_job

    execution, job = split_job(reference, Path.cwd())
    return the_execution(display, execution), job


execution_argument = click.argument("execution", required=False, default="latest")
"""EXEC: an id, the start or number of one, a path, or `latest` (the default)."""

job_argument = click.argument("execution", metavar="[EXECUTION[/JOB]]", default="latest")
"""The same, or a job of it."""


def is_given(argument: str) -> bool:
    """Tell whether an argument of the command was given, even as what it is by default."""
    source = click.get_current_context().get_parameter_source(argument)
    return source is not click.core.ParameterSource.DEFAULT


def request_from(options: dict[str, Any]) -> Request:
    """Return the request that the options of `pipeline_options` make."""
    from deepforge_hpc.api.pipelines import Request

    return Request(
        pipeline=Path(options.pop("pipeline")),
        **{name: options.pop(name) for name in _REQUEST if name in options},
    )


_REQUEST = ("site", "account", "overrides", "only", "from_", "until", "python")
