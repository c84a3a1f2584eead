"""How `dfh arch check` shows a network: a line for each layer, then the totals."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.api.arch_check import CheckedArchitecture, CheckedLayer, Total
from deepforge_hpc.api.arch_memory import TrainingMemory
from deepforge_hpc.cli.views.display import table
from deepforge_hpc.runtime.base.text import count, size

_HEADER = ("LAYER", "KIND", "OUTPUT", "PARAMETERS", "MACS", "ACTIVATIONS")


def checked_lines(found: CheckedArchitecture) -> Iterator[str]:
    """Yield the table and the sums; nothing where only errors are known."""
    if not found.version:
        yield f"{found.name}: {count(len(found.layers), 'layer')}"
        return
    if found.errors and not any(layer.output for layer in found.layers):
        return
    yield from table(_HEADER, map(_row, found.layers))
    yield ""
    fixed = found.parameters.value - found.trained.value
    of = f", {fixed:,} of them not trained" if fixed else ""
    yield (
        f"{found.name}: {count(len(found.layers), 'layer')}, "
        f"{_least(found.parameters)}{found.parameters.value:,} parameters{of}"
    )
    products = f"{_least(found.operations)}{_amount(found.operations.value)}"
    yield f"one example: {products} multiply-accumulates"
    kept = f"{_least(found.activations)}{size(found.activations.value)}"
    yield f"a batch of {found.batch}: {kept} of activations, kept for the gradients"
    on = f" on {found.backend}" if found.backend else ""
    cached = " (cached)" if found.cached else ""
    if found.memory is not None:
        yield from _memory_lines(found.memory, found.batch)
    yield f"built by {found.framework} {found.version}{on}{cached}"


def _memory_lines(found: TrainingMemory, batch: int) -> Iterator[str]:
    """Yield what training takes, and for each kind of GPU whether it has that."""
    at_least = "at least " if found.is_least else ""
    yield (
        f"training with {found.optimizer}: {at_least}about {size(found.total)}: "
        f"{size(found.weights)} of weights, {size(found.gradients)} of gradients, "
        f"{size(found.slots)} of the optimizer, {size(found.activations)} of activations"
    )
    for gpu in found.gpus:
        name = f"{found.site} {gpu.node_type}" + (f" ({gpu.gpu_model})" if gpu.gpu_model else "")
        if gpu.memory is None:
            yield f"{name}: the memory of its GPUs is not known"
            continue
        word = {True: "fits", False: "does not fit", None: "may fit"}[gpu.fits]
        largest = "any batch fits" if gpu.largest_batch is None else _largest(gpu.largest_batch)
        fits = f"a batch of {batch} {word} into {size(gpu.memory)}"
        yield f"{name}: {fits}; {largest}, by this estimate"


def _largest(batch: int) -> str:
    return f"the largest that does is {batch:,}" if batch else "no batch does"


def error_lines(found: CheckedArchitecture, *, verbose: bool) -> Iterator[str]:
    """Yield each error, with what the framework says if that is wanted."""
    for error in found.errors:
        hint = f" ({error.hint})" if error.hint else ""
        yield f"error: {error.file}:{error.line}:{error.column}: {error.message}{hint}"
        if verbose and error.said:
            yield from (f"    {line}" for line in f"{error.type}: {error.said}".splitlines())


def _row(layer: CheckedLayer) -> tuple[str, ...]:
    output = ", ".join(map(_shape, layer.output)) or ("refused" if layer.errors else "?")
    return (
        layer.name,
        layer.kind,
        output,
        "?" if layer.parameters is None else f"{layer.parameters:,}",
        "?" if layer.operations is None else _amount(layer.operations),
        "?" if layer.activations is None else size(layer.activations),
    )


def _shape(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if one is None else str(one) for one in shape[1:]) or "one number"


def _least(total: Total) -> str:
    return "at least " if total.is_least else ""


def _amount(value: int) -> str:
    """Return 759.6 M for 759634728."""
    for unit, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return str(value)
