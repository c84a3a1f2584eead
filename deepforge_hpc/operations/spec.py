"""How a pipeline file names parts of a framework; read by the check and by the job alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepforge_hpc.training.errors import TrainingError

FORM = "Name or {Name: {argument: value}}"


def parse(spec: object) -> tuple[str, Mapping[str, Any]]:
    """Return name and arguments of `Name` or `{Name: {argument: value}}`; ValueError if neither."""
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, dict) and len(spec) == 1:
        ((name, arguments),) = spec.items()
        if isinstance(name, str) and isinstance(arguments, dict | None):
            return name, arguments or {}
    raise ValueError(spec)


def is_by_output(spec: object, is_known: Callable[[str], bool]) -> bool:
    """Tell whether a mapping gives one to each output of a network, `{main: Huber, aux: ...}`.

    With one key it names one thing with its arguments, unless only its value can be a name.
    """
    if not isinstance(spec, dict):
        return False
    if len(spec) != 1:
        return True
    ((name, value),) = spec.items()
    if not isinstance(value, dict):
        return value is not None
    is_one = len(value) == 1 and all(isinstance(item, dict | None) for item in value.values())
    return not is_known(name) and is_one and is_known(next(iter(value)))


def weights_of(given: dict[str, float], outputs: Sequence[str]) -> dict[str, float]:
    """Return `loss_weights` by the outputs of a network; TrainingError if none would count."""
    found = match_outputs("loss_weights", given, outputs)
    if all(found.get(name) == 0 for name in outputs):
        raise TrainingError("loss_weights: every output has 0, so nothing would be learnt")
    return found


def match_outputs(what: str, given: dict[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return a mapping by the outputs of a network; TrainingError if its names are others."""
    if odd := [name for name in given if name not in outputs]:
        raise TrainingError(f"{what}: the network has no output {odd}, but {list(outputs)}")
    return given
