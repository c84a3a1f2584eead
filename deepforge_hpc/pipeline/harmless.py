"""Names of Python and of libraries whose call, class or decorator only makes a value.

What is in no list is taken to do anything.
"""

from __future__ import annotations

BUILTINS = frozenset(
    {
        *("abs", "bool", "bytes", "complex", "dict", "enumerate", "float", "frozenset", "int"),
        *("len", "list", "max", "min", "object", "pow", "range", "reversed", "round", "set"),
        *("slice", "sorted", "str", "sum", "tuple", "type", "zip", "property"),
    }
)
_MODULES = (
    *("collections.", "dataclasses.", "datetime.", "decimal.", "enum.", "fractions.", "functools."),
    *("itertools.", "logging.getLogger", "math.", "numpy.", "operator.", "os.path.", "pathlib."),
    *("re.", "string.", "typing.", "typing_extensions.", "abc.", "contextlib.", "numba."),
    *("tensorflow.function", "torch.jit.", "torch.no_grad", "torch.inference_mode"),
    *("torch.enable_grad", "torch.compile", "jax.jit", "jax.vmap"),
)
_IMPURE = (
    *("numpy.random", "numpy.set", "numpy.load", "numpy.save", "numpy.memmap", "numpy.ndarray."),
    *("numpy.testing", "numba.extending", "numba.core", "enum.global_enum"),
    *("functools.update_wrapper", "decimal.setcontext", "contextlib.redirect"),
)
_IN_PLACE = frozenset(
    {
        *("at", "copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"),
        *("setitem", "delitem", "iadd", "iand", "iconcat", "ifloordiv", "ilshift", "imatmul"),
        *("imod", "imul", "ior", "ipow", "irshift", "isub", "itruediv", "ixor"),
        *("__setitem__", "__delitem__", "call"),
    }
)
"""Last parts of names of functions that change what they are given, or call it."""
CHANGING_KEYWORDS = frozenset({None, "out", "overwrite_input"})
"""By which a function writes into what it is given; `**` may hold any."""
KEEPERS = frozenset(
    {
        *("bool", "dict", "frozenset", "list", "property", "set", "tuple", "len", "str"),
        *("collections.OrderedDict", "collections.defaultdict", "collections.namedtuple"),
        *("dataclasses.field", "functools.cache", "functools.cached_property"),
        *("functools.lru_cache", "functools.partial", "functools.partialmethod"),
        *("functools.singledispatch", "functools.wraps", "jax.jit", "jax.vmap"),
        *("numba.jit", "numba.njit", "numpy.frompyfunc", "numpy.vectorize", "tensorflow.function"),
        *("torch.compile", "torch.jit.script", "typing.NamedTuple", "typing.NewType"),
        *("typing.TypeVar", "typing.cast"),
    }
)
"""Functions that keep a function, or a class, which they are given, and do not call it."""
CALLERS = frozenset(
    {
        *("functools.reduce", "itertools.accumulate", "itertools.dropwhile"),
        *("itertools.filterfalse", "itertools.groupby", "itertools.starmap"),
        *("itertools.takewhile", "numpy.apply_along_axis"),
        *("numpy.apply_over_axes", "numpy.fromfunction", "numpy.piecewise", "re.sub", "re.subn"),
        "torch.jit.trace",
    }
)
"""Functions that call one which they are given: any name that is no value may be that."""
METHODS = frozenset(
    {
        *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "copy", "cumprod"),
        *("cumsum", "diagonal", "dot", "flatten", "item", "max", "mean", "min", "nonzero", "prod"),
        *("ravel", "repeat", "reshape", "round", "squeeze", "std", "sum", "swapaxes", "take"),
        *("tolist", "trace", "transpose", "var"),
        *("casefold", "center", "count", "decode", "encode", "endswith", "find", "format"),
        *("index", "join", "ljust", "lower", "lstrip", "removeprefix", "removesuffix", "replace"),
        *("rfind", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith"),
        *("strip", "title", "translate", "upper", "zfill"),
        *("difference", "get", "intersection", "isdisjoint", "issubset", "issuperset", "items"),
        *("keys", "symmetric_difference", "union", "values"),
        *("findall", "finditer", "fullmatch", "group", "groupdict", "groups", "match", "search"),
        *("absolute", "as_posix", "exists", "expanduser", "glob", "is_dir", "is_file", "joinpath"),
        *("read_bytes", "read_text", "relative_to", "resolve", "rglob", "stat", "with_name"),
        *("with_suffix", "with_stem"),
        *("astimezone", "date", "isoformat", "strftime", "time", "timestamp", "total_seconds"),
        *("as_integer_ratio", "bit_length", "hex", "is_integer", "quantize", "to_bytes"),
    }
)
"""Methods of what Python and numpy make that change nothing."""
_UNARY = frozenset(
    {
        *("abs", "absolute", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh"),
        *("bitwise_not", "cbrt", "ceil", "conj", "conjugate", "cos", "cosh", "deg2rad"),
        *("degrees", "exp", "exp2", "expm1", "fabs", "floor", "invert", "isfinite", "isinf"),
        *("isnan", "log", "log10", "log1p", "log2", "logical_not", "negative", "positive"),
        *("rad2deg", "radians", "reciprocal", "rint", "sign", "signbit", "sin", "sinh"),
        *("spacing", "sqrt", "square", "tan", "tanh", "trunc"),
    }
)
_MAKERS = frozenset(
    {
        *("arange", "array", "asarray", "eye", "full", "geomspace", "histogram", "interp", "isin"),
        *("isclose", "linspace", "logspace", "ones", "pad", "polyfit", "where", "zeros"),
    }
)
"""Functions of numpy that write into none of their first arguments, however many they are given."""
_BASES = frozenset(
    {
        *("object", "Exception", "ValueError", "RuntimeError", "TypeError", "KeyError"),
        *("abc.ABC", "typing.Generic", "typing.Protocol", "typing.NamedTuple", "typing.TypedDict"),
        *("enum.Enum", "enum.IntEnum", "enum.StrEnum", "sklearn.base.BaseEstimator"),
        *("sklearn.base.TransformerMixin", "sklearn.base.ClassifierMixin"),
        *("sklearn.base.RegressorMixin", "keras.Model", "tensorflow.keras.Model"),
    }
)
_BASE_MODULES = (
    *("keras.callbacks.", "keras.layers.", "keras.losses.", "keras.metrics.", "keras.models."),
    *("tensorflow.keras.callbacks.", "tensorflow.keras.layers.", "tensorflow.keras.losses."),
    *("tensorflow.keras.metrics.", "tensorflow.keras.models."),
    *("torch.nn.", "torch.utils.data."),
)


def is_harmless(name: str) -> bool:
    """Tell whether a full dotted name is of a library's function that only makes a value."""
    return (
        name.startswith(_MODULES)
        and not name.startswith(_IMPURE)
        and name.rpartition(".")[2] not in _IN_PLACE
    )


def is_plain_base(name: str) -> bool:
    """Tell whether a class may be derived from without any effect."""
    return name in _BASES or name.startswith(_BASE_MODULES)


def writes_into(name: str, positional: int) -> bool:
    """Tell whether the last of so many arguments of a numpy function may be its `out`."""
    if not name.startswith("numpy.") or (last := name.rpartition(".")[2]) in _MAKERS:
        return False
    return positional > (1 if last in _UNARY else 2)
