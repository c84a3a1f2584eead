"""The operation Train: several outputs and losses, weights of rows, and what is refused early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

SPARSE = {"SparseCategoricalCrossentropy": {"from_logits": True}}
BOTH: dict[str, Any] = {
    "loss": {"kind": SPARSE, "size": "mse"},
    "loss_weights": {"size": 0.5},
    "metrics": {"kind": ["accuracy"], "size": [{"MeanAbsoluteError": {"name": "mae"}}]},
    "target": "truth",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.h5"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 5)).astype("f4")
    kind = (x @ rng.normal(size=(5, 3))).argmax(1)
    with h5py.File(path, "w") as file:
        file["x"] = x
        file["kind"], file["truth/kind"] = kind, kind
        file["size"] = file["truth/size"] = x.sum(axis=1)
        file["onehot"] = np.eye(3, dtype="f4")[kind]
        file["odd"] = np.where(np.arange(90) == 7, 3, kind)
        file["holes"] = np.where(np.arange(90) == 7, -1, kind)
        file["trust"] = np.where(kind == 0, 2.0, 1.0).astype("f4")
        file["three"], file["text"] = kind, np.array([b"a"] * 90)
        file["loose"] = np.eye(3, dtype="f4")[kind] * 0.9
        file["debt"] = np.where(np.arange(90) == 7, -1.0, 1.0)
        file["wide"] = rng.normal(size=(90, 2)).astype("f4")
        file["bin"] = kind
        file.attrs.update({"bins_bin": 2, "bins_text": "many"})  # as the operation Bin tells it
    return path


def network(*names: str) -> Any:
    import keras

    given = keras.Input((5,), name="x")
    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(given)
    units = {"kind": 3, "size": 1}
    return keras.Model(
        given, [keras.layers.Dense(units[name], name=name)(hidden) for name in names]
    )


def train(dataset: Path, *outputs: str, **settings: Any) -> Any:
    from deepforge_hpc.operations.train import Train

    given = {"epochs": 2, "batch_size": 16, "seed": 4, "optimizer": "SGD", "learning_rate": 0.1}
    with h5py.File(dataset) as file:
        return Train(network(*(outputs or ("kind",))), **{**given, **settings}).execute(file)


def weights(model: Any) -> Any:
    return np.concatenate([item.ravel() for item in model.get_weights()])


def by_hand(dataset: Path, **compiled: Any) -> Any:
    """The same training written with Keras alone, in the order that the operation has."""
    import keras

    from deepforge_hpc.training.order import Order

    given = network("kind", "size")
    keras.utils.set_random_seed(4)
    model = keras.models.clone_model(given)
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    with h5py.File(dataset) as file:
        x, y = file["x"][:], {name: file[name][:] for name in ("kind", "size")}
    rows = np.sort(np.random.default_rng(4).permutation(90)[9:])
    order = Order(81, 16, 4)
    for epoch in range(2):
        drawn = rows[order.epoch(epoch)]
        for step in range(order.steps):
            mine = drawn[order.positions(step)]
            model.train_on_batch(x[mine], {name: item[mine] for name, item in y.items()})
    return weights(model)


def test_several_outputs_learn_what_keras_alone_learns(dataset: Path) -> None:
    import keras

    losses = {
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "size": "mse",
    }
    model, history, _ = train(dataset, "kind", "size", **BOTH)
    whole = by_hand(dataset, loss=losses, loss_weights={"kind": 1.0, "size": 0.5})
    assert np.abs(weights(model) - whole).max() < 1e-6
    assert {"kind_loss", "size_loss", "kind_accuracy", "size_mae", "val_size_mae"} <= set(history)
    # The targets by their names, one loss for all, and a loss that no weight halves: other ways.
    named, _, _ = train(
        dataset, "kind", "size", **{**BOTH, "target": {"kind": "kind", "size": "size"}}
    )
    assert np.array_equal(weights(named), weights(model))
    plain, _, _ = train(dataset, "kind", "size", **{**BOTH, "loss_weights": None})
    assert not np.array_equal(weights(plain), weights(model))


def test_one_output_may_be_named_too(dataset: Path) -> None:
    model, history, _ = train(
        dataset, loss={"kind": SPARSE}, target="truth", metrics={"kind": ["acc"]}
    )
    other, _, _ = train(dataset, loss=SPARSE, target="kind")
    assert np.array_equal(weights(model), weights(other))
    assert "acc" in history


def test_weights_of_classes_are_weights_of_rows(dataset: Path) -> None:
    """Also of one-hot labels, and both at once; Keras refuses both."""
    common = {"loss": SPARSE, "target": "kind"}
    of_rows, _, _ = train(dataset, sample_weight="trust", validation_split=0, **common)
    of_classes, _, _ = train(dataset, class_weight={"0": 2.0}, validation_split=0, **common)
    assert np.array_equal(weights(of_rows), weights(of_classes))
    onehot = {"loss": {"CategoricalCrossentropy": {"from_logits": True}}, "target": "onehot"}
    same, _, _ = train(dataset, class_weight={"0": 2.0}, validation_split=0, **onehot)
    assert np.abs(weights(same) - weights(of_classes)).max() < 1e-6
    both, _, _ = train(dataset, sample_weight="trust", class_weight={"0": 0.5}, **common)
    none, _, _ = train(dataset, **common)
    assert np.array_equal(weights(both), weights(none))


def test_labels_that_a_loss_leaves_out_are_no_fault(dataset: Path) -> None:
    loss = {"SparseCategoricalCrossentropy": {"from_logits": True, "ignore_class": -1}}
    assert train(dataset, loss=loss, target="holes", epochs=1)


ONE = {"loss": SPARSE, "target": "kind"}


@pytest.mark.parametrize(
    ("outputs", "settings", "message"),
    [
        ("kind size", {"target": "kind"}, "the outputs kind, size, and 'kind' is one data set: write"),
        ("kind size", {"target": {"kind": "kind"}}, "target: the output size has no data set"),
        ("kind size", {"loss": {"kind": SPARSE, "siz": "mse"}}, "loss: the network has no output ['siz']"),
        ("kind size", {"loss": {"kind": SPARSE, "size": None}}, "loss must be Name or"),
        ("kind size", {"loss_weights": {"a": 1}}, "loss_weights: the network has no output ['a']"),
        ("kind size", {"metrics": {"a": "mse"}}, "metric: the network has no output ['a']"),
        ("kind size", {"class_weight": {"0": 2}}, "class_weight is of one output"),
        ("kind size", {"early_stopping": {"monitor": "val_acc"}}, "'val_acc', which is not logged"),
        ("kind", {"target": "truth", "inputs": {"x": "truth"}}, "'truth' is a group of the dataset"),
        ("size", {"target": "truth", "loss": "mse", "metrics": {"MeanSquaredError": {}}}, ""),
        ("kind", {"class_weight": {"zero": 2.0}}, "class_weight: 'zero' is no class; write"),
        ("kind", {"class_weight": {"-1": 2.0}}, "class_weight: '-1' is no class; write"),
        ("kind", {"class_weight": {"3": 2.0}}, "there is no class 3; the classes are 0 to 2"),
        ("size", {"loss": "mse", "target": "size", "class_weight": {"0": 1}}, "has no class for each"),
        ("kind", {"rows": "kind"}, "rows: 'kind' marks by 0 and 1, and"),
        ("kind", {"target": "odd"}, "labels from 0 to 3, and the output kind has 3 classes, 0 to 2: 1 of"),
        ("kind", {"target": "holes"}, "labels from -1 to 2"),
        ("kind", {"target": "bin"}, "target bin has the numbers of 2 bins, and the output kind has 3 classes: give"),
        ("size", {"target": "bin", "loss": "mse"}, ""),
        ("kind", {"target": "size"}, "has values that are no whole numbers"),
        ("kind", {"target": "onehot"}, "shape (3,) for each row, and its loss takes one label"),
        ("kind", {"loss": "CategoricalCrossentropy"}, "for labels of classes, use SparseCateg"),
        ("size", {"loss": "mse", "target": "wide"}, "has the shape (2,) for each row, and the output size (1,)"),
        ("kind", {"early_stopping": {"monitor": "val_accuracy"}}, "is not logged; There are loss, learning_rate, val_loss"),
        ("kind", {"callbacks": [{"ReduceLROnPlateau": {"monitor": "los"}}]}, "did you mean loss?"),
        ("kind", {"early_stopping": {"monitor": "val_loss"}, "validation_split": 0.0}, "no rows are kept"),
        ("size", {"loss": "BinaryCrossentropy", "target": "three"}, "three has values from 0 to 2, and the loss Bin"),
        ("size", {"loss": "hinge", "target": "three"}, "takes -1 to 1"),
        ("kind", {"target": "text"}, "target text is text, and a network takes numbers"),
        ("kind", {"inputs": {"x": "text"}}, "inputs: text is text"),
        ("kind", {"inputs": {"x": "wide"}}, "inputs: wide has the shape (2,) for each row, and the network's input x (5,)"),
        ("kind", {"sample_weight": "debt"}, "sample_weight: debt has 1 of 8"),
        ("kind", {"sample_weight": "text"}, "sample_weight: text is text"),
        ("kind", {"class_weight": {"1": -2.0}}, "that of class 1 is below 0"),
        ("kind", {"augment": "dihedral"}, "changes images, rows x columns x channels, and no input is one: x (5,)"),
        ("kind", {"early_stopping": {"patience": 2}, "validation_split": 0.0}, "early_stopping watches val_loss, and no rows"),
        ("kind", {"early_stopping": {"monitor": "loss"}, "validation_split": 0.0, "epochs": 1}, ""),
        ("kind", {"optimizer": "schedules"}, "Keras has no optimizer schedules"),
        ("kind", {"loss": {"Huber": {"delta": {}, "nme": 1}}}, "loss Huber cannot be made with"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_the_first_step(
    outputs: str, settings: dict[str, Any], message: str, dataset: Path
) -> None:
    from deepforge_hpc.training import TrainingError

    given = {**(BOTH if " " in outputs else ONE), **settings}
    if not message:
        assert train(dataset, *outputs.split(), **given)
        return
    with pytest.raises(TrainingError) as told:
        train(dataset, *outputs.split(), **given)
    assert message in str(told.value)


def test_rows_that_are_no_distributions_are_told(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = {"CategoricalCrossentropy": {"from_logits": True}}
    train(dataset, loss=loss, target="onehot", epochs=1)
    assert "add up" not in capsys.readouterr().err
    train(dataset, loss=loss, target="loose", epochs=1)
    told = capsys.readouterr().err
    assert "dfh: target loose: 81 of 81 rows do not add up to 1" in told


@pytest.mark.parametrize("is_empty", [True, False])
def test_what_validates_nothing_stops_the_training(dataset: Path, *, is_empty: bool) -> None:
    """Also a network whose loss of validation is no number: nothing could be best by it."""
    from deepforge_hpc.operations.train import Train
    from deepforge_hpc.training import TrainingError

    some = 0 if is_empty else 20
    rows = {"x": np.full((some, 5), np.nan, "f4"), "kind": np.zeros(some, "i8")}
    settings = Train(network("kind"), **ONE, epochs=3, keep="best")
    said = "validation has no rows" if is_empty else "the val_loss is no number any more at the end"
    with h5py.File(dataset) as file, pytest.raises(TrainingError, match=said):
        settings.execute(file, rows)  # type: ignore[arg-type]


def test_every_name_that_the_check_takes_is_one_of_keras(dataset: Path) -> None:
    from deepforge_hpc.libraries.keras.catalogue import shipped
    from deepforge_hpc.libraries.keras.named_values import spellings
    from deepforge_hpc.operations.named import find

    for kind in ("optimizer", "schedule", "loss", "metric", "callback"):
        for name, of in spellings(kind).items():
            thing = shipped().find(kind, of)
            assert thing is not None
            if name == of or not thing.required:
                assert find(kind, name), name


def test_a_seed_below_zero_is_refused() -> None:
    from deepforge_hpc.training import Batches, TrainingError
    from deepforge_hpc.training.transports.base import OneRank

    with pytest.raises(TrainingError, match="seed -1: it must be 0 or more"):
        Batches(np.arange(4), batch_size=2, seed=-1, transport=OneRank())


def test_a_checkpoint_without_a_part_is_never_a_traceback(dataset: Path, tmp_path: Path) -> None:
    """Whatever is taken from its description, a training begins anew and says why."""
    from deepforge_hpc import training

    def fit() -> Any:
        import keras

        keras.utils.set_random_seed(1)
        model = network("size")
        model.compile("sgd", "mse")
        team = training.connect()
        with h5py.File(dataset) as file:
            batches = training.Batches(file["x"][:], file["size"][:], batch_size=45, transport=team)
        return training.fit(model, batches, epochs=1, transport=team, checkpoints=tmp_path)

    whole = fit()
    (small,) = tmp_path.glob("*.json")
    about = json.loads(small.read_text())
    paths = [(key,) for key in about] + [("state", key) for key in about["state"]]
    paths += [("position", key) for key in about["position"]]
    for path in paths:
        less = json.loads(json.dumps(about))
        part = less[path[0]] if path[1:] else less
        del part[path[-1]]
        small.write_text(json.dumps(less))
        assert training.Checkpoints(tmp_path).newest() is None, path
    assert fit() == whole  # of the last one harmed
    kept = training.Checkpoints(tmp_path)
    found = kept.newest()
    assert found is not None
    kept.save(found.position, {"data": found.state["data"]}, {})
    with pytest.raises(
        training.TrainingError, match="it has no architecture, callbacks, optimizer"
    ):
        fit_more(dataset, tmp_path)


def fit_more(dataset: Path, folder: Path) -> None:
    from deepforge_hpc import training

    model = network("size")
    model.compile("sgd", "mse")
    team = training.connect()
    with h5py.File(dataset) as file:
        batches = training.Batches(file["x"][:], file["size"][:], batch_size=45, transport=team)
    training.fit(model, batches, epochs=2, transport=team, checkpoints=folder)
