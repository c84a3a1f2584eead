"""The documentation builds, and its commands run as they stand there.

In README.md and docs/, a comment before a fenced block says what it is:

    <!-- run -->              a `console` block ("$ command", then what it prints) or a `bash` block: run
    <!-- run: slurm -->       the same, on a private Slurm cluster
    <!-- file: NAME -->       what NAME holds from here on
    <!-- not run: WHY -->     a command that this test leaves alone

The blocks of a page run in order in one copy of the repository, as a user whose home is empty. What
a `console` block shows must be printed in that order; `...` in it stands for anything. A block of
commands without such a comment is a fault of the page, but for the two commands that set up all they
need: CI is one of them, and the tests of the example run the other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")]
)
DEVELOPERS = [REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs/developer").glob("*.md")]
COMMANDS = ("console", "bash", "sh", "shell")
RUN = ("run", "run: slurm")
SELF_CONTAINED = ("bash examples/redshift/demo.sh", "bash tests/run.sh")
_SOURCE = re.compile(r"(?<![\w./$*-])(?:[\w.-]+/)+[\w.-]+\.(?:py|j2|txt)\b")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*?) -->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    comment: str
    language: str
    text: str
    line: int

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """Commands, each with the lines that the page shows below it."""
        if self.language != "console":
            return [(self.text, [])]
        steps: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps and steps[-1][0].endswith("\\") and not steps[-1][1]:
                steps[-1] = (f"{steps[-1][0]}\n{line}", [])
            elif line.strip():
                assert steps, f"line {self.line}: a console block begins with a command"
                steps[-1][1].append(line)
        return steps


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["comment"] or "",
            found["language"],
            found["text"],
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


def is_self_contained(block: Block) -> bool:
    return all(line.startswith(SELF_CONTAINED) for line in block.text.splitlines() if line)


def pages_with_commands() -> list[object]:
    pages = []
    for page in PAGES:
        comments = {block.comment for block in blocks_of(page)}
        marks = [pytest.mark.slurm] if "run: slurm" in comments else []
        if comments.intersection(RUN):
            pages.append(pytest.param(page, marks=marks, id=str(page.relative_to(REPOSITORY))))
    return pages


def shows(printed: str, expected: list[str]) -> str | None:
    """Return the first expected line that is not printed after the ones before it."""
    rest = printed.splitlines()
    for line in expected:
        if line.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
        while rest and not pattern.fullmatch(rest[0].strip()):
            rest.pop(0)
        if not rest:
            return line
        rest.pop(0)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_of_a_page_is_run_or_says_why_not(page: Path) -> None:
    unmarked = [
        f"{page.name}:{block.line}"
        for block in blocks_of(page)
        if block.language in COMMANDS
        and block.comment not in RUN
        and not block.comment.startswith("not run: ")
        and not is_self_contained(block)
    ]
    assert not unmarked


@pytest.mark.parametrize("page", pages_with_commands())
def test_commands_of_a_page_run_and_print_what_it_shows(
    page: Path,
    tracked: list[Path],
    clean_environment: dict[str, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if request.node.get_closest_marker("slurm"):
        clean_environment |= request.getfixturevalue("slurm_cluster").environ
    copy = tmp_path / "deepforge-hpc"
    for path in tracked:
        target = copy / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    path = os.pathsep.join((str(Path(sys.executable).parent), clean_environment["PATH"]))
    where = copy
    for block in blocks_of(page):
        name = block.comment.removeprefix("file: ")
        if name != block.comment:
            target = where / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        if block.comment not in RUN:
            continue
        for command, expected in block.steps:
            place = f"{page.name}:{block.line}: {command.strip()}"
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"{command}\npwd >{tmp_path / 'pwd'}"],
                cwd=where,
                env=clean_environment | {"PATH": path, "COLUMNS": "100"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=280,
            )
            assert done.returncode == 0, f"{place}\n{done.stdout}"
            missing = shows(done.stdout, expected)
            assert missing is None, f"{place}\nnot printed: {missing}\nprinted:\n{done.stdout}"
            where = Path((tmp_path / "pwd").read_text(encoding="utf-8").strip())


def test_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "site" / "index.html").is_file()
    page = (tmp_path / "site" / "pipeline-file" / "index.html").read_text(encoding="utf-8")
    assert '<span class="nt">pipeline</span>' in page  # code is coloured,
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//', page) == []  # by us


@pytest.mark.parametrize("page", DEVELOPERS, ids=lambda page: page.name)
def test_every_source_that_a_page_for_developers_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made = set(re.findall(r"> (\S+/operations\.py)\b", text))
    assert [
        name
        for name in sorted({*_SOURCE.findall(text)} - made)
        if "NAME" not in name
        and not any((REPOSITORY / folder / name).exists() for folder in ("", "deepforge_hpc"))
    ] == []
