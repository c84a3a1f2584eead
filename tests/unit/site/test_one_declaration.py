"""A fact of a site is declared once: its class says how it is read, reported and described."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.object import Object, keys_of
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.site.frozen import Frozen
from deepforge_hpc.site.kinds import COUNT, SIZE, fact, given
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.queue import Queue
from deepforge_hpc.site.read import SITE
from deepforge_hpc.site.unknown import UNKNOWN, Count

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Burst(Queue):
    """A queue with two facts that no queue has."""

    burst_buffer_mib: Count = fact(SIZE, name="burst_buffer")
    """What a job may have of the burst buffer."""
    lanes: int = given(COUNT, 1)


def _read(text: str) -> tuple[Any, list[str]]:
    document = load(text.encode(), "x.yaml")
    reader = Reader(document)
    found = Object(_Burst)(document.value(), (), reader)
    return found, [str(fault) for fault in reader.faults]


def test_a_new_fact_is_one_line() -> None:
    queue, faults = _read("{name: a, burst_buffer: 4GiB, lanes: 2}")
    assert (queue.burst_buffer_mib, queue.lanes, faults) == (4096, 2, [])
    queue, faults = _read("{name: a, burst_buffer: unknown, lanes: unknown}")
    assert queue.burst_buffer_mib is UNKNOWN
    assert (queue.lanes, faults) == (1, [])
    assert _read("name: a\nburst_bufer: 1GiB\nlanes: few")[1] == [
        "x.yaml:2:1: unknown key 'burst_bufer' (did you mean 'burst_buffer'?)",
        "x.yaml:3:8: lanes: expected a whole number from 0 to 100000000, not 'few'",
    ]
    described = Object(_Burst).schema()["properties"]
    assert list(described)[-2:] == ["burst_buffer", "lanes"]
    assert described["burst_buffer"]["description"] == "What a job may have of the burst buffer."


def test_every_fact_of_a_site_is_one_that_its_file_can_give() -> None:
    """A field that no key fills would be empty for ever; three are made by the reader."""
    given_by_none = {
        (kind.__name__, field.name)
        for kind in {SiteSpec, *_below(SITE.declared)}
        for field in dataclasses.fields(kind)
        if field.name not in {one.name for one in keys_of(kind).values()}
    }
    assert given_by_none == {
        ("SiteSpec", "variants"),
        ("SiteSpec", "unknowns"),
        ("Identify", "content"),  # part of the key `file`
        ("Range", "min"),  # of any kind: RangeOf gives them theirs
        ("Range", "max"),
    }


def _below(kind: type) -> Iterator[type]:
    """Yield the classes of a site's data."""
    import deepforge_hpc.site.model  # noqa: F401 - all of them are its

    for one in Frozen.__subclasses__():
        if one.__module__.startswith("deepforge_hpc.site") and one is not kind:
            yield one
