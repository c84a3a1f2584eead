"""Trained models: what is in them, and in forms of other programs."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.libraries.keras.models.result import InspectedLayer, SaliencyMap
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.runtime.base.codec import decode
from deepforge_hpc.runtime.base.text import listed

if TYPE_CHECKING:
    from deepforge_hpc.api.find import FoundExecution
    from deepforge_hpc.libraries.keras.models.run import ModelTask

_FORMAT = "keras"


class LayerCourse(NamedTuple):
    """What a training recorded of a layer: `gradients` or `activations`, by epoch."""

    what: str
    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedModel(JsonResult, schema="dfh/model-inspection/1"):
    """A trained model, looked into."""

    path: str
    name: str
    keras: str
    backend: str
    parameters: int
    layers: tuple[InspectedLayer, ...]
    examples: int
    """How many it was given."""
    saliency: tuple[SaliencyMap, ...]
    courses: tuple[LayerCourse, ...] = ()
    figures: tuple[str, ...] = ()
    """Files that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel(JsonResult, schema="dfh/model-export/1"):
    """A model in another form."""

    source: str
    path: str
    form: str
    size: int
    compared: str
    worst: float | None = None
    """Largest |difference| / (1 + |output of Keras|); None where bits were compared."""


def inspect(  # noqa: PLR0913 - the choices of one call, by their names
    reference: str,
    cwd: Path,
    *,
    inputs: Path | None = None,
    examples: int = 256,
    unit: int | None = None,
    figures: Path | None = None,
    python: str = "",
    trusted: bool = False,
    force: bool = False,
) -> InspectedModel:
    """Return what is in a model: a .keras file, or an output of an execution.

    With a job of an execution comes what its training recorded. `figures`: a folder for pictures.
    """
    if unit is not None and inputs is None:
        raise UsageError(
            f"--unit {unit} is of examples, and there are none", "Give them by --inputs."
        )
    path, found, job = find_model(reference, cwd)
    task = _task(python, trusted, task="inspect", examples=examples, unit=unit, inputs=inputs)
    answer = _ask(path, task)
    return _with_figures(
        InspectedModel(
            path=str(path),
            **{
                name: answer[name]
                for name in ("name", "keras", "backend", "parameters", "examples")
            },
            layers=tuple(decode(InspectedLayer, one) for one in answer["layers"]),
            saliency=tuple(decode(SaliencyMap, one) for one in answer["saliency"]),
            courses=_courses(found, job) if found else (),
        ),
        figures,
        force=force,
    )


def _with_figures(found: InspectedModel, folder: Path | None, *, force: bool) -> InspectedModel:
    if folder is None:
        return found
    from dataclasses import replace

    from deepforge_hpc.api.arch import write_file
    from deepforge_hpc.api.model_figures import figures

    drawn = {folder / f"{name}.svg": text for name, text in figures(found).items()}
    if not force and (there := [str(path) for path in drawn if os.path.lexists(path)]):
        message = f"{listed(there, 3)} {'is' if len(there) == 1 else 'are'} there already"
        raise UsageError(message, "Give another folder, or --force.")
    paths = [write_file(text, path, force=True).path for path, text in drawn.items()]
    return replace(found, figures=tuple(paths))


def _courses(found: FoundExecution, job: str) -> tuple[LayerCourse, ...]:
    from deepforge_hpc.api.metrics import read_runs, stepped

    runs, _ = read_runs(found, job)
    courses: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for point, step in stepped(runs.get(job, [])):
        what, _, name = point.name.partition("/")
        if what in {"gradients", "activations"} and name:
            courses.setdefault((what, name), []).append((step, point.value))
    return tuple(LayerCourse(*key, tuple(points)) for key, points in courses.items())


def export(
    reference: str,
    cwd: Path,
    form: str,
    output: Path,
    *,
    python: str = "",
    trusted: bool = False,
    force: bool = False,
) -> ExportedModel:
    """Write a model in another form; it has its name once it was compared with what Keras has."""
    path, _, _ = find_model(reference, cwd)
    if os.path.lexists(output) and not force:
        raise UsageError(f"{output} is there already", "Give another file, or --force.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
            made = Path(folder).resolve() / f"model.{form}"
            backend = "torch" if form == "onnx" else ""
            task = _task(python, trusted, task=form, backend=backend, out=str(made))
            answer = _ask(path, task)
            if others := [one.name for one in Path(folder).iterdir() if one.name != made.name]:
                raise UsageError(
                    f"the network is too large for one file of ONNX: it needs {listed(others, 3)} "
                    "beside it",
                    "--to safetensors has no such limit.",
                )
            made.replace(output)
    except OSError as error:
        raise StorageError(f"{output}: {error.strerror}", "Give another file.") from error
    return ExportedModel(
        source=str(path),
        path=str(output),
        form=form,
        size=output.stat().st_size,
        compared=answer["compared"],
        worst=answer.get("worst"),
    )


def _task(python: str, trusted: bool, *, inputs: Path | None = None, **words: Any) -> ModelTask:
    from deepforge_hpc.libraries.keras.models.run import ModelTask

    if inputs is not None and not inputs.is_file():
        raise UsageError(f"{inputs}: there is no such file", "--inputs takes a .npy or .npz file.")
    given = str(inputs.resolve()) if inputs else ""
    return ModelTask(python=_interpreter(python), trusted=trusted, inputs=given, **words)


def _interpreter(python: str) -> str:
    if not python:
        return sys.executable
    import shutil

    if (found := shutil.which(python)) is None:
        raise UsageError(f"--python {python!r}: there is no such program on this machine")
    return os.path.abspath(found)  # noqa: PTH100 - a link of a virtual environment is kept


def _ask(path: Path, task: ModelTask) -> dict[str, Any]:
    from deepforge_hpc.libraries.keras.models.run import ask

    return ask(path, task)


def find_model(reference: str, cwd: Path) -> tuple[Path, FoundExecution | None, str]:
    """Return the file of a model, and the execution and job that made it, if they are named.

    A file by its path; EXECUTION, EXECUTION/JOB or EXECUTION/JOB/OUTPUT by the outputs that are
    models. UsageError if none or several fit.
    """
    path = cwd / reference
    if path.is_file():
        return path, None, ""
    if reference.endswith(".keras"):
        raise UsageError(f"{reference}: there is no such file", "Or name EXECUTION/JOB.")
    from deepforge_hpc.api.find import find_execution, split_job
    from deepforge_hpc.runtime.state.read import read_files

    execution, job = split_job(reference, cwd)
    name = ""
    if os.sep in execution and not (cwd / execution).exists():
        name, (execution, job) = job, split_job(execution, cwd)
    found = find_execution(execution, cwd)
    models = {
        (key[0], output): found.layout.job(*key).root / made.path
        for key, unit in read_files(found.layout.root).units.items()
        if unit.found.marker is not None and job in {"", key[0]}
        for output, made in unit.found.marker.outputs.items()
        if made.format == _FORMAT and name in {"", output}
    }
    if len(models) == 1:
        ((job, _),) = models
        return next(iter(models.values())), found, job
    labels = [f"{found.id}/{job}/{output}" for job, output in models]
    if models:
        raise UsageError(f"{reference}: several models fit", f"One of {listed(labels, 9)}.")
    of = f"/{job}" if job else ""
    hint = (
        "Name a .keras file, or a job that made one; what PyTorch has trained is not looked into."
    )
    raise UsageError(f"{found.id}{of} has no output that is a Keras model", hint)
