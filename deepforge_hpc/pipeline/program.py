"""Operations that are programs: a file of the project that is run, or a command.

The pipeline says what code would say of itself: which files it leaves, and by which words it is
told where its inputs are. All of these are checked here; the program itself is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os.path import normpath
from typing import TYPE_CHECKING, Any

from deepforge_hpc.files.faults import Path, nearest, shown
from deepforge_hpc.files.project import ProjectError
from deepforge_hpc.pipeline.credentials import ATTRIBUTE
from deepforge_hpc.pipeline.environment import resolve_environment
from deepforge_hpc.pipeline.formats import ANY, by_suffix
from deepforge_hpc.pipeline.interface import Edge, OperationInterface, edge_of
from deepforge_hpc.pipeline.snapshot import LIBRARY
from deepforge_hpc.runtime.base.arguments import is_whole, placeholders
from deepforge_hpc.runtime.base.files import canonical_json, digest
from deepforge_hpc.runtime.base.plan import OperationSource, OutputPort, member_port
from deepforge_hpc.runtime.base.redact import filter_value

if TYPE_CHECKING:
    from deepforge_hpc.pipeline.bind import Binder
    from deepforge_hpc.pipeline.file import OperationSpec
    from deepforge_hpc.pipeline.reach import Piece
    from deepforge_hpc.pipeline.sources import FoundScript

_KNOWN = ("checkpoint_dir", "code", "python", "rank", "seed", "world_size")
"""What a job fills in besides inputs, outputs and attributes."""
_FROZEN = re.compile(r"\{code\}/(.+)", re.DOTALL)
"""At the end of a word, a file of the project, from the pipeline's folder."""


class ProgramBinding:
    """One program on its way to an interface."""

    def __init__(self, binder: Binder, spec: OperationSpec) -> None:
        self.binder = binder
        self.spec = spec
        self.seed = spec.seed if spec.seed is not None else binder.pipeline.seed
        self.overridden = binder.overrides.get(spec.name, {})
        self.attributes: dict[str, Any] = {**spec.attributes, **self.overridden}
        self.named: set[str] = set()
        """The placeholders that its words have."""
        self.pieces: list[Piece] = []
        self.packages: frozenset[str] = frozenset()
        self.search: tuple[str, ...] = ()

    def interface(self) -> OperationInterface | None:
        """Check everything and return the interface; ProjectError if its file is gone."""
        spec, binder = self.spec, self.binder
        self._check_keys()
        argv = [
            self._checked((key, index), word)
            for key, words in (("command", spec.command), ("args", spec.args))
            for index, word in enumerate(words)
        ]
        self._check_unheard()
        types = self._types()
        source = self._source(tuple(argv))
        if source is None:
            return None
        environment = resolve_environment(
            (spec.environment, binder.pipeline.environment), binder.environment_base
        )
        line = binder.reader.document.mark(("operations", spec.name), key=True).line
        return OperationInterface(
            name=spec.name,
            source=source,
            attributes=self.attributes,
            defaults={},
            computed={},
            references=(),
            inputs=tuple(self._edges(types)),
            outputs=tuple(self._output(types, name, file) for name, file in spec.outputs.items()),
            environment=environment,
            seed=self.seed,
            after=tuple(sorted(set(spec.after))),
            place=f"{binder.reader.document.file}:{line}",
            pieces=tuple(self.pieces),
            software=binder.installed.software(environment, self.packages),
        )

    def _source(self, argv: tuple[str, ...]) -> OperationSource | None:
        spec = self.spec
        module = ""
        if spec.uses:
            found = self.binder.sources.script(spec.uses)
            if found is None:
                return None
            module = found.module
            self._take(found)
            self.search = found.search
        said = {
            "pieces": sorted([piece.path, piece.sha256] for piece in self.pieces),
            "argv": argv,
            "files": sorted(spec.outputs.items()),
        }
        return OperationSource(
            module=module,
            object="__main__" if module else spec.command[0],
            kind="script" if module else "command",
            search=self.search,
            sha256=digest(canonical_json(said)),
            returns="dict",
            argv=argv,
        )

    def _fault(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        self.binder.reader.fault(("operations", self.spec.name, *path), message, hint, key=key)

    def _check_keys(self) -> None:
        """Refuse keys that only code in Python has a use for, and what must not be shown."""
        if self.spec.map is not None:
            hint = "share the rows out in an operation in Python: uses: FILE.py:Object"
            self._fault(("map",), "a program gets whole files, not blocks of rows", hint, key=True)
        if self.spec.references:
            hint = "write it to a file in an operation in Python, and read that"
            self._fault(("references",), "a program gets no Python values", hint, key=True)
        for name, value in self.attributes.items():
            if filter_value({name: value}) != {name: value}:
                self._fault(("attributes", name), *ATTRIBUTE)

    def _values(self) -> dict[str, bool]:
        """Return what a word may name, and whether that is a list."""
        spec = self.spec
        found = {f"inputs.{port}": isinstance(given, tuple) for port, given in spec.inputs.items()}
        found |= {f"outputs.{name}": False for name in spec.outputs}
        for name, value in self.attributes.items():
            found[f"attributes.{name}"] = isinstance(value, list)
        return found | dict.fromkeys(_KNOWN, False)

    def _checked(self, at: Path, word: str) -> str:
        """Return a word as the job reads it."""
        known = self._values()
        try:
            names = placeholders(word)
        except ValueError:
            message = f"{shown(word)} has a brace that names nothing"
            self._fault(at, message, "write {inputs.NAME}; write {{ and }} for braces")
            return word
        for name in names:
            self.named.add(name)
            if name not in known:
                self._fault(at, f"nothing is called {shown(name)} here", nearest(name, known))
            elif known[name] and not is_whole(word):
                hint = f'write "{{{name}}}" as a word of its own: it becomes one word for each'
                self._fault(at, f"{name} is a list, which stands for several words", hint)
        if "seed" in names and self.seed is None:
            self._fault(at, "there is no seed", "write seed: for the operation or the pipeline")
        if at == ("command", 0) and "/" in word and not names and not word.startswith("/"):
            message = f"{shown(word)} cannot be there: the folder that a job runs in begins empty"
            hint = f'write [bash, "{{code}}/{normpath(word)}"], or a name on PATH, or a whole path'
            self._fault(at, message, hint)
        if "code" not in names:
            return word
        if (match := _FROZEN.search(word)) is None or names[-1] != "code":
            self._fault(
                at, "what follows {code}/ is no file", "write {code}/FILE to the word's end"
            )
            return word
        return f"{word[: match.start(1)]}{self._keep(at, word, match[1])}"

    def _keep(self, at: Path, word: str, file: str) -> str:
        """Freeze the file of the project that a word names; return its path in `code/`."""
        if at == ("command", 0):
            hint = f'write its interpreter before it: [bash, "{word}"]'
            self._fault(at, "a frozen file is not run by itself", hint)
            return file
        sources = self.binder.sources
        try:
            if not file.endswith(".py"):
                self.pieces.append(piece := sources.data(file))
                return piece.path
            if (found := sources.script(file, is_whole=False)) is not None:
                self._take(found)
                return found.module
        except ProjectError as error:
            self._fault(at, str(error), error.hint)
        return file

    def _take(self, found: FoundScript) -> None:
        self.pieces += found.pieces
        self.packages |= found.packages
        if LIBRARY in found.search:
            self.search = (LIBRARY,)

    def _check_unheard(self) -> None:
        """Refuse what the program is given, and no word tells it."""
        here = ("operations", self.spec.name)
        if {path[2] for path in self.binder.reader.broken if path[:2] == here} & {
            "command",
            "args",
        }:
            return
        for section, names in (("inputs", self.spec.inputs), ("attributes", self.attributes)):
            for name in names:
                if f"{section}.{name}" not in self.named:
                    hint = f'write "{{{section}.{name}}}" under args:'
                    if section == "inputs":
                        hint += ", or wait for it by after:"
                    self._fault((section, name), "no word of the program names it", hint, key=True)

    def _types(self) -> dict[str, str]:
        chosen, formats = {}, self.binder.formats
        ports = (*self.spec.inputs, *self.spec.outputs)
        for name, kind in self.spec.types.items():
            if name not in ports:
                message = f"{self.spec.name} has no input or output {shown(name)}"
                self._fault(("types", name), message, nearest(name, ports), key=True)
            elif kind not in formats or kind == ANY:
                hint = nearest(kind, formats)
                self._fault(("types", name), f"no format {kind!r} of a file", hint)
            else:
                chosen[name] = kind
        return chosen

    def _edges(self, types: dict[str, str]) -> Iterator[Edge]:
        for port in sorted(self.spec.inputs):
            given, kind = self.spec.inputs[port], types.get(port, ANY)
            if isinstance(given, str):
                yield edge_of(port, kind, given)
            else:
                for index, source in enumerate(given):
                    yield edge_of(member_port(port, index), kind, source)

    def _output(self, types: dict[str, str], name: str, file: str) -> OutputPort:
        kind = "directory"
        if not file.endswith("/"):
            last = file.rpartition("/")[2]
            kind = by_suffix(last[last.rfind(".") :] if "." in last else "")
        return OutputPort(name=name, type=types.get(name, kind), file=file)
