"""An MPI library that does not know its launcher: each of N processes would be rank 0 of 1.

It says nothing, and all of them do all of the work. So its number of ranks is asked for as soon as
code of the operation starts it.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from ..base.failure import JobError
from ..base.plan import LaunchCommand
from ..base.post_import import PostImport

OTHER_MPI = (
    "The MPI library is not the one that this launcher serves. With srun, name its way in the "
    "site's launchers: table (srun --mpi=list), or start the ranks by its own mpirun there."
)
"""What to do about it."""


def watch(launch: LaunchCommand) -> None:
    """Compare the ranks of the libraries that connect them with those of the plan, from now on."""

    def check(size: int, who: str) -> None:
        if size != launch.world_size:
            started = f"{launch.argv[0]} started {launch.world_size} ranks"
            raise JobError(f"{started}, and {who} sees {size} of them.", OTHER_MPI)

    def after_mpi4py(module: ModuleType) -> None:
        if module.Is_initialized():
            check(module.COMM_WORLD.Get_size(), "MPI (mpi4py)")

    def after_horovod(module: ModuleType) -> None:
        basics: Any = getattr(module, "HorovodBasics", None)
        if basics is None:
            return
        init = basics.init

        @functools.wraps(init)
        def initialized(self: Any, *args: Any, **words: Any) -> Any:
            result = init(self, *args, **words)
            check(self.size(), "Horovod")
            return result

        basics.init = initialized

    PostImport({"mpi4py.MPI": after_mpi4py, "horovod.common.basics": after_horovod}).start()
