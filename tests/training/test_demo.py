"""The demo, whole, as after a clone: its own installation, the real operations, all galaxies."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.training, pytest.mark.timeout(1800)]

REPOSITORY = Path(__file__).parents[2]
EPOCHS = 10
LIMIT = 0.020
"""What the README promises; the mean redshift for all has 0.047."""
DISK_MB = 2_500
"""What demo.sh says that it needs, and the pages round up to 3 GB."""


@pytest.fixture(scope="module")
def checkout(
    copy_example: Callable[[Path], Path],
) -> Iterator[Path]:
    """A checkout of which nothing is installed; on disk, as its environment takes more than a GB."""
    root = Path(tempfile.mkdtemp(prefix="checkout-"))
    copy_example(root / "examples" / "redshift")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, root)
    for name in ("deepforge_hpc", "site-configs", "job-templates"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, root / name, ignore=ignore)
    yield root
    shutil.rmtree(root)


def demo(checkout: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", checkout / "examples" / "redshift" / "demo.sh", *arguments],
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=1700, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def first_run(checkout: Path) -> str:
    """What the demo printed when it ran for the first time.

    Only what it imports is compiled: to compile all that pip installs takes 21 s, and of that 7 s.
    """
    done = demo(checkout, PIP_NO_COMPILE="0")  # so pip spells it
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def list_compiled(source: Path) -> list[Path]:
    return list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"))


def sigma_mad(printed: str) -> float:
    found = re.search(r"sigma_mad +(0\.\d{4}) ", printed)
    assert found, printed
    return float(found[1])


def test_the_demo_learns_and_says_where_its_results_lie(first_run: str) -> None:
    assert sigma_mad(first_run) <= LIMIT
    assert "Redshifts of 5,000 SDSS galaxies" in first_run
    assert "Taken from an earlier run" not in first_run
    for kind in ("report", "model"):
        path = re.findall(rf"^{kind} +(/.+)$", first_run, re.MULTILINE)[-1]
        assert Path(path).stat().st_size > 10_000
    figures = re.findall(r"^figure +(/.+)$", first_run, re.MULTILINE)
    assert [Path(path).name for path in figures] == [
        "Densities.png", "Embedding.png", "History.png", "Redshifts.png",
    ]  # fmt: skip


def test_the_demo_installs_what_it_needs_and_takes_the_disk_that_it_says(
    checkout: Path, first_run: str
) -> None:
    venv = checkout / "examples" / "redshift" / ".venv"
    assert f"installing deepforge_hpc and TensorFlow into {venv} " in first_run
    done = subprocess.run(["du", "-sm", checkout], capture_output=True, text=True, check=True)
    sources = [path for path in venv.rglob("*.py") if not list_compiled(path)]
    assert len(sources) > 1_000, "PIP_NO_COMPILE is heeded"
    # What pip would have compiled takes somewhat more than its sources (69 MB were 63 and the blocks).
    compiled_mb = sum(path.stat().st_size + 8192 for path in sources) / 1e6
    assert int(done.stdout.split()[0]) + compiled_mb <= DISK_MB
    program = "import deepforge_hpc, tensorflow; print(deepforge_hpc.__file__)"
    found = subprocess.run(
        [venv / "bin" / "python", "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).parents[1] == checkout


def test_the_pages_show_what_the_demo_reaches(first_run: str) -> None:
    """Another processor rounds otherwise: 0.0178 was seen, and on two ranks 0.0176."""
    for page in (REPOSITORY / "README.md", REPOSITORY / "examples" / "redshift" / "README.md"):
        row = r"^\| \*\*the demo: .*\| \*\*(0\.\d{4})\*\* \|$"
        (shown,) = re.findall(row, page.read_text(), re.MULTILINE)
        assert float(shown) == pytest.approx(sigma_mad(first_run), abs=0.0008)


def test_a_second_run_takes_what_still_holds_and_says_so(checkout: Path, first_run: str) -> None:
    second = demo(checkout)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "installing" not in second.stdout
    assert "nothing it needs has changed: bin, distributions, embeddings, evaluate" in second.stdout
    assert sigma_mad(second.stdout) == sigma_mad(first_run)


def test_what_the_demo_leaves_can_be_verified(checkout: Path, first_run: str) -> None:
    model = Path(re.findall(r"^model +(/.+)$", first_run, re.MULTILINE)[0])
    dfh = checkout / "examples" / "redshift" / ".venv" / "bin" / "dfh"
    subprocess.run([dfh, "prov", "verify", model], cwd=checkout, check=True, timeout=100)
    history = json.loads(model.with_name("history.json").read_text())
    assert len(history["loss"]) == len(history["val_loss"]) == EPOCHS
    lines = (model.parents[1] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, EPOCHS + 1))


def test_without_a_python_that_tensorflow_has_the_demo_says_so(checkout: Path) -> None:
    done = demo(checkout, DFH_DEMO_VENV=str(checkout / "none"), DFH_DEMO_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "needs Python 3.10, 3.11, 3.12 or 3.13" in done.stderr
    assert not (checkout / "none").exists()


def test_without_venv_or_pip_the_demo_says_what_to_install(checkout: Path, tmp_path: Path) -> None:
    python = tmp_path / "my pythons" / "python3"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/bash\n[[ $2 == *ensurepip* ]] && exit 1\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    done = demo(checkout, DFH_DEMO_VENV=str(checkout / "none"), DFH_DEMO_PYTHON=str(python))
    assert done.returncode == 1
    assert f"{python} has no venv or no pip." in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    done = demo(checkout, DFH_DEMO_VENV=str(tmp_path))
    assert done.returncode == 1
    assert "is no virtual environment" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_environment_that_cannot_run_is_named_and_left_alone(
    checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "a python that was removed")
    (tmp_path / "pyvenv.cfg").write_text("version = 3.11.0\n")
    done = demo(checkout, DFH_DEMO_VENV=str(tmp_path))
    assert done.returncode == 1
    assert "was left half made, or its Python has gone" in done.stderr
    assert (tmp_path / "pyvenv.cfg").exists()


def test_a_failed_run_says_where_to_look(checkout: Path, first_run: str) -> None:
    assert first_run  # its cutouts are used again
    done = demo(checkout, "--set", "train.target=redshift")
    assert done.returncode == 1
    assert "target redshift has values that are no whole numbers" in done.stdout
    assert re.search(r"did not end well: see .*dfh logs redshift-\d+", done.stderr)


def test_the_demo_passes_shellcheck(shellcheck: Callable[..., None]) -> None:
    shellcheck(REPOSITORY / "examples" / "redshift" / "demo.sh")
