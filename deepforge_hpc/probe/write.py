"""The text of a drafted site file: comments say what a person has to look at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.yaml12 import dump

if TYPE_CHECKING:
    from deepforge_hpc.runtime.base.notice import Notice

_HEAD = """\
# A draft by `dfh site probe`: what Slurm shows. Each `unknown` is something that it does not: look
# it up at your centre and write it down, with its source under `facts`. `unknown` never refuses a
# job, it warns. `dfh site diff FILE`, of this file, shows later where the machine has changed.
"""


def site_yaml(
    data: Mapping[str, Any], warnings: Sequence[Notice] = (), notes: Sequence[str] = ()
) -> str:
    """Return the text of a site file."""
    lines = [f"# WARNING: {' '.join(warning.text.split())}" for warning in warnings]
    lines += [f"# {' '.join(note.split())}" for note in notes]
    head = _HEAD + "".join(f"{line}\n" for line in lines)
    return head + dump(dict(data), default_flow_style=None)
