"""Any Keras optimizer, averaging the gradients of all ranks before it does anything with them."""

from __future__ import annotations

from typing import Any

import keras

from deepforge_hpc.training.errors import LEAST_SCALE, SKIPPED, TrainingError
from deepforge_hpc.training.transports import Transport


class _Averaging:
    """Comes first among the bases of an optimizer: one exchange a step, for all gradients.

    Loss scaling, clipping, accumulation, weight decay and moving averages come after it, so they
    see on each rank what one rank with the whole batch would see.
    """

    transport: Transport

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        grads = list(grads)
        # A variable that the loss does not depend on has none, on any rank.
        places = [place for place, item in enumerate(grads) if item is not None]
        means = self.transport.mean_of_tensors([grads[place] for place in places])
        for place, mean in zip(places, means, strict=True):
            grads[place] = mean
        return super().apply(grads, trainable_variables)  # type: ignore[misc]


def distributed(optimizer: Any, transport: Transport) -> Any:
    """Return a Keras optimizer (an object, a name or a configuration) that averages gradients.

    An object that is given is changed and returned. It is saved as what it was, so a model that it
    trained needs nothing of ours. On one rank it stays as it is.
    """
    found = keras.optimizers.get(optimizer)
    scaled = keras.optimizers.LossScaleOptimizer
    if keras.config.dtype_policy().name == "mixed_float16" and not isinstance(found, scaled):
        # Keras would put it around ours, which only ranks with finite gradients would then reach.
        found = scaled(found)
    if transport.size == 1 or is_distributed(found):
        return found
    base = type(found)
    words = {"transport": transport, "__module__": _public_module(base), "__doc__": base.__doc__}
    found.__class__ = type(base.__name__, (_Averaging, base), words)
    return found


def check_steps(optimizer: Any, *, at_end: bool) -> None:
    """Raise TrainingError if float16 never held the gradients: Keras skips such steps silently."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not optimizer.built:
        return
    is_lost = float(optimizer.dynamic_scale) < LEAST_SCALE
    if is_lost or (at_end and not int(optimizer.inner_optimizer.iterations)):
        raise TrainingError(SKIPPED)


def is_distributed(optimizer: Any) -> bool:
    """Tell whether an optimizer averages, at its outside: nothing looks at a gradient before."""
    return isinstance(optimizer, _Averaging)


def _public_module(base: type) -> str:
    """Return the module by which Keras finds a class of its own when it loads a model."""
    is_kerases = getattr(keras.optimizers, base.__name__, None) is base
    return "keras.optimizers" if is_kerases else base.__module__
