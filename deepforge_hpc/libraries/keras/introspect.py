"""The catalogue of the Keras that is installed, by introspection.

    python -m deepforge_hpc.libraries.keras.introspect FOLDER

It needs Keras and the standard library alone.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from deepforge_hpc.libraries.networks.introspect import once, plain, section, summary, write

FAMILIES = {
    "layer": ("layers", "Layer"),
    "initializer": ("initializers", "Initializer"),
    "regularizer": ("regularizers", "Regularizer"),
    "constraint": ("constraints", "Constraint"),
    "activation": ("activations", ""),
    "optimizer": ("optimizers", "Optimizer"),
    "schedule": ("optimizers.schedules", "LearningRateSchedule"),
    "loss": ("losses", "Loss"),
    "metric": ("metrics", "Metric"),
    "callback": ("callbacks", "Callback"),
}
"""Sort of thing: its module in Keras, and the base class of all (none: functions)."""

_SORT_BY_NAME = (
    (r"(.*_)?(initializer|regularizer|constraint|activation)", r"\2"),
    (r"layer|backward_layer|cell", "layer"),
    (r"layers|cells", "layers"),
    (r"(inner_|default_)?optimizer", "optimizer"),
    (r"function|fn|.*_fn|schedule|on_(epoch|train).*", "function"),
    (r"learning_rate", "number/schedule"),
    (r"dtype|.*_dtype", "dtype"),
    (r"filters|units|n|depth_multiplier|num_heads|(key|value|input|output)_dim", "count"),
    (r"axis|dims|axes|(shared|attention|input|output)_axes", "axes"),
    (r"target_shape|noise_shape", "shape"),
    (r"output_padding", "margins"),
    (r"seed|ignore_class", "integer"),
    (r"initial_learning_rate|(first_)?decay_steps|decay_rate|warmup_target", "number"),
    (r"loss_scale_factor", "number"),
    (r"reduction", "sum_over_batch_size|sum|mean|mean_with_sample_weight|none"),
)
"""For names that mean one thing throughout, of which the documentation says less or nothing."""

_FRACTION = r"float,? between 0 and 1\b|scalar value in range `?\[0, 1\]"
_SIZES = (
    r"int(eger)?,? or (a )?(tuple|list)(/list|/tuple)? of (\d )?int|integer tuple/list of \d int"
)
_SORT_BY_TEXT = (
    (r"positive int(eger)?\b(?!,? or)", "count"),
    (r"int, or tuple of \d ints?, or tuple of \d tuples|int, or tuple of int \(length", "margins"),
    (_SIZES, "sizes"),
    (r"int(eger)?( or `?None`?)?\b(?!,? or|, tuple|/)", "integer"),
    (_FRACTION, "fraction"),
    (r"float(ing[- ]point)?( value)?\b(?!,? or |/| matrix)", "number"),
    (r"bool(ean)?\b", "flag"),
)
"""By how the documentation of an argument begins."""
_LEAD = re.compile(r"(\(optional\)|optional|an?|the)[.,:]?\s+", re.IGNORECASE)
_CHOICES = re.compile(
    r"(?:^|one of |either |values can be |can be |supported values: |supports |methods are )"
    r"(?:string, )?((?:[\s,`{}]|\(default\)|or\b|and\b|None|[\"']\w+`?[\"'])+)",
    re.IGNORECASE,
)
_MANY = re.compile(r"tuple|list|array", re.IGNORECASE)


def introspect() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return names and texts of the Keras that can be imported."""
    import keras

    names: dict[str, Any] = {"version": keras.__version__, "dtypes": _dtypes()}
    texts: dict[str, Any] = {}
    for family, (module, base) in FAMILIES.items():
        found = list(_members(keras, module, base))
        names[family] = {name: _entry(family, thing, aliases) for name, thing, aliases in found}
        texts[family] = {name: _texts(thing) for name, thing, _ in found}
    _add_short_names(names, keras)
    names["modules"] = {family: f"keras.{module}" for family, (module, _) in FAMILIES.items()}
    return names, once(texts)


def _add_short_names(names: dict[str, Any], keras: ModuleType) -> None:
    """Add names that no module has and `get` takes, such as `uniform`, Keras' own default."""
    for word in ("uniform", "normal", "zero", "one"):
        try:
            name = type(keras.initializers.get(word)).__name__
        except ValueError:
            continue
        entry = names["initializer"][name]
        entry["aliases"] = list(dict.fromkeys((*entry.get("aliases", ()), word)))


def _dtypes() -> list[str]:
    """Return the types of numbers that Keras knows; it has no public list of them."""
    import keras

    words = ["bool", "string", "bfloat16", "complex64", "complex128"]
    words += [f"float{size}" for size in (16, 32, 64)]
    words += [f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)]

    def is_known(word: str) -> bool:
        try:
            return bool(keras.backend.standardize_dtype(word) == word)
        except ValueError:
            return False

    return [word for word in words if is_known(word)]


def _members(keras: ModuleType, module: str, base: str) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield the name, the thing and the other names of all that a module holds."""
    place: Any = keras
    for part in module.split("."):
        place = getattr(place, part)
    found: dict[int, tuple[Any, list[str]]] = {}
    for name, thing in sorted(vars(place).items()):
        if name.startswith("_") or name in {"get", "serialize", "deserialize"}:
            continue
        kind = getattr(place, base) if base else None
        if (isinstance(thing, type) and issubclass(thing, kind)) if kind else callable(thing):
            found.setdefault(id(thing), (thing, []))[1].append(name)
    for thing, names in found.values():
        name = thing.__name__ if thing.__name__ in names else names[0]
        yield name, thing, [other for other in names if other != name]


def _entry(family: str, thing: Any, aliases: list[str]) -> dict[str, Any]:
    """Return what can be said of a thing without its texts."""
    found: dict[str, Any] = {"arguments": _arguments(family, thing)}
    if aliases:
        found["aliases"] = aliases
    if family == "layer":
        found["takes"], found["call"] = _called(thing)
    return found


def _parameters(function: Any) -> list[inspect.Parameter]:
    """Return the parameters that can be given by name."""
    every = inspect.signature(function).parameters.values()
    return [one for one in every if one.name != "self" and not _is_variadic(one)]


def _is_variadic(one: inspect.Parameter) -> bool:
    return one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL}


def _arguments(family: str, thing: Any) -> list[list[Any]]:
    """Return name, sort and default of each; those that must be given have no default."""
    function: Any = getattr(thing, "__init__") if isinstance(thing, type) else thing  # noqa: B009
    parameters = _parameters(function)
    texts = _argument_texts(thing)
    if family == "layer":
        parameters = [one for one in parameters if one.name not in {"name", "autocast"}]
        if any(map(_is_variadic, inspect.signature(function).parameters.values())):
            known = {one.name for one in parameters}
            parameters += [one for one in _common() if one.name not in known]
    if family == "activation":
        parameters = parameters[1:]
    found = []
    for one in parameters:
        has_default = one.default is not one.empty
        default = one.default if has_default else None
        sort = _sort(one.name, default, texts.get(one.name, ""))
        found.append([one.name, sort, *([plain(default)] if has_default else [])])
    return found


def _common() -> list[inspect.Parameter]:
    """Return what every layer takes by **kwargs."""
    import keras

    wanted = ("activity_regularizer", "dtype", "trainable")
    base = {one.name: one for one in _parameters(keras.layers.Layer.__init__)}
    return [base[name] for name in wanted]


def _sort(name: str, default: Any, text: str) -> str:
    """Return the sort of value that an argument takes; `any` where nothing is sure."""
    for pattern, sort in _SORT_BY_NAME:
        if match := re.fullmatch(pattern, name):
            return match.expand(sort)
    if isinstance(default, bool):
        return "flag"
    found = _sort_of_text(default, text)
    return found if default is None or _fits(default, found) else "any"


def _sort_of_text(default: Any, text: str) -> str:
    lead = text
    while match := _LEAD.match(lead):
        lead = lead[match.end() :]
    sentence = lead.split(". ")[0]
    if choices := _choices(default, sentence if default is None else text):
        return "|".join(choices)
    for pattern, sort in _SORT_BY_TEXT:
        if re.match(pattern, lead, re.IGNORECASE):
            is_one = sort in {"count", "integer", "number", "fraction"}
            return "any" if is_one and _MANY.search(sentence) else _ranked(sort, default, sentence)
    is_number = isinstance(default, (int, float)) and text and not _MANY.search(text)
    return "number" if is_number else "any"


def _ranked(sort: str, default: Any, sentence: str) -> str:
    """Return `sizes:2` where documentation or default say how many."""
    if sort != "sizes":
        return sort
    counts = {int(number) for number in re.findall(r"of (\d) int", sentence)}
    if isinstance(default, tuple):
        counts = {len(default)}
    return f"sizes:{counts.pop()}" if len(counts) == 1 else sort


def _choices(default: Any, text: str) -> list[str]:
    """Return the words of `either "a" or "b"`; none if more than they may stand there."""
    if not isinstance(default, str | None):
        return []
    for match in _CHOICES.finditer(text):
        words = list(dict.fromkeys(re.findall(r"[\"'](\w+)`?[\"']", match[1])))
        is_open = re.search(r"\bor[\s`]*$", match[1])
        if len(words) > 1 and not is_open and (default is None or default in words):
            return words
    return []


def _fits(default: Any, sort: str) -> bool:
    """Tell whether a default is of a sort: what is not is no rule."""
    if "|" in sort:
        return default in sort.split("|")
    if sort in {"count", "integer"}:
        return type(default) is int and (sort == "integer" or default > 0)
    if sort in {"number", "fraction"}:
        return isinstance(default, (int, float)) and (sort == "number" or 0 <= default <= 1)
    if sort.startswith("sizes"):
        items = default if isinstance(default, tuple) else (default,)
        return all(type(item) is int and item > 0 for item in items)
    return sort in {"margins", "any"} or (sort == "flag" and isinstance(default, bool))


def _called(layer: Any) -> tuple[str, list[str]]:
    """Return how a layer takes several tensors, and what else its call takes."""
    from keras.src.layers.merging.base_merge import Merge

    every = _parameters(layer.call)
    needed = [one.name for one in every if one.default is one.empty]
    text = section(layer, "Call arguments?").get("inputs", "")
    is_list = issubclass(layer, Merge) or re.match(r"(a )?(list|tuple) of", text, re.IGNORECASE)
    takes = "list" if is_list else "each" if len(needed) > 1 else "one"
    return takes, [one.name for one in every[1:]]


def _texts(thing: Any) -> list[Any]:
    """Return the summary, and the text of each argument and call argument."""
    said = {**section(thing, "Call arguments?"), **_argument_texts(thing)}
    return [summary(thing.__doc__ or ""), said]


def _argument_texts(thing: Any) -> dict[str, str]:
    return section(thing, "Arg(?:ument)?s?", _COMMON)


_COMMON = frozenset(
    {"name", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum"}
    | {"ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps"}
)
"""Arguments of all optimizers, which Keras writes into the documentation of each."""


if __name__ == "__main__":
    write(sys.argv[1], *introspect())
