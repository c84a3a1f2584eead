"""What every library must do, as tests: subclass `LibraryContract` and run pytest.

class TestTorch(LibraryContract):
    framework = "torch"
    good = "library: torch\\n..."
    bad = "library: torch\\n..."   # with two faults or more, on different lines

    @pytest.fixture
    def library(self) -> Library:
        return TorchLibrary()
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from typing import ClassVar

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.faults import Reader
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.plugins.library import Library

_FRESH = """
import sys
from {module} import {name}
{name}().compile(sys.stdin.read(), "net.yaml")
sys.exit({framework!r} in sys.modules)
"""


class LibraryContract:
    """Behaviour that the check of a pipeline, reuse and the jobs rely on."""

    framework: ClassVar[str]
    """The module that the source imports, and the library does not."""
    good: ClassVar[str]
    """A file without a fault."""
    bad: ClassVar[str]
    """A file with two faults or more, on different lines."""

    @pytest.fixture
    def library(self) -> Library:
        """Return the adapter."""
        raise NotImplementedError

    def test_a_file_becomes_a_module_that_builds(self, library: Library) -> None:
        """Equal texts give equal source: its hash says whether a result can be reused."""
        source = library.compile(self.good, "net.yaml").code
        assert library.compile(self.good, "net.yaml").code == source
        functions = [one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)]
        assert "build" in {one.name for one in functions}
        assert library.check(self.good, "net.yaml") == ()

    def test_all_faults_come_at_once_with_their_lines(self, library: Library) -> None:
        """`check` tells what `compile` raises."""
        found = library.check(self.bad, "folder/net.yaml")
        assert len({fault.line for fault in found}) > 1
        assert all(fault.file == "folder/net.yaml" and fault.message for fault in found)
        with pytest.raises(InvalidInputError) as caught:
            library.compile(self.bad, "folder/net.yaml")
        assert caught.value.faults == found

    @pytest.mark.parametrize("text", ["", "- [", "{}", "[]", "library: 3", "a: &a [*a]", "\x00"])
    def test_what_is_no_such_file_is_a_fault(self, library: Library, text: str) -> None:
        """Whatever a file holds, it is refused with a message, never with a traceback."""
        assert library.check(text, "net.yaml")

    def test_the_schema_and_the_catalogue_describe_files(self, library: Library) -> None:
        """An editor completes by the first; a page lists the second."""
        schema = library.schema()
        assert schema["type"] == "object"
        assert "library" in schema["properties"]
        assert not {"$schema", "$id", "title"} & schema.keys()
        named = {f"#/definitions/{name}" for name in schema.get("definitions", ())}
        assert set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema))) <= named
        catalogue = library.catalogue()
        assert any(catalogue.values())
        for table in catalogue.values():
            for part in table.values():
                assert set(part.required) <= set(part.options)
                assert all(option.sort for option in part.options.values())

    def test_its_examples_are_sound(self, library: Library) -> None:
        """What one begins with compiles, and its first line says what it is."""
        for name, text in library.examples().items():
            assert library.check(text, f"{name}.yaml") == ()
            assert text.startswith("# "), name

    def test_a_sort_of_value_that_it_has_not_is_refused(self, library: Library) -> None:
        """An operation's code may name any: the message stands beside the attribute."""
        reader = Reader(load("Adam", "pipeline.yaml"))
        with pytest.raises(LookupError):
            library.check_value("no such sort", "Adam", (), reader)
        assert not reader.faults

    def test_the_framework_is_not_imported(self, library: Library) -> None:
        """A login node need not have it, and its import takes seconds."""
        kind = type(library)
        code = _FRESH.format(module=kind.__module__, name=kind.__name__, framework=self.framework)
        done = subprocess.run(
            (sys.executable, "-c", code),
            input=self.good,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_what_runs_at_start_up_is_python(self, library: Library) -> None:
        """Of most libraries it is empty."""
        ast.parse(library.start_up(()))
        ast.parse(library.start_up(("package.module:Name",)))
