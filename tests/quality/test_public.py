"""What others may rely on is said, can be imported, and is described."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import deepforge_hpc
from deepforge_hpc import job, testing, training

PACKAGE = Path(deepforge_hpc.__file__).parent


FRAMEWORKS = {"keras", "tensorflow", "torch", "horovod", "tensorboard"}
"""What a user of `training`, `operations` and event files has, and this test has not."""


def modules() -> list[Any]:
    found = pkgutil.walk_packages([str(PACKAGE)], "deepforge_hpc.")
    names = [one.name for one in found if not one.name.endswith("__main__")]
    return [module for name in names if (module := imported(name))]


def imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parts = ("deepforge_hpc.training.", "deepforge_hpc.operations.", "deepforge_hpc.api.events")
        is_for_users = name.startswith(parts)
        if error.name in FRAMEWORKS and is_for_users:
            return None
        raise


def section(repository: Path, page: str, heading: str) -> str:
    text = (repository / "docs/developer" / page).read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_cells(table: str) -> set[str]:
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def test_public_names_are_these_and_described(repository: Path) -> None:
    assert deepforge_hpc.__all__ == ["Pipeline", "__version__", "load_parts"]
    contracts = {
        name
        for module in modules()
        if module.__name__.startswith("deepforge_hpc.testing.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and name.endswith("Contract")
    }
    assert set(testing.__all__) == contracts
    told = first_cells(section(repository, "architecture.md", "What is public"))
    for module in (deepforge_hpc, testing, job):
        for name in module.__all__:
            assert getattr(module, name)
            assert f"{module.__name__}.{name}" in told
    for name in training.__all__:  # to look at them would import Keras
        assert f"deepforge_hpc.training.{name}" in told


def named_in(place: str) -> set[str]:
    """Return the names that a module has at its top, by its source: it may need a framework."""
    path = PACKAGE.parent / place.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        found.add(getattr(node, "name", ""))
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            found |= {one.value for one in node.value.elts if isinstance(one, ast.Constant)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_what_is_told_as_public_is_there(repository: Path) -> None:
    told = first_cells(section(repository, "architecture.md", "What is public"))
    names = {re.sub(r"^dfh_runtime\b", "deepforge_hpc.runtime", one) for one in told}
    names = {one for one in names if one.startswith("deepforge_hpc.")}
    assert len(names) > 30
    for name in names:
        module, _, last = name.rpartition(".")
        assert is_module(name) or last in named_in(module), name


def is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


ADAPTERS = ("format", "launcher", "library", "scheduler", "storage-adapter")
"""What an installed package may bring: the page of each is followed outside of this repository."""


def imported_names(source: str) -> set[str]:
    """Return what of ours a program imports, by its whole name, as far as its lines parse."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    named = {re.sub(r"^dfh_runtime\b", "deepforge_hpc.runtime", name) for name in found}
    return {name for name in named if name.startswith("deepforge_hpc.")} - {"deepforge_hpc.runtime"}


def programs_for_others(repository: Path) -> dict[str, list[str]]:
    """Return the Python of the pages for users and of those for adapters, by page."""
    folder = repository / "docs"
    adapters = [folder / f"developer/add-a-{name}.md" for name in ADAPTERS]
    found = {}
    for page in (*folder.glob("*.md"), *adapters):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        files = re.findall(r"^cat > \S+\.py <<'?END'?\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
        found[page.name] = [*blocks, *files]
    lsf = repository / "tests/fixtures/lsf"
    return {**found, "lsf": [path.read_text(encoding="utf-8") for path in lsf.glob("*.py")]}


def test_what_others_are_shown_to_import_is_public(repository: Path) -> None:
    page = section(repository, "architecture.md", "What is public")
    contracts = re.findall(r"`([^`]+)`", section(repository, "architecture.md", "Adapters"))
    told = {re.sub(r"^dfh_runtime\b", "deepforge_hpc.runtime", one) for one in first_cells(page)}
    told |= {f"deepforge_hpc.{name}" for name in contracts}
    shown = {
        place: set().union(*map(imported_names, programs))
        for place, programs in programs_for_others(repository).items()
    }
    for place in ("lsf", *(f"add-a-{name}.md" for name in ADAPTERS)):
        assert shown[place], f"{place} shows no import"
    whole = set(filter(is_module, told))
    told |= {name.rpartition(".")[0] for name in told}  # by which its names are reached
    left = {
        (place, name)
        for place, names in shown.items()
        for name in names
        if name not in told and name.rpartition(".")[0] not in whole
    }
    assert left == set()


def test_every_public_method_is_described_by_itself_or_by_what_it_overrides() -> None:
    bare = [
        f"{module.__name__}.{owner.__name__}.{name}"
        for module in modules()
        for owner in vars(module).values()
        if inspect.isclass(owner) and owner.__module__ == module.__name__
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
        if not owner.__name__.startswith("_") and not name.startswith("_")
        if (name, module.__package__) != ("execute", "deepforge_hpc.operations")  # it is the class
        if not inspect.getdoc(getattr(owner, name))
        if not any(name in vars(base) for base in owner.__mro__ if is_of_a_library(base))
    ]
    assert bare == []


def is_of_a_library(base: type) -> bool:
    """Tell whether a class is a framework's, whose own documentation describes its methods."""
    return base.__module__.partition(".")[0] in FRAMEWORKS


def kinds_of(module: Any, node: ast.expr) -> set[str]:
    """The words that an expression for the kind of a notice may be, as far as it shows them."""
    if isinstance(node, ast.IfExp):
        return kinds_of(module, node.body) | kinds_of(module, node.orelse)
    if isinstance(node, ast.Constant):
        return {node.value}
    return {vars(module)[node.id]} if isinstance(node, ast.Name) and node.id.isupper() else set()


def kinds_in(module: Any) -> set[str]:
    source = inspect.getsource(module)
    makers = {"Notice", "notice"}
    if "doctor.finding" in source:
        makers |= {"ok", "warn", "error"}
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "kind")]
            found |= kinds_of(module, given[0]) if name in makers and given else set()
    return found - {""}


def test_the_kinds_of_notices_are_those_of_the_documentation(repository: Path) -> None:
    told = first_cells(section(repository, "architecture.md", "Notices"))
    of_ledger = first_cells(section(repository, "architecture.md", "The ledger"))
    assert set().union(*map(kinds_in, modules())) - told - of_ledger == set()
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert {kind for kind in told if f'"{kind}"' not in code} == {"dfh prov verify"}
