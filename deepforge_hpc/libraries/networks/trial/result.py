"""What a framework said of a network: the lines of its trial, and the file that keeps them."""

# Annotations are types here, which the codec reads.
from typing import NamedTuple

Shape = tuple[int | None, ...]


class Objection(NamedTuple):
    """Why a layer could not be made or called, in the framework's own words."""

    stage: str
    """make | call | model | time | end: its arguments, its input, the whole; the trial was ended
    for being late, or ended by itself, at this layer."""
    type: str
    """Class of the exception."""
    text: str
    by: str = "framework"
    """framework | backend | code: who raised it."""


class BuiltLayer(NamedTuple):
    """What the framework made of one layer call; without outputs nobody knows them."""

    kind: str = ""
    """Class of the layer."""
    family: str = ""
    """Its module."""
    wraps: str = ""
    """Class of the layer within, such as that of a Bidirectional."""
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    dtype: str = ""
    weights: tuple[tuple[str, Shape, bool], ...] = ()
    """Path, shape, and whether training changes it; of a shared layer at its first use."""
    operations: int | None = None
    """Multiply-accumulates for one example, where the framework counts them itself."""
    error: Objection | None = None
    retried: bool = False
    """This backend refused it until all sizes were numbers."""
    denied: tuple[str, ...] = ()
    """What the layer's code tried to do and may not, such as to write a file."""


class Trial(NamedTuple):
    """A network, layer by layer."""

    version: str
    """Of the framework."""
    backend: str
    layers: tuple[BuiltLayer, ...]
    """In the order of the calls; fewer if the trial was ended."""
    error: Objection | None = None
    """Of the network as a whole."""
    guard: str = ""
    """What kept the project's code from writing: `kernel` (Landlock), `limits`; empty: none ran."""
    schema: str = "dfh/trial/1"


class NoTrial(NamedTuple):
    """Why there is no trial."""

    why: str
    """`none`, `no backend`, `import`, `start`, `time`"""
    text: str = ""
