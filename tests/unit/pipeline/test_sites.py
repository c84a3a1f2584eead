"""Site files: found by precedence, read whole, told apart from what they are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.site.find import known_sites, site_folders
from deepforge_hpc.site.unknown import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder


@pytest.mark.parametrize("name", ["local", "slurm-generic"])
def test_shipped_sites_are_found_and_whole(project: ProjectFolder, name: str) -> None:
    found = project.load(name).site_file
    assert found is not None
    assert found.where == "shipped"
    assert set(found.spec.launchers) == {"none", "srun", "mpi", "horovod", "torchrun"}
    assert found.spec.dependency == "afterok"
    assert found.spec.account.required in ("no", UNKNOWN)
    assert found.spec.queues == ()
    assert found.spec.environment is not None
    assert found.spec.environment.python == "submitter"


def test_the_local_site_clamps_what_one_machine_lacks(project: ProjectFolder) -> None:
    spec = project.load("local").site
    assert spec is not None
    assert (spec.clamp.nodes, spec.clamp.gpus_per_node) == (1, 0)
    assert spec.clamp.cpus_per_node == len(os.sched_getaffinity(0))
    assert [name for name, one in sorted(spec.launchers.items()) if one.clamp] == [
        "horovod", "mpi", "srun", "torchrun",
    ]  # fmt: skip


def test_a_site_of_the_project_comes_before_the_users_and_that_before_ours(
    project: ProjectFolder, tmp_path: Path
) -> None:
    body = "site: local\nscheduler: local\ndescription: "
    environ = {"DEEPFORGE_HPC_PATH": f"{tmp_path}/none:{tmp_path}/extra"}

    def where() -> str:
        found = project.load("local", user_dir=tmp_path / "user", environ=environ).site_file
        assert found is not None
        return found.where

    assert where() == "shipped"
    project.write("extra/site-configs/local.yaml", body + "extra")
    assert where() == "$DEEPFORGE_HPC_PATH"
    project.write("user/sites/local.yaml", body + "user")
    assert where() == "user"
    project.write("site-configs/local.yaml", body + "project")
    assert where() == "project"


def test_a_site_may_be_given_by_path(project: ProjectFolder) -> None:
    path = project.write("my sites/dev.yaml", "site: dev\nscheduler: slurm\n")

    loaded = project.load(str(path))

    assert loaded.site is not None
    assert loaded.site.name == "dev"
    assert loaded.site_bytes == path.read_bytes()
    assert loaded.site_origin("scheduler") == "site dev (given):2"


def test_an_unknown_site_names_the_nearest(project: ProjectFolder) -> None:
    assert (
        project.one_fault("slurm-genric")
        == "no site 'slurm-genric' (did you mean 'slurm-generic'?)"
    )
    assert project.one_fault("zzz") == "no site 'zzz' (dfh site list shows the known)"
    assert project.one_fault("$(id)") == "no site '$(id)' (dfh site list shows the known)"
    assert "cannot be read" in project.one_fault("../../etc/x.yaml")


def test_known_sites_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "site-configs").mkdir()
    (tmp_path / "site-configs/local.yaml").write_text("x")
    (tmp_path / "site-configs/mine.yaml").write_text("x")

    names = known_sites(site_folders(tmp_path, None, {}))

    assert names == sorted({*names, "local", "mine", "slurm-generic"})


def test_a_queue_that_the_site_has_not_is_refused_where_the_site_is_known(
    project: ProjectFolder,
) -> None:
    project.edit("{epochs: 3}", "{epochs: 3}\n    resources: {queue: shard}")
    project.load(None)
    where = "pipeline.yaml:12:24: operations.train.resources.queue: "
    told = project.one_fault("anvil")
    assert told == f"{where}site anvil has no queue 'shard' (did you mean 'shared'?)"
    assert project.one_fault("local") == f"{where}site local has no queue 'shard'"
    project.edit("queue: shard", "queue: shared")
    project.load("anvil")
