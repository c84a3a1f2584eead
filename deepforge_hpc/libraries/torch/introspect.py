"""The catalogue of the PyTorch that is installed, by introspection.

    python -m deepforge_hpc.libraries.torch.introspect FOLDER

It needs PyTorch and the standard library alone. Sorts of value come from annotations, and where
there are none, from names, defaults and documentation.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from deepforge_hpc.libraries.networks.introspect import once, plain, section, summary, write

FUNCTIONS = (
    *("add", "sub", "mul", "div", "maximum", "minimum", "matmul", "cat", "stack"),
    *("mean", "amax", "select", "narrow", "permute", "transpose", "unsqueeze"),
)
"""What networks do between layers, called as a layer is."""
_FOLDS = {"add", "mul", "maximum", "minimum"}
"""Of two tensors, and so of any number of them."""
_MODULES = {
    "layer": "nn",
    "activation": "nn.functional",
    "loss": "nn",
    "optimizer": "torch.optim",
    "schedule": "torch.optim.lr_scheduler",
}
_NOT = frozenset(
    {"Container", "DataParallel", "Module", "NLLLoss2d", "RNNBase", "RNNCellBase", "Optimizer"}
    | {"LRScheduler", "CrossMapLRN2d"}
)
"""Bases, and what is there for old programs alone."""
_SKIPPED = {"device", "dtype", "params", "optimizer", "input", "out", "size_average", "reduce"}
"""Arguments that are given by us, say where numbers lie, or are there for old programs."""
_SORT_BY_NAME = (
    (r"(en|de)coder_layer|norm|custom_(en|de)coder", "layer"),
    (r"activation", "activation"),
    (r"dims?|dim\d|(un)?flattened_.*|(start|end)_dim|source|destination", "axes"),
    (r"p|dropout|label_smoothing|lower|upper", "fraction"),
    (r"reduction", "none|mean|sum"),
    (r"nonlinearity", "tanh|relu"),
    (r"(in|out|num)_(features|channels)|num_layers|nhead|num_heads|hidden_size|groups", "count"),
    (r"input_size|d_model|embed_dim|(num_)?embeddings|embedding_dim|dim_feedforward", "count"),
    (r"num_(en|de)coder_layers|num_embeddings|num_groups|(up|down)scale_factor", "count"),
    (r"kernel_size|stride|dilation|normalized_shape", "sizes"),
    (r"output_padding", "margins"),
    (r"lr", "number"),
    (r"index|start|length|num_classes", "integer"),
)
"""For names that mean one thing throughout."""
_TITLE = "Arg(?:ument)?s?|Parameters"


def introspect() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return names and texts of the PyTorch that can be imported."""
    import torch

    version = str(torch.__version__).partition("+")[0]
    reserved = sorted(name for name in dir(torch.nn.Module) if not name.startswith("_"))
    names: dict[str, Any] = {"version": version, "dtypes": _dtypes(), "reserved": reserved}
    texts: dict[str, Any] = {}
    for family in _MODULES:
        found = dict(sorted(_members(family)))
        names[family] = {name: _entry(family, name, thing) for name, thing in found.items()}
        texts[family] = {name: _texts(thing, names[family][name]) for name, thing in found.items()}
    names["modules"] = _MODULES
    return names, once(texts)


def _dtypes() -> list[str]:
    import torch

    every = (str(item).removeprefix("torch.") for item in vars(torch).values() if _is_dtype(item))
    kinds = "bool|bfloat16|(float|int|uint)(8|16|32|64)|complex(64|128)"
    return sorted({name for name in every if re.fullmatch(kinds, name)})


def _is_dtype(item: object) -> bool:
    import torch

    return isinstance(item, torch.dtype)


def _members(family: str) -> Iterator[tuple[str, Any]]:
    """Yield what there is of a family, by its name."""
    import torch

    places: Mapping[str, tuple[Any, type]] = {
        "layer": (torch.nn, torch.nn.Module),
        "loss": (torch.nn, torch.nn.Module),
        "optimizer": (torch.optim, torch.optim.Optimizer),
        "schedule": (torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler),
    }
    if family == "activation":
        yield from _activations()
        return
    place, base = places[family]
    for name, thing in vars(place).items():
        is_one = isinstance(thing, type) and issubclass(thing, base) and name == thing.__name__
        if not is_one or name.startswith("_") or name in _NOT:
            continue
        is_loss = thing.__module__ == "torch.nn.modules.loss"
        if family not in {"layer", "loss"} or is_loss == (family == "loss"):
            yield name, thing
    if family == "layer":
        yield from ((name, getattr(torch, name)) for name in FUNCTIONS)


def _activations() -> Iterator[tuple[str, Any]]:
    """Yield the functions that activation layers call, which need nothing but their input."""
    import torch

    functions = vars(torch.nn.functional)
    modules = vars(sys.modules["torch.nn.modules.activation"]).values()
    layers = [one.__name__.lower() for one in modules if isinstance(one, type)]
    for name, thing in functions.items():
        if name.replace("_", "") not in layers or name.endswith("_") or "softm" in name:
            continue  # in place, or over a dimension that is to be named
        if len([one for one in _signature(thing) if one.default is one.empty]) <= 1:
            yield name, thing


def _entry(family: str, name: str, thing: Any) -> dict[str, Any]:
    """Return what can be said of a thing without its texts."""
    arguments = [] if family == "activation" else list(_arguments(name, thing))
    found: dict[str, Any] = {"arguments": arguments}
    if family == "layer":
        found.update(_called(name, thing))
    return found


def _signature(thing: Any) -> list[inspect.Parameter]:
    """Return the parameters of a class or function; where Python knows none, as documented."""
    function = getattr(thing, "__init__") if isinstance(thing, type) else thing  # noqa: B009
    found: Mapping[str, inspect.Parameter]
    try:
        found = inspect.signature(function, eval_str=True).parameters
    except NameError:  # of something that is there for type checkers alone
        found = inspect.signature(function).parameters
    except ValueError:
        found = _documented(thing)
    every = [one for one in found.values() if one.name != "self"]
    if any(one.kind is one.VAR_POSITIONAL for one in every):
        every = list(_documented(thing).values())
    return [one for one in every if one.kind is not one.VAR_KEYWORD]


def _documented(thing: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters by the line that begins a documentation; of several the last."""
    name = "__init__" if isinstance(thing, type) else thing.__name__
    line = rf"^(?:\.\. function:: )?{name}\((.*)\)(?: ->.*)?$"
    lines = re.findall(line, thing.__doc__, re.MULTILINE)
    if not lines:
        return {}
    function = ast.parse(f"def f({lines[-1]}): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    pairs = [*zip(reversed(given.args), reversed(given.defaults), strict=False)]
    defaults = {one.arg: _literal(value) for one, value in pairs}
    for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        defaults[one.arg] = None if value is None else _literal(value)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {
        one.arg: inspect.Parameter(
            one.arg, kind, default=defaults.get(one.arg, inspect.Parameter.empty)
        )
        for one in (*given.args, *given.kwonlyargs)
    }


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _arguments(name: str, thing: Any) -> Iterator[list[Any]]:
    """Yield name, sort and default of each; those that must be given have no default."""
    skipped = {*_SKIPPED, "tensors", "other"} if name in FUNCTIONS else _SKIPPED
    for one in _signature(thing):
        if one.name in skipped or one.name.startswith("_") or (name in _FOLDS):
            continue
        # Joined along the batch, examples would become others: a file says along what.
        has_default = one.default is not one.empty and (name, one.name) not in {
            ("cat", "dim"), ("stack", "dim"), ("mean", "dim"), ("amax", "dim"),
        }  # fmt: skip
        default = _default(one.default) if has_default else None
        yield [one.name, _sort(one, default), *([default] if has_default else [])]


def _default(value: Any) -> Any:
    return value.__name__ if callable(value) else plain(value)


def _sort(one: inspect.Parameter, default: Any) -> str:
    """Return the sort of value that an argument takes; `any` where nothing is sure."""
    kinds = _kinds(one.annotation)
    literal = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    if literal:
        return "|".join(map(str, literal))
    if default is True or default is False or kinds == {bool}:
        return "flag"
    if one.name == "padding":
        return "padding" if str in kinds else "axes" if default is None else "margins"
    for pattern, sort in _SORT_BY_NAME:
        if re.fullmatch(pattern, one.name) and _fits(default, sort):
            return _ranked(sort, kinds)
    if kinds == {int} or type(default) is int:
        return "integer" if kinds <= {int} and not _is_number_too(one) else "number"
    return "number" if kinds == {float} or type(default) is float else "any"


def _is_number_too(one: inspect.Parameter) -> bool:
    """Tell whether a whole default may stand for any number, as where nothing is annotated."""
    return one.annotation is one.empty or one.name in {"weight_decay", "momentum", "dampening"}


def _kinds(annotation: Any) -> set[Any]:
    """Return what an annotation allows besides None."""
    if annotation is inspect.Parameter.empty:
        return set()
    if isinstance(annotation, str):
        known = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}
        return {known.get(word, word) for word in annotation.split(" | ")} - {type(None)}
    if get_origin(annotation) in {Union, types.UnionType}:
        parts = [_kinds(one) for one in get_args(annotation)]
        return functools.reduce(set.union, parts, set()) - {type(None)}
    return {annotation}


def _ranked(sort: str, kinds: set[Any]) -> str:
    """Return `sizes:2` where an annotation says how many."""
    counts = {
        len(get_args(kind))
        for kind in kinds
        if get_origin(kind) is tuple and Ellipsis not in get_args(kind)
    }
    return f"sizes:{counts.pop()}" if sort == "sizes" and len(counts) == 1 else sort


def _fits(default: Any, sort: str) -> bool:
    """Tell whether a default is of a sort: what is not is no rule."""
    if default is None:
        return True
    if "|" in sort:
        return default in sort.split("|")
    if sort == "fraction":
        return isinstance(default, float) and 0 <= default <= 1
    if sort in {"count", "sizes"}:
        items = default if isinstance(default, list) and sort == "sizes" else [default]
        return all(type(item) is int and item > 0 for item in items)
    return True


def _called(name: str, thing: Any) -> dict[str, Any]:
    """Return how a layer takes several tensors, what else its call takes, and what it gives."""
    if name in FUNCTIONS:
        names = {one.name for one in _signature(thing)}
        two = "fold" if name in _FOLDS else "each" if "other" in names else "one"
        return {"takes": "list" if "tensors" in names else two, "call": [], "code": f"torch.{name}"}
    import torch

    found = inspect.signature(thing.forward)
    every = [one for one in found.parameters.values() if one.name != "self"]
    needed = [one for one in every if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    gives = str(found.return_annotation).startswith("tuple")
    said: dict[str, Any] = {
        "takes": "each" if len(needed) > 1 else "one",
        "call": [one.name for one in every[1:] if one.kind is not one.VAR_KEYWORD],
    }
    if gives or issubclass(thing, (torch.nn.RNNBase, torch.nn.AdaptiveLogSoftmaxWithLoss)):
        said["gives"] = "several"
    return said


def _texts(thing: Any, entry: Mapping[str, Any]) -> list[Any]:
    """Return the summary, and the text of each argument and call argument."""
    text = inspect.cleandoc(thing.__doc__ or "")
    lines = re.sub(r"\A(?:(?:__init__|\w+)\(.*\)(?: ->.*)?\n+)+", "", text)
    said = {**_said(getattr(thing, "forward", None)), **_said(thing)}
    known = {one[0] for one in entry["arguments"]} | set(entry.get("call", ()))
    return [_clean(summary(lines)), {name: _clean(said[name]) for name in said if name in known}]


def _said(thing: Any) -> dict[str, str]:
    return section(thing, f"(?:{_TITLE})") if thing is not None else {}


def _clean(text: str) -> str:
    """Return a text without the marks of reStructuredText."""
    plainer = re.sub(r":\w+:`~?([^`]*)`", r"\1", text.replace("``", "`"))
    return re.sub(r"`([^`<]*) <[^>]*>`__?", r"\1", plainer)


if __name__ == "__main__":
    write(sys.argv[1], *introspect())
