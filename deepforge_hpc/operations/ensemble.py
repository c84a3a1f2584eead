"""Several predictions of the same rows as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.fields import unknown
from deepforge_hpc.operations.predictions import SUM_OFF
from deepforge_hpc.operations.tables import attributes, columns, numbers, read, values

if TYPE_CHECKING:
    import h5py


class Ensemble:
    """Joins the predictions of several networks: their mean, their median or a weighted mean.

    Members are paired by `ids`, whatever their order; networks that predicted other rows are
    refused, and tables with other attributes, such as limits of bins. `NAME_spread` is the standard
    deviation of the members (ddof 0). Rows that sum to 1 in every member (probabilities) sum to 1
    again after a median. All other columns are the first member's.

    Args:
        predictions: the tables, `[predict1.predictions, predict2.predictions]`.
        columns: which columns are joined.
        how: `mean` or `median`; with weights, `mean`.
        weights: one a member, not negative; their sum does not matter.
        ids: column that names the rows; `""`: the tables have the same rows in the same order.
        joined: the table.

    Source: Hansen and Salamon 1990, IEEE Trans. Pattern Anal. 12, 993; Lakshminarayanan et al.
    2017, NeurIPS 30.

    >>> one = {"row": np.array([0, 1]), "prediction": np.array([1.0, 2.0])}
    >>> two = {"row": np.array([1, 0]), "prediction": np.array([4.0, 3.0])}
    >>> joined = Ensemble().execute([one, two])
    >>> joined["prediction"].tolist(), joined["prediction_spread"].tolist()
    ([2.0, 3.0], [1.0, 1.0])
    """

    def __init__(
        self,
        columns: list[str] | None = None,
        how: Literal["mean", "median"] = "mean",
        weights: list[float] | None = None,
        ids: str = "row",
    ):
        columns = columns or ["prediction"]
        if ids in columns:
            raise OperationError(f"columns: {ids!r} names the rows (ids), which nobody averages")
        if {f"{name}_spread" for name in columns} & {*columns, ids}:
            raise OperationError(
                f"columns: {columns} would get a spread in the place of another one"
            )
        if weights is not None and how == "median":
            raise OperationError("weights are of a mean, and how is median")
        if weights is not None and not all(0 <= weight < float("inf") for weight in weights):
            raise OperationError(f"weights {weights}: each is a number, 0 or more")
        if weights is not None and not sum(weights) > 0:
            raise OperationError(f"weights {weights}: not all of them are 0")
        self.columns, self.how, self.weights, self.ids = columns, how, weights, ids

    def execute(self, predictions: list[h5py.File]) -> h5py.File:
        if not predictions:
            raise OperationError("predictions: there is no member to join")
        if self.weights is not None and len(self.weights) != len(predictions):
            raise OperationError(
                f"weights has {len(self.weights)}, and there are {len(predictions)} members"
            )
        weights = self._weights(len(predictions))
        orders = self._orders(predictions)
        first = predictions[0]
        for number, table in enumerate(predictions):
            _refuse_other_attributes(attributes(first), attributes(table), number)
        joined: dict[str, Any] = {name: read(item) for name, item in columns(first).items()}
        joined |= attributes(first)
        for name in self.columns:
            if (spread := f"{name}_spread") in joined:
                raise OperationError(
                    f"the members have a column {spread!r}, whose place the spread of {name!r} "
                    "would take: Load can leave it out or rename it"
                )
        for name in self.columns:
            members = self._members(name, predictions, orders)
            joined[name], joined[f"{name}_spread"] = self._join(members, weights)
        return joined

    def _weights(self, members: int) -> Any:
        if self.weights is None:
            return np.full(members, 1 / members)
        found = np.asarray(self.weights, dtype=np.float64)
        return found / found.sum()

    def _orders(self, tables: list[Any]) -> list[Any]:
        """Return of each member the places of the first one's rows; all if nothing names them."""
        if not self.ids:
            return [slice(None)] * len(tables)
        names = [values(table, self.ids) for table in tables]
        wanted, orders = names[0], []
        for number, own in enumerate(names):
            if missing := int(unknown(own).sum()):
                raise OperationError(f"{self.ids!r} of member {number} names {missing} rows not")
            order = np.argsort(own, kind="stable")
            ordered = own[order]
            if (ordered[1:] == ordered[:-1]).any():
                raise OperationError(f"{self.ids!r} of member {number} names two rows alike")
            if len(own) != len(wanted) or not np.array_equal(ordered, np.sort(wanted)):
                raise OperationError(
                    f"member {number} has other rows than member 0, by {self.ids!r}: "
                    f"{len(np.setdiff1d(wanted, own))} are missing, "
                    f"{len(np.setdiff1d(own, wanted))} are its own"
                )
            orders.append(order[np.searchsorted(ordered, wanted)])
        return orders

    def _members(self, name: str, tables: list[Any], orders: list[Any]) -> Any:
        found = [numbers(table, name)[order] for table, order in zip(tables, orders, strict=True)]
        if len({item.shape for item in found}) > 1:
            shapes = ", ".join(str(item.shape) for item in found)
            raise OperationError(f"{name!r} has other shapes in other members: {shapes}")
        for number, item in enumerate(found):
            if not np.isfinite(item).all():
                raise OperationError(f"{name!r} of member {number} is not finite everywhere")
        return np.stack(found)

    def _join(self, members: Any, weights: Any) -> tuple[Any, Any]:
        spread = members.std(axis=0)
        if self.how == "mean":
            return np.tensordot(weights, members, axes=1), spread
        joined = np.median(members, axis=0)
        sums = members.sum(axis=-1) if members.ndim > 2 else np.zeros(1)
        if members.ndim == 3 and (np.abs(sums - 1) <= SUM_OFF).all():
            total = joined.sum(axis=-1, keepdims=True)
            # Members that have nothing in common have a median of 0: their mean is what is left.
            mean = members.mean(axis=0)
            joined = np.where(total > 0, joined / np.where(total > 0, total, 1), mean)
        return joined, spread


def _refuse_other_attributes(first: dict[str, Any], own: dict[str, Any], number: int) -> None:
    for name in sorted(first.keys() | own.keys()):
        one, other = first.get(name), own.get(name)
        if not np.array_equal(np.asarray(one), np.asarray(other)):
            raise OperationError(
                f"attribute {name[1:]!r} is {one} in member 0 and {other} in member {number}"
            )
