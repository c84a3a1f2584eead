from __future__ import annotations

import pytest

from deepforge_hpc.errors import SchedulerError
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.registry import load
from deepforge_hpc.schedulers.flux import FluxScheduler
from deepforge_hpc.schedulers.pbs import PbsScheduler

PBS, FLUX = PbsScheduler(), FluxScheduler()

PAIRS = (
    ("nodes", "2"), ("ntasks-per-node", "4"), ("cpus-per-task", "8"), ("gpus-per-node", "a100:4"),
    ("mem", "4096M"), ("time", "1-12:00:00"), ("partition", "prod"), ("array", "0-7"),
    ("filesystems", "home:eagle"), ("signal", "B:USR1@60"), ("open-mode", "append"), ("no-requeue", ""),
)  # fmt: skip


def test_pbs_selects_a_chunk_a_node():
    lines = [line for line in PBS.header(PAIRS) if line.startswith("#PBS")]
    assert lines == [
        "#PBS -l select=2:ncpus=32:mpiprocs=4:ngpus=4:mem=4096mb",
        "#PBS -l walltime=36:00:00",
        "#PBS -l filesystems=home:eagle",
        "#PBS -q prod",
        "#PBS -J 0-7",
        "#PBS -r y",
    ]
    alone = [pair for pair in PAIRS if pair[0] != "array"]
    assert "#PBS -r n" in PBS.header(alone), "only an array has to be rerunnable"


def test_pbs_names_no_cores_where_nodes_are_given_whole():
    pairs = (("nodes", "16"), ("ntasks-per-node", "4"), ("select", "system=polaris"))
    assert PBS.header(pairs)[0] == "#PBS -l select=16:system=polaris"
    assert PBS.header((("nodes", "16"), ("ntasks-per-node", "4")))[0] == "#PBS -l select=16"
    assert PBS.header((("nodes", "1"), ("constraint", "big")))[0] == "#PBS -l select=1:big=True"


def test_what_is_asked_for_beside_gpus_is_not_taken_for_their_number():
    pairs = (("nodes", "2"), ("ntasks-per-node", "1"), ("gres", "gpu:a100:4,lscratch:100,nvme"))
    assert PBS.header(pairs)[0] == "#PBS -l select=2:ngpus=4:lscratch=100:nvme=1"
    assert "# flux: --gpus-per-slot=4" in FLUX.header(pairs)
    assert "# flux: --gres=lscratch:100,nvme" in FLUX.header(pairs)


def test_flux_is_told_the_number_of_each_task_of_an_array():
    request = SubmitRequest(
        job="a", script="a.sh", arguments=(), directory="/e", name="a.1", comment="",
        output="/e/out.%a.log", array="0-7",
    )  # fmt: skip
    assert "/e/out.^array_index^.log" in PBS.describe(request)
    assert "--output=/e/out.<0-7>.log" in FLUX.describe(request)
    assert "--env=DFH_ARRAY_TASK_ID=<0-7>" in FLUX.describe(request)
    assert not [line for line in FLUX.header(PAIRS) if "array" in line or "--cc" in line]


def test_flux_takes_a_slot_a_node():
    lines = [line for line in FLUX.header(PAIRS) if line.startswith("# flux:")]
    assert lines[:7] == [
        "# flux: --nodes=2",
        "# flux: --nslots=2",
        "# flux: --cores-per-slot=32",
        "# flux: --gpus-per-slot=4",
        "# flux: --time-limit=129600s",
        "# flux: --signal=USR1@60s",
        "# flux: --queue=prod",
    ]


@pytest.mark.parametrize(
    ("form", "value"),
    [("gres", "gpu:4"), ("gpus", "8"), ("gpus-per-node", "4"), ("gpus-per-task", "1")],
)
def test_gpus_of_every_form_become_gpus_a_node(form, value):
    pairs = [("nodes", "2"), ("ntasks-per-node", "4"), (form, value)]
    assert ":ngpus=4" in PBS.header(pairs)[0]
    assert "# flux: --gpus-per-slot=4" in FLUX.header(pairs)


@pytest.mark.parametrize(("name", "command"), [("pbs", "qsub"), ("flux", "flux")])
def test_submitting_is_refused(name, command):
    scheduler = load("schedulers", name)()
    request = SubmitRequest(
        job="a", script="jobs/a/job.sh", arguments=(), directory="/e", name="a.1", comment="",
        output="/e/out", account="p1", after=("7", "8"),
    )  # fmt: skip
    words = scheduler.describe(request)
    assert words[0] == command
    assert "p1" in " ".join(words)
    with pytest.raises(SchedulerError, match="rendered, not run") as caught:
        scheduler.submit(request)
    assert not caught.value.hint, "who submits knows the command that renders them"
    with pytest.raises(SchedulerError, match="rendered, not run"):
        scheduler.require_submit()
    assert scheduler.query("/e", ["1"]) == {}
