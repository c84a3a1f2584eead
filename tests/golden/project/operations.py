"""Operations that are read, never run."""

from __future__ import annotations

import numpy as np


class Render:
    def __init__(self, width: int, shard: int = 0, shards: int = 1) -> None:
        self.width = width

    def execute(self, table: np.ndarray) -> np.ndarray:
        images = table * self.width
        return images  # noqa: RET504 - the name is the name of the output


class Train:
    def __init__(self, epochs: int, note: str = "") -> None:
        self.epochs = epochs

    def execute(self, images: np.ndarray) -> dict:
        weights = {"epochs": self.epochs}
        return weights  # noqa: RET504


def evaluate(weights: dict, images: np.ndarray) -> dict:
    metrics = {"rows": len(images)}
    return metrics  # noqa: RET504
