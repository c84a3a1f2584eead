"""When a training has learnt what it can: the table of Keras' EarlyStopping, without Keras."""

from __future__ import annotations

from typing import Any

import pytest

from deepforge_hpc.training.early_stopping import EarlyStopping
from deepforge_hpc.training.errors import TrainingError

FALLS = (5.0, 4.0, 4.5, 3.9, 3.95, 3.99, 4.2, 3.0)


def watched(values: tuple[float, ...] = FALLS, **words: Any) -> tuple[int, int, EarlyStopping]:
    """Return after how many epochs it was over, and which was best."""
    stopping = EarlyStopping(**words)
    for epoch, value in enumerate(values):
        stopping.is_best(epoch, value)
        if stopping.is_over:
            return epoch + 1, stopping.best_epoch, stopping
    return len(values), stopping.best_epoch, stopping


@pytest.mark.parametrize(
    ("words", "epochs", "best"),
    [
        ({"patience": 3}, 7, 3),
        ({"patience": 1}, 3, 1),
        ({"patience": 0}, 3, 1),
        ({"patience": 4}, 8, 7),
        ({"patience": 2, "min_delta": 0.5}, 4, 1),
        ({"patience": 3, "start_from_epoch": 2}, 7, 3),
        (
            {"patience": 3, "baseline": 3.5},
            3,
            1,
        ),  # never reached, so the patience never begins anew
        ({"patience": 2, "mode": "max"}, 3, 0),
        ({"patience": 2, "monitor": "val_accuracy"}, 3, 0),
        ({"patience": 2, "monitor": "val_accuracy", "mode": "min"}, 6, 3),
    ],
)
def test_a_training_ends_when_nothing_gets_better(
    words: dict[str, Any], epochs: int, best: int
) -> None:
    assert watched(**words)[:2] == (epochs, best)


def test_it_goes_on_from_a_checkpoint_as_if_never_stopped() -> None:
    for place in range(1, 7):
        _, _, before = watched(FALLS[:place], patience=3)
        after = EarlyStopping(patience=3)
        after.restore(before.state())
        for epoch in range(place, 7):
            after.is_best(epoch, FALLS[epoch])
        assert after.state() == watched(patience=3)[2].state()


def test_what_is_never_logged_cannot_be_watched() -> None:
    logged = ["loss", "accuracy"]
    EarlyStopping(monitor="loss").check(logged)
    for words, said in (
        ({}, "monitors val_loss, and no rows are kept to validate with"),
        ({"monitor": "acuracy"}, "'acuracy', which is not logged; did you mean accuracy?"),
        ({"monitor": "loss", "mode": "least"}, "mode is auto, min or max, not 'least'"),
    ):
        with pytest.raises(TrainingError, match=said):
            EarlyStopping(**words).check(logged)  # type: ignore[arg-type]
