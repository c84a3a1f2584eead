"""Slurm over its commands: each an `..._argv` that builds the words and a `parse_...` that reads.

The pairs are pure; `SlurmScheduler` runs them. Tested with Slurm 22.05; only options and format
fields are used that every Slurm since 20.11 has, and no `--json`, whose shape changes.
"""

from __future__ import annotations

import os
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from deepforge_hpc.errors import NoSchedulerError, SchedulerError, TransientSchedulerError
from deepforge_hpc.plugins.scheduler import JobScope, Scheduler
from deepforge_hpc.processes import user_name
from deepforge_hpc.runtime.base.native import NativeStatus
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers.slurm import (
    CONFIG_ARGV,
    DROPPED,
    ID,
    NO_ACCOUNTING,
    WHOLE_LISTS,
    expand,
    is_filled,
    lost,
    native_status,
    of_units,
    unfilled,
    was_dropped,
)
from deepforge_hpc.schedulers import slurm_cluster
from deepforge_hpc.schedulers.slurm_errors import parse_error
from deepforge_hpc.schedulers.slurm_rules import UNHEARD, conflicts, inherits_cpus, is_srun
from deepforge_hpc.schedulers.slurm_states import interpret, never_starts, parse_state, with_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from deepforge_hpc.model.execution import SubmitRequest
    from deepforge_hpc.plugins.scheduler import Conflict, Unheard
    from deepforge_hpc.schedulers.command import CommandRunner, Completed

_CHUNK = 500
_MAX_WORD = 128 << 10
"""Bytes of one argument on Linux; Slurm 22.05 takes a dependency as long as that."""
_ANY_JOBS = JobScope()


def submit_argv(request: SubmitRequest) -> list[str]:
    """Return the words that queue a script."""
    argv = [
        "sbatch",
        "--parsable",
        # Not in the header: sbatch 22.05 does not obey it there.
        *(() if request.inherits_shell else ("--export=NONE",)),
        # A login node limits CPU time and open files, which is no rule for jobs.
        "--propagate=NONE",
        f"--chdir={request.directory}",
        f"--job-name={request.name}",
        f"--comment={request.comment}",
        f"--output={request.output}",
    ]
    if request.account:
        argv.append(f"--account={request.account}")
    if request.array:
        argv.append(f"--array={request.array}")
    if request.hold:
        argv.append("--hold")
    if request.after:
        argv.append(_dependency(request))
        if request.dependency == "afterok":
            argv.append("--kill-on-invalid-dep=yes")
    return [*argv, f"{request.directory}/{request.script}", *request.arguments]


def _dependency(request: SubmitRequest) -> str:
    words = f"--dependency={request.dependency}:{':'.join(_checked(request.after))}"
    if len(words) >= _MAX_WORD:
        message = f"{request.job} waits for {len(request.after):,} jobs: no command line holds that"
        hint = "Join the results in two steps: some operations for a part each, one for theirs."
        raise SchedulerError(message, hint)
    return words


def parse_submit(stdout: str) -> tuple[str, str]:
    """Return id and cluster of `123;cluster`, or of `123`; SchedulerError if there is none."""
    for line in stdout.splitlines():
        if match := re.fullmatch(r"(\d+)(?:;(\S*))?", line.strip()):
            return match[1], match[2] or ""
    message = f"sbatch printed no job id but {stdout.strip()[:200]!r}"
    hint = "Look for the job with `squeue --me`."
    raise TransientSchedulerError(message, hint, stderr=stdout)


def queue_argv(native_ids: Sequence[str]) -> list[str]:
    """Return the words that list jobs still known to the controller, one array task a line."""
    argv = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%j"]
    return [*argv, f"--jobs={','.join(_checked(native_ids))}"]


def parse_queue(stdout: str) -> dict[str, NativeStatus]:
    """Return the jobs and array tasks of `queue_argv`'s output."""
    found: dict[str, NativeStatus] = {}
    for line in stdout.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) != 4:
            continue
        native_ids, raw_state, raw_reason, name = fields
        state, sentence = interpret(raw_state, raw_reason)
        one = native_status(state, sentence, raw_state, raw_reason, name)
        one = one._replace(is_stuck=state is State.PENDING and never_starts(raw_reason))
        found |= {each: one._replace(native_id=each) for each in expand(native_ids)}
    return found


def accounting_argv(native_ids: Sequence[str]) -> list[str]:
    """Return the words that ask the accounting database."""
    argv = ["sacct", "--noheader", "--parsable2", "--allocations"]
    # The end lies in the future: a controller's clock may be ahead of this host's.
    argv += ["--starttime=2000-01-01", "--endtime=2099-01-01"]
    columns = "--format=JobID,State,ExitCode,Reason,NodeList,End,JobName"
    return [*argv, columns, f"--jobs={','.join(_checked(native_ids))}"]


def parse_accounting(stdout: str) -> dict[str, NativeStatus]:
    """Return the jobs and array tasks of `accounting_argv`'s output.

    What the database calls alive, or has not filled yet, is UNKNOWN: the controller knows it not.
    """
    found: dict[str, NativeStatus] = {}
    for line in stdout.splitlines():
        fields = line.strip().split("|", 6)
        if len(fields) != 7:
            continue
        native_ids, raw_state, exit_code, raw_reason, nodes, end, name = fields
        if not is_filled(name):
            found |= {each: unfilled(each, raw_state) for each in expand(native_ids)}
            continue
        state, sentence = interpret(raw_state, "", exit_code)
        if was_dropped(raw_state, nodes):
            state, sentence = DROPPED
        elif not state.is_final:
            state, sentence = lost(raw_state)
        one = native_status(state, sentence, raw_state, raw_reason, name, exit_code)
        if state.is_final:
            one = one._replace(ended=with_zone(end))
        found |= {each: one._replace(native_id=each) for each in expand(native_ids)}
    return found


def cancel_argv(native_ids: Sequence[str]) -> list[str]:
    """Return the words that cancel jobs or array tasks."""
    return ["scancel", *_checked(native_ids)]


def release_argv(native_ids: Sequence[str]) -> list[str]:
    """Return the words that let held jobs start."""
    return ["scontrol", "release", ",".join(_checked(native_ids))]


def find_argv(name: str = "", users: Sequence[str] = ()) -> list[str]:
    """Return the words that list jobs: the caller's own or those of users, perhaps of one name."""
    whose = f"--user={','.join(users)}" if users else "--me"
    argv = ["squeue", "--noheader", whose, "--states=all", "--format=%F|%T|%j|%k"]
    return [*argv, f"--name={name}"] if name else argv


def parse_find(stdout: str) -> list[tuple[str, str, str]]:
    """Return (id, name, comment) of the jobs that have not ended, by id; an array once."""
    found: dict[int, tuple[str, str]] = {}
    for line in stdout.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) == 4 and fields[0].isdigit() and not parse_state(fields[1])[0].is_final:
            found[int(fields[0])] = (fields[2], fields[3])
    return [(str(number), *found[number]) for number in sorted(found)]


# sbatch --export=NONE sets the first; left in place, srun would start ranks without environment.
_PREAMBLE = (
    "unset SLURM_EXPORT_ENV",
    "export DFH_ARRAY_TASK_ID=${SLURM_ARRAY_TASK_ID:-${DFH_ARRAY_TASK_ID:-}}",
    "export DFH_NATIVE_ID=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$DFH_ARRAY_TASK_ID}",
    "DFH_NATIVE_ID=${DFH_NATIVE_ID:-${SLURM_JOB_ID:-}}",
)


def header(options: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each option of a job."""
    return [f"#SBATCH --{name}" + (f"={value}" if value else "") for name, value in options]


class SlurmScheduler(Scheduler):
    """Queues scripts with sbatch, asks squeue and sacct, cancels with scancel."""

    title: ClassVar[str] = "Slurm"
    job: ClassVar[str] = "deepforge_hpc.runtime.schedulers.slurm:Slurm"
    programs: ClassVar[tuple[str, ...]] = (
        "sbatch", "squeue", "sacct", "scancel", "scontrol", "srun",
    )  # fmt: skip
    is_probed: ClassVar[bool] = True
    abbreviates: ClassVar[bool] = True
    configuration: ClassVar[str] = "SLURM_CONF"
    unheard: ClassVar[Mapping[str, Unheard]] = UNHEARD
    variables: ClassVar[tuple[str, ...]] = ("SLURM_", "SLURMD_", "SBATCH_")
    bad_in_paths: ClassVar[str] = "%\\"  # sbatch(1), filename pattern: also in the folder's part

    def __init__(self, runner: CommandRunner | None = None, scope: JobScope = _ANY_JOBS) -> None:
        self._given_runner = runner
        self._scope = scope
        self._reached = ""

    @cached_property
    def _runner(self) -> CommandRunner:
        """Made when the first command is run: a plan runs none, and its imports take 10 ms."""
        from deepforge_hpc.schedulers.command import CommandRunner

        return self._given_runner or CommandRunner(variables=(WHOLE_LISTS,))

    def scoped(self, scope: JobScope) -> SlurmScheduler:
        return SlurmScheduler(self._given_runner, scope)

    def cluster(self) -> str:
        """Return the cluster that is named, else the one that answers."""
        if not self._reached:
            reached = self._named or self._reported()
            self._reached = slurm_cluster.check(reached, self._scope)
        return self._reached

    def header(self, options: Sequence[tuple[str, str]]) -> list[str]:
        return [*header(options), *_PREAMBLE]

    def conflicts(
        self, version: str | None, header: Mapping[str, str], argv: Sequence[str]
    ) -> Iterable[Conflict]:
        return conflicts(version, header, argv)

    def launch_env(
        self, version: str | None, argv: Sequence[str], cpus_per_task: str
    ) -> dict[str, str]:
        """Tell srun of the job's cores where it does not take them over."""
        forgets = is_srun(argv) and not inherits_cpus(version)
        return {"SRUN_CPUS_PER_TASK": cpus_per_task} if forgets else {}

    def require_submit(self) -> None:
        """Raise NoSchedulerError if Slurm's commands cannot work here; starts no process.

        Without a configuration each of them tries for a minute.
        """
        self._runner.require("sbatch")
        _ = self._named
        path = os.environ.get("SLURM_CONF")
        if path and not os.access(path, os.R_OK):
            message = f"SLURM_CONF names {path}, which cannot be read"
            raise NoSchedulerError(message, "Set it right, or leave it out: unset SLURM_CONF")

    def describe(self, request: SubmitRequest) -> list[str]:
        return self._with_cluster(submit_argv(request))

    def submit(self, request: SubmitRequest) -> str:
        """Queue a script and return its id.

        Where sbatch could not tell whether it was heard, the job is looked for by name and comment
        before another try, so that it is never queued twice.
        """
        said = self._retried(submit_argv(request), seek=lambda: self._queued(request))
        native_id, cluster = parse_submit(said)
        if cluster and cluster.lower() != self.cluster().lower():
            # A wrapper or a plug-in of the site: nothing else of ours would find the job there.
            there = (f"--clusters={cluster}",)
            listed = self._retried([*queue_argv([native_id]), *there], harmless="Invalid job id")
            is_ours = any(job.name == request.name for job in parse_queue(listed).values())
            if is_ours:  # the number alone may be anybody's
                self._retried([*cancel_argv([native_id]), *there])
            raise slurm_cluster.wrong_cluster(cluster, self.cluster(), "" if is_ours else native_id)
        return native_id

    def release(self, directory: str, native_ids: Sequence[str]) -> None:
        for chunk in _chunks(native_ids):
            self._retried(release_argv(chunk), harmless=r"Job has already finished|Invalid job id")

    def cancel(self, directory: str, native_ids: Sequence[str]) -> None:
        for chunk in _chunks(native_ids):
            self._retried(cancel_argv(chunk), harmless=r"Invalid job id|already complet")

    def query(self, directory: str, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        """Return what controller and accounting know of the jobs.

        The controller is right on what is alive; the accounting knows exit codes, and what the
        controller has forgotten (after MinJobAge; single tasks of an array that still runs, too).
        """
        queued: dict[str, NativeStatus] = {}
        self.unanswered = ""
        for chunk in _chunks(native_ids):
            queued |= parse_queue(self._retried(queue_argv(chunk), harmless="Invalid job id"))
        alive = {key for key, job in queued.items() if not State(job.state).is_final}
        ended: dict[str, NativeStatus] = {}
        for chunk in _chunks([key for key in native_ids if key not in alive]):
            ended |= self._accounting(chunk)
        for key, job in queued.items():
            past = ended.get(key)
            if key in alive or past is None or not State(past.state).is_final:
                ended[key] = job
        return of_units(ended)

    def find(self, directory: str, token: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        users = sorted({*self._scope.users, user_name()}) if self._scope.users else ()
        for native_id, name, _ in parse_find(self._retried(find_argv(users=users))):
            job, dot, end = name.rpartition(".")
            if dot and end == token:
                found.setdefault(job, []).append(native_id)
        return found

    def _queued(self, request: SubmitRequest) -> str:
        for native_id, name, comment in parse_find(self._retried(find_argv(request.name))):
            if name == request.name and comment == request.comment:
                return native_id
        return ""

    def _accounting(self, native_ids: Sequence[str]) -> dict[str, NativeStatus]:
        try:
            return parse_accounting(self._once(accounting_argv(native_ids)))
        except SchedulerError as error:  # no accounting here, or its database is down
            _warn(f"no accounting: {error.message}")
            self.unanswered = "" if NO_ACCOUNTING in error.stderr else error.message
            return {}

    def _reported(self) -> str:
        """Return the cluster that the commands reach, by the controller, else by their own file."""
        try:
            return slurm_cluster.parse(self._retried(CONFIG_ARGV))
        except (NoSchedulerError, TransientSchedulerError):
            raise
        except SchedulerError as error:  # some sites let nobody look
            if found := slurm_cluster.in_file(self._runner.given):
                return found
            raise slurm_cluster.unknown(error) from error

    @property
    def _named(self) -> str:
        return slurm_cluster.named(self._scope, self._runner.given)

    def _with_cluster(self, argv: Sequence[str]) -> list[str]:
        """Return the words of a command with the cluster that it is to act on, if one is named."""
        return [argv[0], *([f"--clusters={self._named}"] if self._named else ()), *argv[1:]]

    def _once(self, argv: Sequence[str], harmless: str = "") -> str:
        """Run a command: every one, and so the cluster is known here alone."""
        if argv is not CONFIG_ARGV and self._scope.cluster:
            self.cluster()  # before any other: is this the jobs' own?
        done = self._runner.run(self._with_cluster(argv))
        if done.returncode and not (harmless and _all_match(done, harmless)):
            raise parse_error(done)
        return done.stdout

    def _retried(
        self, argv: Sequence[str], harmless: str = "", seek: Callable[[], str] | None = None
    ) -> str:
        """Run a command; retry after a passing error, unless `seek` finds what it was to make."""
        for pause in self._runner.pauses_s:
            begin = time.monotonic()
            try:
                return self._once(argv, harmless)
            except TransientSchedulerError as error:
                # What makes nothing is not asked again after a long wait: a person can.
                if seek is None and time.monotonic() - begin > self._runner.patience_s:
                    raise
                _warn(f"{error.message}; trying again")
                time.sleep(pause)
                if seek and (found := seek()):
                    return found
        return self._once(argv, harmless)


def _warn(message: str) -> None:
    import logging

    logging.getLogger(__name__).warning(message)


def _all_match(done: Completed, pattern: str) -> bool:
    """Tell whether each line of stderr is a complaint that does not matter."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return bool(lines) and all(re.search(pattern, line) for line in lines)


def _checked(native_ids: Sequence[str]) -> list[str]:
    for native_id in native_ids:
        if not ID.fullmatch(native_id):
            message = f"{native_id!r} is not the id of a Slurm job"
            raise SchedulerError(message, "Is submitted.jsonl damaged?")
    return list(native_ids)


def _chunks(native_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(native_ids), _CHUNK):
        yield native_ids[start : start + _CHUNK]
