"""Objects of the project are known to Keras as soon as it is imported, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary

FAKE = """\
REGISTERED = {}


class saving:
    @staticmethod
    def get_registered_name(thing):
        return REGISTERED.get(thing, thing.__name__)

    @staticmethod
    def register_keras_serializable(package):
        return lambda thing: REGISTERED.setdefault(thing, f"{package}>{thing.__name__}")
"""
OWN = "import keras\n\n\nclass Mine:\n    pass\n\n\nclass Named:\n    pass\n\n\nkeras.REGISTERED[Named] = 'a>b'\n"
SHOW = "\nprint(sorted(keras.REGISTERED.values()))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keras.py").write_text(FAKE)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/own.py").write_text(OWN)
    objects = ("parts.own:Mine", "parts.own:Named", "parts.gone:Lost")
    (tmp_path / "first.py").write_text(KerasLibrary().start_up(objects))
    return tmp_path


def ran(folder: Path, code: str) -> tuple[str, str]:
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        (sys.executable, "-c", code), env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import first, keras",
        "import first, parts.own, keras",
        "import keras, first",
        "import keras, parts.own, first",
        "import first\nfrom parts.own import Mine\nimport keras",
    ],
)
def test_whatever_is_imported_first_all_are_registered_once(folder: Path, code: str) -> None:
    out, error = ran(folder, code + SHOW)
    assert out == "['a>b', 'parts.own>Mine']\n"
    assert error == "Keras does not know parts.gone: No module named 'parts.gone'\n"


def test_a_rank_without_keras_pays_nothing(folder: Path) -> None:
    code = "import first, json, sys\nprint('keras' in sys.modules, 'parts.own' in sys.modules)"
    assert ran(folder, code) == ("False False\n", "")


def test_without_objects_a_backend_is_chosen_alone() -> None:
    text = KerasLibrary().start_up(())
    assert text.endswith("choose()\n")
    assert "Waiting" not in text
