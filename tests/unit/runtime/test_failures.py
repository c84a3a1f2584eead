"""Every way in which a job can fail says so: a state, a sentence, a record, and no half output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.advice import MEMORY, PACKAGE
from deepforge_hpc.runtime.rank.explain import describe
from deepforge_hpc.runtime.storage.local import LocalStorage

if TYPE_CHECKING:
    from conftest import Execution


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'horovod'"),
        ImportError("Extension horovod.tensorflow has not been built: /x/mpi_lib.so not found"),
        OSError("/x/horovod/tensorflow/mpi_lib.cpython-311.so: undefined symbol: _ZN10tensorflow"),
        ImportError("libmpi.so.40: cannot open shared object file: No such file or directory"),
    ],
)
def test_horovod_that_is_missing_or_of_another_version_comes_with_how_to_build_it(
    error: Exception,
) -> None:
    assert "pip install --no-cache-dir" in describe(error, rank=0, code="").hint
    assert "Horovod" not in describe(ImportError("No module named 'x'"), rank=0, code="").hint


@pytest.mark.parametrize(
    ("code", "lacks"),
    [
        ("import not_installed_here.at_all", PACKAGE),
        ("import json.nothing", ""),
        ("raise MemoryError", MEMORY),
        ("raise ValueError", ""),
    ],
)
def test_what_a_job_lacks_is_no_fault_of_its_code(code: str, lacks: str) -> None:
    with pytest.raises((ImportError, MemoryError, ValueError)) as caught:
        exec(code)
    told = describe(caught.value, rank=0, code="/executions/small-0001/code")
    assert (told.lacks, told.is_retryable) == (lacks, False)
    assert ("Install not_installed_here for " in told.hint) == (lacks == PACKAGE)


def test_keras_without_its_backend_is_told_which_one_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jax.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    for file, is_told in (("/lib/keras/src/backend/__init__.py", True), ("/lib/mine.py", False)):
        with pytest.raises(ModuleNotFoundError) as caught:
            exec(compile("import torch", file, "exec"), {})
        hint = describe(caught.value, rank=0, code="").hint
        assert ("`env: {KERAS_BACKEND: jax}`" in hint) is is_told


def fail(execution: Execution, job: str = "job", code: int = 1, **variables: str) -> dict[str, Any]:
    """Run a job that must fail; return its state after what holds for every failure."""
    done = execution.run(job, **variables)
    assert done.returncode == code, done.stderr
    state = execution.state(job)
    assert state["state"] == {75: "interrupted", 86: "upstream_failed"}.get(code, "failed")
    assert state["exit_code"] == code
    assert state["reason"].endswith(".")
    assert not state["reason"].endswith("..")
    assert "\n" not in state["reason"]
    assert state["reason"] in done.stderr
    assert not execution.folder(job).success.exists()
    assert not execution.folder(job).outputs.exists()
    assert execution.leftovers() == []
    if code != 87:
        records = [item for item in execution.records() if item["job"] == job]
        record = max(records, key=lambda item: item["time"]["end"])
        assert record["status"] == state["state"]
        assert record["reason"] == state["reason"]
        assert record["outputs"] == []
    return state


def test_an_exception_is_shown_with_the_users_code_first(execution: Execution) -> None:
    execution.code("project/helper.py", "def divide(a, b):\n    return a / b\n")
    execution.operation(
        "job",
        """\
        from helper import divide

        def operation():
            return divide(1, 0)
        """,
    )
    state = fail(execution)
    assert (
        state["reason"] == "The operation raised ZeroDivisionError: division by zero (helper.py:2)."
    )
    assert state["hint"].startswith("Edit it, then: dfh submit pipeline.yaml --site local (")
    assert state["again"] is False
    assert "resume" not in state["hint"]
    error = state["error"]
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "division by zero")
    assert (error["file"], error["line"], error["rank"]) == ("helper.py", 2, 0)
    assert error["traceback"][0] == "Traceback (most recent call last):"
    assert error["traceback"][1] == '  File "operations/job.py", line 4, in operation'
    assert "return divide(1, 0)" in error["traceback"][2]
    assert error["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert not any("dfh_runtime" in line for line in error["traceback"])


def test_a_chained_exception_keeps_its_cause(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        def operation():
            try:
                {}["x"]
            except KeyError as error:
                raise ValueError("\\x1b[1mbad\\x1b[0m\\nflux \\udcff") from error
        """,
    )
    state = fail(execution)
    text = "\n".join(state["error"]["traceback"])
    assert "KeyError: 'x'" in text
    assert "direct cause" in text
    assert state["reason"].startswith("The operation raised ValueError: bad flux")
    assert "\x1b" not in state["reason"]


def test_a_syntax_error_names_file_and_line(execution: Execution) -> None:
    execution.operation("job", "def operation():\n    return 1 +\n")
    state = fail(execution)
    assert (state["error"]["file"], state["error"]["line"]) == ("operations/job.py", 2)


def test_a_missing_module_points_at_the_environment(execution: Execution) -> None:
    execution.operation("job", "import no_such_module\ndef operation(): return 1")
    state = fail(execution)
    assert "No module named 'no_such_module'" in state["reason"]
    assert "environment" in state["hint"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import sys; sys.exit(0)", "The operation called sys.exit(0) before it returned"),
        ("import sys; sys.exit('bad')", "The operation called sys.exit('bad') before"),
        ("import os; os._exit(0)", "ended the process (os._exit) before it returned"),
        ("import os; os._exit(3)", "The operation ended the process with exit code 3"),
        ("import os; os._exit(137)", "The operation ended the process with exit code 137"),
        ("import os; os._exit(255)", "The operation ended the process with exit code 255"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "killed from outside (SIGKILL): probably it ran out",
        ),
        ("import os; os.kill(os.getpid(), 11)", "The operation crashed (SIGSEGV)"),
        ("raise MemoryError", "The operation ran out of memory"),
        ("raise KeyError", "The operation raised KeyError (operations/job.py:2)."),
        ("raise BaseException('odd')", "The operation raised BaseException: odd"),
        (
            "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
            "raised Odd: (its message cannot be shown: ZeroDivisionError) (operations/job.py:2).",
        ),
    ],
)
def test_an_operation_that_ends_in_an_odd_way(
    execution: Execution, body: str, expected: str
) -> None:
    execution.operation("job", f"def operation():\n    {body}\n")
    assert expected in fail(execution)["reason"]


def test_what_was_killed_goes_on_from_its_checkpoint(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import os
        from pathlib import Path

        def operation():
            Path(os.environ["DFH_CHECKPOINT_DIR"], "epoch-1").touch()
            os.kill(os.getpid(), 9)
        """,
    )
    state = fail(execution)
    assert state["again"] is True
    assert state["hint"].startswith("dfh resume demo-0001 goes on from its checkpoint. If")


@pytest.mark.parametrize(
    ("value", "returns", "names", "expected"),
    [
        ("1, 2", "tuple", "a b c", "operation returned 2 values, and its outputs are a, b, c."),
        ("7", "tuple", "a b", "operation returned int, and its outputs are a, b."),
        ("None", "tuple", "a b", "operation returned nothing, and its outputs are a, b."),
        ("{'a': 1, 'c': 2}", "dict", "a b", "operation returned a, c, and its outputs are a, b."),
        ("[]", "dict", "a", "operation returned list, and its outputs are a."),
    ],
)
def test_outputs_that_are_not_those_of_the_plan(
    execution: Execution, value: str, returns: str, names: str, expected: str
) -> None:
    outputs = dict.fromkeys(names.split(), "json")
    execution.operation("job", f"def operation(): return {value}", outputs=outputs, returns=returns)
    assert fail(execution)["reason"] == expected


KERAS = find_spec("keras")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("{1: 2}", "json", "has the key 1: keys of a JSON object are strings"),
        ("{'x': object()}", "json", "value['x'] is a object, which JSON cannot hold"),
        (
            "(lambda a: a.append(a) or a)([])",
            "json",
            "contains itself, or is nested too deep for JSON",
        ),
        ("3", "text", "format text expects a str, and got a int"),
        ("'\\udcff'", "text", "surrogates not allowed"),
        ("'no/such/file'", "file", "no/such/file is not a file"),
        ("lambda: 0", "pickle", "pickle cannot keep it"),
        ("{1, 2}", "any", "no format fits by itself: value is a set"),
        ("[1]", "keras", "format keras expects a keras.Model" if KERAS else "needs keras"),
        ("5", "telepathy", "telepathy"),
    ],
)
def test_a_value_that_no_file_can_hold(
    execution: Execution, value: str, kind: str, expected: str
) -> None:
    execution.operation("job", f"def operation(): return {value}", outputs={"stats": kind})
    state = fail(execution)
    assert state["reason"].startswith("Output stats cannot be saved: ")
    assert expected in state["reason"]
    assert ("nor does pickle" if kind == "pickle" else "types:") in state["hint"]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        ("os.symlink('/etc/passwd', path)", "a link"),
        ("os.symlink('/etc', path)", "a link"),
        ("os.mkfifo(path)", "neither a file nor a folder"),
        ("socket.socket(socket.AF_UNIX).bind(path)", "neither a file nor a folder"),
    ],
)
@pytest.mark.timeout(60)
def test_an_output_folder_holds_its_own_files_only(
    execution: Execution, make: str, what: str
) -> None:
    execution.operation(
        "job",
        f"""
        import os, socket
        from pathlib import Path

        def operation():
            path = "out/below/x"
            os.makedirs("out/below")
            {make}
            return Path("out")
        """,
        outputs={"result": "directory"},
    )
    reason = fail(execution)["reason"]
    assert reason.startswith("Output result cannot be saved: ")
    assert f"out/below/x is {what}, and a folder of data holds its own files only." in reason


def test_an_upstream_job_without_a_marker(execution: Execution) -> None:
    execution.operation("first", "def operation(): return 1")
    execution.operation("job", "def operation(x): return x", inputs={"x": "first.result"})
    state = fail(execution, code=86)
    assert state["reason"] == "job needs first, which has no success marker."
    assert state["hint"] == "See why, and what is next: dfh status demo-0001"


def test_an_upstream_marker_that_is_damaged_or_of_another_plan(execution: Execution) -> None:
    execution.operation("first", "def operation(): return 1")
    execution.operation("job", "def operation(x): return x", inputs={"x": "first.result"})
    execution.run_all("first")
    marker = execution.folder("first").success
    good = marker.read_text()
    marker.write_text(good[:40])
    assert "damaged success marker" in fail(execution, code=86)["reason"]
    data = json.loads(good)
    marker.write_text(json.dumps({**data, "plan_key": "sha256:0"}))
    assert "of another plan" in fail(execution, code=86)["reason"]
    marker.write_text(good)
    assert execution.run("job").returncode == 0


@pytest.mark.parametrize("said", ["text", "file", "directory", "any", "word", "pickle"])
@pytest.mark.parametrize("planned", ["any", "json"])
def test_a_marker_does_not_say_in_which_format_an_input_is_read(
    execution: Execution, planned: str, said: str
) -> None:
    execution.operation("first", "def operation(): return 12", outputs={"result": planned})
    execution.operation("job", "def operation(x): return x", inputs={"x": "first.result"})
    execution.run_all("first")
    marker, told = execution.folder("first").success, f'"format":"{said}"'
    marker.write_text(marker.read_text().replace('"format":"json"', told))
    reason = f"the success marker of first says that it is {said}, and its record says another"
    assert reason in fail(execution)["reason"]
    for record in execution.ledger.glob("loose/*/*/*.json"):
        record.chmod(0o644)
        record.write_text(record.read_text().replace('"format":"json"', told))
    assert execution.run("job").returncode == 1  # an edited record is no witness
    reason = execution.state("job")["reason"]
    assert f"the success marker of first says that it is {said}, and " in reason
    marker.write_text(marker.read_text().replace(told, '"format":"json"'))
    assert execution.run("job").returncode == 0  # as its file is named, and as the plan says


def test_an_input_that_was_edited_or_lost(execution: Execution) -> None:
    execution.operation("first", "def operation(): return 1")
    execution.operation("job", "def operation(x): return x", inputs={"x": "first.result"})
    execution.run_all("first")
    path = execution.output("first")
    path.write_text("2\n")
    state = fail(execution)
    assert "jobs/first/outputs/result.json, made by first, is damaged" in state["reason"]
    assert "dfh resume demo-0001" in state["hint"]
    path.write_text("22222\n")
    assert "it has 6 bytes, and 2 were made" in fail(execution)["reason"]
    path.unlink()
    assert "is missing" in fail(execution)["reason"]


def test_an_external_input_that_changed_or_vanished(execution: Execution) -> None:
    data = execution.project / "data.txt"
    data.write_text("hello")
    execution.external("words", data, "file")
    execution.operation("job", "def operation(words): return 1", inputs={"words": "words"})
    execution.freeze()
    data.write_text("hello, world")
    state = fail(execution)
    assert (
        "The input words (declared at pipeline.yaml:4) changed since the submission"
        in (state["reason"])
    )
    assert "its size was 5 and is 12" in state["reason"]
    data.unlink()
    assert "is missing" in fail(execution)["reason"]


def test_a_file_of_a_folder_that_an_older_one_replaced(execution: Execution) -> None:
    data = execution.project / "data"
    data.mkdir()
    (data / "a").write_text("1")
    os.utime(data / "a", (5, 5))
    execution.external("folder", data, "directory")
    place, name = LocalStorage.at(data)
    execution.inputs[-1] = execution.inputs[-1]._replace(listing=place.listing(name))
    for job in ("before", "job"):
        execution.operation(job, "def operation(folder): return 1", inputs={"folder": "folder"})
    execution.freeze()
    assert execution.run("before").returncode == 0
    (data / "a").write_text("2")
    os.utime(data / "a", (1, 1))
    assert "changed since the submission: a file of it did" in fail(execution)["reason"]


def test_a_folder_of_data_with_a_link_in_it(execution: Execution) -> None:
    data = execution.project / "data"
    data.mkdir()
    (data / "a").symlink_to("/etc/hostname")
    execution.external("folder", data, "directory")
    execution.operation(
        "make",
        """
        import os
        from pathlib import Path
        def operation():
            folder = Path(os.environ["DFH_SCRATCH"], "made")
            folder.mkdir()
            (folder / "a").write_text("x")
            return folder
        """,
        outputs={"result": "directory"},
    )
    execution.operation("job", "def operation(x): return 1", inputs={"x": "folder"})
    execution.operation("later", "def operation(x): return 1", inputs={"x": "make.result"})
    state = fail(execution)
    assert f"{data}/a is a link, and a folder of data holds its own files only" in state["reason"]
    assert state["reason"].startswith("The input folder (declared at pipeline.yaml:4) cannot")
    assert state["hint"] == "Mend it, then: dfh submit pipeline.yaml --site local"
    execution.run_all("make")
    made = execution.output("make") / "a"
    made.unlink()
    made.symlink_to("b")  # as long as what was made
    state = fail(execution, "later")
    assert (
        f"jobs/make/outputs/result, made by make, is damaged: {made} is a link" in state["reason"]
    )


def test_a_name_in_bytes_in_a_folder_that_was_returned_is_told_escaped(
    execution: Execution,
) -> None:
    execution.operation(
        "job",
        """
        import os
        from pathlib import Path
        def operation():
            folder = Path(os.environ["DFH_SCRATCH"], "made")
            folder.mkdir()
            (folder / os.fsdecode(b"caf\\xe9")).write_text("x")
            return folder
        """,
        outputs={"result": "directory"},
    )
    reason = fail(execution)["reason"]
    assert r"caf\xe9 is named in bytes that are not UTF-8" in reason


def test_an_external_input_is_known_by_its_digest_where_there_is_one(execution: Execution) -> None:
    data = execution.project / "data.txt"
    data.write_text("hello")
    execution.external("words", data, "file", known=True)
    execution.operation("job", "def operation(words): return 1", inputs={"words": "words"})
    execution.freeze()
    old = data.stat()
    data.write_text("HELLO")
    os.utime(data, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert "its content is another" in fail(execution)["reason"]
    data.write_text("hello")
    assert execution.run("job").returncode == 0


def test_an_external_input_of_the_wrong_format(execution: Execution) -> None:
    data = execution.project / "data.json"
    data.write_text("{")
    execution.external("words", data, "json")
    execution.operation("job", "def operation(words): return 1", inputs={"words": "words"})
    state = fail(execution)
    assert state["reason"].startswith(f"Input words ({data}) cannot be read as json")


def test_an_external_input_that_is_a_folder_where_a_file_is_wanted(execution: Execution) -> None:
    data = execution.project / "data.json"
    data.mkdir()
    execution.external("words", data, "json")
    execution.operation("job", "def operation(words): return 1", inputs={"words": "words"})
    expected = f"Input words ({data}) cannot be read as json: Is a directory."
    assert fail(execution)["reason"] == expected


def test_edited_added_and_missing_code_is_named(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    file = execution.layout.code / "project/operations/job.py"
    good = file.read_text()
    file.write_text("def operation(): return 2")
    assert "code/project/operations/job.py (edited)" in fail(execution, code=87)["reason"]
    file.unlink()
    assert "code/project/operations/job.py (missing)" in fail(execution, code=87)["reason"]
    file.write_text(good)
    planted = execution.layout.code / "project/operations/numpy.py"
    planted.write_text("")
    assert "code/project/operations/numpy.py (added)" in fail(execution, code=87)["reason"]
    planted.unlink()
    shadow = execution.layout.code / "numpy"
    shadow.symlink_to(execution.project)
    assert "code/numpy (added)" in fail(execution, code=87)["reason"]
    shadow.unlink()
    manifest = execution.layout.manifest
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert "MANIFEST.json is not what was submitted" in fail(execution, code=87)["reason"]


def test_an_edited_plan_is_refused_before_it_is_believed(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    execution.layout.plan.write_bytes(execution.layout.plan.read_bytes().replace(b"demo", b"dem0"))
    done = execution.run("job")
    assert done.returncode == 87
    assert "plan.json is not what was submitted" in done.stderr


def test_a_folder_that_is_no_execution(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    done = execution.run("nobody")
    assert (done.returncode, "with a job nobody" in done.stderr) == (87, True)
    execution.layout.execution.unlink()
    done = execution.run("job")
    assert (done.returncode, "is not a readable execution" in done.stderr) == (87, True)


def test_a_task_number_that_the_job_does_not_have(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.operation("many", "def operation(): return 1", tasks=2)
    for job, task in (("job", 0), ("many", None), ("many", 2)):
        assert execution.run(job, task).returncode == 87


def test_an_output_that_changes_after_it_was_returned(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import atexit, os, pathlib

        def operation():
            def spoil():
                for path in pathlib.Path(os.environ["DFH_WORK"], "outputs").iterdir():
                    path.write_text("{")
            atexit.register(spoil)
            return {"a": 1}
        """,
    )
    assert "Output result is not whole" in fail(execution)["reason"]


def test_a_report_or_figures_that_fail_never_fail_a_job(execution: Execution) -> None:
    execution.code("dfh_runtime/report/refresh.py", "raise RuntimeError('broken report')")
    execution.code("dfh_runtime/figures/hook.py", "raise RuntimeError('broken figures')")
    execution.operation("job", "def operation(): return 1")
    done = execution.run("job")
    assert done.returncode == 0
    assert "broken report" in done.stderr
    assert "broken figures" in done.stderr


def test_a_ledger_that_cannot_be_written_withholds_success(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    (execution.ledger / "loose").write_text("in the way")
    done = execution.run("job")
    assert done.returncode == 89
    assert "The record could not be written" in done.stderr
    assert execution.state("job")["state"] == "failed"
    assert not execution.folder("job").success.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_an_operation_that_fills_the_disk(execution: Execution, small_disk: Path) -> None:
    jobs = small_disk / "jobs"
    jobs.mkdir()
    execution.layout.jobs.symlink_to(jobs)
    execution.operation(
        "job",
        "def operation():\n    open('big', 'wb').write(bytes(1 << 22))\n    return 1",
    )
    state = fail(execution)
    assert "No space left on device" in state["reason"]
    assert state["error"]["file"] == "operations/job.py"
    assert "Free some space" in state["hint"]
    assert state["again"] is True


def test_a_disk_that_is_full_when_the_output_is_saved(
    execution: Execution, small_disk: Path
) -> None:
    jobs = small_disk / "jobs"
    jobs.mkdir()
    execution.layout.jobs.symlink_to(jobs)
    execution.operation(
        "job", "def operation(): return 'x' * (1 << 22)", outputs={"result": "text"}
    )
    state = fail(execution)
    assert state["reason"].startswith("Output result cannot be saved: No space left on device")
    assert "Free some space" in state["hint"]
    assert state["again"] is True


def test_a_log_on_the_full_disk_does_not_hide_the_reason(
    execution: Execution, small_disk: Path
) -> None:
    jobs = small_disk / "jobs"
    jobs.mkdir()
    execution.layout.jobs.symlink_to(jobs)
    execution.operation(
        "job",
        "def operation():\n    return open('big', 'wb', 0).write(bytes(1 << 22)) and 'x' * (1 << 22)",
        outputs={"result": "text"},
    )
    execution.freeze()
    with (small_disk / "out.1.log").open("ab") as log:
        done = subprocess.run(
            execution.argv("job"),
            cwd=execution.root,
            env=execution.environ(),
            stdout=log,
            stderr=log,
            check=False,
        )
    assert done.returncode == 1
    state = execution.state("job")
    assert state["reason"].startswith("Output result cannot be saved: No space left on device")
    assert "Free some space" in state["hint"]
    assert state["again"] is True
    assert [record["reason"] for record in execution.records()] == [state["reason"]]
    assert state["reason"] in (small_disk / "out.1.log").read_text()
    assert execution.leftovers() == []


def test_a_destination_that_is_full_when_the_output_is_published(
    execution: Execution, small_disk: Path
) -> None:
    execution.operation(
        "job", "def operation(): return 'x' * (1 << 21)", outputs={"result": "text"}
    )
    execution.declare("text", "job.result", small_disk / "sub" / "text.txt")
    done = execution.run("job")
    assert done.returncode == 89, done.stderr
    state = execution.state("job")
    assert state["state"] == "failed"
    assert "The outputs could not be published: No space left on device" in state["reason"]
    assert not execution.folder("job").success.exists()
    assert list((small_disk / "sub").iterdir()) == []
    assert execution.leftovers() == []
    assert [record["status"] for record in execution.records()] == ["failed"]


def test_what_was_made_is_kept_on_a_disk_that_its_own_working_folder_fills(
    execution: Execution, small_disk: Path
) -> None:
    jobs = small_disk / "jobs"
    jobs.mkdir()
    execution.layout.jobs.symlink_to(jobs)
    execution.operation(
        "job",
        """\
        import atexit, os

        def fill():
            handle = os.open("big", os.O_CREAT | os.O_WRONLY)
            while os.write(handle, bytes(4096)):
                pass

        def operation():
            atexit.register(fill)
            return "x" * (1 << 18)
        """,
        outputs={"result": "text"},
    )
    execution.declare("text", "job.result", small_disk / "text.txt")
    assert execution.run("job").returncode == 89
    state = execution.state("job")
    assert "The outputs could not be published: No space left on device" in state["reason"]
    assert "which publishes what was made." in state["hint"]
    assert (execution.folder("job").rescue / "outputs" / "result.txt").stat().st_size == 1 << 18


def test_a_read_only_execution_says_so(execution: Execution, tmp_path: Path) -> None:
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    script = (
        f"mount --bind {execution.project} {execution.project} && "
        f'mount -o remount,ro,bind {execution.project} && exec "$@"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *execution.argv("job")],
        cwd=execution.project,
        env=execution.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("a read-only mount needs root")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_an_earlier_attempt_is_not_in_the_way(execution: Execution) -> None:
    execution.operation("job", "def operation(): return 1")
    folder = execution.folder("job")
    folder.work(1).mkdir(parents=True)
    (folder.work(1) / "outputs").mkdir()
    folder.outputs.mkdir()
    (folder.outputs / "result.json").mkdir()
    execution.run_all("job")
    assert execution.value("job") == 1
    assert execution.leftovers() == []


def test_what_an_operation_leaves_running_ends_with_it(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import subprocess

        def operation():
            return subprocess.Popen(["sleep", "300"]).pid
        """,
    )
    execution.run_all("job")
    status = Path(f"/proc/{execution.value('job')}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_python_is_the_one_of_the_job(execution: Execution) -> None:
    execution.operation("job", "import sys\ndef operation(): return sys.executable")
    execution.run_all("job")
    assert execution.value("job") == sys.executable


def test_an_input_of_objects_is_refused_in_one_sentence(
    execution: Execution, tmp_path: Path
) -> None:
    numpy = pytest.importorskip("numpy")
    data = tmp_path / "objects.npy"
    numpy.save(data, numpy.array([{}], dtype=object), allow_pickle=True)
    execution.external("objects", data, "npy")
    execution.operation("job", "def operation(x): return 1", inputs={"x": "objects"})
    state = fail(execution)
    assert state["reason"].startswith(f"Input x ({data}) cannot be read as npy: ")


def test_too_many_open_files_say_how_many_may_be(execution: Execution) -> None:
    execution.operation(
        "job",
        """
        import resource

        def operation():
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
            held = [open("/dev/null") for _ in range(50)]
        """,
    )
    assert execution.run("job").returncode == 1
    assert "may have 40 files open at once here (ulimit -n)" in execution.state("job")["hint"]
