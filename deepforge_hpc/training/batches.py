"""Batches for `fit`, as Keras takes them."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.training.rank_batches import Augment, RankBatches

__all__ = ["Augment", "Batches"]


class Batches(RankBatches, keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of one rank, in the order of `Order`; arguments as of `RankBatches`."""

    def __init__(self, *arguments: Any, **words: Any) -> None:
        keras.utils.PyDataset.__init__(self)
        RankBatches.__init__(self, *arguments, **words)
