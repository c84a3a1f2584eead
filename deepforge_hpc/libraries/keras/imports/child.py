"""The JSON of a model that a user's module builds: run by an interpreter that has Keras.

    python child.py MODULE NAME TARGET

NAME is a function or a model of the module; empty takes what is called like one. Keras and the
standard library are all that this needs.
"""

import runpy
import sys
from pathlib import Path

USUAL = ("build", "build_model", "make_model", "create_model", "get_model", "model")


def main(source: str, name: str, target: str) -> str:
    """Write the model's JSON; return what is wrong, if anything is."""
    import keras

    sys.path[0] = str(Path(source).resolve().parent)  # in place of the folder of this file
    sys.argv = [source]
    # Weights are not wanted, and of a large network they would fill the memory.
    with keras.StatelessScope(initialize_variables=False):
        found = runpy.run_path(source)
        models = [key for key, value in found.items() if isinstance(value, keras.Model)]
        names = [name] if name else [key for key in (*USUAL, *models) if key in found]
        if not names or names[0] not in found:
            wanted = name or f"{', '.join(USUAL[:-1])} or a model"
            return f"it has no {wanted}"
        model = found[names[0]]
        model = model if isinstance(model, keras.Model) else model()
    if not isinstance(model, keras.Model):
        return f"{names[0]} gives no model of Keras"
    Path(target).write_text(model.to_json(), encoding="utf-8")
    return ""


if __name__ == "__main__":
    problem = main(*sys.argv[1:])
    if problem:
        sys.exit(problem)
