"""The `dfh` command: its table of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import click

from deepforge_hpc import __version__
from deepforge_hpc.cli import is_interruption
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.errors import DeepforgeHpcError, StorageError, UsageError

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_REFUSALS = {
    *(errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR),
}

_PREPARE, _RUN, _LOOK = "Prepare", "Run", "Look back"
_ENTRIES = (
    LazyCommand("check", "Check a pipeline file.", section=_PREPARE),
    LazyCommand("plan", "Show the jobs of a pipeline.", section=_PREPARE),
    LazyCommand("render", "Write the batch scripts.", section=_PREPARE),
    LazyCommand("arch", "Look at and write architecture files.", section=_PREPARE),
    LazyCommand("operations", "List and explain operations.", section=_PREPARE),
    LazyCommand("site", "Show the known sites.", section=_PREPARE),
    LazyCommand("schema", "Print the JSON Schema of a kind of file.", section=_PREPARE),
    LazyCommand("doctor", "Check that a site is ready for a pipeline.", section=_PREPARE),
    LazyCommand("submit", "Submit a pipeline and return.", section=_RUN),
    LazyCommand("run", "Submit a pipeline and follow it.", "submit", "run_command", _RUN),
    LazyCommand("status", "Show what the jobs do.", section=_RUN),
    LazyCommand("logs", "Show what a job printed.", section=_RUN),
    LazyCommand("cancel", "Cancel an execution's jobs.", section=_RUN),
    LazyCommand("resume", "Run again what did not succeed.", section=_RUN),
    LazyCommand("report", "Write the report anew.", section=_LOOK),
    LazyCommand("metrics", "Write metrics for other programs.", section=_LOOK),
    LazyCommand("model", "Look into trained models, and export them.", section=_LOOK),
    LazyCommand("executions", "List or remove executions.", section=_LOOK),
    LazyCommand("prov", "Explain and verify results.", section=_LOOK),
)


def _set_logging(ctx: click.Context, param: click.Parameter, count: int) -> None:  # noqa: ARG001 -- click's signature
    if count:
        import logging

        level = logging.DEBUG if count > 1 else logging.INFO
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
        )


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 -- click's signature
    ctx.ensure_object(Display).debug = value


@click.group(
    cls=LazyGroup,
    entries=_ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command explains itself with an example: dfh COMMAND --help",
)
@click.version_option(__version__, prog_name="dfh", message="%(prog)s %(version)s")
@click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_set_logging,
    help="Log to stderr; twice: every command that is run.",
)
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an unexpected error.",
)
def dfh() -> None:
    """Deep-learning pipelines as guarded chains of Slurm jobs, with provenance."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    display = Display(as_json=_asks_json(arguments))
    _tolerate_narrow_encodings()
    try:
        code = _invoke(arguments, display)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 -- the outer edge: everything becomes a message and an exit code
        return _explain(error, display, arguments)
    return code if isinstance(code, int) else 0


def _invoke(arguments: Sequence[str], display: Display) -> object:
    """Run a command; click's own `main` would turn a closed pipe into a plain failure."""
    if "_DFH_COMPLETE" in os.environ:
        return dfh.main(list(arguments), prog_name="dfh")
    try:
        with dfh.make_context(
            "dfh", list(arguments), obj=display, terminal_width=_terminal_width()
        ) as context:
            return dfh.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


def _explain(error: BaseException, display: Display, arguments: Sequence[str]) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        display.discard()
        return _BROKEN_PIPE
    if is_interruption(error):
        if str(error) and isinstance(
            error, KeyboardInterrupt
        ):  # what the interrupted work has left
            display.talk(str(error))
        return _INTERRUPTED
    if isinstance(error, click.Abort):
        # A question was answered with no, or with Ctrl-C or Ctrl-D.
        return 1
    if display.debug and not isinstance(error, click.ClickException):
        import traceback

        display.talk("".join(traceback.format_exception(error)))
    known = _as_known(error, arguments)
    try:
        display.error(known)
    except OSError:
        # The terminal may be what was lost.
        display.discard()
    return known.exit_code


def _as_known(error: BaseException, arguments: Sequence[str]) -> DeepforgeHpcError:
    """Return the error as one of ours; what nobody expected is a bug."""
    if isinstance(error, DeepforgeHpcError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "dfh"
        return UsageError(error.format_message(), f"{path} --help shows the usage.")
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        from deepforge_hpc.runtime.base.failure import os_hint

        place = f"{error.filename}: " if error.filename else ""
        hint = f"Nothing more was written. {os_hint(error)}".rstrip()
        return StorageError(f"{place}{error.strerror}", hint)
    from deepforge_hpc.cli.hidden import explain_hidden

    text, hint = explain_hidden(error)
    if text:
        return UsageError(text, hint)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        # Of `Path.resolve` before Python 3.13, whatever the path was.
        return StorageError(f"{error}: it leads to itself", "Name another, or remove that link.")
    import shlex

    command = shlex.join(["dfh", "--debug", *arguments])
    return DeepforgeHpcError(
        f"a bug in dfh {__version__}: {type(error).__name__}: {error}{_origin(error)}",
        "Please report it (README.md, 'When something goes wrong') with the output of: " + command,
    )


def _origin(error: BaseException) -> str:
    """Return the innermost line of ours that the error went through."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if f"{os.sep}deepforge_hpc{os.sep}" in file:
            place = f" ({file.rpartition(os.sep)[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _terminal_width() -> int:
    """Return the width of help texts; click itself would import shutil for this, and that lzma."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 80
    return max(50, min(columns, 100) - 2)


def _asks_json(arguments: Sequence[str]) -> bool:
    """Tell whether errors must be JSON too, before click has understood the line."""
    return (
        "--json" in arguments
        or "--format=json" in arguments
        or ("--format", "json") in pairwise(arguments)
    )


def _tolerate_narrow_encodings() -> None:
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def run() -> NoReturn:
    """Be the process `dfh`."""
    sys.exit(main())


if __name__ == "__main__":
    run()
