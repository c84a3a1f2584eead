"""How `dfh model` shows what is inside a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepforge_hpc.api.model_figures import idle_units
from deepforge_hpc.cli.views.display import table
from deepforge_hpc.runtime.base.text import count, number, size

if TYPE_CHECKING:
    from deepforge_hpc.api.model import ExportedModel, InspectedModel
    from deepforge_hpc.libraries.keras.models.result import InspectedLayer

_HEADER = ("LAYER", "KIND", "OUTPUT", "PARAMETERS", "NORM", "LARGEST", "IDLE")
_MORE = ("ACTIVITY", "ZEROS")


def inspected_lines(found: InspectedModel) -> Iterator[str]:
    """Yield a line for each layer, and what it all comes to."""
    header = (*_HEADER, *(_MORE if found.examples else ()))
    yield from table(header, [_row(layer, looked=bool(found.examples)) for layer in found.layers])
    yield ""
    yield f"{found.name}: {count(len(found.layers), 'layer')}, {found.parameters:,} parameters"
    yield f"read by Keras {found.keras} on {found.backend}"
    if found.examples:
        yield f"activity of {count(found.examples, 'example')}"
    yield from (f"figure: {path}" for path in found.figures)


def _row(layer: InspectedLayer, *, looked: bool) -> tuple[str, ...]:
    dead, units = idle_units(layer)
    shape = " x ".join("?" if one is None else str(one) for one in layer.output[1:])
    more = (_known(layer.activation), "-" if layer.zeros is None else f"{layer.zeros:.0%}")
    return (
        layer.name,
        layer.kind,
        shape or "-",
        f"{layer.parameters:,}",
        _finite(layer.norm, layer.parameters),
        _finite(layer.largest, layer.parameters),
        f"{dead}/{units}" if units else "-",
        *(more if looked else ()),
    )


def _finite(value: float | None, parameters: int) -> str:
    if not parameters:
        return "-"
    return "not finite" if value is None else number(value)


def _known(value: float | None) -> str:
    return "-" if value is None else number(value)


def exported_lines(found: ExportedModel) -> list[str]:
    """Return what was written and compared."""
    worst = "" if found.worst is None else f", {found.worst:.1g} apart at most"
    return [found.path, f"{size(found.size)}; compared: {found.compared}{worst}"]
