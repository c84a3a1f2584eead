"""What the child says of a model that it looked into."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple


class InspectedLayer(NamedTuple):
    """A layer and its weights; with inputs, how active its units are."""

    name: str
    """With its nested models: `encoder/conv`."""
    kind: str
    output: tuple[int | None, ...]
    """With the batch; empty if it has several."""
    parameters: int
    norm: float | None
    """Euclidean, of all its weights; None if one is no finite number."""
    largest: float | None
    units: int | None
    """Those of its kernel, the last axis; None without a kernel."""
    zero_units: int | None
    """Of these, with weights that are all zero."""
    active_units: int | None = None
    """Those of its output; None where that was not looked at."""
    dead_units: int | None = None
    """Of these, zero for all examples at all places."""
    activation: float | None = None
    """Mean of the absolute values."""
    zeros: float | None = None
    """Share of zeros in its output."""


class SaliencyMap(NamedTuple):
    """|gradient of an output by an input| for one example."""

    example: int
    input: str
    unit: int
    """Of the output."""
    shape: tuple[int, ...]
    """Of the example; the map has no channels, and blocks of large sides."""
    rows: tuple[tuple[float, ...], ...]
