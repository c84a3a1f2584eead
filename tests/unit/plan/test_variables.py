"""`env:` and `--set OPERATION.resources.KEY`: what a pipeline says beside its code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.pipeline.load import Settings, load_pipeline
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.runtime.base.plan import Plan

PIPELINE = """\
pipeline: p
environment: {python: /usr/bin/python3}
env: {SHARED: all, THREADS: "4"}
operations:
  one: {uses: "ops.py:one", env: {THREADS: "8", KEEP: $SCRATCH/keep}}
  two: {uses: "ops.py:two", launch: srun, resources: {nodes: 2, time: 1h}}
"""
SITE = """\
site: x
extends: slurm-base
environment_sets: {a: {env: {SHARED: site, OF_SITE: "1"}}}
launchers: {srun: {argv: [srun], env: {THREADS: "1", OF_LAUNCH: "1"}}}
"""
Make = Callable[..., Plan]


@pytest.fixture
def plan(tmp_path: Path) -> Make:
    functions = (f"def {name}() -> int:\n    x = 1\n    return x\n" for name in ("one", "two"))
    (tmp_path / "ops.py").write_text("".join(functions))
    (tmp_path / "site-configs").mkdir()
    (tmp_path / "site-configs/x.yaml").write_text(SITE)

    def make(text: str = PIPELINE, *overrides: str) -> Plan:
        (tmp_path / "pipeline.yaml").write_text(text)
        settings = Settings(overrides=overrides)
        return resolve(load_pipeline(tmp_path / "pipeline.yaml", site="x", settings=settings))

    return make


def origin(plan: Plan, key: str) -> str:
    return next(one.source for one in plan.origins if one.key == key)


def told(error: pytest.ExceptionInfo[InvalidInputError]) -> list[str]:
    return [str(fault) for fault in error.value.faults]


def test_an_operation_wins_over_the_pipeline_and_that_over_the_site(plan: Make) -> None:
    found = plan()
    one, two = (dict(found.job(name).env) for name in ("one", "two"))
    assert one == {"SHARED": "all", "OF_SITE": "1", "THREADS": "8", "KEEP": "$SCRATCH/keep"}
    assert two == {"SHARED": "all", "OF_SITE": "1", "THREADS": "4"}
    assert dict(found.job("two").launch.env).get("THREADS") is None
    assert dict(found.job("two").launch.env)["OF_LAUNCH"] == "1"
    assert 'export KEEP="${SCRATCH:-}/keep"' in render_scripts(found)["one"]
    assert dict(found.job("_final").env) == {"SHARED": "site", "OF_SITE": "1"}
    assert origin(found, "jobs.one.env.THREADS").endswith("pipeline.yaml:5")
    assert origin(found, "jobs.two.env.THREADS").endswith("pipeline.yaml:3")


def test_a_variable_is_part_of_the_key_of_the_jobs_that_have_it(plan: Make) -> None:
    def keys(text: str) -> list[str]:
        return [plan(text).job(name).plan_key for name in ("one", "two")]

    first = keys(PIPELINE)
    assert keys(PIPELINE.replace('THREADS: "8"', 'THREADS: "9"'))[1] == first[1]
    assert keys(PIPELINE.replace('THREADS: "8"', 'THREADS: "9"'))[0] != first[0]
    changed = keys(PIPELINE.replace("SHARED: all", "SHARED: other"))
    assert not {*changed} & {*first}
    without = PIPELINE.replace('env: {SHARED: all, THREADS: "4"}\n', "")
    assert keys(without + "env: {}\n")[1] == keys(without)[1]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("WANDB_API_KEY: abc", "env.WANDB_API_KEY: looks like a secret"),
        ("A: 'https://me:word@example.org/'", "env.A: looks like a secret"),
        ("A: ghp_abcdefghijklmnopqrstuvwxyz0123456789", "env.A: looks like a secret"),
        ("A: secret:wandb", "env.A: looks like a secret"),
        ("SLURM_NTASKS: '2'", "SLURM_NTASKS is not for a pipeline to set"),
        ("SLURMD_NODENAME: x", "SLURMD_NODENAME is not for a pipeline to set"),
        ("PBS_JOBID: '2'", "PBS_JOBID is not for a pipeline to set"),
        ("FLUX_JOB_ID: '2'", "FLUX_JOB_ID is not for a pipeline to set"),
        ("RANK: '2'", "RANK is not for a pipeline to set"),
        ("PYTHONPATH: lib", "PYTHONPATH is not for a pipeline to set"),
        ("A: 'x$(id)'", "text without quotes"),
        ("A: $FOO", "$FOO may not be used here"),
        ("A: 8", "(quote it)"),
        ("'A B': x", "the name of a variable"),
    ],
)
def test_what_no_variable_may_be(plan: Make, entry: str, message: str) -> None:
    text = PIPELINE.replace('env: {SHARED: all, THREADS: "4"}', f"env: {{{entry}}}")
    with pytest.raises(InvalidInputError) as caught:
        plan(text)
    (fault,) = told(caught)
    assert "pipeline.yaml:3" in fault
    assert message in fault
    assert "word@" not in fault
    assert "ghp_" not in fault


def test_sizes_come_from_the_command_line(plan: Make) -> None:
    found = plan(PIPELINE, "two.resources.time=4h", "two.resources.nodes=3")
    size = found.job("two").resources
    assert (size.time_s, size.nodes) == (4 * 3600, 3)
    assert origin(found, "jobs.two.resources.time_s") == "--set two.resources.time"
    assert origin(found, "jobs.two.resources.ntasks_per_node") == "default"
    assert found.job("two").plan_key != plan().job("two").plan_key, "of another number of ranks"
    assert plan(PIPELINE, "two.resources.time=4h").job("two").plan_key == plan().job("two").plan_key


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("two.resources.time=90", "--set two.resources.time: time: expected a duration"),
        ("two.resources.partition=gpu", "--set two.resources.partition: unknown key 'partition'"),
        ("tow.resources.time=4h", "--set tow.resources.time: no operation 'tow' (did you mean"),
        ("two.resources.=4h", "is not operation.attribute=value"),
        ("two.resources.nodes.x=4", "is not operation.attribute=value"),
    ],
)
def test_a_wrong_size_is_told_with_its_option(plan: Make, override: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan(PIPELINE, override)
    (fault,) = told(caught)
    assert message in fault


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("partition: gpu", "write queue:"),
        ("gpus: 2", "write gpus_per_node"),
        ("exclude: n1", "request: {extra:"),
        ("mail-type: END", "no mail is sent: dfh status --watch"),
        ("mem: 4GiB", "write mem_per_node"),
        ("walltime: 1h", "write time"),
    ],
)
def test_keys_of_others_are_told_which_they_are_here(plan: Make, key: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan(PIPELINE.replace("time: 1h", key))
    (fault,) = told(caught)
    assert f"unknown key {key.partition(':')[0]!r}" in fault
    assert says in fault


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("launch: srun,", "launch: srun, gpus: 2,", "under resources: write gpus_per_node"),
        ("launch: srun,", "launch: srun, partition: x,", "under resources: write queue:"),
        ("launch: srun,", "launch: srun, mail_type: END,", "no mail is sent: "),
        ("launch: srun,", "launch: srun, time: 4h,", "it is a key of resources:"),
        ("operations:", "exclude: n1\noperations:", "write request: {extra:"),
        ("time: 1h", "env: {A: b}", "it is a key of an operation"),
        ("time: 1h", "gres: {gpu: 1}", "GPUs are gpus_per_node"),
    ],
)
def test_a_key_at_another_level_is_told_where_it_belongs(
    plan: Make, old: str, new: str, says: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan(PIPELINE.replace(old, new, 1))
    (fault,) = told(caught)
    assert says in fault
