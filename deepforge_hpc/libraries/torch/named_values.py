"""Attributes of operations that name parts of PyTorch, checked by the catalogue.

A sort is `optimizer`, `loss`, `schedule`, `metric` or `callback`; words after it are arguments that
the operation gives itself. `callback.EarlyStopping` stands for the arguments of that one alone, and
`setting NAME` for an attribute that PyTorch may not have at all.
"""

from __future__ import annotations

from collections.abc import Callable

from deepforge_hpc.files.faults import Path, Reader, nearest, shown
from deepforge_hpc.libraries.networks.arguments import kinds
from deepforge_hpc.libraries.torch.catalogue import dialect, shipped
from deepforge_hpc.operations.spec import FORM, is_by_output, parse
from deepforge_hpc.operations.torch_terms import KERAS_ALONE, METRICS, OWN, REFUSED, STOPPING

_NOT_BY_FILE = {"reduction": "a training wants the mean over rows: leave it out"}


def check_value(sort: str, value: object, path: Path, reader: Reader) -> None:
    """Report what is wrong with a value; LookupError for a sort that there is not."""
    family, *words = sort.split() or [""]
    if family not in {"setting", *_OURS, *shipped().families}:
        raise LookupError(f"PyTorch has no {family!r}: {nearest(family, shipped().families)}")
    if value is None:
        return
    if family == "setting":
        _setting(words[0], value, path, reader)
    elif family in _OURS:
        _OURS[family](value, path, reader)
    else:
        _check(family, value, path, reader, words)


def _check(family: str, value: object, path: Path, reader: Reader, given: list[str]) -> None:
    known = shipped().known("loss")
    if family == "loss" and isinstance(value, dict) and is_by_output(value, known.__contains__):
        for name, item in value.items():
            _check(family, item, (*path, name), reader, given)
        return
    try:
        name, arguments = parse(value)
    except ValueError:
        reader.fault(path, f"must be {FORM}, not {shown(value)}")
        return
    at = path if isinstance(value, str) else (*path, name)
    found = kinds(dialect()).arguments(family, name)
    if found is None:
        reader.fault(at, *kinds(dialect()).why_not(family, name), key=at != path)
        return
    if why := REFUSED.get(family, {}).get(name):
        reader.fault(at, f"{name} cannot be used here", why, key=at != path)
        return
    read = found(dict(arguments), at, reader)
    for argument in _NOT_BY_FILE.keys() & read.keys():
        reader.fault((*at, argument), f"{name} is given no {argument}", _NOT_BY_FILE[argument])
    found.check_required({**read, **dict.fromkeys(given)}, at, reader)


def _metrics(value: object, path: Path, reader: Reader) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _metrics(item, (*path, name), reader)
        return
    for index, one in enumerate(value if isinstance(value, list) else [value]):
        if one not in METRICS:
            at = (*path, index) if isinstance(value, list) else path
            hint = f"there are {', '.join(METRICS)}; {OWN}"
            reader.fault(at, f"PyTorch has no metric {shown(one)}", hint)


def _callbacks(value: object, path: Path, reader: Reader) -> None:
    if value:
        reader.fault(path, f"callbacks {KERAS_ALONE}", "early_stopping and keep are of both")


def _stopping(value: object, path: Path, reader: Reader) -> None:
    if not isinstance(value, dict):
        return
    for name, one in value.items():
        if name == "verbose":  # of Keras; the log says it here
            continue
        wanted = STOPPING.get(name)
        if wanted is None:
            message = f"EarlyStopping has no argument {shown(name)}"
            reader.fault((*path, name), message, nearest(name, STOPPING), key=True)
        elif one is not None and (
            not isinstance(one, wanted) or (isinstance(one, bool) and bool not in wanted)
        ):
            what = " or ".join(kind.__name__ for kind in wanted)
            reader.fault((*path, name), f"{name} must be {what}, not {shown(one)}")


_OURS: dict[str, Callable[[object, Path, Reader], None]] = {
    "metric": _metrics,
    "callback": _callbacks,
    "callback.EarlyStopping": _stopping,
}


def _setting(name: str, value: object, path: Path, reader: Reader) -> None:
    if name == "init_from" and str(value).startswith("keras-app:"):
        hint = "name hf://REPO@REV, or give the input initial"
        reader.fault(path, f"keras-app {KERAS_ALONE}", hint)
    elif name == "record" and value:
        reader.fault(path, f"record {KERAS_ALONE}", "leave it out")
