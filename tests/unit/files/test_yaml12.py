"""The strict YAML loader, with PyYAML's C parser and without it."""

from __future__ import annotations

import contextlib
import gc
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files import yaml12
from deepforge_hpc.files.characters import MAX_CHARACTERS
from deepforge_hpc.files.yaml12 import Mark, collector_paused, load, parse_value, reads_as_text


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with each of PyYAML's two parsers."""
    if request.param == "Python":
        monkeypatch.setattr(yaml12, "_Loader", yaml12._PythonLoader)
    return str(request.param)


def faults(text: str | bytes) -> list[str]:
    """Return what is wrong with a text, as a person reads it."""
    with pytest.raises(InvalidInputError) as caught:
        load(text, "f.yaml")
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("12:30", "12:30"),
        ("24:00:00", "24:00:00"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2024-01-02", "2024-01-02"),
        ("=", "="),
        ("012", 12),
        ("+12", 12),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5E+2", -50.0),
        ("+", "+"),
        (".", "."),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("!!int 12", 12),
        ('"\\u00e9\\n\\t"', "\u00e9\n\t"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: object) -> None:
    result = parse_value(scalar, "x")
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", ["f.yaml:3:1: duplicate key 'a', first in line 1 (remove one of the two)"]),
        (
            "x: {a: 1, a: 1}\ny: {b: 1, 'b': 1}",
            [
                "f.yaml:1:11: duplicate key 'a', first in line 1 (remove one of the two)",
                "f.yaml:2:11: duplicate key 'b', first in line 2 (remove one of the two)",
            ],
        ),
        ("1: x", ["f.yaml:1:1: the key '1' is not text (quote it)"]),
        ("true: x", ["f.yaml:1:1: the key 'true' is not text (quote it)"]),
        ("? [a]\n: 1", ["f.yaml:1:3: a key must be text"]),
        ("<<: {a: 1}", ["f.yaml:1:1: merge keys (<<) are not YAML 1.2 (write the keys out)"]),
        (
            "a: !!python/object/apply:os.system ['id']",
            ["f.yaml:1:4: tag !!python/object/apply:os.system does not fit here (remove it; only plain values are read)"],
        ),
        ("a: !env HOME", ["f.yaml:1:4: tag !env does not fit here (remove it; only plain values are read)"]),
        ("a: !!int x", ["f.yaml:1:4: tag !!int does not fit here (remove it; only plain values are read)"]),
        ("a: !!timestamp 2024-01-01", ["f.yaml:1:4: tag !!timestamp does not fit here (remove it; only plain values are read)"]),
        ("a: !!set {b: }", ["f.yaml:1:4: tag !!set does not fit here (remove it; only plain values are read)"]),
        ("a: .inf", ["f.yaml:1:4: .inf is not a number that JSON can hold (quote it if it is text)"]),
        ("a: [1, -.INF, .nan]", [
            "f.yaml:1:8: -.INF is not a number that JSON can hold (quote it if it is text)",
            "f.yaml:1:15: .nan is not a number that JSON can hold (quote it if it is text)",
        ]),
        ("a: 1e999", ["f.yaml:1:4: 1e999 is not a number that JSON can hold (quote it if it is text)"]),
        (f"a: {'9' * 5000}", ["f.yaml:1:4: 99999999999999999999... is not a number that JSON can hold (quote it if it is text)"]),
        (f"a: 0x{'f' * 5000}", ["f.yaml:1:4: 0xffffffffffffffffff... is not a number that JSON can hold (quote it if it is text)"]),
        (f"a: 0o{'7' * 9000}", ["f.yaml:1:4: 0o777777777777777777... is not a number that JSON can hold (quote it if it is text)"]),
        ('a: "\\x07"', ["f.yaml:1:4: control character U+0007 in a text (remove it)"]),
        ('"\\e[31m": 1', ["f.yaml:1:1: control character U+001B in a text (remove it)"]),
        ("a: \x07\nb: \x1b", [
            "f.yaml:1:4: control character U+0007 (remove it)",
            "f.yaml:2:4: control character U+001B (remove it)",
        ]),
        ("a: x\ry", ["f.yaml:1:5: control character U+000D (remove it)"]),
        ("a: \u202eevil", ["f.yaml:1:4: control character U+202E (remove it)"]),
        ("a: \x85", ["f.yaml:1:4: control character U+0085 (remove it)"]),
        ("a: b\nc: \uffff", ["f.yaml:2:4: control character U+FFFF (remove it)"]),
        ("a: \ud800", ["f.yaml:1:4: control character U+D800 (remove it)"]),
        (b"a: 1\nb: \xff", ["f.yaml:2: byte 0xff is not UTF-8 (save the file as UTF-8)"]),
        ("a: b\n---\nc: d", ["f.yaml:2:1: not valid YAML: a second document begins here (keep one document a file; remove ---)"]),
        ("a: &x [*x]", ["f.yaml:1:4: this value contains itself through an alias (write out what is needed)"]),
        ("a: &x {b: {c: *x}}", ["f.yaml:1:4: this value contains itself through an alias (write out what is needed)"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_what_is_refused_is_told_with_its_place(text: str | bytes, expected: list[str]) -> None:
    assert faults(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\tb: 2", 2, "indent with spaces, not tabs"),
        ("a: 1\n\tb: 2", 2, "tab"),
        ("a: @x", 1, "put text with '@' between quotes"),
        ("a: [1, 2\nb: 3", 2, "that begins in line 1"),
        ("a: 'x", 1, "while scanning a quoted scalar"),
        ("a: x: y", 1, "put text with a colon between quotes"),
        ("a: 1\nseed:3\nb: 2", 3, "(write a space after the colon: `key: value`)"),
        (
            "a: 1\n  b: 2",
            2,
            "(indent it as the keys or items beside it, write a space after each colon",
        ),
        ("a:\n    b: 1\n  c: 2", 3, "(indent it as the keys or items beside it)"),
        ("- a\nb: 1", 2, "(indent it as the keys or items beside it)"),
        ("a: *nobody", 1, "undefined alias"),
        ("a: }", 1, "not valid YAML"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_broken_yaml_names_line_and_reason(text: str, line: int, words: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"f.yaml:{line}:")
    assert words in fault


@pytest.mark.parametrize("opening", ["[", "- ", "? ", "{a: "])
@pytest.mark.usefixtures("parser")
def test_a_deep_tower_is_refused_before_the_parser_overflows(opening: str) -> None:
    (fault,) = faults(opening * 100_000)
    assert "nested deeper than 64 levels" in fault


def _bomb(levels: int, width: int) -> str:
    lines = ["a: &b0 [" + ", ".join(["x"] * width) + "]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*b{level - 1}"] * width)
        lines.append(f"a{level}: &b{level} [{aliases}]")
    return "\n".join(lines)


@pytest.mark.parametrize("text", [_bomb(9, 10), _bomb(40, 2), _bomb(4, 100)])
@pytest.mark.usefixtures("parser")
def test_an_alias_bomb_has_one_message_and_takes_no_time(text: str) -> None:
    before = time.process_time()
    (fault,) = faults(text)
    assert "unfolded by aliases to more than 10,000 values" in fault
    assert time.process_time() - before < 2


@pytest.mark.usefixtures("parser")
def test_a_tower_of_aliases_is_refused() -> None:
    lines = ["a0: &b0 [x]", *(f"a{i}: &b{i} [*b{i - 1}]" for i in range(1, 100))]
    (fault,) = faults("\n".join(lines))
    assert "nested deeper than 64 levels by aliases" in fault


def test_an_alias_gives_a_value_of_its_own() -> None:
    value = load("a: &x {n: [1]}\nb: *x", "f.yaml").value()
    value["a"]["n"].append(2)
    assert value["b"] == {"n": [1]}


def test_faults_of_an_aliased_value_are_told_once() -> None:
    assert len(faults("a: &x {k: 1, k: 2}\nb: [*x, *x]")) == 1


def test_marks_name_values_and_keys() -> None:
    document = load("a: 1\nb:\n  - x\n  - {c: y}\n", "f.yaml")
    assert document.mark() == Mark(1, 1)
    assert document.mark(("b",)) == Mark(3, 3)
    assert document.mark(("b",), key=True) == Mark(2, 1)
    assert document.mark(("b", 1, "c")) == Mark(4, 9)
    assert document.mark(("b", 1, "c"), key=True) == Mark(4, 6)


def test_a_message_does_not_grow_with_the_text_it_is_about() -> None:
    fault = load("a: 1\n", "f.yaml").fault("x" * 5_000, ("a",), hint="y" * 5_000)
    assert (len(fault.message), len(fault.hint)) == (2_000, 2_000)


@pytest.mark.parametrize("path", [("b", "no"), ("b", 7), ("b", 0, "no")])
def test_the_mark_of_an_absent_value_is_that_of_the_nearest_above(
    path: tuple[str | int, ...],
) -> None:
    document = load("a: 1\nb:\n  - x\n", "f.yaml")
    assert document.mark(path).line == 3


def test_an_empty_file_has_no_value() -> None:
    document = load("# nothing\n", "f.yaml")
    assert document.value() is None
    assert document.mark(("a",)) == Mark(1, 1)


def test_byte_order_mark_and_windows_line_ends_are_accepted() -> None:
    assert load(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n", "f").value() == {
        "a": 1,
        "b": "x\ny\n",
    }


def test_a_file_without_end_is_refused() -> None:
    assert "longer than" in faults("#" * (MAX_CHARACTERS + 1))[0]


def test_the_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    load("a: 1", "f")
    assert gc.isenabled()
    gc.disable()
    try:
        load("a: 1", "f")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_made_while_the_collector_paused_is_old() -> None:
    with collector_paused():
        made: list[object] = [[]]
    assert not any(one is made for one in gc.get_objects(generation=0))
    assert any(one is made for one in gc.get_objects(generation=2))
    assert gc.get_freeze_count() == 0


def test_what_another_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        with collector_paused():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zl", "Zp"))),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text(st.sampled_from("ab1:-?# ")), children)
    ),
    max_leaves=20,
)


@settings(deadline=None)  # the machine may be busy
@given(JSON)
def test_json_is_yaml(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert load(text, "f").value() == value


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.sampled_from("0123456789+-.eExoabcdefINFnul_:~ "), max_size=8))
def test_reads_as_text_agrees_with_the_loader(text: str) -> None:
    try:
        value = parse_value(f"[{text}]", "x")
    except InvalidInputError:
        return
    if reads_as_text(text.strip()) and ":" not in text:
        assert value == [text.strip()]


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_fault(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        load(text, "f")
