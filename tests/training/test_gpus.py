"""That each rank takes a GPU of its own: the refusals, for there is no GPU where these run."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


def test_a_rank_that_has_gpus_trains_on_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one rank too: hours of a GPU would be paid for nothing."""
    from deepforge_hpc import training

    for name, value in {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(f"DFH_{name}", value)
    assert training.connect().size == 1
    monkeypatch.setenv("DFH_GPUS", "0")
    with pytest.raises(training.TrainingError, match=r"GPU 0 of those.*TensorFlow sees none: it"):
        training.connect()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """TensorFlow's words for two GPUs, of which the rank sees both (simulated)."""
    import tensorflow as tf

    found = ["a", "b"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: [*found])
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _kind: [*found])
    return found


def use(*gpus: int) -> None:
    from deepforge_hpc.job import Rank
    from deepforge_hpc.training.transports.gpus import use_own_gpus

    use_own_gpus(Rank(gpus=gpus), "")


def test_fewer_gpus_than_ranks(seen: list[str]) -> None:
    from deepforge_hpc.training import TrainingError

    use(0, 1)  # all: nothing to be set
    with pytest.raises(TrainingError, match=r"GPU 2 of .* TensorFlow sees 2: fewer GPUs than rank"):
        use(2)


def test_a_framework_that_has_begun_is_told(
    seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow itself refuses, here to hide the processor: it has begun with a tensor."""
    import tensorflow as tf

    from deepforge_hpc.training import TrainingError

    hide = tf.config.set_visible_devices
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda _devices, _kind: hide([], "CPU"))
    tf.zeros(1)
    with pytest.raises(TrainingError, match=r"already.*call deepforge_hpc.training.connect"):
        use(1)


def test_two_ranks_of_one_gpu_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepforge_hpc.job import Rank
    from deepforge_hpc.training import TrainingError
    from deepforge_hpc.training.transports import gpus
    from deepforge_hpc.training.transports.base import OneRank

    class Gpu:
        identity = "GPU-a"

    class Told(OneRank):
        others: list[Any]

        def _gather(self, value: Any) -> list[Any]:
            return [*self.others, value]

    monkeypatch.setattr(gpus, "own_gpu", lambda _rank: Gpu())
    monkeypatch.setattr("socket.gethostname", lambda: "n1")
    team = Told()
    for others in ([("n1", "GPU-b")], [("n2", "GPU-a")], [("n1", ""), ("n1", "")]):
        team.others = others
        gpus.refuse_shared_gpus(team, Rank(gpus=(0,)))
    team.others = [("n1", "GPU-b"), ("n1", "GPU-a")]
    gpus.refuse_shared_gpus(team, Rank())  # it was given none
    with pytest.raises(TrainingError, match=r"ranks 1 and 2 are to use one GPU of n1 .GPU-a."):
        gpus.refuse_shared_gpus(team, Rank(gpus=(0,)))
