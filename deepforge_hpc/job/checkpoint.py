"""Where a job keeps what its next attempt goes on from."""

from __future__ import annotations

import os
from pathlib import Path


def checkpoint_folder() -> Path | None:
    """Return the folder that outlives an attempt; None without a job, which nobody resumes.

    All ranks and all attempts of a job, or of a task, have the same.
    """
    given = os.environ.get("DFH_CHECKPOINT_DIR", "")
    if not given:
        return None
    folder = Path(given)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
