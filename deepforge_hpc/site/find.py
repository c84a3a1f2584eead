"""Finding a site's file: the project's own, the user's, `$DEEPFORGE_HPC_PATH`, then ours."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deepforge_hpc import paths
from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.faults import Reader, nearest, shown
from deepforge_hpc.files.project import read_input
from deepforge_hpc.files.yaml12 import Document, load
from deepforge_hpc.processes import owner_name
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.site.merge import Merged, Overlay
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.read import read_site
from deepforge_hpc.site.sourced import sections_without_source, unsourced
from deepforge_hpc.site.words import SITE_NAME

FOLDER = "site-configs"
_FILE = re.compile(r"(.*\.ya?ml)(?:/([^/]*))?", re.DOTALL)
ANY = "*"
"""As a variant: the default one, or else the first."""
NAMED = "$DEEPFORGE_HPC_PATH"
SHIPPED = "shipped"
"""As much trusted as what reads it."""


class UntrustedError(Exception):
    """What lies there is another user's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class SiteFile(NamedTuple):
    """A site's file, read once: what was judged is what is used."""

    where: str
    """As of FoundSite."""
    path: Path
    data: bytes

    @property
    def document(self) -> Document:
        """Return what it says; InvalidInputError."""
        return load(self.data, str(self.path))


class SiteFolder(NamedTuple):
    """A folder in which site files lie."""

    where: str
    """project | user | $DEEPFORGE_HPC_PATH | shipped"""
    path: Path
    trusted: Sequence[str] = ()
    """Folders of others that the user's settings trust by name."""

    def read(self, file: Path) -> bytes:
        """Return a file in it; UntrustedError if it is another user's, InvalidInputError."""

        def judge(opened: int) -> None:
            if (path := self.refused(file, opened)) is not None:
                raise UntrustedError(path)

        if (path := self.refused(file)) is not None:  # its modes may let nobody open it
            raise UntrustedError(path)
        return read_input(file, judge=judge)

    def refused(self, file: Path, opened: int | None = None) -> Path | None:
        """Return what is another user's, the folder or a file in it, and would act as the caller.

        A folder that others may write to says nothing of the files: each is asked for. Of one that
        the caller's environment names only where all may write: a centre's has several owners.
        `opened`: the file itself, where it is to be read.
        """
        start = self.path.parent
        is_open = any(folder.stat().st_mode & stat.S_IWOTH for folder in (start, self.path))
        if self.where == SHIPPED or (self.where == NAMED and not is_open):
            return None
        if not paths.is_trusted(self.path, start, self.trusted):
            return self.path
        return None if paths.is_trusted(file, start, self.trusted, opened=opened) else file


Folders = Sequence[SiteFolder]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSite:
    """A site, and the file that describes it."""

    spec: SiteSpec
    path: Path
    where: str
    """project | user | $DEEPFORGE_HPC_PATH | shipped | given"""
    data: bytes
    """The file, or all that it says together with what it extends."""
    document: Merged
    extends: tuple[str, ...] = ()
    """Names of what it is laid over, the nearest first."""
    unsourced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By section: files that say something of it and name no source."""
    refused: tuple[Path, ...] = ()
    """Other users' files of its name, or of one that it extends, that were passed over."""
    is_base: bool = False
    """Its file is there for others to extend: no machine that jobs can be sent to."""

    @property
    def is_near(self) -> bool:
        """Tell whether the file is the project's own or was given: the user's word comes after."""
        return self.where in ("project", "given")

    def require_machine(self) -> None:
        """Raise InvalidInputError for what jobs cannot be sent to."""
        if self.is_base:
            message = f"site {self.spec.name} is no machine, but what others extend"
            raise InvalidInputError([Fault(message=message, hint=self.spec.description)])

    def origin(self, *path: str | int) -> str:
        """Return `site local (shipped):12` for a value of the file."""
        line = self.document.mark(path, key=True).line
        file = Path(self.document.layer(path).document.file).name
        inherited = "" if file == self.path.name else f" {file}"
        return f"site {self.spec.name} ({self.where}){inherited}:{line}"


def site_folders(
    project: Path, user: Path | None, environ: Mapping[str, str], trusted: Sequence[str] = ()
) -> Folders:
    """Return where site files lie, in order of precedence.

    What another user has put there, and is not `trusted` by name, is not found.
    """
    folders = [SiteFolder("project", project / FOLDER, trusted)]
    if user is not None:
        folders.append(SiteFolder("user", user / "sites", trusted))
    entries = environ.get("DEEPFORGE_HPC_PATH", "").split(os.pathsep)
    named = [Path(entry, FOLDER) for entry in entries if entry]
    folders += [SiteFolder(NAMED, path, trusted) for path in named]
    return [*folders, SiteFolder(SHIPPED, paths.data_folder(FOLDER))]


def known_sites(folders: Folders) -> list[str]:
    """Return the names of all sites that can be found."""
    names: set[str] = set()
    for folder in folders:
        if folder.path.is_dir():
            files = folder.path.glob("*.yaml")
            names.update(path.stem for path in files if not folder.refused(path))
    return sorted(names)


def load_site(name: str, folders: Folders) -> FoundSite:
    """Return a site by name (`perlmutter`, `perlmutter/gpu`), or by the path of its file.

    A path may be followed by `/VARIANT` too; the variant ANY is any one. Raises InvalidInputError
    with all faults of the file and of those that it extends.
    """
    if (match := _FILE.fullmatch(name)) is not None:
        path = Path(match[1])
        return _read(SiteFile("given", path, read_input(path)), folders, match[2])
    site, slash, variant = name.partition("/")
    found = _find(site, folders)
    if found is None:
        asked = site if SITE_NAME.fullmatch(site) else name
        machines = [one for one in known_sites(folders) if not _is_base(one, folders)]
        hint = _not_taken(site, folders) or _misnamed(site, folders) or nearest(site, machines)
        hint = hint or "dfh site list shows the known"
        raise InvalidInputError([Fault(message=f"no site {shown(asked)}", hint=hint)])
    return _read(found, folders, variant if slash else None)


def frozen_site(path: Path) -> SiteSpec:
    """Return the site of an execution, from the copy that lies in it.

    Raises InvalidInputError if it cannot be read: this version may know less than the one that
    wrote it.
    """
    document = load(read_input(path), str(path))
    reader = Reader(document)
    spec = read_site(reader, document.value())
    if reader.faults:
        raise InvalidInputError(reader.faults)
    return spec


def _find(
    name: str, folders: Folders, *, but: tuple[Path, ...] = (), refused: list[Path] | None = None
) -> SiteFile | None:
    """Return the file of a name; other users' that it hides, or would, are added to `refused`."""
    for folder in folders if SITE_NAME.fullmatch(name) else ():
        path = folder.path / f"{name}.yaml"
        if not path.is_file() or path in but:
            continue
        try:
            return SiteFile(folder.where, path, folder.read(path))
        except UntrustedError as error:
            if refused is not None:
                refused.append(error.path)
    return None


def _not_taken(name: str, folders: Folders) -> str:
    """Say whose the file is that would be the site."""
    refused: list[Path] = []
    _find(name, folders, refused=refused)
    for path in refused:
        return f"{path} belongs to {owner_name(path)}; {paths.trust_hint(path.parent)}"
    return ""


def _is_base(name: str, folders: Folders) -> bool:
    """Tell whether a file says that it is no machine, but what others extend."""
    with suppress(InvalidInputError, OSError):
        found = _find(name, folders)
        value = found.document.value() if found else None
        return isinstance(value, dict) and value.get("base") is True
    return False


def _misnamed(name: str, folders: Folders) -> str:
    """Say if a file would be the site, but for the end of its name."""
    if SITE_NAME.fullmatch(name):
        for folder in folders:
            if (path := folder.path / f"{name}.yml").is_file():
                return f"rename {path} to {name}.yaml"
    return ""


def _read(file: SiteFile, folders: Folders, variant: str | None = None) -> FoundSite:
    refused: list[Path] = []
    where, path, data = file
    if where != "given":
        _find(path.stem, folders, refused=refused)
    documents = _chain(file, folders, refused)
    variants = {name for document in documents for name in _variants(document)}
    chosen = _variant(documents, sorted(variants), variant)
    layers = []
    for document in documents:
        if chosen in _variants(document):
            layers.append(Overlay(document, ("variants", chosen)))
        layers.append(Overlay(document))
    merged = Merged(layers)
    reader = Reader(merged)
    spec = read_site(reader, merged.value())
    own = documents[0]
    if where != "given" and spec.name and spec.name != path.stem:
        message = f"site: {shown(spec.name)}, but the file is {path.name}"
        reader.faults.append(own.fault(message, ("site",)))
    # As a file corrects the one of its name, it is a base if that is.
    family = [one.value() for one in documents if Path(one.file).stem == path.stem]
    said = [value["base"] for value in family if isinstance(value, dict) and "base" in value]
    base = said[0] if said else False
    if not isinstance(base, bool):
        reader.wrong(("base",), "true or false", base)
    if where == SHIPPED:
        reader.faults += [fault for document in documents for fault in unsourced(document)]
    if reader.faults:
        raise InvalidInputError(list(dict.fromkeys(reader.faults)))
    name = f"{spec.name}/{chosen}" if chosen else spec.name
    return FoundSite(
        spec=dataclasses.replace(spec, name=name, variants=tuple(sorted(variants))),
        path=path,
        where=where,
        # JSON is YAML: one file that says what several said together.
        data=canonical_json(merged.value()) if len(layers) > 1 else data,
        document=merged,
        extends=tuple(Path(document.file).stem for document in documents[1:]),
        unsourced=_unsourced(documents),
        refused=tuple(dict.fromkeys(refused)),
        is_base=base,
    )


def _unsourced(documents: list[Document]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for document in documents:
        for section in dict.fromkeys(path[-1] for path in sections_without_source(document)):
            found[section] = (*found.get(section, ()), Path(document.file).name)
    return found


def _chain(file: SiteFile, folders: Folders, refused: list[Path]) -> list[Document]:
    """Return a file's document, then that of the file it extends, and so on.

    A file may extend the one of its own name that it hides: a project corrects a shipped site.
    """
    documents = [file.document]
    seen = [file.path]
    while True:
        document = documents[-1]
        value = document.value()
        base = value.get("extends") if isinstance(value, dict) else None
        if base is None:
            return documents
        hidden = tuple(seen) if base == seen[-1].stem else ()
        named = base if isinstance(base, str) else ""
        found = _find(named, folders, but=hidden, refused=refused)
        if found is None and hidden:
            message = f"extends: {shown(base)} is this file, and there is no other of that name"
            raise InvalidInputError([document.fault(message, ("extends",))])
        if found is None:
            hint = _not_taken(named, folders) or nearest(str(base), known_sites(folders))
            fault = document.fault(f"extends: no site {shown(base)}", ("extends",), hint=hint)
            raise InvalidInputError([fault])
        if found.path in seen:
            circle = " -> ".join([*(one.stem for one in seen[seen.index(found.path) :]), base])
            raise InvalidInputError([document.fault(f"extends: a circle: {circle}", ("extends",))])
        seen.append(found.path)
        documents.append(found.document)


def _variants(document: Document) -> list[str]:
    value = document.value()
    variants = value.get("variants") if isinstance(value, dict) else None
    if variants is None:
        return []
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        message = "variants: expected a mapping of names to parts of a site"
        raise InvalidInputError([document.fault(message, ("variants",))])
    for name in variants:
        if not SITE_NAME.fullmatch(name):
            message = f"variants: {shown(name)} is not a name"
            raise InvalidInputError([document.fault(message, ("variants", name), key=True)])
    return list(variants)


def _variant(documents: list[Document], variants: list[str], asked: str | None) -> str:
    """Return the variant to use: the one asked for, else the default; empty if there is none."""
    default = None
    for document in reversed(documents):
        value = document.value()
        if isinstance(value, dict) and "default_variant" in value:
            default = value["default_variant"]
            if default not in variants:
                message = f"default_variant: no variant {shown(default)}"
                hint = nearest(str(default), variants)
                raise InvalidInputError([document.fault(message, ("default_variant",), hint=hint)])
    own = documents[0]
    if asked == ANY:
        return str(default or (variants[0] if variants else ""))
    if asked is None and variants and default is None:
        name = Path(own.file).stem
        hint = "--site " + ", ".join(f"{name}/{variant}" for variant in variants)
        message = "the site has variants: say which one"
        raise InvalidInputError([own.fault(message, ("variants",), hint=hint)])
    if asked is not None and asked not in variants:
        hint = nearest(asked, variants) or "the site has no variants"
        raise InvalidInputError([own.fault(f"no variant {shown(asked)}", ("variants",), hint=hint)])
    return asked or str(default or "")
