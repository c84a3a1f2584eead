"""What training takes of a GPU, and whether a site's have that; Keras is not needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import arch_check
from deepforge_hpc.api.arch_memory import fit
from deepforge_hpc.cli.views.arch_check import checked_lines
from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.keras.trial.judge import JUDGE
from deepforge_hpc.libraries.networks.trial.memory import estimate
from deepforge_hpc.libraries.networks.trial.request import BuildRequest
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, Trial
from deepforge_hpc.libraries.networks.trial.tried import Tried

TEXT = """\
library: keras
architecture: net
inputs: {x: [1000]}
layers:
  - a: {Dense: {units: 1000}}
"""
GIB = 1 << 30


def checked(batch: int = 10) -> arch_check.CheckedArchitecture:
    """A million weights and 1,000 biases, of which a thousand are not trained."""
    graph = KerasLibrary().graph(TEXT, "net.yaml")
    weights = (("a/kernel", (1000, 1000), True), ("a/bias", (1000,), False))
    dense = BuiltLayer(kind="Dense", outputs=((None, 1000),), dtype="float32", weights=weights)
    one = Tried(
        judge=JUDGE,
        graph=graph,
        request=BuildRequest(graph),
        trial=Trial("3.15.1", "jax", (BuiltLayer(), dense)),
        is_cached=False,
        job_backend="jax",
    )
    return arch_check.tried_network(one, Path("net.yaml"), batch=batch)


def test_weights_gradients_slots_and_activations_add_up() -> None:
    found = fit(JUDGE, "adam", "")(checked()).memory
    assert found is not None
    assert (found.optimizer, found.weights, found.gradients) == ("Adam", 4_004_000, 4_000_000)
    assert found.slots == 2 * found.gradients
    assert found.activations == 10 * (1000 + 1000) * 4  # what goes in is kept too
    assert found.total == 4_004_000 + 3 * 4_000_000 + 80_000
    plain = fit(JUDGE, "SGD", "")(checked()).memory
    assert plain is not None
    assert plain.slots == 0
    assert fit(JUDGE, "", "")(checked()).memory is None


def test_the_largest_batch_is_the_last_that_fits() -> None:
    one = estimate([(1000, "float32"), (10, "float64")], 0.5, 700, slots=1, batch=7, is_least=False)
    assert one.fixed == 4080 + 2040 + 2040
    for memory in (one.fixed + 100 * n + extra for n in (1, 5, 6) for extra in (0, 1, 99)):
        batch = one.largest_batch(memory)
        assert batch is not None
        assert one.fixed + 100 * batch <= memory < one.fixed + 100 * (batch + 1)
    assert one.largest_batch(one.fixed - 1) == 0
    assert one._replace(activations=0).largest_batch(one.fixed) is None


def test_each_kind_of_gpu_of_a_site_is_judged(tmp_path: Path) -> None:
    site = tmp_path / "mine.yaml"
    site.write_text(
        "site: mine\nscheduler: slurm\n"
        "queues: [{name: a, partition: a, node_type: small}]\n"
        "node_types:\n  small: {gpus: 2, gpu_model: T4, gpu_mem: 15MiB}\n"
        "  large: {gpus: 4, gpu_mem: 80GiB}\n  odd: {gpus: 1, gpu_mem: unknown}\n  cpu: {gpus: 0}\n"
    )
    found = fit(JUDGE, "", str(site))(checked())
    assert found.memory is not None
    small, large, odd = found.memory.gpus
    assert (small.fits, small.largest_batch) == (False, 0)
    assert large.fits
    assert large.largest_batch == (80 * GIB - 16_004_000) // 8000
    assert (odd.memory, odd.fits, odd.largest_batch) == (None, None, None)
    told = "\n".join(checked_lines(found))
    assert "training with Adam: about 15.3 MiB: 3.8 MiB of weights, 3.8 MiB of gradients" in told
    assert "small (T4): a batch of 10 does not fit into 15.0 MiB; no batch does" in told
    assert "large: a batch of 10 fits into 80.0 GiB; the largest that does is 10," in told
    assert "odd: the memory of its GPUs is not known" in told

    least = replace(checked(), activations=arch_check.Total(8000, True))
    unsure = fit(JUDGE, "", str(site))(least).memory
    assert unsure is not None
    assert [gpu.fits for gpu in unsure.gpus] == [False, None, None]


def test_what_nothing_can_be_said_of_is_told_before_anything_is_built(
    tmp_path: Path, follow: Any
) -> None:
    with pytest.raises(UsageError, match="--optimizer 'Adm'"):
        fit(JUDGE, "Adm", "")
    with pytest.raises(UsageError, match="tells of no GPUs") as caught:
        fit(JUDGE, "", "local")
    follow("api/arch_memory.py _gpus: dfh site", caught.value.hint, cwd=tmp_path)
    with pytest.raises(InvalidInputError, match="no site 'nowhere'"):
        fit(JUDGE, "", "nowhere")
