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
