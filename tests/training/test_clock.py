"""Where the time of an epoch goes: by a clock that the tests set, and of a real training."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


class Time:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr("time.perf_counter", found)
    return found


def make_clock(*, in_step: bool = True) -> Any:
    from deepforge_hpc.training.batches import Batches
    from deepforge_hpc.training.clock import EpochClock
    from deepforge_hpc.training.transports.base import OneRank

    class OfGraph(OneRank):
        spent_in_graph_s = 0.0

    clock = EpochClock(Batches(np.arange(8), batch_size=2, transport=OneRank()), OfGraph())
    clock._in_step = in_step
    return clock


def test_each_second_counts_to_the_part_that_spent_it(time: Time) -> None:
    clock = make_clock()
    time.now = 101  # Keras begins
    clock.on_train_batch_begin(0)
    clock._batches.reads[0] = (121, 123)  # when there is a graph, its batch is read
    clock._transport._spent_s += 1  # within the step
    time.now = 128
    clock.on_train_batch_end(0)
    clock._transport._spent_s += 0.5  # of callbacks
    time.now = 129
    clock.on_train_batch_begin(1)
    clock._batches.reads[1] = (123, 125)  # it was there before: no waiting
    clock._transport.spent_in_graph_s = 0.25  # within this step
    time.now = 132
    clock.on_train_batch_end(1)
    with clock.of("checkpoint"):
        time.now, clock._transport._spent_s = 135, clock._transport.seen_s + 1
    time.now = 140
    clock.on_test_end()
    time.now = 141
    found = clock.record()
    assert found.pop("memory/peak_mib") > 0
    assert found == {
        "time/compile": 20,
        "time/waiting": 2,
        "time/compute": 4 + 2.75,
        "time/communication": 1 + 0.5 + 0.25 + 1,
        "time/checkpoint": 2,
        "time/validation": 8,  # since the last step
        "time/epoch": 41,
    }
    clock.on_train_batch_begin(0)
    clock._batches.reads[0] = (141.25, 141.5)  # the graph is there: it waits since it asked
    time.now = 142
    clock.on_train_batch_end(0)
    found = clock.record()
    assert (found["time/epoch"], found["time/compute"]) == (1, 0.5)  # it begins anew
    assert (found["time/compile"], found["time/waiting"]) == (0, 0.5)


def test_where_a_batch_is_read_before_its_step_the_wait_for_it_is_no_compute(time: Time) -> None:
    clock = make_clock(in_step=False)
    for number, (begun, ready, ended) in enumerate(((101, 104, 106), (107, 109, 110))):
        clock._batches.reads[number] = (begun, ready)
        time.now = ready
        clock.on_train_batch_begin(number)
        time.now = ended
        clock.on_train_batch_end(number)
    found = clock.record()
    assert (found["time/waiting"], found["time/compute"]) == (3 + 2, 2 + 1)
    assert found["time/compile"] == 0  # nobody can tell it from the first step


class Held:
    """Rows that can be read once the step that wants them waits for them."""

    shape, dtype = (64, 3), np.dtype("float32")

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.is_held = False  # what is read before has no step

    def __len__(self) -> int:
        return 64

    def __getitem__(self, row: int) -> Any:
        assert not self.is_held or self.asked.acquire(timeout=60)
        return np.full(3, row / 64, "float32")


def test_a_training_that_waits_for_its_data_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    import keras

    from deepforge_hpc import training

    monkeypatch.setenv("DFH_METRICS", str(tmp_path / "metrics.jsonl"))
    team = training.connect()
    held = Held()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = training.Batches(held, np.zeros(64), batch_size=2, transport=team)

    class Ask(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            held.is_held = True

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            held.asked.release()
            held.asked.release()

    history = training.fit(model, batches, epochs=1, transport=team, callbacks=[Ask()], logged=True)
    (line,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert line["loss"] == pytest.approx(history["loss"][0])
    assert line["time/waiting"] > 0
    assert line["time/compile"] > line["time/waiting"]
    parts = ("waiting", "compile", "compute", "communication", "validation", "checkpoint")
    assert 0 < sum(line[f"time/{part}"] for part in parts) <= line["time/epoch"]
    assert batches.reads == {}


# -- GPUs: their drivers' words, for there is none where these run


def test_an_amd_gpu_is_the_one_that_the_rank_sees(tmp_path: Path) -> None:
    from deepforge_hpc.training.devices import AmdGpu, GpuWatch, _driver_name

    for card, busy, used in ((0, 5, 1 << 20), (2, 75, 3 << 20), (10, 40, 5 << 20)):
        folder = tmp_path / f"card{card}" / "device"
        folder.mkdir(parents=True)
        (folder / "gpu_busy_percent").write_text(f"{busy}\n")
        (folder / "mem_info_vram_used").write_text(f"{used}\n")
    (tmp_path / "card1" / "device").mkdir(parents=True)  # another kind of card
    name = _driver_name(1, ("ROCR_VISIBLE_DEVICES",), {"ROCR_VISIBLE_DEVICES": "0,2"})
    watch = GpuWatch(AmdGpu(name, tmp_path))
    watch.look()
    (tmp_path / "card10" / "device" / "gpu_busy_percent").write_text("50\n")
    watch._at = -1e9
    watch.look()
    assert watch.record() == {"gpu/use": 0.45, "gpu/peak_mib": 5.0}
    assert watch.record() == {}
    assert AmdGpu("2", tmp_path).identity != AmdGpu("1", tmp_path).identity
    with pytest.raises(OSError, match="no GPU '3'"):
        AmdGpu("3", tmp_path)
    shutil.rmtree(tmp_path / "card10")
    watch._at = -1e9
    watch.look()  # it is gone: nothing more is said of it
    assert watch.record() == {}


NVML = """
#include <string.h>
struct memory { unsigned long long total, free, used; };
struct rates { unsigned int gpu, memory; };
static int second;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { if (i > 1) return 6; second = i; *h = &second; return 0; }
int nvmlDeviceGetHandleByUUID(const char *u, void **h) { *h = &second; second = !strcmp(u, "GPU-b"); return second ? 0 : 6; }
int nvmlDeviceGetUtilizationRates(void *h, struct rates *r) { r->gpu = *(int *)h ? 80 : 10; r->memory = 3; return 0; }
int nvmlDeviceGetUUID(void *h, char *u, unsigned int n) { strncpy(u, *(int *)h ? "GPU-b" : "GPU-a", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, struct memory *m) { m->total = 9; m->free = 2; m->used = 7; return 0; }
"""


def test_an_nvidia_gpu_is_asked_by_number_or_uuid(tmp_path: Path) -> None:
    """By a library with NVML's functions and layouts, for there is no driver here."""
    from deepforge_hpc.training.devices import GpuLook, NvidiaGpu

    if shutil.which("cc") is None:
        pytest.skip("cc is not installed: apt-get install gcc")
    (tmp_path / "nvml.c").write_text(NVML)
    library = str(tmp_path / "libnvml.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    for name, use in (("0", 0.1), ("1", 0.8), ("GPU-b", 0.8)):
        assert NvidiaGpu(name, library).look() == GpuLook(use, 7)
    assert [NvidiaGpu(name, library).identity for name in ("0", "1")] == ["GPU-a", "GPU-b"]
    for name in ("2", "GPU-x"):
        with pytest.raises(OSError, match="returned 6"):
            NvidiaGpu(name, library)
    with pytest.raises(OSError, match=r"none\.so"):
        NvidiaGpu("0", str(tmp_path / "none.so"))
