"""Whether a network fits the GPUs of a site while it is trained: an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deepforge_hpc.errors import UsageError
from deepforge_hpc.files.faults import nearest, shown

if TYPE_CHECKING:
    from deepforge_hpc.api.arch_check import CheckedArchitecture
    from deepforge_hpc.libraries.networks.trial.judge import Judge
    from deepforge_hpc.libraries.networks.trial.memory import MemoryEstimate

USUAL = "Adam"


class GpuFit(NamedTuple):
    """A kind of GPU of a site."""

    node_type: str
    gpu_model: str
    """Empty if the site's file does not tell."""
    memory: int | None
    """Bytes of one GPU; None if the site's file does not tell."""
    fits: bool | None
    largest_batch: int | None
    """None if it is not known, or if nothing limits it."""


class TrainingMemory(NamedTuple):
    """What training takes of each GPU, in bytes, and what a site has."""

    optimizer: str
    weights: int
    gradients: int
    slots: int
    activations: int
    total: int
    is_least: bool
    """Something in it is not known."""
    site: str
    gpus: tuple[GpuFit, ...]


def fit(
    judge: Judge, optimizer: str, site: str
) -> Callable[[CheckedArchitecture], CheckedArchitecture]:
    """Return what adds the estimate to a network, if one is wanted.

    Raises UsageError for an optimizer or a site of which nothing can be said, InvalidInputError for
    no site: before anything is built.
    """
    if not optimizer and not site:
        return lambda found: found
    name, slots = _slots(judge, optimizer)
    gpus = _gpus(site) if site else []

    def fitted(found: CheckedArchitecture) -> CheckedArchitecture:
        one = _estimate(found, slots)
        memory = TrainingMemory(
            optimizer=name,
            weights=one.weights,
            gradients=one.gradients,
            slots=one.slots,
            activations=one.activations,
            total=one.total,
            is_least=one.is_least,
            site=site,
            gpus=tuple(_fit(one, *gpu) for gpu in gpus),
        )
        return replace(found, memory=memory)

    return fitted


def _slots(judge: Judge, optimizer: str) -> tuple[str, int]:
    """Return an optimizer's class, and what it keeps for each weight."""
    known = judge.optimizers()
    known = {**{name.lower(): known[name] for name in known}, **known}
    name = known.get(optimizer or USUAL, "")
    if name not in judge.slots:
        what = f"what it keeps for each weight is not known for {judge.framework}"
        hint = nearest(optimizer, [one for one in known if known[one] in judge.slots])
        raise UsageError(f"--optimizer {shown(optimizer or USUAL)}: {what}", hint)
    return name, judge.slots[name]


def _estimate(found: CheckedArchitecture, slots: int) -> MemoryEstimate:
    from deepforge_hpc.libraries.networks.trial.memory import estimate

    every = found.parameters.value
    return estimate(
        [(layer.parameters or 0, layer.dtype) for layer in found.layers],
        found.trained.value / every if every else 0.0,
        found.activations.value,
        slots=slots,
        batch=found.batch,
        is_least=found.parameters.is_least or found.activations.is_least,
    )


def _fit(one: MemoryEstimate, node_type: str, model: str, memory: int | None) -> GpuFit:
    if memory is None:
        return GpuFit(node_type, model, None, None, None)
    fits = False if one.total > memory else None if one.is_least else True
    return GpuFit(node_type, model, memory, fits, one.largest_batch(memory))


def _gpus(site: str) -> list[tuple[str, str, int | None]]:
    """Return node type, model and memory of the GPUs of a site; UsageError if it has none."""
    from deepforge_hpc.api.site import find_site
    from deepforge_hpc.site.unknown import known

    spec = find_site(site, Path.cwd()).spec
    found = []
    for name, node in spec.node_types.items():
        mib, count, model = known(node.gpu_mem_mib), known(node.gpus), known(node.gpu_model)
        if count or (count is None and (model or mib)):
            found.append((name, model or "", None if mib is None else mib << 20))
    if not found:
        raise UsageError(f"--site {site}: its file tells of no GPUs", f"dfh site show {site}")
    return found
