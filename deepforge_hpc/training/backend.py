"""What Keras runs on, where nobody said it and TensorFlow, which it takes then, is not there.

Each rank runs this file as it stands before anything imports Keras.
"""

import json
import os
from importlib.util import find_spec

_MODULES = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}


def choose() -> str:
    """Name another backend in the environment if the one that Keras would take is missing.

    Returns it; empty if nothing was changed. Several ranks can train on TensorFlow and torch alone.
    """
    if "KERAS_BACKEND" in os.environ:
        return ""
    wanted = _MODULES.get(_written(), "")
    if not wanted or find_spec(wanted) is not None:
        return ""
    several = os.environ.get("DFH_WORLD_SIZE", "1") != "1"
    for name in ("torch", "jax") if several else ("jax", "torch"):
        if find_spec(name) is not None:
            os.environ["KERAS_BACKEND"] = name
            return name
    return ""


def keras_home() -> str:
    """Return Keras' folder, of its settings and of what it has fetched."""
    return os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")  # noqa: PTH111, PTH118


def _written() -> str:
    """Return what Keras' file of settings says; Keras writes one by itself, with its default."""
    try:
        with open(os.path.join(keras_home(), "keras.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            return str(json.load(file).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
