"""Several evaluations side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepforge_hpc.operations.errors import OperationError, pyplot

if TYPE_CHECKING:
    from collections.abc import Sequence


class Compare:
    """Compares the metrics of several evaluations: a table, and a figure with a bar for each.

    What an evaluation does not have, as the CRPS where no distributions were predicted, is empty.

    Args:
        metrics: of `EvaluateRedshift` and its like, `[one.metrics, other.metrics]`.
        names: of the evaluations, in their order.
        columns: which metrics; by default all single numbers, in the order of the first that has
            them.
        digits: behind the point.
        table: the same as text, in Markdown.
        comparison: `{name: {metric: value}}`.

    Source: Markdown tables as in GitHub Flavored Markdown, section 4.10.

    >>> table, comparison = Compare(["a", "b"], ["mae"]).execute([{"mae": 0.25}, {"mae": 0.5}])
    >>> print(table)
    | | mae |
    |---|---|
    | a | 0.2500 |
    | b | 0.5000 |
    """

    def __init__(self, names: list[str], columns: list[str] | None = None, digits: int = 4):
        self.names, self.columns, self.digits = names, columns, digits

    def execute(self, metrics: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        if len(self.names) != len(metrics):
            raise OperationError(
                f"names has {len(self.names)}, and there are {len(metrics)} evaluations"
            )
        if len(set(self.names)) < len(self.names):
            raise OperationError(f"names has one of them twice: {self.names}")
        shown = self.columns or list(dict.fromkeys(key for one in metrics for key in _numbers(one)))
        comparison = {
            name: {key: one[key] for key in shown if key in _numbers(one)}
            for name, one in zip(self.names, metrics, strict=True)
        }
        if odd := [key for key in shown if not any(key in one for one in comparison.values())]:
            raise OperationError(
                f"columns: no evaluation has the number {odd[0]!r}; there are "
                f"{', '.join(dict.fromkeys(key for one in metrics for key in _numbers(one)))}"
            )
        table = self._table(shown, comparison)
        self._draw(shown, comparison)
        return table, comparison

    def _text(self, value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:,}" if isinstance(value, int) else f"{value:.{self.digits}f}"

    def _table(self, shown: Sequence[str], comparison: dict[str, Any]) -> str:
        lines = [f"| | {' | '.join(shown)} |", "|---" * (len(shown) + 1) + "|"]
        for name, one in comparison.items():
            cells = [self._text(one.get(key)) for key in shown]
            lines.append("| " + " | ".join([name.replace("|", "\\|"), *cells]) + " |")
        return "\n".join(lines)

    def _draw(self, shown: Sequence[str], comparison: dict[str, Any]) -> None:
        plt = pyplot()
        size = (2.2 + 2.4 * len(shown), 1.0 + 0.34 * len(comparison))
        figure = plt.figure("Comparison", figsize=size, layout="constrained")
        grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, key in zip(grid, shown, strict=True):
            known = {name: one[key] for name, one in comparison.items() if key in one}
            bars = axes.barh(self.names, [known.get(name, 0.0) for name in self.names], height=0.6)
            texts = [self._text(known.get(name)) for name in self.names]
            axes.bar_label(bars, texts, padding=3, fontsize=8)
            axes.margins(x=0.5)  # room for the numbers
            axes.locator_params(axis="x", nbins=3)
            axes.axvline(0, color="0.3", linewidth=0.8)
            axes.set_xlabel(key.replace("_", " "))
            axes.spines[["top", "right"]].set_visible(False)
        grid[0].invert_yaxis()  # in the order of the table
        plt.show()


def _numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
