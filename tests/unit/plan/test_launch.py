"""Launch lines, bindings and containers, from data made for the purpose; shell is run for real."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from deepforge_hpc.plan.containers import container_of
from deepforge_hpc.plan.environment import site_environment
from deepforge_hpc.plan.facts import Facts, holds
from deepforge_hpc.plan.launch import gpu_option, launch_command
from deepforge_hpc.plugins.scheduler import scheduler_named
from deepforge_hpc.runtime.base.plan import Resources
from deepforge_hpc.site.conditions import When
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.place import Network, SlurmFacts
from deepforge_hpc.site.queue import NodeType, Queue
from deepforge_hpc.site.request import (
    Binding,
    Containers,
    EnvironmentSet,
    GpuRequest,
    LaunchMethod,
    Modules,
    RequestStyle,
)
from deepforge_hpc.site.unknown import UNKNOWN, Range

SRUN = LaunchMethod(argv=("srun", "-n{world_size}", "{cpu_bind}", "{gpu_bind}"))
TABLE = Binding(
    style="mask", gpu_core_base=(12, 8, 4, 0), width=4, skip_first=1, needs_full_node=True
)


def site(**parts):
    return SiteSpec(
        **{
            "name": "s",
            "scheduler": "slurm",
            "launchers": {"srun": SRUN},
            "binding": TABLE,
            **parts,
        }
    )


def facts(gpus=4, ranks=4, cores=2, queue=None, **more):
    size = Resources(gpus_per_node=gpus, ntasks_per_node=ranks, cpus_per_task=cores)
    return Facts(resources=size, launch="srun", queue=queue, **more)


def argv(spec, job, container=None):
    return command(spec, job, container).argv


def command(spec, job, container=None, name="srun"):
    return launch_command(spec, scheduler_named(spec.scheduler), name, job, container)


def test_masks_come_from_the_table():
    words = argv(site(), facts(cores=3))
    assert words[2] == "--cpu-bind=mask_cpu:e000,e00,e0,e"
    assert argv(site(), facts(cores=2))[2] == "--cpu-bind=mask_cpu:6000,600,60,6"
    assert argv(site(), facts(cores=9))[2] == "--cpu-bind=mask_cpu:e000,e00,e0,e", (
        "no more than a region"
    )
    two_each = command(site(), facts(ranks=2, cores=6))
    assert two_each.argv[2] == "--cpu-bind=mask_cpu:ee00,ee", "a rank with two GPUs has two regions"
    assert two_each.gpus == ((0, 1), (2, 3))


def test_no_mask_where_it_could_reach_beyond_the_job():
    for job in (
        facts(gpus=2, ranks=2),
        facts(gpus=0),
        facts(gpus=4, ranks=3),
        facts(queue=Queue(name="q", exclusive=False)),
    ):
        assert not [word for word in argv(site(), job) if word.startswith("--cpu-bind")]


def test_one_option_inside_another_word_and_alone():
    launcher = LaunchMethod(
        argv=("srun", "--cpu-bind={cpu_bind}", "--gpu-bind=none", "--gpus=1", "x")
    )
    words = argv(site(launchers={"srun": launcher}), facts(gpus=0))
    assert words == ("srun", "x"), "nothing is said of GPUs that the job has not"


def test_gpus_on_the_launch_line_are_said_once():
    spec = site(
        binding=Binding(style="closest"),
        request=RequestStyle(gpu=GpuRequest(style="gpus-per-task", where="launch")),
    )
    own = command(spec, facts(gpus=8, ranks=4, gpu_visibility="own"))
    assert own.argv[2:] == ("--gpus-per-task=2", "--gpu-bind=closest")
    assert own.gpus == (), "the scheduler shares them out"
    seen = command(spec, facts(gpus=8, ranks=4))
    assert seen.argv[2:] == ("--gpus-per-task=2", "--gpu-bind=none"), "else each sees its own alone"
    assert seen.gpus == ((0, 1), (2, 3), (4, 5), (6, 7))
    literal = LaunchMethod(argv=("srun", "--gpus-per-task=1", "{gpu_bind}"))
    spec = site(
        launchers={"srun": literal},
        binding=Binding(style="closest"),
        request=RequestStyle(gpu=GpuRequest(style="gpus-per-task", where="launch")),
    )
    own = facts(gpu_visibility="own")
    assert argv(spec, own) == ("srun", "--gpus-per-task=1", "--gpu-bind=closest")


@pytest.mark.parametrize("start", [("torchrun", "--standalone"), ("/opt/mpi/bin/mpirun", "-np")])
@pytest.mark.parametrize("visibility", ["own", "all"])
def test_ranks_that_are_no_tasks_of_the_scheduler_share_the_gpus_by_the_plan(start, visibility):
    spec = site(
        launchers={"ours": LaunchMethod(argv=(*start, "{gpu_bind}"))},
        binding=Binding(style="closest"),
        request=RequestStyle(gpu=GpuRequest(style="gpus-per-task", where="header")),
    )
    made = command(spec, facts(gpu_visibility=visibility), name="ours")
    assert made.gpus == ((0,), (1,), (2,), (3,)), "each would see all, and work on GPU 0"
    assert made.gpu_visibility == visibility
    asked = gpu_option(spec, replace(facts(gpu_visibility=visibility), launch="ours"))
    assert asked == ("gpus-per-node", "4"), "what mpirun starts on a node sees all"


@pytest.mark.parametrize(
    ("version", "exported"),
    [(None, True), (UNKNOWN, True), ("22.05.8", True), ("23.02", True), ("23.11.0", False), ("25.05.1", False)],
)  # fmt: skip
def test_cpus_are_exported_for_the_versions_that_forget_them(version, exported):
    env = command(site(slurm=SlurmFacts(version=version)), facts()).env
    assert (dict(env) == {"SRUN_CPUS_PER_TASK": "2"}) is exported


def test_srun_is_srun_wherever_it_lies():
    launcher = LaunchMethod(argv=("/opt/slurm/bin/srun", "-n{world_size}"))
    assert launcher.starter.has_mpi_option
    assert launcher.starter.starts_images
    for other in (LaunchMethod(argv=("srun-wrapper",)), LaunchMethod()):
        assert not other.starter.has_mpi_option
        assert not other.starter.starts_images
    made = command(site(launchers={"srun": launcher}, slurm=SlurmFacts(version="22.05")), facts())
    assert dict(made.env) == {"SRUN_CPUS_PER_TASK": "2"}


def run(words, tmp_path, **variables):
    done = subprocess.run(
        words, env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    return done.stdout.splitlines()


def fake(tmp_path, name):
    path = tmp_path / name
    path.write_text('#!/bin/bash\nprintf "%s\\n" "${CUDA_VISIBLE_DEVICES:-all}" "$@"\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("binding", "gpus"),
    [
        (Binding(), ((0,), (1,), (2,), (3,))),
        (Binding(gpu_order="descending"), ((3,), (2,), (1,), (0,))),
        (Binding(gpu_order=(1, 0, 3, 2)), ((1,), (0,), (3,), (2,))),
        # The rank with the lowest cores uses the GPU that is next to them.
        (Binding(style="closest", gpu_core_base=(12, 8, 0, 4)), ((2,), (3,), (1,), (0,))),
    ],
)
@pytest.mark.parametrize("visibility", ["own", "all"])
def test_each_rank_has_the_gpu_that_the_order_of_the_site_gives_it(binding, gpus, visibility):
    made = command(site(binding=binding), facts(gpu_visibility=visibility))
    is_slurms = visibility == "own" and binding.style == "closest"
    assert made.gpus == (() if is_slurms else gpus)
    assert made.gpu_visibility == visibility
    assert made.gpu_variable == "CUDA_VISIBLE_DEVICES"
    assert command(site(binding=binding), facts(ranks=3)).gpus == (), "not to be shared out evenly"


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("apptainer", ["exec", "--nv", "--bind", "/e", "--bind", "/p", "--bind", "/data", "--pwd", "PWD", "im age", "python3"]),
        ("podman-hpc", ["run", "--rm", "--env-host", "--gpu", "-v", "/e:/e", "-v", "/p:/p", "-v", "/data:/data", "-w", "PWD", "im age", "python3"]),
        ("shifter", ["python3"]),
    ],
)  # fmt: skip
def test_a_rank_starts_in_its_container(tmp_path, runtime, expected):
    spec = site(
        binding=Binding(gpu_order="descending"),
        containers=Containers(runtime=runtime, bind=("/data",)),
    )
    way = container_of(spec, "im age", gpus=True, folders=("/p",))
    words = argv(spec, facts(), way)
    fake(tmp_path, runtime)
    script = words[words.index("bash") :]
    variables = {"SLURM_LOCALID": "1", "DFH_EXECUTION": "/e", "DFH_PROJECT": "/p"}
    seen = run([*script, "/host/python", "-m", "dfh_runtime", "rank"], tmp_path, **variables)
    expected = [str(tmp_path) if word == "PWD" else word for word in expected]
    assert seen == ["all", *expected, "-m", "dfh_runtime", "rank"]


def test_a_rank_starts_by_the_older_name_of_apptainer(tmp_path):
    spec = site(containers=Containers(runtime="apptainer"))
    words = argv(spec, facts(), container_of(spec, "a.sif", gpus=False, folders=()))
    script = words[words.index("bash") :]
    (tmp_path / "bash").symlink_to("/bin/bash")
    alone = {"PATH": str(tmp_path), "DFH_EXECUTION": "/e", "DFH_PROJECT": "/p"}
    none = subprocess.run(script, env=alone, capture_output=True, text=True, check=False)
    assert (none.returncode, "apptainer: not found" in none.stderr) == (127, True), none.stderr
    fake(tmp_path, "singularity")
    seen = run([*script, "/host/python", "-m", "x"], tmp_path, **alone)
    assert (seen[1], seen[-4:]) == ("exec", ["a.sif", "python3", "-m", "x"])


def test_pyxis_and_the_container_engine_are_options_of_srun(tmp_path):
    spec = site(containers=Containers(runtime="pyxis"))
    way = container_of(spec, "nvcr.io#nvidia/x:1", gpus=True, folders=("/p", "/e"))
    words = argv(spec, facts(gpus=0), way)
    assert words[2:4] == ("--container-image=nvcr.io#nvidia/x:1", "--container-mounts=/p:/p,/e:/e")
    fake(tmp_path, "python3")
    script = words[words.index("bash") :]
    assert run([*script, "/host/python", "-m", "x"], tmp_path) == ["all", "-m", "x"]
    spec = site(containers=Containers(runtime="ce"))
    assert "--environment=my.toml" in argv(
        spec, facts(), container_of(spec, "my.toml", gpus=True, folders=())
    )


def test_a_site_without_containers_says_so():
    spec = site(containers=Containers(runtime="none"))
    assert (
        container_of(spec, "x.sif", gpus=False, folders=()).problem == "site s runs no containers"
    )


# -- environment


def test_sets_follow_their_conditions_and_each_other():
    spec = site(
        environment_sets={
            "a": EnvironmentSet(when=When(gpus=True), env={"A": "1"}, modules=("m1",)),
            "b": EnvironmentSet(when=When(env={"A": "1"}), env={"B": "$USER"}),
            "c": EnvironmentSet(when=When(launch=("mpi",)), env={"C": "1"}),
        },
        modules=Modules(init="force-purge", unload=("old",), load=("base", "m1")),
        network=Network(compute_internet="proxy-module", module="httpproxy"),
    )
    given = site_environment(spec, facts())
    assert dict(given.env) == {
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline",
        "A": "1",
        "B": "$USER",
    }
    assert given.modules == {
        "base": ("modules", "load"),
        "m1": ("modules", "load"),
        "httpproxy": ("network", "module"),
    }
    assert list(given.modules) == ["base", "m1", "httpproxy"], "in load order"
    assert (given.module_init, given.module_unload) == (("--force", "purge"), ("old",))
    assert set(given.origins) == set(given.env)
    assert "A" not in site_environment(spec, facts(gpus=0)).env


@pytest.mark.parametrize(
    ("software", "holds"),
    [
        (("rocm/6.3.4",), True),
        (("/images/lumi-pytorch-rocm-6.2.4-v2.sif",), True),
        (("rocm/7.0.1", "gcc/13"), False),
        ((), False),
    ],
)
def test_what_a_version_of_rocm_wants_is_given_to_jobs_with_that_version(software, holds):
    when = When(software=("rocm/6.*", "*rocm-6.*"))
    sets = {"a": EnvironmentSet(when=when, env={"NCCL_NET": "x"})}
    spec, job = site(environment_sets=sets), facts(software=software)
    assert ("NCCL_NET" in site_environment(spec, job).env) is holds
    loaded = site(environment_sets=sets, modules=Modules(load=("rocm/6.0.3",)))
    assert "NCCL_NET" in site_environment(loaded, job).env


@pytest.mark.parametrize("answer", [UNKNOWN, "yes", "nat"])
def test_what_is_not_known_to_be_offline_stays_online(answer):
    assert not site_environment(site(network=Network(compute_internet=answer)), facts()).env


def test_conditions_must_all_hold():
    queue = Queue(name="big", exclusive=True)
    job = facts(queue=queue, node=NodeType(gpus=4), env={"X": "1"})
    assert holds(When(), job)
    assert holds(
        When(gpus=True, queues=("big",), launch=("srun",), env={"X": "1"}, whole_node=True), job
    )
    for when in (
        When(gpus=False),
        When(queues=("small",)),
        When(nodes=Range(min=2)),
        When(ntasks_per_node=Range(max=3)),
        When(launch=("mpi",)),
        When(env={"X": "2"}),
        When(whole_node=False),
        When(node_local=True),
    ):
        assert not holds(when, job)


def test_programs_in_an_image_have_the_mpi_that_srun_speaks_there():
    containers = Containers(runtime="apptainer", mpi="pmi2")
    mpirun = LaunchMethod(argv=("mpirun", "-np", "{world_size}"))
    spec = site(containers=containers, launchers={"srun": SRUN, "mpi": mpirun})
    way = container_of(spec, "image.sif", gpus=False, folders=())
    assert "--mpi=pmi2" in argv(spec, facts(gpus=0), way)
    assert "--mpi=pmi2" not in argv(spec, facts(gpus=0))
    assert "--mpi=pmi2" not in command(spec, facts(gpus=0), way, "mpi").argv
