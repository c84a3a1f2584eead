"""What is frozen with an execution: all that the jobs read, and nothing from outside the project."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.runtime.base.files import digest

if TYPE_CHECKING:
    from conftest import ProjectFolder

NET = """\
library: keras
architecture: tiny
inputs: {x: [4]}
layers:
  - out: {Dense: {units: 2, activation: softmax}}
"""


def code(project: ProjectFolder) -> dict[str, bytes]:
    """Return the bytes of the snapshot's files."""
    return {name: file.data for name, file in project.load().snapshot.files.items()}


def use(project: ProjectFolder, uses: str) -> None:
    """Make the last operation one that takes and gives anything."""
    project.edit("operations/all.py:evaluate", uses)
    project.edit("inputs: {history: train.history}", "inputs: {x: train.history}")
    project.edit("from: evaluate.score}", "from: evaluate.y}")


READ_BY = f" (read by the Python {sys.version_info[0]}.{sys.version_info[1]} that runs dfh)"
OP = "def op(x):\n    y = x\n    return y\n"


def test_operation_is_frozen_with_its_digest(project: ProjectFolder) -> None:
    files = project.load().snapshot.files

    operation = files["project/operations/all.py"]
    assert operation.data == (project.root / "operations/all.py").read_bytes()
    assert operation.sha256 == digest(operation.data)
    assert operation.size == len(operation.data)
    assert operation.source == project.root / "operations/all.py"
    assert list(files) == sorted(files)


def test_imports_inside_the_project_are_followed(project: ProjectFolder) -> None:
    project.write(
        "operations/op.py",
        "import numpy, os\nimport helper\nfrom lib import a\nfrom lib.sub.deep import f\n" + OP,
    )
    project.write(
        "operations/helper.py",
        "def late():\n    from shared.maths import mean\n    import json\n"
        "if TYPE_CHECKING:\n    import lib.unused\nelse:\n    import shared.other\n",
    )
    project.write("shared/other.py", "")
    project.write("lib/__init__.py", "from .b import *\n")
    project.write("lib/a.py", "from . import c\nfrom .sub import near\nfrom ..outside import x\n")
    project.write("lib/b.py", "")
    project.write("lib/c.py", "import lib.a\n")
    project.write("lib/sub/__init__.py", "")
    project.write("lib/sub/deep.py", "from ..c import y\nfrom . import near\n")
    project.write("lib/sub/near.py", "")
    project.write("shared/maths.py", "")
    project.write("lib/unused.py", "")
    project.write("operations/__init__.py", "not imported")
    use(project, "operations/op.py:op")

    assert sorted(code(project)) == [
        "project/lib/__init__.py",
        "project/lib/a.py",
        "project/lib/b.py",
        "project/lib/c.py",
        "project/lib/sub/__init__.py",
        "project/lib/sub/deep.py",
        "project/lib/sub/near.py",
        "project/operations/all.py",
        "project/operations/helper.py",
        "project/operations/op.py",
        "project/shared/maths.py",
        "project/shared/other.py",
    ]


def test_the_digest_of_an_operation_changes_with_what_it_imports_alone(
    project: ProjectFolder,
) -> None:
    project.write("operations/op.py", "import helper\n" + OP.replace("= x", "= helper.X"))
    project.write("operations/helper.py", "X = 1\n")
    project.write("operations/other.py", "X = 1\n")
    use(project, "operations/op.py:op")

    def digests() -> tuple[str, str]:
        operations = project.load().operations
        return operations["evaluate"].source.sha256, operations["train"].source.sha256

    before = digests()
    assert digests() == before
    project.write("operations/other.py", "X = 2\n")
    assert digests() == before
    project.write("operations/helper.py", "X = 2\n")
    after = digests()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_syntax_error_names_file_and_line_and_not_only_in_the_operation(
    project: ProjectFolder,
) -> None:
    project.write("operations/op.py", "import helper\n" + OP)
    project.write("operations/helper.py", "x = 1\nif x\n    pass\n")
    use(project, "operations/op.py:op")

    assert (
        project.one_fault() == "operations/helper.py:2:5: not valid Python: expected ':'" + READ_BY
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"def op(:\n", "not valid Python"),
        (b"x = '\x00'\n", "null bytes"),
        (b"# coding: nonsense\n", "not valid Python"),
        (b"def op(x, x): ...\n", "duplicate argument 'x'"),
        (b"def op(x): ...\nreturn 1\n", "outside function"),
        (b"x = '\xff'\n", "not valid Python"),
        (b"x = " + b"(" * 100_000, "not valid Python"),
        (b"x = " + b"-" * 100_000 + b"1", "not valid Python"),
    ],
)
def test_a_file_that_is_no_python_is_a_fault(
    project: ProjectFolder, data: bytes, words: str
) -> None:
    project.write("operations/op.py", data)
    use(project, "operations/op.py:op")

    faults = project.faults()
    assert [fault.file for fault in faults] == ["operations/op.py"]
    assert words in faults[0].message
    assert faults[0].line >= 0


@pytest.mark.parametrize(
    ("text", "origin"),
    [("from helper import *", "helper.*"), ("from helper import op", "helper.op")],
)
def test_an_imported_operation_is_not_searched_for(
    project: ProjectFolder, text: str, origin: str
) -> None:
    project.write("operations/helper.py", OP)
    project.write("operations/op.py", f"{text}\n")
    use(project, "operations/op.py:op")

    assert project.one_fault() == (
        "pipeline.yaml:13:11: operations.evaluate.uses: 'operations/op.py' has no class or function "
        f"'op' at its top (if it comes from {origin}, name the file that defines it)"
    )


def test_warnings_of_the_compiler_are_left_to_the_job(project: ProjectFolder) -> None:
    project.write("operations/op.py", "PATTERN = '\\d'\n" + OP)
    use(project, "operations/op.py:op")

    assert "project/operations/op.py" in code(project)


# -- nothing from outside


def test_a_planted_link_out_of_the_project_is_refused(
    project: ProjectFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "op.py"
    outside.write_text(OP)
    (project.root / "operations/op.py").symlink_to(outside)
    use(project, "operations/op.py:op")

    assert project.one_fault() == (
        "pipeline.yaml:13:11: operations.evaluate.uses: 'operations/op.py' leaves the project "
        f"{project.root} by a link to {outside} (copy the file into the project)"
    )


def test_an_imported_module_that_is_a_link_out_is_refused(
    project: ProjectFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "helper.py"
    outside.write_text("")
    (project.root / "operations/helper.py").symlink_to(outside)
    project.write("operations/op.py", "import helper\n" + OP)
    use(project, "operations/op.py:op")

    assert "leaves the project by a link to" in project.one_fault()


def test_a_link_inside_the_project_is_followed(project: ProjectFolder) -> None:
    project.write("shared/real.py", "X = 1\n")
    (project.root / "operations/helper.py").symlink_to("../shared/real.py")
    project.write("operations/op.py", "import helper\n" + OP)
    use(project, "operations/op.py:op")

    assert code(project)["project/operations/helper.py"] == b"X = 1\n"


def test_a_pipe_under_the_name_of_an_operation_does_not_block(project: ProjectFolder) -> None:
    os.mkfifo(project.root / "operations/op.py")
    use(project, "operations/op.py:op")

    assert project.one_fault().endswith("'operations/op.py' is not a file")


def test_the_project_reaches_up_to_its_root(project: ProjectFolder) -> None:
    project.write("dfh.yaml", "")
    project.write("shared/op.py", "import tools\n" + OP)
    project.write("tools.py", "")
    project.write(
        "sub/pipeline.yaml",
        "pipeline: sub\noperations:\n  a: {uses: ../shared/op.py:op, inputs: {x: b}}\ninputs: {b: x.json}\n",
    )
    project.write("sub/x.json", "1")
    project.root = project.root / "sub"

    loaded = project.load()

    assert loaded.operations["a"].source.module == "project/shared/op.py"
    assert loaded.operations["a"].source.search == ("project/shared", "project")
    assert "project/tools.py" in loaded.snapshot.files
    assert loaded.project == project.root.parent


# -- code: globs


def test_code_names_more_files(project: ProjectFolder) -> None:
    project.write("helpers/a.py", "1")
    project.write("helpers/deep/b.txt", "2")
    project.write("helpers/.hidden", "3")
    project.write("helpers/__pycache__/c.pyc", "4")
    project.write("it's $(odd).cfg", "5")
    project.edit("outputs:\n", "code: [helpers, '*.cfg', 'operations/*.py']\noutputs:\n")

    assert sorted(code(project)) == [
        "project/helpers/a.py",
        "project/helpers/deep/b.txt",
        "project/it's $(odd).cfg",
        "project/operations/all.py",
    ]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("**/*.cfg", ["project/helpers/a.cfg"]),
        (".config/*.cfg", ["project/.config/b.cfg"]),
        (".con*/**/*", ["project/.config/b.cfg"]),
    ],
)
def test_hidden_files_are_kept_only_when_a_pattern_names_them(
    project: ProjectFolder, pattern: str, kept: list[str]
) -> None:
    for path in ("helpers/a.cfg", ".config/b.cfg", ".git/c.cfg", "helpers/__pycache__/d.cfg"):
        project.write(path, "x")
    project.edit("outputs:\n", f"code: ['{pattern}']\noutputs:\n")

    assert [name for name in code(project) if not name.endswith(".py")] == kept


@pytest.mark.parametrize("pattern", [".", "a" * 300, "a/" * 3000, "**x", "/etc/*", "../*"])
def test_a_pattern_that_is_none_is_refused(project: ProjectFolder, pattern: str) -> None:
    project.edit("outputs:\n", f"code: ['{pattern}']\noutputs:\n")

    assert project.one_fault().startswith("pipeline.yaml:15:8: code[0]: ")


def test_the_files_that_code_names_have_one_digest(project: ProjectFolder) -> None:
    assert project.load().snapshot.named == ""
    project.write("helpers/a.txt", "1")
    project.edit("outputs:\n", "code: [helpers, operations]\noutputs:\n")
    digests = [project.load().snapshot.named]
    for path in ("helpers/a.txt", "helpers/b.txt", "operations/unused.py"):
        project.write(path, "2")
        digests.append(project.load().snapshot.named)

    assert len(set(digests)) == 4


def test_a_link_out_of_the_project_is_refused_in_code_too(project: ProjectFolder) -> None:
    (project.root / "secrets.cfg").symlink_to("/etc/passwd")
    project.edit("outputs:\n", "code: ['*.cfg']\noutputs:\n")

    assert "leaves the project" in project.one_fault()


def test_too_many_files_are_refused_with_the_largest(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepforge_hpc.pipeline.snapshot.MAX_FILES", 3)
    for number in range(5):
        project.write(f"helpers/h{number}.py", "x" * number * 1000)
    project.edit("outputs:\n", "code: [helpers]\noutputs:\n")

    told = project.one_fault()

    assert "in 6 files; the limit is 20.0 MiB in 3 files. The largest:" in told
    assert told.index("project/helpers/h4.py") < told.index("project/helpers/h3.py")


def test_too_much_code_is_refused_unread(project: ProjectFolder) -> None:
    with (project.root / "weights.bin").open("wb") as stream:
        stream.truncate(3 << 30)
    project.edit("outputs:\n", "code: ['*.bin']\noutputs:\n")

    assert "the code is 3.0 GiB in 2 files" in project.one_fault()


# -- library operations


def test_an_installed_operation_is_frozen_as_source_and_never_imported(
    project: ProjectFolder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packages = tmp_path_factory.mktemp("site-packages")
    for path, text in {
        "acme/__init__.py": "raise SystemExit('imported')\n",
        "acme/train/__init__.py": "",
        "acme/train/ops.py": "import numpy\nfrom acme import tools\nfrom other import thing\n" + OP,
        "acme/tools.py": "",
        "acme/unused.py": "",
        "other.py": OP,
    }.items():
        (packages / path).parent.mkdir(parents=True, exist_ok=True)
        (packages / path).write_text(text)
    monkeypatch.syspath_prepend(str(packages))
    use(project, "acme.train.ops:op")

    loaded = project.load()

    operation = loaded.operations["evaluate"]
    assert (operation.source.module, operation.source.search) == (
        "library/acme/train/ops.py",
        ("library",),
    )
    assert sorted(name for name in loaded.snapshot.files if name.startswith("library/")) == [
        "library/acme/__init__.py",
        "library/acme/tools.py",
        "library/acme/train/ops.py",
    ]
    assert "acme" not in sys.modules


def test_a_single_module_can_be_a_library(
    project: ProjectFolder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packages = tmp_path_factory.mktemp("site-packages")
    (packages / "solo_op.py").write_text(OP)
    monkeypatch.syspath_prepend(str(packages))
    use(project, "solo_op:op")

    assert "library/solo_op.py" in code(project)


# -- references


def test_a_reference_is_compiled_once_and_frozen(project: ProjectFolder) -> None:
    project.write("architectures/tiny.yaml", NET)
    project.edit(
        "attributes: {epochs: 3}",
        "attributes: {epochs: 3}\n    references: {model: architectures/tiny.yaml}",
    )

    loaded = project.load()

    (reference,) = loaded.operations["train"].references
    assert (reference.name, reference.library, reference.source) == (
        "model",
        "keras",
        "architectures/tiny.yaml",
    )
    file = loaded.snapshot.files[reference.module]
    assert reference.module == "compiled/architectures/tiny.py"
    assert file.sha256 == reference.sha256
    assert b"def build()" in file.data
    source = loaded.snapshot.files["project/architectures/tiny.yaml"]
    assert source.data == (project.root / "architectures/tiny.yaml").read_bytes()
    assert "model" not in loaded.operations["train"].defaults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("library: [x]\n", "architectures/tiny.yaml:1:10: a list is no library"),
        ("library: karas\n", "architectures/tiny.yaml:1:10: libraries: no 'karas'"),
        ("- 1\n", "architectures/tiny.yaml:1:1: "),
        ("a: [\n", "architectures/tiny.yaml:2:1: not valid YAML"),
        ("library: keras\nlayers: 3\n", "architectures/tiny.yaml:2:"),
    ],
)
def test_a_wrong_resource_file_is_told_at_its_line(
    project: ProjectFolder, text: str, words: str
) -> None:
    project.write("architectures/tiny.yaml", text)
    project.edit(
        "attributes: {epochs: 3}",
        "attributes: {epochs: 3}\n    references: {model: architectures/tiny.yaml}",
    )

    assert any(words in str(fault) for fault in project.faults())


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Install a library of another package: one that works, one that does not."""
    packages = tmp_path_factory.mktemp("site-packages")
    (packages / "acme_models.py").write_text(
        "from deepforge_hpc.plugins.library import Compiled, Library\n"
        "class Good:\n    start_up = Library.start_up\n    def compile(self, text, source, files):\n        return Compiled(f'# {source}\\n')\n"
        "class Bad:\n    def compile(self, text, source, files):\n        return {}[source]\n"
    )
    info = packages / "acme_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[deepforge_hpc.libraries]\nacme = acme_models:Good\nbad = acme_models:Bad\n"
    )
    monkeypatch.syspath_prepend(str(packages))


@pytest.mark.usefixtures("acme")
def test_a_library_of_an_installed_package_compiles_its_resources(project: ProjectFolder) -> None:
    project.write("net.yaml", "library: acme\n")
    project.edit(
        "attributes: {epochs: 3}", "attributes: {epochs: 3}\n    references: {model: net.yaml}"
    )

    assert code(project)["compiled/net.py"] == b"# net.yaml\n"


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("library: bad\n", "1:10: the library 'bad' failed: KeyError: 'net.yaml' (report it to those who maintain the library)"),
        ("dfh: 1\nlibrary: kears\n", "2:10: libraries: no 'kears' (Did you mean 'keras'?)"),
        ("library: [1]\n", "1:10: a list is no library"),
        ("# empty\n", "1:1: expected a mapping (it begins with library: NAME)"),
    ],
)  # fmt: skip
def test_a_library_that_fails_or_is_not_there_is_told(
    project: ProjectFolder, text: str, told: str
) -> None:
    project.write("net.yaml", text)
    project.edit(
        "attributes: {epochs: 3}", "attributes: {epochs: 3}\n    references: {model: net.yaml}"
    )

    assert project.one_fault() == f"net.yaml:{told}"


def test_two_resource_files_cannot_become_one_module(project: ProjectFolder) -> None:
    project.write("architectures/tiny.yaml", NET)
    project.write("architectures/tiny.yml", NET)
    project.write("operations/two.py", "def op(x, a, b):\n    y = x\n    return y\n")
    use(project, "operations/two.py:op")
    project.edit(
        "inputs: {x: train.history}",
        "inputs: {x: train.history}\n    references: {a: architectures/tiny.yaml, b: architectures/tiny.yml}",
    )

    assert "another resource file has the name 'architectures/tiny'" in project.one_fault()


# -- formats of third parties


def test_a_format_of_an_installed_package_is_frozen_with_its_source(
    project: ProjectFolder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packages = tmp_path_factory.mktemp("site-packages")
    (packages / "acme_formats.py").write_text(
        "from deepforge_hpc.runtime.formats import Format\n"
        "class Fits(Format):\n    id = 'fits'\n    suffix = '.fits'\n"
    )
    info = packages / "acme_formats-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-formats\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepforge_hpc.formats]\nfits = acme_formats:Fits\n")
    monkeypatch.syspath_prepend(str(packages))
    project.write("operations/op.py", "def op(x) -> 'fits':\n    y = x\n    return y\n")
    use(project, "operations/op.py:op")
    assert "plugins.json" in code(project)
    project.edit(
        "inputs: {x: train.history}", "inputs: {x: train.history}\n    map: {over: x, shards: 2}"
    )

    assert "output 'y' is fits, which cannot be gathered" in project.one_fault()
    project.edit("\n    map: {over: x, shards: 2}", "")
    files = code(project)
    assert files["plugins.json"] == b'{"formats":{"fits":"acme_formats:Fits"}}\n'
    assert "library/acme_formats.py" in files
