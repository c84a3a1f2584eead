"""What an environment has, by its files: versions, sources that are edited, images."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from deepforge_hpc.pipeline.installed import Installed, path_of_jobs
from deepforge_hpc.runtime.base.plan import Environment
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.request import Modules


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment for Python 3.11, made of names alone."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "python3.11").write_text("")
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(tmp_path / "base" / "python3.11")
    (folder / "pyvenv.cfg").write_text(f"home = {tmp_path}/base\n")
    site(folder).mkdir(parents=True)
    return folder


def site(venv: Path) -> Path:
    return venv / "lib" / "python3.11" / "site-packages"


def install(folder: Path, package: str, info: str, **files: str) -> None:
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    (folder / info).mkdir()
    for name, text in files.items():
        (folder / info / name.replace("__", ".")).write_text(text)


def look(venv: Path, *packages: str) -> dict[str, str]:
    return dict(Installed().software(Environment(python=str(venv / "bin" / "python")), packages))


def test_versions_are_read_from_names_and_metadata(venv: Path) -> None:
    install(site(venv), "numpy", "numpy-2.0.2.dist-info")
    install(site(venv), "sklearn", "scikit_learn-1.9.1.dist-info")
    install(site(venv), "odd", "Other.Name-3.1.dist-info", top_level__txt="odd\n")
    found = look(venv, "numpy", "sklearn", "odd", "json", "absent")
    assert found.pop("absent") == ""  # or installed in a way that is not known
    assert found == {"python": "3.11", "numpy": "2.0.2", "sklearn": "1.9.1", "odd": "3.1"}
    (site(venv) / "numpy-2.0.2.dist-info").rename(site(venv) / "numpy-2.1.0.dist-info")
    assert look(venv, "numpy")["numpy"] == "2.1.0"


def test_of_a_module_that_several_packages_bring_all_are_known(venv: Path) -> None:
    install(site(venv), "ns", "ns_one-1.0.dist-info", top_level__txt="ns\n")
    (site(venv) / "ns_two-1.0.dist-info").mkdir()
    (site(venv) / "ns_two-1.0.dist-info" / "top_level.txt").write_text("ns\n")
    assert look(venv, "ns")["ns"] == "ns-one 1.0, ns-two 1.0"
    (site(venv) / "ns_two-1.0.dist-info").rename(site(venv) / "ns_two-2.0.dist-info")
    assert look(venv, "ns")["ns"] == "ns-one 1.0, ns-two 2.0"


def test_of_a_package_from_a_repository_the_version_says_too_little(venv: Path) -> None:
    install(site(venv), "own", "own-0.1.dist-info", RECORD="own/__init__.py,sha256=a,1\n")
    info = site(venv) / "own-0.1.dist-info"
    assert look(venv, "own")["own"] == "0.1"  # from an index, where a version is one release
    (info / "direct_url.json").write_text('{"url": "https://host/own", "vcs_info": {}}')
    first = look(venv, "own")["own"]
    assert first.startswith("0.1 sha256:")
    (info / "RECORD").write_text("own/__init__.py,sha256=b,1\n")
    assert look(venv, "own")["own"] != first


def test_another_interpreter_behind_the_same_path(venv: Path) -> None:
    install(site(venv), "numpy", "numpy-2.0.2.dist-info")
    before = look(venv, "numpy")
    other = venv.parent / "base" / "python3.12"
    other.write_text("")
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(other)
    assert look(venv, "numpy") == {"python": "3.12", "numpy": ""} != before
    assert look(venv, "json") == {"python": "3.12"}  # of code that imports nothing else, too


def test_a_link_to_an_interpreter_has_the_packages_of_what_it_leads_to(tmp_path: Path) -> None:
    """As Python itself does: a link counts by where it lies only in a venv."""
    prefix = tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "python3.11").write_text("")
    (prefix / "bin" / "python").symlink_to("python3.11")
    site(prefix).mkdir(parents=True)
    install(site(prefix), "numpy", "numpy-2.0.2.dist-info")
    link = tmp_path / "bin" / "train-python"
    link.parent.mkdir()
    link.symlink_to(prefix / "bin" / "python")
    found = dict(Installed().software(Environment(python=str(link)), ["numpy"]))
    assert found == {"python": "3.11", "numpy": "2.0.2"}


@pytest.mark.parametrize("how", ["pth", "finder", "direct_url", "src"])
def test_a_package_that_is_edited_is_known_by_its_files(
    venv: Path, how: str, tmp_path: Path
) -> None:
    root = tmp_path / "work" / ("src" if how == "src" else "")
    (root / "mylib").mkdir(parents=True)
    code = root / "mylib" / "core.py"
    (root / "mylib" / "__init__.py").write_text("from .core import f\n")
    code.write_text("def f(): return 1\n")
    folder = site(venv)
    if how == "pth":
        (folder / "mylib.pth").write_text(f"{root}\n")
    elif how == "finder":
        text = f"MAPPING: dict[str, str] = {{'mylib': '{root}/mylib'}}\nNAMESPACES = {{}}\n"
        (folder / "__editable___mylib_1_0_finder.py").write_text(text)
    info = folder / "mylib-1.0.dist-info"
    info.mkdir()
    told = {"dir_info": {"editable": how != "pth"}, "url": f"file://{tmp_path}/work"}
    (info / "direct_url.json").write_text(json.dumps(told))
    before = look(venv, "mylib")["mylib"]
    assert before.startswith("sha256:")
    (root / "mylib" / "__pycache__").mkdir()
    (root / "mylib" / "__pycache__" / "core.pyc").write_text("x")
    assert look(venv, "mylib")["mylib"] == before
    code.write_text("def f(): return 2\n")
    assert look(venv, "mylib")["mylib"] != before


def test_a_namespace_that_is_edited_in_parts_is_all_of_them(venv: Path, tmp_path: Path) -> None:
    """By the finders of setuptools: `MAPPING = {"acme.one": ...}`, one for each package."""
    files = []
    for part in ("one", "two"):
        files.append(tmp_path / part / "acme" / part / "__init__.py")
        files[-1].parent.mkdir(parents=True)
        files[-1].write_text("x = 1\n")
        text = f"MAPPING: dict[str, str] = {{'acme.{part}': '{files[-1].parent}'}}\n"
        (site(venv) / f"__editable___acme_{part}_1_0_finder.py").write_text(text)
    for file in files:
        before = look(venv, "acme")["acme"]
        assert before.startswith("sha256:")
        file.write_text("x = 2\n")
        assert look(venv, "acme")["acme"] != before


def test_an_edited_package_need_not_be_called_as_its_module(venv: Path, tmp_path: Path) -> None:
    """As meson-python and scikit-build-core install it: with neither a path nor a finder."""
    code = tmp_path / "work" / "src" / "lib" / "__init__.py"
    code.parent.mkdir(parents=True)
    code.write_text("x = 1\n")
    info = site(venv) / "acme_lib-1.0.dist-info"
    info.mkdir()
    told = {"dir_info": {"editable": True}, "url": f"file://{tmp_path}/work"}
    (info / "direct_url.json").write_text(json.dumps(told))
    before = look(venv, "lib")["lib"]
    code.write_text("x = 2\n")
    assert before
    assert look(venv, "lib")["lib"] not in {"", before}


def test_what_the_shells_path_leads_to_comes_before_all_that_is_installed(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site(venv), "mylib", "mylib-1.0.dist-info")
    install(site(venv), "numpy", "numpy-2.0.2.dist-info")
    lib = tmp_path / "lib"
    lib.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"relative::{tmp_path}/absent:{lib}")
    (lib / "mylib.py").write_text("def f(): return 1\n")
    install(lib, "torch", "torch-2.9.0.dist-info")
    before = look(venv, "mylib", "numpy", "torch")
    assert before.pop("mylib").startswith("sha256:")
    assert before == {"python": "3.11", "numpy": "2.0.2", "torch": "2.9.0"}
    seen = look(venv, "mylib")
    (lib / "mylib.py").write_text("def f(): return 2\n")
    assert look(venv, "mylib") != seen
    unseen = Installed().software(Environment(python="python3"), ["mylib", "numpy"])
    assert [name for name, _ in unseen] == ["mylib"]  # a Python that only a module brings


@pytest.mark.parametrize("how", ["PYTHONPATH", "pth"])
def test_what_edited_files_import_in_turn_is_known_by_its_files(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    install(site(venv), "numpy", "numpy-2.0.2.dist-info")
    lib = tmp_path / "lib"
    (lib / "lab").mkdir(parents=True)
    (lib / "lab" / "__init__.py").write_text("import numpy as np, json\nfrom .deep import f\n")
    (lib / "lab" / "deep.py").write_text("def f():\n    from low.part import (\n        x)\n")
    (lib / "low").mkdir()
    (lib / "low" / "part.py").write_text("x = __import__('importlib').import_module('last')\n")
    (lib / "last.py").write_text("import lab\nx = 1\n")
    (lib / "apart.py").write_text("")
    if how == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(lib))
    else:
        (site(venv) / "lab.pth").write_text(f"{lib}\n")
    before = look(venv, "lab")
    assert before.keys() == {"python", "lab", "low", "last"}
    (lib / "last.py").write_text("import lab\nx = 2\n")
    after = look(venv, "lab")
    assert [name for name in before if before[name] != after[name]] == ["last"]
    (lib / "apart.py").write_text("x = 2\n")
    assert look(venv, "lab") == after


def needs(*lines: str) -> str:
    told = "".join(f"Requires-Dist: {line}\n" for line in lines)
    return f"Metadata-Version: 2.1\nName: x\n{told}\nRequires-Dist: of-the-description\n"


def below(venv: Path, *modules: str) -> dict[str, str]:
    return Installed().below(Environment(python=str(venv / "bin" / "python")), modules)


def test_what_packages_need_is_found_by_their_metadata(venv: Path) -> None:
    folder = site(venv)
    told = needs("Low.Level>=1 ; python_version > '3'", "fast[gpu] (>=2)", "docs; extra == 'doc'")
    install(folder, "sklearn", "scikit_learn-1.9.1.dist-info", METADATA=told)
    install(folder, "low", "low_level-1.0.dist-info", METADATA=needs("scikit-learn", "absent"))
    install(folder, "fast", "fast-2.0.dist-info", METADATA=needs('cuda; extra == "gpu"', "x"))
    install(folder, "cuda", "cuda-12.1.dist-info")
    old = "six\n\n[:python_version < '4']\nnumpy>=1\n\n[doc]\ndocs\n"
    install(folder, "x", "x-3.egg-info", requires__txt=old)
    for package in ("six", "numpy", "docs", "other", "of_the_description"):
        install(folder, package, f"{package}-1.dist-info")
    assert below(venv, "sklearn", "json") == {
        "scikit-learn": "1.9.1", "low-level": "1.0", "fast": "2.0", "cuda": "12.1",
        "x": "3", "six": "1", "numpy": "1",
    }  # fmt: skip
    assert below(venv, "low_level", "no_such_module").keys() == below(venv, "sklearn").keys()
    assert below(venv, "cuda") == {"cuda": "12.1"}


@pytest.mark.parametrize("how", ["pth", "finder", "direct_url"])
def test_an_edited_package_that_another_one_needs_is_known_by_its_files(
    venv: Path, how: str, tmp_path: Path
) -> None:
    folder = site(venv)
    install(folder, "models", "models-1.0.dist-info", METADATA=needs("lab-tools", "numpy"))
    install(folder, "numpy", "numpy-2.0.2.dist-info")
    (folder / "lab_tools-0.1.dist-info").mkdir()
    assert look(venv, "models") == {"python": "3.11", "models": "1.0"}
    root = tmp_path / "work"
    (root / "lab_tools").mkdir(parents=True)
    code = root / "lab_tools" / "__init__.py"
    code.write_text("x = 1\n")
    if how == "pth":
        (folder / "lab.pth").write_text(f"{root}\n")
    elif how == "finder":
        text = f"MAPPING: dict[str, str] = {{'lab_tools': '{root}/lab_tools'}}\n"
        (folder / "__editable___lab_tools_0_1_finder.py").write_text(text)
    else:
        told = {"dir_info": {"editable": True}, "url": f"file://{root}"}
        (folder / "lab_tools-0.1.dist-info" / "direct_url.json").write_text(json.dumps(told))
        (folder / "lab.pth").write_text(f"{root}\n")
    before = look(venv, "models")
    assert set(before) == {"python", "models", "lab_tools"}
    code.write_text("x = 2\n")
    after = look(venv, "models")
    assert before["lab_tools"] != after["lab_tools"]
    assert after["lab_tools"].startswith("sha256:")
    assert "lab_tools" not in look(venv, "numpy")


def test_a_venv_may_see_the_packages_below_it(venv: Path, tmp_path: Path) -> None:
    base = tmp_path / "lib" / "python3.11" / "site-packages"
    base.mkdir(parents=True)
    install(base, "numpy", "numpy-1.26.4.dist-info")
    assert not look(venv, "numpy")["numpy"]
    with (venv / "pyvenv.cfg").open("a") as stream:
        stream.write("include-system-site-packages = true\n")
    assert look(venv, "numpy")["numpy"] == "1.26.4"


def test_an_image_stands_for_all(tmp_path: Path) -> None:
    image = tmp_path / "a.sif"
    image.write_bytes(b"1")

    def found(name: str) -> tuple[tuple[str, str], ...]:
        return Installed().software(Environment(container=name), ["numpy"])

    before = found(str(image))
    image.write_bytes(b"2")
    assert found(str(image)) != before
    digest = "sha256:" + "a" * 64
    assert found(f"docker://r/x@{digest}") == (("image", digest),)
    assert found("docker://r/x:latest") == ()


def test_what_cannot_be_seen_is_not_guessed(tmp_path: Path) -> None:
    for environment in (
        Environment(python="python3"),
        Environment(python=str(tmp_path / "bin" / "python")),
        Environment(conda="no-such-environment-here"),
    ):
        assert Installed().software(environment, ["numpy"]) == ()


def test_of_the_interpreter_that_runs_this_all_is_known() -> None:
    import numpy as np

    found = dict(Installed().software(Environment(python=sys.executable), ["numpy", "yaml"]))
    assert found["numpy"] == np.__version__
    assert found["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert found["yaml"]


def test_a_command_is_that_of_the_path_of_the_jobs(venv: Path) -> None:
    install(site(venv), "numpy", "numpy-2.0.2.dist-info")
    (venv / "bin" / "python").chmod(0o755)
    path = f"/nowhere:{venv / 'bin'}"
    found = Installed(path).software(Environment(python="python"), ["numpy"])
    assert found == (("python", "3.11"), ("numpy", "2.0.2"))
    for environment in (
        Environment(python="python", modules=("pytorch",)),  # which bring their own
        Environment(python="no-such-python"),
        Environment(),
    ):
        assert Installed(path).software(environment, ["numpy"]) == ()


def test_the_path_of_jobs_is_known_where_they_run_as_they_are_submitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/a:/b")
    here = SiteSpec(name="s", scheduler="local")
    assert path_of_jobs(here) == "/a:/b"
    modules = Modules(load=("python",))
    for other in (
        None,
        SiteSpec(name="s", scheduler="slurm"),
        SiteSpec(name="s", scheduler="local", modules=modules),
    ):
        assert path_of_jobs(other) == ""
