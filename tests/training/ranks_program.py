"""What each rank of a test does: every case in one process, and what it found as files.

    [mpirun -np N] python ranks_program.py FOLDER TRANSPORT [CASE...]

writes FOLDER/RANK.json (case -> what was found) and FOLDER/CASE-RANK.npz (weights).
"""

# ruff: noqa: E402 - something is said before Keras is imported
from __future__ import annotations

import functools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

# Keras imports these if they are there, and needs none of them here: a third of what a rank's start takes.
sys.modules |= dict.fromkeys(("matplotlib", "mpl_toolkits", "pandas", "scipy", "sklearn"))

import keras
import numpy as np

from deepforge_hpc import training
from deepforge_hpc.job import ranks
from deepforge_hpc.training import saving
from deepforge_hpc.training.checkpoints import Checkpoints

FOLDER = Path(sys.argv[1])
TEAM = training.connect(sys.argv[2])
FOUND: dict[str, Any] = {"rank": TEAM.rank, "size": TEAM.size, "transport": TEAM.name}
saving.AGREE_S = 0.0  # after each step
ROWS, BATCH = 107, 16  # 6 batches an epoch, 11 rows left over


def data(kind: str = "float64") -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 5)).astype(kind)
    y = (x @ rng.normal(size=(5, 3)) + 0.1 * rng.normal(size=(ROWS, 3))).argmax(1)
    return x, y


def network(*inside: Any, outputs: int = 3) -> Any:
    """Ranks start apart, as without a seed; the first one's weights are the seed's."""
    keras.utils.set_random_seed(ranks().seed(11))
    layers = [keras.Input((5,), name="x"), keras.layers.Dense(16, activation="tanh"), *inside]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, dtype=keras.config.floatx())])


def batches(x: Any, y: Any, **more: Any) -> training.Batches:
    return training.Batches(x, y, batch_size=BATCH, seed=3, transport=TEAM, **more)


def compiled(model: Any, optimizer: Any, **more: Any) -> Any:
    loss = more.pop("loss", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile(training.distributed(optimizer, TEAM), loss=loss, **more)
    return model


def keep(case: str, model: Any, **more: Any) -> None:
    weights = {f"{i:03d}": np.asarray(item) for i, item in enumerate(model.get_weights())}
    np.savez(FOLDER / f"{case}-{TEAM.rank}.npz", **weights)
    FOUND[case] = more


class Spent(keras.callbacks.Callback):
    """On several ranks each step exchanges gradients: the transport counts the time of that."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._before = TEAM.spent_s

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert (TEAM.spent_s > self._before) == (TEAM.size > 1)


def learn(case: str, kind: str, optimizer: Any, *inside: Any, epochs: int = 9, **more: Any) -> Any:
    keras.config.set_floatx(kind)
    keras.config.set_dtype_policy(kind)
    model = compiled(network(*inside), optimizer)
    history = training.fit(
        model, batches(*data(kind), **more), epochs=epochs, transport=TEAM, callbacks=[Spent()]
    )
    keep(case, model, history=history)
    return model


def exchanges() -> None:
    """Each kind of number that a state may have, there and back."""
    kinds = ["bool", "uint8", "int32", "uint32", "int64", "float16", "float32", "float64"]
    for kind in kinds:
        mine = np.array([TEAM.rank == 0, True]).astype(kind)
        there = TEAM.broadcast(mine)
        assert there.dtype == mine.dtype
        assert there.tolist() == np.array([1, 1]).astype(kind).tolist()
    assert TEAM.sum(np.float64(TEAM.rank + 1)) == sum(range(1, TEAM.size + 1))
    assert TEAM.mean(np.float32([TEAM.rank])) == (TEAM.size - 1) / 2
    assert TEAM.gather({"rank": TEAM.rank}) == [{"rank": r} for r in range(TEAM.size)]
    TEAM.barrier()


def equivalence() -> None:
    sgd = keras.optimizers.SGD
    learn("sgd32", "float32", sgd(1e-2))
    learn("sgd64", "float64", sgd(1e-2))
    learn("adam32", "float32", keras.optimizers.Adam(1e-2))


def optimizers() -> None:
    sgd = keras.optimizers.SGD
    learn("adam64", "float64", keras.optimizers.Adam(1e-2), epochs=3)
    learn("clipped", "float64", sgd(0.5, global_clipnorm=0.05), epochs=3)
    twice = sgd(0.5, clipnorm=0.05, gradient_accumulation_steps=2)
    learn("gathered", "float64", twice, epochs=3)
    # An optimizer is given by name, too, and by a schedule.
    decay = keras.optimizers.schedules.CosineDecay(0.1, 50)
    learn(
        "scheduled",
        "float64",
        {"class_name": "AdamW", "config": {"learning_rate": decay}},
        epochs=3,
    )


def normalised() -> None:
    norm = keras.layers.BatchNormalization
    learn("own-statistics", "float64", "sgd", norm(momentum=0.5), epochs=2)
    model = network(norm(momentum=0.5, name="norm"))
    assert training.synchronize_batch_normalization(model) == 1
    compiled(model, keras.optimizers.SGD(0.1))
    training.fit(model, batches(*data()), epochs=4, transport=TEAM)
    keep("synchronised", model)
    if TEAM.rank == 0:
        model.save(FOLDER / "model.keras")
    if TEAM.size > 1 and keras.config.backend() == "tensorflow":  # elsewhere Keras itself refuses
        expect_error("replicas", network(norm(synchronized=True)))


def mixed() -> None:
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(policy)
        model = compiled(network(), keras.optimizers.SGD(0.05))
        history = training.fit(model, batches(*data("float32")), epochs=3, transport=TEAM)
        keep(policy, model, history=history, optimizer=type(model.optimizer).__name__)
    keras.config.set_dtype_policy("float32")


def sparse() -> None:
    """Gradients that touch some rows only."""
    keras.utils.set_random_seed(ranks().seed(1))
    words = np.random.default_rng(0).integers(0, 50, (ROWS, 4))
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), keras.layers.Embedding(50, 3), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(3))
    compiled(model, keras.optimizers.SGD(0.1))
    training.fit(model, batches(words, data()[1]), epochs=2, transport=TEAM)
    keep("sparse", model)


def dropped() -> None:
    """Dropout: other units on each rank, the same weights in the end."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    layer, units = keras.layers.Dropout(0.5), []
    model = compiled(network(layer), "sgd")
    keras.utils.set_random_seed(1)  # as who gives all ranks one seed

    def look(batch: int, logs: Any) -> None:
        kept = layer(np.ones((1, 64), "float32"), training=True)
        units.append(keras.ops.convert_to_numpy(kept).tolist())

    each = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    training.fit(model, batches(*data("float32")), epochs=2, transport=TEAM, callbacks=[each])
    keep("dropout", model, units=units)


def measured() -> None:
    """Metrics over all rows, of which the ranks have unequal parts."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    x, y = data()
    one_hot = np.eye(3)[y]
    metrics = [
        keras.metrics.AUC(from_logits=True, name="auc"),
        keras.metrics.F1Score(average="macro", name="f1"),
        keras.metrics.R2Score(name="r2"),
        keras.metrics.Precision(name="precision"),
        keras.metrics.RootMeanSquaredError(name="rmse"),
    ]
    model = compiled(network(), keras.optimizers.SGD(0.1), loss="mse", metrics=metrics)
    validation = batches(x[:37], one_hot[:37], shuffle=False)  # 16 + 16 + 5
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: SEEN.append(dict(logs)))
    history = training.fit(
        model, batches(x, one_hot), epochs=2, validation=validation, transport=TEAM,
        callbacks=[keras.callbacks.ReduceLROnPlateau(patience=0, min_delta=9), seen],
    )  # fmt: skip
    keep("metrics", model, history=history, seen=SEEN)
    FOUND["metrics"]["evaluated"] = training.evaluate(model, validation, TEAM)


def several() -> None:
    """Two outputs with a loss, metrics and targets each."""
    keras.utils.set_random_seed(ranks().seed(13))
    x, kind = data()
    given = keras.Input((5,), name="x")
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(given)
    outputs = [keras.layers.Dense(n, name=m)(hidden) for m, n in (("kind", 3), ("size", 1))]
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = {"kind": ["accuracy"], "size": [keras.metrics.R2Score(name="r2")]}
    model = compiled(
        keras.Model(given, outputs), "sgd", loss={"kind": sparse, "size": "mse"},
        loss_weights={"kind": 1.0, "size": 0.5}, metrics=metrics,
    )  # fmt: skip
    targets = {"kind": kind, "size": x.sum(axis=1, keepdims=True)}
    few = {name: item[:37] for name, item in targets.items()}
    history = training.fit(
        model, batches(x, targets), epochs=3, transport=TEAM,
        validation=batches(x[:37], few, shuffle=False),
    )  # fmt: skip
    outputs = dict(zip(("kind", "size"), model(x[:37]), strict=True))
    exact = {
        "kind": float(sparse(few["kind"], outputs["kind"])),
        "size": float(np.mean((few["size"] - np.asarray(outputs["size"])) ** 2)),
    }
    evaluated = training.evaluate(model, batches(x[:37], few, shuffle=False), TEAM)
    keep("several", model, history=history, exact=exact, evaluated=evaluated)


SEEN: list[dict[str, float]] = []


class StopAt(keras.callbacks.Callback):
    """One rank alone is asked to stop, as if its node's signal came first."""

    def __init__(self, step: int, number: int) -> None:
        super().__init__()
        # No plain values: those are kept, and the next attempt would count on.
        self._left, self._stop = (
            iter(range(step - 1)),
            functools.partial(os.kill, os.getpid(), number),
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if next(self._left, None) is None and TEAM.rank == TEAM.size - 1:
            self._stop()


class Decay(keras.callbacks.Callback):
    """Counts the epochs that it sees begin, and lowers the rate by how many they are."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._seen += 1
        self.model.optimizer.learning_rate *= 1 - 0.1 / self._seen


class Noise(keras.layers.Layer):
    """A layer of a user, which draws from a generator of its own and from the one of Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.mine = [keras.random.SeedGenerator(name="mine")]

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        own = keras.random.normal(keras.ops.shape(x), seed=self.mine[0])
        return x + 0.02 * own + 0.02 * keras.random.normal(keras.ops.shape(x))


class Asked(BaseException):
    """What the job's runtime raises at a signal."""


def asked(number: int, _frame: Any) -> None:
    raise Asked(signal.Signals(number).name)


def resumed() -> None:
    """Uninterrupted, and stopped twice within an epoch: the same weights and the same curve."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, asked)

    def run(*callbacks: Any, folder: Path) -> Any:
        x, y = data("float32")
        keras.utils.set_random_seed(ranks().seed(12))  # that of the Dropout
        inside = [keras.layers.Dropout(0.3), Noise(), keras.layers.BatchNormalization(momentum=0.5)]
        optimizer = keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9)
        model = compiled(network(*inside), optimizer, metrics=["accuracy"])
        history = training.fit(
            model, batches(x, y, augment=lambda row, rng: row + rng.normal(0, 0.01, row.shape)),
            epochs=6, transport=TEAM, validation=batches(x[:30], y[:30], shuffle=False),
            checkpoints=Checkpoints(folder, kept=3), checkpoint_s=0.0,
            callbacks=[
                keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=0.5,
                                              restore_best_weights=True),
                keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.3),
                keras.callbacks.LearningRateScheduler(lambda _, rate: 0.95 * rate),
                Decay(),
                keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                keras.callbacks.CSVLogger(f"{folder}-{TEAM.rank}.csv", append=True),
                *callbacks,
            ],
        )  # fmt: skip
        return model, history

    model, history = run(folder=FOLDER / "whole")
    keep("uninterrupted", model, history=history)
    stops = []
    for step, number in ((10, signal.SIGUSR1), (3, signal.SIGTERM)):
        try:
            run(StopAt(step, number), folder=FOLDER / "parts")
        except Asked as error:  # noqa: PERF203
            stops.append(str(error))
    model, history = run(folder=FOLDER / "parts")
    files = sorted(path.name for path in (FOLDER / "parts").iterdir())
    tables = sorted(path.name for path in FOLDER.glob("*.csv"))
    rows = (FOLDER / "parts-0.csv").read_text().splitlines() if TEAM.rank == 0 else []
    keep("resumed", model, history=history, stops=stops, files=files, tables=tables, rows=rows)
    # And an attempt that finds the training done does nothing more.
    model, again = run(folder=FOLDER / "parts")
    FOUND["resumed"]["again"] = again == history


def expect_error(case: str, model: Any, **more: Any) -> None:
    rows, epochs = more.pop("rows", slice(None)), more.pop("epochs", 2)
    x, y = more.pop("data", data("float32"))
    try:
        compiled(model, more.pop("optimizer", "sgd"))
        training.fit(model, batches(x[rows], y[rows]), epochs=epochs, transport=TEAM, **more)
    except training.TrainingError as error:
        FOUND[case] = str(error)
    else:
        FOUND[case] = "no error"


class Poison(keras.callbacks.Callback):
    """What a bad row does to one rank in the third epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2 and TEAM.rank == TEAM.size - 1:
            variable = self.model.trainable_variables[0]
            variable.assign(variable * np.nan)


class EndAt(keras.callbacks.Callback):
    """What a callback does that sees its own rank's rows alone, TerminateOnNaN for one."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2 and TEAM.rank == TEAM.size - 1:
            self.model.stop_training = True


def ended() -> None:
    model = compiled(network(), "sgd", metrics=["accuracy"])
    x, y = data("float32")
    told = {"callbacks": [EndAt()], "validation": batches(x, y), "checkpoints": FOLDER / "ended"}
    history = training.fit(model, batches(x, y), epochs=3, transport=TEAM, **told)
    keep("ended", model, history=history, steps=int(model.optimizer.iterations))


def refused() -> None:
    expect_error("rows", network(), rows=slice(ROWS - TEAM.rank))
    expect_error("networks", network(outputs=3 + TEAM.rank))
    seen = batches(*data("float32")) if TEAM.rank else None
    expect_error("validation", network(), validation=seen)
    expect_error("other network", network(outputs=4), checkpoints=FOLDER / "whole")
    x, y = data("float32")
    expect_error("other data", network(), rows=slice(50), checkpoints=FOLDER / "whole")
    expect_error(
        "not a number", network(), epochs=4, callbacks=[Poison()], checkpoints=FOLDER / "bad"
    )
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    try:
        training.fit(model, batches(x, y), epochs=1, transport=TEAM)
    except training.TrainingError as error:
        FOUND["plain optimizer"] = str(error)


CASES = [exchanges, equivalence, optimizers, normalised, mixed, sparse, dropped, measured]
CASES += [several, resumed, ended, refused]

if __name__ == "__main__":
    for case in CASES:
        if case.__name__ in sys.argv[3:] or len(sys.argv) == 3:
            case()
    (FOLDER / f"{TEAM.rank}.json").write_text(json.dumps(FOUND))
