"""A small project on disk with one execution: render[0..2] -> render.gather -> train -> evaluate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.runtime.base.files import canonical_json, digest, digest_file, digest_path
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.state import marker

UUID = "0123456789abcdef0123456789abcdef"
EXECUTION = "flow-0001"


@dataclass
class Project:
    root: Path
    closed: Callable[[Path], AbstractContextManager[None]]
    """`fixtures/closed.py`"""
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        return self.root / ".dfh"

    @property
    def execution(self) -> Path:
        return self.root / "executions" / EXECUTION

    def output(self, job: str, name: str, task: int | None = None) -> Path:
        folder = self.execution / "jobs" / job
        folder = folder if task is None else folder / f"task-{task:05d}"
        return folder / "outputs" / name

    def record_file(self, job: str) -> Path:
        (path,) = self.ledger.glob(f"loose/*/*/{self.ids[job].removeprefix('sha256:')}*")
        return path

    def write_record(self, data: dict[str, Any]) -> str:
        content = canonical_json(data)
        record_id = digest(content)
        folder = self.ledger / "loose" / "ada" / "20260101"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{record_id[7:]}.{'0' * 8}.json").write_bytes(content)
        return record_id

    def write_blob(self, content: bytes) -> str:
        name = digest(content)
        path = self.ledger / "blobs" / name[7:9] / name[7:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def write_script(self, job: str) -> str:
        path = ExecutionLayout(self.execution).script(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"echo {job}")
        return digest_file(path)

    def finish(
        self,
        job: str,
        content: str,
        *,
        task: int | None = None,
        inputs: list[dict[str, Any]],
        **more: Any,
    ) -> dict[str, Any]:
        """Write the output, record and marker of a job; return what a consumer records of it."""
        path = self.output(job, "result.txt", task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        sha256, size = digest_path(path)
        operation = job.partition(".")[0]
        record = {
            "schema": "dfh/record/1",
            "kind": "end",
            "execution": EXECUTION,
            "uuid": UUID,
            "job": job,
            "task": task,
            "attempt": 1,
            "operation": {
                "name": operation,
                "object": operation.title(),
                "source": "sha256:" + "5" * 64,
                "module": f"project/operations/{operation}.py",
                "attributes": {"epochs": 3, "label": f"<{job}>"},
                "references": [],
            },
            "plan": self.ids["plan"],
            "code": self.ids["code"],
            "pipeline": self.ids["pipeline"],
            "site_file": self.ids["site"],
            "script": self.write_script(job),
            "site": "local",
            "inputs": inputs,
            "outputs": [
                {
                    "name": "result",
                    "sha256": sha256,
                    "size": size,
                    "path": str(path.relative_to(self.root)),
                    "format": "text",
                    "trust": "content",
                    "rows": 1,
                    "parts": False,
                }
            ],
            "status": "succeeded",
            "reason": "",
            "seed": 7,
            "world_size": 1,
            "environment": {"python": "/usr/bin/python3", "version": "3.11.2", "modules": []},
            "scheduler": {"name": "local", "native_id": "L1"},
            "time": {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T08:00:09Z"},
            **more,
        }
        record_id = self.write_record(record)
        self.ids[job if task is None else f"{job}[{task}]"] = record_id
        time = path.stat().st_mtime_ns
        made = marker.Output(f"outputs/{path.name}", "text", sha256, size, time, 1)
        key = str(record.get("plan_key", ""))
        marker.write(
            ExecutionLayout(self.execution).job(job, task),
            marker.Marker(job, task, 1, key, record_id, {"result": made}),
        )
        return {
            "port": "data",
            "sha256": sha256,
            "size": size,
            "path": str(path.relative_to(self.root)),
            "format": "text",
            "trust": "content",
            "by": {"record": record_id, "job": job, "output": "result", "task": task},
        }


@pytest.fixture
def project(tmp_path: Path, fixture_module: Callable[[str], Any]) -> Project:
    made = Project(tmp_path / "project", fixture_module("closed").closed)
    operations = made.root / "operations"
    operations.mkdir(parents=True)
    frozen = made.execution / "code" / "project" / "operations"
    frozen.mkdir(parents=True)
    made.ledger.mkdir()
    files = {}
    for name in ("render", "train", "evaluate"):
        source = f"def {name}(): ...\n".encode()
        (operations / f"{name}.py").write_bytes(source)
        (frozen / f"{name}.py").write_bytes(source)
        files[f"project/operations/{name}.py"] = made.write_blob(source)
    manifest = canonical_json({"schema": "dfh/code/1", "files": files})
    plan = canonical_json({"schema": "dfh/plan/1"})
    (made.execution / "code" / "MANIFEST.json").write_bytes(manifest)
    (made.execution / "plan.json").write_bytes(plan)
    info = {
        **dict.fromkeys(("pipeline", "pipeline_file", "site", "scheduler", "project", "home"), ""),
        **dict.fromkeys(("created", "user", "version", "plan_sha256", "code_sha256"), ""),
        "schema": "dfh/execution/1",
        "id": EXECUTION,
        "uuid": UUID,
        "ledger": str(made.ledger),
    }
    (made.execution / "execution.json").write_bytes(canonical_json(info))
    made.ids.update(plan=made.write_blob(plan), code=made.write_blob(manifest))
    for name in ("pipeline", "site"):
        text = f"{name}: any\n".encode()
        (made.execution / f"{name}.yaml").write_bytes(text)
        made.ids[name] = made.write_blob(text)
    table = made.root / "table.csv"
    table.write_text("z,u,g\n")
    external = {
        "port": "table",
        "sha256": digest_path(table)[0],
        "size": 6,
        "path": "table.csv",
        "trust": "content",
        "by": None,
        "uri": "table.csv",
    }
    parts = [made.finish("render", f"part {i}\n", task=i, inputs=[external]) for i in range(3)]
    gathered = made.finish("render.gather", "parts\n", inputs=parts)
    model = made.finish("train", "model\n", inputs=[gathered])
    made.finish("evaluate", "metrics\n", inputs=[model, {**gathered, "port": "dataset"}])
    return made
