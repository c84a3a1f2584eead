"""Attributes of operations that name parts of Keras, checked by the catalogue.

A sort is `optimizer`, `loss`, `metric`, `callback` or `schedule`; words after it are arguments that
the operation gives itself. `callback.EarlyStopping` stands for the arguments of that one alone, and
`setting NAME` for an attribute that Keras may not have at all.
"""

from __future__ import annotations

import functools
import re

from deepforge_hpc.files.faults import Path, Reader, meant, nearest, shown
from deepforge_hpc.libraries.keras.catalogue import dialect, shipped
from deepforge_hpc.libraries.networks.arguments import Arguments, kinds
from deepforge_hpc.operations.spec import FORM, is_by_output, parse

_OWN = "for code of your own, write an operation with deepforge_hpc.training"
_WORD = re.compile(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")
"""Where a word of a class begins: its function is `kl_divergence`."""
_SHORT = {
    "bce": "BinaryCrossentropy",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
}
_BASES = frozenset(
    {"Callback", "CallbackList", "History", "LambdaCallback", "LearningRateSchedule",
     "LearningRateScheduler", "Loss", "Metric", "Optimizer"}
)  # fmt: skip
"""Of which nothing can be made by plain values."""
_NEEDLESS = {
    "BackupAndRestore": (
        "goes on from copies of its own, which Train does from its checkpoints",
        "leave it out; checkpoint_s says how often one is kept within an epoch",
    )
}
"""What would undo something that the operation does itself, and why; what to do."""
_FUNCTIONS = {
    "loss": {"kld": "KLDivergence", "KLD": "KLDivergence"},
    "metric": {"accuracy": "Accuracy", "acc": "Accuracy"},
}
"""Families of which Keras takes functions too, and names that `compile` alone knows."""


@functools.cache
def spellings(family: str) -> dict[str, str]:
    """Return the class by all names that Keras takes for one of a family."""
    classes = {name: name for name in shipped().known(family) if name not in _BASES}
    if family not in _FUNCTIONS:
        return classes
    functions = {_WORD.sub("_", name).lower(): name for name in classes}
    short = {key: name for key, name in _SHORT.items() if name in classes}
    upper = {key.upper(): name for key, name in short.items()}
    return {**functions, **short, **upper, **_FUNCTIONS[family], **classes}


def check_value(sort: str, value: object, path: Path, reader: Reader) -> None:
    """Report what is wrong with a value; LookupError for a sort that there is not."""
    words = sort.split()
    if words[:1] == ["setting"]:
        if words[1:] == ["schedule_every"] and value == "epoch":
            hint = "leave it out"
            reader.fault(path, "schedules of Keras go on with each step", hint)
        return
    family, _, name = (words or [""])[0].partition(".")
    if family not in shipped().families:
        raise LookupError(f"Keras has no {family!r}: {nearest(family, shipped().families)}")
    if not name:
        _Values(family, tuple(words[1:]), reader).check(value, path)
    elif (found := kinds(dialect()).arguments(family, name)) is None:
        raise LookupError(f"Keras has no {family} {name!r}")
    else:
        _arguments(found, value, path, reader)


class _Values:
    """Checks what names one of a family, a list of such, or one for each output."""

    def __init__(self, family: str, given: tuple[str, ...], reader: Reader) -> None:
        self.family, self._given, self._reader = family, given, reader
        self._known = spellings(family)

    def check(self, value: object, path: Path) -> None:
        if value is None:
            return
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.check(item, (*path, index))
        elif self.family in _FUNCTIONS and is_by_output(value, self._known.__contains__):
            assert isinstance(value, dict)
            for name, item in value.items():
                self.check(item, (*path, name))
        else:
            self._one(value, path)

    def _one(self, value: object, path: Path) -> None:
        try:
            name, arguments = parse(value)
        except ValueError:
            self._reader.fault(path, f"must be {FORM}, not {shown(value)}")
            return
        at = path if isinstance(value, str) else (*path, name)
        if name not in self._known:
            hint, instead = meant(name, self._known) or _OWN, kinds(dialect()).instead(name)
            message = f"Keras has no {self.family} {shown(name)}"
            if name in _BASES and shipped().find(self.family, name):
                message = f"{name} is made of code, which no file can name"
            hint = _OWN if name in _BASES else hint
            self._reader.fault(at, message, instead or hint, key=at != path)
            return
        if name in _NEEDLESS:
            message, hint = _NEEDLESS[name]
            self._reader.fault(at, f"{name} {message}", hint, key=at != path)
            return
        found = kinds(dialect()).arguments(self.family, self._known[name])
        assert found is not None
        if name == found.name:
            _arguments(found, dict(arguments), at, self._reader, self._given)
            return
        found.check_required({}, at, self._reader)
        if arguments:  # it is a function, and those take rows alone
            message = f"{name} takes no arguments"
            self._reader.fault(at, message, f"write {{{found.name}: ...}}")


def _arguments(
    found: Arguments, value: object, path: Path, reader: Reader, given: tuple[str, ...] = ()
) -> None:
    read = found(value, path, reader)
    found.check_required({**read, **dict.fromkeys(given)}, path, reader)
    for name, item in read.items():
        if item.objects:
            message = f"{item.objects[0]!r} is code of the project, which is not taken here"
            reader.fault((*path, name), message, _OWN)
