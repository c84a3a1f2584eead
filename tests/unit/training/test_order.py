"""One order for all ranks, whatever their number."""

from __future__ import annotations

import numpy as np
import pytest

from deepforge_hpc.training.errors import TrainingError
from deepforge_hpc.training.order import Order


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_ranks_parts_of_a_step_are_the_batch_of_one(ranks: int) -> None:
    one = Order(107, 16, seed=3)
    parts = [Order(107, 16, seed=3, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {part.steps for part in parts} == {6}
    for step in range(6):
        batch = one.epoch(4)[one.positions(step)]
        for rank, part in enumerate(parts):
            assert part.epoch(4)[part.positions(step)].tolist() == batch[rank::ranks].tolist()


def test_an_epoch_has_each_row_once_and_another_epoch_another_order() -> None:
    order = Order(50, 8, seed=1)
    assert sorted(order.epoch(0)) == list(range(50))
    assert order.epoch(0).tolist() != order.epoch(1).tolist()
    assert order.epoch(1).tolist() != Order(50, 8, seed=2).epoch(1).tolist()


@pytest.mark.parametrize("rows", [37, 32, 33])
def test_without_shuffling_all_rows_are_seen_once_by_some_rank(rows: int) -> None:
    parts = [Order(rows, 16, shuffle=False, rank=rank, ranks=4) for rank in range(4)]
    seen = [
        part.epoch(0)[part.positions(step)].tolist() for part in parts for step in range(part.steps)
    ]
    assert all(seen)  # no rank has an empty batch
    assert sorted(row for part in seen for row in part) == list(range(rows))


def test_what_cannot_be_shared_out_is_told_with_what_can() -> None:
    with pytest.raises(TrainingError, match=r"batch_size 30 counts the rows of all 4 .* 32 can"):
        Order(100, 30, ranks=4)
    with pytest.raises(TrainingError, match="there are 15 rows, too few for a batch of 16"):
        Order(15, 16)
    with pytest.raises(TrainingError, match="there are 3 rows, too few for 4 ranks"):
        Order(3, 16, shuffle=False, ranks=4)


def test_positions_need_no_copy_of_the_order() -> None:
    assert np.arange(1_000)[Order(1_000, 100, rank=1, ranks=2).positions(9)].size == 50
