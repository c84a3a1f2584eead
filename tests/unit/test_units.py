"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.units import format_duration, parse_duration, parse_memory


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90m", 5400),
        ("2h", 7200),
        ("2 h", 7200),
        ("1d", 86400),
        ("08:00:00", 28800),
        ("100:00:00", 360000),
        ("1-12:00:00", 129600),
        ("2-00", 172800),
    ],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "90", "08:00", "1:60:00", "1:00:60", "-1h", "1.5h", "1h30m", "1H", "1 -00", "h", "٣h"],
)
def test_what_could_mean_two_things_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 10**8))
def test_a_written_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("4GiB", 4096),
        ("4G", 4096),
        ("512M", 512),
        ("512MiB", 512),
        ("1K", 1),
        ("1025K", 2),
        ("2T", 2 << 20),
        ("16 GB", 15259),
        ("1MB", 1),
    ],
)
def test_memory_sizes_are_read_and_rounded_up(text: str, mib: int) -> None:
    assert parse_memory(text) == mib


@pytest.mark.parametrize("text", ["", "4", "4096", "4g", "4GIB", "-1G", "1.5G", "G", "1PB", "٤G"])
def test_a_size_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a memory size"):
        parse_memory(text)
