"""What a rank runs so that a framework knows the layers and functions of the project."""

from __future__ import annotations

_START_UP = '''\
"""Makes layers and functions of the project known to {framework}, once that is imported."""

import importlib
import importlib.util
import sys

OBJECTS = {objects!r}
MODULES = tuple(dict.fromkeys(name.partition(":")[0] for name in OBJECTS))


def register(module):
    {framework} = sys.modules["{framework}"]
    for name in OBJECTS:
        owner, _, attribute = name.partition(":")
        if owner == module:
            found = getattr(sys.modules[module], attribute)
{register}


def after(name):
    if name != "{framework}":
        if "{framework}" in sys.modules:
            register(name)
        return
    for module in MODULES:
        try:
            importlib.import_module(module)
            if not sys.modules[module].__spec__._initializing:  # else it is at it
                register(module)
        except Exception as error:  # another job may have what it needs
            print(f"{said} does not know {{module}}: {{error}}", file=sys.stderr)


WAITED = {{name for name in ("{framework}", *MODULES) if name not in sys.modules}}


class Waiting:
    """Acts after an import: ranks that do without {framework} must not pay for it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in WAITED:
            return None
        WAITED.discard(name)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                after(name)

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Waiting)
if "{framework}" in sys.modules:
    after("{framework}")
'''


def start_up(framework: str, said: str, register: str, objects: tuple[str, ...]) -> str:
    """Return what registers objects of the project, given as MODULE:Name.

    `framework` is a module, `said` its name in messages; `register` are statements that
    make `found`, one of the objects, known; they stand in a loop.
    """
    return _START_UP.format(framework=framework, said=said, register=register, objects=objects)
