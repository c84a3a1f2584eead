"""Any value at any place of a pipeline loads or is a fault with a place: it never is a crash."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deepforge_hpc.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import ProjectFolder

WHOLE = """\
dfh: 1
pipeline: galaxies
description: d
inputs: {catalogue: {uri: data/sdss.h5, type: hdf5}}
operations:
  render:
    uses: operations/all.py:Render
    inputs: {table: catalogue}
    attributes: {size: 8}
    map: {over: table, shards: 3}
  train:
    uses: operations/all.py:Train
    description: d
    inputs: {images: render.images}
    attributes: {epochs: 3, layers: [1], note: x, rate: 0.1}
    references: {model: net.yaml}
    types: {images: npy}
    resources:
      {nodes: 1, ntasks_per_node: 1, cpus_per_task: 1, gpus_per_node: 0, mem_per_node: 1GiB, time: 1h, queue: q}
    launch: none
    environment: {python: python3, modules: [a/1]}
    seed: 3
    after: [render]
  evaluate: {uses: 'operations/all.py:evaluate', inputs: {history: train.history}}
outputs:
  score: evaluate.score
  summary: {from: train.summary, to: results/summary.txt}
executions: runs
code: ['operations/*.py']
environment: {conda: c}
seed: 1
"""
NET = "library: keras\narchitecture: a\ninputs: {x: [4]}\nlayers: [{d: {Dense: {units: 2}}}]\n"
HERE = "@HERE@"
ODD = [
    "null", "true", "-1", "0", "1" + "0" * 4000, f"0x{'f' * 5000}", "1.5", "1e308", ".nan", "-.inf",
    "''", "' '", "a b", "$(touch pwned)", "'`id`; x'", '"a\\nb"', '"\\x07"', '"a\\0b"', '"a\\0b.py:c"', '"\\ud800"', "\u65e5\u672c", "a" * 5000,
    "a/" * 3000, "..", "../../etc/passwd", "/etc", "out/passwd", "loop/x", "pipe/p", "/dev/null", "~nobody/x",
    "globus://a/b", "'x://'", "'**x'", "'['", "'{{ 7*7 }}'", "-x", "'__main__:x'", "'os:system'", "'.x:y'", "'a:b:c'",
    "operations/all.py:np", "train", "train.history", "render.images", "a..b", "pickle", "0m", "12:30",
    "[]", "[[]]", "[null, 1]", "{}", "{a: {}}", "{'': 1}", "{a b: 1}", "{1: 2}", "{null: 2}", "{[a]: 2}",
    "{a: 1, a: 2}", "{<<: {a: 1}}", "&a [*a]", "*nobody", "!x y", "!!python/name:os.system x",
]  # fmt: skip


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value."""
    yield at
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    for key, item in items:
        yield from places(item, (*at, key))


def texts(odd: str) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the pipeline with an odd value in place of each value of it."""
    whole = yaml.safe_load(WHOLE)
    for number, at in enumerate(places(whole)):
        if (number + ODD.index(odd)) % 4:  # all pairs take a minute
            continue
        changed = copy.deepcopy(whole) if at else HERE
        part = changed
        for step in at[:-1]:
            part = part[step]
        if at:
            part[at[-1]] = HERE
        text = yaml.safe_dump(changed, sort_keys=False, default_flow_style=True, width=10_000)
        yield at, text.replace(f"'{HERE}'", odd)


SITE = "site: local\nextends: local\nqueues: [{name: q, partition: q}]\n"
"""With the queue that the pipeline names."""


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
def test_an_odd_value_is_read_or_refused_wherever_it_stands(
    project: ProjectFolder, odd: str
) -> None:
    project.write("net.yaml", NET)
    project.write("site-configs/local.yaml", SITE)
    (project.root / "out").symlink_to("/etc")
    (project.root / "loop").symlink_to("loop")
    (project.root / "pipe").mkdir()
    os.mkfifo(project.root / "pipe/p")
    refused = 0
    for at, text in texts(odd):
        if at[-1:] in {("uri",), ("catalogue",)} and odd in {"..", "/etc"}:
            continue  # folders of any size, which may be an input
        project.write("pipeline.yaml", text)
        try:
            project.load("local")
        except InvalidInputError as error:
            refused += 1
            for fault in error.faults:
                assert fault.file, (at, fault)
                assert fault.line > 0, (at, fault)
                assert "\x07" not in fault.message
    assert refused > 0
    assert not (project.root / "pwned").exists()


@pytest.mark.parametrize("key", ["python", "venv", "conda", "container"])
@pytest.mark.parametrize("text", ["a\\0b", "a/\\0b", "a\\0.sif"])
def test_no_path_has_a_nul_in_it(project: ProjectFolder, key: str, text: str) -> None:
    project.write("net.yaml", NET)
    project.write("site-configs/local.yaml", SITE)
    project.write("pipeline.yaml", WHOLE.replace("{conda: c}", f'{{{key}: "{text}"}}'))
    with pytest.raises(InvalidInputError, match=r"U\+0000"):
        project.load("local")


def test_the_pipeline_that_is_changed_is_sound(project: ProjectFolder) -> None:
    project.write("net.yaml", NET)
    project.write("site-configs/local.yaml", SITE)
    project.write("pipeline.yaml", WHOLE)

    assert list(project.load("local").operations) == ["render", "train", "evaluate"]
