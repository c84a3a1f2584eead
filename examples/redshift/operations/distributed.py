"""Training on several ranks by Horovod, with Keras 3. With one rank it does nothing.

Horovod 0.28's own optimizer wrapper and callbacks are made for Keras 2. What is used here works
with both: an optimizer whose `apply` averages the gradients, and one callback.
"""

from __future__ import annotations

import os

import keras


class OneRank:
    """What the training operation asks of its ranks, if there is one only."""

    rank, ranks = 0, 1

    def optimizer(self, name: str, **arguments) -> keras.optimizers.Optimizer:
        return getattr(keras.optimizers, name)(**arguments)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return []


class HorovodRanks:
    """Ranks that average their gradients over MPI."""

    def __init__(self, ranks: int):
        import horovod.tensorflow as hvd

        hvd.init()
        # Started without its launcher, Horovod silently trains each rank alone.
        if hvd.size() != ranks:
            message = f"Horovod sees {hvd.size()} ranks, and the job has {ranks}"
            raise RuntimeError(message)
        self.hvd, self.rank, self.ranks = hvd, hvd.rank(), ranks
        use_own_gpus()

    def optimizer(self, name: str, **arguments) -> keras.optimizers.Optimizer:
        hvd, base = self.hvd, getattr(keras.optimizers, name)

        class Averaging(base):
            def apply(self, grads, trainable_variables=None):
                grads = hvd.grouped_allreduce(list(grads), op=hvd.Average)
                return super().apply(grads, trainable_variables)

        return Averaging(**arguments)

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return [_Sync(self.hvd)]


class _Sync(keras.callbacks.Callback):
    """Starts all ranks from rank 0's weights; averages what gradients do not carry."""

    def __init__(self, hvd):
        super().__init__()
        self.hvd = hvd

    def on_train_begin(self, logs=None):  # noqa: ARG002 - Keras's signature
        self.model.optimizer.build(self.model.trainable_variables)
        for variable in self.shared(self.model.variables + self.model.optimizer.variables):
            name = "begin/" + variable.path
            variable.assign(self.hvd.broadcast(variable.value, 0, name=name))

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        import tensorflow as tf

        # Moving statistics of batch normalisation differ between ranks.
        for variable in self.shared(self.model.non_trainable_variables):
            name = "state/" + variable.path
            variable.assign(self.hvd.allreduce(variable.value, op=self.hvd.Average, name=name))
        for name in sorted(logs or {}):
            value = tf.constant(float(logs[name]))
            logs[name] = float(self.hvd.allreduce(value, op=self.hvd.Average, name="log/" + name))

    def shared(self, variables):
        """Leave out the states of random numbers: each rank has its own, and MPI no such type."""
        return [item for item in variables if "seed_generator" not in item.path]


def use_own_gpus() -> None:
    """Let TensorFlow take this rank's GPUs alone, of all that it sees; before it touches any."""
    import tensorflow as tf

    own = os.environ.get("DFH_GPUS", "")
    found = tf.config.list_physical_devices("GPU")
    if own and found:
        tf.config.set_visible_devices([found[int(gpu)] for gpu in own.split(",")], "GPU")


def ranks() -> OneRank | HorovodRanks:
    """Return the ranks that the launcher started."""
    wanted = os.environ.get("DFH_WORLD_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or "1"
    return HorovodRanks(int(wanted)) if int(wanted) > 1 else OneRank()
