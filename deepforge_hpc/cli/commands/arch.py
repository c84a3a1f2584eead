"""`dfh arch new | show | summary | plot | diff`."""

from __future__ import annotations

from pathlib import Path

import click

from deepforge_hpc.api import arch
from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options, together
from deepforge_hpc.cli.views.arch import diff_lines, network_lines, summary_lines
from deepforge_hpc.cli.views.display import Display, listing

DIFFERS = 8
file_argument = click.argument("file", type=click.Path(path_type=Path))
python_option = click.option(
    "--python", default="", metavar="PATH", help="Python that has the framework."
)
output_file_options = together(
    click.option("--force", is_flag=True, help="Replace FILE if it is there."),
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here."
    ),
)


@click.group(
    "arch",
    cls=LazyGroup,
    entries=(
        LazyCommand("new", "Write an architecture file of a known network.", "arch", "new"),
        LazyCommand("show", "Show a network layer by layer.", "arch", "show"),
        LazyCommand("summary", "Show a network in numbers.", "arch", "summary"),
        LazyCommand("plot", "Draw a network.", "arch", "plot"),
        LazyCommand("diff", "Show where two networks differ.", "arch", "diff"),
        LazyCommand(
            "check", "Let the framework check a network layer by layer.", "arch_check", "check"
        ),
        LazyCommand("doc", "Explain a layer and its arguments.", "arch_doc", "doc"),
        LazyCommand(
            "export",
            "Write a network as Python, as Keras' JSON or for Graphviz.",
            "arch_exchange",
            "export",
        ),
        LazyCommand(
            "import", "Make an architecture file of a saved model.", "arch_exchange", "import_"
        ),
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


library_option = click.option(
    "--library", "of", metavar="NAME", default="", help="Library that it is of: keras, torch, ..."
)


@click.command("new")
@click.option("--from", "name", metavar="NAME", help="Network to begin with.")
@library_option
@output_file_options
@output_options
def new(
    display: Display, /, *, name: str | None, of: str, output: Path | None, force: bool
) -> None:
    """Write an architecture file of a known network.

    Without --from, the networks that come along are listed; without --library, those of Keras.

    \b
    Example:
      dfh arch new --from unet -o architectures/unet.yaml
    """
    if name is None:
        found = arch.examples(of or arch.DEFAULT)
        names = [{"name": item.name, "about": item.about} for item in found]
        document = {"schema": "dfh/networks/1", "networks": names}
        display.result(document, listing((("NETWORK", "name"), ("WHAT", "about")), found))
        return
    show_file(display, arch.new(name, output, of=of or arch.DEFAULT, force=force))


def show_file(display: Display, found: arch.WrittenFile) -> None:
    """Say where a file was written, or show it."""
    display.result(found.to_dict(), [found.path] if found.path else found.text.splitlines())


@click.command("show")
@file_argument
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


@click.command("summary")
@file_argument
@output_options
def summary(display: Display, file: Path) -> None:
    """Show a network in numbers.

    How many layers of which kind, how deep, and how many parameters, where its framework is at
    hand.

    \b
    Example:
      dfh arch summary architectures/resnet50.yaml
    """
    from deepforge_hpc.api.arch_summary import summarize

    found = summarize(file)
    display.result(found.to_dict(), summary_lines(found))


@click.command("plot")
@file_argument
@output_file_options
@output_options
def plot(display: Display, /, *, file: Path, output: Path | None, force: bool) -> None:
    """Draw a network.

    Makes an SVG: a box for each run of layers, its edges numbered where their order may matter,
    and shapes where its framework is at hand. The names of layers show under the pointer.

    \b
    Example:
      dfh arch plot architectures/resnet50.yaml -o resnet50.svg
    """
    from deepforge_hpc.api.arch_summary import plot as draw

    show_file(display, draw(file, output, force=force))


@click.command("diff")
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("two", type=click.Path(path_type=Path))
@output_options
def diff(display: Display, one: Path, two: Path) -> int:
    """Show where two networks differ.

    The expanded networks are compared, not the files: layers that were added, removed, renamed or
    wired anew, and arguments that were changed. Layers are paired by name, and where the names do
    not help, by their order. Exit code: 0 if they are equal, 8 if they differ.

    \b
    Example:
      dfh arch diff architectures/pasquet.yaml architectures/deepforge-a.yaml
    """
    found = arch.diff(one, two)
    display.result(found.to_dict(), diff_lines(found))
    return DIFFERS if found.changes else 0
