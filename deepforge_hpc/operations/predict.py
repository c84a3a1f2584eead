"""Prediction of the rows of a table: by shards, on any number of ranks and tasks, in order."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from deepforge_hpc.job import checkpoint_folder, ranks
from deepforge_hpc.operations.columns import marked
from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.models import Predictor, predictor
from deepforge_hpc.operations.shards import Shards
from deepforge_hpc.operations.tables import (
    attributes,
    column,
    columns,
    read,
    refuse_names,
    row_count,
    values,
)

if TYPE_CHECKING:
    import h5py
    import torch


class Predict:
    """Predicts each row of a table by a network of Keras or PyTorch, or a model of scikit-learn.

    Rows are cut into shards, each of whole batches; the last batch is filled up, so that all have
    one size. Rank r takes the shards r, r + N, ..., and rank 0 then does what is still missing, so
    that nobody waits; it returns all in the order of the rows. A batch is the same on any number of
    ranks, so the result is. Finished shards lie in the job's folder for checkpoints: after an
    interruption (`dfh resume`) they are not computed again. With `map: {over: dataset}` each task
    predicts a block of rows; batches then begin elsewhere, which changes no more than rounding.

    Args:
        model: the network of Keras, the weights of one of PyTorch, or a fitted model of
            scikit-learn (`predict_proba`, else `predict`). Of its classes, whole numbers from 0,
            each has the column of its number.
        dataset: the table.
        columns: data sets that the model is given, in its order; by default those that the inputs
            of a network are named after. scikit-learn gets them side by side.
        rows: column of 0 and 1 that marks the rows to predict; all without it.
        mark: its value in these rows.
        layer: name of the layer whose output is wanted (features), or its number from the end, as
            `-2`.
        average: over an image's mirror images (`flip`, 2) or positions (`dihedral`, 8).
        batch_size: rows that are predicted at once.
        shard_batches: batches of a shard.
        name: column of the predictions; of several outputs `NAME_OUTPUT`.
        ids: column that names the rows; if the table has none, their numbers.
        keep: columns that go along, such as the truth.
        network: the architecture file of a network of PyTorch, which is code and so no part of its
            weights.
        predictions: `ids`, what is kept, and the predictions; attributes of the table too.

    Source: Keras' predict_on_batch; PyTorch's Module.eval; Krizhevsky et al. 2012, NeurIPS 25,
    section 4.1 (the average).

    >>> from sklearn.linear_model import LinearRegression
    >>> table = {"x": np.arange(4.0), "y": 2 * np.arange(4.0)}
    >>> model = LinearRegression().fit(table["x"][:, None], table["y"])
    >>> found = Predict(columns=["x"], keep=["y"]).execute(model, table)
    >>> found["prediction"].round(6).tolist(), found["row"].tolist()
    ([0.0, 2.0, 4.0, 6.0], [0, 1, 2, 3])
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the keys of a pipeline file
        self,
        columns: list[str] | None = None,
        rows: str = "",
        mark: Literal[0, 1] = 1,
        layer: str = "",
        average: Literal["", "flip", "dihedral"] = "",
        batch_size: Annotated[int, {"min": 1}] = 256,
        shard_batches: Annotated[int, {"min": 1}] = 64,
        name: str = "prediction",
        ids: str = "row",
        keep: list[str] | None = None,
        network: torch.nn.Module | None = None,
    ):
        keep = keep or []
        if name in {ids, *keep}:
            raise OperationError(
                f"name: the predictions would take the place of the column {name!r}, which is "
                "among ids and keep: give them another name"
            )
        if name.startswith("@") or {"", ".", ".."} & {*name.split("/")}:
            raise OperationError(
                f"name: no column of an HDF5 file can have the name {name!r} (not empty, no '.' "
                "alone, no '@' first)"
            )
        if mark == 0 and not rows:
            raise OperationError("mark: 0 is of the column that rows names, and it names none")
        self.network = network
        self.columns, self.rows, self.mark = columns, rows, mark
        self.layer, self.average = layer, average
        self.batch_size, self.shard_batches = batch_size, shard_batches
        self.name, self.ids, self.keep = name, ids, keep

    def execute(
        self, model: Annotated[object, {"weights_of": "network"}], dataset: h5py.File
    ) -> h5py.File:
        me = ranks()
        refuse_names([self.name, self.ids, *self.keep], "name, ids and keep say them")
        chosen = self._chosen(dataset)
        predictions = self._known(dataset, chosen)
        made = predictor(model, self.columns, self.layer, self.average, self.network)
        for name in made.columns:
            self._refuse(name, column(dataset, name, "columns"), row_count(dataset))
        size = self.batch_size * self.shard_batches
        count = max(1, math.ceil(len(chosen) / size))
        shards = Shards(checkpoint_folder(), self._key(made, dataset, chosen), me)

        def make(number: int) -> dict[str, Any]:
            return self._shard(made, dataset, chosen[number * size : (number + 1) * size])

        parts = shards.all(count, make)
        if not me.is_first:
            return predictions  # rank 0 returns what counts
        for output in parts[0]:
            name = f"{self.name}_{output}" if output else self.name
            if name in predictions:
                raise OperationError(
                    f"name: the output {output!r} would take the place of the column {name!r}, "
                    "which is among ids and keep: give the predictions another name"
                )
            predictions[name] = np.concatenate([part[output] for part in parts])
        return predictions

    def _chosen(self, table: Any) -> Any:
        count = row_count(table)
        if not count:
            raise OperationError("the table has no rows to predict")
        chosen = marked(table, self.rows, count, self.mark) if self.rows else np.arange(count)
        if not len(chosen) and not os.environ.get("DFH_TASK"):  # a block of a table may have none
            raise OperationError(f"rows: {self.rows!r} is {self.mark} in none of {count} rows")
        return chosen

    def _known(self, table: Any, chosen: Any) -> dict[str, Any]:
        """Return what is known of the rows: their names, what is kept, and attributes."""
        found = dict(attributes(table))
        if self.ids in columns(table):
            found[self.ids] = values(table, self.ids)[chosen]
        elif os.environ.get("DFH_TASK"):
            raise OperationError(
                f"the table has no {self.ids!r}, and a task of an array sees a block of it: its "
                "rows need names, or their numbers would begin anew in each task; set ids"
            )
        else:
            found[self.ids] = chosen
        for name in self.keep:
            found[name] = values(table, name, "keep")[chosen]
        return found

    def _refuse(self, name: str, item: Any, count: int) -> None:
        if item.shape[:1] != (count,):
            raise OperationError(f"{name!r} has the shape {item.shape}, and there are {count} rows")
        sides = item.shape[2:4] if self.network is not None else item.shape[1:3]
        if self.average == "dihedral" and len(item.shape) == 4 and sides[0] != sides[1]:
            raise OperationError(f"average: {name!r} is no square, so it has no 8 positions")

    def _key(self, made: Predictor, table: Any, chosen: Any) -> list[Any]:
        """Return what makes shards those of this prediction."""
        shapes = [[name, list(column(table, name).shape)] for name in made.columns]
        settings = [self.layer, self.average, self.batch_size, self.shard_batches]
        return [made.identity, shapes, settings, len(chosen), int(chosen.sum())]

    def _shard(self, made: Predictor, table: Any, rows: Any) -> dict[str, Any]:
        """Return the predictions of some rows, by output."""
        # Of no row at all, one is predicted, for the shape.
        wanted = rows if len(rows) else np.zeros(1, dtype=int)
        given = [column(table, name) for name in made.columns]
        parts = []
        for start in range(0, len(wanted), self.batch_size):
            batch = wanted[start : start + self.batch_size]
            found = made.predict([self._filled(item, batch) for item in given])
            parts.append({name: item[: len(batch)] for name, item in found.items()})
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {name: item[: len(rows)] for name, item in whole.items()}

    def _filled(self, item: Any, batch: Any) -> Any:
        """Return the rows of a batch, the last one repeated until it is full."""
        first = int(batch[0])
        found = read(item, slice(first, int(batch[-1]) + 1))[batch - first]
        short = self.batch_size - len(found)
        return np.concatenate([found, found[-1:].repeat(short, axis=0)])
