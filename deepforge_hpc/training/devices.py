"""What a rank's GPU does, as its driver says: NVIDIA's by NVML, AMD's by sysfs."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc.job import Rank

SAMPLE_S = 0.5
"""Seconds between two looks; one takes some microseconds."""
_NVML = "libnvidia-ml.so.1"
_UUID_BYTES = 96
"""NVML_DEVICE_UUID_V2_BUFFER_SIZE, its longest."""
_CARDS = Path("/sys/class/drm")


class GpuLook(NamedTuple):
    """A GPU at one moment."""

    use: float
    """Share of the last moment in which something ran on it, 0 to 1."""
    memory: int
    """Bytes in use, by all processes: a framework may take all at once."""


class NvidiaGpu:
    """By libnvidia-ml, which comes with the driver. OSError where there is none, or no such GPU."""

    def __init__(self, name: str, library: str = _NVML) -> None:
        self._library = ctypes.CDLL(library)
        self._handle = ctypes.c_void_p()
        self._call("nvmlInit_v2")
        by = "Index_v2" if name.isdigit() else "UUID"
        key = ctypes.c_uint(int(name)) if name.isdigit() else ctypes.c_char_p(name.encode())
        self._call(f"nvmlDeviceGetHandleBy{by}", key, ctypes.byref(self._handle))

    @property
    def identity(self) -> str:
        """Return its UUID; OSError if its driver does not say."""
        text = ctypes.create_string_buffer(_UUID_BYTES)
        self._call("nvmlDeviceGetUUID", self._handle, text, ctypes.c_uint(_UUID_BYTES))
        return text.value.decode(errors="replace")

    def look(self) -> GpuLook:
        """Return what it does now; OSError if its driver does not say."""
        rates, memory = (ctypes.c_uint * 2)(), (ctypes.c_ulonglong * 3)()
        self._call("nvmlDeviceGetUtilizationRates", self._handle, rates)
        self._call("nvmlDeviceGetMemoryInfo", self._handle, memory)
        return GpuLook(rates[0] / 100, memory[2])

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            raise OSError(f"NVML's {function} returned {code}")


class AmdGpu:
    """By sysfs. OSError where there is no such GPU."""

    def __init__(self, name: str, cards: Path = _CARDS) -> None:
        found = sorted(cards.glob("card*/device/gpu_busy_percent"), key=_number)
        if not name.isdigit() or int(name) >= len(found):
            raise OSError(f"there is no GPU {name!r} below {cards}")
        self._folder = found[int(name)].parent
        self.look()

    @property
    def identity(self) -> str:
        """Return its place on the bus."""
        return str(self._folder.resolve())

    def look(self) -> GpuLook:
        """Return what it does now; OSError or ValueError if its driver does not say."""
        busy, used = (
            int((self._folder / file).read_text()) for file in ("gpu_busy_percent", _USED)
        )
        return GpuLook(busy / 100, used)


_USED = "mem_info_vram_used"


def _number(path: Path) -> int:
    digits = path.parts[-3].removeprefix("card")
    return int(digits) if digits.isdigit() else -1


def own_gpu(rank: Rank, environ: Mapping[str, str] = os.environ) -> NvidiaGpu | AmdGpu | None:
    """Return this rank's first GPU; None where there is none, or nobody who tells of it."""
    for kind, variables in _KINDS:
        # There may be no driver, no GPU, or a library too old for what is asked.
        with suppress(OSError, ValueError, AttributeError):
            return kind(_driver_name(rank.device or 0, variables, environ))
    return None


_KINDS: tuple[tuple[type[NvidiaGpu | AmdGpu], tuple[str, ...]], ...] = (
    (NvidiaGpu, ("CUDA_VISIBLE_DEVICES",)),
    (AmdGpu, ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")),
)


def _driver_name(device: int, variables: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Return what the driver calls a device: programs count those that a variable leaves them."""
    for variable in variables:
        names = [name.strip() for name in environ.get(variable, "").split(",") if name.strip()]
        if device < len(names):
            return names[device]
    return str(device)


class GpuWatch:
    """The mean use and the peak memory of a GPU between two records, from looks at it."""

    def __init__(self, gpu: NvidiaGpu | AmdGpu | None) -> None:
        self._gpu = gpu
        self._looks: list[GpuLook] = []
        self._at = 0.0

    def look(self) -> None:
        """GpuLook, if the last look was a while ago; a GPU that fails is looked at no more."""
        now = time.monotonic()
        if self._gpu is None or now - self._at < SAMPLE_S:
            return
        self._at = now
        try:
            self._looks.append(self._gpu.look())
        except (OSError, ValueError):
            self._gpu = None

    def record(self) -> dict[str, float]:
        """Return what was seen since the last record, and forget it; nothing without a look."""
        looks, self._looks = self._looks, []
        if not looks:
            return {}
        return {
            "gpu/use": sum(one.use for one in looks) / len(looks),
            "gpu/peak_mib": max(one.memory for one in looks) / (1 << 20),
        }
