"""`dfh arch new | show`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import arch
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.arch import network_lines
from deepforge_hpc.cli.views.display import Display, listing

output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here."
)


@click.group(
    "arch",
    cls=LazyGroup,
    entries=(
        LazyCommand("new", "Write an architecture file of a known network.", "arch", "new"),
        LazyCommand("show", "Show a network layer by layer.", "arch", "show"),
    ),
)
def command() -> None:
    """Look at and write architecture files.

    An architecture file says a network as data: layers by name, with blocks for what repeats.

    \b
    Example:
      dfh arch new --from resnet50 -o architectures/resnet50.yaml
      dfh arch show architectures/resnet50.yaml
    """


@click.command("new")
@click.option("--from", "name", metavar="NAME", help="Network to begin with.")
@output_option
@output_options
def new(display: Display, /, *, name: str | None, output: Path | None) -> None:
    """Write an architecture file of a known network.

    Without --from, the networks that come along are listed.

    \b
    Example:
      dfh arch new --from unet -o architectures/unet.yaml
    """
    if name is None:
        found = arch.examples()
        names = [{"name": item.name, "about": item.about} for item in found]
        document = {"schema": "dfh/networks/1", "networks": names}
        display.result(document, listing((("NETWORK", "name"), ("WHAT", "about")), found))
        return
    show_file(display, arch.new(name, output))


def show_file(display: Display, found: arch.WrittenFile) -> None:
    """Say where a file was written, or show it."""
    display.result(found.to_dict(), [found.path] if found.path else found.text.splitlines())


@click.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
def show(display: Display, file: Path) -> None:
    """Show a network layer by layer.

    Blocks are expanded: one line for each layer, with what it is called on and its arguments.

    \b
    Example:
      dfh arch show architectures/pasquet.yaml
    """
    found = arch.show(file)
    display.result(found.to_dict(), network_lines(found))
