"""The JSON of a model that a user's module builds: run by an interpreter that has Keras.

    python child.py MODULE NAME TARGET

NAME is a function or a model of the module; empty takes what is called like one. Keras and the
standard library are all that this needs.
"""

import runpy
import sys
from contextlib import suppress
from pathlib import Path

USUAL = ("build", "build_model", "make_model", "create_model", "get_model", "model")


def main(source: str, name: str, target: str) -> str:
    """Write the model's JSON; return what is wrong, if anything is."""
    import keras

    path = Path(source).resolve()
    sys.path[0] = str(path.parent)  # in place of the folder of this file
    sys.argv = [source]
    # Weights are not wanted, and of a large network they would fill the memory.
    with keras.StatelessScope(initialize_variables=False):
        found = runpy.run_path(source, run_name=path.stem)
        models = [key for key, value in found.items() if isinstance(value, keras.Model)]
        names = [name] if name else [key for key in (*USUAL, *models) if key in found]
        if not names or names[0] not in found:
            wanted = name or f"{', '.join(USUAL[:-1])} or a model"
            return f"it has no {wanted}"
        model = found[names[0]]
        # A network of either can be called too, with what it computes from.
        networks = (keras.Model, *_modules_of_torch())
        model = model if isinstance(model, networks) else model()
    if isinstance(model, _modules_of_torch()) and not isinstance(model, keras.Model):
        return (
            f"{names[0]} gives a network of PyTorch, whose forward is code: no file can be "
            "made of it; write one that begins with `library: torch`"
        )
    if not isinstance(model, keras.Model):
        return f"{names[0]} gives no model of Keras"
    register(path.stem, found)
    for module, loaded in list(sys.modules.items()):
        if Path(getattr(loaded, "__file__", None) or "/").resolve().is_relative_to(path.parent):
            register(module, vars(loaded))
    Path(target).write_text(model.to_json(), encoding="utf-8")
    return ""


def _modules_of_torch() -> tuple[type, ...]:
    torch = sys.modules.get("torch")
    return (torch.nn.Module,) if torch is not None else ()


def register(module: str, names: dict[str, object]) -> None:
    """Let Keras save where the layers and functions of a module are found again."""
    import keras

    for thing in list(names.values()):
        own = getattr(thing, "__module__", "") == module and hasattr(thing, "__qualname__")
        if own and keras.saving.get_registered_name(thing) == getattr(thing, "__name__", ""):
            with suppress(ValueError):  # no class that Keras could save
                keras.saving.register_keras_serializable(module)(thing)


if __name__ == "__main__":
    problem = main(*sys.argv[1:])
    if problem:
        sys.exit(problem)
