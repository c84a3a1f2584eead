"""Values and patterns over which `dfh check` broke or did not end."""

from __future__ import annotations

from typing import Any

CODE = """\
from typing import Annotated


def show(word: Annotated[str, {"pattern": PATTERN}], number: float) -> str:
    text = word
    return text
"""
PIPELINE = """\
pipeline: p
operations:
  show: {uses: 'operations.py:show', attributes: {word: WORD, number: !!float 0x1}}
outputs: {text: show.text}
"""


def test_a_pattern_that_may_not_end_is_refused(dfh: Any, make_project: Any) -> None:
    text = PIPELINE.replace("WORD", "a" * 64 + "b")
    for pattern, code in (("(a+)+$", 3), ("a+b", 0)):
        files = {"pipeline.yaml": text, "operations.py": CODE.replace("PATTERN", repr(pattern))}
        done = dfh("check", cwd=make_project(files), expect=code, timeout=30)
        assert ("may not end" in done.stderr) is (code == 3)


def test_a_long_text_is_not_held_against_many_repetitions(dfh: Any, make_project: Any) -> None:
    """Each makes it longer by the length of the text: five, and a thousand characters, take hours."""
    text = PIPELINE.replace("WORD", "a" * 1_000)
    for pattern, code in (("a*a*a*a*a*b", 3), ("a+", 0)):
        files = {"pipeline.yaml": text, "operations.py": CODE.replace("PATTERN", repr(pattern))}
        dfh("check", cwd=make_project(files), expect=code, timeout=30)


def test_repetitions_with_an_end_are_as_many_ways_as_they_span(dfh: Any, make_project: Any) -> None:
    """Eleven times a hundred would take as long as eleven without an end."""
    patterns = [
        ("a{0,100}" * 11 + "b", "a" * 200, 3),
        ("a{1,50}" * 8 + "b", "a" * 200, 3),
        ("[ab]{0,100}" * 11 + "c", "ab" * 100, 3),
        ("a{0,100}" * 5 + "b", "a" * 200, 3),
        ("(aab|aac|aad)" * 12, "aab" * 11 + "aae", 3),
        ("[a-z]{1,50}(-[a-z]{1,50})?(:[0-9]{1,5})?", "galaxy-zoo:2", 0),
        (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", "10.0.0.1", 0),
    ]
    for pattern, word, code in patterns:
        text = PIPELINE.replace("WORD", f"'{word}'")
        files = {"pipeline.yaml": text, "operations.py": CODE.replace("PATTERN", repr(pattern))}
        dfh("check", cwd=make_project(files), expect=code, timeout=30)
