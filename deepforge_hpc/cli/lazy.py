"""Command groups that know the help of their commands without importing one of them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from deepforge_hpc.cli.views.display import if_interrupted
from deepforge_hpc.errors import UsageError

_COMMANDS = "deepforge_hpc.cli.commands"


class LazyCommand(NamedTuple):
    """One command of a group."""

    name: str
    help: str
    """The line of the group's help; a test holds it equal to the command's own."""
    module: str = ""
    """Module below `deepforge_hpc.cli.commands`, if it is not called like the command."""
    attribute: str = "command"
    """What the command is called in it."""
    section: str = "Commands"


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and for nothing else."""

    def __init__(self, *args: Any, entries: Sequence[LazyCommand] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = {entry.name: entry for entry in entries}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help to whoever types the name of the group alone."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; a close name is suggested for an unknown one."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            from deepforge_hpc.files.faults import near

            meant = near(cmd_name, self.entries)
            hint = f" Did you mean {meant!r}?" if meant else ""
            ctx.fail(f"No such command {cmd_name!r}.{hint}")
        with if_interrupted("Nothing was done."):
            module = importlib.import_module(f"{_COMMANDS}.{entry.module or cmd_name}")
        found = getattr(module, entry.attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        """Write the table's lines, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for entry in self.entries.values():
            sections.setdefault(entry.section, []).append((entry.name, entry.help))
        for section, lines in sections.items():
            with formatter.section(section):
                formatter.write_dl(lines)
