"""Python's own modules that PYTHONPATH hides: `json.py` in one of its folders stands in for `json`.

It needs what every Python has loaded, as nothing else can be imported then.
"""

from __future__ import annotations

import os
import sys

_NEEDED = frozenset({"click", "jinja2", "markupsafe", "yaml"})


def explain_hidden(error: BaseException) -> tuple[str, str]:
    """Return what hides a module, and what to do, if that explains an error; else two empty texts.

    A package that dfh needs may well be there: it counts if the error names it.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = {os.path.abspath(entry) for entry in entries if entry}  # noqa: PTH100 - pathlib may be hidden
    folders.discard(os.path.dirname(os.__file__))  # noqa: PTH120
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        place, base = os.path.split(file)
        folder = os.path.dirname(place) if base.startswith("__init__.") else place  # noqa: PTH120
        is_meant = name in sys.stdlib_module_names or (name in _NEEDED and f"'{name}" in str(error))
        if is_meant and folder in folders:
            found[name] = file
    if not found:
        return "", ""
    name, file = next(iter(found.items()))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    owner = "Python's own module" if name in sys.stdlib_module_names else "the package"
    hint = "Rename it, or take its folder out of PYTHONPATH."
    return f"{file} hides {owner} {name}{more}: {type(error).__name__}: {error}", hint
