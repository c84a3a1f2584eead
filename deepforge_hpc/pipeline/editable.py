"""Where packages lie that are installed to be edited, or that `.pth` files add: by files alone."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

_ADDED = re.compile(r"""\baddsitedir\(['"]([^'"]+)['"]\)""")
_FINDER = re.compile(r"^MAPPING\b[^=]*=\s*(\{.*\})", re.MULTILINE)


def edited_root(info: Path) -> Path | None:
    """Return the project of a package that is installed to be edited, by its metadata."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        origin = json.loads((info / "direct_url.json").read_bytes())
        if origin.get("dir_info", {}).get("editable"):
            return Path(unquote(urlsplit(origin["url"]).path))
    return None


def mapped(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the modules that setuptools' finders of editable installs know, and where they are."""
    for name in names:
        if name.startswith("__editable__") and name.endswith("_finder.py"):
            with suppress(OSError, ValueError, SyntaxError, AttributeError):
                found = _FINDER.search((folder / name).read_text(encoding="utf-8"))
                for module, path in ast.literal_eval(found[1]).items() if found else ():
                    yield module.partition(".")[0], path  # `acme.lib`, of a namespace


def extra_folders(folder: Path, names: Iterable[str]) -> Iterator[Path]:
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
