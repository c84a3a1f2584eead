"""One name for one thing: a reader who meets a class by its name finds one."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepforge_hpc
from deepforge_hpc.runtime.base import layout
from deepforge_hpc.runtime.base.states import State

PACKAGE = Path(deepforge_hpc.__file__).parent
HALVES = {"Scheduler": {"plugins/scheduler.py", "runtime/schedulers/base.py"}}
"""One contract in two halves, each what plug-ins derive theirs from: on the login node, in a job."""


ROOMS = {
    "capacity": {"plan/capacity.py"},
    "lock": {"submit/lease.py", "submit/destinations.py"},
    "retry": {
        "schedulers/command.py",  # of a command
        "submit/chain.py",  # of jobs, and what comes before
        "submit/recovery.py",
    },
    "signals": {"runtime/base/signals.py"},
}
"""Words of the field, and the modules that say so in their first line: what grep leads to."""


VAGUE = {"told", "ours", "twin", "excuse", "healing", "crowd", "inbox", "surroundings"}
"""Names that were there, each for several things, and have given way to words of the field."""


def definitions(package: Path) -> dict[str, list[str]]:
    """Return the modules of each class name; a private one is a name too, for who reads the module."""
    found = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(path.relative_to(package).as_posix())
    return found


def test_a_class_name_is_defined_once() -> None:
    found = definitions(PACKAGE)
    assert len(found) > 200
    several = {name: set(places) for name, places in found.items() if len(places) > 1}
    assert several == HALVES, "give each thing a name of its own: docs/developer/architecture.md"


def rooms(word: str) -> set[str]:
    """Return the modules whose first line has a word."""
    docs = {
        path.relative_to(PACKAGE).as_posix(): ast.get_docstring(ast.parse(path.read_bytes())) or ""
        for path in PACKAGE.rglob("*.py")
    }
    pattern = re.compile(rf"\b{word}\b", re.IGNORECASE)
    return {name for name, text in docs.items() if pattern.search(text.partition("\n")[0])}


@pytest.mark.parametrize("word", ROOMS)
def test_a_word_of_the_field_leads_to_its_rooms(word: str) -> None:
    assert rooms(word) == ROOMS[word]


def compared_as_text(tree: ast.AST) -> list[int]:
    """Return the lines that compare a `state` with one of its words as text."""
    words = {state.value for state in State}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        if getattr(node.left, "attr", getattr(node.left, "id", "")) == "state"
        if {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)} & words
    ]


def test_a_state_is_compared_with_states() -> None:
    assert compared_as_text(ast.parse('if job.state not in ("succeeded", "reused"): pass')) == [1]
    found = {
        path.name: compared_as_text(ast.parse(path.read_bytes())) for path in PACKAGE.rglob("*.py")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


SENTENCES = {"expected", "explanation", "hint", "message", "reason"}
"""What a person reads: whoever needs a part of it as data has a field of its own for that."""


def read_back(tree: ast.AST) -> list[int]:
    """Return the lines that look into a sentence for what it says."""
    found = []
    for node in ast.walk(tree):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            looks = {"find", "index", "partition", "removeprefix", "rpartition", "startswith"}
            texts = [node.func.value] if node.func.attr in looks else []
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant):
            texts = node.comparators if " " in str(node.left.value) else []
        if {getattr(text, "attr", getattr(text, "id", "")) for text in texts} & SENTENCES:
            found.append(node.lineno)
    return found


def test_no_sentence_is_read_back_into_data() -> None:
    for line in (
        'error.message.removeprefix("x: ")',
        'expected.startswith("text")',
        '"has no" in hint',
    ):
        assert read_back(ast.parse(line)) == [1]
    found = {
        path.relative_to(PACKAGE).as_posix(): read_back(ast.parse(path.read_bytes()))
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", sorted(VAGUE))
def test_a_name_says_what_it_is_and_not_that_it_was_said(name: str) -> None:
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}:{token.start[0]}"
        for path in PACKAGE.rglob("*.py")
        if name in (text := path.read_text(encoding="utf-8"))
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME and token.string == name
    }
    assert found == set()


def test_what_may_have_been_meant_is_looked_for_in_two_places() -> None:
    """One for files and the command line, one for what travels with operations, which has not that."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "get_close_matches" in path.read_text(encoding="utf-8")
    }
    assert found == {"files/faults.py", "training/errors.py"}


def words(repository: Path) -> list[tuple[str, list[str]]]:
    """Return the words of each row of the table in the documentation, and the places it names."""
    page = (repository / "docs/developer/architecture.md").read_text(encoding="utf-8")
    table = page.partition("\n## Words\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:4:2] for line in table.splitlines() if line.startswith("| ")]
    return [(name.strip(), re.findall(r"`([^`]+)`", where)) for name, where in rows[1:]]


def test_the_places_of_the_words_are_there_and_say_them(repository: Path) -> None:
    table = words(repository)
    assert len(table) > 30
    for row, places in table:
        texts = ""
        for place in places:
            path = PACKAGE / place
            files = [path] if path.is_file() else sorted(path.glob("*.py"))
            assert files, f"{row}: {place} is not there"
            texts += " ".join(file.read_text(encoding="utf-8") for file in files)
        for word in row.split("; "):
            stem = word.split(" of ")[0].removesuffix("y").replace(" ", r"[\s_]*")
            assert re.search(stem, texts, re.IGNORECASE), f"{word}: not said in {places}"


# -- the names of files are those of runtime/base/layout.py

FILES = {
    part
    for kind in (layout.ExecutionLayout, layout.JobLayout, layout.LedgerLayout)
    for value in vars(kind).values()
    if isinstance(value, layout._Below)
    for part in value._name.split("/")
} | {value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
OTHERS = {"api/proof.py", "pipeline/builder.py"}
"""They write a `pipeline.yaml` into a project."""
ALONE = {name for name in FILES if re.fullmatch(r"\w+\.\w+", name)} - {
    "index.json",  # of figures, and of parts, too
    "pipeline.yaml",  # what users call their own
}
"""Names that nothing but these files has, however a text comes to them."""


def joined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that become a part of a path, as far as the code shows them."""
    for node in ast.walk(tree):
        found: list[ast.expr] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found = [node.right]
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found = node.args if name in {"Path", "joinpath", "glob", "rglob"} else []
        elif isinstance(node, ast.JoinedStr):
            texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            is_path = not re.search(r"\s", "".join(map(str, texts)))
            found = node.values[:1] if is_path and "/" in "".join(map(str, texts)) else []
        for part in found:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield node.lineno, part.value


def constants(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that stand in code, which docstrings do not."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def named_files(tree: ast.AST) -> list[str]:
    found = {one for one in joined(tree) if FILES.intersection(one[1].split("/"))}
    found |= {one for one in constants(tree) if ALONE.intersection(one[1].split("/"))}
    return [f"{line}: {text}" for line, text in sorted(found)]


def test_files_of_executions_and_ledgers_are_named_in_one_place() -> None:
    found = {
        place: named_files(ast.parse(path.read_bytes()))
        for path in PACKAGE.rglob("*.py")
        if (place := path.relative_to(PACKAGE).as_posix()) != "runtime/base/layout.py"
    }
    assert {place: lines for place, lines in found.items() if lines and place not in OTHERS} == {}
    assert {place for place, lines in found.items() if lines} == OTHERS


@pytest.mark.parametrize(
    "line",
    [
        'folder / "plan.json"', 'Path(ledger, "blobs", name)', 'f"jobs/{job}/job.sh"', 'top.glob("*/success.json")',
        'found = {"pyvenv.cfg", "execution.json"} & names', 'look("../execution.json")', 'f"{root} has {x}/state.json"',
    ],
)  # fmt: skip
def test_a_name_that_is_planted_is_found(line: str) -> None:
    assert named_files(ast.parse(line))
    assert not named_files(ast.parse('f"code/{name} was edited"\nrow["jobs"]\n"plan.json"'))
    assert not named_files(ast.parse('f"its state.json says {word}"'))
