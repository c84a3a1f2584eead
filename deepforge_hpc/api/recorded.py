"""What a pipeline's data say of themselves, where that can be read before a job is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

_SECONDS = 20
_CODE = """
import json, sys
import h5py
with h5py.File(sys.argv[1], "r") as file:
    found = file[sys.argv[2]].attrs.get("classes")
is_list = getattr(found, "ndim", 0) == 1
print(json.dumps(found if found is None else len(found) if is_list else int(found)))
"""


def classes(files: Mapping[str, str], name: str) -> int | None:
    """Return how many classes a data set of one of some HDF5 files says that its labels have.

    That is its attribute `classes`, a number or the classes' names. None if no file has it, or none
    can be read here. A process of its own reads: a damaged file must not end this one.
    """
    for path in files.values():
        try:
            done = subprocess.run(
                (sys.executable, "-I", "-c", _CODE, path, name),
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
            found = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
        if isinstance(found, int):
            return found
    return None
