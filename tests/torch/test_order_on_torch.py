"""Keras on torch learns the rows in the order that the seed says, also after an interruption."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.timeout(300)]

PROGRAM = """
import os, signal, sys
import keras, numpy as np
from deepforge_hpc import training
from deepforge_hpc.training.order import Order

signal.signal(signal.SIGUSR1, lambda *_: None)
x = np.random.default_rng(0).normal(size=(24, 3)).astype("f4")
y = x.sum(axis=1)
team = training.connect()


def compiled():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


def weights(model):
    return np.concatenate([item.ravel() for item in model.get_weights()])


def fit(folder, stop_at=0):
    def ask(batch, logs):
        if int(model.optimizer.iterations) == stop_at:
            os.kill(os.getpid(), signal.SIGUSR1)

    model = compiled()
    training.fit(
        model, training.Batches(x, y, batch_size=8, seed=5, transport=team), epochs=3,
        transport=team, checkpoints=folder,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=ask)],
    )
    return weights(model)


by_hand, order = compiled(), Order(24, 8, 5)
for epoch in range(3):
    rows = order.epoch(epoch)
    for step in range(order.steps):
        mine = rows[order.positions(step)]
        by_hand.train_on_batch(x[mine], y[mine])
whole = fit(sys.argv[1] + "/whole")
fit(sys.argv[1] + "/parts", stop_at=5)
resumed = fit(sys.argv[1] + "/parts")
print(np.abs(whole - weights(by_hand)).max() < 1e-6, np.abs(whole - resumed).max() < 1e-6)
"""


def test_a_training_has_the_order_of_its_seed_and_goes_on_in_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        env={**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr[-2000:]
    assert "dfh: the training goes on at epoch 2, step 2, after 5 steps" in done.stderr
