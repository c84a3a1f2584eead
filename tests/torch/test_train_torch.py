"""The operation Train with networks of PyTorch: what its settings do, and what it refuses."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepforge_hpc.training.errors import TrainingError

pytestmark = pytest.mark.torch

ROWS = 140
HEAD = "library: torch\narchitecture: net\n"
PLAIN = """
inputs: {x: [5]}
layers:
  - body: [{Linear: {in_features: 5, out_features: 16}}, {BatchNorm1d: {num_features: 16}}, {Tanh: {}}]
  - out: {Linear: {in_features: 16, out_features: 3}}
"""
BOTH = """
inputs: {x: [5]}
layers:
  - body: [{Linear: {in_features: 5, out_features: 16}}, {Tanh: {}}]
  - kind: {Linear: {in_features: 16, out_features: 3}, from: body}
  - size: {Linear: {in_features: 16, out_features: 1}, from: body}
outputs: [kind, size]
"""
PICTURES = """
inputs: {image: [2, 4, 4]}
layers:
  - conv: [{Conv2d: {in_channels: 2, out_channels: 4, kernel_size: 3}}, {ReLU: {}}, {Flatten: {}}]
  - out: {Linear: {in_features: 16, out_features: 3}}
"""


@pytest.fixture(scope="module")
def dataset() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 5)).astype("f4")
    labels = (x @ rng.normal(size=(5, 3))).argmax(1)
    return {
        "x": x,
        "target": labels.astype("u1"),
        "size": x.sum(1).astype("f8"),
        "onehot": np.eye(3, dtype="f4")[labels],
        "yes": (labels == 1).astype("i4"),
        "trust": np.linspace(0, 2, ROWS),
        "less": np.linspace(-1, 2, ROWS),
        "use": (np.arange(ROWS) < 100).astype("u1"),
        "image": rng.integers(0, 9, size=(ROWS, 2, 4, 4)).astype("u1"),
        "words": np.array(["a"] * ROWS),
        "bin": labels,
        "none": np.zeros(ROWS, "u1"),
        "gaps": np.where(np.arange(ROWS) == 7, -100, labels),
        "@bins_bin": 4,  # as the operation Bin tells it
        "swapped": x.astype(">f8"),  # as FITS has numbers
        "zero": np.zeros(ROWS),
        "endless": np.where(np.arange(ROWS) == 3, np.inf, 1),
        "pairs": np.ones((ROWS, 2)),
        "fewer": labels[:100],
        "single": np.array(3.0),
    }


def network(text: str = PLAIN) -> Any:
    from deepforge_hpc.libraries.torch.library import TorchLibrary

    module = types.ModuleType("network")
    code = TorchLibrary().compile(HEAD + text, "net.yaml").code
    exec(compile(code, "network", "exec"), module.__dict__)
    return module.build()


def train(dataset: Any, initial: Any = None, model: Any = None, **more: Any) -> Any:
    from deepforge_hpc.operations.train import Train

    words: dict[str, Any] = {"loss": "CrossEntropyLoss", "epochs": 2, "batch_size": 16, "seed": 4}
    settings = Train(model or network(), **{**words, **more})
    return settings.execute(dataset, initial=initial)


def changed(first: Any, second: Any) -> bool:
    return any(not first[name].equal(second[name]) for name in first)


def test_one_call_with_most_settings(dataset: Any) -> None:
    weights, history, report = train(
        dataset, epochs=12, rows="use", optimizer={"AdamW": {"weight_decay": 0.001}},
        learning_rate=0.02, learning_rate_batch=8, warmup_epochs=1, schedule="CosineAnnealingLR",
        schedule_every="step", metrics=["accuracy", "mae"][:1], early_stopping={"patience": 11},
        keep="best", clip={"global_clipnorm": 1.0}, accumulate=2, synchronize=True,
        precision="mixed_bfloat16", class_weight={"0": 2.0}, sample_weight="trust", memory_gib=0,
    )  # fmt: skip
    assert report["learning_rate"] == (
        "0.04 = 0.02 x 16/8 (batch_size/learning_rate_batch), then CosineAnnealingLR over 33 "
        "steps, after a warm-up of 3 steps"
    )
    assert (report["steps_per_epoch"], report["rows"], report["ranks"]) == (5, 90, 1)
    assert report["synchronized"] == 1
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["accuracy"][-1] > 0.8
    network().load_state_dict(weights)  # as it was given: nothing of ours is in it


def test_the_seed_decides_and_what_is_set_has_effect(dataset: Any) -> None:
    def learnt(**settings: Any) -> Any:
        return train(dataset, epochs=1, **settings)[0]

    plain = learnt()
    assert not changed(plain, learnt())
    changes: list[dict[str, Any]] = [
        {"seed": 5}, {"sample_weight": "trust"}, {"clip": {"clipvalue": 1e-3}},
        {"clip": {"clipnorm": 1e-3}}, {"clip": {"global_clipnorm": 1e-3}}, {"rows": "use"},
        {"class_weight": {"0": 9.0}}, {"accumulate": 3}, {"warmup_epochs": 1.0},
        {"loss": {"CrossEntropyLoss": {"weight": [9.0, 1.0, 1.0]}}}, {"learning_rate_batch": 2},
        {"optimizer": {"SGD": {"lr": 0.1}}}, {"precision": "mixed_bfloat16"},
        {"schedule": {"OneCycleLR": {}}}, {"target": "onehot", "loss": "MSELoss"},
    ]  # fmt: skip
    for change in changes:
        assert changed(plain, learnt(**change)), change
    assert not changed(learnt(precision="mixed_bfloat16"), learnt(precision="mixed_bfloat16"))


def test_numbers_of_any_form_are_those_of_the_machine(dataset: Any) -> None:
    plain = train(dataset, loss={"CrossEntropyLoss": {"weight": [9.0, 1.0, 1.0]}})[0]
    whole = {"CrossEntropyLoss": {"weight": [9, 1, 1]}}
    longer = {**dataset, "x": dataset["x"].astype(np.longdouble)}
    for given, inputs in ((dataset, {"x": "swapped"}), (longer, {}), (dataset, {})):
        assert not changed(plain, train(given, loss=whole, inputs=inputs)[0])


def test_a_schedule_of_epochs_has_those_that_end_behind_the_warm_up(dataset: Any) -> None:
    words = {"schedule": "OneCycleLR", "schedule_every": "epoch", "epochs": 3}
    for warm, left in ((0.0, 3), (0.5, 3), (1.0, 2)):
        _, _, report = train(dataset, **words, warmup_epochs=warm)
        assert f"OneCycleLR over {left} epochs" in report["learning_rate"]


def test_targets_of_other_rows_are_named(dataset: Any) -> None:
    words = {"loss": {"kind": "CrossEntropyLoss", "size": "MSELoss"}, "model": network(BOTH)}
    with pytest.raises(TrainingError, match="same rows: target has 140, fewer has 100"):
        train(dataset, **words, target={"kind": "target", "size": "fewer"})


def test_batches_that_are_put_together_are_one_that_is_larger(dataset: Any) -> None:
    plain = network(PICTURES)  # without normalisation, which sees each batch by itself
    for loss in ("CrossEntropyLoss", "MultiMarginLoss"):
        words = {"model": plain, "validation_split": 0.0, "optimizer": {"SGD": {"lr": 0.01}}}
        words |= {"loss": loss, "rows": "use", "sample_weight": "trust", "epochs": 3}
        one, _, _ = train(dataset, batch_size=50, **words)
        many, _, _ = train(dataset, batch_size=10, accumulate=5, **words)
        for name, value in one.items():
            assert (value - many[name]).abs().max() <= 1e-6


def test_weights_to_begin_with_and_to_keep(dataset: Any) -> None:
    first, _, _ = train(dataset)
    wide = network(PLAIN.replace("out_features: 3", "out_features: 4"))
    weights, _, report = train(dataset, initial=first, model=wide, freeze=["body*"])
    body = [name for name in first if name.startswith("body")]
    assert report["initial"] == {
        "from": "initial",
        "loaded": body,
        "missing": [],
        "reshaped": [
            "out.weight: (3, 16) there, (4, 16) here",
            "out.bias: (3,) there, (4,) here",
        ],
        "unused": [],
    }
    assert report["frozen"] == ["body_1", "body_2", "body"]
    for name in body:  # statistics too, and how many batches they have seen
        assert weights[name].equal(first[name]), name
    with pytest.raises(TrainingError, match="initial has no weight with a name and a shape of"):
        train(dataset, initial={"other": first["out.bias"]})
    with pytest.raises(TrainingError, match="leave nothing to train"):
        train(dataset, freeze=["*"])


def test_the_best_epoch_is_kept_where_it_was_not_the_last(dataset: Any) -> None:
    given = {"optimizer": {"SGD": {"lr": 0.5}}, "epochs": 6}
    watched = {"monitor": "val_loss", "mode": "max"}  # which the first epoch wins
    best, history, _ = train(dataset, **given, keep="best", early_stopping=watched)
    last, same, _ = train(dataset, **given)
    assert history == same
    assert len(history["loss"]) == 6
    assert history["val_loss"].index(max(history["val_loss"])) == 0
    first, _, _ = train(dataset, **{**given, "epochs": 1})
    assert not changed(best, first)
    assert changed(best, last)
    stopped, history, _ = train(dataset, **given, early_stopping={**watched, "patience": 2})
    assert len(history["loss"]) == 3
    assert changed(stopped, best)


def test_several_outputs_have_their_losses_metrics_and_shares(dataset: Any) -> None:
    words = {
        "model": network(BOTH), "epochs": 20, "learning_rate": 0.03,
        "loss": {"kind": "CrossEntropyLoss", "size": {"HuberLoss": {"delta": 2.0}}},
        "loss_weights": {"size": 0.5}, "target": {"kind": "target", "size": "size"},
        "metrics": {"kind": ["accuracy"], "size": "mae"}, "sample_weight": "trust",
    }  # fmt: skip
    weights, history, _ = train(dataset, **words)
    own = {"loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"}
    assert set(history) == own | {f"val_{name}" for name in own}
    whole = np.array(history["kind_loss"]) + 0.5 * np.array(history["size_loss"])
    assert history["loss"] == pytest.approx(whole, abs=1e-6)
    assert history["kind_accuracy"][-1] > 0.8
    assert history["size_mae"][-1] < 0.5
    other, _, _ = train(dataset, **{**words, "loss_weights": {"size": 5.0}})
    assert changed(weights, other)
    for more, said in (
        ({"target": "target"}, "write {kind: ..., size: ...}"),
        ({"loss": {"kind": "CrossEntropyLoss", "sise": "MSELoss"}}, r"no output \['sise'\], but"),
        ({"class_weight": {"0": 2.0}}, "class_weight is of one output"),
    ):
        with pytest.raises(TrainingError, match=said):
            train(dataset, **{**words, **more})


def test_images_are_changed_with_their_channels_first(dataset: Any) -> None:
    from deepforge_hpc.training.augment import augmentation, dihedral

    image = np.arange(18.0).reshape(2, 3, 3)
    change = augmentation("dihedral", {"image": image[None]}, channels_first=True)
    seen = set()
    for seed in range(40):
        found = change(image, np.random.default_rng(seed))
        wanted = dihedral(np.moveaxis(image, 0, -1), np.random.default_rng(seed))
        assert np.array_equal(found, np.moveaxis(wanted, -1, 0))
        seen.add(found.tobytes())
    assert len(seen) == 8
    plain = train(dataset, model=network(PICTURES))[0]
    for name in ("flip", "dihedral"):  # of whole numbers, which the network gets as its own
        assert changed(plain, train(dataset, model=network(PICTURES), augment=name)[0])


def test_targets_come_in_the_form_that_the_loss_takes(dataset: Any) -> None:
    """PyTorch would stretch (n, 1) and (n,) to (n, n), and takes no labels of 8 bits."""
    one = PLAIN.replace("out_features: 3", "out_features: 1")
    given: dict[str, Any] = {"epochs": 15, "learning_rate": 0.05}
    for loss, target, metric in (
        ("BCEWithLogitsLoss", "yes", "accuracy"),
        ("MSELoss", "size", "mse"),
    ):
        words = {"loss": loss, "target": target, "metrics": [metric]}
        _, history, _ = train(dataset, model=network(one), **words, **given)
        end = history[metric][-1]
        assert end > 0.9 if metric == "accuracy" else end < 2, loss  # of a variance of 5
    _, history, _ = train(dataset, target="onehot", metrics=["accuracy"], **given)
    assert history["accuracy"][-1] > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": "dihedral"}, "channels x rows x columns, and no input is one: x (5,)"),
        ({"augment": "spin"}, "'spin' is none of dihedral, flip"),
        ({"metrics": ["auc"]}, "metrics: 'auc': there are accuracy, mean_absolute_error"),
        ({"metrics": ["accuracy"], "loss": "MSELoss", "target": "onehot"}, "accuracy is of classes"),
        ({"inputs": {"y": "x"}}, "the network has no input ['y'], but ['x']"),
        ({"optimizer": {"SGD": {"momentum": -1.0}}}, "SGD cannot be made with"),
        ({"optimizer": "Adamm"}, "PyTorch has no optimizer Adamm; did you mean Adam?"),
        ({"optimizer": "LBFGS"}, "it wants the loss several times for a step"),
        ({"optimizer": {"SGD": {"lr": {}}}}, "its lr is {}, not a number"),
        ({"loss": "Linear"}, "PyTorch has no loss Linear"),
        ({"loss": "CTCLoss"}, "it takes more than outputs and targets"),
        ({"loss": {"MSELoss": {"reduction": "sum"}}, "target": "onehot"}, "leave out its reduction"),
        ({"schedule": "ReduceLROnPlateau", "schedule_every": "step"}, "looks at epochs"),
        ({"callbacks": ["TerminateOnNaN"]}, "callbacks is of networks of Keras alone"),
        ({"record": ["gradients"]}, "record is of networks of Keras alone"),
        ({"init_from": "keras-app:VGG16"}, "keras-app is of networks of Keras alone"),
        ({"early_stopping": {"monitor": "val_los"}}, "which is not logged; did you mean val_loss?"),
        ({"early_stopping": {"wait": 3}}, "early_stopping has ['wait']; it takes monitor"),
        ({"early_stopping": {}, "validation_split": 0.0}, "no rows are kept to validate with"),
        ({"clip": {"norm": 1.0}}, "clip has ['norm']; it takes clipnorm"),
        ({"freeze": ["dense*"]}, "freeze: no layer matches 'dense*'; there are body_1, body_2"),
        ({"batch_size": 128}, "there are 126 rows, too few for a batch of 128"),
        ({"target": "labels"}, "the dataset has no 'labels'; it has"),
        ({"target": "size"}, "has values that are no whole numbers"),
        ({"target": "gaps"}, "labels from -100 to 2, and the output output has 3 classes"),
        ({"rows": "none"}, "no rows to learn from: rows: 'none' marks none of them"),
        ({"target": "bin"}, "has the numbers of 4 bins, and the output output has 3 classes: give"),
        ({"target": "size", "loss": "MSELoss"}, "the loss MSELoss compares them number by number"),
        ({"loss": "BCELoss", "target": "target"}, "for labels of classes, use CrossEntropyLoss"),
        ({"inputs": {"x": "words"}}, "inputs: words is text, and a network takes numbers"),
        ({"inputs": {"x": "size"}}, "the network cannot take rows of x (): "),
        ({"inputs": {"x": "size"}}, "a column of one number a row is the input []"),
        ({"sample_weight": "less"}, "weights that are below 0"),
        ({"class_weight": {"3": 2.0}}, "there is no class 3; the classes are 0 to 2"),
        ({"rows": "trust"}, "marks by 0 and 1"),
        ({"sample_weight": "zero"}, "sample_weight: zero leaves out all of 126 rows"),
        ({"sample_weight": "endless"}, "that are below 0, infinite or no numbers"),
        ({"sample_weight": "pairs"}, "pairs has the shape (2,) for each row, and a row has one"),
        ({"sample_weight": "fewer"}, "of the same rows: inputs has 140, target has 140, weights has"),
        ({"class_weight": {"0": 0.0, "1": 0.0, "2": 0.0}}, "class_weight leaves out all of 126"),
        ({"class_weight": {"0": float("inf")}}, "that of class 0 is below 0, infinite or no number"),
        ({"loss_weights": {"output": -1.0}}, "loss_weights: that of output is below 0"),
        ({"loss_weights": {"output": 0}}, "loss_weights: every output has 0, so nothing would"),
        ({"clip": {"clipnorm": -1.0}}, "clip: clipnorm is -1: a bound is a number above 0"),
        ({"target": "single"}, "'single' of the dataset is a single value, and has no rows"),
        ({"batch_size": 1}, "cannot learn from a batch of 1 rows, of batch_size 1 on all ranks: "),
        ({"loss": {"CrossEntropyLoss": {"weight": [1.0, 2.0]}}}, "by CrossEntropyLoss: weight tensor"),
        ({"loss": {"CrossEntropyLoss": {"weight": "a"}}}, "CrossEntropyLoss cannot be made with"),
        ({"metrics": ["mae"]}, "the output has the shape (3,), the target (): for labels"),
        ({"optimizer": {"Adam": {"differentiable": True}}}, "Adam cannot make a step with"),
        ({"schedule": {"StepLR": {"step_size": 0}}}, "StepLR cannot go on after 0 of 2 times"),
        ({"schedule": {"OneCycleLR": {"total_steps": 3}}}, "cannot go on after 3 of 14 times"),
        ({"early_stopping": {"patience": "3"}}, "patience is '3', and must be int"),
        ({"early_stopping": {"monitor": 3}}, "monitor is 3, and must be str"),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_named(
    settings: dict[str, Any], message: str, dataset: Any
) -> None:
    with pytest.raises(TrainingError) as told:
        train(dataset, **settings)
    assert message in str(told.value)


def test_a_label_that_is_no_class_is_named(dataset: Any) -> None:
    with pytest.raises(TrainingError, match="the output output has 2 classes, 0 to 1"):
        train(dataset, model=network(PLAIN.replace("out_features: 3", "out_features: 2")))
    rows = {name: item for name, item in dataset.items() if np.ndim(item)}
    none = {name: item[:0] for name, item in rows.items()}
    from deepforge_hpc.operations.train import Train

    with pytest.raises(TrainingError, match="the input validation has no rows"):
        Train(network(), "CrossEntropyLoss").execute(dataset, none)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="model is a dict, no network of Keras or PyTorch"):
        Train({}, "CrossEntropyLoss").execute(dataset)  # type: ignore[arg-type]


def test_labels_that_a_loss_leaves_out_are_no_fault_on_one_rank(
    dataset: Any,
) -> None:
    """On several, which ranks see them would decide what is learnt."""
    from deepforge_hpc.operations.torch_data import batches_of
    from deepforge_hpc.operations.train import Train
    from deepforge_hpc.training.transports.base import OneRank

    loss = {"CrossEntropyLoss": {"ignore_index": -100}}
    assert train(dataset, loss=loss, target="gaps", epochs=1)
    two = OneRank(size=2)
    settings = Train(network(), loss, target="gaps")
    with pytest.raises(TrainingError, match="train on one rank"):
        batches_of(settings, settings.model, dataset, None, two)


def test_each_epoch_tells_where_its_time_went(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFH_METRICS", str(tmp_path / "log"))
    monkeypatch.setenv("DFH_CHECKPOINT_DIR", str(tmp_path / "kept"))
    train(dataset, epochs=2)
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    for line in (first, second):
        parts = {name.removeprefix("time/"): line[name] for name in line if name[:5] == "time/"}
        whole = parts.pop("epoch")
        assert set(parts) == {
            "waiting",
            "compile",
            "compute",
            "communication",
            "validation",
            "checkpoint",
        }
        assert 0 < sum(parts.values()) <= whole
        assert all(parts[name] > 0 for name in ("waiting", "compute", "validation"))
        assert line["memory/peak_mib"] > 50
    assert first["time/checkpoint"] == 0 < second["time/checkpoint"]


def test_a_checkpoint_of_other_settings_is_named(tmp_path: Path) -> None:
    import torch
    from torch.optim.lr_scheduler import ExponentialLR, LinearLR

    from deepforge_hpc import training
    from deepforge_hpc.training import pytorch

    x = np.ones((8, 2), "f4")
    transport = training.connect("torch")
    batches = training.RankBatches(x, x, batch_size=4, transport=transport)

    def learn(layer: Any, schedule: Any = LinearLR, least: int = 0, epochs: int = 2) -> Any:
        module = torch.nn.Sequential(torch.nn.Linear(2, 2), layer)
        optimizer = torch.optim.Adam([*module.parameters()][least:])
        paced = {"schedule": schedule(optimizer, 0.5)} if schedule else {}
        goal = pytorch.Goal(loss=torch.nn.MSELoss(), optimizer=optimizer, **paced)
        words = {"epochs": epochs, "transport": transport, "checkpoints": tmp_path}
        return pytorch.fit(module, batches, goal, **words)  # type: ignore[arg-type]

    learn(torch.nn.Tanh(), epochs=1)
    for other, said in (
        ((torch.nn.ReLU(),), "of a network whose layers have other settings, and weights of"),
        ((torch.nn.Tanh(), None), "of the schedule LinearLR, and this training has none"),
        (
            (torch.nn.Tanh(), ExponentialLR),
            "schedule LinearLR, and this training has ExponentialLR",
        ),
        ((torch.nn.Tanh(), LinearLR, 1), "of a training whose optimizer has other parameters"),
    ):
        with pytest.raises(TrainingError, match=said):
            learn(*other)
    assert len(learn(torch.nn.Tanh())["loss"]) == 2


def test_a_step_that_float16_cannot_hold_is_left_out() -> None:
    import torch

    from deepforge_hpc.training.torch_precision import Precision

    module = torch.nn.Linear(2, 1)
    before = module.weight.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    precision = Precision("mixed_float16", module)

    def step(factor: float) -> Any:
        (found,) = precision.outputs(module, [torch.ones(1, 2)])
        precision.backward((found * factor).sum())
        precision.unscale(optimizer)
        precision.step(optimizer)
        optimizer.zero_grad()
        return precision.state()

    assert step(1e37)["scale"] == 32768  # 2^16 times that is no number
    assert module.weight.equal(before)
    again = Precision("mixed_float16", module)
    again.restore(precision.state())
    assert again.state() == precision.state()
    step(0.5)
    assert (before - module.weight - 0.5).abs().max() < 1e-3


def test_gradients_that_are_never_numbers_of_float16_end_the_training(
    dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    class Root(torch.nn.L1Loss):  # whose slope at 0 is infinite, and 0 times that no number
        def forward(self, output: Any, target: Any) -> Any:
            return (super().forward(output, target) * 0).sqrt()

    monkeypatch.setattr(torch.nn, "RootLoss", Root, raising=False)
    words = {"loss": "RootLoss", "target": "onehot", "precision": "mixed_float16"}
    for epochs in (1, 6):  # of 7 steps: at the end, or when the scale is too small
        with pytest.raises(TrainingError, match="mixed_float16: the optimizer makes no step"):
            train(dataset, epochs=epochs, batch_size=18, **words)
    assert train(dataset, epochs=1, **{**words, "loss": "MSELoss"})[1]["loss"]


def test_a_split_that_keeps_no_row_is_told(
    dataset: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {name: item[:9] for name, item in dataset.items() if np.ndim(item)}
    _, history, _ = train(few, batch_size=3, epochs=1)
    assert "validation_split 0.1 of 9 rows keeps none" in capsys.readouterr().err
    assert "val_loss" not in history
    train(few, batch_size=3, epochs=1, validation_split=0)
    assert "validation_split" not in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_no_beginning(dataset: Any) -> None:
    import torch

    for kind in (torch.float32, torch.bfloat16):
        initial = {"out.bias": torch.full((3,), float("nan"), dtype=kind)}
        with pytest.raises(
            TrainingError, match=r"initial: the weight out.bias has values that are"
        ):
            train(dataset, initial=initial)


def test_predictions_of_a_network_and_its_weights(dataset: Any) -> None:
    import torch

    from deepforge_hpc.operations.errors import OperationError
    from deepforge_hpc.operations.predict import Predict

    weights, _, _ = train(dataset)
    module = network()
    module.load_state_dict(weights)
    module.eval()
    with torch.no_grad():
        wanted = module(torch.from_numpy(dataset["x"])).numpy()
        inner = module.body(module.body_2(module.body_1(torch.from_numpy(dataset["x"])))).numpy()
    small: dict[str, Any] = {"batch_size": 9, "shard_batches": 4, "network": network()}
    found = Predict(**small, keep=["target"]).execute(weights, dataset)
    np.testing.assert_allclose(found["prediction"], wanted, atol=1e-6)
    assert (found["target"] == dataset["target"]).all()
    for layer in ("body", "-2"):
        features = Predict(**small, layer=layer).execute(weights, dataset)["prediction"]
        np.testing.assert_allclose(features, inner, atol=1e-6)
    both = Predict(network=network(BOTH)).execute(network(BOTH).state_dict(), dataset)
    assert both["prediction_kind"].shape == (ROWS, 3)
    assert both["prediction_size"].shape == (ROWS, 1)
    pictures = network(PICTURES)
    state, image = pictures.state_dict(), dataset["image"]
    views = [image, image[..., ::-1]]
    turned = [np.rot90(view, turn, axes=(2, 3)) for view in views for turn in range(4)]
    for average, given in (("flip", views), ("dihedral", turned)):
        with torch.no_grad():
            each = [pictures(torch.from_numpy(one.astype("f4"))).numpy() for one in given]
        found = Predict(network=pictures, average=average).execute(state, dataset)  # type: ignore[arg-type]
        np.testing.assert_allclose(found["prediction"], np.mean(each, axis=0), atol=1e-6)
    for words, said in (
        ({}, "name its file, references: {network: FILE.yaml}"),
        ({"network": pictures}, "model has no weights of the network: "),
        ({"network": network(), "layer": "boddy"}, "no layer 'boddy'; it has body_1, body_2"),
        ({"network": network(), "columns": ["x", "size"]}, "columns has 2, and the network"),
    ):
        with pytest.raises(OperationError) as told:
            Predict(**words).execute(weights, dataset)  # type: ignore[arg-type]
        assert said in str(told.value)
