"""What Slurm's error messages mean, and what to do about each. Pure."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from deepforge_hpc.errors import (
    NoSchedulerError,
    SchedulerError,
    SubmitLimitError,
    TransientSchedulerError,
)

if TYPE_CHECKING:
    from deepforge_hpc.schedulers.command import Completed

_LIMIT = (
    "You have as many jobs in the queue as you may have. Wait until some have ended; an array "
    "(`map:`) counts each of its tasks."
)
BUSY = "The controller is down or busy. Try again in some minutes."
_CONFIGURATION = (
    "Slurm is not set up on this host, or SLURM_CONF names a wrong file. Try a login node of the "
    "cluster: `scontrol ping` answers there."
)
_CLUSTER = (
    "Is its name right (`sacctmgr show clusters`)? It is that of `submit: {cluster: ...}` in the "
    "site's file, or of SLURM_CLUSTERS. If it is, its controller is down: try again later."
)
_DATABASE = (
    "Slurm's database does not answer, and without it a cluster that is named cannot be reached. "
    "Try again later, or on a login node of that cluster."
)
_MUNGE = (
    "Slurm's authentication does not answer on this host. Try another login node, or ask the "
    "centre's support."
)
_TIME = (
    "Ask for less time (`resources: {time: ...}` of the operation), or another queue; "
    "`sinfo -o '%P %l'` shows the limits of the partitions."
)
_ACCOUNT = (
    "Name an account that you may charge in this partition: `--account A`. "
    "`sacctmgr show assoc user=$USER format=account,partition,qos` lists yours."
)
_QOS = (
    "The site file names a QOS that your account may not use. "
    "`sacctmgr show assoc user=$USER format=account,qos` lists yours."
)
_PARTITION = (
    "The site file names a partition that this cluster does not have, or not for you. "
    "`sinfo -s` lists them."
)
_ARRAY = "The array is larger than the site allows (MaxArraySize): use fewer `shards`."
_NODES = (
    "No node of the partition has what the job asks for. Lower `resources:` of the operation, or "
    "correct the site file; `sinfo -o '%P %D %c %m %G %l'` shows what there is."
)
_DEPENDENCY = "A job that it was to wait for was cancelled meanwhile, or Slurm has lost it."
_DENIED = "Slurm does not allow you this; a job belongs to the user who submitted it."
_SCRIPT = "The script of the job is missing or damaged: submit the pipeline again."
_OPTION = "This Slurm does not know an option that the site file asks for, or its value."
_ACCOUNTING = "This cluster keeps no accounting; ended jobs are known by their markers only."

# (pattern, error, hint), the first match wins; texts of Slurm 22.05 to 25.11.
_KINDS: tuple[tuple[str, type[SchedulerError], str], ...] = (
    (r"can't be reached now, or it is an invalid entry", NoSchedulerError, _CLUSTER),
    (r"problem talking to (the )?database", TransientSchedulerError, _DATABASE),
    (r"process configuration file|configuration source", NoSchedulerError, _CONFIGURATION),
    (r"unable to contact slurm controller|connect failure", TransientSchedulerError, BUSY),
    (r"socket timed out|connection (refused|reset|timed out)", TransientSchedulerError, BUSY),
    (r"zero bytes|resource temporarily unavailable", TransientSchedulerError, BUSY),
    (r"temporarily unable to accept job|job queue full", TransientSchedulerError, BUSY),
    (r"in standby mode", TransientSchedulerError, BUSY),
    (r"munge|protocol authentication error", TransientSchedulerError, _MUNGE),
    (r"submitjob\w*limit|maxsubmit|maxjobcount", SubmitLimitError, _LIMIT),
    (r"walldurationperjob|time limit is invalid|--time", SchedulerError, _TIME),
    (r"invalid account or account/partition", SchedulerError, _ACCOUNT),
    (r"invalid qos|qos not permitted", SchedulerError, _QOS),
    (r"invalid partition|partition.*not (available|permitted)", SchedulerError, _PARTITION),
    (r"\w*(cpu|node|gres|mem|memory)\w*per(job|node|user|account)\w*", SchedulerError, _NODES),
    (r"accounting/qos policy", SubmitLimitError, _LIMIT),
    (r"job array specification", SchedulerError, _ARRAY),
    (r"memory specification|node configuration|more processors", SchedulerError, _NODES),
    (r"node count|invalid feature|invalid node name|cpu count", SchedulerError, _NODES),
    (r"generic resource|gres", SchedulerError, _NODES),
    (r"dependency problem", SchedulerError, _DEPENDENCY),
    (r"permission denied", SchedulerError, _DENIED),
    (r"unable to open file|not look like a batch script", SchedulerError, _SCRIPT),
    (r"unrecognized option|invalid option|invalid --", SchedulerError, _OPTION),
    (r"accounting storage is disabled", SchedulerError, _ACCOUNTING),
)
# What clients say before they say that the database does not answer.
_NOISE = re.compile(
    r"slurm_persist_conn|Sending PersistInit|DBD_\w+ failure|Problem talking to data"
)


def parse_error(done: Completed) -> SchedulerError:
    """Return the error that a failed command stands for, with a hint that says what to do."""
    detail = _message(done.stderr) or f"exit code {done.returncode} and no message"
    kind, hint = meaning(done.stderr, f"The command was: {shlex.join(done.argv)}")
    return kind(
        f"{done.argv[0]}: {detail}",
        hint,
        argv=done.argv,
        returncode=done.returncode,
        stderr=done.stderr,
    )


def meaning(said: str, otherwise: str) -> tuple[type[SchedulerError], str]:
    """Return the kind of error that a message tells, and what to do; `otherwise` if unknown."""
    for pattern, kind, hint in _KINDS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind, hint
    return SchedulerError, otherwise


def _message(stderr: str) -> str:
    """Return Slurm's own lines as one, without `sbatch: error:` and repetition."""
    lines = []
    for line in stderr.splitlines():
        text = re.sub(r"^\w+: (error: )?", "", line.strip())
        if _NOISE.match(text):
            continue
        text = text.removeprefix("Batch job submission failed: ")
        if text and text not in lines:
            lines.append(text)
    return "; ".join(lines)[:500]
