"""What a step of our training costs, against one of Horovod and one of mpi4py written by hand.

Two ranks, the same network and batches. Ours and theirs take turns within one process: pairs of
stretches of steps, so that other work on the machine meets both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

pytestmark = [
    pytest.mark.bench,
    pytest.mark.training,
    pytest.mark.horovod,
    pytest.mark.timeout(900),
]

PAIRS = 12
STEPS = 40
PARAMETERS = 826_400
MPIRUN = ["mpirun", "-np", "2", "--oversubscribe", "--bind-to", "none"]
MPIRUN += ["--mca", "btl_vader_single_copy_mechanism", "none", "--mca", "btl", "self,vader"]

PROGRAM = """\
import json, sys, time
import keras, numpy as np, tensorflow as tf
from deepforge_hpc import training

transport, pairs, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
team = training.connect(transport)
rng = np.random.default_rng(0)
x = rng.normal(size=(64 * steps, 64, 64, 5)).astype("float32")
y = rng.integers(0, 32, len(x))
order = rng.permutation(len(x))


def network():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((64, 64, 5)), layers.Conv2D(16, 5, strides=4, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Flatten(),
        layers.Dense(512, activation="relu"), layers.Dense(32),
    ])


if transport == "horovod":
    import horovod.tensorflow as hvd

    def averaged(grads):
        return hvd.grouped_allreduce(list(grads), op=hvd.Average)
else:
    from mpi4py import MPI

    def reduced(flat):
        out = np.empty_like(flat)
        MPI.COMM_WORLD.Allreduce(flat, out)
        return out / 2

    def averaged(grads):
        flat = tf.concat([tf.reshape(g, [-1]) for g in grads], 0)
        flat = tf.reshape(tf.numpy_function(reduced, [flat], tf.float32), tf.shape(flat))
        parts = tf.split(flat, [int(np.prod(g.shape)) for g in grads])
        return [tf.reshape(part, g.shape) for part, g in zip(parts, grads)]


class ByHand(keras.optimizers.SGD):
    def apply(self, grads, trainable_variables=None):
        return super().apply(averaged(grads), trainable_variables)


class Plain(keras.utils.PyDataset):
    def __len__(self):
        return steps

    def __getitem__(self, i):
        rows = order[64 * i + team.rank : 64 * (i + 1) : 2]
        return x[rows], y[rows]


class Counted(type(team)):
    # Bytes of a step's gradients, as they are given away when the step is traced.
    def mean_of_tensors(self, tensors):
        self.bytes = sum(one.dtype.size * int(np.prod(one.shape)) for one in tensors)
        return super().mean_of_tensors(tensors)


team.__class__ = Counted
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
theirs, ours, lone = network(), network(), network()
theirs.compile(ByHand(0.01), loss, jit_compile=False)
ours.compile(training.distributed(keras.optimizers.SGD(0.01), team), loss, jit_compile=False)
lone.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)  # exchanges nothing
batches = training.Batches(x, y, batch_size=64, seed=1, transport=team)


class Timer(keras.callbacks.Callback):
    # From the second step to the last but one: neither the beginning nor the end of an epoch.
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.begun = time.perf_counter(), time.process_time()
        elif batch == steps - 2:
            ended = time.perf_counter(), time.process_time()
            self.spent = [end - begun for begun, end in zip(self.begun, ended)]


def run_ours(timer):
    training.fit(ours, batches, epochs=1, transport=team, callbacks=[timer])


def run_theirs(timer, model=theirs):
    model.fit(Plain(), epochs=1, shuffle=False, verbose=0, callbacks=[timer])


def run_lone(timer):
    run_theirs(timer, lone)


def timed(function):
    timer = Timer()
    team.barrier()
    function(timer)
    return timer.spent


found = []
timed(run_ours), timed(run_theirs), timed(run_lone)
for number in range(pairs):
    turns = (run_ours, run_theirs) if number % 2 else (run_theirs, run_ours)
    spent = {function: timed(function) for function in turns}
    found.append((spent[run_ours], spent[run_theirs]))
before = team.spent_s
timed(run_ours)
exchanging = (team.spent_s - before) / steps
alone = sorted(timed(run_lone)[0] for _ in range(1 if pairs == 1 else 5))
if team.rank == 0:
    more = {"alone": alone[len(alone) // 2], "exchanging": exchanging, "bytes": team.bytes}
    print(json.dumps({"pairs": found, **more}))
"""


@pytest.mark.parametrize("transport", ["horovod", "mpi"])
def test_a_step_costs_what_one_by_hand_costs(
    transport: str, tmp_path: Path, judge_pairs: Any, tries: Any
) -> None:
    if transport == "mpi" and tries(PAIRS) == 1:
        return  # to try it, one start is enough
    (tmp_path / "program.py").write_text(PROGRAM)
    environ = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environ |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environ |= {"OMPI_MCA_mpi_yield_when_idle": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    steps = STEPS if tries(PAIRS) > 1 else 5
    done = subprocess.run(
        [*MPIRUN, sys.executable, tmp_path / "program.py", transport, str(tries(PAIRS)), str(steps)],
        env=environ, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    ours, alone = (1000 * one / (steps - 3) for one in (median_of(told["pairs"]), told["alone"]))
    exchanging = 1000 * told["exchanging"]
    print(
        f"alone {alone:.1f} ms; with {told['bytes']} bytes exchanged {ours:.1f} ms, of which the "
        f"exchange {exchanging:.1f} ms and all else {ours - alone - exchanging:.1f} ms"
    )
    assert told["bytes"] == 4 * PARAMETERS
    judge_pairs(transport, told["pairs"], steps - 3)


def median_of(pairs: Any) -> float:
    return float(median(mine[0] for mine, _ in pairs))
