"""The Slurm adapter against a real cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from deepforge_hpc.errors import SchedulerError, SubmitLimitError
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.schedulers import slurm
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.testing.scheduler import SchedulerContract

pytestmark = pytest.mark.slurm


class TestSlurmScheduler(SchedulerContract):
    unknown_id = "98765432"
    grace_s = 0.25  # KillWait of the test cluster is 2 s, and not 30 s; and it may be busy

    @pytest.fixture
    def scheduler(self, slurm_cluster, monkeypatch) -> SlurmScheduler:
        for name, value in slurm_cluster.environ.items():
            monkeypatch.setenv(name, value)
        return SlurmScheduler()

    def test_the_command_that_is_described_is_the_one_that_runs(self, scheduler, execution):
        request = self.request("a", 'echo "$*"')
        done = subprocess.run(
            scheduler.describe(request), cwd="/", capture_output=True, text=True, check=True
        )
        status = self.wait(slurm.parse_submit(done.stdout)[0])
        assert status.state == State.SUCCEEDED.value

    @pytest.mark.parametrize(
        ("header", "account", "says", "hint"),
        [
            ("--partition=nosuch", "", "invalid partition", "sinfo -s"),
            ("--qos=nosuch", "", "Invalid qos", "sacctmgr"),
            ("--time=9-0", "", "time limit", "time:"),
            ("--mem=999G", "", "not available", "resources:"),
            ("--nodes=99", "", "more processors", "resources:"),
            ("--gres=gpu:9", "", "not available", "resources:"),
            ("--constraint=nosuch", "", "Invalid feature", "resources:"),
            ("--wrong-option", "", "unrecognized option", "site file"),
            ("--time=soon", "", "--time", "time:"),
            ("--array=0-9999", "", "array specification", "shards"),
            ("--nodes=1", "nobody", "Invalid account", "--account"),
            ("--qos=short\n#SBATCH --time=11:00:00", "", "", ""),
        ],
    )
    def test_a_refusal_says_what_to_do(self, scheduler, execution, header, account, says, hint):
        request = self.request("a", "true", account=account)
        script = execution / request.script
        text = script.read_text()
        script.write_text(text.replace("#SBATCH --nodes=1", f"#SBATCH {header}"))
        if not says:  # Slurm takes it and lets it wait for ever
            native_id = scheduler.submit(request)
            status = self.wait(native_id, lambda s: s.raw_reason not in {"None", ""})
            scheduler.cancel(str(execution), [native_id])
            assert status.raw_reason == "QOSMaxWallDurationPerJobLimit"
            assert "will not start" in status.explanation
            return
        with pytest.raises(SchedulerError) as caught:
            scheduler.submit(request)
        assert says.lower() in caught.value.message.lower()
        assert hint in caught.value.hint
        assert caught.value.argv[0] == "sbatch"

    def test_the_submit_limit_is_an_error_of_its_own(self, scheduler, execution):
        requests = [self.request(f"a{n}", "true", hold=True) for n in range(4)]
        for request in requests:
            (execution / request.script).write_text("#!/bin/bash\n#SBATCH --qos=tiny\ntrue\n")
        held = [scheduler.submit(request) for request in requests[:3]]
        try:
            with pytest.raises(SubmitLimitError, match="limit") as caught:
                scheduler.submit(requests[3])
            assert "Wait until some have ended" in caught.value.hint
        finally:
            scheduler.cancel(str(execution), held)

    def test_a_forgotten_job_is_known_from_the_accounting(
        self, scheduler, execution, slurm_cluster
    ):
        """MinJobAge is 10 s there."""
        good = scheduler.submit(self.request("good", "true"))
        guarded = scheduler.submit(self.request("guarded", "exit 86"))
        array = scheduler.submit(self.request("array", "exit 75", array="0-1"))
        self.wait(guarded)
        self.wait(f"{array}_1")
        end = time.monotonic() + 60
        ids = [good, guarded, array]
        while slurm_cluster.run(*slurm.queue_argv(ids), check=False).strip():
            assert time.monotonic() < end
            time.sleep(0.5)
        found = scheduler.query(str(execution), ids)
        assert {key: status.state for key, status in found.items()} == {
            good: "succeeded",
            guarded: "upstream_failed",
            f"{array}_0": "interrupted",
            f"{array}_1": "interrupted",
        }
        assert found[guarded].exit_code == "86:0"
        assert all(status.ended for status in found.values())

    def test_the_time_limit_is_an_interruption(self, fast_clock_cluster, execution, monkeypatch):
        for name, value in fast_clock_cluster.environ.items():
            monkeypatch.setenv(name, value)
        scheduler = SlurmScheduler()
        request = self.request("a", "sleep 60")
        script = execution / request.script
        script.write_text(script.read_text().replace("#SBATCH", "#SBATCH --time=1\n#SBATCH", 1))
        status = self.wait(scheduler.submit(request))
        assert status.state == State.INTERRUPTED.value
        assert "time limit" in status.explanation


def test_without_slurm_on_path_the_hint_names_a_way_out(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match="squeue is not on PATH") as caught:
        SlurmScheduler().query("/", ["1"])
    assert "--site local" in caught.value.hint


def test_every_variable_that_sbatch_obeys_is_told_if_it_is_set() -> None:
    words = Path(str(shutil.which("sbatch"))).read_bytes().split(b"\0")
    obeyed = {word.decode() for word in words if re.fullmatch(rb"SBATCH_[A-Z0-9_]+", word)}
    assert len(obeyed) > 40
    assert obeyed - SlurmScheduler.unheard.keys() == set()
