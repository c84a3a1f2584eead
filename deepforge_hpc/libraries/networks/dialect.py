"""What a library brings to the common form of architecture files: its names, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepforge_hpc.libraries.networks.catalogue import Catalogue, Thing
from deepforge_hpc.libraries.networks.graph import Argument

Arguments = Mapping[str, Argument]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect:
    """One library's; each is one object, whatever it is compared with."""

    library: str
    """What files say under `library`."""
    framework: str
    """As messages name it."""
    catalogue: Catalogue
    gives_several: Callable[[Thing, Arguments, Mapping[str, object]], bool]
    """Whether a layer with these arguments, called with those, may give more than one tensor."""
    refused: Mapping[str, str]
    """Layers that no file names, and why."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Words of other frameworks, to what is meant by them here."""
    files: Mapping[str, Callable[[Thing, list[str]], list[Any]]] = field(default_factory=dict)
    """Arguments that may name a file of the project: to what is made of its lines, in its place."""
    input_options: Mapping[str, str] = field(default_factory=dict)
    """What an input may say besides shape and type: in files, and in the framework."""
    of_models: tuple[str, ...] = ()
    """What the call of a nested model takes besides tensors."""
    activations_by_text: bool = False
    """Whether an activation is given as its name; else as the function."""
    takes_first: bool = False
    """Whether the first of what a layer gives is meant where no number says which."""
    same_as: Mapping[str, str] = field(default_factory=dict)
    """Arguments that are taken from another one if they are not given."""
    meant: Mapping[str, object] = field(default_factory=dict)
    """What is made of an argument that is not given, where its default is None."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the layers that a file can name."""
        return tuple(name for name in self.catalogue.things("layer") if name not in self.refused)
