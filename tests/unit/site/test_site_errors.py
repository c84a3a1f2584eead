"""What a site's file says about messages of its scheduler adds up, and reaches the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import pipelines, submission
from deepforge_hpc.errors import InvalidInputError, SchedulerError
from deepforge_hpc.site.find import SiteFolder, load_site
from deepforge_hpc.submit.orphans import held_orphans

BASE = """\
site: base
scheduler: slurm
launchers: {none: {}}
errors: [{match: Invalid account, hint: Ask the base}]
"""


@pytest.fixture
def folders(tmp_path: Path) -> list[SiteFolder]:
    (tmp_path / "base.yaml").write_text(BASE)
    return [SiteFolder("project", tmp_path)]


def write(folders: list[SiteFolder], errors: str) -> None:
    text = f"site: own\nextends: base\nerrors:\n{errors}"
    (folders[0].path / "own.yaml").write_text(text)


def test_hints_of_a_site_stand_before_those_it_inherits(folders: list[SiteFolder]) -> None:
    write(folders, "  - {match: no tape, hint: Insert one}\n")
    found = load_site("own", folders)
    assert [item.hint for item in found.spec.errors] == ["Insert one", "Ask the base"]
    assert found.document.mark(("errors", 0, "match")).line == 4
    assert found.document.mark(("errors", 1, "match")).line == 4
    assert found.document.fault("x", ("errors", 1, "match")).file.endswith("base.yaml")


def test_a_wrong_hint_is_told_in_the_file_that_holds_it(folders: list[SiteFolder]) -> None:
    write(folders, "  - {match: '(', hint: Open}\n")
    with pytest.raises(InvalidInputError, match=r"own\.yaml:4:.*not a regular expression"):
        load_site("own", folders)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a site `own` whose sbatch refuses an account."""
    project = tmp_path / "project"
    (project / "site-configs").mkdir(parents=True)
    (project / "site-configs" / "own.yaml").write_text(BASE.replace("site: base", "site: own"))
    (project / "operations.py").write_text("def one() -> int:\n    value = 1\n    return value\n")
    (project / "pipeline.yaml").write_text(
        "pipeline: p\noperations: {one: {uses: 'operations.py:one'}}\n"
    )
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in {
        "sbatch": "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1",
        "squeue": "exit 0",
        "scancel": "exit 0",
        "scontrol": "echo 'ClusterName = base'",
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return project


def submit(project: Path) -> SchedulerError:
    request: Any = pipelines.Request(pipeline=project / "pipeline.yaml", site="own")
    with pytest.raises(SchedulerError) as caught:
        submission.submit(request)
    return caught.value


def test_a_refusal_is_explained_by_the_site_and_by_nobody_else(project: Path) -> None:
    hint = submit(project).hint
    assert hint == (
        "Ask the base. Then submit again; `dfh executions rm p-0001` removes this execution."
    )


def test_without_a_word_of_the_site_slurms_own_hint_stands(project: Path) -> None:
    sbatch = project.parent / "bin" / "sbatch"
    sbatch.write_text(sbatch.read_text().replace("account", "qos"))
    hint = submit(project).hint
    assert hint.startswith("The site file names a QOS")
    assert hint.count("sacctmgr") == 1
    assert hint.endswith(" Then submit again; `dfh executions rm p-0001` removes this execution.")


def test_a_host_without_slurms_configuration_uses_up_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/nonexistent/slurm.conf")
    error = submit(project)
    assert error.message == "SLURM_CONF names /nonexistent/slurm.conf, which cannot be read"
    assert "unset SLURM_CONF" in error.hint
    assert not (project / "executions").exists()


def test_a_command_that_cannot_run_after_all_leaves_no_broken_submission(project: Path) -> None:
    commands = project.parent / "bin"
    refusal = "sbatch: fatal: Unable to process configuration file"
    (commands / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2; exit 1\n")
    # The queue cannot be asked either, and is not.
    (commands / "squeue").write_text(f"#!/bin/sh\ntouch {project}/was-asked; exit 1\n")
    error = submit(project)
    assert "login node" in error.hint
    assert error.hint.endswith("Then: dfh resume p-0001")
    assert not (project / "was-asked").exists()
    assert held_orphans(project) == ()
