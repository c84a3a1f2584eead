from __future__ import annotations

import dataclasses
import os
import stat
import sys
from datetime import datetime
from pathlib import Path

import pytest

from deepforge_hpc.errors import (
    NoSchedulerError,
    SchedulerError,
    SubmitLimitError,
    TransientSchedulerError,
)
from deepforge_hpc.model.execution import SubmitRequest
from deepforge_hpc.plugins.scheduler import JobScope
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.native import FAILED, WAITS
from deepforge_hpc.runtime.state.journal import Journal
from deepforge_hpc.schedulers import slurm, slurm_cluster
from deepforge_hpc.schedulers.command import CommandRunner, Completed, scrub
from deepforge_hpc.schedulers.slurm import SlurmScheduler
from deepforge_hpc.schedulers.slurm_errors import parse_error

REQUEST = SubmitRequest(
    job="train",
    script="jobs/train/job.sh",
    arguments=("--uuid", "0" * 32, "--attempt", "1"),
    directory="/scratch/an execution",
    name="train.deadbeef",
    comment='{"job":"train"}',
    output="jobs/train/out.1.log",
)
_BASE = [
    "sbatch",
    "--parsable",
    "--export=NONE",
    "--propagate=NONE",
    "--chdir=/scratch/an execution",
    "--job-name=train.deadbeef",
    '--comment={"job":"train"}',
    "--output=jobs/train/out.1.log",
]
_END = ["/scratch/an execution/jobs/train/job.sh", "--uuid", "0" * 32, "--attempt", "1"]


def test_the_smallest_submission():
    assert slurm.submit_argv(REQUEST) == [*_BASE, *_END]


def test_a_job_that_lives_by_the_submitting_shell():
    words = slurm.submit_argv(dataclasses.replace(REQUEST, inherits_shell=True))
    assert words == [word for word in [*_BASE, *_END] if not word.startswith("--export")]


def test_a_submission_with_everything():
    request = dataclasses.replace(
        REQUEST, account="m1234", array="0-7", hold=True, after=("12", "13"), dependency="afterok"
    )
    assert slurm.submit_argv(request) == [
        *_BASE,
        "--account=m1234",
        "--array=0-7",
        "--hold",
        "--dependency=afterok:12:13",
        "--kill-on-invalid-dep=yes",
        *_END,
    ]


def test_a_job_that_runs_after_any_end_is_not_killed_for_a_failure():
    request = dataclasses.replace(REQUEST, after=("12",), dependency="afterany")
    words = slurm.submit_argv(request)
    assert "--dependency=afterany:12" in words
    assert not any("kill-on" in word for word in words)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("123\n", ("123", "")),
        ("123;lab\n", ("123", "lab")),
        ("sbatch: lua: hello\n7\n", ("7", "")),
    ],
)
def test_id_and_cluster_are_read(printed, found):
    assert slurm.parse_submit(printed) == found


@pytest.mark.parametrize("printed", ["", "Submitted batch job 12", "\n", "x;12"])
def test_no_id_means_that_the_job_may_be_queued(printed):
    with pytest.raises(TransientSchedulerError):
        slurm.parse_submit(printed)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("123", ["123"]),
        ("123_4", ["123_4"]),
        ("123_[0-3%2]", ["123_0", "123_1", "123_2", "123_3"]),
        ("123_[1,3-5]", ["123_1", "123_3", "123_4", "123_5"]),
        ("123_[0-6:3]", ["123_0", "123_3", "123_6"]),
        ("123_[7]", ["123_7"]),
        ("123_[1,3,...]", ["123_1", "123_3"]),
        ("123_[1,3...]", ["123_1", "123_3"]),
        ("123+0", []),
        ("123.batch", []),
        ("123_[", []),
        ("123_[--]", []),
        ("", []),
    ],
)
def test_ids_of_array_tasks(text, ids):
    assert slurm.expand(text) == ids


def test_the_queue_is_read():
    found = slurm.parse_queue(
        "12|RUNNING|None|train.deadbeef\n"
        "13_0|FAILED|NonZeroExitCode|render.deadbeef\n"
        "13_[1-2%1]|PENDING|JobArrayTaskLimit|render.deadbeef\n"
        "CLUSTER: lab\n"
        "14|NEW|What, is:this|a|b\n"
        "15|PENDING|Dependency|fit.deadbeef\n"
        "16|PENDING|DependencyNeverSatisfied|fit.deadbeef\n"
    )
    assert {key: status.state for key, status in found.items()} == {
        "12": "running",
        "13_0": "failed",
        "13_1": "pending",
        "13_2": "pending",
        "14": "unknown",
        "15": "pending",
        "16": "pending",
    }
    assert {key for key, status in found.items() if status.dependency == WAITS} == {"15"}
    assert {key for key, status in found.items() if status.dependency == FAILED} == {"16"}
    assert found["13_2"].raw_reason == "JobArrayTaskLimit"
    assert found["14"].raw_state == "NEW"
    assert found["14"].name == "a|b"


def test_the_accounting_is_read_and_half_filled_rows_tell_of_no_end():
    found = slurm.parse_accounting(
        "12|COMPLETED|0:0|None|n1|2026-11-22T08:00:00|train.deadbeef\n"
        "13|FAILED|86:0|None|n1|2026-11-22T09:00:00|child.deadbeef\n"
        "14|COMPLETED|0:0|None|n1|Unknown|allocation\n"
        "15_[0-1]|CANCELLED|0:0|Dependency|None assigned|2026-11-22T08:00:00|b.deadbeef\n"
        "16|CANCELLED by 1000|0:0|None|None assigned|2026-11-22T08:00:00|c.deadbeef\n"
        "17|RUNNING|0:0|None|n1|Unknown|lost.deadbeef\n"
    )
    assert {key: status.state for key, status in found.items()} == {
        "12": "succeeded",
        "13": "upstream_failed",
        "14": "unknown",
        "15_0": "never_ran",
        "15_1": "never_ran",
        "16": "cancelled",
        "17": "unknown",
    }
    assert found["13"].exit_code == "86:0"
    assert "lost" in found["17"].explanation
    assert "not filled in yet" in found["14"].explanation
    # It tells times as this machine has them; a job that was killed has no other end.
    here = datetime(2026, 11, 22, 9).astimezone()
    assert datetime.fromisoformat(found["13"].ended) == here
    assert found["17"].ended == ""


def test_own_jobs_are_found_unless_they_have_ended():
    assert slurm.parse_find(
        "20|PENDING|b.deadbeef|{}\n"
        "3|RUNNING|a.deadbeef|x|y\n"
        "20|RUNNING|b.deadbeef|{}\n"
        "4|COMPLETED|c.deadbeef|{}\n"
    ) == [("3", "a.deadbeef", "x|y"), ("20", "b.deadbeef", "{}")]


@pytest.mark.parametrize("bad", ["--all", "", "12;rm", "1 2", "L1", "12_"])
@pytest.mark.parametrize(
    "build", [slurm.queue_argv, slurm.accounting_argv, slurm.cancel_argv, slurm.release_argv]
)
def test_what_is_no_id_never_reaches_a_command(build, bad):
    with pytest.raises(SchedulerError, match="not the id"):
        build(["12", bad])


# sbatch, scancel and scontrol of 22.05.8 (texts as in their sources and as seen)
@pytest.mark.parametrize(
    ("stderr", "kind", "hint"),
    [
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            TransientSchedulerError,
            "some minutes",
        ),
        (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            TransientSchedulerError,
            "some minutes",
        ),
        (
            "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
            TransientSchedulerError,
            "some minutes",
        ),
        (
            "sbatch: error: If munged is up, restart with --num-threads=10\nsbatch: error: Munge encode failed: Failed to access",
            TransientSchedulerError,
            "authentication",
        ),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            SubmitLimitError,
            "Wait",
        ),
        (
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            SubmitLimitError,
            "Wait",
        ),
        (
            "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            SchedulerError,
            "less time",
        ),
        (
            "sbatch: error: QOSMaxGRESPerJob\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            SchedulerError,
            "Lower",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            SchedulerError,
            "--account",
        ),
        (
            "sbatch: error: invalid partition specified: nosuch\nsbatch: error: Batch job submission failed: Invalid partition name specified",
            SchedulerError,
            "sinfo -s",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid qos specification",
            SchedulerError,
            "sacctmgr",
        ),
        (
            "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
            SchedulerError,
            "less time",
        ),
        (
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
            SchedulerError,
            "Lower",
        ),
        ("sbatch: error: Memory specification can not be satisfied", SchedulerError, "Lower"),
        (
            "sbatch: error: Batch job submission failed: Node count specification invalid",
            SchedulerError,
            "Lower",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid feature specification",
            SchedulerError,
            "Lower",
        ),
        (
            "sbatch: error: Batch job submission failed: More processors requested than permitted",
            SchedulerError,
            "Lower",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid job array specification",
            SchedulerError,
            "shards",
        ),
        (
            "sbatch: error: Batch job submission failed: Job dependency problem",
            SchedulerError,
            "cancelled meanwhile",
        ),
        (
            "sbatch: error: Unable to open file jobs/x/job.sh",
            SchedulerError,
            "submit the pipeline again",
        ),
        ("sbatch: unrecognized option '--wrong'", SchedulerError, "site file"),
        (
            "scancel: error: Kill job error on job id 3: Access/permission denied",
            SchedulerError,
            "belongs",
        ),
        (
            "sbatch: error: No cluster 'lab9' known by database.\nsbatch: error: 'lab9' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters' to see available clusters.",
            NoSchedulerError,
            "sacctmgr show clusters",
        ),
        (
            "squeue: error: DBD_GET_CLUSTERS failure: Connection refused\nsqueue: error: Problem talking to database",
            TransientSchedulerError,
            "database does not answer",
        ),
        ("sbatch: fatal: Unable to process configuration file", NoSchedulerError, "SLURM_CONF"),
        ("sbatch: error: something new", SchedulerError, "The command was: sbatch --hold 'a b'"),
        ("", SchedulerError, "The command was: sbatch --hold 'a b'"),
    ],
)
def test_an_error_of_slurm_says_what_to_do(stderr, kind, hint):
    argv = ("sbatch", "--hold", "a b")
    error = parse_error(Completed(argv=argv, returncode=1, stdout="", stderr=stderr))
    assert type(error) is kind
    assert hint in error.hint
    assert error.stderr == stderr
    assert "Batch job submission failed" not in error.message


def test_the_shell_that_submits_does_not_leak():
    environ = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_CLUSTERS": "lab",
        "SLURM_JOB_ID": "1",
        "SLURM_EXPORT_ENV": "NONE",
        "SBATCH_PARTITION": "x",
        "SQUEUE_FORMAT": "%i",
        "SACCT_FORMAT": "JobID",
        "SCANCEL_QOS": "x",
        "PMI_RANK": "0",
        "PMIX_RANK": "0",
        "DFH_JOB": "train",
        "DEEPFORGE_HPC_SITE": "x",
        "LC_ALL": "de_DE.UTF-8",
    }
    assert scrub(environ) == {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_CLUSTERS": "lab",
        "DEEPFORGE_HPC_SITE": "x",
        "LC_ALL": "C",
    }


def test_an_empty_name_of_a_cluster_names_none():
    assert scrub({"SLURM_CLUSTERS": "", "SLURM_CONF": ""}) == {"LC_ALL": "C"}


@pytest.mark.parametrize(
    ("site", "shell", "jobs", "found"),
    [
        ("", "", "", ""),
        ("", "", "lab", ""),  # compared with what the controller says
        ("", "lab2", "", "lab2"),
        ("lab", "lab2", "", "lab"),
        ("lab", "lab2,lab3", "lab", "lab"),
        ("", "lab2,lab", "lab", "lab"),
        ("", "all", "lab", "lab"),
        ("", "lab2,", "lab", "lab2"),
    ],
)
def test_the_cluster_that_is_named(site, shell, jobs, found):
    scope = JobScope(cluster=jobs, site_cluster=site)
    assert slurm_cluster.named(scope, {"SLURM_CLUSTERS": shell}) == found


@pytest.mark.parametrize("shell", ["all", "lab2,lab3"])
def test_a_chain_is_not_spread_over_clusters(shell, monkeypatch, bin_folder):
    monkeypatch.setenv("SLURM_CLUSTERS", shell)
    _program(bin_folder, "sbatch", "raise SystemExit('must not be called')")
    for act in (lambda it: it.require_submit(), lambda it: it.describe(REQUEST)):
        with pytest.raises(SchedulerError, match=f"SLURM_CLUSTERS={shell} leaves it open"):
            act(_scheduler(bin_folder))


def test_each_command_names_the_cluster(bin_folder, tmp_path):
    log = tmp_path / "calls"
    for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
        body = f"open({str(log)!r}, 'a').write(f'{name} {{sys.argv[1]}}\\n')\nprint(7)"
        _program(bin_folder, name, body)
    scheduler = _scheduler(bin_folder).scoped(JobScope(site_cluster="lab2", cluster="lab2"))
    assert scheduler.submit(REQUEST) == "7"
    scheduler.release("/", ["7"])
    scheduler.cancel("/", ["7"])
    scheduler.query("/", ["7"])
    scheduler.find("/", "deadbeef")
    called = log.read_text().splitlines()
    assert {line.split()[0] for line in called} == {
        "sbatch",
        "squeue",
        "sacct",
        "scancel",
        "scontrol",
    }
    assert {line.split()[1] for line in called} == {"--clusters=lab2"}
    assert scheduler.describe(REQUEST)[:2] == ["sbatch", "--clusters=lab2"]


def test_no_command_acts_on_another_cluster_than_that_of_the_jobs(bin_folder):
    for name in ("squeue", "sacct", "scancel", "sbatch"):
        _program(bin_folder, name, "raise SystemExit('must not be called')")
    _program(bin_folder, "scontrol", "assert sys.argv[1] == 'show'\nprint('ClusterName = lab2')")
    mine = _scheduler(bin_folder).scoped(JobScope(cluster="Lab"))
    for act in (mine.release, mine.cancel, mine.query):
        with pytest.raises(SchedulerError, match="on the cluster Lab, and this shell reaches lab2"):
            act("/", ["7"])
    with pytest.raises(SchedulerError, match="reaches lab2"):
        mine.find("/", "deadbeef")
    assert _scheduler(bin_folder).scoped(JobScope(cluster="LAB2")).cluster() == "lab2"


@pytest.mark.parametrize(
    ("listed", "called"),
    [
        (f"7|RUNNING|None|{REQUEST.name}", "7 --clusters=lab2"),
        ("7|RUNNING|None|a.stranger", ""),
        ("", ""),
    ],
)
def test_a_job_that_sbatch_put_on_another_cluster_is_taken_back_if_it_is_ours(
    bin_folder, tmp_path, listed, called
):
    log = tmp_path / "calls"
    log.touch()
    _program(bin_folder, "sbatch", "print('7;lab2')")
    _program(bin_folder, "scontrol", "print('ClusterName = lab')")
    body = f"assert '--clusters=lab2' in sys.argv\nprint('CLUSTER: lab2')\nprint({listed!r})"
    _program(bin_folder, "squeue", body)
    _program(bin_folder, "scancel", f"open({str(log)!r}, 'w').write(' '.join(sys.argv[1:]))")
    with pytest.raises(SchedulerError, match="on the cluster lab2, and this shell reaches") as told:
        _scheduler(bin_folder).submit(REQUEST)
    assert log.read_text() == called
    assert ("job 7 has another name there" in told.value.message) == (not called)


def test_a_job_is_found_by_its_token(bin_folder):
    jobs = "1|RUNNING|a.deadbeef|\n2|RUNNING|a.0badcafe|\n3|RUNNING|deadbeef|"
    _program(bin_folder, "squeue", f"print({jobs!r})")
    assert _scheduler(bin_folder).find("/", "deadbeef") == {"a": ["1"]}


def test_jobs_are_looked_for_among_those_of_their_submitters(bin_folder, tmp_path):
    log = tmp_path / "calls"
    _program(bin_folder, "squeue", f"open({str(log)!r}, 'w').write(' '.join(sys.argv))")
    _scheduler(bin_folder).find("/", "deadbeef")
    assert " --me " in log.read_text()
    info = ExecutionInfo.stand_in(id="x-0001")._replace(user="alice")
    scope = JobScope.of(info, Journal(), "")
    _scheduler(bin_folder).scoped(scope).find("/", "deadbeef")
    assert f" --user={','.join(sorted(['alice', user_name()]))} " in log.read_text()


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def _scheduler(folder: Path, **changes: object) -> SlurmScheduler:
    environ = {**os.environ, "PATH": str(folder)}
    settings = {"pauses_s": (0.0, 0.0), "environ": environ, **changes}
    return SlurmScheduler(CommandRunner(**settings))  # type: ignore[arg-type]


_TIMED_OUT = "Batch job submission failed: Socket timed out on send/recv operation"


@pytest.mark.parametrize(("patience_s", "calls"), [(0.0, 1), (3600.0, 3)])
def test_a_controller_that_was_waited_for_is_not_asked_again(
    bin_folder: Path, tmp_path: Path, patience_s: float, calls: int
) -> None:
    log = tmp_path / "calls"
    _program(
        bin_folder,
        "squeue",
        f"open({str(log)!r}, 'a').write('x')\n"
        "sys.exit('slurm_load_jobs error: Unable to contact slurm controller (connect failure)')",
    )
    scheduler = _scheduler(bin_folder, patience_s=patience_s)
    with pytest.raises(TransientSchedulerError):
        scheduler.find("", "01234567")
    assert log.read_text() == "x" * calls


def test_a_submission_that_was_heard_after_all_is_not_repeated(bin_folder, tmp_path):
    log = tmp_path / "calls"
    _program(
        bin_folder,
        "sbatch",
        f"open({str(log)!r}, 'a').write('sbatch\\n')\nsys.exit('sbatch: error: {_TIMED_OUT}')",
    )
    rows = f"41|PENDING|{REQUEST.name}|another\\n42|PENDING|{REQUEST.name}|{REQUEST.comment}"
    _program(bin_folder, "squeue", f"print('''{rows}''')")
    assert _scheduler(bin_folder).submit(REQUEST) == "42"
    assert log.read_text() == "sbatch\n"


def test_a_submission_that_was_not_heard_is_tried_again(bin_folder, tmp_path):
    log = tmp_path / "calls"
    _program(
        bin_folder,
        "sbatch",
        f"f = open({str(log)!r}, 'a+'); f.write('x'); f.seek(0)\n"
        f"print(7) if len(f.read()) == 3 else sys.exit('sbatch: error: {_TIMED_OUT}')",
    )
    _program(bin_folder, "squeue", "pass")
    assert _scheduler(bin_folder).submit(REQUEST) == "7"


def test_a_controller_that_stays_away_is_a_transient_error(bin_folder):
    body = "sys.exit('squeue: error: Unable to contact slurm controller (connect failure)')"
    _program(bin_folder, "squeue", f"sys.stderr.write('slurm_load_jobs error: '); {body}")
    with pytest.raises(TransientSchedulerError, match="Unable to contact"):
        _scheduler(bin_folder).query("/", ["1"])


def test_a_command_that_hangs_is_ended(bin_folder):
    _program(bin_folder, "squeue", "import time; time.sleep(30)")
    scheduler = _scheduler(bin_folder, timeout_s=0.3, pauses_s=())
    with pytest.raises(TransientSchedulerError, match="did not answer"):
        scheduler.query("/", ["1"])


def test_without_accounting_the_queue_alone_answers(bin_folder):
    _program(bin_folder, "squeue", "print('1|FAILED|NonZeroExitCode|a.deadbeef')")
    scheduler = _scheduler(bin_folder)
    for says, unanswered in (("Slurm accounting storage is disabled", ""), ("DBD is down", "down")):
        _program(bin_folder, "sacct", f"sys.exit({says!r})")
        found = scheduler.query("/", ["1", "2"])
        assert {key: status.state for key, status in found.items()} == {"1": "failed"}
        # Of what is not there an absence is an end, of what does not answer none.
        assert unanswered in scheduler.unanswered
        assert bool(scheduler.unanswered) is bool(unanswered)
    _program(bin_folder, "sacct", "print()")
    scheduler.query("/", ["1", "2"])
    assert not scheduler.unanswered


def test_what_is_alive_is_not_looked_for_in_the_accounting(bin_folder):
    _program(bin_folder, "squeue", "print('1|RUNNING|None|a.deadbeef')")
    _program(bin_folder, "sacct", "raise SystemExit('must not be called')")
    assert _scheduler(bin_folder).query("/", ["1"])["1"].state == "running"


def test_tasks_that_the_controller_forgot_come_from_the_accounting(bin_folder):
    _program(bin_folder, "squeue", "print('1_1|RUNNING|None|a.deadbeef')")
    rows = (
        "1_0|COMPLETED|0:0|None|n1|Unknown|a.deadbeef\\n1_1|RUNNING|0:0|None|n1|Unknown|a.deadbeef"
    )
    _program(bin_folder, "sacct", f"print('''{rows}''')")
    found = _scheduler(bin_folder).query("/", ["1"])
    assert {key: status.state for key, status in found.items()} == {
        "1_0": "succeeded",
        "1_1": "running",
    }


def test_many_ids_go_in_chunks(bin_folder, tmp_path):
    log = tmp_path / "calls"
    _program(
        bin_folder,
        "squeue",
        f"ids = sys.argv[-1].removeprefix('--jobs=').split(',')\n"
        f"open({str(log)!r}, 'a').write(f'{{len(ids)}}\\n')\n"
        "for i in ids: print(f'{i}|RUNNING|None|a.deadbeef')",
    )
    found = _scheduler(bin_folder).query("/", [str(number) for number in range(1, 1202)])
    assert len(found) == 1201
    assert log.read_text() == "500\n500\n201\n"


def test_a_released_job_that_has_ended_is_no_error_but_a_foreign_one_is(bin_folder):
    _program(bin_folder, "scontrol", "sys.exit('2_0-3: Job has already finished')")
    _scheduler(bin_folder).release("/", ["2"])
    both = "'2: Job has already finished\\n3: Access/permission denied'"
    _program(bin_folder, "scontrol", f"sys.exit({both})")
    with pytest.raises(SchedulerError, match="permission denied"):
        _scheduler(bin_folder).release("/", ["2", "3"])
