"""A part of a file as a file of its own."""

from __future__ import annotations

import io
from typing import BinaryIO

from .base import ByteRange, checked_range


def stream_part(stream: BinaryIO, part: ByteRange | None) -> BinaryIO:
    """Return a stream of a part of a file that is open and can seek."""
    whole = ByteRange(0) if part is None else checked_range(part)
    stream.seek(whole.start)
    if whole.stop is None:
        return stream
    return io.BufferedReader(_Slice(stream, whole.stop - whole.start))


class _Slice(io.RawIOBase):
    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream, self._left = stream, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(min(len(buffer), self._left))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._stream.close()
        super().close()
