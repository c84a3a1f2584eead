"""What each job runs in is looked for: interpreter, conda environment, image, modules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.doctor import software
from deepforge_hpc.runtime.base.plan import ContainerLaunch, Environment, Job, Plan
from deepforge_hpc.schedulers.command import Completed


def plan(*jobs: Job) -> Plan:
    return Plan(pipeline="p", site="here", scheduler="slurm", jobs=jobs)


def check(environment: Environment, found: str | None = None, **answer: Any) -> tuple[str, str]:
    def ask(argv: Sequence[str]) -> Completed | None:
        assert argv[0] == "conda"
        return Completed(argv=tuple(argv), stderr="", **answer) if answer else None

    (item,) = software.check_software({environment: "a"}, lambda _: found, ask, here=False)
    assert item.next or item.level == "info"
    return (item.kind, item.level)


@pytest.mark.parametrize(
    ("environment", "found", "level"),
    [
        (Environment(python="/venv/bin/python"), None, "error"),
        (Environment(python="python9"), None, "error"),
        (Environment(python="python9", modules=("python",)), None, "warning"),
        (Environment(python="/venv/bin/python", modules=("python",)), None, "error"),
        (Environment(python="python3"), "/home/me/bin/python3", "info"),
        (Environment(python="python3"), "/tmp/x/python3", "warning"),
    ],
)
def test_an_interpreter_is_there_and_is_seen_by_other_nodes(
    environment: Environment, found: str | None, level: str
) -> None:
    assert check(environment, found) == ("python", level)


def test_a_folder_of_one_node_may_not_be_seen_and_is_no_matter_on_one_machine() -> None:
    used = {Environment(python="python3"): "a"}
    (finding,) = software.check_software(used, lambda _: "/tmp/python3", lambda _: None, here=False)
    assert finding.text == "/tmp/python3: compute nodes may not see this folder"
    (finding,) = software.check_software(used, lambda _: "/tmp/python3", lambda _: None, here=True)
    assert finding.level == "info"


def test_each_environment_of_the_jobs_is_looked_at_once() -> None:
    ours, theirs = Environment(python="/x/python"), Environment(conda="torch")
    jobs = [Job(name=name, operation=name, environment=ours) for name in "abcde"]
    found = software.environments(plan(*jobs, Job(name="f", operation="f", environment=theirs)))
    assert found == {ours: "a, b, c and 2 more", theirs: "f"}


ENVS = json.dumps({"envs": ["/opt/conda", "/opt/conda/envs/torch"]})


@pytest.mark.parametrize(
    ("name", "answer", "level"),
    [
        ("torch", {"returncode": 0, "stdout": ENVS}, "info"),
        ("base", {"returncode": 0, "stdout": ENVS}, "info"),
        ("tf", {"returncode": 0, "stdout": ENVS}, "error"),
        ("tf", {"returncode": 0, "stdout": "no JSON"}, "error"),
        ("torch", {"returncode": 1, "stdout": ""}, "warning"),
        ("torch", {}, "warning"),
        ("/nowhere/envs/torch", {}, "error"),
    ],
)
def test_a_conda_environment_is_one_that_conda_lists(
    name: str, answer: dict[str, Any], level: str
) -> None:
    assert check(Environment(conda=name), **answer) == ("conda", level)


def test_a_conda_environment_by_its_folder_needs_no_conda_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "_OF_ONE_NODE", ())
    (tmp_path / "conda-meta").mkdir()
    assert check(Environment(conda=str(tmp_path))) == ("conda", "info")


def test_an_image_is_a_file_that_is_there_or_has_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "_OF_ONE_NODE", ())
    image = tmp_path / "x.sif"
    assert check(Environment(container=str(image))) == ("container", "error")
    image.touch()
    assert check(Environment(container=str(image))) == ("container", "info")
    assert check(Environment(container="docker://python:3.12")) == ("container", "info")


@pytest.mark.parametrize(
    ("runtime", "have", "said"),
    [
        ("apptainer", "singularity", []),
        ("apptainer", "", ["apptainer or singularity is not on PATH here"]),
        ("shifter", "apptainer", ["shifter is not on PATH here"]),
        ("pyxis", "", []),
    ],
)
def test_what_starts_an_image_is_looked_for(runtime: str, have: str, said: list[str]) -> None:
    job = Job(name="a", operation="a", container=ContainerLaunch(runtime=runtime))
    found = software.check_runtimes(plan(job), lambda name: name if name == have else None)
    assert [item.text for item in found] == said


def test_a_package_that_no_folder_shows_is_told() -> None:
    one = Environment(python="/x/python3")
    jobs = [
        Job(name=name, operation=name, environment=one, software=(("python", "3.11"), *software))
        for name, software in (("a", (("numpy", ""),)), ("b", (("numpy", ""), ("h5py", "3.1"))))
    ]
    (found,) = software.check_packages(plan(*jobs))
    assert found.text == "numpy: not installed in /x/python3, and a, b may import it"
    assert found.level == "warning"


@pytest.mark.parametrize(
    ("modules", "available", "levels"),
    [
        (("cuda", "gcc/13.2.0"), ("cuda/12.4", "gcc/13.2.0"), ["info"]),
        (("cuda/11",), ("cuda/12.4", "cuda/11.8"), ["warning"]),
        (("cuda", "gcc/14"), ("cuda/12.4", "gcc/13.2.0"), ["warning"]),
        (("cuda",), (), ["warning"]),
        ((), (), []),
    ],
)
def test_modules_of_the_jobs_are_among_those_that_are_there(
    modules: tuple[str, ...], available: tuple[str, ...], levels: list[str]
) -> None:
    of_site, own = modules[:1], modules[1:]
    job = Job(name="a", operation="a", modules=of_site, environment=Environment(modules=own))
    found = software.check_modules(plan(job), available)
    assert [item.level for item in found] == levels
