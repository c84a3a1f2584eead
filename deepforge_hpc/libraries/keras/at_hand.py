"""The catalogue of the Keras that is installed beside `dfh`, where that is another version.

Made once by `introspect` in a process of its own, and kept in the user's cache folder. For schema
and documentation: what is checked is what the shipped catalogue says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deepforge_hpc.libraries.keras.catalogue import shipped, shipped_texts
from deepforge_hpc.libraries.keras.trial import cache
from deepforge_hpc.libraries.networks.catalogue import Catalogue, Texts
from deepforge_hpc.runtime.base.files import (
    canonical_json,
    digest,
    parse_object,
    publish_bytes,
    read_own,
)

_SCRIPTS = tuple(Path(str(module.__file__)) for module in (introspect, networks.introspect))
_SECONDS = 120
_MAX_BYTES = 8 << 20


def at_hand() -> tuple[Catalogue, Texts]:
    """Return the catalogue of the installed Keras; the shipped one where there is none."""
    with suppress(PackageNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
        installed = version("keras")
        if installed != shipped().version:
            return _of(installed)
    return shipped(), shipped_texts()


def _of(installed: str) -> tuple[Catalogue, Texts]:
    """Return what was kept of a version, or is made now; raises what is wrong with it."""
    scripts = [digest(path.read_bytes()) for path in _SCRIPTS]
    name = digest(canonical_json([installed, *scripts])).removeprefix("sha256:")
    path = cache.folder().parent / "catalogues" / f"{name}.json"
    try:
        data = read_own(path, owner=os.geteuid(), limit=_MAX_BYTES)
    except OSError:
        data = _made()
        with suppress(OSError):  # a cache that cannot be written is none
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish_bytes(path, data, durable=False, mode=0o600)
    found = parse_object(data)
    catalogue, texts = Catalogue(found["names"]), Texts(found["texts"])
    for family in catalogue.families:  # all of it can be read
        for thing in catalogue.things(family).values():
            texts.summary(thing)
    return catalogue, texts


def _made() -> bytes:
    """Ask the installed Keras; OSError or ValueError if it does not answer."""
    with tempfile.TemporaryDirectory(prefix="dfh-catalogue-") as folder:
        try:
            subprocess.run(
                (sys.executable, "-m", introspect.__name__, folder),
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
