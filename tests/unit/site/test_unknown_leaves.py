"""Every leaf of a site file may be `unknown`: never refused, never a value, always listed.

The leaves are those of the declarations that files are read by, so a new key is held to it too.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from deepforge_hpc.api.schemas import SCHEMAS
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.kinds import Items, MapOf
from deepforge_hpc.files.object import Object
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.site.read import SITE, read_site
from deepforge_hpc.site.request import LauncherTable

VALIDATOR = jsonschema.Draft7Validator(SCHEMAS["site"]())
Path = tuple[str | int, ...]
NAMES = re.compile(
    r"dfh|site|scheduler|title|description|facts\..*|queues\[0\]\.name|errors\[0\]\..*|"
    r"request\.forbidden\[0\]\.flag|transfer\.globus\[0\]\.name"
)
"""Not facts of a machine: by what something is called, and what this project says."""
SIBLINGS: dict[str, object] = {
    "name": "a",
    "suffix": "_g",
    "flag": "nodelist",
    "directive": ["constraint", "a"],
    "role": "home",
    "path": "/a",
}
"""What a part of the file needs besides the leaf in question."""
WITHIN = ("_record", "_items", "kind")


def leaves(kind: Any, path: Path = ()) -> Iterator[tuple[Path, dict[Path, object]]]:
    """Yield the path of each leaf, with what must stand beside it."""
    if isinstance(kind, Object):
        beside = {(*path, key): SIBLINGS[key] for key in kind._required if key in SIBLINGS}
        for key, (inner, _) in kind.fields.items():
            for found, more in leaves(inner, (*path, key)):
                yield found, {**beside, **more}
    elif isinstance(kind, Items):
        yield from leaves(kind.kind, (*path, 0))
    elif isinstance(kind, MapOf):
        # Another name than one that dfh knows needs an argv beside it.
        name = "mpi" if isinstance(kind, LauncherTable) else "NAME"
        yield from leaves(kind.kind, (*path, name))
    elif inner := next(filter(None, (getattr(kind, name, None) for name in WITHIN)), None):
        yield from leaves(inner, path)
    else:
        yield path, {}


def dotted(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".")


LEAVES = {dotted(path): (path, beside) for path, beside in leaves(SITE)}


def document(path: Path, beside: Mapping[Path, object]) -> dict[str, Any]:
    """Return a site whose one leaf is `unknown`."""
    data: dict[str, Any] = {"site": "x", "scheduler": "slurm"}
    for place, value in {**beside, path: "unknown"}.items():
        at: Any = data
        for step, following in zip(place, (*place[1:], None), strict=True):
            if following is None:
                at[step] = value
            elif isinstance(step, int):
                at[0] = [{}] if isinstance(following, int) else at[0]
                at = at[0]
            else:
                at = at.setdefault(step, [{}] if isinstance(following, int) else {})
    return data


def texts(value: object) -> Iterator[str]:
    """Yield every text of a model."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        yield from texts([getattr(value, item.name) for item in dataclasses.fields(value)])
    elif isinstance(value, Mapping):
        yield from texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def test_the_leaves_are_found() -> None:
    assert len(LEAVES) > 200
    assert {"queues[0].jobs.running.scope", "environment_sets.NAME.env.NAME"} <= set(LEAVES)
    assert {"launchers.mpi.argv[0]", "account.suffixes[0].when.gpus"} <= set(LEAVES)


@pytest.mark.parametrize("name", [name for name in LEAVES if not NAMES.fullmatch(name)])
def test_a_leaf_may_be_unknown(name: str) -> None:
    data = document(*LEAVES[name])
    reader = Reader(load(json.dumps(data), "x.yaml"))
    site = read_site(reader, reader.document.value())

    assert not reader.faults
    assert list(VALIDATOR.iter_errors(data)) == []
    assert site.unknowns == (name,)
    model = dataclasses.replace(site, unknowns=(), facts={})
    assert "unknown" not in list(texts(model)), "the word is taken for a value"
