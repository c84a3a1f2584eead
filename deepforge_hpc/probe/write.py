"""The text of a drafted site file: comments say what a person has to look at. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from deepforge_hpc.files.yaml12 import reads_as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deepforge_hpc.runtime.base.notice import Notice

_HEAD = """\
# A draft by `dfh site probe`: what Slurm shows. Each `unknown` is something that it does not: look
# it up at your centre and write it down, with its source under `facts`. `unknown` never refuses a
# job, it warns. `dfh site diff {name}` shows later where the machine has changed.
"""


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would read as another thing than text."""

    def represent_text(self, text: str) -> yaml.Node:
        style = None if reads_as_text(text) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def ignore_aliases(self, _data: object) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def site_yaml(
    data: Mapping[str, Any], warnings: Sequence[Notice] = (), notes: Sequence[str] = ()
) -> str:
    """Return the text of a site file."""
    lines = [f"# WARNING: {' '.join(warning.text.split())}" for warning in warnings]
    lines += [f"# {' '.join(note.split())}" for note in notes]
    head = _HEAD.format(name=data["site"]) + "".join(f"{line}\n" for line in lines)
    body: str = yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )
    return head + body
