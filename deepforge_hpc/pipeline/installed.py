"""What an environment has installed, by looking at its files: nothing of it is started.

Of the interpreter, 3.11 or the like; of each package that an operation imports, the version; of one
that is installed to be edited (`pip install -e`), the digest of its files, also if only another
package needs it, and of one that PYTHONPATH leads to, which goes before all that is installed; the
same of what such files import in turn; of a container, its image, which stands for all. What cannot
be seen from here is left out: a python that only a module brings, or that PATH of another machine
leads to; an image in a registry. An imported package that no folder of a python shows has no
version: it is not there, or a module, a variable of the job or an odd installation brings it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc.pipeline.editable import edited_root, extra_folders, mapped
from deepforge_hpc.pipeline.requirements import Requirements
from deepforge_hpc.plugins.scheduler import scheduler_class
from deepforge_hpc.runtime.base.files import canonical_json, digest, digest_file
from deepforge_hpc.runtime.base.plan import Environment
from deepforge_hpc.runtime.rank.packages import normalized
from deepforge_hpc.site.model import SiteSpec

Software = tuple[tuple[str, str], ...]
"""What was found, by name and sorted; of an imported package that no folder has, no version."""

_OTHER_NAMES = {
    "sklearn": ["scikit-learn"], "skimage": ["scikit-image"], "PIL": ["pillow"],
    "yaml": ["pyyaml"], "cv2": ["opencv-python"], "bs4": ["beautifulsoup4"],
    "dateutil": ["python-dateutil"], "mpl_toolkits": ["matplotlib"],
    "tensorflow": ["tensorflow-cpu", "tensorflow-intel"],
}  # fmt: skip
"""Of packages that are imported under another name; the rest is looked up in the metadata."""
_TRAVELS = frozenset({"deepforge_hpc", "dfh_runtime"})
_SMALL_BYTES = 16 << 20
_MAX_FILES = 2_000
_IMPORT = re.compile(
    r"""^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b|import[ \t]+([\w., \t]+))"""
    r"""|\bimport_module\(['"](\w+)""",
    re.MULTILINE,
)


class _Found(NamedTuple):
    """What is known of a module."""

    version: str = ""
    """Of its package, or the digest of its files; empty if it is not there."""
    sources: tuple[Path, ...] = ()
    """What may be edited in place: the files or folders that the digest is of."""


def path_of_jobs(site: SiteSpec | None) -> str:
    """Return PATH of a site's jobs, if they run on this machine as they are submitted; else empty.

    Elsewhere, and below modules, a command may be another one than here.
    """
    if site is None or site.modules.load or not scheduler_class(site.scheduler).is_this_machine:
        return ""
    return os.environ.get("PATH", os.defpath)


def is_seen(software: Software) -> bool:
    """Tell whether the interpreter or the image of a job was found."""
    return any(name in ("python", "image") for name, _ in software)


def unseen(software: Software) -> list[str]:
    """Return the packages that an operation imports, and of which no version is known."""
    return [name for name, version in software if not version]


class Installed:
    """Looks at environments, each once."""

    def __init__(self, path: str = "") -> None:
        """`path`: PATH of the jobs, as far as it is known."""
        self._path = path
        self._found: dict[Environment, _Python | None] = {}
        self._software: dict[tuple[Environment, frozenset[str]], Software] = {}
        self._shell = _Shell()

    def software(self, environment: Environment, packages: Iterable[str]) -> Software:
        """Return what the imported packages are in an environment; empty if it cannot be seen."""
        known = (environment, frozenset(packages))
        if known not in self._software:
            self._software[known] = self._look(*known)
        return self._software[known]

    def _look(self, environment: Environment, packages: frozenset[str]) -> Software:
        if environment.container:
            return _image(environment.container)
        outside = packages - sys.stdlib_module_names - _TRAVELS
        python = self._python(environment)

        def find(name: str) -> _Found:
            found = self._shell.find(name)
            return python.find(name) if python is not None and not found.version else found

        edited = python.edited_below(outside) if python is not None else frozenset()
        known = {name: find(name) for name in outside | edited}
        todo = [source for found in known.values() for source in found.sources]
        while todo:
            for name in _imports(todo.pop()) - known.keys() - sys.stdlib_module_names:
                # Of what is installed as a release, a change is told by the list in the record.
                known[name] = found if (found := find(name)).sources else _Found()
                todo += known[name].sources
        versions = {name: found.version for name, found in known.items() if found.version}
        minor: Software = ()
        if python is not None:
            minor = (("python", python.minor),)
            versions = {**dict.fromkeys(outside, ""), **versions}
        return (*minor, *sorted(versions.items()))

    def below(
        self, environment: Environment, modules: Iterable[str], *, deep: bool = True
    ) -> dict[str, str]:
        """Return the versions of the packages of modules, and (`deep`) of all that they need.

        By the names of their metadata. Empty if it cannot be seen; of a container the image stands
        for all.
        """
        python = None if environment.container else self._python(environment)
        return python.below(modules, deep=deep) if python is not None else {}

    def _python(self, environment: Environment) -> _Python | None:
        if environment not in self._found:
            self._found[environment] = _open(environment, self._path)
        return self._found[environment]


class _Shell:
    """The folders of PYTHONPATH: jobs on this machine have it, and those elsewhere by a profile."""

    def __init__(self) -> None:
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        folders = (Path(text) for text in given)
        self._folders = {folder: _names(folder) for folder in folders if folder.is_absolute()}
        self._installed = Requirements(self._folders)
        self._found: dict[str, _Found] = {}

    def find(self, module: str) -> _Found:
        """Return what there is of a module."""
        if module not in self._found:
            self._found[module] = _find(self._folders, self._installed, module)
        return self._found[module]


def _find(folders: Mapping[Path, Iterable[str]], installed: Requirements, module: str) -> _Found:
    """Return the version of a module in the first folder that has it, else its files' digest."""
    for folder, names in folders.items():
        compiled = (n for n in names if n.startswith(f"{module}.") and n.endswith(".so"))
        here = next((n for n in (module, f"{module}.py", *compiled) if n in names), "")
        if here:
            packages = installed.sharing(module, *_OTHER_NAMES.get(module, ()))
            if all(installed.found[name][0].parent != folder for name in packages):
                return _edited(folder / here)
            if len(packages) == 1:
                return _Found(installed.release(packages[0]))
            return _Found(", ".join(f"{name} {installed.release(name)}" for name in packages))
    return _Found()


def _image(container: str) -> Software:
    """Return the digest that names an image, or of its file; of a large one size and time."""
    if match := re.search(r"@(sha256:[0-9a-f]{64})$", container):
        return (("image", match[1]),)
    try:
        status = Path(container).stat()
        if status.st_size <= _SMALL_BYTES:
            return (("image", digest_file(Path(container))),)
    except (OSError, ValueError):  # a name can be no path
        return ()
    return (("image", f"{status.st_size} bytes of {status.st_mtime_ns}"),)


def _open(environment: Environment, path: str) -> _Python | None:
    binary = environment.python
    if environment.conda:
        prefix = _conda(environment.conda)
        binary = f"{prefix}/bin/python" if prefix else ""
    elif binary and os.sep not in binary and path and not environment.modules:
        binary = shutil.which(binary, path=path) or ""
    if os.sep not in binary or not os.path.exists(binary):  # noqa: PTH110 - Path raises if too long
        return None
    minor = _minor(Path(binary))
    return _Python(_prefix(Path(binary)), minor) if minor else None


def _prefix(binary: Path) -> Path:
    """Return the folder that an interpreter calls its own: a link is one only in a venv."""
    for folder in (binary.parent, binary.parent.parent):
        if (folder / "pyvenv.cfg").is_file():
            return binary.parent.parent
    return Path(os.path.realpath(binary)).parent.parent


def _conda(name: str) -> str:
    """Return the folder of a conda environment, by the list that conda keeps."""
    if os.sep in name:
        return name
    with suppress(OSError):
        lines = Path("~/.conda/environments.txt").expanduser().read_text(encoding="utf-8")
        return next((line for line in lines.split("\n") if Path(line).name == name), "")
    return ""


def _minor(binary: Path) -> str:
    """Return 3.11 or the like; empty if it cannot be told."""
    if str(binary) == sys.executable:
        return f"{sys.version_info[0]}.{sys.version_info[1]}"
    if match := re.fullmatch(r"python(\d+\.\d+)", Path(os.path.realpath(binary)).name):
        return match[1]
    found = list((binary.parent.parent / "lib").glob("python3.*"))
    return found[0].name.removeprefix("python") if len(found) == 1 else ""


class _Python:
    """An interpreter's folders of packages."""

    def __init__(self, prefix: Path, minor: str) -> None:
        self.minor = minor
        self._folders = {folder: _names(folder) for folder in _site_folders(prefix, minor)}
        self._found: dict[str, _Found] = {}
        self._edited_of: dict[str, frozenset[str]] = {}
        own = list(self._folders)
        for folder in own:
            for extra in extra_folders(folder, self._folders[folder]):
                self._folders.setdefault(extra, _names(extra))
        self._added = [names for folder, names in self._folders.items() if folder not in own]
        self._mapped: dict[str, list[str]] = {}
        for folder in own:
            for module, path in mapped(folder, self._folders[folder]):
                self._mapped.setdefault(module, []).append(path)
        self._installed = Requirements(self._folders)

    def find(self, module: str) -> _Found:
        """Return what there is of a top module."""
        if module not in self._found:
            sources = self._editable(module)
            found = _edited(*sources) if sources else _Found()
            found = found if found.version else _find(self._folders, self._installed, module)
            if not found.version:  # a package need not be called as its module is
                sources = _below(self._edited_roots, module)
                found = _edited(*sources) if sources else _Found()
            self._found[module] = found
        return self._found[module]

    def below(self, modules: Iterable[str], *, deep: bool = True) -> dict[str, str]:
        """Return the versions of the packages of modules and of all that they need, by name."""
        names = [name for module in modules for name in self._packages(module)]
        if deep:
            return self._installed.closure(names)
        return {name: self._installed.found[name][1] for name in names}

    def edited_below(self, modules: Iterable[str]) -> frozenset[str]:
        """Return the modules that those need and that are installed to be edited."""
        if not self._mapped and not self._added:
            return frozenset()
        return frozenset(name for one in self.below(modules) for name in self._edited(one))

    def _edited(self, package: str) -> frozenset[str]:
        """Return a package's modules that are edited in place."""
        if package not in self._edited_of:
            names = filter(self._may_be_edited, self._installed.modules(package))
            self._edited_of[package] = frozenset(name for name in names if self.find(name).sources)
        return self._edited_of[package]

    def _may_be_edited(self, module: str) -> bool:
        added = any(name in names for names in self._added for name in (module, f"{module}.py"))
        return added or bool(self._editable(module))

    def _packages(self, module: str) -> list[str]:
        return self._installed.sharing(module, *_OTHER_NAMES.get(module, ()))

    def _editable(self, module: str) -> tuple[Path, ...]:
        """Return the sources of a module that is edited in place; of a namespace, several."""
        if module in self._mapped:
            return tuple(filter(None, map(_source, map(Path, self._mapped[module]))))
        info, _ = self._installed.found.get(normalized(module), (None, ""))
        root = edited_root(info) if info else None
        return _below([root], module) if root else ()

    @functools.cached_property
    def _edited_roots(self) -> list[Path]:
        """The projects of all packages that are installed to be edited."""
        found = (edited_root(info) for info, _ in self._installed.found.values())
        return [root for root in found if root is not None]


def _below(roots: Iterable[Path], module: str) -> tuple[Path, ...]:
    """Return the source of a module in the first of some projects that has it."""
    places = (place for root in roots for place in (root / "src" / module, root / module))
    found = next(filter(None, map(_source, places)), None)
    return (found,) if found is not None else ()


def _edited(*sources: Path) -> _Found:
    digests = [_digest(source) for source in sources]
    return _Found(digests[0] if len(digests) == 1 else digest(canonical_json(digests)), sources)


def _source(path: Path) -> Path | None:
    if path.is_dir():
        return path
    module = path.with_suffix(".py")
    return module if module.is_file() else None


def _site_folders(prefix: Path, minor: str) -> Iterator[Path]:
    """Yield the folders in which an interpreter looks for packages, in order."""
    is_venv = (prefix / "pyvenv.cfg").is_file()
    if not is_venv:
        yield Path(f"~/.local/lib/python{minor}/site-packages").expanduser()
    for lib in ("lib", "lib64"):
        yield prefix / lib / f"python{minor}" / "site-packages"
    if is_venv:
        with suppress(OSError):
            config = dict(
                re.findall(r"^(\S+) *= *(.*)$", (prefix / "pyvenv.cfg").read_text(), re.MULTILINE)
            )
            if config.get("include-system-site-packages", "").lower() == "true":
                yield from _site_folders(Path(config["home"]).parent, minor)
    elif prefix == Path("/usr"):
        yield Path(f"/usr/local/lib/python{minor}/dist-packages")
        yield Path("/usr/lib/python3/dist-packages")


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - the names alone
    except OSError:
        return frozenset()


def _imports(source: Path) -> frozenset[str]:
    """Return the top modules that the files of a package import."""
    files = [source] if source.is_file() else _files(source)
    found: set[str] = set()
    for file in files:
        if file.suffix == ".py":
            with suppress(OSError):
                for one, several, named in _IMPORT.findall(file.read_text(errors="replace")):
                    names = [one, named, *several.split(",")]
                    found |= {name.split()[0].partition(".")[0] for name in names if name.strip()}
    return frozenset(found)


def _digest(source: Path) -> str:
    """Return the digest of the files of a package; of very many, of their sizes and times."""
    files = [source] if source.is_file() else sorted(_files(source))
    stats = {path: path.stat() for path in files}
    base = source.parent
    if len(files) > _MAX_FILES or sum(item.st_size for item in stats.values()) > _SMALL_BYTES:
        stamps = {str(p.relative_to(base)): [s.st_size, s.st_mtime_ns] for p, s in stats.items()}
        return digest(canonical_json(stamps))
    return digest(canonical_json({str(p.relative_to(base)): digest_file(p) for p in files}))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path
