"""What the operation Train does with a network of PyTorch, part by part."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from deepforge_hpc import training
from deepforge_hpc.operations import torch_named as named
from deepforge_hpc.operations.beginning import begin, matching, pair, tell
from deepforge_hpc.operations.hub import downloaded, exact
from deepforge_hpc.operations.rows import refuse_unwatched
from deepforge_hpc.operations.torch_data import batches_of, output_names
from deepforge_hpc.operations.torch_terms import KERAS_ALONE, STOPPING
from deepforge_hpc.training import pytorch, torch_normalization
from deepforge_hpc.training.early_stopping import EarlyStopping
from deepforge_hpc.training.errors import TrainingError

if TYPE_CHECKING:
    from deepforge_hpc.operations.train import Train


def train(
    settings: Train, dataset: Any, validation: Any, initial: Any
) -> tuple[dict[str, Any], dict[str, list[float]], dict[str, Any]]:
    """Return the state_dict of what was learnt, history and report."""
    _refuse(settings)
    transport = training.connect("torch")
    module = _fresh(settings)
    report: dict[str, Any] = {"ranks": transport.size, "transport": transport.name}
    if found := begin(
        settings.init_from,
        initial,
        transport,
        lambda: _begin_with(module, *_pretrained(settings.init_from)),
        lambda: _begin_with(module, initial),
    ):
        report["initial"] = found
    layers = dict(_layers(module))
    report["frozen"] = matching(settings.freeze, layers)
    frozen = [layers[place] for place in report["frozen"]]
    _freeze(settings, module, frozen)
    if settings.synchronize:
        report["synchronized"] = torch_normalization.synchronize(module, transport)
    if torch.cuda.is_available():
        module.cuda()
    stopping, goals = _stopping(settings), _goals(settings, module)  # before the data is read
    batches, watched = batches_of(settings, module, dataset, validation, transport)
    _check_watched(stopping, settings, validates=watched is not None)
    learning = [one for one in module.parameters() if one.requires_grad]
    paced, report["learning_rate"] = named.paced(settings, learning, batches.order.steps)
    report |= {"steps_per_epoch": batches.order.steps, "rows": batches.order.rows}
    if transport.rank == 0:
        tell(report)
    history = pytorch.fit(
        module,
        batches,
        pytorch.Goal(**goals, **paced, frozen=frozen),
        epochs=settings.epochs,
        transport=transport,
        validation=watched,
        early_stopping=stopping,
        checkpoint_s=settings.checkpoint_s,
    )
    weights = {name: one.detach().cpu() for name, one in module.state_dict().items()}
    return weights, history, report


def _refuse(settings: Train) -> None:
    """Raise TrainingError for what a training of PyTorch has not."""
    if not isinstance(settings.model, torch.nn.Module):
        kind = type(settings.model).__name__
        raise TrainingError(f"model is a {kind}, no network of Keras or PyTorch")
    if settings.callbacks:
        raise TrainingError(f"callbacks {KERAS_ALONE}: early_stopping and keep are of both")
    if settings.record:
        raise TrainingError(f"record {KERAS_ALONE}: leave it out")
    if settings.init_from.startswith("keras-app:"):
        raise TrainingError(f"init_from: keras-app {KERAS_ALONE}: name hf://REPO@REV")


def _fresh(settings: Train) -> Any:
    """Return the network with weights that follow from the seed."""
    torch.manual_seed(settings.seed)
    kind = type(settings.model)
    if inspect.signature(kind).parameters:  # of no architecture file
        return copy.deepcopy(settings.model)
    return kind()


def _begin_with(module: Any, initial: Mapping[str, Any], source: str = "initial") -> dict[str, Any]:
    """Set the weights of a module that have their name and shape among others; return which."""
    if not isinstance(initial, Mapping):
        raise TrainingError(
            f"initial is a {type(initial).__name__}, and a network of PyTorch begins with its "
            "state_dict, as a .safetensors file keeps it"
        )
    mine = module.state_dict()

    def assign(name: str, other: Any) -> None:
        with torch.no_grad():
            mine[name].copy_(torch.as_tensor(other))

    return pair(mine, initial, assign, source)


def _pretrained(source: str) -> tuple[Mapping[str, Any], str]:
    """Return the weights of the one .safetensors file of a revision of the hub."""
    from safetensors.torch import load_file

    folder = downloaded(source, ("*.safetensors",))
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if len(found) != 1:
        raise TrainingError(
            f"init_from: {source} has no single .safetensors file, but {', '.join(found) or 'none'}"
        )
    return load_file(folder / found[0]), exact(source, folder, found[0])


def _layers(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the layers by their places, `encoder/conv` of a network within."""
    for name, one in module.named_modules():
        if name:
            yield name.replace(".", "/"), one


def _freeze(settings: Train, module: Any, frozen: list[Any]) -> None:
    for one in frozen:
        one.requires_grad_(requires_grad=False)
    if frozen and not any(one.requires_grad for one in module.parameters()):
        raise TrainingError(f"freeze: {settings.freeze} leave nothing to train")


def _stopping(settings: Train) -> EarlyStopping | None:
    """Return what watches the epochs; without a patience it does so to the end."""
    given = settings.early_stopping
    is_best = settings.keep == "best"
    if given is None and not is_best:
        return None
    if odd := [name for name in given or {} if name not in STOPPING and name != "verbose"]:
        raise TrainingError(f"early_stopping has {odd}; it takes {', '.join(STOPPING)}")
    words = {name: one for name, one in (given or {}).items() if name != "verbose"}
    for name, value in words.items():
        kinds = STOPPING[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TrainingError(f"early_stopping: {name} is {value!r}, and must be {wanted}")
    whole = {"patience": settings.epochs, "restore_best_weights": is_best, **words}
    return EarlyStopping(**whole)


def _check_watched(stopping: EarlyStopping | None, settings: Train, *, validates: bool) -> None:
    """Let the loss be watched where no rows validate, if nobody asked for something else."""
    given = settings.early_stopping
    if stopping is None or validates or "monitor" in (given or {}):
        return
    refuse_unwatched(given, validates=validates)
    stopping.monitor = "loss"


def _goals(settings: Train, module: Any) -> dict[str, Any]:
    """Return what a Goal is made of, without the optimizer and its rate."""
    outputs = output_names(module)
    return {
        "loss": named.losses(settings, outputs, next(module.parameters())),
        "loss_weights": named.shares(settings, outputs),
        "metrics": named.metrics(settings, outputs),
        "accumulate": settings.accumulate,
        "precision": settings.precision,
        **named.clips(settings),
    }
