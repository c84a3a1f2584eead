"""What the frameworks of libraries say of a pipeline's resource files, where they are at hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from deepforge_hpc.errors import InvalidInputError

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.file import OperationSpec
    from deepforge_hpc.pipeline.interface import OperationInterface
    from deepforge_hpc.pipeline.load import Loaded
    from deepforge_hpc.plugins.library import Examination, Software
    from deepforge_hpc.runtime.base.notice import Notice


def examine(loaded: Loaded) -> tuple[Notice, ...]:
    """Return what was found in the resource files; InvalidInputError if a framework refuses one."""
    found = [one for item in loaded.operations.values() for one in _examined(item, loaded)]
    if faults := dict.fromkeys(fault for one in found for fault in one.faults):
        raise InvalidInputError(list(faults))
    return tuple(dict.fromkeys(notice for one in found for notice in one.notices))


def _examined(operation: OperationInterface, loaded: Loaded) -> Iterator[Examination]:
    for reference in operation.references:
        from deepforge_hpc.api.recorded import Recorded
        from deepforge_hpc.files.project import Project, ProjectFiles
        from deepforge_hpc.pipeline.snapshot import PROJECT
        from deepforge_hpc.plugins import registry
        from deepforge_hpc.plugins.library import Use

        data = Recorded(_files(operation, loaded), _has_h5py)
        use = Use(
            attributes={**operation.defaults, **operation.attributes},
            own_python=sys.executable,
            job_python=operation.environment.python,
            software=software,
            ranks=_ranks(loaded.pipeline.operations[operation.name]),
            classes=data.classes,
            shape=data.shape,
        )
        text = loaded.snapshot.files[f"{PROJECT}/{reference.source}"].data.decode()
        files = ProjectFiles(Project(loaded.project, loaded.project), loaded.project)
        library = registry.create("libraries", reference.library)
        yield library.examine(text, reference.source, use, files)


def _files(operation: OperationInterface, loaded: Loaded) -> dict[str, str]:
    """Return the HDF5 files from outside that an operation reads, by its ports."""
    known = {item.name: item.path for item in loaded.inputs if item.type == "hdf5"}
    return {edge.port: known[edge.external] for edge in operation.inputs if edge.external in known}


def _has_h5py() -> bool:
    return bool(_own_software(frozenset({"h5py"})))


def _ranks(spec: OperationSpec) -> int:
    """Return how many ranks the pipeline asks for, whatever a site makes of it."""
    asked = spec.resources
    by_gpu = asked.gpus_per_node if spec.launch not in (None, "none") else 1
    return (asked.nodes or 1) * (asked.ntasks_per_node or by_gpu or 1)


def software(python: str, packages: Iterable[str]) -> Software:
    """Return the versions of packages that an interpreter has, by its files: it is not started."""
    if python == sys.executable:
        return _own_software(frozenset(packages))
    from deepforge_hpc.pipeline.installed import Installed
    from deepforge_hpc.runtime.base.plan import Environment

    found = Installed().software(Environment(python=python), packages)
    return tuple((name, version) for name, version in found if version)


def _own_software(packages: frozenset[str]) -> Software:
    """Return the same of this process, by the names in its own folders: that imports nothing.

    `tensorflow_cpu` counts as tensorflow.
    """
    found: dict[str, str] = {}
    for folder in filter(None, sys.path):
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - the names alone
                package, _, version = name.removesuffix(".dist-info").partition("-")
                if name.endswith(".dist-info") and package.partition("_")[0] in packages:
                    found.setdefault(package, version)
    return tuple(sorted(found.items()))
