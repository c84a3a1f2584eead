"""What the supervisor tells its ranks: one small file, and the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.codec import encode
from ..base.context import hostname
from ..base.files import publish_json
from ..base.layout import DONE, RANK_SPEC, RESERVE
from ..rank.messages import RankInput, RankSpec, TakenUp

if TYPE_CHECKING:
    from ..base.context import Context
    from ..launchers import Launcher
    from ..state.record import StagedInput


_RESERVE_BYTES = 64 << 10


def write_spec(
    context: Context, scratch: Path, inputs: list[StagedInput], taken: TakenUp | None = None
) -> None:
    """Write `rank.json`: the job's part of the plan, with inputs resolved to paths."""
    log = context.layout.rank_log(context.name, context.attempt, 0, context.task)
    program = "".join(context.job.launch.argv[:1])
    spec = RankSpec(
        job=context.job,
        inputs=tuple(
            RankInput(item.port, item.format, str(item.path), item.parts, item.mapped)
            for item in inputs
        ),
        task=context.task,
        variables=_launcher(context).names(program) if program else (),
        code=str(context.layout.code),
        work=str(context.work),
        figures=str(_beside(context, context.folder.figures)),
        rank_log=str(log).replace("rank-00000", "rank-{rank:05d}"),
        attempt=context.attempt,
        uuid=context.info.uuid,
        home=hostname() if _is_apart(context, scratch) else "",
        taken=taken,
    )
    publish_json(context.work / RANK_SPEC, encode(spec), durable=False)
    (context.work / RESERVE).write_bytes(bytes(_RESERVE_BYTES))
    if context.job.launch.world_size > 1:
        (context.work / DONE).write_bytes(bytes(context.job.launch.world_size))


def rank_argv(context: Context) -> list[str]:
    """Return the command of the rank, or of the launcher of the ranks."""
    return [*context.job.launch.argv, sys.executable, "-m", "dfh_runtime", "rank"]


def rank_environment(context: Context, scratch: Path) -> dict[str, str]:
    """Return the environment of the ranks: ours, the launcher's, and the contract's variables."""
    launch = context.job.launch
    environ = dict(os.environ)
    if launch.argv:
        environ = {**_launcher(context).environment, **environ, **dict(launch.env)}
    if launch.world_size > 1:
        environ = {**_rendezvous(context), **environ}
    environ.update(
        DFH_EXECUTION=str(context.layout.root),
        DFH_JOB=context.name,
        DFH_TASK="" if context.task is None else str(context.task),
        DFH_ATTEMPT=str(context.attempt),
        DFH_METRICS=str(_beside(context, context.folder.metrics)),
        DFH_CHECKPOINT_DIR=str(_beside(context, context.folder.checkpoints)),
        DFH_SCRATCH=str(scratch),
        DFH_WORLD_SIZE=str(launch.world_size),
        DFH_WORK=str(context.work),
    )
    return environ


def _rendezvous(context: Context) -> dict[str, str]:
    """Return where ranks of torch.distributed meet: on this node, that of rank 0, at a free port.

    A number made from the job's would be taken by another job on the node some day.
    """
    import socket

    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    if context.job.resources.nodes == 1:
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    host = hostname()
    known = _launcher(context).rendezvous(f"{host}:{port}", context.info.uuid)
    return {"MASTER_ADDR": host, "MASTER_PORT": str(port), **known}


def make_scratch(context: Context, local: str) -> Path:
    """Create the folder for a job's temporary files and return it.

    Node-local where there is one; a job of several nodes uses it only if the scheduler removes it
    on each: that is `local`, empty if it has none.
    """
    if not local and context.job.resources.nodes == 1:
        local = os.environ.get("TMPDIR", "")
    folder = context.work / "scratch"
    if local and os.access(local, os.W_OK | os.X_OK):
        # An unknown name and mkdir: nothing that others planted in a shared folder is used.
        folder = Path(local, f"dfh-{context.name}-{os.urandom(8).hex()}")
    folder.mkdir(0o700)
    return folder


def _is_apart(context: Context, scratch: Path) -> bool:
    """Tell whether other nodes have a working folder of the same name each."""
    return context.job.resources.nodes > 1 and context.work not in scratch.parents


def _launcher(context: Context) -> Launcher:
    """Return what is known of what starts the ranks."""
    from ..launchers import load_launcher

    return load_launcher(context.job.launch.name, context.layout.code)


def _beside(context: Context, path: Path) -> Path:
    """Return a path of the job's folder; by hand, the same name in the work folder."""
    return context.work / path.name if context.by_hand else path
