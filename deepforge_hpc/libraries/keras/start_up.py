"""What a rank runs before Keras: so that it has a backend, and knows the project's layers."""

from __future__ import annotations

from pathlib import Path

from deepforge_hpc.training import backend

_START_UP = '''\
"""Makes the layers and functions of the project known to Keras, once something imports it."""

import importlib
import importlib.util
import sys

OBJECTS = {objects!r}
MODULES = tuple(dict.fromkeys(name.partition(":")[0] for name in OBJECTS))


def register(module):
    keras = sys.modules["keras"]
    for name in OBJECTS:
        owner, _, attribute = name.partition(":")
        if owner == module:
            found = getattr(sys.modules[module], attribute)
            if keras.saving.get_registered_name(found) == found.__name__:
                keras.saving.register_keras_serializable(module)(found)


def after(name):
    if name != "keras":
        if "keras" in sys.modules:
            register(name)
        return
    for module in MODULES:
        try:
            importlib.import_module(module)
            if not sys.modules[module].__spec__._initializing:  # else it imports Keras just now
                register(module)
        except Exception as error:  # another job may have what it needs
            print(f"Keras does not know {{module}}: {{error}}", file=sys.stderr)


WAITED = {{name for name in ("keras", *MODULES) if name not in sys.modules}}


class Waiting:
    """Acts after an import: ranks that do without Keras must not pay for it."""

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
if "keras" in sys.modules:
    after("keras")
'''


def start_up(objects: tuple[str, ...]) -> str:
    """Return what chooses a backend, and registers objects of the project, given as MODULE:Name."""
    chooser = Path(backend.__file__).read_text("utf-8")
    return f"{chooser}\n\nchoose()\n" + (_START_UP.format(objects=objects) if objects else "")
