"""What a site file can say of memory, of GPUs and of what is not known, down to the script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.errors import InvalidInputError, NoResourcesError, UsageError
from deepforge_hpc.paths import data_folder
from deepforge_hpc.pipeline.load import Settings, load_pipeline
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.site.find import SHIPPED, SiteFolder, load_site
from deepforge_hpc.site.unknown import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from deepforge_hpc.runtime.base.plan import Plan

PIPELINE = """\
pipeline: p
environment: {python: /usr/bin/python3}
operations: {one: {uses: "ops.py:one", launch: LAUNCH, resources: {SIZE}}}
outputs: {x: one.x}
"""
HEAD = "site: x\nextends: slurm-base\n"


@pytest.fixture
def plan(tmp_path: Path):
    (tmp_path / "ops.py").write_text("def one() -> int:\n    x = 1\n    return x\n")
    (tmp_path / "site-configs").mkdir()

    def make(site: str, size: str = "", launch: str = "none", text: str = PIPELINE) -> Plan:
        (tmp_path / "site-configs/x.yaml").write_text(HEAD + site)
        text = text.replace("SIZE", size).replace("LAUNCH", launch)
        (tmp_path / "pipeline.yaml").write_text(text)
        loaded = load_pipeline(tmp_path / "pipeline.yaml", site="x", settings=Settings())
        return resolve(loaded)

    return make


def options(plan: Plan) -> dict[str, str]:
    return dict(plan.jobs[0].directives)


def test_a_queue_has_rules_of_its_own_for_memory(plan) -> None:
    site = (
        "request: {memory: optional}\n"
        "queues:\n"
        "  - {name: small, nodes: {max: 1}, memory: fixed-per-core}\n"
        "  - {name: large, exclusive: yes, memory: {policy: required, whole_node: '0'}}\n"
        "node_types: {default: {cores: 8, mem: 16GiB}}\n"
    )
    small = plan(site, "mem_per_node: 4GiB")
    assert "mem" not in options(small)
    assert any(
        "gives memory with the cores of a job" in warning for warning in map(str, small.warnings)
    )
    large = plan(site, "nodes: 2")
    assert options(large)["mem"] == "0"
    (origin,) = [one for one in large.origins if one.key == "jobs.one.directives.mem"]
    assert origin.source == "site x (project):6"


def test_memory_by_core_is_the_memory_of_the_node_shared_out(plan) -> None:
    found = options(
        plan("request: {memory: per-cpu-only}\n", "mem_per_node: 10GiB, cpus_per_task: 3")
    )
    assert "mem" not in found
    assert found["mem-per-cpu"] == "3414M"


def test_a_job_is_no_larger_than_all_jobs_of_a_user_may_be_together(plan) -> None:
    site = (
        "queues: [{name: a, nodes: {max: 32}, at_once: {nodes: {max: 8}, gpus: {max: 8}}}]\n"
        "node_types: {default: {cores: 8, gpus: 4}}\n"
    )
    assert options(plan(site, "nodes: 8"))["nodes"] == "8"
    with pytest.raises(NoResourcesError, match="9 nodes, at most 8"):
        plan(site, "nodes: 9")
    assert options(plan(site, "nodes: 2, gpus_per_node: 4"))["nodes"] == "2"
    with pytest.raises(NoResourcesError, match="12 GPUs, at most 8"):
        plan(site, "nodes: 3, gpus_per_node: 4")


def test_ranks_see_gpus_in_the_order_of_the_file(plan) -> None:
    site = (
        "binding: {gpu_order: [1, 0, 3, 2]}\n"
        "node_types: {default: {cores: 8, gpus: 4, gpu_model: A100}}\nqueues: [{name: a}]\n"
    )
    launch = plan(site, "gpus_per_node: 4, ntasks_per_node: 4", "srun").jobs[0].launch
    assert launch.gpus == ((1,), (0,), (3,), (2,))


@pytest.mark.parametrize(
    ("site", "place"),
    [
        ("queues: [{name: a, partition: unknown}]\n", "queues[0].partition"),
        ("modules: {load: [gcc, unknown]}\n", "modules.load[1]"),
        ("environment_sets: {s: {env: {A: unknown}}}\n", "environment_sets.s.env.A"),
        ("environment_sets: {s: {when: {gpus: unknown}}}\n", "environment_sets.s.when.gpus"),
        ("request: {extra: [{directive: unknown}]}\n", "request.extra[0].directive"),
        ("launchers: {srun: {argv: [srun, unknown]}}\n", "launchers.srun.argv[1]"),
        ("network: {proxy: {https_proxy: unknown}}\n", "network.proxy.https_proxy"),
    ],
)
def test_what_is_unknown_is_left_out_of_a_script_and_warns(plan, site: str, place: str) -> None:
    found = plan(site)
    assert [text for text in map(str, found.warnings) if place in text] == [
        f"site x: unknown, and left out of the scripts: {place}"
    ]
    text = "".join(render_scripts(found).values())
    assert "unknown" not in text.replace("unknown argument", "")


UNKNOWN_SECTIONS = [
    ("request: {gpu: unknown}", ["GPUs are asked for by --gres: request.gpu"]),
    ("request: {gpu: {style: unknown}}", ["GPUs are asked for by --gres: request.gpu.style"]),
    (
        "request: unknown",
        ["GPUs are asked for by --gres: request", "memory is asked for as a job says: request"],
    ),
    ("request: {memory: unknown}", ["memory is asked for as a job says: request.memory"]),
    (
        "request: {memory: {policy: unknown}}",
        ["memory is asked for as a job says: request.memory.policy"],
    ),
    (
        "queues: [{name: a, memory: unknown}]",
        ["memory is asked for as a job says: queues[0].memory"],
    ),
    ("queues: unknown", ["no queue is chosen, and no limit checked: queues"]),
    ("node_types: unknown", ["what a job asks of a node is not checked: node_types"]),
    ("containers: unknown", ["apptainer is tried: containers"]),
    ("containers: {runtime: unknown}", ["apptainer is tried: containers.runtime"]),
    ("binding: {style: mask, gpu_core_base: unknown}", ["left out of the scripts: binding.gpu_core_base"]),
    ("account: unknown", []),
    ("account: {required: unknown}", []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("site", "told"), UNKNOWN_SECTIONS, ids=[row[0] for row in UNKNOWN_SECTIONS]
)
def test_what_is_done_without_what_is_unknown_is_told(plan, site: str, told: list[str]) -> None:
    image = PIPELINE.replace("{python: /usr/bin/python3}", "{container: img.sif}")
    found = plan(f"{site}\n", "gpus_per_node: 1, mem_per_node: 4GiB", "srun", text=image)
    expected = [f"site x: unknown, and {text}" for text in told]
    if "account" in site:
        expected = ["whether site x wants an account is unknown, and none is given"]
    assert list(map(str, found.warnings)) == expected
    assert options(found)["gres"] == "gpu:1"
    assert options(found)["mem"] == "4096M"
    plain = plan(f"{site}\n")
    assert not [
        text for text in map(str, plain.warnings) if "--gres" in text or "apptainer" in text
    ]


def test_a_share_of_memory_of_which_all_is_not_known_is_told(plan) -> None:
    site = (
        "queues: [{name: a, memory: {policy: optional, share: yes}}]\n"
        "node_types: {default: {cores: 8, mem: 100GiB MORE}}\n"
    )
    unsure = plan(site.replace("MORE", ""), "cpus_per_task: 4")
    assert options(unsure)["mem"] == "46080M"
    told = "site x: what a job can have of node_types.default.mem is unknown"
    assert [text for text in map(str, unsure.warnings) if text.startswith(told)]
    (origin,) = [one for one in unsure.origins if one.key == "jobs.one.directives.mem"]
    assert origin.source == ("the share of its cores or GPUs in 90 % of node_types.default.mem")
    sure = plan(site.replace("MORE", ", mem_requestable: 90GiB"), "cpus_per_task: 4")
    assert options(sure)["mem"] == "46080M"
    assert sure.warnings == ()


def test_an_unknown_that_no_job_meets_is_not_told(plan) -> None:
    site = "queues: [{name: a, partition: a}, {name: b, automatic: no, partition: unknown}]\n"
    assert plan(site).warnings == ()


def test_another_cluster_is_reached_by_its_slurm_conf(plan) -> None:
    (told,) = map(str, plan("submit: {slurm_conf: /etc/slurm/slurm.conf_dodrio}\n").warnings)
    assert told.endswith("export SLURM_CONF=/etc/slurm/slurm.conf_dodrio")


@pytest.mark.parametrize(
    ("node", "size", "told"),
    [
        ("{cores: unknown}", "cpus_per_task: 500", "cores of a node"),
        ("{cores: unknown}", "cpus_per_task: 1", ""),
        ("{cores: 8}", "cpus_per_task: 8", ""),
        ("{mem: unknown}", "mem_per_node: 4TiB", "memory of a node"),
        ("{mem: unknown, mem_requestable: 8GiB}", "mem_per_node: 8GiB", ""),
        ("{mem: 8GiB, mem_requestable: unknown}", "mem_per_node: 7GiB", ""),
        ("{mem: 8GiB, mem_requestable: unknown}", "mem_per_node: 8GiB", "memory of a node"),
        ("{gpus: unknown}", "gpus_per_node: 16", "GPUs of a node"),
        ("{gpus: unknown}", "nodes: 1", ""),
    ],
)
def test_what_is_unknown_of_a_node_is_told_to_those_who_ask_for_it(
    plan, node: str, size: str, told: str
) -> None:
    found = plan(f"queues: [{{name: a}}]\nnode_types: {{n: {node}}}\n", size, "srun")
    texts = [text for text in map(str, found.warnings) if "not checked" in text]
    assert texts == ([f"queue a of x: unknown and not checked: {told}"] if told else [])
    fact = {"cores of a node": "cores", "memory of a node": "mem", "GPUs of a node": "gpus"}
    keys = [warning.keys for warning in found.warnings if warning.kind == "site_unknown"]
    assert keys == ([(f"node_types.n.{fact[told]}",)] if told else [])


DISK = (
    "queues: [{name: a, node_type: with}, {name: b, node_type: none, automatic: no}]\n"
    "node_types:\n"
    "  with: {cores: 8, local: {path: '/mnt/bb/$USER', is_ram: no, constraint: nvme}}\n"
    "  none: {cores: 8, local: no}\n"
    "request: {extra: [{when: {node_local: yes}, directive: [tmp, 100G]},\n"
    "  {when: {node_local: no}, directive: [reservation, plain]}]}\n"
)


def test_a_disk_of_the_node_is_asked_for_and_its_path_is_told(plan) -> None:
    found = plan(DISK, "node_local: true")
    assert options(found)["constraint"] == "nvme"
    assert options(found)["tmp"] == "100G"
    assert "reservation" not in options(found)
    assert found.warnings == ()
    assert 'export DFH_NODE_LOCAL="/mnt/bb/${USER:-}"' in render_scripts(found)["one"]
    origins = {one.key: one.source for one in found.origins}
    assert origins["jobs.one.env.DFH_NODE_LOCAL"] == "site x (project):5"
    assert origins["jobs.one.resources.node_local"].endswith("pipeline.yaml:3")
    assert not found.job("_final").resources.node_local
    for without in (plan(DISK), plan(DISK, "node_local: false")):
        assert {"constraint", "tmp"}.isdisjoint(options(without))
        assert options(without)["reservation"] == "plain"
        assert "DFH_NODE_LOCAL" not in render_scripts(without)["one"]


def test_a_node_without_a_disk_of_its_own_is_refused(plan) -> None:
    with pytest.raises(NoResourcesError, match="b: its nodes have no disk of their own") as caught:
        plan(DISK, "node_local: true, queue: b")
    assert "b takes it with node_local: false; without queue:, a takes it" in caught.value.hint


@pytest.mark.parametrize("local", ["", ", local: unknown", ", local: {path: unknown}"])
def test_a_disk_that_nobody_told_is_a_warning(plan, local: str) -> None:
    for site in ("", f"node_types: {{default: {{cores: 8{local}}}}}\n"):
        found = plan(site, "node_local: true")
        assert [text for text in map(str, found.warnings) if "$DFH_NODE_LOCAL is not set" in text]
        assert "DFH_NODE_LOCAL" not in render_scripts(found)["one"]
        assert not [text for text in map(str, plan(site).warnings) if "NODE_LOCAL" in text]


def test_a_disk_that_is_memory_is_a_warning(plan) -> None:
    site = "node_types: {default: {cores: 8, local: {path: /tmp, is_ram: yes}}}\n"
    (told,) = map(str, plan(site, "node_local: true").warnings)
    assert told == "what lies in /tmp of x counts as the job's memory"


@pytest.mark.parametrize("runtime", ["apptainer", "podman-hpc", "pyxis"])
def test_a_container_sees_the_disk_of_the_node(plan, tmp_path, runtime: str) -> None:
    site = DISK.replace("$USER", "all") + f"containers: {{runtime: {runtime}}}\n"
    image = PIPELINE.replace("{python: /usr/bin/python3}", "{container: img.sif}")
    for launch in ("none", "srun"):
        found = plan(site, "node_local: true", launch, text=image)
        assert "/mnt/bb/all" in found.job("one").container.bind
        job = found.job("one")
        assert (
            launch == "none"
            or "/mnt/bb/all:/mnt/bb/all" in " ".join(job.launch.argv)
            or ('--bind "/mnt/bb/all"' in " ".join(job.launch.argv))
        )


def test_each_source_of_a_constraint_is_named(plan) -> None:
    site = (
        "queues: [{name: a, constraint: gpu}]\n"
        "node_types: {default: {cores: 8}}\n"
        "request: {extra: [\n  {when: {nodes: {min: 2}}, directive: [constraint, fast]},\n"
        "  {when: {launch: [none]}, directive: [constraint, lustre]}]}\n"
    )
    found = plan(site, "nodes: 2")
    assert options(found)["constraint"] == "gpu&fast&lustre"
    (origin,) = [one for one in found.origins if one.key == "jobs.one.directives.constraint"]
    assert origin.source == "site x (project):3, site x (project):6, site x (project):7"


def test_what_is_unknown_of_a_queue_is_one_line(plan) -> None:
    site = "queues: [{name: a, nodes: unknown, time: unknown, mem_per_node: {max: unknown}}]\n"
    found = plan(site, "nodes: 2, mem_per_node: 1GiB")  # the final job asks for less
    told = [text for text in map(str, found.warnings) if text.startswith("queue a of x")]
    assert told == ["queue a of x: unknown and not checked: nodes, mem_per_node, time"]


def test_the_share_of_memory_is_asked_for_where_the_queue_says_so(plan) -> None:
    site = (
        "queues: [{name: a, memory: {policy: optional, share: SHARE}}]\n"
        "node_types: {default: {cores: 8, mem: 100GiB, mem_requestable: 80GiB, gpus: 4}}\n"
    )
    yes, no = site.replace("SHARE", "yes"), site.replace("SHARE", "no")
    assert options(plan(yes, "gpus_per_node: 1"))["mem"] == "20480M"
    assert options(plan(yes, "cpus_per_task: 4"))["mem"] == "40960M"
    assert options(plan(yes, "gpus_per_node: 1, mem_per_node: 1GiB"))["mem"] == "1024M"
    assert "mem" not in options(plan(no, "gpus_per_node: 1"))
    assert "mem" not in options(plan(yes.replace("mem: 100GiB, mem_requestable: 80GiB, ", "")))


@pytest.mark.parametrize("launch", ["mpi", "horovod"])
def test_ranks_of_mpi_that_may_not_meet_are_a_warning(plan, launch: str) -> None:
    site = "slurm: {mpi_default: DEFAULT}\n"
    (told,) = map(str, plan(site.replace("DEFAULT", "none"), launch=launch).warnings)
    assert "srun of x starts no MPI by itself" in told
    assert "srun --mpi=list" in told
    for unsure in (site.replace("DEFAULT", "unknown"), "slurm: unknown\n"):
        (told,) = map(str, plan(unsure, launch=launch).warnings)
        assert "is unknown" in told
    for fine in (site.replace("DEFAULT", "pmix"), ""):
        assert plan(fine, launch=launch).warnings == ()
    assert plan(site.replace("DEFAULT", "none"), launch="srun").warnings == ()
    named = f"launchers: {{{launch}: {{argv: [srun, --mpi=pmi2]}}}}\n"
    assert plan(site.replace("DEFAULT", "none") + named, launch=launch).warnings == ()


@pytest.mark.parametrize("name", ["slurm-generic", "slurm-pyxis"])
def test_a_cluster_of_which_nothing_is_known_is_not_thought_to_have_pmix(name: str) -> None:
    site = load_site(name, [SiteFolder(SHIPPED, data_folder("site-configs"))]).spec
    for launcher in site.launchers.values():
        assert not [word for word in launcher.argv if word.startswith("--mpi")]
    assert site.slurm.mpi_default is UNKNOWN


def test_cores_of_a_gpu_never_keep_a_job_from_its_queue(plan) -> None:
    site = (
        "queues: [{name: a, node_type: big, cpus_per_node: {max: 8}}, {name: b, node_type: small}]\n"
        "node_types: {big: {cores: 64, gpus: 4}, small: {cores: 16, gpus: 4}}\n"
    )
    job = plan(site, "gpus_per_node: 2", "srun").job("one")
    assert (job.queue, job.resources.cpus_per_task) == ("a", 4)
    roomy = plan(site.replace("max: 8", "max: 32"), "gpus_per_node: 2", "srun").job("one")
    assert (roomy.queue, roomy.resources.cpus_per_task) == ("a", 16)


def hint(plan, site: str, size: str) -> str:
    with pytest.raises(NoResourcesError) as caught:
        plan(site, size)
    return caught.value.hint


def test_gpus_beyond_a_node_and_the_job_are_said_once(plan) -> None:
    site = "queues: [{name: a, nodes: {max: 2}, gpus: {max: 4}}]\nnode_types: {n: {gpus: 4}}\n"
    assert hint(plan, site, "gpus_per_node: 8") == "Nearest: a takes it with gpus_per_node: 4."
    fewer = hint(plan, site.replace("max: 4", "max: 8"), "nodes: 3, gpus_per_node: 4")
    assert fewer == "Nearest: a takes it with nodes: 2."
    both = hint(plan, site, "nodes: 3, gpus_per_node: 8")
    assert both == "Nearest: a takes it with nodes: 1, gpus_per_node: 4."


def test_a_queue_of_limited_access_is_offered_last(plan) -> None:
    site = (
        "queues: [{name: a, automatic: no, access: Some projects}, {name: b, nodes: {max: 2}},\n"
        "  {name: c, nodes: {max: 1}}]\n"
    )
    assert hint(plan, site, "nodes: 9") == (
        "Nearest: b takes it with nodes: 2; a takes it with queue: a (of limited access)."
    )


def test_no_chain_is_offered_where_no_job_may_wait_for_another(plan) -> None:
    site = "queues: [{name: a, time: {max: 2h}, chaining: forbidden}, {name: b, time: {max: 1h}}]\n"
    assert hint(plan, site, "time: 5h") == 'Nearest: a takes it with time: "02:00:00".'


IMAGE = PIPELINE.replace("{python: /usr/bin/python3}", "{container: img.sif}")


def refusal(plan, site: str, size: str, launch: str, text: str = PIPELINE) -> str:
    with pytest.raises(InvalidInputError) as caught:
        plan(site, size, launch, text=text)
    return "\n".join(str(fault) for fault in caught.value.faults)


def test_an_account_that_only_some_must_name_is_a_warning(plan) -> None:
    (told,) = map(str, plan("account: {required: if-several}\n").warnings)
    assert told == "site x wants an account of those who have several; none is given"
    assert plan("account: {required: if-several, value: p1}\n").warnings == ()


@pytest.mark.parametrize("severity", ["policy", "avoid"])
def test_an_option_that_a_site_frowns_on_is_a_warning(plan, severity: str) -> None:
    site = f"request: {{forbidden: [{{flag: mem, severity: {severity}, why: whole nodes}}]}}\n"
    (told,) = map(str, plan(site, "mem_per_node: 1GiB").warnings)
    assert told == "site x does not want --mem: whole nodes"
    assert plan(site).warnings == ()


def test_gpus_that_ranks_cannot_share_out_are_refused(plan) -> None:
    site = "request: {gpu: gpus-per-task}\n"
    text = refusal(plan, site, "gpus_per_node: 4, ntasks_per_node: 3", "srun")
    assert "wants GPUs to be asked for by rank, and 3 ranks a node cannot share 4" in text
    fine = plan(site, "gpus_per_node: 4, ntasks_per_node: 2", "srun")
    assert options(fine)["gpus-per-task"] == "2"


def test_the_type_of_a_gpu_is_asked_for_where_it_is_known(plan) -> None:
    site = (
        "request: {gpu: {style: gres, typed: yes}}\n"
        "node_types: {default: {cores: 8, gpus: 4, gpu_type: TYPE}}\n"
    )
    fine = plan(site.replace("TYPE", "a100"), "gpus_per_node: 2")
    assert (options(fine)["gres"], fine.warnings) == ("gpu:a100:2", ())
    unsure = plan(site.replace("TYPE", "unknown"), "gpus_per_node: 2")
    assert options(unsure)["gres"] == "gpu:2"
    assert "site x wants the type of a GPU, which is not known" in map(str, unsure.warnings)


@pytest.mark.parametrize(
    ("where", "in_header", "on_line"),
    [("header", True, False), ("launch", False, True), ("both", True, True)],
)
def test_gpus_are_asked_for_where_the_site_wants_that(
    plan, where: str, in_header: bool, on_line: bool
) -> None:
    found = plan(f"request: {{gpu: {{style: gres, where: {where}}}}}\n", "gpus_per_node: 2", "srun")
    assert ("gres" in options(found)) is in_header
    assert ("--gres=gpu:2" in found.job("one").launch.argv) is on_line


def test_a_launcher_and_an_image_bring_modules_to_jobs_that_have_them(plan) -> None:
    site = "launchers: {srun: {argv: [srun], modules: [mpi/1]}}\ncontainers: {modules: [box/1]}\n"
    assert plan(site).job("one").modules == ()
    assert plan(site, launch="srun").job("one").modules == ("mpi/1",)
    assert plan(site, text=IMAGE).job("one").modules == ("box/1",)
    both = plan(site, launch="srun", text=IMAGE)
    assert both.job("one").modules == ("mpi/1", "box/1")
    origins = {one.key: one.source for one in both.origins}
    assert origins["jobs.one.modules.mpi/1"] == "site x (project):3"
    assert origins["jobs.one.modules.box/1"] == "site x (project):4"


@pytest.mark.parametrize(
    ("runtime", "launcher", "told"),
    [
        ("shifter", "mpirun", "mpirun cannot start ranks in shifter; only srun can"),
        ("pyxis", "ibrun", "ibrun cannot start ranks in pyxis; only srun can"),
        ("apptainer", "mpirun", ""),
        ("shifter", "srun", ""),
    ],
)
def test_ranks_that_cannot_start_in_an_image_are_refused(
    plan, runtime: str, launcher: str, told: str
) -> None:
    site = (
        f"containers: {{runtime: {runtime}}}\nlaunchers: {{mpi: {{argv: [{launcher}, --mpi=x]}}}}\n"
    )
    if told:
        text = refusal(plan, site, "nodes: 1", "mpi", IMAGE)
        assert told in text
        assert "use conda:, venv: or modules: for it" in text
    else:
        assert plan(site, launch="mpi", text=IMAGE).job("one").launch.argv[0] == launcher


def test_torchrun_starts_no_ranks_in_an_image(plan) -> None:
    text = refusal(plan, "", "nodes: 1", "torchrun", IMAGE)
    assert "torchrun in a container is not in this version" in text


TWO = (
    "queues: [{{name: a, constraint: '{}'}}]\n"
    "request: {{extra: [{{directive: [constraint, nvme]}}, {{directive: [constraint, nvme]}}]}}"
)


@pytest.mark.parametrize(
    ("site", "option", "expected"),
    [
        ("request: {extra: [{directive: [gres, 'lscratch:100']}]}", "gres", "gpu:2,lscratch:100"),
        (
            "request: {extra: [{directive: [gres, 'nvme:1']}, {directive: [gres, lscratch]}]}",
            "gres",
            "gpu:2,nvme:1,lscratch",
        ),
        (
            "request: {extra: [{directive: [licenses, 'a:2']}, {directive: [licenses, 'b,a:2']}]}",
            "licenses",
            "a:2,b",
        ),
        (
            "request: {extra: [{directive: [exclude, 'n[1,3]']}, {directive: [exclude, 'n[2,3]']}]}",
            "exclude",
            "n[1,3],n[2,3]",
        ),
        (
            TWO.format("v100|a100"),
            "constraint",
            "(v100|a100)&nvme",
        ),
        (
            TWO.format("ib&[r1|r2]"),
            "constraint",
            "ib&[r1|r2]&nvme",
        ),
    ],
)
def test_lists_are_joined(plan, site: str, option: str, expected: str) -> None:
    found = plan(site + "\n", "gpus_per_node: 2")
    assert options(found)[option] == expected
    assert "gpu:2" in options(found)["gres"]


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (
            "request: {extra: [{directive: [gres, 'gpu:1']}]}",
            "--gres is asked for twice: gpu:2 and",
        ),
        (
            "request: {extra: [{directive: [gres, 'a:1']}, {directive: [gres, 'a:2']}]}",
            "--gres is asked for twice: gpu:2,a:1 and a:2",
        ),
        (
            "queues: [{name: a, partition: p}]\nrequest:\n  extra: [{directive: [partition, q]}]",
            "--partition is asked for twice: p and q",
        ),
        (
            "request: {extra: [{directive: [licenses, 'a|b']}, {directive: [licenses, c]}]}",
            "--licenses is asked for twice: a|b and c",
        ),
        (
            "request: {extra: [{directive: [reservation, x]}, {directive: [reservation, y]}]}",
            "--reservation is asked for twice: x and y",
        ),
    ],
)
def test_nothing_is_replaced_in_silence(plan, site: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan(site + "\n", "gpus_per_node: 2")
    fault = caught.value.faults[0]
    assert message in fault.message
    line = 2 + len(site.splitlines())
    assert f"site x (project):{line}: " in fault.message
    assert fault.hint == "leave one of them out"


WHOLE = (
    "queues: [{name: part, nodes: {max: 1}, cpus: {max: 8}, exclusive: no}, "
    "{name: whole, exclusive: yes}]\n"
    "node_types: {n: {cores: 128, smt: 2THREADS, gpus: 0}}\n"
)


@pytest.mark.parametrize(
    ("threads", "size", "cores"),
    [
        ("", "nodes: 2, ntasks_per_node: 16", "16"),
        ("", "nodes: 2, ntasks_per_node: 16, cpus_per_task: 2", "2"),
        ("", "nodes: 2", "256"),
        (", threads_per_core: 1", "nodes: 2, ntasks_per_node: 16", "8"),
        (", threads_per_core: unknown", "nodes: 2, ntasks_per_node: 16", "8"),
        (", usable_cores: 100", "nodes: 2, ntasks_per_node: 16", "12"),
        ("", "ntasks_per_node: 4", "1"),  # goes to the queue that shares its nodes
        ("", "ntasks_per_node: 9", "28"),
    ],
)
def test_ranks_share_a_whole_node(plan, threads: str, size: str, cores: str) -> None:
    found = plan(WHOLE.replace("THREADS", threads), size, "srun")
    assert options(found)["cpus-per-task"] == cores


def test_a_queue_has_an_account_a_reservation_and_a_segment_of_its_own(
    plan, tmp_path: Path
) -> None:
    site = (
        "account: {value: ours}\n"
        "queues: [{name: a, partition: 'p,q', account: theirs, reservation: week, segment: 4}]\n"
    )
    found = plan(site, "nodes: 2")
    given = options(found)
    assert (given["partition"], given["reservation"], given["segment"]) == ("p,q", "week", "2")
    assert {job.account for job in found.jobs} == {"theirs"}
    assert options(plan(site, "nodes: 9"))["segment"] == "4"
    (told,) = [text for text in map(str, found.warnings) if "pays" in text or "pay " in text]
    assert told == "account ours does not pay for queue a: theirs does"
    origins = {one.key: one.source for one in found.origins}
    assert origins["jobs.one.directives.reservation"] == "site x (project):4"


def test_other_things_of_a_node_are_asked_for_by_name_and_count(plan) -> None:
    site = "request: {extra: [{directive: [gres, 'nvme:1']}]}\n"
    found = plan(site, "gpus_per_node: 2, gres: {lscratch: 100, 'shard:a': 3}")
    assert options(found)["gres"] == "gpu:2,lscratch:100,shard:a:3,nvme:1"
    assert found.job("one").resources.gres == (("lscratch", 100), ("shard:a", 3))
    with pytest.raises(InvalidInputError, match="gres: 'gpu'"):
        plan(site, "gres: {gpu: 1}")
    with pytest.raises(InvalidInputError, match="--gres is asked for twice"):
        plan(site, "gres: {nvme: 2}")


def test_memory_is_limited_by_the_cores_of_a_job(plan) -> None:
    site = "queues: [{name: a, mem_per_cpu: {max: 4GiB}, at_once: {cpus: {max: 8}, mem: {max: 40GiB}}}]\n"
    assert options(plan(site, "cpus_per_task: 4, mem_per_node: 16GiB"))["mem"] == "16384M"
    # Slurm would give it the cores without a word.
    raised = plan(site, "cpus_per_task: 3, mem_per_node: 16GiB")
    assert options(raised)["cpus-per-task"] == "4"
    assert "cpus_per_task 3 -> 4" in "".join(notice.text for notice in raised.warnings)
    for size, says in (
        ("cpus_per_task: 3, mem_per_node: 36GiB", "12288 MiB a core, at most 4096"),
        (
            "nodes: 3, cpus_per_task: 2, mem_per_node: 8GiB, ntasks_per_node: 2",
            "12 cores, at most 8",
        ),
        ("nodes: 2, cpus_per_task: 8, mem_per_node: 32GiB", "65536 MiB, at most 40960"),
    ):
        with pytest.raises(NoResourcesError, match=says):
            plan(site, size, "srun")


@pytest.mark.parametrize(
    ("limit", "memory"),
    [
        ("name: a", "58982M"),
        ("name: a, at_once: {mem: {max: 4GiB}}", "4096M"),
        ("name: a, mem_per_node: {max: 10GiB}", "10240M"),
        ("name: a, mem_per_cpu: {max: 1GiB}", "16384M"),
        ("name: a, mem_per_cpu: {max: 100GiB}", "58982M"),
    ],
)
def test_memory_that_nobody_asked_for_is_within_the_limits_of_the_queue(
    plan, limit: str, memory: str
) -> None:
    site = (
        "request: {memory: required}\nnode_types: {default: {cores: 64, mem: 256GiB}}\n"
        f"queues: [{{{limit}}}]\n"
    )
    found = plan(site, "ntasks_per_node: 16, cpus_per_task: 1", "srun")
    assert options(found)["mem"] == memory


def test_a_queue_that_pays_itself_does_so_whoever_else_is_named(plan) -> None:
    queues = "queues: [{name: a, account: own}]\n"
    for account in ("{required: no}", "{required: yes}", "{required: if-several}", "{value: p1}"):
        found = plan(f"account: {account}\n{queues}")
        assert {job.account for job in found.jobs} == {"own"}
        told = [one.kind for one in found.warnings if "account" in one.kind]
        assert told == (["other_account"] if "value" in account else [])
        origins = {one.key: one.source for one in found.origins}
        assert origins["jobs.one.account"] == "site x (project):4"
    some = "account: {required: yes}\nqueues: [{name: a, account: own}, {name: b}]\n"
    with pytest.raises(UsageError, match="which account pays"):
        plan(some)


TWO_ACCOUNTS = (
    "account: {value: p1}\nqueues:\n  - {name: cpu, gpus_per_node: {max: 0}}\n"
    "  - {name: gpu, nodes: {min: 2}, account_suffix: _g}\n"
)


def test_jobs_of_our_own_can_be_kept_in_the_account_that_pays_for_the_others(plan) -> None:
    found = plan(TWO_ACCOUNTS, "gpus_per_node: 1, nodes: 2")
    assert (found.job("one").account, found.job("_final").account) == ("p1_g", "p1")
    (told,) = [one for one in found.warnings if one.kind == "other_account"]
    assert told.text.startswith("account p1 pays in cpu for the jobs that join parts and close")
    assert not [one for one in plan(TWO_ACCOUNTS).warnings if one.kind == "other_account"]
    kept = plan(TWO_ACCOUNTS + "submit: {internal_queue: gpu}\n", "gpus_per_node: 1, nodes: 2")
    final = kept.job("_final")
    assert (final.queue, final.account, final.resources.nodes) == ("gpu", "p1_g", 2)
    assert not [one for one in kept.warnings if one.kind == "other_account"]
    with pytest.raises(InvalidInputError, match=r"submit\.internal_queue: no queue 'gup'"):
        plan(TWO_ACCOUNTS + "submit: {internal_queue: gup}\n")
