"""`python -m dfh_runtime run JOB ... | rank | report DIR`."""

from __future__ import annotations

import os
import sys

# Every import of a library asks each folder that stands before its own on the path: so our folder
# goes to the end, and the working directory, where nothing is to be imported from, goes away.
_CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_UNWANTED = {"", os.getcwd(), _CODE}  # noqa: PTH109 - pathlib is not imported yet
sys.path[:] = [*(entry for entry in sys.path if entry not in _UNWANTED), _CODE]
# What a folder of PYTHONPATH has by the name of one of Python's own modules would hide that.
_OWN = os.path.dirname(os.__file__)  # noqa: PTH120
sys.path.sort(key=lambda entry: entry not in {_OWN, f"{_OWN}/lib-dynload"})

_USAGE = """usage: python -m dfh_runtime run JOB [--task N] [--attempt N] [--plan D] [--code D]
       python -m dfh_runtime rank
       python -m dfh_runtime report DIR
"""
_EXIT_USAGE = 2


def main(argv: list[str]) -> int:
    """Do what the words say; the exit code is that of the job."""
    if argv == ["rank"]:
        from .rank.run import main as run_rank

        return run_rank()
    if argv[:1] == ["run"] and len(argv) % 2 == 0:
        options = dict(zip(argv[2::2], argv[3::2], strict=True))
        if options.keys() <= {"--task", "--attempt", "--plan", "--code"}:
            return _run(argv[1], options)
    if argv[:1] == ["report"] and len(argv) == 2:
        from pathlib import Path

        from .report.refresh import refresh

        refresh(Path(argv[1]), force=True)
        return 0
    sys.stderr.write(_USAGE)
    return _EXIT_USAGE


def _run(job: str, options: dict[str, str]) -> int:
    from .base.context import find_root
    from .job.supervisor import run_job

    task = options.get("--task")
    return run_job(
        find_root(),
        job=job,
        task=None if task is None else int(task),
        attempt=int(options.get("--attempt", "0")),
        plan_sha256=options.get("--plan", ""),
        code_sha256=options.get("--code", ""),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
