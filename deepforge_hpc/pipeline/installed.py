"""What an environment has installed, by looking at its files: nothing of it is started.

Of each package that an operation imports, the version; of one that is installed to be edited
(`pip install -e`), the digest of its files; of a container, its image, which stands for all. What
cannot be seen from here is left out: a python that only a module brings, an image in a registry.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deepforge_hpc.runtime.base.files import canonical_json, digest, digest_file
from deepforge_hpc.runtime.base.plan import Environment
from deepforge_hpc.runtime.rank.packages import METADATA, normalized

Software = tuple[tuple[str, str], ...]
"""What was found, by name and sorted."""

_OTHER_NAMES = {
    "sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow", "yaml": "pyyaml",
    "cv2": "opencv-python", "bs4": "beautifulsoup4", "dateutil": "python-dateutil",
    "mpl_toolkits": "matplotlib", "tensorflow": "tensorflow-cpu",
}  # fmt: skip
"""Of packages that are imported under another name; the rest is looked up in the metadata."""
_SMALL_BYTES = 16 << 20
_MAX_FILES = 2_000
_ADDED = re.compile(r"""\baddsitedir\(['"]([^'"]+)['"]\)""")
_FINDER = re.compile(r"^MAPPING\b[^=]*=\s*(\{.*\})", re.MULTILINE)


class Installed:
    """Looks at environments, each once."""

    def __init__(self) -> None:
        self._found: dict[Environment, _Python | None] = {}

    def software(self, environment: Environment, packages: Iterable[str]) -> Software:
        """Return what the imported packages are in an environment; empty if it cannot be seen."""
        if environment.container:
            return _image(environment.container)
        if environment not in self._found:
            self._found[environment] = _open(environment)
        python = self._found[environment]
        if python is None:
            return ()
        outside = sorted({*packages} - sys.stdlib_module_names)
        found = {name: python.version(name) for name in outside}
        known = [(name, version) for name, version in found.items() if version]
        return (("python", python.minor), *known) if outside else ()


def _image(container: str) -> Software:
    """Return the digest that names an image, or of its file; of a large one size and time."""
    if match := re.search(r"@(sha256:[0-9a-f]{64})$", container):
        return (("image", match[1]),)
    try:
        status = Path(container).stat()
        if status.st_size <= _SMALL_BYTES:
            return (("image", digest_file(Path(container))),)
    except OSError:
        return ()
    return (("image", f"{status.st_size} bytes of {status.st_mtime_ns}"),)


def _open(environment: Environment) -> _Python | None:
    binary = environment.python
    if environment.conda:
        prefix = _conda(environment.conda)
        binary = f"{prefix}/bin/python" if prefix else ""
    if os.sep not in binary or not Path(binary).exists():
        return None
    minor = _minor(Path(binary))
    return _Python(Path(binary).parent.parent, minor) if minor else None


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
        self._versions: dict[str, str] = {}
        for folder in list(self._folders):
            for extra in _extra_folders(folder, self._folders[folder]):
                self._folders.setdefault(extra, _names(extra))

    def version(self, package: str) -> str:
        """Return the version or digest of a top package; empty if it is not there."""
        if package not in self._versions:
            self._versions[package] = self._look(package)
        return self._versions[package]

    def _look(self, package: str) -> str:
        if source := self._editable(package):
            return _digest(source)
        for folder, names in self._folders.items():
            compiled = (n for n in names if n.startswith(f"{package}.") and n.endswith(".so"))
            here = next((n for n in (package, f"{package}.py", *compiled) if n in names), "")
            if here:
                return _version(folder, names, package) or _digest(folder / here)
        return ""

    def _editable(self, package: str) -> Path | None:
        """Return the source of a package that is installed to be edited."""
        for folder, names in self._folders.items():
            for name in names:
                if name.startswith("__editable__") and name.endswith("_finder.py"):
                    with suppress(OSError, ValueError, SyntaxError):
                        found = _FINDER.search((folder / name).read_text(encoding="utf-8"))
                        mapping = ast.literal_eval(found[1]) if found else {}
                        if package in mapping:
                            return _source(Path(mapping[package]))
            info = next((name for name in names if _is_info(name, package)), "")
            with suppress(OSError, ValueError, TypeError, AttributeError):
                told = json.loads((folder / info / "direct_url.json").read_bytes()) if info else {}
                if told.get("dir_info", {}).get("editable"):
                    root = Path(unquote(urlsplit(told["url"]).path))
                    for place in (root / "src" / package, root / package):
                        if found_source := _source(place):
                            return found_source
        return None


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


def _extra_folders(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield the folders that `.pth` files name."""
    for name in sorted(name for name in names if name.endswith((".pth", ".egg-link"))):
        with suppress(OSError, ValueError):
            for line in (folder / name).read_text(encoding="utf-8").splitlines():
                is_code = line.startswith(("import ", "import\t"))
                added = _ADDED.findall(line) if is_code else [line.strip()]
                for text in filter(None, added):
                    path = folder / text
                    if not text.startswith("#") and path.is_dir():
                        yield Path(os.path.normpath(path))


def _version(folder: Path, names: Iterable[str], package: str) -> str:
    """Return the version that the metadata beside a package state."""
    wanted = {normalized(package), normalized(_OTHER_NAMES.get(package, package))}
    infos = [match for name in names if (match := METADATA.fullmatch(name))]
    found = {normalized(match[1]): match[2] for match in infos}
    if version := next((found[name] for name in sorted(wanted) if name in found), ""):
        return version
    for match in infos:
        with suppress(OSError, ValueError):
            tops = (folder / match[0] / "top_level.txt").read_text(encoding="utf-8").split()
            if package in tops:
                return match[2]
    return ""


def _is_info(name: str, package: str) -> bool:
    match = METADATA.fullmatch(name)
    return match is not None and normalized(match[1]) == normalized(package)


def _digest(source: Path) -> str:
    """Return the digest of the files of a package; of very many, of their sizes and times."""
    files = [source] if source.is_file() else sorted(_files(source))
    stats = {path: path.stat() for path in files}
    base = source.parent
    if len(files) > _MAX_FILES or sum(item.st_size for item in stats.values()) > _SMALL_BYTES:
        told = {str(p.relative_to(base)): [s.st_size, s.st_mtime_ns] for p, s in stats.items()}
        return digest(canonical_json(told))
    return digest(canonical_json({str(p.relative_to(base)): digest_file(p) for p in files}))


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path
