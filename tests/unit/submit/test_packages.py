"""What a submission says of results that were made with other packages than there are now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deepforge_hpc.ledger.store import Ledger
from deepforge_hpc.pipeline.installed import Installed
from deepforge_hpc.runtime.base.plan import Environment, Job, JobKind, Plan
from deepforge_hpc.runtime.state.record import write_blob
from deepforge_hpc.submit.packages import changed_packages, unseen_packages
from deepforge_hpc.submit.reuse import Reused

HERE = Environment(python=sys.executable)


def told(tmp_path: Path, *, container: str = "", **versions: str) -> list[str]:
    """Return what is said of a result that was made with other versions of these, or without them."""
    software = Installed().software(HERE, ["pandas"])
    before = {**Installed().below(HERE, ["pandas"]), "unrelated": "1", **versions}
    lines = [f"{name}=={version}\n" for name, version in before.items() if version]
    (tmp_path / "FORMAT").write_text('{"format": 1, "hash": "sha256"}')
    made_with = write_blob(tmp_path, "".join(lines).encode())
    environment = HERE._replace(container=container)
    job = Job("fit", "fit", environment=environment, software=software)
    reused = Reused(made_with={"fit": {made_with, "sha256:" + "0" * 64}})
    plan = Plan("demo", "local", "local", (job, Job("other", "other")))
    return [
        one.text
        for one in changed_packages(plan, reused, Ledger(tmp_path), Installed(), "dfh submit")
    ]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({}, ""),
        ({"unrelated": "2"}, ""),
        ({"numpy": "0.9"}, "need: numpy {numpy} (was 0.9)"),
        ({"numpy": ""}, "need: numpy {numpy} (was not there)"),
        # Modules gave the job another pandas than the one that is seen from here.
        ({"numpy": "0.9", "pandas": "0.1"}, ""),
    ],
)
def test_only_what_the_imported_packages_need_counts(
    versions: dict[str, str], expected: str, tmp_path: Path
) -> None:
    found = told(tmp_path, **versions)
    now = Installed().below(HERE, ["pandas"])
    wanted = "reused: fit, made with other versions of what the imported packages "
    assert found == ([wanted + expected.format(**now)] if expected else [])


def test_of_a_container_the_image_stands_for_all(tmp_path: Path) -> None:
    assert told(tmp_path, container="/an/image.sif", numpy="0.9") == []


def unseen(*jobs: Job) -> list[str]:
    """Return what is said of jobs of which the first task was reused."""
    plan = Plan("demo", "base", "slurm", (*jobs, Job("other", "other")))
    reused = Reused(units=frozenset((job.name, 0) for job in jobs))
    return list(map(str, unseen_packages(plan, reused, "dfh submit --no-reuse")))


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        (Environment(python="python3"), "python3"),
        (Environment(python="python3", modules=("pytorch/2.1", "rocm")), "python3 (pytorch/2.1, rocm)"),
        (Environment(conda="ml"), "conda environment ml"),
        (Environment(container="docker://r/x:latest"), "docker://r/x:latest"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_said_once(environment: Environment, named: str) -> None:
    # PYTHONPATH shows a package, and not what the interpreter has besides.
    software = (("own", "sha256:1"),)
    gather = Job("fit.gather", "fit", JobKind.GATHER, environment=environment)
    jobs = (Job("fit", "fit", environment=environment, software=software), gather)
    (told,) = unseen(*jobs, Job("use", "use", environment=environment))
    words = f"reused: fit, use, though versions of {named} cannot be seen from here "
    assert told == f"{words}(to run all again: dfh submit --no-reuse)"


@pytest.mark.parametrize("seen", [("python", "3.11"), ("image", "sha256:1")])
def test_of_what_can_be_seen_nothing_is_said(seen: tuple[str, str]) -> None:
    assert unseen(Job("fit", "fit", environment=HERE, software=(seen,))) == []


def test_a_package_that_no_folder_shows_is_named() -> None:
    software = (("python", "3.11"), ("acme", ""), ("numpy", "2.0"))
    (told,) = unseen(Job("fit", "fit", environment=HERE, software=software))
    assert told.startswith("reused: fit, though versions of acme cannot be seen from here ")
