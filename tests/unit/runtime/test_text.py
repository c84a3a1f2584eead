"""Values as a person reads them, and text from outside that is made harmless."""

from __future__ import annotations

import pytest

from deepforge_hpc.runtime.base.text import (
    clean,
    clean_lines,
    count,
    duration,
    listed,
    number,
    plain,
    size,
)
from deepforge_hpc.runtime.base.times import moment, parse_time
from deepforge_hpc.runtime.report.markup import esc


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("1/9 [=>  ]\r9/9 [====]\r\n", "9/9 [====]\n"),
        ("9/9\r\b\b  \r", "9/9"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("evil\u202etxt.exe", "eviltxt.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("z = 0.1 ± 0.02", "z = 0.1 ± 0.02"),
    ],
)
def test_nothing_that_drives_a_terminal_is_left(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_progress_bar_shows_what_stood_at_last() -> None:
    data = b"1/3 \x1b[32m=\x1b[0m\r2/3 ==\r3/3 ===   \r\nnext\tcolumn\n\x1b]8;;http://x\x07link\n\xff\n"
    assert clean_lines(data, 40) == ["3/3 ===", "next    column", "link", "\ufffd"]
    assert clean_lines(b"a\nb\nc\n", 2) == ["b", "c"]


def test_a_sentence_is_one_line_without_controls_and_credentials() -> None:
    assert plain("\x1b[1mbad\x1b[0m\n  \x00thing\u2028") == "bad thing"
    assert plain("x" * 1000) == "x" * 499 + "…"
    token = "ghp_" + "a1B2" * 9
    assert token not in plain(f"uses {token}")


def test_a_page_shows_a_name_of_any_bytes() -> None:
    assert esc('<a href="x">\u202eevil\x00 \udcff') == "&lt;a href=&quot;x&quot;&gt;evil \\udcff"


def test_of_many_names_the_first_are_listed() -> None:
    assert [listed("abcdef"[:n], 4) for n in range(7)] == [
        *("", "a", "a, b", "a, b, c", "a, b, c, d", "a, b, c and 2 more", "a, b, c and 3 more"),
    ]
    prose = [listed("abcd"[:n], 3, last=" and ") for n in range(5)]
    assert prose == ["", "a", "a and b", "a, b and c", "a, b and 2 more"]


def test_words_follow_their_number() -> None:
    assert [count(n, "entry", "entries") for n in (0, 1, 2)] == [
        "0 entries",
        "1 entry",
        "2 entries",
    ]
    assert count(2, "job") == "2 jobs"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\u2013"),
        (-3, "0.0 s"),
        (4.24, "4.2 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (372, "6 min 12 s"),
        (3 * 3600 + 300, "3 h 05 min"),
        (2 * 86400 + 4 * 3600, "2 d 04 h"),
    ],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_and_sizes_read_well() -> None:
    assert [number(value) for value in (0.018743, 12345.0, 1e-9, -2, None, float("inf"))] == [
        "0.01874",
        "12\u2009345",
        "1e\u22129",
        "\u22122",
        "not finite",
        "not finite",
    ]
    sizes = [size(value) for value in (0, 1023, 1536, 491_520_166, 1 << 70, "x", True)]
    assert sizes == ["0 B", "1023 B", "1.5 KiB", "469 MiB", "1073741824 TiB", "\u2013", "\u2013"]


def test_times_are_read_with_and_without_zone_and_never_raise() -> None:
    for text in ("2026-11-01T12:03:22Z", "2026-11-01T13:03:22.500+01:00", "2026-11-01T12:03:22"):
        assert moment(parse_time(text)) == "2026-11-01 12:03 UTC"
    for wrong in (
        "",
        "yesterday",
        None,
        5,
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
    ):
        assert moment(parse_time(wrong)) == "\u2013"
