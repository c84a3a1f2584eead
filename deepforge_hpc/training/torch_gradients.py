"""Gradients of a PyTorch module, which travel while the backward pass still makes others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from deepforge_hpc.training.transports import Transport

FIRST_BYTES, MOST_BYTES = 1 << 20, 25 << 20
"""Of a bucket: the first is small, so that it leaves early; many small exchanges cost more."""


class Bucket:
    """Gradients of one type that travel together, in one buffer."""

    def __init__(self, parameters: Sequence[Any]) -> None:
        self.parameters = parameters
        self.sizes = [one.numel() for one in parameters]
        self.all_there = parameters[0].new_ones(len(parameters))
        self.flat = parameters[0].new_empty(sum(self.sizes) + len(self.sizes))
        """Kept from step to step: to get so much memory anew costs more than to fill it."""
        self.begin()

    def begin(self) -> None:
        """Wait for the gradients of another step."""
        self.made: set[int] = set()
        self.is_stale = False
        self.wait: Callable[[], None] | None = None
        """Waits for the sums; None before the gradients were sent."""

    @property
    def is_whole(self) -> bool:
        """Return whether the backward pass has made all of its gradients."""
        return len(self.made) == len(self.parameters)

    def send(self, transport: Transport) -> None:
        """Let the gradients travel, and which of them are there: a rank may have none of some."""
        grads = [one.grad for one in self.parameters]
        there = self.all_there
        if any(one is None for one in grads):
            there = torch.tensor([one is not None for one in grads]).to(there)
        parts = [
            (torch.zeros_like(like) if one is None else one).reshape(-1)
            for one, like in zip(grads, self.parameters, strict=True)
        ]
        torch.cat([*parts, there], out=self.flat)
        # Sums of 16 bits lose digits, and not every transport has such numbers.
        self.sums = self.flat.float() if self.flat.element_size() < 4 else self.flat
        self.is_stale = False
        self.wait = transport.sum_later(self.sums)

    def take(self) -> None:
        """Replace the gradients by the sums over all ranks."""
        if self.wait is not None:
            self.wait()
        *parts, there = self.sums.to(self.flat.dtype).split([*self.sizes, len(self.sizes)])
        for place, (one, part) in enumerate(zip(self.parameters, parts, strict=True)):
            if one.grad is not None or there[place]:
                one.grad = part.view(one.shape)
        self.begin()


class Gradients:
    """Adds up the gradients of all ranks, in buckets that every rank sends in the same order.

    A bucket leaves when its last gradient is made, if those before it have left; the others leave
    when the backward pass has ended. Parameters without a gradient on any rank keep none.
    """

    def __init__(self, parameters: Sequence[Any], transport: Transport) -> None:
        self.transport = transport
        self.buckets = [Bucket(group) for group in grouped(parameters)]
        self.is_last = False
        """Whether the backward pass is the last one before the step: its gradients travel."""
        self._sent = 0
        self._lock = threading.Lock()  # each device has a thread of its own in a backward pass
        self._hooks = [
            one.register_post_accumulate_grad_hook(partial(self._made, bucket, place))
            for bucket in self.buckets
            for place, one in enumerate(bucket.parameters)
        ]

    def close(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()

    def _made(self, bucket: Bucket, place: int, _: Any) -> None:
        if not self.is_last:
            return
        with self._lock:
            bucket.made.add(place)
            bucket.is_stale = bucket.wait is not None  # in parts, as reentrant checkpoints make it
            while self._sent < len(self.buckets) and self.buckets[self._sent].is_whole:
                self._send(self.buckets[self._sent])
                self._sent += 1

    def _send(self, bucket: Bucket) -> None:
        with torch.no_grad():
            bucket.send(self.transport)

    def add_up(self) -> None:
        """Give each parameter the sum of all ranks' gradients, once the backward pass has ended."""
        for bucket in self.buckets[self._sent :]:
            self._send(bucket)
        for bucket in self.buckets:
            if bucket.is_stale and bucket.wait:
                bucket.wait()
                self._send(bucket)
        for bucket in self.buckets:
            bucket.take()
        self._sent = 0


def grouped(parameters: Sequence[Any]) -> list[list[Any]]:
    """Return the parameters in buckets, the last ones first: so a backward pass makes gradients."""
    filling: dict[Any, list[Any]] = {}
    bytes_of: dict[Any, int] = {}
    found: list[list[Any]] = []
    for one in reversed(parameters):
        kind = (one.dtype, one.device)
        filling.setdefault(kind, []).append(one)
        bytes_of[kind] = bytes_of.get(kind, 0) + one.numel() * one.element_size()
        if bytes_of[kind] >= (MOST_BYTES if found else FIRST_BYTES):
            found.append(filling.pop(kind))
            del bytes_of[kind]
    return [*found, *filling.values()]
