"""The catalogue of the framework that is installed beside `dfh`, where that is another version.

Made once by `introspect` in a process of its own, and kept in the user's cache folder. For schema
and documentation: what is checked is what the shipped catalogue says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts
from deepforge_hpc.libraries.networks.trial import cache
from deepforge_hpc.runtime.base.files import (
    canonical_json,
    digest,
    parse_object,
    publish_bytes,
    read_own,
)

_SCRIPT = Path(__file__).with_name("introspect.py")
_LIBRARIES = Path(__file__).parents[1]
_SECONDS = 120
_MAX_BYTES = 8 << 20


def at_hand(
    package: str, shipped: Catalogue, texts: Callable[[], Texts]
) -> tuple[Catalogue, Texts]:
    """Return the catalogue of the installed package; the shipped one where there is none."""
    with suppress(PackageNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
        installed = version(package)
        if installed != shipped.version:
            return _of(package, installed)
    return shipped, texts()


def _of(package: str, installed: str) -> tuple[Catalogue, Texts]:
    """Return what was kept of a version, or is made now; raises what is wrong with it."""
    module = f"deepforge_hpc.libraries.{package}.introspect"
    scripts = [digest(path.read_bytes()) for path in (_SCRIPT, _LIBRARIES / package / _SCRIPT.name)]
    name = digest(canonical_json([installed, *scripts])).removeprefix("sha256:")
    path = cache.folder("catalogues") / f"{name}.json"
    try:
        data = read_own(path, owner=os.geteuid(), limit=_MAX_BYTES)
    except OSError:
        data = _made(module)
        with suppress(OSError):  # a cache that cannot be written is none
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish_bytes(path, data, durable=False, mode=0o600)
    found = parse_object(data)
    catalogue, texts = Catalogue(found["names"]), Texts(found["texts"])
    for family in catalogue.families:  # all of it can be read
        for thing in catalogue.things(family).values():
            texts.summary(thing)
    return catalogue, texts


def _made(module: str) -> bytes:
    """Ask the installed framework; OSError or ValueError if it does not answer."""
    with tempfile.TemporaryDirectory(prefix="dfh-catalogue-") as folder:
        try:
            subprocess.run(
                (sys.executable, "-m", module, folder),
                cwd=folder,
                env={**os.environ, "PYTHONSAFEPATH": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SECONDS,
                check=True,
            )
        except subprocess.SubprocessError as error:
            raise OSError(str(error)) from error
        parts = {
            name: parse_object(Path(folder, f"{name}.json").read_bytes())
            for name in ("names", "texts")
        }
    return canonical_json(parts)
