"""The command line: the only part that prints."""

from __future__ import annotations

import os
import sys

# Python puts the folder of the script `dfh` first on the path, and asks it for every module that is
# imported: a hundred calls to the file system for nothing, and a way in for a file that lies there.
# What `python -P` does from 3.11 on, an installed script cannot ask for.
if os.path.basename(sys.argv[0]) == "dfh" and sys.path[:1] == [os.path.dirname(sys.argv[0])]:  # noqa: PTH119, PTH120 -- pathlib is not loaded yet
    del sys.path[0]
