"""What a framework itself gives where nothing is said passes as what a user says."""

from __future__ import annotations

from importlib import import_module

import pytest

from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.libraries.networks.arguments import kinds
from deepforge_hpc.plugins.library import NEEDED


@pytest.mark.parametrize("framework", ["keras", "torch"])
def test_no_default_is_refused(framework: str) -> None:
    catalogue = import_module(f"deepforge_hpc.libraries.{framework}.catalogue")
    reader, shipped, read = Reader(load("a: 1", "a.yaml")), catalogue.shipped(), 0
    for family in shipped.families:
        for thing in shipped.things(family).values():
            one = kinds(catalogue.dialect()).arguments(family, thing.name)
            for name, default in thing.defaults.items() if one else ():
                if default is not NEEDED and one is not None:
                    one.read(name, default, ("a",), reader)
                    read += 1
    assert not reader.faults, reader.faults
    assert read > 100
