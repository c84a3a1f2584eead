"""Architecture files built by Keras: shapes, costs and errors of each layer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.api import arch
from deepforge_hpc.errors import UsageError
from deepforge_hpc.model.json_result import JsonResult
from deepforge_hpc.paths import project_root
from deepforge_hpc.runtime.base.notice import INFO, Notice

if TYPE_CHECKING:
    from deepforge_hpc.libraries.keras.graph import Graph, LayerCall
    from deepforge_hpc.libraries.keras.trial.result import BuiltLayer, NoTrial
    from deepforge_hpc.libraries.keras.trial.tried import RefusedLayer, Software, Tried

_PACKAGES = ("keras", "tensorflow", "jax", "torch")
_HOW = "pip install 'deepforge-hpc[keras]' beside dfh, or --python with a Python that has Keras"


class LayerError(NamedTuple):
    """What is wrong with a layer."""

    message: str
    hint: str
    file: str
    line: int
    column: int
    type: str
    """The exception's class."""
    said: str
    """In Keras' own words."""
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
class CheckedArchitecture(JsonResult, schema="dfh/arch-check/1"):
    """A network, built."""

    name: str
    path: str
    keras: str
    """Version that built it; empty if none did: shapes are not checked."""
    backend: str
    cached: bool
    batch: int
    layers: tuple[CheckedLayer, ...]
    parameters: Total
    trained: Total
    operations: Total
    activations: Total
    errors: tuple[LayerError, ...]
    notices: tuple[Notice, ...]


def check(
    path: Path, *, batch: int = 32, python: str = "", exact: bool = False, loss: str = ""
) -> CheckedArchitecture:
    """Return what Keras says of a file; InvalidInputError if it is no network at all.

    `python`: an interpreter with Keras, in place of dfh's own. `exact`: import the project's own
    layers too.
    """
    from deepforge_hpc.libraries.keras.trial.result import NoTrial
    from deepforge_hpc.libraries.keras.trial.setting import TrialSetting
    from deepforge_hpc.libraries.keras.trial.tried import try_out

    graph = arch.network(path)
    interpreter = _interpreter(python)
    found_software = software(interpreter)
    backend = os.environ.get("KERAS_BACKEND", "")
    setting = TrialSetting(
        python=interpreter,
        backend=backend,
        job_backend=backend if python else backend or "tensorflow",
        project=str(project_root(path.parent)[0]) if exact else "",
    )
    may_have = bool(python) or any(name == "keras" for name, _ in found_software)
    found = try_out(graph, setting, found_software) if may_have else None
    if found is None or isinstance(found, NoTrial):
        return _untried(graph, path, batch, found)
    return _tried(found, path, batch, loss)


def software(python: str) -> Software:
    """Return which Keras and backends an interpreter has, by its files: it is not started."""
    if python == sys.executable:
        return _own_software()
    from deepforge_hpc.pipeline.installed import Installed
    from deepforge_hpc.runtime.base.plan import Environment

    return Installed().software(Environment(python=python), _PACKAGES)


def _own_software() -> Software:
    """Return the same of this process, by the names in its own folders: that imports nothing."""
    found: dict[str, str] = {}
    for folder in filter(None, sys.path):
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - the names alone
                package, _, version = name.removesuffix(".dist-info").partition("-")
                if name.endswith(".dist-info") and package.partition("_")[0] in _PACKAGES:
                    found.setdefault(package, version)
    return tuple(sorted(found.items()))


def _interpreter(python: str) -> str:
    if not python:
        return sys.executable
    import shutil

    found = shutil.which(python)
    if found is None:
        raise UsageError(f"--python {python!r}: there is no such program on this machine")
    return os.path.abspath(found)  # noqa: PTH100 - a link of a virtual environment is kept


def _untried(graph: Graph, path: Path, batch: int, why: NoTrial | None) -> CheckedArchitecture:
    layers = tuple(
        CheckedLayer(
            call.name, call.kind, call.place.file, call.place.line, (), "", None, None, None
        )
        for call in graph.calls
    )
    nothing = Total(0, True)
    return CheckedArchitecture(
        name=graph.name,
        path=str(path),
        keras="",
        backend="",
        cached=False,
        batch=batch,
        layers=layers,
        parameters=nothing,
        trained=nothing,
        operations=nothing,
        activations=nothing,
        errors=(),
        notices=(not_tried(why),),
    )


_WHY = {
    "no keras": "there is no Keras at hand",
    "no backend": "Keras is there, and no TensorFlow, JAX or PyTorch for it to work with",
    "import": "Keras cannot be imported",
    "start": "its Python cannot be started",
    "time": "Keras was not imported in time",
    "end": "its process ended while Keras was imported",
}


def not_tried(why: NoTrial | None) -> Notice:
    """Return that names, arguments and wiring were checked, and shapes not."""
    reason = _WHY[why.why if why else "no keras"]
    more = f" ({why.text})" if why is not None and why.text else ""
    text = f"names, arguments and wiring are checked; shapes and costs are not: {reason}{more}"
    return Notice("not_tried", text, next=_HOW, level=INFO)


def _tried(found: Tried, path: Path, batch: int, loss: str) -> CheckedArchitecture:
    from deepforge_hpc.libraries.keras.trial import costs

    errors = [(one.call, _error(one)) for one in found.refused()]
    layers = tuple(_layers(found, batch, errors))
    parameters = _total(layer.parameters for layer in layers)
    fixed = sum(_fixed(call, built) for _, call, built in found.layers)
    kept = [layer.activations for layer in layers]
    kept += [costs.tensor_bytes(one.shape, one.dtype, batch) for one in found.graph.inputs]
    return CheckedArchitecture(
        name=found.graph.name,
        path=str(path),
        keras=found.trial.keras,
        backend=found.trial.backend,
        cached=found.is_cached,
        batch=batch,
        layers=layers,
        parameters=parameters,
        trained=parameters._replace(value=parameters.value - fixed),
        operations=_total(layer.operations for layer in layers),
        activations=_total(kept),
        errors=tuple(error for _, error in errors),
        notices=tuple(notices(found, loss or None)),
    )


def _layers(
    found: Tried, batch: int, errors: list[tuple[LayerCall | None, LayerError]]
) -> Iterator[CheckedLayer]:
    from deepforge_hpc.libraries.keras.trial import costs

    for name, call, built in found.layers:
        its = tuple(error for of, error in errors if of is call)
        place = (name, call.kind, call.place.file, call.place.line)
        if built is None or not built.outputs:
            yield CheckedLayer(*place, (), "", None, None, None, its)
        elif call.model is not None:  # its layers stand above it
            yield CheckedLayer(*place, built.outputs, built.dtype, 0, 0, 0, its)
        else:
            yield CheckedLayer(
                *(*place, built.outputs, built.dtype),
                parameters=0 if call.shared else costs.parameters(built),
                operations=costs.operations(built),
                activations=costs.activations(built, batch),
                errors=its,
            )


def _fixed(call: LayerCall, built: BuiltLayer | None) -> int:
    """Return how many parameters of a layer no training changes."""
    from deepforge_hpc.libraries.keras.trial import costs

    if built is None or call.shared or call.model is not None:
        return 0
    return costs.parameters(built) - costs.parameters(built, only_trained=True)


def _error(one: RefusedLayer) -> LayerError:
    came = tuple(map(str, one.call.passages)) if one.call else ()
    fault, refusal = one.fault, one.refusal
    place = (fault.message, fault.hint, fault.file, fault.line, fault.column)
    return LayerError(*place, refusal.type, refusal.text, came)


def _total(values: Iterable[int | None]) -> Total:
    found = list(values)
    return Total(sum(value or 0 for value in found), None in found)


def notices(found: Tried, loss: object = None) -> Iterator[Notice]:
    """Yield what a person should know, besides the errors."""
    for finding in found.findings(loss):
        fault = finding.call.fault(finding.said.message, finding.said.hint)
        yield fault.notice(finding.kind)
    for call in found.doubtful():
        what = f"{found.trial.backend} refuses it, and {found.job_backend} may not"
        hint = f"check with a Python that has {found.job_backend}: --python PATH"
        yield call.fault(what, hint).notice("other_backend")
    left = found.request.left_out
    if left:
        names = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        text = f"layers of the project were not checked, nor what follows them: {names}"
        yield Notice(
            "user_code", text, next="--exact imports them, in a process that is limited", level=INFO
        )
