"""The same request at real sites, and the cases that are hardest to get right."""

from __future__ import annotations

import shlex

import pytest

from deepforge_hpc.errors import DeepforgeHpcError, InvalidInputError, NoResourcesError, UsageError
from deepforge_hpc.paths import data_folder
from deepforge_hpc.pipeline.load import Settings, load_text
from deepforge_hpc.plan.containers import container_of
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.site.find import SHIPPED, SiteFolder, load_site
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import Containers

CODE = """\
import numpy as np


class Train:
    def execute(self, table: np.ndarray) -> np.ndarray:
        images = table
        return images
"""
ACCOUNTS = {"lumi-g": "project_1", "narval": "rrg-p1-ad"}
GPU_FORMS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "ops.py").write_text(CODE)
    (tmp_path / "table.npy").write_bytes(b"rows")

    def make(site, resources="", launch="srun", account=None, extra="", after=False):
        text = (
            "pipeline: p\ninputs: {table: table.npy}\nenvironment: {python: /opt/python}\n"
            "operations:\n"
            "  train:\n    uses: ops.py:Train\n    inputs: {table: table}\n"
            f"    launch: {launch}\n    resources: {{{resources}}}\n    {extra}\n"
        )
        if after:
            text = text.replace("inputs: {table: table}", "inputs: {table: first.images}")
            text += "  first: {uses: 'ops.py:Train', inputs: {table: table}}\n"
        if account is None:
            account = ACCOUNTS.get(site.partition("/")[0], "p1")
        settings = Settings(account=account, python="/opt/python", user_dir=None)
        return resolve(
            load_text(text.encode(), tmp_path / "pipeline.yaml", site=site, settings=settings)
        )

    return make


def header(job):
    return [f"{name}={value}" if value else name for name, value in job.directives]


def gpu_forms(job):
    """The words of header and launch line that ask for GPUs."""
    on_line = [word for word in job.launch.argv if word.startswith(("--gpus", "--gres"))]
    return [name for name, _ in job.directives if name in GPU_FORMS] + on_line


def refused(call, *args, **settings):
    with pytest.raises(NoResourcesError) as caught:
        call(*args, **settings)
    return caught.value


# site, more of the request, GPUs a node, account, what the header has, what not, the launch line has
TABLE = [
    ("frontier", "", 8, "p1",
     ["partition=batch", "nodes=2", "time=00:30:00"], ["mem", "constraint", "gres"],
     "srun --nodes=2 --ntasks=16 --cpus-per-task=7 --gpus-per-task=1 --gpu-bind=none"),
    ("perlmutter", "", 4, "p1_g",
     ["qos=regular", "constraint=gpu", "nodes=2", "gpus-per-node=4", "ntasks-per-node=4",
      "cpus-per-task=32"], ["partition"],
     "srun --cpu-bind=cores --gpu-bind=none"),
    ("lumi-g", "", 8, "project_1",
     ["partition=standard-g", "gpus-per-node=8", "ntasks-per-node=8"], ["cpus-per-task"],
     ("srun --cpu-bind=mask_cpu:fe000000000000,fe00000000000000,fe0000,fe000000,fe,fe00,"
     "fe00000000,fe0000000000")),
    ("daint", "", 4, "p1",
     ["nodes=2", "ntasks-per-node=4", "gpus-per-task=1", "partition=normal"], ["environment"], "srun"),
    ("juwels-booster", "", 4, "p1",
     ["partition=booster", "gres=gpu:4"], ["gpus-per-node"], "srun --cpu-bind=sockets"),
    ("leonardo", "", 4, "p1",
     ["partition=boost_usr_prod", "gres=gpu:4", "mem=494000M"], ["gpus-per-node", "qos"], "srun"),
    ("delta", "mem_per_node: 200GiB", 4, "p1-delta-gpu",
     ["partition=gpuA100x4", "gpus-per-node=4", "mem=204800M", "constraint=scratch"], [], "srun"),
    ("expanse", "mem_per_node: 300GiB", 4, "p1",
     ["partition=gpu", "gpus=8", "mem=307200M", "constraint=lustre"], [], "srun --mpi=pmi2"),
    ("bridges-2", "mem_per_node: 100GiB", 8, "p1",
     ["partition=GPU", "gpus=v100-32:16"], ["mem"], "mpirun"),
    ("anvil", "", 4, "p1-gpu", ["partition=gpu", "gpus-per-node=4"], [], "srun --mpi=pmi2"),
    ("stampede3", "mem_per_node: 100GiB", 4, "p1",
     ["partition=h100", "nodes=2", "ntasks=8", "time=00:30:00"],
     ["gres", "mem", "gpus-per-task", "export", "nodelist", "exclude", "gpus-per-node"], "ibrun"),
    ("vista", "", 1, "p1",
     ["partition=gh", "nodes=2", "ntasks=2"],
     ["gres", "mem", "gpus-per-task", "export", "nodelist", "exclude"], "ibrun"),
    ("della", "", 4, "p1", ["gres=gpu:4", "time=00:30:00"], ["qos", "partition"], "srun"),
    ("narval", "mem_per_node: 100GiB", 4, "rrg-p1-ad",
     ["gpus-per-node=a100:4", "mem=102400M"], ["partition"], "srun"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("site", "more", "gpus", "account", "has", "has_not", "launch"),
    TABLE,
    ids=[r[0] for r in TABLE],
)
def test_two_nodes_one_rank_a_gpu(plan, site, more, gpus, account, has, has_not, launch):
    size = f"nodes: 2, gpus_per_node: {gpus}, time: 30m" + (f", {more}" if more else "")
    job = plan(site, size, launch="horovod").job("train")
    assert job.account == account
    assert set(has) <= set(header(job))
    names = [name for name, _ in job.directives]
    assert not set(has_not) & set(names)
    line = " ".join(job.launch.argv)
    for word in launch.split():
        assert word in line.split()
    assert len(gpu_forms(job)) == (site not in ("stampede3", "vista")), "GPUs: once, in one form"
    assert job.inherits_shell is (site in ("stampede3", "vista")), "no --export on sbatch's line"


@pytest.mark.parametrize("launch", ["none", "srun", "mpi", "horovod", "torchrun"])
@pytest.mark.parametrize(("site", "gpus"), [(row[0], row[2]) for row in TABLE])
def test_gpus_are_asked_for_once_whatever_starts_the_ranks(plan, site, gpus, launch):
    style = load_site(
        site, [SiteFolder(SHIPPED, data_folder("site-configs"))]
    ).spec.request.gpu.style
    size = f"nodes: 1, gpus_per_node: {gpus}, time: 30m, mem_per_node: 8GiB"
    job = plan(site, size, launch=launch).job("train")
    assert len(gpu_forms(job)) == (style != "none"), (header(job), job.launch.argv)


WHOLE_NODES = {"frontier": 56, "daint": 288, "clariden": 288, "stampede3": 48, "vista": 144}
"""Cores of a node of the queue that a job without GPUs goes to, where it gets the node whole."""


@pytest.mark.parametrize(
    ("site", "gpus", "cores"),
    [("frontier", 8, 7), ("perlmutter", 4, 32), ("lumi-g", 8, 7), ("daint", 4, 72), ("clariden", 4, 72),
     ("leonardo", 4, 8), ("juwels-booster", 4, 24), ("delta", 4, 16), ("expanse", 4, 10),
     ("anvil", 4, 32), ("bridges-2", 8, 5), ("stampede3", 4, 24), ("vista", 1, 72), ("della", 4, 1)],
)  # fmt: skip
def test_a_rank_has_the_cores_that_go_with_its_gpu(plan, site, gpus, cores):
    found = plan(site, f"nodes: 1, gpus_per_node: {gpus}, mem_per_node: 8GiB, time: 30m")
    assert found.job("train").resources.cpus_per_task == cores
    origin = next(o for o in found.origins if o.key == "jobs.train.resources.cpus_per_task")
    assert cores == 1 or origin.source == "the cores of a node, shared out as its GPUs are"
    plain = plan(site, "mem_per_node: 8GiB, time: 30m", launch="none")
    assert plain.job("train").resources.cpus_per_task == WHOLE_NODES.get(site, 1)


def test_the_cores_of_a_gpu_are_those_of_the_queue_that_is_asked_for(plan):
    asked = "gpus_per_node: 4, mem_per_node: 8GiB, time: 30m"
    named = plan("delta", f"{asked}, queue: gpuA100x4").job("train")
    assert named.resources.cpus_per_task == 16, "no other queue has to hold it"
    free = plan("delta", asked).job("train")
    assert (free.queue, free.resources.cpus_per_task) == ("gpuA100x4", 16), "nor to decide for it"
    unknown = plan("anvil", "gpus_per_node: 1, time: 30m, queue: ai").job("train")
    assert unknown.resources.cpus_per_task == 1, "nobody has told what its nodes have"


def test_narval_is_offline_and_slurm_does_not_inherit_cpus_there(plan, monkeypatch):
    monkeypatch.setattr(SlurmScheduler, "title", "Its adapter")
    found = plan("narval", "nodes: 1, gpus_per_node: 1, time: 30m, mem_per_node: 8GiB")
    job = found.job("train")
    assert dict(job.env)["HF_HUB_OFFLINE"] == "1"
    assert dict(job.launch.env)["SRUN_CPUS_PER_TASK"] == str(job.resources.cpus_per_task)
    key = "jobs.train.launch.env.SRUN_CPUS_PER_TASK"
    why = next(origin.source for origin in found.origins if origin.key == key)
    assert why == "Its adapter, whose ranks would not get their cores"
    frontier = plan("frontier", "nodes: 1, gpus_per_node: 8, time: 30m").job("train")
    assert "SRUN_CPUS_PER_TASK" not in dict(frontier.launch.env), "23.11 and later inherit it"


# -- 1. Frontier: walltime by nodes, reserved cores


def test_frontier_gives_long_small_jobs_to_extended(plan):
    found = plan("frontier", 'nodes: 20, time: "02:30:00"', launch="none")
    assert dict(found.job("train").directives)["partition"] == "extended"
    why = next(o.source for o in found.origins if o.key == "jobs.train.queue")
    assert "not batch: 02:30:00, at most 02:00:00 on 20 node(s)" in why


def test_gpus_beyond_node_and_job_are_one_reason(plan):
    error = refused(plan, "anvil", "gpus_per_node: 4, time: 20m, queue: gpu-debug")
    assert error.message.count("GPUs") == 1
    assert error.hint.count("gpus_per_node: 2") == 1


def test_frontier_offers_less_time_or_more_nodes(plan):
    error = refused(plan, "frontier", 'nodes: 100, time: "08:00:00"', launch="none")
    assert "batch: 08:00:00, at most 06:00:00 on 100 node(s)" in error.message
    assert "extended: 100 nodes, at most 64" in error.message
    assert 'batch takes it with time: "06:00:00"' in error.hint
    assert "or nodes: 184" in error.hint
    assert "extended takes it with nodes: 64" in error.hint


def test_frontier_debug_is_asked_for_and_takes_no_chain(plan):
    job = plan("frontier", "nodes: 2, time: 1h, queue: debug", launch="none").job("train")
    assert (dict(job.directives)["partition"], dict(job.directives)["qos"]) == ("batch", "debug")
    error = refused(plan, "frontier", "time: 1h, queue: debug", launch="none", after=True)
    assert "takes no job that waits for others" in error.message
    assert "without queue:, batch takes it as it is" in error.hint


def test_frontier_debug_has_no_more_nodes_than_its_partition(plan):
    error = refused(plan, "frontier", "nodes: 9473, time: 1h, queue: debug", launch="none")
    assert "debug: 9473 nodes, at most 9472" in error.message


def test_frontier_advises_against_torchrun(plan):
    asked = "gpus_per_node: 8, time: 1h"
    told = "site frontier advises against torchrun: far slower, and in conflict with srun; use srun"
    assert told in map(str, plan("frontier", asked, launch="torchrun").warnings)
    assert told not in map(str, plan("frontier", asked).warnings)


def test_frontier_keeps_cores_to_itself_unless_all_are_asked_for(plan):
    all_cores = plan("frontier", "ntasks_per_node: 64, time: 1h").job("train")
    assert dict(all_cores.directives)["core-spec"] == "0"
    assert all_cores.resources.cpus_per_task == 1
    error = refused(plan, "frontier", "ntasks_per_node: 1, cpus_per_task: 64, time: 1h")
    assert "64 cores a node, at most 56" in error.message


def test_frontier_network_option_comes_with_its_variable(plan):
    train = plan("frontier", "nodes: 1, gpus_per_node: 8, time: 1h").job("train")
    assert dict(train.env)["FI_CXI_RDZV_PROTO"] == "alt_read"
    assert dict(train.directives)["network"] == "disable_rdzv_get"
    cpu = plan("frontier", "nodes: 1, time: 1h", launch="none").job("train")
    assert "FI_CXI_RDZV_PROTO" not in dict(cpu.env)
    assert "network" not in dict(cpu.directives)
    assert dict(cpu.env)["https_proxy"].startswith("http://proxy.ccs.ornl.gov")


# -- 2. Perlmutter: no partition, suffix, reversed GPUs


def test_perlmutter_with_80_gb(plan):
    job = plan("perlmutter/gpu80", "nodes: 2, gpus_per_node: 4, time: 1h").job("train")
    found = dict(job.directives)
    assert (found["constraint"], found["qos"]) == ("gpu&hbm80g", "regular")
    assert "partition" not in found
    assert job.account == "p1_g"
    assert plan("perlmutter/cpu", "time: 1h", launch="none").job("train").account == "p1"
    gpu = plan("perlmutter", "gpus_per_node: 1, time: 1h", launch="none", account="p1_g")
    assert gpu.job("train").account == "p1_g"


def test_perlmutter_has_cpu_nodes_for_the_jobs_of_a_pipeline_without_gpus(plan):
    found = plan("perlmutter", "time: 1h", launch="none", account="p1_g")
    job = found.job("train")
    assert {"qos=shared", "constraint=cpu"} <= set(header(job)), "half a node is enough"
    assert job.account == "p1"
    assert "account p1_g does not pay for queue cpu-shared: p1 does" in map(str, found.warnings)
    large = plan("perlmutter/gpu80", "nodes: 2, time: 1h", launch="none").job("train")
    assert {"qos=regular", "constraint=cpu"} <= set(header(large))
    asked = plan("perlmutter", "time: 1h, queue: regular", launch="none").job("train")
    assert "constraint=gpu" in header(asked), "what is asked for by name is taken"


def test_perlmutter_container_is_in_header_and_on_the_launch_line(plan):
    image = "nersc/pytorch:24.08.01"
    found = plan(
        "perlmutter", "nodes: 2, gpus_per_node: 4, time: 1h",
        extra=f"environment: {{container: '{image}'}}",
    )  # fmt: skip
    job = found.job("train")
    assert dict(job.directives)["image"] == image
    script = job.launch.argv[job.launch.argv.index("-c") + 1]
    assert script.startswith("shift; exec shifter")
    assert job.launch.gpus == ((3,), (2,), (1,), (0,))
    assert "#SBATCH --image=nersc/pytorch:24.08.01\n" in render_scripts(found)["train"]


# -- 3. LUMI: masks


def binding(job):
    return [word for word in job.launch.argv if word.startswith("--cpu-bind")]


def test_lumi_masks_follow_the_cores_of_a_rank(plan):
    size = "nodes: 2, gpus_per_node: 8, time: 1h"
    six = plan("lumi-g", f"{size}, cpus_per_task: 6").job("train")
    assert binding(six) == [
        (
            "--cpu-bind=mask_cpu:7e000000000000,7e00000000000000,7e0000,7e000000,7e,7e00,7e00000000,"
            "7e0000000000"
        )
    ]
    development = plan("lumi-g", f"{size}, queue: dev-g").job("train")
    assert binding(development) == ["--cpu-bind=map_cpu:49,57,17,25,1,9,33,41"]
    small = plan("lumi-g", f"{size}, queue: small-g").job("train")
    assert binding(small) == [], "cores of others may be on the node"
    assert dict(small.directives)["cpus-per-task"] == "7", "or srun would have one core a rank"
    part = plan("lumi-g", "gpus_per_node: 4, time: 1h").job("train")
    assert binding(part) == []


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_list_of_cores_binds_no_rank_with_several_gpus(plan, ranks):
    size = f"gpus_per_node: 8, ntasks_per_node: {ranks}, queue: dev-g, time: 1h"
    found = plan("lumi-g", size)
    assert binding(found.job("train")) == []
    text = "queue dev-g of lumi-g binds by a list of cores, one a GPU: these ranks are not bound"
    assert text in map(str, found.warnings)
    each = plan("lumi-g", "gpus_per_node: 8, queue: dev-g, time: 1h")
    assert "queue dev-g of lumi-g binds each rank to one of its 7 cores" in map(str, each.warnings)
    single = plan("lumi-g", "gpus_per_node: 8, cpus_per_task: 1, queue: dev-g, time: 1h")
    plain = plan("lumi-g", "gpus_per_node: 8, time: 1h")
    for fine in (single, plain):
        assert not [text for text in map(str, fine.warnings) if " binds " in text]


@pytest.mark.parametrize(
    ("cores", "is_told"), [(64, False), (128, False), (129, True), (256, True)]
)
def test_lumi_does_not_say_whether_a_job_has_threads(plan, cores, is_told):
    found = plan("lumi-g", f"nodes: 8, cpus_per_task: {cores}, time: 1h", launch="none")
    (told,) = [one for one in found.warnings if "node_types.cpu.threads_per_core" in one.keys] or [
        None
    ]
    assert found.job("train").queue == "standard"
    assert (told is not None) == is_told
    assert told is None or "more CPUs than cores are asked for" in told.text


@pytest.mark.parametrize(
    ("image", "level"),
    [
        ("/proj/rocm-6.2/x-rocm-7.0.sif", None),
        ("/proj/rocm-7.0/x-rocm-6.2.sif", "3"),
        ("docker://rocm-6/pytorch:rocm7.0", None),
        ("docker://lab/pytorch:rocm6.2", "3"),
    ],
)
def test_the_version_in_an_image_is_that_of_its_own_name(plan, image, level):
    more = f"environment: {{container: '{image}'}}"
    found = plan("lumi-g", "nodes: 2, gpus_per_node: 8, time: 1h", extra=more)
    assert dict(found.job("train").env).get("NCCL_NET_GDR_LEVEL") == level


def test_lumi_keeps_caches_by_job_and_binds_the_folders_of_the_project(plan):
    image = "environment: {container: img.sif}"
    found = plan("lumi-g", "nodes: 2, gpus_per_node: 8, time: 1h", extra=image)
    job = found.job("train")
    assert dict(job.env)["MIOPEN_USER_DB_PATH"] == "/tmp/$USER-miopen-cache-$SLURM_JOB_ID"
    script = job.launch.argv[job.launch.argv.index("-c") + 1]
    assert '--bind "/scratch/$SLURM_JOB_ACCOUNT"' in script, "the account names the folder"
    assert 'apptainer || command -v singularity || echo apptainer)" exec --rocm' in script


def test_lumi_has_56_cores(plan):
    error = refused(
        plan, "lumi-g", "gpus_per_node: 8, ntasks_per_node: 64, cpus_per_task: 1, time: 1h"
    )
    assert "standard-g: 64 cores a node, at most 56" in error.message


# -- 4. opposite rules


def test_tacc_takes_no_memory_and_says_so(plan):
    found = plan("stampede3", "nodes: 2, gpus_per_node: 4, mem_per_node: 100GiB, time: 1h")
    assert any("takes no --mem" in text for text in map(str, found.warnings))
    error = refused(plan, "stampede3", "gpus_per_node: 4, mem_per_node: 4000GiB, time: 1h")
    assert "MiB a node, at most" in error.message


def test_expanse_loads_slurm_after_its_purge(plan):
    job = plan("expanse", "gpus_per_node: 1, time: 1h", launch="mpi").job("train")
    assert (job.module_init, job.modules) == (("purge",), ("gpu", "slurm"))
    cpu = plan("expanse", "time: 1h", launch="none").job("train")
    assert cpu.modules == ("cpu", "slurm"), "exactly one of cpu and gpu"


@pytest.mark.parametrize(
    ("queue", "kind"), [("GPU", "v100-32"), ("GPU-h100", "h100-80"), ("GPU-l40s", "l40s-48")]
)
def test_bridges_has_three_kinds_of_gpu_in_one_partition(plan, queue, kind):
    found = plan("bridges-2", f"gpus_per_node: 8, mem_per_node: 8GiB, time: 1h, queue: {queue}")
    assert {"partition=GPU", f"gpus={kind}:8"} <= set(header(found.job("train")))
    told = "mem_per_node is checked and not asked for"
    (text,) = [text for text in map(str, found.warnings) if told in text]
    assert text.startswith("site bridges-2 gives memory with the GPUs of a job: ")
    plain = plan("bridges-2", "nodes: 2, mem_per_node: 8GiB, time: 1h", launch="none")
    (text,) = [text for text in map(str, plain.warnings) if told in text]
    assert text.startswith("site bridges-2 gives memory with the cores of a job: ")


def test_alps_names_the_environment_on_the_launch_line_alone(plan):
    extra = "environment: {container: ngc.toml}"
    job = plan("daint", "nodes: 2, gpus_per_node: 4, time: 30m", extra=extra).job("train")
    assert "--environment=ngc.toml" in job.launch.argv
    assert not [name for name, _ in job.directives if name in ("environment", "image")]


def test_expanse_of_nairr_wants_the_type_and_has_no_lustre(plan):
    job = plan("expanse-nairr", "gpus_per_node: 4, time: 1h, mem_per_node: 8GiB").job("train")
    found = dict(job.directives)
    assert found["gpus"] == "h100:4"
    assert "constraint" not in found


def test_delta_accounts_follow_the_queue(plan):
    gpu = plan("delta", "gpus_per_node: 1, mem_per_node: 8GiB, time: 1h").job("train")
    cpu = plan("delta", "mem_per_node: 8GiB, time: 1h", launch="none").job("train")
    assert (gpu.account, cpu.account) == ("p1-delta-gpu", "p1-delta-cpu")
    asked = "gpus_per_node: 1, mem_per_node: 8GiB, time: 1h"
    for name in ("p1-delta-gpu", "p1-delta-cpu"):
        assert plan("delta", asked, account=name).job("train").account == "p1-delta-gpu"
    kept, why = plan("delta", asked, account="p1-delta-gpu"), "does not pay for queue gpuA100x4"
    assert not [text for text in map(str, kept.warnings) if why in text]
    assert [t for t in map(str, plan("delta", asked, account="p1-delta-cpu").warnings) if why in t]


def test_memory_is_given_or_demanded_where_the_site_refuses_jobs_without(plan):
    with pytest.raises(InvalidInputError, match="refuses jobs without memory") as caught:
        plan("narval", "gpus_per_node: 1, time: 1h")  # the memory of its GPU nodes is unknown
    assert "mem_per_node" in caught.value.faults[0].hint
    quarter = plan("expanse", "gpus_per_node: 1, time: 1h")
    assert dict(quarter.job("train").directives)["mem"] == f"{384 * 1024 * 9 // 10 // 4}M", (
        "its share of a node"
    )
    why = next(o.source for o in quarter.origins if o.key == "jobs.train.directives.mem")
    assert why == "the share of its cores or GPUs in 90 % of node_types.gpu.mem"
    assert [text for text in map(str, quarter.warnings) if "node_types.gpu.mem is unknown" in text]


def test_all_memory_of_a_node_is_asked_for_as_the_site_spells_it(plan):
    whole = "gpus_per_node: 4, time: 30m"
    delta = header(plan("delta", whole).job("train"))
    assert {"exclusive", "mem=0"} <= set(delta), "--exclusive alone comes without the memory"
    assert "mem=494000M" in header(plan("leonardo", whole).job("train"))
    for site in ("daint", "clariden", "perlmutter"):
        assert not [o for o in header(plan(site, whole).job("train")) if o.startswith("mem")]
    part = header(plan("delta", "gpus_per_node: 1, time: 30m").job("train"))
    assert "exclusive" not in part
    assert f"mem={256 * 1024 * 9 // 10 // 4}M" in part, "the share that goes with its GPU"


# -- 5. offline, routed by policy


@pytest.mark.parametrize(
    ("nodes", "qos"), [(1, None), (64, None), (65, "boost_qos_bprod"), (256, "boost_qos_bprod")]
)
def test_leonardo_chooses_by_size(plan, nodes, qos):
    job = plan("leonardo", f"nodes: {nodes}, gpus_per_node: 4, time: 2h").job("train")
    found = dict(job.directives)
    assert (found["partition"], found.get("qos")) == ("boost_usr_prod", qos)
    assert dict(job.env)["WANDB_MODE"] == "offline"


@pytest.mark.parametrize(("nodes", "minutes"), [(1, 90), (2, 45), (4, 22)])
def test_clariden_debug_is_a_product(plan, nodes, minutes):
    plan("clariden", f"nodes: {nodes}, gpus_per_node: 4, time: {minutes}m, queue: debug")
    error = refused(
        plan, "clariden", f"nodes: {nodes}, gpus_per_node: 4, time: {minutes + 1}m, queue: debug"
    )
    assert f"at most {minutes // 60:02d}:{minutes % 60:02d}:00 on {nodes} node(s)" in error.message


def test_the_time_of_too_many_nodes_is_that_of_the_most(plan):
    error = refused(plan, "clariden", "nodes: 8, gpus_per_node: 4, time: 30m, queue: debug")
    assert "8 nodes, at most 4, 00:30:00, at most 00:22:00 on 4 node(s)" in error.message
    assert 'nodes: 4, time: "00:22:00" or nodes: 3' in error.hint


def test_della_is_routed_by_time_alone(plan):
    for time in ("30m", "20h", "100h"):
        names = [
            n for n, _ in plan("della", f"gpus_per_node: 1, time: {time}").job("train").directives
        ]
        assert not {"qos", "partition"} & set(names)


# -- accounts


def test_an_account_of_another_shape_is_refused(plan):
    with pytest.raises(UsageError, match="no account of site lumi-g"):
        plan("lumi-g", "time: 1h", launch="none", account="m1234")
    with pytest.raises(UsageError, match="which account pays"):
        plan("frontier", "time: 1h", launch="none", account="")


def test_accounts_of_the_alliance_have_a_class(plan):
    asked = "gpus_per_node: 1, mem_per_node: 8GiB, time: 1h"
    for account in ("def-someone", "rrg-someone-ad", "aip-someone"):
        assert plan("narval", asked, account=account).job("train").account == account
    with pytest.raises(UsageError, match="no account of site narval"):
        plan("narval", asked, account="someone")


def test_a_queue_that_is_not_there_is_a_fault_with_its_place(plan):
    with pytest.raises(InvalidInputError, match=r"frontier has no queue 'quick'") as caught:
        plan("frontier", "time: 1h, queue: quick", launch="none")
    assert caught.value.faults[0].line == 9


def test_images_are_told_of_gpus_by_job_and_by_kind_of_node(plan):
    image = "environment: {container: img.sif}"
    for site, gpus, flags in (
        ("perlmutter", 4, ("--module=gpu,nccl-plugin",)),
        ("perlmutter", 0, ()),
        ("perlmutter/cpu", 0, ()),
        ("delta", 4, ("--nv",)),
    ):
        size = f"gpus_per_node: {gpus}, mem_per_node: 8GiB, time: 1h"
        assert plan(site, size, extra=image).job("train").container.flags == flags, site
    amd = "gpus_per_node: 8, mem_per_node: 8GiB, time: 1h, queue: gpuMI100x8"
    job = plan("delta", amd, extra=image).job("train")
    assert job.container.flags == ("--rocm",)
    assert "exec --rocm " in " ".join(job.launch.argv)
    assert job.launch.gpu_variable == "ROCR_VISIBLE_DEVICES"


IMAGES = {"bridges-2": "", "stampede3": "", "vista": ""}  # srun alone starts images of other kinds


@pytest.mark.parametrize("site", [row[0] for row in TABLE])
def test_every_emitted_value_has_an_origin(plan, site):
    size = "nodes: 2, gpus_per_node: 1, time: 30m, mem_per_node: 8GiB"
    image = "environment: {container: img.sif, modules: [my/1]}"
    found = plan(site, size, launch="horovod", extra="map: {over: table, shards: 2}")
    plans = [found, plan(site, size, launch="horovod", extra=IMAGES.get(site, image))]
    for one in plans:
        notes = {origin.key: origin for origin in one.origins}
        for job in one.jobs:
            at = f"jobs.{job.name}"
            wanted = {f"{at}.directives.{name}": value for name, value in job.directives}
            wanted |= {f"{at}.env.{name}": value for name, value in job.env}
            wanted |= {f"{at}.modules.{name}": "load" for name in job.modules}
            wanted |= {f"{at}.modules.{name}": "load" for name in job.environment.modules}
            wanted |= {f"{at}.launch.env.{name}": value for name, value in job.launch.env}
            if job.launch.argv:
                wanted[f"{at}.launch.argv"] = shlex.join(job.launch.argv)
            if job.module_init:
                wanted[f"{at}.module_init"] = " ".join(job.module_init)
            if job.container is not None:
                wanted[f"{at}.container"] = " ".join((job.container.runtime, *job.container.flags))
            if job.after:
                wanted[f"{at}.dependency"] = job.dependency
            environment = job.environment.container or job.environment.python
            wanted |= {f"{at}.environment": environment, f"{at}.queue": job.queue}
            wanted |= {f"{at}.account": job.account} if job.account else {}
            wanted[f"{at}.inherits_shell"] = str(job.inherits_shell)
            for key, value in wanted.items():
                assert notes[key].value == value
                source = notes[key].source
                assert source, key
                if source.startswith(f"{at}."):
                    assert source in notes, "what is referred to is there"


def test_an_origin_is_the_place_in_the_file(plan):
    found = plan("delta", "gpus_per_node: 1, mem_per_node: 8GiB, time: 1h")
    notes = {origin.key: origin.source for origin in found.origins}
    lines = (data_folder("site-configs") / "delta.yaml").read_text().splitlines()

    def line(key):
        assert notes[key].startswith(("site delta (shipped)", "--account, with the suffix of site"))
        return lines[int(notes[key].rpartition(":")[2]) - 1]

    assert "gpuA100x4" in line("jobs.train.directives.partition")
    assert "[constraint, scratch]" in line("jobs.train.directives.constraint")
    assert "[nccl]" in line("jobs.train.modules.nccl")
    assert "init: reset" in line("jobs.train.module_init")
    assert "FI_CXI_RX_MATCH_MODE" in line("jobs.train.env.FI_CXI_RX_MATCH_MODE")
    assert "gpuA100x4" in line("jobs.train.account")
    assert notes["jobs.train.directives.nodes"] == "jobs.train.resources.nodes"
    assert notes["jobs.train.directives.signal"] == "dfh: to end in order"


def test_unknown_limits_warn_and_never_refuse(plan):
    found = plan("juwels-booster", "nodes: 2, gpus_per_node: 4, time: 90h")
    assert "queue booster of juwels-booster: unknown and not checked: time" in map(
        str, found.warnings
    )


@pytest.mark.parametrize(
    ("site", "asked", "names"),
    [
        ("narval", "gpus_per_node: 400, mem_per_node: 8GiB", "cores of a node, memory of a node, GPUs of a node"),
        ("anvil", "gpus_per_node: 1, mem_per_node: 8GiB, queue: ai", "memory of a node, GPUs of a node"),
        ("della", "cpus_per_task: 4000", "cores of a node"),
        ("lumi-g", "gpus_per_node: 8, mem_per_node: 512GiB", "memory of a node"),
    ],
)  # fmt: skip
def test_what_a_node_has_is_warned_of_where_it_is_unknown(plan, site, asked, names):
    warnings = map(str, plan(site, f"time: 30m, {asked}").warnings)
    assert [text for text in warnings if text.endswith(f"unknown and not checked: {names}")]
    enough = plan("lumi-g", "gpus_per_node: 8, mem_per_node: 400GiB, time: 30m")
    assert not [text for text in map(str, enough.warnings) if "not checked" in text]


# Anvil and Narval have queues of which the GPUs of a node are unknown.
@pytest.mark.parametrize("site", sorted({row[0] for row in TABLE} - {"anvil", "narval"}))
def test_an_impossible_request_says_why_for_each_queue(plan, site):
    with pytest.raises(DeepforgeHpcError) as caught:
        plan(site, "nodes: 1, gpus_per_node: 4000, time: 1h, mem_per_node: 8GiB")
    assert isinstance(caught.value, NoResourcesError)
    assert "GPU" in caught.value.message


def test_the_nvme_of_frontier_can_be_asked_for(plan):
    job = plan("frontier", "nodes: 2, node_local: true", launch="srun").job("train")
    assert "constraint=nvme" in header(job)
    assert ("DFH_NODE_LOCAL", "/mnt/bb/$USER") in job.env
    assert "constraint=nvme" not in header(plan("frontier", "nodes: 2").job("train"))


def test_of_several_nodes_those_are_taken_that_are_surely_whole(plan):
    few = plan("anvil", "nodes: 2, ntasks_per_node: 16, time: 1h")
    job = few.job("train")
    assert (job.queue, job.resources.cpus_per_task) == ("wholenode", 8)
    assert not [notice for notice in few.warnings if "exclusive" in "".join(notice.keys)]
    many = plan("anvil", "nodes: 20, ntasks_per_node: 16, time: 1h")
    job = many.job("train")
    assert (job.queue, job.resources.cpus_per_task) == ("wide", 1)
    (told,) = [notice for notice in many.warnings if notice.keys == ("queues.wide.exclusive",)]
    assert told.text == (
        "train: whether queue wide gives whole nodes is unknown, so a rank gets 1 core"
    )
    assert told.next == "cpus_per_task asks for more"
    named = plan("anvil", "nodes: 2, queue: wide, cpus_per_task: 4, time: 1h")
    assert named.job("train").resources.cpus_per_task == 4
    assert not [notice for notice in named.warnings if "exclusive" in "".join(notice.keys)]


@pytest.mark.parametrize(
    ("runtime", "letters"), [("apptainer", ":,"), ("podman-hpc", ":"), ("pyxis", ":,"), ("ce", "")]
)
def test_a_path_that_cannot_be_shown_to_an_image_is_refused(runtime, letters):
    site = SiteSpec(name="s", containers=Containers(runtime=runtime))
    for letter in ":, ":
        way = container_of(site, "i.sif", gpus=False, folders=("/e", f"/my{letter}project"))
        assert bool(way.problem) is (letter in letters), (letter, way.problem)
        assert not way.problem or f"/my{letter}project" in way.problem
