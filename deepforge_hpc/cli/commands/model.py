"""`dfh model inspect | export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deepforge_hpc.cli.lazy import LazyCommand, LazyGroup
from deepforge_hpc.cli.options import output_options, together
from deepforge_hpc.cli.views.display import Display

_PATH = click.Path(path_type=Path)
_model_options = together(
    click.option("--force", is_flag=True, help="Replace files that are there."),
    click.option("--trust", "trusted", is_flag=True, help="Run code that the file holds."),
    click.option("--python", default="", metavar="PATH", help="Interpreter that has Keras."),
)


@click.group(
    "model",
    cls=LazyGroup,
    entries=(
        LazyCommand("inspect", "Look into a trained model.", "model", "inspect"),
        LazyCommand("export", "Write a trained model in another form.", "model", "export"),
    ),
)
def command() -> None:
    """Look into trained models, and export them.

    MODEL is a .keras file, or an output of an execution: EXECUTION/JOB, or EXECUTION/JOB/OUTPUT
    where a job has several models. A Keras reads it in a limited process. A file that holds code is
    refused, unless you --trust it.

    \b
    Example:
      dfh model inspect redshift-0007/train
    """


@click.command("inspect")
@click.argument("model")
@click.option("--inputs", type=_PATH, metavar="FILE", help="Examples: .npy, or .npz by input.")
@click.option(
    "--examples",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="How many of them to take.",
)
@click.option("--unit", type=click.IntRange(0), help="Output for the saliency; else the largest.")
@click.option("--figures", type=_PATH, metavar="FOLDER", help="Draw figures into it.")
@_model_options
@output_options
def inspect(display: Display, model: str, **options: Any) -> None:
    """Look into a trained model.

    A line for each layer: parameters, Euclidean norm and largest of its weights, and how many of
    its units are idle: by weights that are all zero or, with --inputs, because they were zero for
    every example. --figures draws this, the gradients by the inputs of four examples (saliency),
    and for a job what its training recorded (`record` of Train).

    \b
    Example:
      dfh model inspect redshift-0007/train --inputs some.npy --figures inside
    """
    from deepforge_hpc.api import model as models
    from deepforge_hpc.cli.views.model import inspected_lines

    found = models.inspect(model, Path.cwd(), **options)
    display.result(found.to_dict(), inspected_lines(found))


@click.command("export")
@click.argument("model")
@click.argument("output", type=_PATH)
@click.option(
    "--to", "form", type=click.Choice(["safetensors", "onnx"]), required=True, help="Form to write."
)
@_model_options
@output_options
def export(display: Display, model: str, output: Path, form: str, **options: Any) -> None:
    """Write a trained model in another form.

    safetensors: all weights, by the paths of their layers. onnx: the network, by Keras on PyTorch,
    with onnx, onnxscript and onnxruntime; --python names an interpreter that has them. What was
    written is compared with what Keras has before the file gets its name.

    \b
    Example:
      dfh model export redshift-0007/train redshift.safetensors --to safetensors
    """
    from deepforge_hpc.api import model as models
    from deepforge_hpc.cli.views.model import exported_lines

    found = models.export(model, Path.cwd(), form, output, **options)
    display.result(found.to_dict(), exported_lines(found))
