"""The formats that a pipeline may name: the runtime's own, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from deepforge_hpc.plugins import registry
from deepforge_hpc.plugins.travel import as_in_a_job
from deepforge_hpc.runtime.formats import FORMATS, Format

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.file import OperationSpec, PipelineSpec

ANY = "any"
PICKLE = "pickle"
WEIGHTS = "safetensors"
"""Holds a network's weights and not what computes with them."""
_SUFFIXES = {
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".npy": "npy",
    ".npz": "npz",
    ".json": "json",
    ".keras": "keras",
}
# What may be chosen by `types:` although an annotation says another thing: the Python type is one,
# the way to keep it another.
_REFINED = {
    "file": {"directory"},
    "json": {"npz", "hdf5", "arrays", "safetensors", "joblib"},
    "skops": {"joblib"},
    "text": {"json"},
}


class Formats(Mapping[str, "Format"]):
    """The table of formats; installed packages are asked for an unknown id only."""

    def __init__(self) -> None:
        self._found: dict[str, Format] = dict(FORMATS)
        self._names: frozenset[str] | None = None
        self.used: dict[str, str] = {}
        """`module:object` of each third party's format that was asked for."""

    def __getitem__(self, key: str) -> Format:
        if key not in self._found:
            with as_in_a_job():
                self._found[key] = registry.create("formats", key)
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter({*FORMATS, *self._installed()})

    def __len__(self) -> int:
        return len({*FORMATS, *self._installed()})

    def __contains__(self, key: object) -> bool:
        if key in FORMATS:
            return True
        if not isinstance(key, str) or key not in self._installed():
            return False
        self.used[key] = registry.target("formats", key)
        return True

    def _installed(self) -> frozenset[str]:
        if self._names is None:
            self._names = registry.installed("formats")
        return self._names


def is_open(pipeline: PipelineSpec, spec: OperationSpec, output: str) -> bool:
    """Tell whether an output's value may choose its format: nobody gathers it, or wants another."""
    source = f"{spec.name}.{output}"
    wanted = [one.to for one in pipeline.outputs.values() if one.source == source]
    is_json = any(to.endswith(".json") for to in wanted)
    return output not in spec.types and spec.map is None and not is_json


def by_suffix(suffix: str) -> str:
    """Return the format of a file with that suffix."""
    return _SUFFIXES.get(suffix.lower(), "file")


def refines(chosen: str, annotated: str) -> bool:
    """Tell whether `types:` may choose a format for a port that is annotated with another."""
    # A path is not worth pickling; of everything else, whoever names it wants it. What a format of
    # a package takes, it alone knows.
    wanted = chosen not in FORMATS or (chosen == PICKLE and annotated != "file")
    return annotated in (ANY, chosen) or wanted or chosen in _REFINED.get(annotated, ())
