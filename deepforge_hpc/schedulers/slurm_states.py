"""What Slurm's words mean: states as it writes them, and reasons. Pure; unknown words are data."""

from __future__ import annotations

import re

from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.schedulers.slurm import ENDS, STATES, explain_end, is_held

# squeue's two-letter forms, should a site's format give them.
_SHORT = {
    "BF": "BOOT_FAIL", "CA": "CANCELLED", "CD": "COMPLETED", "CF": "CONFIGURING",
    "CG": "COMPLETING", "DL": "DEADLINE", "F": "FAILED", "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY", "PD": "PENDING", "PR": "PREEMPTED", "R": "RUNNING",
    "RD": "RESV_DEL_HOLD", "RF": "REQUEUE_FED", "RH": "REQUEUE_HOLD", "RQ": "REQUEUED",
    "RS": "RESIZING", "RV": "REVOKED", "SI": "SIGNALING", "SE": "SPECIAL_EXIT",
    "SO": "STAGE_OUT", "ST": "STOPPED", "S": "SUSPENDED", "TO": "TIMEOUT",
}  # fmt: skip

# The reasons of https://slurm.schedmd.com/job_reason_codes.html and squeue(1) that are not limits.
REASONS: dict[str, str] = {
    **ENDS,
    "AccountingPolicy": "It waits for a limit of the accounting to allow it.",
    "AssociationJobLimit": "It waits: your account has reached its number of jobs.",
    "AssociationResourceLimit": "It waits: your account has reached a limit on resources.",
    "AssociationTimeLimit": "It waits: your account has used up its time.",
    "BeginTime": "It waits for its start time (a requeued job waits a while, too).",
    "BlockFreeAction": "It waits for a block of nodes to be freed.",
    "BurstBufferResources": "It waits for room in the burst buffer.",
    "BurstBufferStageIn": "It waits while data is copied into the burst buffer.",
    "Cleaning": "It waits while its previous run is cleaned up.",
    "Constraints": "It waits: the nodes that it asks for are not to be had now.",
    "DeadLine": "It cannot end before its deadline.",
    "Dependency": "It waits for the jobs that it depends on.",
    "DependencyNeverSatisfied": "It will never start: a job that it depends on failed.",
    "FedJobLock": "It waits for the clusters of the federation to agree.",
    "FrontEndDown": "It waits: no front-end node is up.",
    "HetJobNotReady": "It waits for the other parts of its heterogeneous job.",
    "JobArrayTaskLimit": "It waits: as many tasks of its array run as may run at once.",
    "JobHeldAdmin": "It is held by an administrator: ask the centre's support.",
    "JobHeldUser": "It is held until it is released.",
    "JobHoldMaxRequeue": "It is held: it was requeued too often.",
    "Licenses": "It waits for a licence.",
    "MaxPoweredUpNodes": "It waits: as many nodes are powered up as may be.",
    "NoNodesAvail": "It waits: no node of the partition can be used now.",
    "None": "It waits: Slurm has not looked at it yet.",
    "PartitionDown": "It waits: the partition is down.",
    "PartitionInactive": "It waits: the partition does not start jobs now.",
    "PartitionNodeLimit": "It asks for a number of nodes that the partition cannot give now.",
    "PowerNotAvail": "It waits for electrical power.",
    "PowerReserved": "It waits: electrical power is reserved for other jobs.",
    "Priority": "It waits: jobs of higher priority come first.",
    "Prolog": "It waits for the prolog of its nodes.",
    "QOSJobLimit": "It waits: the QOS has reached its number of jobs.",
    "QOSResourceLimit": "It waits: the QOS has reached a limit on resources.",
    "QOSTimeLimit": "It waits: the QOS has used up its time.",
    "QOSUsageThreshold": "It waits: your usage is below or above what the QOS asks for.",
    "ReqNodeNotAvail": "It waits: nodes that it needs are down, drained or reserved.",
    "Reservation": "It waits for its reservation.",
    "Resources": "It waits for free nodes: it is among the next to start.",
    "SchedDefer": "It waits for the next cycle of the scheduler.",
    "WaitingForScheduling": "It waits: Slurm has not looked at it yet.",
    "launch failed requeued held": "It is held: its launch failed. Ask the centre's support.",
}  # fmt: skip

_NEVER: dict[str, str] = {
    "AccountNotAllowed": "its account may not use this partition.",
    "BadConstraints": "no nodes of the partition fit what it asks for.",
    "BlockMaxError": "its block of nodes has too many errors.",
    "BurstBufferOperation": "an operation of the burst buffer failed.",
    "InvalidAccount": "its account is not valid any more.",
    "InvalidQOS": "its QOS is not valid.",
    "MaxMemPerLimit": "it asks for more memory than a CPU or node may give.",
    "PartitionConfig": "it breaks a limit of the partition.",
    "PartitionTimeLimit": "it asks for more time than the partition allows.",
    "QOSNotAllowed": "the account or the partition may not use this QOS.",
    "ReservationDeleted": "its reservation is gone.",
    "ReservationInvalid": "its reservation is not valid.",
}  # fmt: skip
"""Those that do not go away whatever ends meanwhile, and why it will not start."""

_THINGS = {
    "BB": "burst buffer", "Billing": "billing units", "Cpu": "CPUs", "CPU": "CPUs",
    "Energy": "energy", "GRES": "GPUs or other generic resources", "Jobs": "running jobs",
    "License": "licences", "Mem": "memory", "Memory": "memory", "Node": "nodes",
    "SubmitJob": "submitted jobs", "SubmitJobs": "submitted jobs", "Unknown": "a resource",
    "Wall": "walltime", "WallDuration": "walltime",
}  # fmt: skip
_THING = "|".join(sorted(_THINGS, key=len, reverse=True))
# Compiled by who is the first to ask, for it takes 2 ms.
_LIMIT = (
    rf"(?P<whose>QOS|Assoc)(?P<kind>Grp|Max|Min)(?P<thing>{_THING})(?P<minutes>(?:Run)?Minutes)?"
    r"(?:Per(?P<per>Job|Node|User|Account))?(?:Limit|NotSatisfied)?"
    rf"|Max(?P<account_thing>{_THING})PerAccount"
)


def parse_state(word: str) -> tuple[State, str, str]:
    """Return our state, Slurm's full word and a sentence, of e.g. `CANCELLED by 0`, `OUT_OF_ME+`.

    An unknown word is State.UNKNOWN.
    """
    first = word.partition(" ")[0]
    name = _SHORT.get(first, first)
    if name.endswith("+"):  # cut by the width of sacct's column; squeue also marks flags so
        matches = [known for known in STATES if known.startswith(name[:-1])]
        name = matches[0] if len(matches) == 1 else name.rstrip("+")
    if name in STATES:
        state, sentence = STATES[name]
        return state, name, sentence
    return State.UNKNOWN, name, f"Slurm gives the state {word!r}, which is not known here."


def explain_reason(raw: str) -> str:
    """Return one sentence for a reason of squeue's `%r`; empty if there is none."""
    reason = _normal(raw)
    if reason in {"", "(null)"}:
        return ""
    if reason in _NEVER:
        return f"It will not start: {_NEVER[reason]}"
    return REASONS.get(reason) or _limit(reason) or f"Slurm gives the reason {raw.strip()!r}."


def never_starts(raw: str) -> bool:
    """Tell whether a waiting job asks for what it may not have, so that no wait helps it."""
    reason = _normal(raw)
    limit = re.fullmatch(_LIMIT, reason)
    return reason in _NEVER or (limit is not None and _is_of_one_job(limit))


def interpret(raw_state: str, raw_reason: str = "", exit_code: str = "") -> tuple[State, str]:
    """Return our state and one sentence from Slurm's state, reason and exit code (`3:0`)."""
    state, name, sentence = parse_state(raw_state)
    reason = _normal(raw_reason)
    if end := explain_end(f"{name} {raw_state.partition(' ')[2]}", reason, exit_code):
        return end
    if name == "PENDING":
        held = is_held(reason)
        return (State.HELD if held else state), explain_reason(raw_reason) or sentence
    return state, sentence


def _normal(raw: str) -> str:
    """Return the reason without its details: `ReqNodeNotAvail, UnavailableNodes:n1`."""
    text = raw.strip().strip("()") if raw.strip() != "(null)" else "(null)"
    word = text.split(",")[0].strip()
    spaced = word.replace("_", " ")
    return spaced if spaced in REASONS else word


def _limit(reason: str) -> str:
    """Explain the 180 or so reasons that are made as <whose><kind><thing><minutes><per>Limit."""
    match = re.fullmatch(_LIMIT, reason)
    if not match:
        return ""
    if match["account_thing"]:
        thing = _THINGS[match["account_thing"]]
        return f"It waits: your account has reached the limit of its QOS on {thing}."
    whose = {"QOS": "the QOS", "Assoc": "your account"}[match["whose"]]
    thing = _THINGS[match["thing"]]
    what = f"{thing} x minutes" if match["minutes"] else thing
    kind = match["kind"]
    if kind == "Grp":
        spent = f"{whose} has used up its {what} (the allocation may be spent)"
        full = f"the jobs of {whose} together have reached the limit on {what}"
        return f"It waits: {spent if match['minutes'] == 'Minutes' else full}."
    if not _is_of_one_job(match):
        return f"It waits: you have reached the limit of {whose} on {what}."
    if kind == "Min":
        return f"It will not start: {whose} demands that a job asks for more {what}."
    return f"It will not start: it asks for more {what} than {whose} allows."


def _is_of_one_job(limit: re.Match[str]) -> bool:
    """Tell whether a limit is on what one job asks for, not on what jobs have together."""
    if limit["kind"] == "Max":
        return limit["per"] != "User" and limit["thing"] not in {"Jobs", "SubmitJob"}
    return limit["kind"] == "Min"


def with_zone(moment: str) -> str:
    """Return a time of Slurm's, which is this machine's, with its zone; empty for `Unknown`."""
    from datetime import datetime, timezone

    try:
        return datetime.fromisoformat(moment).astimezone(timezone.utc).isoformat()
    except ValueError:
        return ""
