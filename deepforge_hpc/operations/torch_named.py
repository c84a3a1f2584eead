"""Parts of PyTorch by their names and arguments, as a pipeline file writes them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from deepforge_hpc.operations.rate_plan import RatePlan, rate_plan
from deepforge_hpc.operations.spec import FORM, is_by_output, match_outputs, parse, weights_of
from deepforge_hpc.operations.torch_terms import BY_STEP, LIMITS, METRICS, OF_CLASSES, REFUSED
from deepforge_hpc.training import pytorch
from deepforge_hpc.training.errors import TrainingError, meant
from deepforge_hpc.training.torch_faults import clear

if TYPE_CHECKING:
    from deepforge_hpc.operations.train import Train

_PLACES = {
    "loss": (torch.nn, torch.nn.Module),
    "optimizer": (torch.optim, torch.optim.Optimizer),
    "schedule": (torch.optim.lr_scheduler, object),
}
_REHEARSED = 20_000
"""Times at most that a schedule is tried: some tenths of a second."""
_CLIPS = {"global_clipnorm": "clip_norm", "clipnorm": "clip_each", "clipvalue": "clip_value"}


def named(kind: str, spec: Any) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of `Name` or `{Name: {argument: value}}`."""
    try:
        name, arguments = parse(spec)
    except ValueError:
        raise TrainingError(f"{kind} must be {FORM}, not {spec!r}") from None
    return name, dict(arguments)


def make(kind: str, spec: Any, defaults: Mapping[str, Any], *first: Any) -> Any:
    """Return what a name stands for; it gets `defaults` that it takes and was not told."""
    name, arguments = named(kind, spec)
    place, base = _PLACES[kind]
    if why := REFUSED[kind].get(name):
        raise TrainingError(f"{kind} {name} cannot be used here: {why}")
    found = getattr(place, name, None)
    if not (inspect.isclass(found) and issubclass(found, base) and _is_one(kind, name)):
        names = [item for item in dir(place) if _is_one(kind, item)]
        near = meant(name, names)
        hint = f"; did you mean {near}?" if near else ""
        raise TrainingError(f"PyTorch has no {kind} {name}{hint}")
    taken = inspect.signature(found).parameters
    given = {key: value for key, value in defaults.items() if key in taken}
    try:
        tensors = {n: _floats(a) for n, a in arguments.items() if n in {"weight", "pos_weight"}}
        return found(*first, **{**given, **arguments, **tensors})
    except Exception as error:  # of whatever kind: it is about what the pipeline says
        message = f"{kind} {name} cannot be made with {arguments}: {error}"
        raise TrainingError(" ".join(message.split())) from error


def _floats(numbers: Any) -> Any:
    return None if numbers is None else torch.tensor(numbers, dtype=torch.get_default_dtype())


def _is_one(kind: str, name: str) -> bool:
    ends = {"loss": ("Loss",), "schedule": ("LR", "Restarts", "Plateau")}.get(kind, ("",))
    return name.endswith(ends) and name[:1].isupper()


def for_outputs(spec: Any, outputs: Sequence[str], what: str) -> dict[str, Any]:
    """Return what is meant for each output of a network: `spec` is of all, or has one for each."""
    is_known = METRICS.__contains__ if what == "metrics" else _is_loss
    if not is_by_output(spec, is_known):
        return dict.fromkeys(outputs, spec)
    return match_outputs(what, spec, outputs)


def _is_loss(name: str) -> bool:
    return _is_one("loss", name) and hasattr(torch.nn, name)


def losses(settings: Train, outputs: Sequence[str], like: Any) -> dict[str, Any]:
    """Return the loss of each output, with weights of the type and the place of `like`."""
    wanted = for_outputs(settings.loss, outputs, "loss")
    if absent := [name for name in outputs if name not in wanted]:
        raise TrainingError(f"loss: the output {', '.join(absent)} has none")
    return {name: make("loss", wanted[name], {}).to(like) for name in outputs}


def shares(settings: Train, outputs: Sequence[str]) -> dict[str, float]:
    """Return the share of each output's loss that was given one."""
    return weights_of(settings.loss_weights, outputs)


def metrics(settings: Train, outputs: Sequence[str]) -> dict[str, pytorch.Metric]:
    """Return what is told of each epoch, by the names under which it is logged."""
    kinds = for_outputs(settings.loss, outputs, "loss")
    found: dict[str, pytorch.Metric] = {}
    for output, given in for_outputs(settings.metrics, outputs, "metrics").items():
        loss = named("loss", kinds[output])[0]
        for name in given if isinstance(given, list) else [given]:
            metric = _metric(name, loss)
            if len(outputs) > 1:
                found[f"{output}_{name}"] = _of_one(metric, outputs.index(output), output)
            else:
                found[name] = metric
    return found


def _metric(name: Any, loss: str) -> pytorch.Metric:
    if name not in METRICS:
        raise TrainingError(f"metrics: {name!r}: there are {', '.join(METRICS)}")
    if name != "accuracy":
        return _absolute if name in {"mae", "mean_absolute_error"} else _squared
    if loss in LIMITS:
        return _yes_or_no(*LIMITS[loss])
    if loss not in OF_CLASSES:
        raise TrainingError(f"metrics: accuracy is of classes, and the loss {loss} is not")
    return _accuracy


def _of_one(metric: pytorch.Metric, place: int, output: str) -> pytorch.Metric:
    def found(outputs: Any, targets: Any) -> Any:
        return metric(outputs[place], targets[output])

    return found


def _by_row(values: Any) -> Any:
    return values.double().flatten(1).mean(1) if values.ndim > 1 else values


def _accuracy(outputs: Any, targets: Any) -> Any:
    labels = targets.argmax(1) if targets.ndim == outputs.ndim else targets
    return _by_row(outputs.argmax(1) == labels)


def _yes_or_no(limit: float, wanted: float) -> pytorch.Metric:
    def found(outputs: Any, targets: Any) -> Any:
        return _by_row((outputs > limit) == (targets > wanted))

    return found


def _absolute(outputs: Any, targets: Any) -> Any:
    return _by_row(_differences(outputs, targets).abs())


def _squared(outputs: Any, targets: Any) -> Any:
    return _by_row(_differences(outputs, targets).square())


def _differences(outputs: Any, targets: Any) -> Any:
    if outputs.shape != targets.shape:  # which PyTorch would stretch to each other
        mine, theirs = tuple(outputs.shape[1:]), tuple(targets.shape[1:])
        raise TrainingError(
            f"metrics: an error is of numbers, and for each row the output has the shape {mine}, "
            f"the target {theirs}: for labels of classes, take accuracy"
        )
    return outputs - targets


def clips(settings: Train) -> dict[str, Any]:
    """Return the bounds of gradients as a Goal names them."""
    return {_CLIPS[key]: value for key, value in settings.clip.items()}


def paced(settings: Train, parameters: Any, steps: int) -> tuple[dict[str, Any], str]:
    """Return optimizer, schedule and when they go on, and how the rate came about.

    `steps` are the batches of an epoch.
    """
    name, arguments = named("optimizer", settings.optimizer)
    plan = rate_plan(settings, arguments, "lr", math.ceil(steps / settings.accumulate))
    words = {name: {**arguments, "lr": plan.rate}}
    optimizer = make("optimizer", words, {}, parameters)
    found = {"optimizer": optimizer, "warmup_steps": plan.warm}
    scratch = _scratch(words, parameters[0])
    if settings.schedule is None:
        return found, plan.words()
    kind, _ = named("schedule", settings.schedule)
    every = settings.schedule_every or ("step" if kind in BY_STEP else "epoch")
    left = plan.left if every == "step" else _epochs(settings, plan)
    if kind == "ReduceLROnPlateau" and every == "step":
        raise TrainingError("schedule: ReduceLROnPlateau looks at epochs: schedule_every: epoch")
    defaults = {"T_max": left, "total_steps": left, "max_lr": plan.rate}
    schedule = make("schedule", settings.schedule, defaults, optimizer)
    _rehearse(kind, scratch, make("schedule", settings.schedule, defaults, scratch), left)
    return (
        {**found, "schedule": schedule, "schedule_every": every},
        plan.words(f"{kind} over {left} {every}s"),
    )


def _scratch(words: Mapping[str, Any], like: Any) -> Any:
    """Return an optimizer of one number that has made a step: many arguments fail in the first."""
    one = torch.nn.Parameter(torch.zeros(1, 1).to(like))
    one.grad = torch.zeros_like(one)
    made = make("optimizer", dict(words), {}, [one])
    (name,) = words
    with clear(f"optimizer {name} cannot make a step with {words[name]}", (Exception,)):
        made.step()
    return made


def _rehearse(kind: str, scratch: Any, schedule: Any, times: int) -> None:
    """Go through a schedule, so that one which ends too soon says so before the first step."""
    is_plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
    scratch.step()  # which a schedule wants to have seen
    for time in range(min(times, _REHEARSED)):
        with clear(f"schedule {kind} cannot go on after {time} of {times} times", (Exception,)):
            schedule.step(*([0.0] if is_plateau else []))


def _epochs(settings: Train, plan: RatePlan) -> int:
    """Return the epochs at whose ends the schedule goes on: those that end behind the warm-up."""
    each = max(1, plan.steps // settings.epochs)
    return max(1, settings.epochs - plan.warm // each)
