"""Changes of images that keep what they show: each a function of one row and its generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepforge_hpc.training.errors import TrainingError


def flip(images: Any, rng: np.random.Generator) -> Any:
    """Mirror left and right, or not."""
    return _of_images(images, [_mirrored, _as_it_is][int(rng.integers(2))])


def dihedral(images: Any, rng: np.random.Generator) -> Any:
    """Turn by 0, 90, 180 or 270 degrees and mirror or not: for what has no up and no down."""
    turn, mirror = int(rng.integers(4)), bool(rng.integers(2))

    def change(image: Any) -> Any:
        return np.rot90(_mirrored(image) if mirror else image, turn, axes=(0, 1))

    return _of_images(images, change)


NAMES = {"flip": flip, "dihedral": dihedral}


def augmentation(name: str, inputs: Mapping[str, Any], *, channels_first: bool = False) -> Any:
    """Return the change of that name; None without one.

    Raises TrainingError for an unknown name, and for inputs that it would not change: images are
    rows x columns x channels (or the channels come first), and a quarter turn keeps the shape of a
    square alone.
    """
    if not name:
        return None
    if name not in NAMES:
        raise TrainingError(f"augment {name!r} is none of {', '.join(sorted(NAMES))}")
    shapes = {key: tuple(item.shape[1:]) for key, item in inputs.items()}
    images = {key: shape for key, shape in shapes.items() if len(shape) == 3}
    axes = "channels x rows x columns" if channels_first else "rows x columns x channels"
    if not images:
        found = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise TrainingError(f"augment: {name} changes images, {axes}, and no input is one: {found}")
    for key, shape in images.items():
        rows, columns = shape[1:] if channels_first else shape[:2]
        if name == "dihedral" and rows != columns:
            raise TrainingError(
                f"augment: {key} {shape} is no square, which dihedral turns: take flip"
            )
    return _of_first(NAMES[name]) if channels_first else NAMES[name]


def _of_first(change: Any) -> Any:
    """Return a change for images whose channels come first."""

    def changed(values: Any, rng: np.random.Generator) -> Any:
        found = change(_of_images(values, lambda one: np.moveaxis(one, 0, -1)), rng)
        return _of_images(found, lambda one: np.moveaxis(one, -1, 0))

    return changed


def _of_images(values: Any, change: Any) -> Any:
    """Change arrays of rows, columns and channels, all of a row alike; others stay."""
    if isinstance(values, dict):
        return {name: _of_images(item, change) for name, item in values.items()}
    return change(values) if values.ndim == 3 else values


def _mirrored(image: Any) -> Any:
    return image[:, ::-1]


def _as_it_is(image: Any) -> Any:
    return image
