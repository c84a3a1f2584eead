"""Names by which code may reach others in ways that cannot be followed: by a text, by a frame.

They are full dotted names: whoever asks has resolved the imports. Of the modules that exist to look
into programs, what is not known to be harmless counts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deepforge_hpc.pipeline.annotation import Annotations

Chain = tuple[str, ...]
"""A dotted name: `helper`, `helper.f`."""
_BUILTINS = frozenset({"eval", "exec", "globals", "locals", "vars", "__import__"})
_SPECIAL = frozenset({"__builtins__", "__loader__", "__spec__"})
_OPEN = frozenset(
    {
        *(
            "code",
            "doctest",
            "imp",
            "importlib",
            "inspect",
            "linecache",
            "logging.config",
            "pkgutil",
            "pydoc",
            "runpy",
        ),
        *("sys.modules", "sys.meta_path", "sys.path_hooks", "sys._current_frames", "sys._getframe"),
        *("gc.get_objects", "gc.get_referents", "gc.get_referrers", "typing.get_type_hints"),
        *("cProfile.run", "cProfile.runctx", "timeit.Timer", "timeit.repeat", "timeit.timeit"),
        *("hydra.utils", "numexpr.evaluate", "pandas.eval", "zipimport"),
    }
)
_HARMLESS = (
    *("importlib.invalidate_caches", "importlib.metadata", "importlib.resources"),
    *("importlib.util.find_spec", "inspect.BoundArguments", "inspect.Parameter"),
    *("inspect.Signature", "inspect.cleandoc", "inspect.getmembers", "inspect.is"),
    *("inspect.signature", "inspect.unwrap", "pkgutil.get_data"),
)
_ATTRIBUTES = frozenset(
    {
        *(
            "__code__",
            "__doc__",
            "__globals__",
            "__subclasses__",
            "f_code",
            "f_globals",
            "f_locals",
        ),
        *("exec_module", "getsource", "getsourcelines", "import_module", "import_string"),
        *("load_module", "resolve_name"),
    }
)
_UNPICKLES = frozenset(
    {
        *("_pickle", "cPickle", "cloudpickle", "dill", "pickle", "shelve"),
        *("joblib.load", "jsonpickle.decode", "pandas.read_pickle", "yaml.unsafe_load"),
    }
)
_IMPORTS = frozenset({"__import__", "import_module", "locate", "resolve_name", "run_module"})
"""Functions that import what a text names."""
_PARENTS = frozenset(name.rpartition(".")[0] for name in (*_OPEN, "builtins.eval") if "." in name)
"""Modules that hold such a name: handed around, they give it."""


def opens(chain: Chain) -> bool:
    """Tell whether a full dotted name may lead to any name of any module."""
    if not _ATTRIBUTES.isdisjoint(chain[1:]) or not _SPECIAL.isdisjoint(chain):
        return True
    name = ".".join(chain).removeprefix("builtins.")
    if name in _PARENTS or chain[0] in _ATTRIBUTES - {"__doc__"}:
        return True
    if name.startswith(_HARMLESS):
        return False
    starts = (".".join(chain[:length]) for length in range(1, len(chain) + 1))
    return name.partition(".")[0] in _BUILTINS or not _OPEN.isdisjoint(starts)


def unpickles(chain: Chain) -> bool:
    """Tell whether a full dotted name may make objects of whatever classes a file names."""
    if chain[-1].startswith(("dump", "Pickling", "Pickler", "HIGHEST", "DEFAULT")):
        return False
    starts = (".".join(chain[:length]) for length in range(1, len(chain) + 1))
    return not _UNPICKLES.isdisjoint(starts)


def text_names(node: ast.AST) -> Iterator[Chain]:
    """Yield what a text may name: `getattr(f, "__globals__")`, `table.query("a < @LIMIT")`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value in _ATTRIBUTES:
            yield ("", node.value)
        yield from ((name,) for name in re.findall(r"@([^\W\d]\w*)", node.value))


def literal_import(node: ast.AST, names: Annotations) -> ast.ImportFrom | None:
    """Return `import_module("x")` as the import of all of x, under a name that no code has."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    function, text = node.func, node.args[0]
    name = names.name(function) or getattr(function, "attr", "")
    name = name.rpartition(".")[2]
    said = text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""
    said = said.partition(":")[0]
    module = said.lstrip(".")
    if name not in _IMPORTS or not all(part.isidentifier() for part in module.split(".")):
        return None
    alias = ast.alias("*", f"{name}({said})")
    return ast.ImportFrom(module, [alias], level=len(said) - len(module))
