"""Executions made by hand, so that the real supervisor and ranks run without a scheduler."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import deepforge_hpc.runtime as runtime_package
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.execution import ExecutionInfo
from deepforge_hpc.runtime.base.files import canonical_json, digest, digest_file
from deepforge_hpc.runtime.base.layout import ExecutionLayout, JobLayout
from deepforge_hpc.runtime.base.plan import (
    FINAL_JOB,
    DeclaredOutput,
    ExternalInput,
    InputBinding,
    Job,
    JobKind,
    LaunchCommand,
    OperationSource,
    OutputPort,
    Plan,
    Reference,
    Resources,
    member_port,
)
from deepforge_hpc.runtime.state import marker

UUID = "0123456789abcdef0123456789abcdef"


def _sources(inputs: dict[str, str | list[str]]) -> Iterator[tuple[str, str]]:
    for port, given in inputs.items():
        if isinstance(given, str):
            yield port, given
        else:
            yield from ((member_port(port, n), source) for n, source in enumerate(given))


class Execution:
    """Builds an execution folder as a submission does, and runs its jobs."""

    def __init__(self, root: Path, runtime: Path) -> None:
        self.project = root / "project"
        self.root = self.project / "executions" / "demo-0001"
        self.ledger = self.project / ".dfh"
        self.layout = ExecutionLayout(self.root)
        self.jobs: list[Job] = []
        self.inputs: list[ExternalInput] = []
        self.outputs: list[DeclaredOutput] = []
        self.scheduler = "local"
        self.plan_sha256 = self.code_sha256 = ""
        self.root.mkdir(parents=True)
        self.ledger.mkdir()
        shutil.copytree(runtime, self.layout.code / "dfh_runtime")

    def code(self, path: str, text: str) -> Path:
        file = self.layout.code / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def operation(
        self,
        name: str,
        text: str,
        *,
        outputs: dict[str, str] | None = None,
        inputs: dict[str, str | list[str]] | None = None,
        attributes: dict[str, Any] | None = None,
        references: tuple[Reference, ...] = (),
        kind: str = "function",
        returns: str = "",
        parameters: tuple[str, ...] = (),
        tasks: int = 0,
        over: str = "",
        launch: LaunchCommand | None = None,
        seed: int | None = None,
        types: dict[str, str] | None = None,
        star: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
    ) -> Job:
        """Add a job that runs `operation` of the text, or a command; inputs: port -> "job.output"
        or input name, or a list of these."""
        outputs = {"result": "json"} if outputs is None else outputs
        module = f"project/operations/{name}.py"
        self.code(module, text)
        bindings = tuple(
            self._binding(port, source, port == over, (types or {}).get(port, "any"))
            for port, source in _sources(inputs or {})
        )
        job = Job(
            name=name,
            operation=name,
            kind=JobKind.ARRAY if tasks else JobKind.RUN,
            tasks=tasks or 1,
            after=tuple(sorted({item.job for item in bindings if item.job})),
            resources=Resources(ntasks_per_node=launch.world_size if launch else 1),
            launch=launch or LaunchCommand(),
            source=OperationSource(
                module=module,
                object=command[0] if command else "operation",
                kind="command" if command else kind,
                argv=command,
                parameters=parameters,
                search=("project", "project/operations"),
                sha256=digest(text.encode()),
                returns=returns or ("none", "one", "tuple")[min(len(outputs), 2)],
                star=star,
            ),
            attributes=tuple(sorted((attributes or {}).items())),
            references=references,
            inputs=bindings,
            outputs=tuple(OutputPort(name=key, type=value) for key, value in outputs.items()),
            seed=seed,
            plan_key=digest(f"key of {name}".encode()),
        )
        self.jobs.append(job)
        if tasks:
            self.jobs.append(
                Job(
                    name=f"{name}.gather",
                    operation=name,
                    kind=JobKind.GATHER,
                    after=(name,),
                    outputs=job.outputs,
                    plan_key=digest(f"key of {name}.gather".encode()),
                )
            )
        return job

    def _binding(self, port: str, source: str, mapped: bool, kind: str) -> InputBinding:
        producer, dot, output = source.rpartition(".")
        if not dot:
            return InputBinding(port=port, type=kind, external=source, mapped=mapped)
        return InputBinding(port=port, type=kind, job=producer, output=output, mapped=mapped)

    def external(self, name: str, path: Path, kind: str, *, known: bool = False) -> None:
        found = [item.lstat() for item in (path, *path.rglob("*"))]
        files = [status for status in found if not stat.S_ISDIR(status.st_mode)]
        self.inputs.append(
            ExternalInput(
                name=name,
                uri=f"data/{path.name}",
                type=kind,
                path=str(path),
                size=sum(status.st_size for status in files),
                mtime_ns=max(status.st_mtime_ns for status in (found[0], *files)),
                sha256=digest_file(path) if known else None,
                origin="pipeline.yaml:4",
            )
        )

    def declare(self, name: str, source: str, to: Path) -> None:
        job, _, output = source.rpartition(".")
        self.outputs.append(DeclaredOutput(name=name, job=job, output=output, to=str(to)))

    def freeze(self) -> None:
        """Write plan.json, the code's manifest and execution.json."""
        final = Job(
            name=FINAL_JOB,
            operation="",
            kind=JobKind.FINAL,
            after=tuple(job.name for job in self.jobs),
            dependency="afterany",
        )
        plan = Plan(
            pipeline="demo",
            site="local",
            scheduler=self.scheduler,
            jobs=(*self.jobs, final),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
        )
        content = canonical_json(plan.to_dict())
        self.layout.plan.write_bytes(content)
        self.plan_sha256 = digest(content)
        files = {
            path.relative_to(self.layout.code).as_posix(): digest_file(path)
            for path in sorted(self.layout.code.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        manifest = canonical_json({"schema": "dfh/code/1", "files": files})
        self.layout.manifest.write_bytes(manifest)
        self.code_sha256 = digest(manifest)
        info = ExecutionInfo(
            id="demo-0001",
            uuid=UUID,
            pipeline="demo",
            pipeline_file="pipeline.yaml",
            site="local",
            scheduler=self.scheduler,
            project=str(self.project),
            home=str(self.root),
            ledger=str(self.ledger),
            created="2026-11-22T08:00:00.000+00:00",
            user="alice",
            version="0.1.0",
            plan_sha256=self.plan_sha256,
            code_sha256=self.code_sha256,
            pipeline_sha256="sha256:" + "1" * 64,
            site_sha256="sha256:" + "2" * 64,
            tags=("test",),
        )
        self.layout.execution.write_bytes(canonical_json(encode(info)))

    def argv(self, job: str, task: int | None = None, attempt: int = 1) -> list[str]:
        words = [sys.executable, "-m", "dfh_runtime", "run", job, "--attempt", str(attempt)]
        if task is not None:
            words += ["--task", str(task)]
        return [*words, "--plan", self.plan_sha256, "--code", self.code_sha256]

    def environ(self, **variables: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "DFH_", "OMPI_", "PMI"))
        }
        kept.pop("TMPDIR", None)
        return {**kept, "PYTHONPATH": str(self.layout.code), **variables}

    def start(
        self, job: str, task: int | None = None, *, attempt: int = 1, **variables: str
    ) -> subprocess.Popen[str]:
        if not self.plan_sha256:
            self.freeze()
        return subprocess.Popen(
            self.argv(job, task, attempt),
            cwd=self.root,
            env=self.environ(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, job: str, task: int | None = None, *, attempt: int = 1, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(job, task, attempt=attempt, **variables)
        out, err = process.communicate(timeout=150)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run_all(self, *names: str) -> None:
        """Run jobs and all their tasks, which must succeed."""
        for name in names:
            job = next((item for item in self.jobs if item.name == name), None)
            is_array = job is not None and job.kind is JobKind.ARRAY
            for task in range(job.tasks) if job is not None and is_array else (None,):
                done = self.run(name, task)
                assert done.returncode == 0, done.stderr

    def folder(self, job: str, task: int | None = None) -> JobLayout:
        return self.layout.job(job, task)

    def state(self, job: str, task: int | None = None) -> dict[str, Any]:
        return dict(json.loads(self.folder(job, task).state.read_bytes()))

    def marker(self, job: str, task: int | None = None) -> dict[str, Any]:
        found = marker.read(self.folder(job, task))
        assert found is not None
        return dict(encode(found))

    def output(self, job: str, name: str = "result", task: int | None = None) -> Path:
        return self.folder(job, task).root / self.marker(job, task)["outputs"][name]["path"]

    def value(self, job: str, name: str = "result", task: int | None = None) -> Any:
        return json.loads(self.output(job, name, task).read_bytes())

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the ledger, each checked against its name."""
        found = []
        for path in sorted(self.ledger.glob("loose/*/*/*.json")):
            content = path.read_bytes()
            assert digest(content) == "sha256:" + path.name.partition(".")[0]
            found.append(json.loads(content))
        return found

    def leftovers(self) -> list[Path]:
        """Return what no ended job may leave: work folders and temporary files."""
        return [
            path
            for path in self.project.rglob("*")
            if path.name.startswith(".work-") or path.name.endswith(".tmp")
        ]


@pytest.fixture(scope="session")
def runtime_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the runtime, compiled once; file times go along, so that its bytecode stays good."""
    target = tmp_path_factory.mktemp("runtime") / "dfh_runtime"
    source = Path(runtime_package.__file__).parent
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    assert compileall.compile_dir(target, quiet=1)
    return target


@pytest.fixture
def execution(tmp_path: Path, runtime_copy: Path) -> Execution:
    return Execution(tmp_path, runtime_copy)


LAUNCHER = """\
#!/bin/sh
# Two ranks, as Open MPI would start them; the worst exit code.
export OMPI_COMM_WORLD_SIZE=${FAKE_SIZE:-2}
OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_LOCAL_RANK=0 "$@" & a=$!
OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_LOCAL_RANK=1 "$@" & b=$!
trap 'kill $a $b' TERM
wait $a; x=$?
wait $b; y=$?
[ $x -ge $y ] && exit $x
exit $y
"""


@pytest.fixture
def two_ranks(tmp_path: Path) -> LaunchCommand:
    path = tmp_path / "two-ranks"
    path.write_text(LAUNCHER)
    path.chmod(0o755)
    return LaunchCommand(name="mpi", argv=(str(path),), env=(("EXTRA", "$(x) y"),), world_size=2)
