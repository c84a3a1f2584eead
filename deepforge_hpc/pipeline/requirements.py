"""What installed packages need in turn, by their metadata alone (core metadata, Requires-Dist).

https://packaging.python.org/en/latest/specifications/core-metadata. Of a requirement's marker only
`extra` is looked at: what is wanted on other systems is not installed here.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from deepforge_hpc.runtime.base.files import digest_file, opened, read_most
from deepforge_hpc.runtime.rank.packages import METADATA, normalized

_LARGEST = 4 << 20
_NEED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) *(?:\[([^\]]*)\])?([^\n]*)")
_EXTRA = re.compile(r"\bextra *== *['\"]([^'\"]+)['\"]")

Wanted = tuple[str, frozenset[str]]
"""A package by its normalized name, and the extras that are wanted of it."""


class Requirements:
    """The installed packages of one interpreter, by the folders that it looks in, in order."""

    def __init__(self, folders: Mapping[Path, Iterable[str]]) -> None:
        self.found: dict[str, tuple[Path, str]] = {}
        """Normalized name -> the folder of its metadata, and its version."""
        for folder, names in folders.items():
            for name in sorted(names):
                if match := METADATA.fullmatch(name):
                    self.found.setdefault(normalized(match[1]), (folder / name, match[2]))
        self._needs: dict[str, list[tuple[Wanted, frozenset[str]]]] = {}

    def sharing(self, module: str, *others: str) -> list[str]:
        """Return the packages that bring a part of a top module: of `google` there are many."""
        names = map(normalized, (module, *others))
        named = next((name for name in names if name in self.found), None)
        return list(dict.fromkeys([*([named] if named else ()), *self._by_module.get(module, ())]))

    def modules(self, package: str) -> list[str]:
        """Return the names under which a package is imported, as far as it says so."""
        return _text(self.found[package][0] / "top_level.txt").split() or [
            package.replace("-", "_")
        ]

    def closure(self, packages: Iterable[str]) -> dict[str, str]:
        """Return the version of each package and of all that they need, as far as it is there."""
        todo: list[Wanted] = [(name, frozenset()) for name in packages]
        seen: set[Wanted] = set()
        while todo:
            one = todo.pop()
            if one in seen or one[0] not in self.found:
                continue
            seen.add(one)
            todo += (need for need, extras in self._of(one[0]) if not extras or extras & one[1])
        return {name: self.found[name][1] for name, _ in seen}

    @functools.cached_property
    def _by_module(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.found:
            for module in self.modules(name):
                found.setdefault(module, []).append(name)
        return found

    def release(self, package: str) -> str:
        """Return what tells one release from another: of one from a folder or a repository, whose
        version often stays, the digest of what was installed too."""
        info, version = self.found[package]
        with suppress(OSError):
            if (info / "direct_url.json").exists():
                return f"{version} {digest_file(info / 'RECORD')}"
        return version

    def _of(self, package: str) -> list[tuple[Wanted, frozenset[str]]]:
        """Return what a package needs, each with the extras of which one has to be wanted."""
        if package not in self._needs:
            info = self.found[package][0]
            header = _text(info / "METADATA") or _text(info / "PKG-INFO")
            lines = header.partition("\n\n")[0].split("\n")
            required = [
                line.partition(":")[2] for line in lines if line.startswith("Requires-Dist:")
            ]
            self._needs[package] = list(_parsed(required or _old(_text(info / "requires.txt"))))
        return self._needs[package]


def _parsed(required: Iterable[str]) -> Iterator[tuple[Wanted, frozenset[str]]]:
    for line in required:
        if match := _NEED.match(line.strip()):
            extras = frozenset(normalized(one.strip()) for one in (match[2] or "").split(","))
            wanted = frozenset(map(normalized, _EXTRA.findall(match[3])))
            yield (normalized(match[1]), extras), wanted


def _old(text: str) -> Iterator[str]:
    """Yield the lines of a `requires.txt` as those of metadata: sections are `[EXTRA:MARKER]`."""
    extra = ""
    for line in text.split("\n"):
        if line.startswith("["):
            extra = line[1:].partition("]")[0].partition(":")[0]
        elif line.strip():
            yield f"{line}; extra == '{extra}'" if extra else line


def _text(path: Path) -> str:
    with suppress(OSError), opened(path, os.O_RDONLY | os.O_NONBLOCK) as handle:
        return read_most(handle, _LARGEST).decode(errors="replace").replace("\r\n", "\n")
    return ""
