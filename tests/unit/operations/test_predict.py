"""Prediction by shards: the same on any number of ranks, in order, and none is made twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from deepforge_hpc.operations.errors import OperationError
from deepforge_hpc.operations.predict import Predict

ROWS = 103


class Counting(LinearRegression):
    """A fitted model that says how often it was asked."""

    asked = 0

    def predict(self, x: Any) -> Any:
        type(self).asked += 1
        return super().predict(x)


@pytest.fixture
def model() -> Any:
    Counting.asked = 0
    data = table()
    return Counting().fit(np.column_stack([data["x"], data["w"]]), data["y"])


def table() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(ROWS, 3)), rng.normal(size=ROWS)
    return {
        "x": x,
        "w": w,
        "y": x @ [1.0, 2, 3] - w + rng.normal(size=ROWS),
        "row": np.arange(ROWS) * 2 + 1,
        "use": (np.arange(ROWS) % 3 == 0).astype(np.uint8),
        "@limit": 0.4,
    }


def made(**settings: Any) -> Predict:
    given = {"columns": ["x", "w"], "batch_size": 5, "shard_batches": 2, "keep": ["y"]}
    return Predict(**{**given, **settings})


def be(monkeypatch: pytest.MonkeyPatch, rank: int, size: int, folder: Path) -> None:
    monkeypatch.setenv("DFH_RANK", str(rank))
    monkeypatch.setenv("DFH_WORLD_SIZE", str(size))
    monkeypatch.setenv("DFH_CHECKPOINT_DIR", str(folder))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_rows_come_in_their_order_with_their_names(model: Any) -> None:
    data = table()
    found = made().execute(model, data)
    expected = LinearRegression.predict(model, np.column_stack([data["x"], data["w"]]))
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-12)
    assert found["row"].tolist() == data["row"].tolist()
    assert found["@limit"] == 0.4
    assert (found["y"] == data["y"]).all()
    marked = made(rows="use").execute(model, data)
    np.testing.assert_allclose(marked["prediction"], expected[::3], rtol=1e-12)
    rest = made(rows="use", mark=0).execute(model, data)
    assert sorted([*rest["row"], *marked["row"]]) == data["row"].tolist()
    del data["row"]
    assert made(rows="use").execute(model, data)["row"].tolist() == list(range(0, ROWS, 3))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_three_ranks_give_what_one_gives_and_share_the_work(
    model: Any, order: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made().execute(model, table())
    batches, Counting.asked = Counting.asked, 0
    assert batches == 21  # 10 shards of 2 batches, and one of the last 3 rows
    found = {}
    for rank in order:
        be(monkeypatch, rank, 3, tmp_path)
        found[rank] = made().execute(model, table())
        shards = {int(path.stem) for path in tmp_path.glob("shards-*/*.npz")}
        assert rank == 0 or {n % 3 for n in shards} <= {*found} or 0 in found
        assert shards >= set(range(rank, 11, 3))
    assert same(found[0], one)
    assert Counting.asked == batches  # ranks one after the other make no shard twice
    assert "prediction" not in found[1]


def test_two_ranks_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from deepforge_hpc.operations.predict import Predict\n"
        "class Sum:\n"
        "    def predict(self, x): return x.sum(axis=1)\n"
        "table = {'x': np.arange(103.0)[:, None] * [1, 2]}\n"
        "made = Predict(columns=['x'], batch_size=5, shard_batches=2)\n"
        "np.savez(sys.argv[1], **made.execute(Sum(), table))\n"
    )
    running = []
    for rank in range(2):
        told = {"DFH_RANK": str(rank), "DFH_WORLD_SIZE": "2", "DFH_CHECKPOINT_DIR": str(tmp_path)}
        words = [sys.executable, "-c", program, tmp_path / f"{rank}.npz"]
        running.append(subprocess.Popen(words, env={**os.environ, **told}))
    assert [process.wait(100) for process in running] == [0, 0]
    assert len(list(tmp_path.glob("shards-*"))) == 1  # though each has a model of its own
    with np.load(tmp_path / "0.npz") as found:
        assert found["prediction"].tolist() == [3.0 * row for row in range(103)]
        assert found["row"].tolist() == list(range(103))


def test_what_was_finished_is_not_made_again(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, 0, 1, tmp_path)
    first = made().execute(model, table())
    shards = sorted(tmp_path.glob("shards-*/*.npz"))
    assert [path.name for path in shards] == [f"{n:06d}.npz" for n in range(11)]
    Counting.asked = 0
    assert same(made().execute(model, table()), first)
    assert Counting.asked == 0
    shards[3].unlink()
    shards[5].write_bytes(shards[5].read_bytes()[:-40])  # torn
    damaged = bytearray(shards[7].read_bytes())
    damaged[damaged.rindex(b"\x93NUMPY") + 130] ^= 1  # a bit of the values
    shards[7].write_bytes(damaged)
    assert same(made().execute(model, table()), first)
    assert Counting.asked == 6
    made(rows="use").execute(model, table())  # other rows, other shards
    assert Counting.asked == 6 + 7


def test_blocks_of_tasks_are_the_whole(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table()
    whole = made().execute(model, data)
    parts = []
    for task in range(3):
        be(monkeypatch, 0, 1, tmp_path / str(task))
        block = slice(ROWS * task // 3, ROWS * (task + 1) // 3)
        cut = {name: item[block] if np.ndim(item) else item for name, item in data.items()}
        parts.append(made().execute(model, cut))
    for name in ("row", "prediction", "y"):
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(joined, whole[name], rtol=1e-12)
    monkeypatch.setenv("DFH_TASK", "1")
    del data["row"]
    with pytest.raises(OperationError, match="the table has no 'row', and a task of an array"):
        made().execute(model, data)


def test_probabilities_from_a_file_and_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table()
    classes = (data["w"] > 0).astype(int)
    fitted = LogisticRegression().fit(data["x"], classes)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"], file["name"] = data["x"], np.arange(ROWS).astype("S4")
        file["use"] = np.zeros(ROWS)
        found = Predict(columns=["x"], ids="name", batch_size=50).execute(fitted, file)
        none_marked = Predict(columns=["x"], rows="use", ids="name", batch_size=50)
        with pytest.raises(OperationError, match=f"'use' is 1 in none of {ROWS} rows"):
            none_marked.execute(fitted, file)
        monkeypatch.setenv("DFH_TASK", "1")  # of its block there may be none
        none = none_marked.execute(fitted, file)
    np.testing.assert_allclose(found["prediction"], fitted.predict_proba(data["x"]), rtol=1e-12)
    assert found["name"][7] == b"7"
    assert none["prediction"].shape == (0, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": None}, "a Counting needs columns"),
        ({"layer": "-2"}, "neither layers"),
        ({"columns": ["q"]}, "columns: the table has no 'q'"),
        ({"keep": ["q"]}, "keep: the table has no 'q'"),
        ({"rows": "x"}, "it needs one mark, 0 or 1, for each"),
        ({"rows": "row"}, "'row' marks by 0 and 1, and 102 of its 103 rows have others, as"),
        ({"ids": ""}, "can have the name '' .*: name, ids and keep say them"),
        ({"ids": "@y", "keep": ["."]}, r"can have the name '@y', '\.' "),
        ({"name": "y/z"}, "can have the name 'y' "),
        ({"name": "y"}, "would take the place of the column 'y'"),
        ({"name": "row"}, "would take the place of the column 'row'"),
    ],
)
def test_what_cannot_be_predicted(model: Any, settings: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        made(**settings).execute(model, table())
    with pytest.raises(OperationError, match="the table has no rows to predict"):
        made().execute(model, {"x": np.zeros((0, 3)), "w": np.zeros(0)})


def test_an_output_does_not_take_the_place_of_what_is_kept() -> None:
    class Two:
        inputs = [type("Input", (), {"name": "x"})]  # noqa: RUF012

        def predict_on_batch(self, x: Any) -> Any:
            return {"a": x, "b": x}

        def to_json(self) -> str:
            return "{}"

        def get_weights(self) -> list[Any]:
            return []

    data = {"x": np.arange(3.0), "prediction_b": np.arange(3)}
    assert "prediction_a" in Predict().execute(Two(), data)
    with pytest.raises(OperationError, match="the place of the column 'prediction_b'"):
        Predict(keep=["prediction_b"]).execute(Two(), data)


@pytest.mark.parametrize("labels", [[0, 2], [0.0, 2.0], [1, 2], [False, True]])
def test_each_class_has_the_column_of_its_number(labels: list[Any]) -> None:
    x = np.arange(20.0)[:, None]
    fitted = LogisticRegression().fit(x, np.asarray(labels)[(x[:, 0] > 9).astype(int)])
    found = Predict(columns=["x"], batch_size=8).execute(fitted, {"x": x})["prediction"]
    assert found.shape == (20, int(max(labels)) + 1)
    places = [int(label) for label in labels]
    np.testing.assert_allclose(found[:, places], fitted.predict_proba(x), rtol=1e-12)
    assert found.sum() == pytest.approx(20)


@pytest.mark.parametrize("labels", [["a", "b"], [-1, 1], [0, 10**9]])
def test_classes_that_are_no_numbers_from_0(labels: list[Any]) -> None:
    x = np.arange(20.0)[:, None]
    fitted = LogisticRegression().fit(x, np.asarray(labels)[(x[:, 0] > 9).astype(int)])
    with pytest.raises(OperationError, match=r"LogisticRegression has learnt the classes .*number"):
        Predict(columns=["x"]).execute(fitted, {"x": x})


def test_a_shard_that_was_changed_is_made_again_and_named(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, 0, 1, tmp_path)
    first = made().execute(model, table())
    assert capsys.readouterr().out == ""
    path = sorted(tmp_path.glob("shards-*/*.npz"))[4]
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files}
    np.savez(path, **{**members, "value0": members["value0"] + 1})
    assert same(made().execute(model, table()), first)
    assert capsys.readouterr().out == (
        "shards: 10 of 11 were there already; made again, for they are not whole: 000004.npz\n"
    )


def test_what_is_no_model(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperationError, match="a dict is no model"):
        made().execute({}, table())
    monkeypatch.setenv("DFH_WORLD_SIZE", "2")
    with pytest.raises(OperationError, match="set DFH_CHECKPOINT_DIR"):
        made().execute(model, table())
