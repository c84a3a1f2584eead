"""What Slurm, or some of its versions, does not take together."""

from __future__ import annotations

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.paths import data_folder
from deepforge_hpc.pipeline.load import Settings, load_text
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.plugins.scheduler import Conflict
from deepforge_hpc.schedulers.slurm_rules import conflicts, inherits_cpus

GPU_LINE = ("srun", "--gpus-per-task=1")
CPUS = {"cpus-per-gpu": "8", "cpus-per-task": "8"}


# header, launch line, first version that refuses, last that does not
RULES = [
    (CPUS, (), "23.11", "23.02"),
    ({}, ("srun", "--cpu-bind=rank"), "24.11", "24.05"),
    ({}, ("srun", "--cpu_bind=verbose,rank"), "24.11", "24.05"),
    ({"licenses": "a|b"}, (), "24.11", "25.05"),
    ({"hint": "nomultithread"}, ("srun", "--sockets-per-node=1"), "25.11.0", "25.05.9"),
]


@pytest.mark.parametrize(("header", "argv", "refusing", "taking"), RULES)
def test_a_rule_holds_for_its_versions_and_warns_where_the_version_is_unknown(
    header, argv, refusing, taking
):
    (found,) = conflicts(refusing, header, argv)
    assert found.is_certain
    assert f"in Slurm {refusing}" in found.text
    assert not list(conflicts(taking, header, argv))
    (maybe,) = conflicts(None, header, argv)
    assert not maybe.is_certain


@pytest.mark.parametrize("version", [None, "22.05", "26.05"])
@pytest.mark.parametrize(
    ("header", "argv", "says"),
    [
        ({"gres": "gpu:4", "tres-per-node": "gres/gpu:1"}, (), "GPUs are asked for in 2 forms at once: --gres, --tres-per-node"),
        ({"gres": "gpu:4", "tres-per-task": "cpu=2,gres/gpu=1"}, (), "GPUs are asked for in 2 forms at once: --gres, --tres-per-task"),
        ({"gres": "gpu:4", "gpus-per-node": "4"}, (), "GPUs are asked for in 2 forms at once: --gpus-per-node, --gres"),
        ({"gres": "gpu:a100:4"}, GPU_LINE, "GPUs are asked for in 2 forms"),
        ({"mem": "4G", "mem-per-cpu": "1G"}, (), "memory is asked for in 2 forms at once: --mem, --mem-per-cpu"),
        ({"mem": "4G"}, ("srun", "--mem-per-gpu=1G"), "memory is asked for in 2 forms"),
    ],
)  # fmt: skip
def test_some_exclude_each_other_in_every_version(version, header, argv, says):
    (found,) = conflicts(version, header, argv)
    assert found == Conflict(found.text)
    assert found.text.startswith(says)


@pytest.mark.parametrize(
    ("header", "argv"),
    [
        ({"gpus-per-task": "1"}, GPU_LINE),
        ({"gres": "tmpfs:10G", "gpus": "4"}, ()),
        ({"mem": "0", "exclusive": ""}, ("srun", "--mem=4G")),
        ({"gres": "gpu:4"}, ("mpirun", "--gpus-per-task=1")),
        ({"gres": "gpu:4"}, ()),
    ],
)
def test_what_can_stand_together(header, argv):
    assert not list(conflicts("26.05.1", header, argv))


@pytest.mark.parametrize(
    ("version", "inherited"),
    [(None, False), ("22.05.8", False), ("23.02", False), ("23.11", True), ("26.05.1", True)],
)
def test_srun_forgets_the_cores_for_some_versions(version, inherited):
    assert inherits_cpus(version) is inherited


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "ops.py").write_text(
        "def make(n: int = 1) -> dict:\n    value = {}\n    return value\n"
    )
    (tmp_path / "site-configs").mkdir()

    def make(request, version="unknown"):
        (tmp_path / "site-configs" / "mine.yaml").write_text(
            "site: mine\nextends: slurm-base\n"
            f"slurm: {{version: {version}}}\naccount: {{required: no}}\nrequest: {request}\n"
        )
        text = (
            "pipeline: p\noperations:\n  make: {uses: 'ops.py:make', launch: srun, resources: "
            "{gpus_per_node: 1}}\n"
        )
        settings = Settings(python="/opt/python", user_dir=None)
        path = tmp_path / "pipeline.yaml"
        return resolve(load_text(text.encode(), path, site="mine", settings=settings))

    return make


def test_a_file_that_asks_twice_is_refused_when_a_job_is_planned(plan):
    twice = "{gpu: gres, extra: [{directive: [gpus-per-node, '1']}]}"
    with pytest.raises(InvalidInputError, match="GPUs are asked for in 2 forms") as caught:
        plan(twice)
    assert "correct request and launchers in the file of site mine" in caught.value.faults[0].hint


def test_a_rule_of_an_unknown_version_is_a_warning_and_of_a_known_one_an_error(plan):
    choice = "{gpu: gres, extra: [{directive: [licenses, 'a|b']}]}"
    says = "there is no choice of --licenses (a|b)"
    assert f"site mine: {says} before Slurm 25.05; its version is unknown" in map(
        str, plan(choice).warnings
    )
    with pytest.raises(InvalidInputError, match=r"a\|b\) in Slurm 24\.05\.4"):
        plan(choice, "'24.05.4'")
    assert not [text for text in map(str, plan(choice, "'25.11.1'").warnings) if "licenses" in text]


def test_no_shipped_site_assumes_what_a_cluster_may_not_have():
    for path in data_folder("site-configs").glob("*.yaml"):
        if path.stem not in ("slurm-generic", "slurm-pyxis", "lab"):
            assert (
                "--mpi=pmix"
                not in path.read_text().partition("launchers:")[2].partition("facts:")[0]
            )
