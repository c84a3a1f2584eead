"""Names that a file declares and nothing uses: mostly a slip, and no framework hears of them."""

from __future__ import annotations

from collections.abc import Iterator

from deepforge_hpc.files.faults import Reader
from deepforge_hpc.libraries.networks.architecture import Architecture, Block, Step


def check_unused(found: Architecture, reader: Reader) -> None:
    """Report parameters of blocks, and names of `repeat`, that stand nowhere with a `$`."""
    for block in (found.body, *found.blocks.values()):
        if block.uses:
            continue  # they are of another file
        used = set(_of_inputs(block))
        for layer in block.layers:
            for step in layer.steps:
                used.update(_of_step(step, reader))
        for index, name in enumerate(block.parameters):
            if name not in used:
                path = (*block.path, "parameters", index)
                reader.fault(path, f"nothing uses the parameter {name}", _hint(name))


def _of_inputs(block: Block) -> Iterator[str]:
    for item in block.inputs.values():
        if item is not None:
            yield from _names([*item.shape, item.batch, item.when])


def _of_step(step: Step, reader: Reader) -> set[str]:
    """Return the parameters that a step uses; a fault for what its `repeat` names in vain."""
    used = set(_names([step.arguments, step.call, step.when]))
    turns = step.repeat if isinstance(step.repeat, dict) else {}
    for name in [name for name in turns if name not in used]:
        path = (*step.beside("repeat"), name)
        reader.fault(path, f"{step.kind} does not use {name}", _hint(name), key=True)
    return used - turns.keys() | set(_names(step.repeat))


def _names(value: object) -> Iterator[str]:
    """Yield NAME for each `$NAME` in a value."""
    if isinstance(value, str) and value.startswith("$"):
        yield value[1:]
    items = list(value.values()) if isinstance(value, dict) else value
    for item in items if isinstance(items, list) else ():
        yield from _names(item)


def _hint(name: str) -> str:
    return f"write ${name} where it is meant, or leave it out"
