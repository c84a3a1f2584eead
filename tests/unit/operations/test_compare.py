from __future__ import annotations

from typing import Any

import pytest

from deepforge_hpc.operations.compare import Compare
from deepforge_hpc.operations.errors import OperationError

ONE = {"objects": 5000, "crps": 0.01, "bias": -0.001, "pit_histogram": [1, 2]}
OTHER = {"objects": 5000, "bias": 0.0023, "crps": None}


def test_the_table_has_a_line_for_each_and_nothing_where_nothing_was_measured(pyplot: Any) -> None:
    table, comparison = Compare(["a|b", "c"]).execute([ONE, OTHER])
    assert table.splitlines() == [
        "| | objects | crps | bias |",
        "|---|---|---|---|",
        "| a\\|b | 5,000 | 0.0100 | -0.0010 |",
        "| c | 5,000 |  | 0.0023 |",
    ]
    assert comparison["c"] == {"objects": 5000, "bias": 0.0023}
    figure = pyplot.figure("Comparison")
    figure.canvas.draw()
    crps = figure.axes[1]
    assert [bar.get_width() for bar in crps.patches] == [0.01, 0.0]
    assert [text.get_text() for text in crps.texts] == ["0.0100", ""]
    assert crps.get_xlabel() == "crps"
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first line of the table is on top


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Compare(["a"]), "names has 1, and there are 2 evaluations"),
        (Compare(["a", "a"]), "twice"),
        (Compare(["a", "b"], ["rmse"]), "no evaluation has the number 'rmse'; there are objects"),
    ],
)
@pytest.mark.usefixtures("pyplot")
def test_what_cannot_be_compared(made: Compare, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        made.execute([ONE, OTHER])
