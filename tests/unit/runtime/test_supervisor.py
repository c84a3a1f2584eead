"""The supervisor and one rank, run as a job script runs them."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.files import digest, digest_file
from deepforge_hpc.runtime.base.plan import OutputPort, Reference
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.read import read_files

if TYPE_CHECKING:
    from conftest import Execution


def test_a_function_returns_its_output(execution: Execution) -> None:
    execution.operation("double", "def operation(n): return 2 * n", attributes={"n": 21})
    done = execution.run("double")
    assert done.returncode == 0, done.stderr
    assert execution.value("double") == 42
    state = execution.state("double")
    assert (state["state"], state["exit_code"], state["attempt"]) == ("succeeded", 0, 1)
    assert state["started"] <= state["ended"]
    assert sorted(path.name for path in execution.folder("double").root.iterdir()) == [
        "outputs",
        "state.json",
        "success.json",
    ]
    assert execution.leftovers() == []


def test_the_marker_names_the_verified_output_and_the_record(execution: Execution) -> None:
    job = execution.operation("double", "def operation(n): return 2 * n", attributes={"n": 21})
    execution.run_all("double")
    marker = execution.marker("double")
    entry = marker["outputs"]["result"]
    path = execution.output("double")
    assert entry["sha256"] == digest_file(path)
    assert (entry["size"], entry["format"]) == (path.stat().st_size, "json")
    assert entry["path"] == "outputs/result.json"
    assert marker["plan_key"] == job.plan_key
    (record,) = execution.records()
    assert marker["record"] == digest(next(execution.ledger.glob("loose/*/*/*.json")).read_bytes())
    assert record["outputs"][0]["sha256"] == entry["sha256"]
    assert record["outputs"][0]["path"] == "executions/demo-0001/jobs/double/outputs/result.json"


def test_a_record_says_how_the_output_was_made(execution: Execution) -> None:
    job = execution.operation(
        "double",
        "def operation(n, seed): return 2 * n",
        attributes={"n": 21},
        seed=7,
        parameters=("n", "seed"),
    )
    execution.freeze()
    done = execution.run("double", OMP_NUM_THREADS="3", API_TOKEN="x", SLURM_JWT="s3cret")
    assert done.returncode == 0, done.stderr
    (record,) = execution.records()
    assert record["schema"] == "dfh/record/1"
    assert (record["kind"], record["status"], record["reason"]) == ("end", "succeeded", "")
    assert (record["execution"], record["job"], record["task"]) == ("demo-0001", "double", None)
    assert record["operation"]["attributes"] == {"n": 21}
    assert record["operation"]["source"] == job.source.sha256
    assert record["plan_key"] == job.plan_key
    assert (record["plan"], record["code"]) == (execution.plan_sha256, execution.code_sha256)
    assert (record["pipeline"][7], record["site_file"][7]) == ("1", "2")
    assert record["seed"] == 7
    assert record["environment"]["vars"]["OMP_NUM_THREADS"] == "3"
    assert "API_TOKEN" not in record["environment"]["vars"]
    assert record["environment"]["vars"]["SLURM_JWT"] == {"redacted": True}
    assert record["environment"]["version"] == sys.version.split()[0]
    assert record["time"]["start"] <= record["time"]["end"]
    assert record["time"]["monotonic_s"] > 0
    assert record["user"] == "alice"
    assert record["tags"] == ["test"]
    (path,) = execution.ledger.glob("loose/alice/*/*.json")
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.name.split(".")[1] == job.plan_key.removeprefix("sha256:")[:8]


def test_a_class_gets_attributes_first_and_inputs_then(execution: Execution) -> None:
    execution.operation("first", "def operation(): return [1, 2]")
    execution.operation(
        "second",
        """
        class operation:
            def __init__(self, factor, offset):
                self.factor, self.offset = factor, offset

            def execute(self, numbers):
                total = [self.factor * n + self.offset for n in numbers]
                count = len(numbers)
                return total, count
        """,
        inputs={"numbers": "first.result"},
        attributes={"factor": 10, "offset": 1},
        outputs={"total": "json", "count": "json"},
        kind="class",
        parameters=("factor", "offset"),
    )
    execution.run_all("first", "second")
    assert execution.value("second", "total") == [11, 21]
    assert execution.value("second", "count") == 2
    record = next(item for item in execution.records() if item["job"] == "second")
    (used,) = record["inputs"]
    assert used["sha256"] == execution.marker("first")["outputs"]["result"]["sha256"]
    assert used["by"] == {
        "record": execution.marker("first")["record"],
        "job": "first",
        "output": "result",
        "task": None,
    }
    assert used["trust"] == "content"


def test_outputs_are_named_by_a_dict_if_the_code_returns_one(execution: Execution) -> None:
    execution.operation(
        "split",
        "def operation(): return {'b': 2, 'a': 1}",
        outputs={"a": "json", "b": "json"},
        returns="dict",
    )
    execution.run_all("split")
    assert (execution.value("split", "a"), execution.value("split", "b")) == (1, 2)


@pytest.mark.parametrize(
    ("value", "types", "optional", "found"),
    [
        ("None", "dict", False, "None"),
        ("None", "", False, "None"),
        ("None", "dict", True, ""),
        ("[1]", "dict", False, "of type list"),
        ("[1]", "dict", True, "of type list"),
        ("{'a': 1}", "dict", False, ""),
        ("(1, 2)", "list", False, ""),
        ("'text'", "float int", False, "of type str"),
        ("1", "float", False, ""),
        ("1.5", "int", False, "of type float"),
        ("numpy.float32(1.5)", "float", False, ""),
        ("numpy.float32(1.5)", "int", False, "of type float32"),
        ("numpy.bool_(True)", "bool", False, ""),
        ("numpy.arange(3)", "list", False, ""),
        ("numpy.arange(3)", "float", False, "of type ndarray"),
    ],
)
def test_an_output_must_be_what_its_annotation_says(
    execution: Execution, value: str, types: str, optional: bool, found: str
) -> None:
    job = execution.operation("job", f"import numpy\ndef operation():\n    return {value}")
    port = OutputPort(
        name="result", type="json", annotation="SAID", types=tuple(types.split()), optional=optional
    )
    execution.jobs[-1] = job._replace(outputs=(port,))
    done = execution.run("job")
    if not found:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    state = execution.state("job")
    reason = f"Output result of job (operation) is {found}, and its annotation is SAID."
    assert state["reason"] == reason
    assert ("SAID | None" in state["hint"]) is (found == "None")
    assert not execution.folder("job").outputs.exists()


def test_an_operation_without_outputs_succeeds(execution: Execution) -> None:
    execution.operation("quiet", "def operation(): print('done')", outputs={})
    done = execution.run("quiet")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert execution.marker("quiet")["outputs"] == {}
    assert not execution.folder("quiet").outputs.exists()


def test_hostile_attributes_arrive_as_they_are(execution: Execution, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    values: dict[str, Any] = {
        "shell": f'$(touch {trap}); `touch {trap}` ; touch {trap} | tee "{trap}"',
        "quotes": "'\"\\'\n\t{{ x }} %s %(y)s \x7f é 漢 🙂",
        "lines": "a\nb\r\nc\n#SBATCH --foo",
        "nested": {"../../etc": [None, True, -0.0, 1e308, 12345678901234567890]},
        "code": "__import__('os').system('touch trap')",
    }
    execution.operation("echo", "def operation(**values): return values", attributes=values)
    execution.run_all("echo")
    assert execution.value("echo") == values
    assert not trap.exists()


def test_a_reference_is_built_from_its_compiled_module(execution: Execution) -> None:
    module = execution.code("compiled/model.py", "def build(): return {'layers': 3}")
    reference = Reference(
        name="model",
        library="keras",
        source="architectures/model.yaml",
        module="compiled/model.py",
        sha256=digest_file(module),
    )
    execution.operation(
        "train",
        "def operation(model): return model['layers']",
        references=(reference,),
        parameters=("model",),
    )
    execution.run_all("train")
    assert execution.value("train") == 3
    assert execution.records()[0]["operation"]["references"] == [
        {"name": "model", "sha256": reference.sha256, "source": "architectures/model.yaml"}
    ]


def test_the_seed_reaches_a_parameter_of_that_name_only(execution: Execution) -> None:
    execution.operation("a", "def operation(seed): return seed", seed=5, parameters=("seed",))
    execution.operation(
        "b",
        "def operation(seed): return seed",
        seed=5,
        attributes={"seed": 6},
        parameters=("seed",),
    )
    execution.operation("c", "def operation(): return 1", seed=5)
    execution.run_all("a", "b", "c")
    assert [execution.value(name) for name in "abc"] == [5, 6, 1]


def test_the_contract_of_folders_and_variables(execution: Execution) -> None:
    execution.operation(
        "look",
        """
        import os, sys
        from pathlib import Path

        import dfh_runtime

        def operation():
            dfh_runtime.log(step=1, loss=0.5)
            Path(os.environ["DFH_CHECKPOINT_DIR"], "weights").write_text("w")
            Path("junk").write_text("j")
            names = ["EXECUTION", "JOB", "TASK", "ATTEMPT", "WORLD_SIZE", "SCRATCH", "METRICS"]
            found = {name: os.environ["DFH_" + name] for name in names}
            return {**found, "cwd": os.getcwd(), "path": sys.path, "open": Path("junk").read_text()}
        """,
    )
    execution.run_all("look")
    found = execution.value("look")
    folder = execution.folder("look")
    assert found["EXECUTION"] == str(execution.root)
    assert (found["JOB"], found["TASK"], found["ATTEMPT"], found["WORLD_SIZE"]) == (
        "look", "", "1", "1",
    )  # fmt: skip
    assert found["cwd"] == found["SCRATCH"]
    assert found["METRICS"] == str(folder.metrics)
    assert json.loads(folder.metrics.read_text())["loss"] == 0.5
    assert (folder.checkpoints / "weights").read_text() == "w"
    assert not Path(found["SCRATCH"]).exists()
    assert found["path"][:2] == [
        str(execution.layout.code / "project"),
        str(execution.layout.code / "project/operations"),
    ]
    assert str(execution.root) not in found["path"]


def test_scratch_is_node_local_where_the_site_offers_it(
    execution: Execution, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    execution.operation(
        "look", "import os\ndef operation(): return [os.getcwd(), oct(os.stat('.').st_mode)]"
    )
    execution.scheduler = "slurm"
    assert execution.run("look", SLURM_TMPDIR=str(local)).returncode == 0
    cwd, mode = execution.value("look")
    assert Path(cwd).parent == local
    assert mode.endswith("700")
    assert list(local.iterdir()) == []


def test_imports_of_the_project_and_names_of_the_standard_library(execution: Execution) -> None:
    execution.code("project/helpers/__init__.py", "")
    execution.code("project/helpers/numbers.py", "ANSWER = 42")
    execution.operation(
        "json",
        """
        import json
        from helpers.numbers import ANSWER

        def operation():
            return json.dumps([ANSWER, __name__])
        """,
    )
    execution.run_all("json")
    assert json.loads(execution.value("json")) == [42, "dfh_operation_json"]


def plant_bytecode(source: Path, text: str) -> None:
    """Leave bytecode of another text where Python would take it for that of a source."""
    other = source.with_name("other.py")
    other.write_text(text.ljust(source.stat().st_size))
    os.utime(other, ns=(0, source.stat().st_mtime_ns))
    py_compile.compile(str(other), cfile=importlib.util.cache_from_source(str(source)))
    other.unlink()


def test_bytecode_that_was_planted_beside_frozen_code_is_not_used(execution: Execution) -> None:
    helper = "def value():\n    return 'the source'  # as long as it takes\n"
    planted = "def value(): return 'planted'"
    execution.code("project/operations/helper.py", helper)
    execution.code("project/package/__init__.py", "")
    execution.code("project/package/inner.py", helper)
    execution.operation(
        "job",
        """
        import helper
        from package import inner

        def operation():
            return [helper.value(), inner.value(), "the source"]
        """,
    )
    code = execution.layout.code / "project"
    plant_bytecode(code / "operations/helper.py", planted)
    plant_bytecode(code / "package/inner.py", planted)
    plant_bytecode(code / "operations/job.py", "def operation(): return 'planted'")
    execution.run_all("job")
    assert execution.value("job") == ["the source"] * 3
    assert [path.name for path in code.rglob("__init__.*.pyc")] == []  # and none is written


def test_an_operation_in_a_package_imports_relatively(execution: Execution) -> None:
    execution.code("library/shop/__init__.py", "")
    execution.code("library/shop/price.py", "PRICE = 3")
    execution.code("library/shop/buy.py", "from .price import PRICE\ndef operation(): return PRICE")
    job = execution.operation("buy", "")

    source = job.source._replace(
        module="library/shop/buy.py", search=("library",), sha256="sha256:0"
    )
    execution.jobs[0] = job._replace(source=source)
    execution.run_all("buy")
    assert execution.value("buy") == 3


def test_by_hand_nothing_is_published(execution: Execution) -> None:
    execution.operation(
        "double",
        "import dfh_runtime\ndef operation(n):\n    dfh_runtime.log(n=n)\n    return 2 * n",
        attributes={"n": 21},
    )
    done = execution.run("double", attempt=0)
    assert done.returncode == 0, done.stderr
    folder = execution.folder("double")
    result = folder.work(0) / "outputs" / "result.json"
    assert str(result) in done.stderr
    assert json.loads(result.read_text()) == 42
    assert [path.name for path in folder.root.iterdir() if path.name != "checkpoints"] == [
        ".work-0"
    ]
    assert execution.records() == []
    assert execution.run("double", attempt=0).returncode == 0


def test_a_new_attempt_begins_anew_unless_there_is_a_checkpoint(execution: Execution) -> None:
    execution.operation(
        "train",
        """
        import os, dfh_runtime
        from pathlib import Path

        def operation(keep):
            attempt = int(os.environ["DFH_ATTEMPT"])
            dfh_runtime.log(step=attempt, attempt=attempt)
            if attempt == 2:
                Path(os.environ["DFH_CHECKPOINT_DIR"], "weights").touch()
            if attempt < 3:
                raise RuntimeError("not yet")
            return attempt
        """,
        attributes={"keep": 1},
    )
    assert [execution.run("train", attempt=n).returncode for n in (1, 2, 3)] == [1, 1, 0]
    lines = execution.folder("train").metrics.read_text().splitlines()
    assert [json.loads(line)["attempt"] for line in lines] == [2, 3]
    assert [record["status"] for record in execution.records()].count("failed") == 2


def test_external_inputs_are_hashed_by_the_first_job_that_reads_them(execution: Execution) -> None:
    import os

    data = execution.project / "data" / "x y$(z).txt"
    data.parent.mkdir()
    data.write_text("hello")
    os.utime(data, (1_600_000_000, 1_600_000_000))
    execution.external("words", data, "file")
    execution.operation(
        "read", "def operation(words): return words.read_text()", inputs={"words": "words"}
    )
    execution.run_all("read")
    assert execution.value("read") == "hello"
    (used,) = execution.records()[0]["inputs"]
    assert used["sha256"] == digest(b"hello")
    assert (used["path"], used["uri"], used["by"]) == ("data/x y$(z).txt", "data/x y$(z).txt", None)
    (entry,) = (execution.ledger / "digests").iterdir()
    assert json.loads(entry.read_text())["sha256"] == digest(b"hello")


def test_a_declared_output_is_copied_with_its_history(execution: Execution) -> None:
    execution.operation("first", "def operation(): return [1, 2]")
    execution.operation(
        "second", "def operation(numbers): return sum(numbers)", inputs={"numbers": "first.result"}
    )
    target = execution.project / "results" / "sum.json"
    execution.declare("total", "second.result", target)
    execution.run_all("first", "second")
    assert json.loads(target.read_text()) == 3
    closure = json.loads(target.with_name("sum.json.prov").read_text())
    assert closure["schema"] == "dfh/closure/1"
    assert closure["artifact"] == digest_file(target)
    assert closure["record"] == execution.marker("second")["record"]
    assert {json.loads(text)["job"] for text in closure["records"].values()} == {"first", "second"}
    assert all(digest(text.encode()) == key for key, text in closure["records"].items())
    assert execution.leftovers() == []


def test_a_folder_is_published_and_replaced_as_a_whole(execution: Execution) -> None:
    execution.operation(
        "make",
        """
        import os
        from pathlib import Path

        def operation():
            folder = Path("out")
            (folder / "sub").mkdir(parents=True)
            (folder / "sub" / os.environ["DFH_ATTEMPT"]).write_text("x")
            return folder
        """,
        outputs={"result": "directory"},
    )
    target = execution.project / "results"
    execution.declare("made", "make.result", target)
    assert [execution.run("make", attempt=n).returncode for n in (1, 2)] == [0, 0]
    for folder in (execution.output("make"), target):
        assert [path.name for path in (folder / "sub").iterdir()] == ["2"]
    assert execution.leftovers() == []
    assert [path.name for path in execution.project.iterdir() if path.name.startswith(".")] == [
        ".dfh"
    ]


@pytest.mark.parametrize("output", ["directory", "json"])
def test_a_folder_with_other_things_is_never_replaced(execution: Execution, output: str) -> None:
    value = "Path('out')" if output == "directory" else "1"
    execution.operation(
        "make",
        f"""
        from pathlib import Path

        def operation():
            Path("out").mkdir()
            Path("out", "new").write_text("x")
            return {value}
        """,
        outputs={"result": output},
    )
    target = execution.project / "results"
    execution.declare("made", "make.result", target)
    target.mkdir()
    (target / "mine").write_text("precious")
    assert execution.run("make").returncode == 0
    name = execution.output("make").name.replace("result", "made")
    assert sorted(path.name for path in target.iterdir()) == [name, f"{name}.prov", "mine"]
    execution.folder("make").success.unlink()
    (target / f"{name}.prov").unlink()
    (target / name).unlink() if output == "json" else None
    (target / name).mkdir(exist_ok=True)
    (target / name / "mine").write_text("precious")
    assert execution.run("make", attempt=2).returncode != 0
    assert "holds what no job laid there" in execution.state("make")["reason"]
    assert (target / name / "mine").read_text() == "precious"


def test_words_that_are_no_command_get_the_usage(execution: Execution) -> None:
    import subprocess

    for words in ([], ["run"], ["run", "x", "--bad", "1"], ["rank", "y"]):
        done = subprocess.run(
            [sys.executable, "-m", "dfh_runtime", *words],
            cwd=execution.root,
            env=execution.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.split()[0]) == (2, "usage:")


def test_job_that_was_queued_twice_leaves_the_work_to_the_one_that_the_submitter_knows(
    execution: Execution,
) -> None:
    execution.scheduler = "slurm"
    execution.operation("job", "def operation(): return 1")
    execution.freeze()
    event = {"event": "job", "attempt": 1, "job": "job", "native_id": "12"}
    execution.layout.submitted.write_text(json.dumps(event) + "\n")
    done = execution.run("job", SLURM_JOB_ID="11")
    assert (done.returncode, execution.folder("job").state.exists()) == (0, False)
    assert "job was queued twice; job 12 does it" in done.stderr
    assert execution.run("job", SLURM_JOB_ID="12").returncode == 0
    assert execution.marker("job")["attempt"] == 1


def test_a_file_that_nobody_of_ours_laid_is_never_replaced(execution: Execution) -> None:
    text = "from pathlib import Path\n\ndef operation():\n    Path({!r}).write_text('mine')\n    return 1\n"
    early, late = execution.project / "early.json", execution.project / "late.json"
    inside = execution.project / "folder" / "inside.json"
    inside.parent.mkdir()
    ran = execution.project / "ran"
    for name, place in (("early", ran), ("inside", ran), ("late", late)):
        execution.operation(name, text.format(str(place)))
    execution.declare("early", "early.result", early)
    execution.declare("inside", "inside.result", inside.parent)
    execution.declare("late", "late.result", late)
    early.write_text("mine")
    assert execution.run("early").returncode == 1
    state = execution.state("early")
    assert "early.json would be replaced by early, and no job laid it there." in state["reason"]
    assert state["hint"].startswith("Move it away, then: dfh resume ")
    inside.write_text("mine")
    assert execution.run("inside").returncode == 1
    assert "folder/inside.json would be replaced by inside" in execution.state("inside")["reason"]
    assert not ran.exists()  # the operation did not run in vain
    assert execution.run("late").returncode == 89
    assert "Would be replaced, and no job laid it there: " in execution.state("late")["reason"]
    assert (early.read_text(), late.read_text()) == ("mine", "mine")


def test_a_result_of_another_project_is_never_replaced(
    execution: Execution, tmp_path: Path
) -> None:
    place, ran = execution.project / "shared.json", execution.project / "ran"
    text = "from pathlib import Path\n\ndef operation():\n    Path({!r}).write_text('x')\n    return 1\n"
    execution.operation("make", text.format(str(ran)))
    execution.declare("make", "make.result", place)
    execution.run_all("make")
    prov = place.with_name("shared.json.prov")
    history = json.loads(prov.read_text())
    assert history["ledger"] == str(execution.ledger)
    ran.unlink()
    execution.folder("make").success.unlink()
    other = tmp_path / "other" / ".dfh"
    prov.write_text(json.dumps({**history, "ledger": str(other)}))
    other.mkdir(parents=True)
    assert execution.run("make", attempt=2).returncode == 1
    reason = execution.state("make")["reason"]
    assert "shared.json would be replaced by make, and another project laid it there." in reason
    assert not ran.exists()
    other.rmdir()  # moved, or removed: nobody's any more
    assert execution.run("make", attempt=3).returncode == 0


def test_below_a_failure_that_wants_an_edit_nothing_says_resume(execution: Execution) -> None:
    stop = "import os, signal, time\ndef operation():\n    os.kill(os.getpid(), 15)\n    time.sleep(60)\n"
    execution.operation("a", stop)
    execution.operation("b", "def operation(): raise ValueError('broken')")
    execution.operation(
        "c", "def operation(x, y): return 1", inputs={"x": "a.result", "y": "b.result"}
    )
    for job in "abc":
        assert execution.run(job).returncode != 0
    jobs = {job.name: job for job in build(read_files(execution.root), None, now=0).jobs}
    assert [jobs[name].is_retryable for name in "ab"] == [True, False]
    assert jobs["c"].state == "upstream_failed"
    assert "resume" not in jobs["c"].hint


def test_a_later_attempt_knows_when_the_first_began(execution: Execution) -> None:
    execution.operation("job", "def operation():\n    raise ValueError\n", outputs={})
    assert execution.run("job").returncode == 1
    started = execution.state("job")["started"]
    assert "first" not in execution.state("job")
    for attempt in (2, 3):
        assert execution.run("job", attempt=attempt).returncode == 1
        state = execution.state("job")
        assert (state["first"], state["attempt"]) == (started, attempt)
        assert state["started"] > started
