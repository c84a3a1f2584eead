"""Outside their adapters nothing asks for a scheduler by its name, class, facts or variables."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepforge_hpc
from deepforge_hpc.paths import data_folder
from deepforge_hpc.plugins import registry
from deepforge_hpc.runtime.launchers import _STARTERS

PACKAGE = Path(deepforge_hpc.__file__).parent
ADAPTERS = ("schedulers/", "runtime/schedulers/", "runtime/launchers/")
NAMES = set(registry.built_in("schedulers"))
ANY = "|".join(sorted(NAMES))
CLASSES = "|".join(name.title() for name in sorted(NAMES - {"local"}))
OTHER = r"(open)?pbs(pro)?|torque|lsf|sge"
COMMANDS = (
    r"s(batch|queue|acct|acctmgr|cancel|control|info|stat|prio|share|attach|bcast|alloc|report|diag)"
    r"|q(sub|stat|del|hold|rls)|flux +\w+"
)
VARIABLES = r"\b(SLURMD?|SBATCH|SQUEUE|PBS|FLUX)_"
HEADERS = r"#(SBATCH|PBS|BSUB)\b|# ?flux:"
MODULES = rf"deepforge_hpc\.(runtime\.)?schedulers\.({ANY})\w*"
VERSION = r"\bSlurm \d\d\.\d"
WORD = re.compile(
    rf"(?i:slurm(\.\w+)?|{ANY}|{OTHER})|SBATCH|.*({HEADERS}|{VARIABLES}|{MODULES}|{VERSION}).*"
    rf"|((/\S+/)?({COMMANDS})\b.*)",
    re.DOTALL,
)
# What stands within an f-string: a name of a scheduler, or the beginning of one of its variables.
PART = re.compile(rf"\b({ANY})(?![a-z])|{VARIABLES}|\b(SLURM|SBATCH|PBS|FLUX)$|{HEADERS}|{VERSION}")
CLASS = re.compile(rf"_?({CLASSES})(?![a-z])\w*|LocalScheduler|(is|on|for)_({ANY})")
MODULE = re.compile(rf"deepforge_hpc\.(runtime\.)?schedulers\.({ANY})")
# File: the words that it may say, and why.
EXCEPTIONS = {
    "plugins/registry.py": NAMES,  # the table of the adapters
    # Sections and keys of site files: `slurm:`, and the disk of a node, `local:`.
    "site/model.py": {"slurm", ".slurm", "slurm.version", "slurm.mpi_default", "SlurmFacts"},
    "site/place.py": {"SlurmFacts"},
    "plan/directives.py": {"local"},
    "plan/environment.py": {"local"},
    "pipeline/precedence.py": {"local"},  # the name of a site
    # What both halves of `local` read of its engine's folder; `dfh status` needs no more of them.
    "runtime/base/local_status.py": {"local"},
    "pipeline/installed.py": {"~/.local/lib/python", "/usr/local/lib/python"},
    # The package `probe` asks Slurm, and nothing else, what a machine has (Scheduler.is_probed).
    "probe/draft.py": {"slurm", "local"},
    "probe/visit.py": {"local"},
    "probe/commands.py": {"sinfo", "scontrol"},
    "probe/accounts.py": {"sacctmgr"},
    "probe/read.py": {
        "flux",
        "SLURM_CLUSTERS",
        "SLURM_VERSION",
        "deepforge_hpc.schedulers.slurm",
    },
    "site/identify.py": {"SLURM_CLUSTER_NAME", "SLURM_CONF"},  # which machine is this?
}
# What is said of variables in sentences, patterns and lists, by file.
SAID = {
    "plugins/registry.py",  # the places of the adapters in its table
    "probe/visit.py",  # on which node a job looks at its disks
    "testing/scheduler.py",  # the task of an array, as base.sh.j2 looks for it, and hostile names
    "site/words.py",  # variables that a site's text may name
    "runtime/base/redact.py",  # variables that a record may keep
    "plan/environment.py",  # export SLURM_CONF=...
    "probe/draft.py",  # commands that the file of a site of Slurm tells people
}


def said(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the words of schedulers in strings that are no docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            is_one = PART.search if id(node) in parts else WORD.fullmatch
            if id(node) not in prose and is_one(text):
                yield node.lineno, text


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the modules of adapters that are imported."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `..schedulers` of the runtime too; a name may be the module itself.
            module = node.module or ""
            base = f"deepforge_hpc.runtime.{module}" if node.level else module
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if found := MODULE.match(name):
                yield node.lineno, found[0]


def named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield attributes that are the name of a scheduler, and classes that are called by one."""
    for node in ast.walk(tree):
        # `.local` is the disk of a node.
        if isinstance(node, ast.Attribute) and node.attr in NAMES - {"local"}:
            yield node.lineno, f".{node.attr}"
        name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", "")
        if isinstance(name, str) and CLASS.fullmatch(name):
            yield getattr(node, "lineno", 0), name


@functools.cache
def found() -> list[tuple[str, int, str]]:
    return [*look()]


def look() -> Iterator[tuple[str, int, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(ADAPTERS):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for line, text in {*said(tree), *imported(tree), *named(tree)}:
                yield name, line, text


def test_only_adapters_know_schedulers_by_name() -> None:
    wrong = [
        f"{name}:{line}: {text!r}"
        for name, line, text in found()
        if text not in EXCEPTIONS.get(name, ()) and (name not in SAID or text in NAMES)
    ]
    assert wrong == []


def test_the_template_reads_no_variable_of_a_scheduler() -> None:
    text = (data_folder("job-templates") / "base.sh.j2").read_text(encoding="utf-8")
    assert re.findall(r"\b(?:SLURM|SBATCH|PBS|FLUX)_\w+", text) == []


def test_no_exception_is_left_over() -> None:
    there = {(name, text) for name, _, text in found()}
    assert [
        (name, word)
        for name, words in EXCEPTIONS.items()
        for word in words
        if (name, word) not in there
    ] == []
    assert SAID - {name for name, _ in there} == set()


def test_only_launchers_ask_which_program_starts_ranks() -> None:
    """What is true of it are fields of `runtime.launchers.Starter`."""
    asked = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if not path.relative_to(PACKAGE).as_posix().startswith(ADAPTERS)
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Compare)
        if any(getattr(side, "value", "") in _STARTERS for side in (node.left, *node.comparators))
    ]
    assert asked == []


@pytest.mark.parametrize(
    "line",
    [
        'scheduler == "slurm"', 'name in ("lsf", 1)', 'kind.upper() == "SLURM"', 'f"slurm-{kind}"',
        'title == "Slurm"', '{"pbs": 1}', 'os.environ["SLURMD_NODENAME"]', 'word.startswith("PBS_")',
        'f"SLURM_{name}"', '["squeue", "-h"]', '"flux jobs"', '"sprio -l"', 'b"#SBATCH"', '"# flux: -N1"',
        'import_module("deepforge_hpc.schedulers.slurm_rules")', '"srun of Slurm 22.05 forgets"',
        "from deepforge_hpc.schedulers import slurm_states", "from ..schedulers.local import Local",
        "isinstance(one, SlurmScheduler)", "site.slurm", "scheduler.is_slurm", "def is_local(): ...",
    ],
)  # fmt: skip
def test_the_look_finds_what_is_planted(line: str) -> None:
    tree = ast.parse(line)
    alone = tree.body[0]
    if isinstance(alone, ast.Expr) and isinstance(alone.value, ast.Constant):
        tree = ast.parse(f"found = {line}")
    assert [*said(tree), *imported(tree), *named(tree)]
