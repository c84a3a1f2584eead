"""`dfh arch check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deepforge_hpc.cli.commands.arch import file_argument, python_option
from deepforge_hpc.cli.options import output_options
from deepforge_hpc.cli.views.display import Display
from deepforge_hpc.errors import InvalidInputError


@click.command("check")
@file_argument
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Examples in a batch, for the memory.",
)
@click.option(
    "--optimizer", default="", metavar="NAME", help="Estimate the memory of training with it."
)
@click.option(
    "--precision",
    default="",
    metavar="NAME",
    help="What layers compute in: mixed_bfloat16, mixed_float16.",
)
@click.option("--site", default="", metavar="NAME", help="Tell whether its GPUs have that memory.")
@click.option(
    "--loss", default="", metavar="LOSS", help="Check that outputs fit it: NAME or {NAME: {...}}."
)
@python_option
@click.option("--exact", is_flag=True, help="Import layers of the project as well.")
@click.option("-v", "--verbose", is_flag=True, help="Show the framework's own words.")
@output_options
def check(display: Display, file: Path, *, verbose: bool, **options: Any) -> int:
    """Let the framework check a network layer by layer.

    Prints the output, the parameters, the multiply-accumulates for one example (MACS, of kernels,
    recurrence and attention) and the memory of the activations of each layer, and every error at
    its layer. Keras, or PyTorch, runs in a limited process and computes nothing. What it says is
    kept in ~/.cache/deepforge-hpc, so that the next look is quick.

    With --site or --optimizer (Adam, if only a site is named), what training takes of a GPU is
    estimated: weights, gradients, what the optimizer keeps, activations; and for each kind of GPU
    of the site, whether it has that, and the largest batch that fits.

    \b
    Example:
      dfh arch check architectures/pasquet.yaml --batch 128
    """
    from deepforge_hpc.api import arch_check
    from deepforge_hpc.cli.views.arch_check import checked_lines, error_lines

    found = arch_check.check(file, **options)
    display.notices(found.notices)
    display.result(found.to_dict(), checked_lines(found))
    for line in error_lines(found, verbose=verbose):
        display.talk(line)
    return InvalidInputError.exit_code if found.errors else 0
