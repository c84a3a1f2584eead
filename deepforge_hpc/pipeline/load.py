"""From the files of a user to checked, frozen data: every fault at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from deepforge_hpc.errors import Fault, InvalidInputError
from deepforge_hpc.files.characters import control_character, is_utf8
from deepforge_hpc.files.faults import Path as At
from deepforge_hpc.files.faults import Reader, meant, nearest, shown
from deepforge_hpc.files.project import Project, ProjectError, read_bounded, read_input
from deepforge_hpc.files.yaml12 import Document, collector_paused, load
from deepforge_hpc.paths import project_root
from deepforge_hpc.pipeline import trust
from deepforge_hpc.pipeline.bind import Binder
from deepforge_hpc.pipeline.credentials import check_comments, check_texts
from deepforge_hpc.pipeline.edges import Edges, Result
from deepforge_hpc.pipeline.environment import EnvironmentBase
from deepforge_hpc.pipeline.external import locate
from deepforge_hpc.pipeline.file import PipelineSpec, origin, read_pipeline
from deepforge_hpc.pipeline.formats import Formats
from deepforge_hpc.pipeline.graph import order, select
from deepforge_hpc.pipeline.installed import Installed, path_of_jobs
from deepforge_hpc.pipeline.interface import OperationInterface
from deepforge_hpc.pipeline.precedence import DEFAULT_SITE, Chosen, Layers
from deepforge_hpc.pipeline.references import References
from deepforge_hpc.pipeline.settings import (
    PREFIX,
    VARIABLES,
    Overrides,
    Settings,
    UserSettings,
    load_user_settings,
    parse_overrides,
    resized,
)
from deepforge_hpc.pipeline.snapshot import (
    PROJECT,
    CodeFile,
    Snapshot,
    code_file,
    glob_files,
    refusal,
)
from deepforge_hpc.pipeline.sources import Sources
from deepforge_hpc.pipeline.variables import check_scheduler
from deepforge_hpc.plugins.travel import carried
from deepforge_hpc.runtime.base.files import canonical_json, digest
from deepforge_hpc.runtime.base.layout import PLUGINS
from deepforge_hpc.runtime.base.notice import Notice
from deepforge_hpc.runtime.base.plan import ExternalInput
from deepforge_hpc.runtime.base.redact import token_line
from deepforge_hpc.runtime.launchers import LAUNCHERS
from deepforge_hpc.site.find import FoundSite, load_site, site_folders
from deepforge_hpc.site.model import SiteSpec

T = TypeVar("T")
__all__ = ["Loaded", "Settings", "load_pipeline", "load_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A pipeline with all that belongs to it, checked."""

    pipeline: PipelineSpec
    operations: Mapping[str, OperationInterface]
    """In an order in which each comes after all that it waits for."""
    graph: Mapping[str, list[str]]
    """Operation -> operations that it waits for, sorted."""
    selection: frozenset[str] | None
    """Operations that were asked for; None: all."""
    inputs: tuple[ExternalInput, ...]
    outputs: tuple[Result, ...]
    site: SiteSpec | None
    snapshot: Snapshot
    account: str
    executions: Path
    """Absolute folder that executions are created in."""
    project: Path
    """Real path of the project's root."""
    path: Path
    """Absolute path of the pipeline file."""
    warnings: tuple[Notice, ...]
    pipeline_bytes: bytes
    site_bytes: bytes
    document: Document = field(repr=False)
    site_file: FoundSite | None = field(repr=False, default=None)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What `--set` said: operation -> attribute -> value."""
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same of `resources`: operation -> key -> value."""
    account_origin: str = ""
    executions_origin: str = ""

    def origin(self, *path: str | int) -> str:
        """Return `pipeline.yaml:14` for a value of the pipeline, or the nearest value above it."""
        return origin(self.document, *path)

    def site_origin(self, *path: str | int) -> str:
        """Return `site local (shipped):12` for a value of the site's file."""
        return "" if self.site_file is None else self.site_file.origin(*path)


def load_pipeline(
    path: Path, *, site: str | None = None, settings: Settings | None = None
) -> Loaded:
    """Return a pipeline, checked; raises InvalidInputError with all that is wrong."""
    data = read_input(path, "give the path of a pipeline file")
    return load_text(data, path, site=site, settings=settings)


def load_text(
    data: bytes, path: Path, *, site: str | None = None, settings: Settings | None = None
) -> Loaded:
    """Return the pipeline of a text that stands (or could stand) at a path."""
    with collector_paused():
        return _Loading(data, path, site, settings or Settings()).loaded()


def _unnamed(*folders: Path) -> list[Fault]:
    """Return a fault of a folder whose name no file in UTF-8 can hold, and so none of ours."""
    bad = [str(folder) for folder in folders if not is_utf8(str(folder))]
    message = "a name of its path is not UTF-8: no plan and no record can hold it"
    return [Fault(message, file=f"${bad[0]!r}", hint="rename the folder")] if bad else []


class _Loading:
    """One load: collects the faults of all parts."""

    def __init__(self, data: bytes, path: Path, site: str | None, settings: Settings) -> None:
        self.data = data
        self.path = path.resolve()
        self.given = path if os.path.lexists(path) else path.parent
        """With its links, of which each says what the project is; a text may have no file."""
        self.settings = settings
        self.extra: list[Fault] = []
        self.user = self._user()
        root, self.refused = project_root(self.path.parent, self.user.trust)
        self.project = Project(root, self.path.parent)
        self.values: list[Fault] = []
        """Of single values of the file, such as a number that is none."""
        self.document = load(data, str(path), self.values)
        self.reader = Reader(self.document)
        self._check_settings()
        self.layers = Layers(
            options={"site": site, "account": self.settings.account},
            environ=self.settings.environ,
            user=self.user,
        )
        self.site = self._site()
        self.formats = Formats()
        self.sources = Sources(self.project, self.formats)
        self.references = References(self.project, self.sources)

    def loaded(self) -> Loaded:
        """Check everything."""
        pipeline = read_pipeline(self.reader)
        check_texts(self.reader)
        binder = self._binder(pipeline)
        binder.overrides, sizes = self._overrides(pipeline)
        pipeline, faults = resized(pipeline, sizes)
        self.extra += faults
        folder = self.project.folder
        externals = {
            name: locate(spec, folder, self.formats, self.reader)
            for name, spec in pipeline.inputs.items()
        }
        bound = {name: binder.bind(spec) for name, spec in pipeline.operations.items()}
        edges = Edges(binder, bound, externals)
        edges.check()
        outputs = edges.results(folder)
        graph = edges.graph()
        selection, faults = select(
            graph, self.settings.only, self.settings.from_, self.settings.until
        )
        self.extra += faults if graph else []
        snapshot = self._snapshot(pipeline)
        folder_said = Chosen(pipeline.executions, origin(self.document, "executions"))
        layers = replace(self.layers, site=self.site, pipeline={"executions": folder_said})
        account, account_origin = layers.account()
        if found := control_character(account):
            message = f"{found} in {account!r}"
            self.extra.append(Fault(message=message, file=f"${account_origin}", hint="remove it"))
        executions, executions_origin = layers.executions(self.project.root, folder)
        # Whoever has laid a link there could put other code in the place of what runs.
        self.extra += trust.planted({}, [executions], self.project.root, self.user.trust)
        self.extra += _unnamed(self.project.root, executions)
        check_comments(self.reader, self.data.decode("utf-8", "replace"))
        self._raise_faults()
        edges.warn_of_unused()
        operations = {name: bound[name] for name in order(graph)}
        return Loaded(
            pipeline=pipeline,
            operations={k: v for k, v in operations.items() if v is not None},
            graph=graph,
            selection=selection,
            inputs=tuple(found for found in externals.values() if found is not None),
            outputs=outputs,
            site=self.site.spec if self.site else None,
            snapshot=snapshot,
            account=account,
            executions=executions,
            project=self.project.root,
            path=self.path,
            warnings=(*trust.notices(self.refused, self.site, self.project.root), *binder.warnings),
            pipeline_bytes=self.data,
            site_bytes=self.site.data if self.site else b"",
            document=self.document,
            site_file=self.site,
            overrides=binder.overrides,
            sizes=sizes,
            account_origin=account_origin,
            executions_origin=executions_origin,
        )

    def _check_settings(self) -> None:
        """Refuse what would be ignored in silence."""
        for name in self.settings.environ:
            if name.startswith(PREFIX) and name not in VARIABLES:
                hint = nearest(name, VARIABLES)
                self.extra.append(Fault(message="no such setting", file=f"${name}", hint=hint))

    def _user(self) -> UserSettings:
        try:
            return load_user_settings(self.settings.user_dir)
        except InvalidInputError as error:
            self.extra += error.faults
            return UserSettings()

    def _site(self) -> FoundSite | None:
        default = DEFAULT_SITE if self.settings.needs_site else ""
        name = self.layers.site_name(default=default).value
        if not name:
            return None
        root, user = self.project.root, self.settings.user_dir
        folders = site_folders(root, user, self.settings.environ, self.user.trust)
        try:
            found = load_site(name, folders)
            found.require_machine()
        except InvalidInputError as error:
            self.extra += error.faults
            return None
        return found

    def _binder(self, pipeline: PipelineSpec) -> Binder:
        base = EnvironmentBase(
            folder=self.project.folder,
            submitter=self.settings.python or sys.executable,
            site=self.site.spec.environment if self.site else None,
        )
        installed = Installed(path_of_jobs(self.site.spec if self.site else None))
        return Binder(
            pipeline, self.reader, self.sources, self.references, self.formats, base, installed
        )

    def _overrides(self, pipeline: PipelineSpec) -> tuple[Overrides, Overrides]:
        """Return what `--set` says of attributes, and of resources."""
        found = parse_overrides(self.settings.overrides)
        self.extra += found.faults
        for part, values in (("", found.attributes), ("resources.", found.sizes)):
            for name in [name for name in values if name not in pipeline.operations]:
                target = f"{name}.{part}{next(iter(values.pop(name)))}"
                message, hint = f"no operation {shown(name)}", nearest(name, pipeline.operations)
                self.extra.append(Fault(message=message, file=f"--set {target}", hint=hint))
        return found.attributes, found.sizes

    def _snapshot(self, pipeline: PipelineSpec) -> Snapshot:
        files = {**self.sources.files, **self.references.files}
        named: dict[str, Path] = {}
        for index, pattern in enumerate(pipeline.code):
            found = self._attempt(("code", index), glob_files, self.project, pattern)
            named.update(found or {})
        extra = {name: path for name, path in named.items() if name not in files}
        sizes = {name: file.size for name, file in files.items()}
        sizes.update((name, path.stat().st_size) for name, path in extra.items())
        if problem := refusal(sizes):
            self.reader.fault(("code",), problem, "give data as an input, not as code")
            extra = {}
        for name, path in extra.items():
            content = self._attempt(("code",), read_bounded, path, name)
            if content is not None:
                files[name] = code_file(content, path)
        for name, file in files.items():
            if name.startswith(f"{PROJECT}/"):
                self._refuse_token(name, file)
        code = {
            one.source: one.data
            for name, one in files.items()
            if one.source and name.startswith(f"{PROJECT}/")
        }
        read = {self.path: self.data, **code}
        asked = [self.given, *self.project.asked]
        self.extra += trust.planted(read, asked, self.project.root, self.user.trust)
        if self.given.resolve() not in (self.path, self.path.parent):
            self.extra.append(Fault("was replaced while it was read", str(self.given)))
        self._check_launchers(pipeline)
        self._check_queues(pipeline)
        self._check_variables(pipeline)
        self._keep_plugins(pipeline, files)
        digests = {name: files[name].sha256 for name in named if name in files}
        return Snapshot(
            files=dict(sorted(files.items())),
            named=digest(canonical_json(digests)) if digests else "",
        )

    def _refuse_token(self, name: str, file: CodeFile) -> None:
        """The ledger keeps this file for good, and a project is often shared."""
        if line := token_line(file.data.decode("utf-8", "replace")):
            message = "looks like a credential: the ledger keeps the code of every execution"
            hint = "read it when the operation runs, from a file that only you can read"
            where = name.partition("/")[2]
            self.extra.append(Fault(message=message, file=where, line=line, hint=hint))

    def _check_launchers(self, pipeline: PipelineSpec) -> None:
        """Without a site, only what looks like a slip is a fault: each has launchers of its own."""
        names = {*LAUNCHERS, *(self.site.spec.launchers if self.site else ())}
        for name, spec in pipeline.operations.items():
            if not spec.launch or spec.launch in names:
                continue
            if self.site or meant(spec.launch, names):
                where = f"site {self.site.spec.name} has" if self.site else "there is"
                message = f"{where} no launcher {shown(spec.launch)}"
                hint = nearest(spec.launch, names)
                self.reader.fault(("operations", name, "launch"), message, hint)

    def _check_variables(self, pipeline: PipelineSpec) -> None:
        places: dict[At, Mapping[str, str]] = {("env",): pipeline.env}
        places |= {
            ("operations", name, "env"): one.env for name, one in pipeline.operations.items()
        }
        check_scheduler(places, self.site.spec.scheduler if self.site else "", self.reader)

    def _check_queues(self, pipeline: PipelineSpec) -> None:
        site = self.site.spec if self.site else None
        names = [queue.name for queue in site.queues] if site else []
        for name, spec in pipeline.operations.items():
            if site and spec.resources.queue and spec.resources.queue not in names:
                message = f"site {site.name} has no queue {shown(spec.resources.queue)}"
                path = ("operations", name, "resources", "queue")
                self.reader.fault(path, message, nearest(spec.resources.queue, names))

    def _keep_plugins(self, pipeline: PipelineSpec, files: dict[str, CodeFile]) -> None:
        """Keep the source of third parties' plug-ins, and the table that the runtime reads."""
        scheduler = self.site.spec.scheduler if self.site else ""
        launchers = [one.launch for one in pipeline.operations.values() if one.launch]
        found = carried(self.formats.used, scheduler, launchers)
        for named in found.values():
            for target in named.values():
                self._attempt((), self.sources.keep_library, target.partition(":")[0])
        files.update(self.sources.files)
        if first := self.references.start_up():
            files.update(first.values())
            found["start_up"] = {library: path for library, (path, _) in first.items()}
        if found:
            files[PLUGINS] = code_file(canonical_json(found))

    def _attempt(
        self, at: tuple[str | int, ...], action: Callable[..., T], *args: object
    ) -> T | None:
        """Return the result of an action, or None after its fault was reported at a place."""
        try:
            return action(*args)
        except ProjectError as error:
            self.reader.fault(at, str(error), error.hint)
            return None

    def _raise_faults(self) -> None:
        # What stands in the place of a bad value may be wrong as well; that is no second fault.
        bad = {(one.line, one.column) for one in self.values}
        others = [one for one in self.reader.faults if (one.line, one.column) not in bad]
        faults = [*self.values, *others]
        faults += [*self.sources.faults, *self.references.faults, *self.extra]
        if faults:
            here = self.document.file
            faults.sort(key=lambda one: (one.file != here, one.file, one.line, one.column))
            raise InvalidInputError(list(dict.fromkeys(faults)))
