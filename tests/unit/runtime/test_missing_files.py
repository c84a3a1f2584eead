"""A file that the project has and the job was not given is named, whatever words say it."""

from __future__ import annotations

from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.runtime.rank.explain import describe

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execution

TOLD = "data/x.csv is in the project, and a job sees what it is given: "


def put(execution: Execution, path: str = "data/x.csv") -> None:
    file = execution.project / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("1")


@pytest.mark.parametrize(
    "body",
    [
        "open('data/x.csv')",
        "open(Path('data/x.csv').resolve())",
        "open(Path(__file__).parent.parent / 'data/x.csv')",
        "open(Path(__file__).resolve().parents[1] / 'data/x.csv')",
        "raise_from(lambda: open('data/x.csv'))",
        "__import__('numpy').loadtxt('data/x.csv')",
        "__import__('subprocess').run(['data/x.csv'], check=True)",
        "__import__('subprocess').run(['cat', 'data/x.csv'], check=True)",
        "__import__('subprocess').run('cat < data/x.csv', shell=True, check=True)",
        "__import__('subprocess').check_output(['cp', '-t', '.', '--', Path('data/x.csv')])",
        "__import__('ctypes').CDLL('data/x.csv')",
    ],
)
def test_a_file_that_was_not_declared_is_named(execution: Execution, body: str) -> None:
    put(execution)
    code = f"""
        from pathlib import Path

        def raise_from(read):
            try:
                read()
            except OSError as error:
                raise RuntimeError("no configuration") from error

        def operation(): {body}
        """
    execution.operation("job", code)
    assert execution.run("job").returncode == 1
    hint = execution.state("job")["hint"]
    assert hint.startswith(TOLD)
    assert "`inputs:`" in hint
    assert "`code:`" in hint
    assert hint.count("dfh submit pipeline.yaml") == 1


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(
            2,
            "Unable to synchronously open file (unable to open file: name = 'data/x.csv', errno = 2,"
            " error message = 'No such file or directory', flags = 0, o_flags = 0)",
        ),
        FileNotFoundError("data/x.csv"),  # pandas' parquet
        FileNotFoundError("File data/x.csv does not exist"),  # pandas' HDF5
        FileNotFoundError("No such file or directory: data/x.csv"),  # safetensors
        ValueError("File not found: filepath=data/x.csv. Please ensure the file is accessible"),
        RuntimeError("{{node_/job:localhost/task:0}} data/x.csv; No such file or directory [Op]"),
        FileNotFoundError(2, "No such file or directory", b"data/x.csv"),
        FileNotFoundError(2, "No such file or directory", "/e/code/project/data/x.csv"),
    ],
)
def test_the_words_of_many_libraries_name_the_file(error: Exception) -> None:
    assert "data/x.csv" in describe(error, rank=0, code="/e/code").missing


def test_a_module_in_a_folder_that_the_code_adds_is_named(execution: Execution) -> None:
    put(execution, "lib/helpers.py")
    code = """
        import sys
        from pathlib import Path

        sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

        def operation(): import helpers
        """
    execution.operation("job", code)
    assert execution.run("job").returncode == 1
    hint = execution.state("job")["hint"]
    assert hint.startswith("lib/helpers.py is in the project, and a job sees what it is given: ")
    assert "name it under `code:`, then: dfh submit pipeline.yaml" in hint
    assert "installed" not in hint


def test_what_misses_no_file_names_none() -> None:
    for error in (
        ValueError("data/x.csv is odd"),
        PermissionError(13, "denied", "data/x.csv"),
        CalledProcessError(1, [__file__]),
    ):
        assert describe(error, rank=0, code="/e/code").missing == ()


@pytest.mark.parametrize("place", ["operations", "pipelines"])
def test_a_file_beside_the_code_or_the_pipeline_is_named(execution: Execution, place: str) -> None:
    put(execution, f"{place}/x.csv")
    execution.operation("job", "def operation(): open('x.csv')")
    execution.freeze()
    file = execution.layout.execution
    file.write_text(file.read_text().replace('"pipeline.yaml"', '"pipelines/pipeline.yaml"'))
    assert execution.run("job").returncode == 1
    assert execution.state("job")["hint"].startswith(f"{place}/x.csv is in the project")


def test_a_file_that_the_project_does_not_have_is_not_blamed_on_it(execution: Execution) -> None:
    put(execution)
    execution.operation("job", "def operation(): open('data/y.csv')")
    assert execution.run("job").returncode == 1
    assert "in the project" not in execution.state("job")["hint"]


@pytest.mark.parametrize(
    "words",
    [
        ("python3", "data/x.csv"),
        ("bash", "-c", "cat <data/x.csv"),
        ("data/x.csv",),
    ],
)
def test_a_program_is_told_how_it_gets_a_file_of_the_project(
    execution: Execution, words: tuple[str, ...]
) -> None:
    put(execution)
    execution.operation("job", "", command=words, outputs={})
    assert execution.run("job").returncode == 1
    hint = execution.state("job")["hint"]
    assert f'{TOLD}write "{{code}}/data/x.csv" in the command' in hint


def test_what_a_program_makes_itself_is_not_taken_for_a_file_of_the_project(
    execution: Execution,
) -> None:
    put(execution, "made.csv")
    execution.operation("job", "", command=("bash", "-c", "touch made.csv; exit 3"), outputs={})
    assert execution.run("job").returncode == 1
    assert "in the project" not in execution.state("job")["hint"]


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text", "mode", "why", "way"),
    [
        ("", "", 0, "it is on no folder of the job's PATH", "`environment:`"),
        ("./no", "", 0, "there is no such file, looked for from the job's folder", "the path"),
        ("/no/such", "", 0, "there is no such file", "the path"),
        ("tool", "#!/no/such/bash\n", 0o755, "its first line names /no/such/bash", "that line"),
        ("tool", "#!/bin/sh\r\n", 0o755, "its first line ends as on Windows", "sed -i"),
        ("tool", "#!/bin/sh\n", 0o644, "it is not executable", "chmod +x"),
        ("tool", "echo\n", 0o755, "it is no program of this machine", "its interpreter before it"),
        ("/tmp", "", 0, "it is a folder", "the program in it"),
    ],
)
def test_a_program_that_cannot_be_started_needs_an_edit(
    execution: Execution, name: str, text: str, mode: int, why: str, way: str
) -> None:
    program = name or "no-such-program"
    if text:
        program = script(execution.project / name, text, mode)
    execution.operation("job", "", command=(program,), outputs={})
    assert execution.run("job").returncode == 1
    state = execution.state("job")
    assert state["reason"].startswith(f"{program} cannot be started on ")
    assert f": {why}" in state["reason"]
    assert way in state["hint"]
    assert state["hint"].endswith("Then submit again.")
    assert state["again"] is False


def test_a_program_of_path_that_lacks_its_interpreter_is_named(execution: Execution) -> None:
    script(execution.project / "tool", "#!/no/such/bash\n")
    execution.operation("job", "", command=("tool",), outputs={})
    assert execution.run("job", PATH=f"{execution.project}:/usr/bin:/bin").returncode == 1
    assert "its first line names /no/such/bash" in execution.state("job")["reason"]
