"""Programs that know nothing of deepforge_hpc, as operations on a real cluster with two ranks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.training, pytest.mark.horovod]

# As people write them for Horovod and Keras 3: an optimizer that averages, one writer, one callback.
HOROVOD = """\
import argparse
import os

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--log-dir", default="logs")
args = parser.parse_args()

import horovod.tensorflow as hvd
import keras
import tensorflow as tf

hvd.init()
gpus = tf.config.experimental.list_physical_devices("GPU")
if gpus:
    tf.config.experimental.set_visible_devices(gpus[hvd.local_rank()], "GPU")


class Averaging(keras.optimizers.SGD):
    def apply(self, grads, trainable_variables=None):
        return super().apply(hvd.grouped_allreduce(list(grads), op=hvd.Average), trainable_variables)


class FromFirst(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        for variable in self.model.trainable_variables:
            variable.assign(hvd.broadcast(variable.value, 0, name=variable.path))


keras.utils.set_random_seed(hvd.rank())
x = np.random.default_rng(0).random((64, 4), dtype="float32")
y = x.sum(axis=1)
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
model.compile(Averaging(args.lr * hvd.size()), "mse", jit_compile=False)
model.fit(
    x[hvd.rank() :: hvd.size()], y[hvd.rank() :: hvd.size()], batch_size=8, epochs=args.epochs,
    callbacks=[FromFirst()], verbose=2 if hvd.rank() == 0 else 0, shuffle=False,
)
weights = np.concatenate([w.ravel() for w in model.get_weights()])
both = hvd.allgather(tf.constant(weights[None])).numpy()
if hvd.rank() == 0:
    os.makedirs(args.log_dir, exist_ok=True)
    model.save("model.keras")
    with open(f"{args.log_dir}/ranks.csv", "w") as file:
        file.write(f"{hvd.size()},{float(abs(both[0] - both[-1]).max())}")
"""
# The quadrature of pi that every course on MPI begins with.
MPI4PY = """\
import sys

from mpi4py import MPI

comm = MPI.COMM_WORLD
steps = int(sys.argv[1])
width = 1.0 / steps
part = sum(4.0 / (1.0 + (width * (i + 0.5)) ** 2) for i in range(comm.rank, steps, comm.size))
pi = comm.reduce(part * width, op=MPI.SUM, root=0)
if comm.rank == 0:
    with open(sys.argv[2], "w") as file:
        file.write(f"{comm.size} {pi:.6f}")
print("rank", comm.rank, "was here")
"""
PIPELINE = """\
pipeline: programs
operations:
  train:
    uses: keras_mnist.py
    args: [--epochs, "{attributes.epochs}", --log-dir, "{outputs.logs}"]
    attributes: {epochs: 2}
    outputs: {model: model.keras, logs: logs/}
    launch: horovod
    resources: {ntasks_per_node: 2}
  pi:
    command: [python, "{code}/pi.py", 1000, "{outputs.pi}"]
    outputs: {pi: pi.txt}
    types: {pi: text}
    launch: mpi
    resources: {ntasks_per_node: 2}
"""


def test_unmodified_programs_of_horovod_and_mpi_run_on_two_ranks(
    slurm_cluster: Any, dfh: Any, make_project: Callable[..., Path]
) -> None:
    files = {"pipeline.yaml": PIPELINE, "keras_mnist.py": HOROVOD, "pi.py": MPI4PY}
    project = make_project(files)
    words = ("run", "--site", "slurm-generic", "--python", sys.executable, "--interval", "1")
    dfh(*words, cwd=project, timeout=280)
    jobs = project / "executions/programs-0001/jobs"

    size, difference = (jobs / "train/outputs/logs/ranks.csv").read_text().split(",")
    assert (size, float(difference)) == ("2", 0.0)
    marker = json.loads((jobs / "train/success.json").read_text())
    assert marker["outputs"]["model"]["format"] == "keras"
    assert "Epoch 2/2" in dfh("logs", "programs-0001", "train", cwd=project).stdout

    assert (jobs / "pi/outputs/pi.txt").read_text() == "2 3.141593"
    last = dfh("logs", "programs-0001", "pi", "--rank", "1", cwd=project).stdout
    assert "rank 1 was here" in last


def test_an_mpi_library_that_does_not_know_the_launcher_ends_the_job(
    slurm_cluster: Any, dfh: Any, make_project: Callable[..., Path]
) -> None:
    argv = "srun, --mpi=none, --kill-on-bad-exit=1, '--ntasks={world_size}'"
    site = f"{{site: lab, extends: slurm-generic, launchers: {{mpi: {{argv: [{argv}]}}}}}}"
    pipeline = """\
pipeline: apart
operations:
  pi: {uses: pi.py, args: [1000, pi.txt], launch: mpi, resources: {ntasks_per_node: 2}}
"""
    files = {"pipeline.yaml": pipeline, "pi.py": MPI4PY, "site-configs/lab.yaml": site}
    project = make_project(files)
    words = ("run", "--json", "--site", "lab", "--python", sys.executable, "--interval", "1")
    done = dfh(*words, cwd=project, expect=9)
    (job,) = (job for job in json.loads(done.stdout)["jobs"] if job["name"] == "pi")
    # Open MPI 4 ends the ranks in words of its own; in Open MPI 5 each rank begins alone.
    assert job["reason"].startswith(
        (
            "The MPI library of the ranks does not go with srun: The application appears to",
            "Rank 0: srun started 2 ranks, and MPI (mpi4py) sees 1 of them.",
            "Rank 1: srun started 2 ranks, and MPI (mpi4py) sees 1 of them.",
        )
    )
    assert "srun --mpi=list" in job["hint"]
