"""Architecture files built by their framework: shapes, costs and errors of each layer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.api import arch
from deepforge_hpc.api.examination import software
from deepforge_hpc.errors import Fault, InvalidInputError, UsageError
from deepforge_hpc.files.faults import nearest, shown
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.paths import project_root
from deepforge_hpc.runtime.base.notice import Notice

if TYPE_CHECKING:
    from deepforge_hpc.api.arch_memory import TrainingMemory
    from deepforge_hpc.libraries.networks.graph import Graph, LayerCall
    from deepforge_hpc.libraries.networks.trial.judge import Judge
    from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, NoTrial
    from deepforge_hpc.libraries.networks.trial.tried import RefusedLayer, Tried


class LayerError(NamedTuple):
    """What is wrong with a layer."""

    message: str
    hint: str
    file: str
    line: int
    column: int
    type: str
    """The exception's class; empty for a fault that needs no framework."""
    said: str
    """In the framework's own words."""
    came_through: tuple[str, ...]
    """Blocks and repetitions, the outermost first."""


class CheckedLayer(NamedTuple):
    """A layer, and what it costs; what nobody knows is None."""

    name: str
    kind: str
    file: str
    line: int
    output: tuple[tuple[int | None, ...], ...]
    """The shape of each output, with the batch; empty if it is not known."""
    dtype: str
    parameters: int | None
    operations: int | None
    """Multiply-accumulates for one example."""
    activations: int | None
    """Bytes for the batch."""
    errors: tuple[LayerError, ...] = ()


class Total(NamedTuple):
    """A sum; `is_least` if something in it is not known."""

    value: int
    is_least: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedArchitecture(JsonResult, schema="dfh/arch-check/2"):
    """A network, built."""

    name: str
    path: str
    framework: str
    """What it is a network of: Keras, ..."""
    version: str
    """That built it; empty if none did: shapes are not checked."""
    backend: str
    """What the framework works with, if that is another package."""
    cached: bool
    batch: int
    layers: tuple[CheckedLayer, ...]
    parameters: Total
    trained: Total
    operations: Total
    activations: Total
    errors: tuple[LayerError, ...]
    notices: tuple[Notice, ...]
    memory: TrainingMemory | None = None
    """Of a GPU, if it was asked for and the network was built."""


def check(
    path: Path,
    *,
    batch: int = 32,
    python: str = "",
    exact: bool = False,
    loss: str = "",
    precision: str = "",
    optimizer: str = "",
    site: str = "",
) -> CheckedArchitecture:
    """Return what a framework says of a file; InvalidInputError for faults where it cannot look.

    Layers with faults that need no framework are not built, and the others are. `python`: an
    interpreter with the framework, in place of dfh's own. `exact`: import the project's own
    layers too. `precision`: what all layers compute in but the last ones. `optimizer` or `site`:
    tell what training takes of a GPU, and whether the site's have that.
    """
    from deepforge_hpc.api.arch_memory import fit
    from deepforge_hpc.libraries.networks.trial.notices import not_there
    from deepforge_hpc.libraries.networks.trial.result import NoTrial
    from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
    from deepforge_hpc.libraries.networks.trial.tried import try_out

    graph, faults = arch.partial_network(path)
    if graph is None:
        raise InvalidInputError(faults)
    judge = arch.library(graph.library).judge()
    judged = _loss(judge, loss) if loss else None
    fitted = fit(judge, optimizer, site)
    if precision and precision not in judge.precisions:
        hint = nearest(precision, judge.precisions) or f"{judge.framework} has no such policy"
        raise UsageError(f"--precision {shown(precision)} cannot be used", hint)
    interpreter = _interpreter(python)
    # As in a pipeline: beside its file, which mostly is here, and in the project's root.
    places = (Path.cwd(), project_root(path.parent)[0], path.parent.resolve())
    folders = tuple(dict.fromkeys(map(str, places))) if exact else ()
    setting = TrialSetting.of(
        judge, interpreter, is_jobs=bool(python), folders=folders, precision=precision
    )
    has = software(interpreter, judge.packages)
    found: Tried | NoTrial = NoTrial("none")
    if python or any(name == judge.package for name, _ in has):
        found = try_out(graph, setting, has)
    if not isinstance(found, NoTrial):
        absent = () if exact else tuple(_absent(graph, path))
        faults = (*faults, *absent)
        return fitted(tried_network(found, path, batch=batch, loss=judged, faults=faults))
    if faults := (*faults, *_absent(graph, path)):
        raise InvalidInputError(faults)
    if python:
        hint = f"install {judge.needs} there, or name another"
        raise UsageError(f"--python {python}: {not_there(judge, found)}", hint)
    return _untried(judge, graph, path, batch, found)


def _absent(graph: Graph, path: Path) -> Iterator[Fault]:
    """Yield what of its own code the project has not; nothing of it is imported."""
    why = arch.why_not(path)
    for name, place in graph.objects.items():
        if said := why(name):
            yield place.fault(said)


def _loss(judge: Judge, text: str) -> object:
    """Return a loss as it stands in a pipeline, or such for each output, from what was typed.

    UsageError for what is no loss: nothing would be said of it.
    """
    from deepforge_hpc.files.yaml12 import parse_value
    from deepforge_hpc.operations.spec import FORM, is_by_output, parse

    known = judge.losses()
    loss = parse_value(text, "--loss")
    is_each = isinstance(loss, dict) and is_by_output(loss, known.__contains__)
    for one in loss.values() if isinstance(loss, dict) and is_each else (loss,):
        try:
            name, _ = parse(one)
        except ValueError:
            raise UsageError(f"--loss {shown(text)} is no loss", f"write {FORM}") from None
        if name not in known:
            hint = nearest(name, known) or "leave it out for a loss of your own"
            raise UsageError(f"--loss {shown(name)}: {judge.framework} has no such loss", hint)
    return loss


def _interpreter(python: str) -> str:
    if not python:
        return sys.executable
    import shutil

    found = shutil.which(python)
    if found is None:
        raise UsageError(f"--python {python!r}: there is no such program on this machine")
    return os.path.abspath(found)  # noqa: PTH100 - a link of a virtual environment is kept


def _untried(
    judge: Judge, graph: Graph, path: Path, batch: int, why: NoTrial
) -> CheckedArchitecture:
    layers = tuple(
        CheckedLayer(
            call.name, call.kind, call.place.file, call.place.line, (), "", None, None, None
        )
        for call in graph.calls
    )
    from deepforge_hpc.libraries.networks.trial.notices import not_tried

    nothing = Total(0, True)
    return CheckedArchitecture(
        name=graph.name,
        path=str(path),
        framework=judge.framework,
        version="",
        backend="",
        cached=False,
        batch=batch,
        layers=layers,
        parameters=nothing,
        trained=nothing,
        operations=nothing,
        activations=nothing,
        errors=(),
        notices=(not_tried(judge, why, str(path)),),
    )


def tried_network(
    found: Tried, path: Path, *, batch: int, loss: object = None, faults: tuple[Fault, ...] = ()
) -> CheckedArchitecture:
    """Return a trial as what the command shows."""
    from deepforge_hpc.libraries.networks.trial import costs
    from deepforge_hpc.libraries.networks.trial.notices import notices

    errors = [(one.call, _error(one)) for one in found.refused()]
    every = [*map(_fault, faults), *(error for _, error in errors)]
    layers = tuple(_layers(found, batch, errors))
    is_part = bool(faults)
    parameters = _total((layer.parameters for layer in layers), is_part=is_part)
    fixed = sum(_fixed(call, built) for _, call, built in found.layers)
    kept = [layer.activations for layer in layers]
    kept += [costs.tensor_bytes(one.shape, one.dtype, batch) for one in found.graph.inputs]
    return CheckedArchitecture(
        name=found.graph.name,
        path=str(path),
        framework=found.judge.framework,
        version=found.trial.version,
        backend=found.trial.backend,
        cached=found.is_cached,
        batch=batch,
        layers=layers,
        parameters=parameters,
        trained=parameters._replace(value=parameters.value - fixed),
        operations=_total((layer.operations for layer in layers), is_part=is_part),
        activations=_total(kept, is_part=is_part),
        errors=tuple(sorted(every, key=lambda error: (error.file, error.line, error.column))),
        notices=tuple(notices(found, loss)),
    )


def _layers(
    found: Tried, batch: int, errors: list[tuple[LayerCall | None, LayerError]]
) -> Iterator[CheckedLayer]:
    from deepforge_hpc.libraries.networks.trial import costs

    inside: dict[str, list[CheckedLayer]] = {}
    for name, call, built in found.layers:
        its = tuple(error for of, error in errors if of is call)
        place = (name, call.kind, call.place.file, call.place.line)
        if built is None or not built.outputs:
            layer = CheckedLayer(*place, (), "", None, None, None, its)
        elif call.model is not None:  # its layers stand above it, for its first use
            first = name.removesuffix(call.name) + call.shared
            again = inside.get(first, []) if call.shared else []
            operations = _sum(one.operations for one in again)
            kept = _sum(one.activations for one in again)
            layer = CheckedLayer(*place, built.outputs, built.dtype, 0, operations, kept, its)
        else:
            layer = CheckedLayer(
                *(*place, built.outputs, built.dtype),
                parameters=0 if call.shared else costs.parameters(built),
                operations=found.judge.operations(built),
                activations=costs.activations(built, batch, found.judge.inside(built)),
                errors=its,
            )
        yield layer
        parts = name.split(".")
        for end in range(1, len(parts)):
            inside.setdefault(".".join(parts[:end]), []).append(layer)


def _sum(values: Iterable[int | None]) -> int | None:
    found = list(values)
    return None if None in found else sum(value or 0 for value in found)


def _fixed(call: LayerCall, built: BuiltLayer | None) -> int:
    """Return how many parameters of a layer no training changes."""
    from deepforge_hpc.libraries.networks.trial import costs

    if built is None or call.shared or call.model is not None:
        return 0
    return costs.parameters(built) - costs.parameters(built, only_trained=True)


def _fault(fault: Fault) -> LayerError:
    place = (fault.message, fault.hint, fault.file, fault.line, fault.column)
    return LayerError(*place, type="", said="", came_through=())


def _error(one: RefusedLayer) -> LayerError:
    came = tuple(map(str, one.call.passages)) if one.call else ()
    fault, said = one.fault, one.objection
    place = (fault.message, fault.hint, fault.file, fault.line, fault.column)
    return LayerError(*place, said.type, said.text, came)


def _total(values: Iterable[int | None], *, is_part: bool) -> Total:
    found = list(values)
    return Total(sum(value or 0 for value in found), is_part or None in found)
