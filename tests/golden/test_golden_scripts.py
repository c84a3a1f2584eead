"""Whole job scripts, byte by byte.

To accept a change: DFH_UPDATE_GOLDEN=1 pytest tests/golden, then read `git diff tests/golden`.
"""

from __future__ import annotations

import difflib
import os
import subprocess
from pathlib import Path

import pytest

from deepforge_hpc.pipeline.load import load_pipeline
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts

HERE = Path(__file__).parent
SITES = ("local", "slurm-generic")
JOBS = ("render", "render.gather", "train", "contained", "quick", "evaluate", "_final")
UPDATE = bool(os.environ.get("DFH_UPDATE_GOLDEN"))


@pytest.fixture(scope="module")
def plans():
    path = HERE / "project" / "pipeline.yaml"
    return {site: resolve(load_pipeline(path, site=site)) for site in SITES}


@pytest.fixture(scope="module")
def scripts(plans):
    return {site: render_scripts(plan) for site, plan in plans.items()}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("site", SITES)
def test_the_script_is_the_one_that_was_accepted(scripts, site, job):
    text = scripts[site][job]
    golden = HERE / site / f"{job}.sh"
    if UPDATE:
        golden.write_text(text, encoding="utf-8")
    accepted = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if text != accepted:
        lines = difflib.unified_diff(
            accepted.splitlines(), text.splitlines(), f"accepted {golden.name}", "now", lineterm=""
        )
        shown = "\n".join(lines)
        pytest.fail(
            f"the script of {job} on {site} has changed:\n{shown}\n\n"
            "If that is right: DFH_UPDATE_GOLDEN=1 pytest tests/golden, and read the git diff.",
            pytrace=False,
        )


def test_every_job_and_no_other_has_a_golden_script(scripts):
    for site in SITES:
        assert set(scripts[site]) == set(JOBS)
        assert {path.stem for path in (HERE / site).glob("*.sh")} == set(JOBS)


def test_shellcheck_has_nothing_to_say(shellcheck):
    paths = sorted(path for site in SITES for path in (HERE / site).glob("*.sh"))
    assert paths
    shellcheck(*paths)


@pytest.mark.parametrize("runtime", ["apptainer", "shifter", "podman-hpc", "pyxis", "ce"])
def test_shellcheck_has_nothing_to_say_of_a_container(plans, runtime, tmp_path, shellcheck):
    plan = plans["slurm-generic"]
    job = plan.job("contained")
    contained = job._replace(container=job.container._replace(runtime=runtime))
    jobs = tuple(contained if each is job else each for each in plan.jobs)
    text = render_scripts(plan._replace(jobs=jobs))["contained"]
    accepted = (HERE / "slurm-generic" / "contained.sh").read_text(encoding="utf-8")
    assert (text == accepted) is (runtime == job.container.runtime)
    script = tmp_path / "job.sh"
    script.write_text(text, encoding="utf-8")
    shellcheck(script)


def test_bash_reads_every_script():
    for site in SITES:
        for path in (HERE / site).glob("*.sh"):
            subprocess.run(["bash", "-n", path], check=True)


def test_nothing_that_a_user_wrote_freely_stands_in_a_script(scripts):
    for site in SITES:
        for script in scripts[site].values():
            assert "pwned" not in script
            assert str(HERE) not in script, "a script is relocatable"
