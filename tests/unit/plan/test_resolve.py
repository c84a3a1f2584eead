from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepforge_hpc.errors import InvalidInputError, NoResourcesError, UsageError
from deepforge_hpc.pipeline.load import Settings, load_pipeline
from deepforge_hpc.plan.resolve import last_jobs, resolve
from deepforge_hpc.runtime.base.plan import Job, JobKind, Plan, parse_plan
from deepforge_hpc.submit.execution import plan_file

CODE = """\
import numpy as np


class Render:
    def __init__(self, width: int = 64, shard: int = 0):
        self.width = width

    def execute(self, table: np.ndarray) -> np.ndarray:
        images = table
        return images


class Train:
    def __init__(self, epochs: int = 1, seed: int = 0):
        self.epochs = epochs

    def execute(self, images: np.ndarray) -> dict:
        model = {}
        return model


def evaluate(model: dict, images: np.ndarray) -> dict:
    metrics = {}
    return metrics
"""
PIPELINE = """\
pipeline: demo
inputs: {table: table.npy}
operations:
  render: {uses: ops.py:Render, inputs: {table: table}, map: {over: table, shards: 4}}
  train:
    uses: ops.py:Train
    inputs: {images: render.images}
    attributes: {epochs: 3}
  evaluate: {uses: ops.py:evaluate, inputs: {model: train.model, images: render.images}}
outputs:
  model: train.model
  images: {from: render.images, to: out/images}
"""
SITE = """\
site: big
scheduler: slurm
account: {value: proj1, required: no}
defaults: {time: "00:30:00", mem_per_node: 2GiB, cpus_per_task: 2}
request: {gpu: gpus-per-node}
launchers:
  none: {}
  srun: {argv: [srun, "-n{world_size}", "-N{nodes}", "-c{cpus_per_task}"]}
  torchrun: {argv: [torchrun], max_nodes: 1}
queues:
  - {name: debug, partition: dbg, nodes: {max: 1}, time: {max: "00:40:00"}}
  - {name: gpu, partition: gpus, qos: long, nodes: {max: 8}, time: {max: "10:00:00"},
     gpus_per_node: {max: 4}, gpus: {min: 1}}
  - {name: batch, partition: cpu, nodes: {max: 20}, time: {max: "02:00:00"},
     cpus_per_node: {max: 64}, mem_per_node: {max: 256GiB}}
  - {name: special, partition: x, automatic: no}
"""


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        (root / "ops.py").write_text(CODE)
        (root / "table.npy").write_bytes(b"rows")
        self.write(PIPELINE)
        self.site(SITE)

    def write(self, text: str) -> None:
        (self.root / "pipeline.yaml").write_text(text)

    def site(self, text: str) -> None:
        (self.root / "site-configs").mkdir(exist_ok=True)
        (self.root / "site-configs" / "big.yaml").write_text(text)

    def plan(self, site: str | None = "big", **settings: object) -> Plan:
        settings.setdefault("python", "/usr/bin/python3")
        return resolve(
            load_pipeline(
                self.root / "pipeline.yaml",
                site=site,
                settings=Settings(**settings),  # type: ignore[arg-type]
            )
        )

    def train(self, extra: str, site: str = "big", **settings: object) -> Plan:
        """Plan with lines added to the operation train."""
        lines = PIPELINE.replace("{epochs: 3}\n", "{epochs: 3}\n    " + extra + "\n")
        self.write(lines)
        return self.plan(site, **settings)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def directives(job: Job) -> dict[str, str]:
    return dict(job.directives)


def sources(plan: Plan) -> dict[str, str]:
    return {origin.key: origin.source for origin in plan.origins}


def test_operations_become_jobs_in_order(project):
    plan = project.plan("local")
    assert [(job.name, job.kind, job.after) for job in plan.jobs] == [
        ("render", JobKind.ARRAY, ()),
        ("render.gather", JobKind.GATHER, ("render",)),
        ("train", JobKind.RUN, ("render.gather",)),
        ("evaluate", JobKind.RUN, ("render.gather", "train")),
        ("_final", JobKind.FINAL, ("evaluate", "train")),
    ]
    assert plan.job("_final").dependency == "afterany"
    assert plan.job("train").dependency == "afterok"
    assert plan.job("render").tasks == 4
    assert directives(plan.job("render"))["array"] == "0-3"
    assert "array" not in directives(plan.job("render.gather"))
    assert plan.scheduler == "local"


def test_a_mapped_operation_is_read_through_its_gather_job(project):
    plan = project.plan("local")
    (table,) = plan.job("render").inputs
    assert (table.external, table.mapped, table.job) == ("table", True, None)
    (images,) = plan.job("train").inputs
    assert (images.job, images.output, images.mapped) == ("render.gather", "images", False)
    assert plan.job("render.gather").outputs == plan.job("render").outputs
    assert [(out.name, out.job, out.to) for out in plan.outputs] == [
        ("model", "train", ""),
        ("images", "render.gather", str(project.root / "out" / "images")),
    ]
    assert [item.name for item in plan.inputs] == ["table"]


def test_a_plan_survives_json(project):
    plan = project.plan()
    again = parse_plan(plan_file(plan))
    assert again == plan._replace(origins=())


def test_a_plan_without_the_later_fields_of_a_job_can_be_read(project):
    plan = project.plan()
    data = json.loads(json.dumps(plan.to_dict()))
    for job in data["jobs"]:
        for name in (
            "env",
            "module_init",
            "module_unload",
            "modules",
            "container",
            "inherits_shell",
        ):
            del job[name]
    assert parse_plan(json.dumps(data)) == plan._replace(origins=())


def test_the_sentences_that_were_warnings_of_earlier_plans_can_be_read(project):
    data = {**project.plan().to_dict(), "warnings": ["node a: unknown"]}
    (warning,) = parse_plan(json.dumps(data)).warnings
    assert (str(warning), warning.level) == ("node a: unknown", "warning")
    assert warning.kind == "earlier_plan"


def test_the_same_files_give_the_same_plan_in_another_process(project):
    code = (
        "import json, sys; from pathlib import Path\n"
        "from deepforge_hpc.plan.resolve import resolve\n"
        "from deepforge_hpc.pipeline.load import Settings, load_pipeline\n"
        "loaded = load_pipeline(Path(sys.argv[1]), site='big',"
        " settings=Settings(python='/usr/bin/python3'))\n"
        "print(json.dumps(resolve(loaded).to_dict()))"
    )
    path = project.root / "pipeline.yaml"
    environ = {**os.environ, "PYTHONHASHSEED": "11", "SLURM_JOB_ID": "1", "USER": "other"}
    done = subprocess.run(
        [sys.executable, "-c", code, path], env=environ, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(project.plan().to_dict()))


# -- sizes


def test_the_site_gives_what_the_operation_leaves_open(project):
    plan = project.plan()
    train = plan.job("train")
    assert directives(train) == {
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "2",
        "mem": "2048M",
        "time": "00:30:00",
        "partition": "dbg",
        "signal": "B:USR1@60",
        "open-mode": "append",
        "no-requeue": "",
    }
    assert train.account == "proj1"
    origin = sources(plan)
    assert origin["jobs.train.resources.time_s"].startswith("site big (project):4")
    assert origin["jobs.train.resources.nodes"] == "default"
    assert origin["jobs.train.account"].startswith("site big (project):3")


def test_the_operation_wins_over_the_site(project):
    plan = project.train(
        "resources: {nodes: 2, ntasks_per_node: 3, cpus_per_task: 4, gpus_per_node: 4,"
        " mem_per_node: 8GiB, time: 5h}"
    )
    found = directives(plan.job("train"))
    assert found["nodes"] == "2"
    assert found["ntasks-per-node"] == "3"
    assert found["cpus-per-task"] == "4"
    assert found["gpus-per-node"] == "4"
    assert found["mem"] == "8192M"
    assert found["time"] == "05:00:00"
    assert (found["partition"], found["qos"]) == ("gpus", "long")
    origin = sources(plan)
    assert origin["jobs.train.resources.nodes"].endswith("pipeline.yaml:9")
    assert "not debug: 2 nodes, at most 1" in origin["jobs.train.queue"]


@pytest.mark.parametrize(
    ("style", "pair"),
    [
        ("gres", ("gres", "gpu:2")),
        ("gpus", ("gpus", "4")),
        ("gpus-per-node", ("gpus-per-node", "2")),
        ("none", None),
    ],
)
def test_gpus_are_asked_for_in_one_way_that_of_the_site(project, style, pair):
    project.site(SITE.replace("gpu: gpus-per-node", f"gpu: {style}"))
    plan = project.train("resources: {nodes: 2, gpus_per_node: 2}")
    names = {"gres", "gpus", "gpus-per-node", "gpus-per-task"}
    found = [item for item in plan.job("train").directives if item[0] in names]
    assert found == ([pair] if pair else [])


def test_ranks_follow_the_gpus_and_fill_the_launcher(project):
    plan = project.train("launch: srun\n    resources: {nodes: 2, gpus_per_node: 4}")
    train = plan.job("train")
    assert train.resources.ntasks_per_node == 4
    assert train.launch.argv == ("srun", "-n8", "-N2", "-c2")
    assert (train.launch.name, train.launch.world_size) == ("srun", 8)


@pytest.mark.parametrize(
    ("said", "gpus", "visibility"),
    [("", 4, "own"), ("gpu_visibility: all\n    ", 4, "all"), ("", 0, "all")],
)
def test_ranks_of_the_library_see_their_own_gpus_alone(project, said, gpus, visibility):
    """Its networks are built before it begins, and TensorFlow takes all that it sees with one."""
    size = f"resources: {{ntasks_per_node: 4, gpus_per_node: {gpus}}}"
    project.write(
        "pipeline: p\ninputs: {table: {uri: table.npy}}\noperations:\n  load:\n"
        "    uses: deepforge_hpc.operations:Load\n    inputs: {source: table}\n"
        f"    {said}launch: srun\n    {size}\noutputs: {{table: {{from: load.table}}}}\n"
    )
    launch = project.plan().job("load").launch
    assert launch.gpu_visibility == visibility
    assert len(launch.gpus) == gpus
    assert not any(word.startswith("--gpu-bind") for word in launch.argv)  # NCCL wants them near


@pytest.mark.parametrize(("ranks", "told"), [(2, False), (4, False), (3, True), (8, True)])
def test_ranks_without_a_gpu_each_are_told(project, ranks, told):
    size = f"resources: {{gpus_per_node: 4, ntasks_per_node: {ranks}}}"
    plan = project.train(f"launch: srun\n    {size}")
    found = [one.text for one in plan.warnings if one.kind == "gpus_shared"]
    said = f"{ranks} ranks have 4 GPUs on each node: which are whose nobody says"
    assert [text.startswith(said) for text in found] == [True] * told


def test_a_machine_cuts_down_what_it_lacks_and_says_so(project):
    cores = len(os.sched_getaffinity(0))
    plan = project.train(
        "launch: horovod\n    resources: {nodes: 4, gpus_per_node: 4, cpus_per_task: 9999}", "local"
    )
    train = plan.job("train")
    size = train.resources
    assert (size.nodes, size.ntasks_per_node, size.gpus_per_node) == (1, 1, 0)
    assert size.cpus_per_task == cores
    assert (train.launch.name, train.launch.argv, train.launch.world_size) == ("none", (), 1)
    text = "\n".join(map(str, plan.warnings))
    for part in ("nodes 4 -> 1", "gpus_per_node 4 -> 0", "horovod -> one rank", "train:"):
        assert part in text
    origin = sources(plan)
    assert "instead of 4" in origin["jobs.train.resources.nodes"]
    assert "site local (shipped)" in origin["jobs.train.resources.nodes"]
    assert "instead of horovod" in origin["jobs.train.launch"]


def test_memory_that_a_machine_does_not_enforce_is_told(project):
    plan = project.train("resources: {mem_per_node: 8GiB}", "local")
    assert plan.job("train").resources.mem_per_node_mib == 8192
    (told,) = [text for text in map(str, plan.warnings) if "mem_per_node" in text]
    assert told.startswith("train: mem_per_node is not enforced by site local")
    origin = sources(plan)["jobs.train.resources.mem_per_node_mib"]
    assert "pipeline.yaml:" in origin
    assert origin.endswith(", not enforced by site local")
    assert not any("enforced" in text for text in map(str, project.train("", "local").warnings))
    of_slurm = map(str, project.train("resources: {mem_per_node: 8GiB}").warnings)
    assert not any("enforced" in text for text in of_slurm)


def test_one_cut_of_many_operations_is_one_warning(project):
    project.write(
        "pipeline: demo\ninputs: {table: table.npy}\noperations:\n"
        + "".join(
            f"  a{i}: {{uses: 'ops.py:Render', inputs: {{table: table}}, resources: {{nodes: 2}}}}\n"
            for i in range(9)
        )
    )
    (cut,) = [text for text in map(str, project.plan("local").warnings) if "nodes 2 -> 1" in text]
    assert cut.startswith("a0, a1, a2 and 6 more: ")


def test_nodes_without_a_launcher_are_questioned(project):
    plan = project.train("resources: {nodes: 2}")
    assert any("one rank" in text for text in map(str, plan.warnings))
    assert plan.job("train").launch.world_size == 1


@pytest.mark.parametrize(
    ("launch", "says"),
    [("mpi", "no launcher mpi"), ("torchrun", "at most 1 node")],
)
def test_a_launcher_that_does_not_fit_is_refused_with_its_place(project, launch, says):
    with pytest.raises(InvalidInputError, match=says) as caught:
        project.train(f"launch: {launch}\n    resources: {{nodes: 2}}")
    assert caught.value.faults[0].line == 9
    assert caught.value.faults[0].hint


@pytest.mark.parametrize(("time", "signal"), [("1m", 15), ("90s", 30), ("4m", 60), ("8h", 60)])
def test_a_short_job_is_not_warned_as_it_starts(project, time, signal):
    plan = project.train(f"resources: {{time: {time}}}", "slurm-generic")
    assert directives(plan.job("train"))["signal"] == f"B:USR1@{signal}"


# -- queues


def test_no_queue_names_each_reason_and_the_nearest_change(project):
    with pytest.raises(NoResourcesError) as caught:
        project.train('resources: {nodes: 4, time: "03:00:00"}')
    text = caught.value.message
    assert "job train: 4 node(s) fit into no queue of big" in text
    assert "debug: 4 nodes, at most 1, 03:00:00, at most 00:40:00" in text
    assert "gpu: for jobs with GPUs" in text
    assert "batch: 03:00:00, at most 02:00:00" in text
    assert "special: taken only when" in text
    assert caught.value.hint == (
        "Nearest: special takes it with queue: special; batch takes it with"
        ' time: "02:00:00"; gpu takes it with gpus_per_node: 1.'
    )
    assert caught.value.exit_code == 4


def test_memory_cores_and_gpus_are_limits_too(project):
    with pytest.raises(NoResourcesError) as caught:
        project.train(
            "resources: {nodes: 2, ntasks_per_node: 8, cpus_per_task: 16, gpus_per_node: 8,"
            " mem_per_node: 300GiB}"
        )
    text = caught.value.message
    assert "gpu: 8 GPUs a node, at most 4" in text
    assert "128 cores a node, at most 64" in text
    assert "307200 MiB a node, at most 262144" in text


BY_MEMORY = """\
site: big
scheduler: slurm
account: {required: no}
routing: {by: [partition]}
queues:
  - {name: shared, partition: shared, mem_per_node: {max: 184GiB}, time: {max: 72h}}
  - {name: sapphire, partition: sapphire, mem_per_node: {max: 990GiB}, time: {max: 72h}}
  - {name: bigmem, partition: bigmem, mem_per_node: {min: 991GiB, max: 2000GiB}, time: {max: 72h}}
  - {name: middle, partition: middle, mem_per_node: {max: 990GiB}, time: {min: 73h, max: 336h}}
"""


@pytest.mark.parametrize(
    ("memory", "time", "queue"),
    [("184GiB", "72h", "shared"), ("185GiB", "72h", "sapphire"), ("990GiB", "72h", "sapphire"),
     ("991GiB", "72h", "bigmem"), ("990GiB", "100h", "middle"), ("991GiB", "100h", "")],
)  # fmt: skip
def test_a_site_that_routes_by_memory_and_time(project, memory, time, queue):
    project.site(BY_MEMORY)
    asked = f"resources: {{mem_per_node: {memory}, time: {time}}}"
    if queue:
        assert directives(project.train(asked).job("train"))["partition"] == queue
        return
    with pytest.raises(NoResourcesError) as caught:
        project.train(asked)
    assert f"shared: {991 * 1024} MiB a node, at most {184 * 1024}" in caught.value.message
    assert "middle: " in caught.value.message
    assert f"middle takes it with mem_per_node: {990 * 1024}MiB" in caught.value.hint
    assert 'bigmem takes it with time: "3-00:00:00"' in caught.value.hint


def test_every_job_without_a_queue_is_named(project):
    project.write(PIPELINE.replace("shards: 4}}", "shards: 4}, resources: {nodes: 99}}"))
    text = (project.root / "pipeline.yaml").read_text()
    project.write(text.replace("{epochs: 3}", "{epochs: 3}\n    resources: {nodes: 98}"))
    with pytest.raises(NoResourcesError) as caught:
        project.plan()
    assert "job render: 99" in caught.value.message
    assert "job train: 98" in caught.value.message


def test_jobs_of_ours_take_the_least_that_a_site_gives(project):
    queues = (
        "queues: [{name: huge, partition: h, nodes: {min: 65}, gpus_per_node: {min: 1},"
        " time: {max: 5m}}]"
    )
    project.site(SITE[: SITE.index("queues:")] + queues + "\n")
    project.write(
        "pipeline: demo\ninputs: {table: table.npy}\noperations:\n"
        "  a: {uses: 'ops.py:Render', inputs: {table: table},"
        " resources: {nodes: 70, gpus_per_node: 1, time: 5m}}\n"
    )
    final = project.plan().job("_final")
    assert directives(final)["nodes"] == "65"
    assert directives(final)["gpus-per-node"] == "1"
    assert directives(final)["time"] == "00:05:00"


def test_an_array_larger_than_the_site_takes_is_refused(project):
    project.site(SITE + "submit: {max_array_tasks: 3}\n")
    with pytest.raises(InvalidInputError, match="takes 3 at most"):
        project.plan()


# -- site and account


def test_a_plan_needs_a_site(project):
    with pytest.raises(UsageError, match="needs a site"):
        project.plan(None)


def test_an_account_is_asked_for_where_it_is_needed(project):
    project.site(SITE.replace("{value: proj1, required: no}", "{required: true}"))
    with pytest.raises(UsageError, match="account"):
        project.plan()
    plan = project.plan(account="proj2")
    assert {job.account for job in plan.jobs} == {"proj2"}
    assert sources(plan)["jobs.train.account"] == "--account"
    assert "proj2" not in json.dumps([job.directives for job in plan.jobs]), "it goes on the argv"


def test_the_kind_of_dependency_is_the_sites(project):
    project.site(SITE + "dependency: afterany\n")
    assert {job.dependency for job in project.plan().jobs} == {"afterany"}


# -- environment


def test_the_nearest_environment_holds(project):
    project.site(SITE + "environment: {python: /site/python, modules: [base]}\n")
    project.write(
        PIPELINE.replace("operations:", "environment: {conda: env}\noperations:", 1).replace(
            "{epochs: 3}", "{epochs: 3}\n    environment: {venv: /v, modules: []}"
        )
    )
    plan = project.plan()
    train = plan.job("train").environment
    assert (train.python, train.conda, train.modules) == ("/v/bin/python", "", ())
    for name in ("render", "render.gather", "evaluate", "_final"):
        found = plan.job(name).environment
        assert (found.python, found.conda, found.modules) == ("", "env", ("base",))
    origin = sources(plan)
    assert origin["jobs.train.environment"].endswith("pipeline.yaml:10")
    assert origin["jobs.render.environment"].endswith("pipeline.yaml:3")


def test_an_attribute_from_the_command_line_says_so(project):
    plan = project.plan(overrides=("train.epochs=7",))
    assert dict(plan.job("train").attributes) == {"epochs": 7}
    assert sources(plan)["jobs.train.attributes.epochs"] == "--set train.epochs"
    assert sources(project.plan())["jobs.train.attributes.epochs"].endswith("pipeline.yaml:8")


# -- a part of a pipeline


def test_a_part_takes_along_what_it_needs(project):
    plan = project.plan("local", only=("train",))
    assert [job.name for job in plan.jobs] == ["render", "render.gather", "train", "_final"]
    assert any("reused" in text and text.endswith(": render") for text in map(str, plan.warnings))
    assert {output.name for output in plan.outputs} == {"model", "images"}
    plan = project.plan("local", until=("render",))
    assert [job.name for job in plan.jobs] == ["render", "render.gather", "_final"]
    assert [output.name for output in plan.outputs] == ["images"]


def test_order_without_data(project):
    project.write(
        PIPELINE.replace(
            "outputs:",
            "  late: {uses: 'ops.py:Render', inputs: {table: table},"
            " after: [render, train]}\noutputs:",
            1,
        )
    )
    assert project.plan().job("late").after == ("render.gather", "train")


# -- keys


def keys(plan: Plan) -> dict[str, str]:
    return {job.name: job.plan_key for job in plan.jobs}


def test_keys_do_not_depend_on_place_or_size(project):
    # One interpreter: another one, or one that cannot be seen from here, may compute another thing.
    one = f"pipeline: demo\nenvironment: {{python: {sys.executable}}}"
    project.write(PIPELINE.replace("pipeline: demo", one))
    here = keys(project.plan("local"))
    assert here["_final"] == ""
    assert len(set(here.values())) == 5
    assert keys(project.plan("big")) == here
    assert keys(project.plan("slurm-generic", account="x", python="/other/python")) == here
    project.write(PIPELINE)
    before = keys(project.plan())
    larger = "resources: {nodes: 1, cpus_per_task: 2, time: 1h}"
    assert keys(project.train(larger)) == before


def test_keys_depend_on_the_ranks_where_there_are_several(project):
    def train(site, launch, nodes):
        return keys(project.train(f"launch: {launch}\n    resources: {{nodes: {nodes}}}", site))

    project.site(SITE.replace("launchers:", "launchers:\n  mpi: {argv: [mpirun, '{world_size}']}"))
    here, one = keys(project.plan("local")), keys(project.plan("big"))
    assert train("local", "srun", 2) == here, "one machine runs one rank"
    assert train("big", "srun", 1) == one
    two = train("big", "srun", 2)
    assert {name for name in one if one[name] != two[name]} == {"train", "evaluate"}
    assert len({train("big", *how)["train"] for how in (("srun", 2), ("srun", 3), ("mpi", 2))}) == 3


def test_of_an_output_the_format_is_in_the_plan_key_and_not_in_the_value_key(project):
    before = project.plan()
    named = "    uses: ops.py:Train\n    types: {model: pickle}\n"
    text = PIPELINE.replace("    uses: ops.py:Train\n", named)
    project.write(text.replace("ops.py:evaluate,", "ops.py:evaluate, types: {model: pickle},"))
    after = project.plan()
    values = [{job.name: job.value_key for job in plan.jobs} for plan in (before, after)]
    differ = {name for name, key in keys(before).items() if keys(after)[name] != key}
    assert differ == {"train", "evaluate"}
    assert values[0]["train"] == values[1]["train"] not in {"", keys(before)["train"]}
    assert values[0]["evaluate"] != values[1]["evaluate"]
    assert not values[0]["_final"]


def test_keys_depend_on_the_packages_that_the_code_imports(project, tmp_path):
    venv = tmp_path / "venv"
    python = f"python3.{sys.version_info.minor}"
    site = venv / "lib" / python / "site-packages"
    for folder in (site / "numpy", site / "numpy-2.0.2.dist-info", venv / "bin"):
        folder.mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text("home = /nowhere\n")
    one = f"pipeline: demo\nenvironment: {{venv: {venv}}}"
    project.write(PIPELINE.replace("pipeline: demo", one))
    before = project.plan()
    assert dict(before.job("train").software)["numpy"] == "2.0.2"
    (site / "pandas-3.0.dist-info").mkdir()
    assert keys(project.plan()) == keys(before), "nobody imports it"
    (site / "numpy-2.0.2.dist-info").rename(site / "numpy-2.1.0.dist-info")
    after = keys(project.plan())
    assert all(after[name] != key for name, key in keys(before).items() if key)


def test_keys_do_not_depend_on_names(project):
    before = keys(project.plan())
    text = PIPELINE.replace("train:", "fit:").replace("train.", "fit.").replace("demo", "other")
    project.write(
        text.replace("{table: table.npy}", "{rows: table.npy}").replace(
            "{table: table}", "{table: rows}"
        )
    )
    after = keys(project.plan())
    assert after["fit"] == before["train"]
    assert after["evaluate"] == before["evaluate"]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("epochs: 3", "epochs: 4", {"train", "evaluate"}),
        ("epochs: 3}", "epochs: 3}\n    seed: 5", {"train", "evaluate"}),
        ("epochs: 3}", "epochs: 3}\n    environment: {modules: [cuda]}", {"train", "evaluate"}),
        ("shards: 4}", "shards: 4}, attributes: {width: 64}", set()),  # its default
        ("shards: 4", "shards: 5", {"render", "render.gather", "train", "evaluate"}),
        ("pipeline: demo", "pipeline: demo\nseed: 1", {"render", "render.gather", "train", "evaluate"}),
        ("pipeline: demo", "pipeline: demo\nenvironment: {conda: e}", {"render", "render.gather", "train", "evaluate"}),
    ],
)  # fmt: skip
def test_a_change_reaches_the_keys_below_it_and_no_other(project, old, new, changed):
    before = keys(project.plan())
    project.write(PIPELINE.replace(old, new))
    after = keys(project.plan())
    assert {name for name in before if before[name] != after[name]} == changed


def test_code_and_data_are_in_the_keys(project):
    before = keys(project.plan())
    (project.root / "ops.py").write_text(CODE + "\nX = 1\n# one more\n")
    assert keys(project.plan()) == before, "what no operation names is not its code"
    (project.root / "ops.py").write_text(CODE.replace("images = table", "images = table[:]"))
    assert all(keys(project.plan())[name] != before[name] for name in before if before[name])
    (project.root / "ops.py").write_text(CODE)
    assert keys(project.plan()) == before
    (project.root / "table.npy").write_bytes(b"other rows")
    assert all(keys(project.plan())[name] != before[name] for name in before if before[name])
    (project.root / "table.npy").write_bytes(b"rows")
    os.utime(project.root / "table.npy", (1, 1))
    assert keys(project.plan()) == before, "a small file is known by its content"


def test_the_files_that_code_names_are_in_every_key(project):
    (project.root / "table.txt").write_text("1")
    before = keys(project.plan())
    project.write(PIPELINE.replace("pipeline: demo", "pipeline: demo\ncode: ['*.txt']"))
    first = keys(project.plan())
    (project.root / "table.txt").write_text("2")
    second = keys(project.plan())
    for name in filter(before.get, before):
        assert len({before[name], first[name], second[name]}) == 3, name


def test_large_data_is_known_by_size_and_time(project, monkeypatch):
    monkeypatch.setattr("deepforge_hpc.pipeline.external.SMALL_BYTES", 1)
    os.utime(project.root / "table.npy", (1, 1))
    before = keys(project.plan())
    assert keys(project.plan()) == before
    os.utime(project.root / "table.npy", (2, 2))
    assert keys(project.plan())["render"] != before["render"]


def test_a_file_of_a_large_folder_that_an_older_one_replaces_is_another(project, monkeypatch):
    monkeypatch.setattr("deepforge_hpc.pipeline.external.SMALL_BYTES", 1)
    (project.root / "data").mkdir()
    for number, name in enumerate("abc"):
        (project.root / "data" / name).write_text("1")
        os.utime(project.root / "data" / name, (number + 5, number + 5))
    (project.root / "ops.py").write_text("def use(x):\n    y = 1\n    return y\n")
    project.write(
        "pipeline: p\ninputs: {x: data}\noperations: {use: {uses: ops.py:use, inputs: {x: x}}}\n"
        "outputs: {y: use.y}\n"
    )
    os.utime(project.root / "data", (9, 9))
    before = keys(project.plan())
    assert keys(project.plan()) == before
    (project.root / "data" / "a").write_text("2")
    os.utime(project.root / "data" / "a", (1, 1))
    os.utime(project.root / "data", (9, 9))
    assert keys(project.plan())["use"] != before["use"]


def test_the_order_and_the_number_of_a_list_are_in_the_key(project):
    (project.root / "ops.py").write_text(
        "def make(n: int) -> int:\n    value = n\n    return value\n"
        "def merge(parts) -> list:\n    joined = parts\n    return joined\n"
    )
    lists = ["[a.value, b.value]", "[b.value, a.value]", "[a.value, b.value, a.value]"]
    lists += ["[a.value]", "a.value", "[same.value, b.value]"]
    keys = []
    for parts in lists:
        project.write(
            "pipeline: p\noperations:\n"
            "  a: {uses: ops.py:make, attributes: {n: 1}}\n"
            "  b: {uses: ops.py:make, attributes: {n: 2}}\n"
            "  same: {uses: ops.py:make, attributes: {n: 1}}\n"
            f"  merge: {{uses: ops.py:merge, inputs: {{parts: {parts}}}}}\n"
            "outputs: {r: merge.joined}\n"
        )
        keys.append(project.plan().job("merge").plan_key)
    assert len(set(keys[:-1])) == len(lists) - 1
    assert keys[-1] == keys[0], "a renamed producer keeps results"


def test_a_list_waits_for_each_of_its_producers_once(project):
    project.write(
        PIPELINE.replace("model: train.model, images: render.images", "model: train.model")
        + "  again: evaluate.metrics\n"
    )
    (project.root / "ops.py").write_text(
        CODE + "def join(*parts: dict) -> dict:\n    joined = {}\n    return joined\n"
    )
    text = (project.root / "pipeline.yaml").read_text()
    text = text.replace(
        "ops.py:evaluate, inputs: {model: train.model}",
        "ops.py:join, inputs: {parts: [train.model, train.model]}, after: [render]",
    )
    project.write(text.replace("evaluate.metrics", "evaluate.joined"))
    job = project.plan().job("evaluate")
    assert job.after == ("render.gather", "train")
    assert [(item.port, item.job, item.output) for item in job.inputs] == [
        ("parts[0]", "train", "model"),
        ("parts[1]", "train", "model"),
    ]
    assert parse_plan(json.dumps(project.plan().to_dict()), job="evaluate").job("evaluate") == job


def test_a_key_is_that_of_this_version():
    """A change here throws away every result that could be reused: raise KEY_VERSION on purpose."""
    from deepforge_hpc.plan.keys import KEY_VERSION, gather_key

    assert KEY_VERSION == "dfh/plan-key/3"
    assert gather_key("sha256:0") == (
        "sha256:8b6305d6ebe6ccafe81eb1099dc44a978e68200b611230dbe8cb53fd738c7a08"
    )


# -- the final job


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    jobs: list[Job] = []
    for index in range(draw(st.integers(1, 9))):
        before = [job.name for job in jobs]
        after = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        jobs.append(Job(name=f"j{index}", operation="x", after=tuple(sorted(after))))
    return jobs


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_the_final_job_waits_for_all_that_may_still_run(jobs, data):
    """Whatever fails, and in whatever order jobs end: at its start nothing runs or may start."""
    waits = set(last_jobs(jobs))
    fails = data.draw(st.sets(st.sampled_from([job.name for job in jobs])))
    ended: dict[str, bool] = {}  # name -> succeeded; a cancelled job counts as not succeeded

    def cancel() -> None:
        for job in jobs:
            if job.name not in ended and any(ended.get(name) is False for name in job.after):
                ended[job.name] = False

    while True:
        cancel()
        if waits <= set(ended):
            assert set(ended) == {job.name for job in jobs}
            return
        able = [j for j in jobs if j.name not in ended and all(ended.get(n) for n in j.after)]
        job = data.draw(st.sampled_from(able))
        ended[job.name] = job.name not in fails


def test_a_chain_is_closed_by_its_last_job_alone():
    chain = [Job(name=f"j{i}", operation="x", after=(f"j{i - 1}",) if i else ()) for i in range(5)]
    assert last_jobs(chain) == ("j4",)
