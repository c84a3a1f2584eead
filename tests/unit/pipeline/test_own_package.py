"""How `deepforge_hpc.job`, `.training` and `.operations` come into an execution."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import deepforge_hpc
from deepforge_hpc.pipeline import frozen_package

if TYPE_CHECKING:
    from conftest import ProjectFolder

OWN = "library/deepforge_hpc/"
BODY = "\ndef op(x):\n    y = {}\n    return y\n"


def use(project: ProjectFolder, source: str) -> None:
    project.edit("operations/all.py:evaluate", "operations/op.py:op")
    project.edit("inputs: {history: train.history}", "inputs: {x: train.history}")
    project.edit("from: evaluate.score}", "from: evaluate.y}")
    project.write("operations/op.py", source)


def test_what_is_imported_comes_along_is_searched_first_and_counts(
    project: ProjectFolder,
) -> None:
    use(project, "from deepforge_hpc.job import ranks\n" + BODY.format("ranks().rank"))
    loaded = project.load()
    files = loaded.snapshot.files
    assert {name for name in files if name.startswith(OWN)} == {
        f"{OWN}{name}.py"
        for name in (
            "__init__",
            *(f"job/{part}" for part in ("__init__", "checkpoint", "metrics", "ranks", "stop")),
        )
    }
    assert files[f"{OWN}__init__.py"].data == Path(frozen_package.__file__).read_bytes()
    operation = loaded.operations["evaluate"]
    assert operation.source.search == ("project/operations", "project", "library")
    paths = {piece.path for piece in operation.pieces}
    assert f"{OWN}job/ranks.py" in paths
    assert not any(path.endswith("stop.py") for path in paths)  # it is not what this one is
    assert "deepforge_hpc" not in dict(operation.software)


@pytest.mark.parametrize(
    "line", ["from deepforge_hpc import Pipeline", "import deepforge_hpc", "import numpy"]
)
def test_what_a_job_does_not_have_is_left_to_its_environment(
    project: ProjectFolder, line: str
) -> None:
    use(project, line + BODY.format("x"))
    loaded = project.load()
    assert not any(name.startswith("library/") for name in loaded.snapshot.files)
    assert loaded.operations["evaluate"].source.search == ("project/operations", "project")


def test_uses_finds_what_a_package_only_hands_on(
    project: ProjectFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "handed_on"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from handed_on.inner import op as op\nfrom .inner import op\n"
    )
    (package / "inner.py").write_text("from deepforge_hpc.job import log\n" + BODY.format("x"))
    monkeypatch.syspath_prepend(str(package.parent))
    use(project, "")
    project.edit("operations/op.py:op", "handed_on:op")
    loaded = project.load()
    source = loaded.operations["evaluate"].source
    assert (source.module, source.object) == ("library/handed_on/inner.py", "op")
    assert source.search == ("library",)
    assert f"{OWN}job/metrics.py" in loaded.snapshot.files


def test_other_modules_of_ours_hold_no_operations(project: ProjectFolder) -> None:
    use(project, "")
    project.edit("operations/op.py:op", "deepforge_hpc.api.logs:op")
    (fault,) = project.faults()
    assert "deepforge_hpc.api.logs is no library of operations" in str(fault)


def test_the_frozen_package_knows_all_names_that_stay_behind() -> None:
    public = {name for name in deepforge_hpc.__all__ if not name.startswith("_")}
    assert set(frozen_package._ELSEWHERE) == public
    package = Path(deepforge_hpc.__file__).parent
    assert all((package / part / "__init__.py").is_file() for part in frozen_package.PARTS)
    tree = ast.parse(Path(frozen_package.__file__).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imported} == {"__future__", "collections.abc"}
