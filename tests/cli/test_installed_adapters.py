"""A scheduler and launchers that installed packages and site files bring, used by a pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

LSF = Path(__file__).parents[1] / "fixtures" / "lsf"
OPERATIONS = """\
import os


def ranks(numbers: list = [1, 2]) -> list:
    found = [os.environ["DFH_WORLD_SIZE"], os.environ.get("SPARK", ""), *numbers]
    return found


def half(numbers: list) -> list:
    found = [2 * number for number in numbers]
    return found


def broken(numbers: list) -> list:
    raise ValueError("no")
"""


def install(folder: Path, entry_points: str, *modules: Path) -> dict[str, str]:
    """Lay a package where Python finds it, and return the environment for that."""
    info = folder / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    for module in modules:
        shutil.copy(module, folder)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return {"PYTHONPATH": str(folder)}


def test_scheduler_from_outside_renders_its_header_and_runs_a_pipeline(
    dfh: Any, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    env = install(
        tmp_path / "lib",
        "[deepforge_hpc.schedulers]\nlsf = dfh_lsf:LsfScheduler\n",
        *LSF.glob("*.py"),
    )
    project = make_project(
        {
            "operations.py": OPERATIONS,
            "site-configs/toy.yaml": "site: toy\nextends: local\nscheduler: lsf\n",
            "pipeline.yaml": (
                "pipeline: p\noperations:\n"
                "  ranks: {uses: 'operations.py:ranks', attributes: {numbers: [1, 2, 3]}}\n"
                "  half: {uses: 'operations.py:half', inputs: {numbers: ranks.found},"
                " map: {over: numbers, shards: 2}}\n"
                "  broken: {uses: 'operations.py:broken', inputs: {numbers: ranks.found}}\n"
                "outputs: {all: half.found}\n"
            ),
        }
    )
    assert "OK" in dfh("doctor", "--site", "toy", cwd=project, env=env).stdout
    dfh("submit", "--site", "toy", cwd=project, env=env)
    done = dfh("status", "--watch", cwd=project, env=env, expect=9)

    execution = project / "executions/p-0001"
    script = (execution / "jobs/half/job.sh").read_text()
    assert "#BSUB --array 0-1\n" in script
    assert "#SBATCH" not in script
    assert (execution / "code/library/dfh_lsf_job.py").read_text() == (
        LSF / "dfh_lsf_job.py"
    ).read_text()
    states = {
        path.parent.relative_to(execution / "jobs").as_posix(): json.loads(path.read_text())
        for path in execution.glob("jobs/**/state.json")
    }
    assert {name: state["state"] for name, state in states.items()} == {
        "ranks": "succeeded",
        "half/task-00000": "succeeded",
        "half/task-00001": "succeeded",
        "half.gather": "succeeded",
        "broken": "failed",
        "_final": "succeeded",
    }, done.stdout
    assert states["half/task-00001"]["native_id"].endswith("_1")
    records = [json.loads(path.read_text()) for path in project.glob(".dfh/loose/*/*/*.json")]
    assert {one["scheduler"]["name"] for one in records if one["kind"] == "end"} == {"lsf"}
    assert all(one["scheduler"]["nodes"] for one in records if one["kind"] == "end")
    (accounting,) = [one for one in records if one["kind"] == "acct"]
    assert accounting["clock"] == "lsf"
    assert "It never" not in done.stdout


START = """\
#!/bin/bash
number=$1 name=$2
shift 2
for ((rank = 0; rank < number; rank++)); do
  env "${name}RANK=$rank" "${name}SIZE=$number" "$@" &
done
status=0
while [ -n "$(jobs -pr)" ]; do wait -n || status=1; done
exit "$status"
"""
ODD = """\
from dfh_runtime.launchers import Launcher, Names


class Odd(Launcher):
    variables = (Names("ODD_RANK", ("ODD_SIZE",), "ODD_LOCAL_RANK"),)
    environment = {"SPARK": "by its class"}
    in_containers = False
"""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """Return a program that starts ranks: `start NUMBER PREFIX COMMAND...`."""
    program = tmp_path / "start"
    program.write_text(START)
    program.chmod(0o755)
    return program


def launched(
    dfh: Any, make_project: Callable[..., Path], launchers: str, name: str, env: dict[str, str]
) -> Path:
    """Run an operation on two ranks by a launcher of the site; return the project."""
    project = make_project(
        {
            "operations.py": OPERATIONS,
            "site-configs/here.yaml": (
                f"site: here\nextends: local\nclamp: {{cpus_per_node: 8}}\nlaunchers: {launchers}\n"
            ),
            "pipeline.yaml": (
                "pipeline: p\noperations:\n  ranks: {uses: 'operations.py:ranks', "
                f"launch: {name}, resources: {{ntasks_per_node: 2}}}}\n"
                "outputs: {all: ranks.found}\n"
            ),
        }
    )
    dfh("run", "--site", "here", cwd=project, env=env)
    return project


def result(project: Path) -> Any:
    (output,) = project.glob("executions/p-0001/jobs/ranks/outputs/*.json")
    return json.loads(output.read_text())


def test_launcher_that_is_only_data_of_a_site_starts_ranks(
    dfh: Any, make_project: Callable[..., Path], start: Path
) -> None:
    line = f"{{pair: {{argv: [{start}, '{{world_size}}', PMI_], env: {{SPARK: by the site}}}}}}"
    project = launched(dfh, make_project, line, "pair", {})
    assert result(project) == ["2", "by the site", 1, 2]
    assert not (project / "executions/p-0001/code/plugins.json").exists()


def test_launcher_with_a_class_of_an_installed_package(
    dfh: Any, make_project: Callable[..., Path], start: Path, tmp_path: Path
) -> None:
    module = tmp_path / "odd_launch.py"
    module.write_text(ODD)
    env = install(tmp_path / "lib", "[deepforge_hpc.launchers]\nodd = odd_launch:Odd\n", module)
    line = f"{{odd: {{argv: [{start}, '{{world_size}}', ODD_]}}}}"
    project = launched(dfh, make_project, line, "odd", env)
    assert result(project) == ["2", "by its class", 1, 2]
    assert (project / "executions/p-0001/code/library/odd_launch.py").read_text() == ODD
    (project / "pipeline.yaml").write_text(
        (project / "pipeline.yaml").read_text() + "environment: {container: /images/a.sif}\n"
    )
    error = dfh("plan", "--site", "here", cwd=project, env=env, expect=None)
    assert "odd in a container is not in this version" in error.stderr


def test_launcher_without_a_line_is_a_fault(dfh: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(
        {
            "operations.py": OPERATIONS,
            "site-configs/here.yaml": "site: here\nextends: local\nlaunchers: {horovd: {}}\n",
            "pipeline.yaml": "pipeline: p\noperations:\n  ranks: {uses: 'operations.py:ranks', launch: pair}\n",
        }
    )
    error = dfh("site", "check", "site-configs/here.yaml", cwd=project, expect=None).stderr
    assert "'horovd' is a launcher of this site, but has no argv" in error
    assert "did you mean 'horovod'?" in error
    error = dfh("check", "--site", "local", cwd=project, expect=3).stderr
    assert "site local has no launcher 'pair'" in error
    dfh("check", cwd=project, env={"DEEPFORGE_HPC_SITE": ""})  # some site may have it


CABLE = '''\
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.plugins.library import NO_FILES, Compiled, Entry, Library, Option


class Cable(Library):
    name = "cable"

    def schema(self):
        length = {"$ref": "#/definitions/length"}
        return {
            "type": "object",
            "properties": {"library": {"const": "cable"}, "length": length},
            "definitions": {"length": {"type": "integer", "minimum": 0}},
        }

    def catalogue(self):
        length = Option("count", text="In metres.")
        return {"cable": {"Optical": Entry({"length": length}, "A cable of glass.", ("Fibre",))}}

    def examples(self):
        return {"short": "# A cable of a metre.\\nlibrary: cable\\nlength: 1\\n"}

    def compile(self, text, source, files=NO_FILES):
        document = load(text, source)
        value = document.value()
        if value["length"] < 0:
            raise InvalidInputError([document.fault("a cable is not shorter than nothing", ("length",))])
        other, data = files.read(value["plug"], source)
        code = f"import plugs.shape\\\\n\\\\n\\\\ndef build():\\\\n    return plugs.shape.make({value['length']!r}, {len(data)})\\\\n"
        return Compiled(code, (other,), {"plugs.shape:make": (source, 2, 1)})

    def start_up(self, objects):
        return f"import os\\\\nos.environ['CABLE'] = {' '.join(objects)!r}\\\\n"
'''.replace("\\\\", "\\")  # fmt: skip


@pytest.fixture(scope="module")
def cable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install a wheel with a library, and one that does not work; return the environment for it."""
    folder = tmp_path_factory.mktemp("cable")
    files = {
        "acme_cable.py": CABLE,
        "acme_cable-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-cable\nVersion: 1.0\n",
        "acme_cable-1.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        "acme_cable-1.0.dist-info/entry_points.txt": (
            "[deepforge_hpc.libraries]\ncable = acme_cable:Cable\nbroken = acme_cable:NoSuch\n"
        ),
        "acme_cable-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel := folder / "acme_cable-1.0-py3-none-any.whl", "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    words = ("install", "-q", "--no-deps", "--no-index", "--target", str(folder / "lib"))
    subprocess.run((sys.executable, "-m", "pip", *words, str(wheel)), check=True)
    return {"PYTHONPATH": str(folder / "lib")}


def test_a_library_of_a_wheel_has_its_schema_documentation_and_examples(
    dfh: Any, cable: dict[str, str], tmp_path: Path
) -> None:
    def told(*words: str, expect: int = 0) -> str:
        done = dfh(*words, cwd=tmp_path, env=cable, expect=expect)
        return str(done.stdout if expect == 0 else done.stderr)

    schema = json.loads(told("schema", "architecture"))
    validator = jsonschema.Draft7Validator(schema)
    assert validator.is_valid({"library": "cable", "length": 3})
    assert not validator.is_valid({"library": "cable", "length": -3})
    assert validator.is_valid({"library": "broken", "length": -3})  # nobody can say
    assert not validator.is_valid({"library": "cabel"})
    for name in ("Optical", "Fibre"):
        assert told("arch", "doc", name, "--library", "cable") == (
            "Optical: cable of cable, also Fibre\nA cable of glass.\n\n"
            "Arguments:\n  length: count, needed\n      In metres.\n"
        )
    assert "did you mean 'Optical'?" in told(
        "arch", "doc", "Opticel", "--library", "cable", expect=2
    )
    assert "short    A cable of a metre\n" in told("arch", "new", "--library", "cable")
    assert told("arch", "new", "--library", "cable", "--from", "short").endswith("length: 1\n")


def test_a_library_from_outside_compiles_a_file_and_its_start_up_runs_in_every_job(
    dfh: Any, make_project: Callable[..., Path], cable: dict[str, str]
) -> None:
    project = make_project(
        {
            "operations/all.py": (
                "import os\n\n\ndef lay(cable, note: str = '') -> list:\n"
                "    found = [*cable, os.environ['CABLE']]\n    return found\n\n\n"
                "def look(found: list) -> list:\n    seen = [*found, os.environ['CABLE']]\n    return seen\n"
            ),
            "plugs/shape.py": "def make(length, size):\n    return [length, size]\n",
            "cables/long.yaml": "library: cable\nlength: 3\nplug: parts/plug.txt\n",
            "cables/parts/plug.txt": "plug",
            "pipeline.yaml": (
                "pipeline: p\noperations:\n"
                "  lay: {uses: 'operations/all.py:lay', references: {cable: cables/long.yaml}}\n"
                "  look: {uses: 'operations/all.py:look', inputs: {found: lay.found}}\n"
            ),
        }
    )
    dfh("run", "--site", "local", cwd=project, env=cable)
    (output,) = project.glob("executions/p-0001/jobs/look/outputs/*.json")
    assert json.loads(output.read_text()) == [3, 4, "plugs.shape:make", "plugs.shape:make"]
    assert (project / "executions/p-0001/code/project/cables/parts/plug.txt").read_text() == "plug"
    (project / "cables/long.yaml").write_text("library: cable\nlength: -3\n")
    error = dfh("check", cwd=project, env=cable, expect=3).stderr
    assert "cables/long.yaml:2:9: a cable is not shorter than nothing" in error


NETWORKS = """
from dataclasses import replace

from deepforge_hpc.libraries.torch.library import TorchLibrary


class Acme(TorchLibrary):
    name = "acme"

    def dialect(self):
        return replace(super().dialect(), library="acme")

    def exports(self):
        return {"count": lambda graph: f"{len(graph.calls)} layers\\n"}
"""


def test_a_library_of_networks_from_outside_is_taken_by_the_commands_on_networks(
    dfh: Any, tmp_path: Path
) -> None:
    for name, code in {"acme_networks": NETWORKS, "acme_cable": CABLE}.items():
        (tmp_path / f"{name}.py").write_text(code)
    points = "[deepforge_hpc.libraries]\nacme = acme_networks:Acme\ncable = acme_cable:Cable\n"
    modules = (tmp_path / "acme_networks.py", tmp_path / "acme_cable.py")
    env = install(tmp_path / "lib", points, *modules)
    (tmp_path / "net.yaml").write_text(
        "library: acme\narchitecture: net\ninputs: {x: [4]}\n"
        "layers:\n  - out: {Linear: {in_features: 4, out_features: 2}}\n"
    )
    (tmp_path / "cable.yaml").write_text("library: cable\nlength: 3\n")
    shown = dfh("arch", "show", "net.yaml", cwd=tmp_path, env=env).stdout
    assert "net: 1 input, 1 layer, 1 output: out" in shown
    assert "lenet" in dfh("arch", "new", "--library", "acme", cwd=tmp_path, env=env).stdout
    told = dfh("arch", "export", "net.yaml", "--to", "dot", cwd=tmp_path, env=env, expect=2).stderr
    assert "a network of acme has no form dot" in told
    assert "Say --to count." in told
    told = dfh("arch", "show", "cable.yaml", cwd=tmp_path, env=env, expect=2).stderr
    assert "files of the library cable are no networks" in told
