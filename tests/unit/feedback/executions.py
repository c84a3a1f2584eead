"""Made-up but realistic executions, written as the jobs write them."""

from __future__ import annotations

import functools
import io
import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

NOW = datetime.now(timezone.utc).replace(microsecond=0)
PLAN_KEY = "sha256:" + "11" * 32
UUID = "3f9ac2d4b1e04c77a1d28c6f5e0b9a12"

TRACEBACK = """Traceback (most recent call last):
  File "operations/train.py", line 48, in execute
    history = model.fit(dataset, epochs=self.epochs, callbacks=[Progress()])
  File "/home/ada/venv/lib/python3.11/site-packages/keras/src/utils/traceback_utils.py", line 122, in error_handler
    raise e.with_traceback(filtered_tb) from None
  File "operations/train.py", line 31, in loss
    return keras.losses.categorical_crossentropy(target, prediction)
ValueError: Shapes (32, 32) and (32, 16) are incompatible""".splitlines()


def stamp(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat()


class Made:
    """An execution folder."""

    def __init__(self, root: Path, name: str = "redshift", attempt: int = 1) -> None:
        self.root = root
        self.attempt = attempt
        self.jobs: list[dict[str, Any]] = []
        self.name = name
        root.mkdir(parents=True, exist_ok=True)
        self.write(
            "execution.json",
            {
                "schema": "dfh/execution/1",
                "id": f"{name}-0007",
                "uuid": UUID,
                "pipeline": name,
                "pipeline_file": f"{name}.yaml",
                "site": "local",
                "scheduler": "local",
                "project": "/home/ada/galaxies",
                "home": f"/home/ada/galaxies/executions/{name}-0007",
                "ledger": "/home/ada/galaxies/.dfh",
                "created": stamp(700),
                "user": "ada",
                "version": "0.1.0",
                "plan_sha256": "sha256:" + "5e" * 32,
                "code_sha256": "sha256:" + "c4" * 32,
                "name": "",
                "note": "",
                "tags": [],
            },
        )

    def write(self, path: str, data: object) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data if isinstance(data, str) else json.dumps(data))
        return file

    def job(self, name: str, *after: str, kind: str = "run", tasks: int = 1, **more: Any) -> None:
        self.jobs.append(
            {
                "name": name,
                "operation": name.partition(".")[0] if kind != "final" else "",
                "kind": kind,
                "tasks": tasks,
                "after": list(after),
                "plan_key": PLAN_KEY,
                "dependency": "afterok" if kind != "final" else "afterany",
                "resources": {
                    "nodes": 1,
                    "ntasks_per_node": 1,
                    "cpus_per_task": 2,
                    "gpus_per_node": 0,
                    "mem_per_node_mib": 4096,
                    "time_s": 1800,
                    **more.pop("resources", {}),
                },
                "launch": {"name": more.pop("launch", "none"), "argv": [], "env": []},
                "attributes": more.pop("attributes", []),
                **more,
            }
        )

    def plan(self) -> None:
        self.job("_final", *[job["name"] for job in self.jobs], kind="final")
        data = {
            "schema": "dfh/plan/1",
            "pipeline": self.name,
            "site": "local",
            "scheduler": "local",
            "jobs": self.jobs,
        }
        self.write("plan.json", data)

    def submitted(self, *rows: dict[str, Any]) -> None:
        names = [job["name"] for job in self.jobs]
        lines: list[dict[str, Any]] = [
            {"event": "intent", "attempt": 1, "jobs": names, "tasks": {}, "token": UUID[:8]},
            *[
                {"event": "job", "attempt": 1, "job": name, "native_id": f"L{index}"}
                for index, name in enumerate(names, 1)
            ],
            {"event": "released", "attempt": 1},
            *rows,
        ]
        self.write("submitted.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    @staticmethod
    def folder(job: str, task: int | None) -> str:
        return f"jobs/{job}" + ("" if task is None else f"/task-{task:05d}")

    def state(
        self,
        job: str,
        state: str,
        task: int | None = None,
        *,
        began: float | None = None,
        ended: float | None = None,
        **more: Any,
    ) -> None:
        self.write(
            f"{self.folder(job, task)}/state.json",
            {
                "schema": "dfh/state/1",
                "job": job,
                "task": task,
                "attempt": self.attempt,
                "state": state,
                "since": stamp(0),
                "started": None if began is None else stamp(began),
                "ended": None if ended is None else stamp(ended),
                "host": "node07",
                "pid": 4711,
                "native_id": "L3",
                "reason": "",
                "error": None,
                "exit_code": None,
                "hint": "",
                "again": False,
                **more,
            },
        )

    def success(
        self,
        job: str,
        outputs: dict[str, tuple[str, str, int]],
        task: int | None = None,
        *,
        began: float = 0,
        ended: float = 0,
        reused: str = "",
    ) -> None:
        self.state(job, "succeeded", task, began=began, ended=ended, exit_code=0)
        self.write(
            f"{self.folder(job, task)}/success.json",
            {
                "schema": "dfh/success/1",
                "job": job,
                "task": task,
                "attempt": self.attempt,
                "plan_key": PLAN_KEY,
                "record": "sha256:" + "22" * 32,
                "outputs": {
                    name: {
                        "path": path,
                        "format": kind,
                        "sha256": "sha256:" + f"{random.Random(name).getrandbits(256):064x}",
                        "size": size,
                        "mtime_ns": 0,
                        "rows": None,
                        "parts": kind == "hdf5",
                    }
                    for name, (path, kind, size) in outputs.items()
                },
                "reused_from": (
                    {"execution": reused, "job": job, "task": None, "record": ""}
                    if reused
                    else None
                ),
            },
        )

    def log(self, job: str, text: str, task: int | None = None) -> None:
        suffix = "" if task is None else f".{task}"
        self.write(f"jobs/{job}/out.{self.attempt}{suffix}.log", text)

    def metrics(self, job: str, rows: list[dict[str, Any]], task: int | None = None) -> None:
        base = NOW.timestamp() - 100
        lines = [json.dumps({"t": base + index, **row}) for index, row in enumerate(rows)]
        self.write(f"{self.folder(job, task)}/metrics.jsonl", "\n".join(lines) + "\n")

    def figure(self, job: str, *titles: str) -> None:
        entries = []
        for index, title in enumerate(titles, 1):
            for kind in ("png", "svg"):
                file = self.root / "jobs" / job / "figures" / f"{index}.{kind}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(_plot(index, title, kind))
            self.write(f"jobs/{job}/figures/{index}.json", {"schema": "dfh/figure-data/1"})
            entries.append(
                {
                    "id": str(index),
                    "title": title,
                    "updated": stamp(5),
                    "png": f"{index}.png",
                    "svg": f"{index}.svg",
                    "data": f"{index}.json",
                }
            )
        self.write(
            f"jobs/{job}/figures/index.json", {"schema": "dfh/figures/1", "figures": entries}
        )


@functools.cache
def _plot(index: int, title: str, kind: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chance = random.Random(index)
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    true = [chance.betavariate(2, 4) * 0.35 for _ in range(250)]
    found = [value + chance.gauss(0, 0.018) for value in true]
    if index % 2:
        axes.scatter(true, found, s=9, alpha=0.5)
        axes.plot([0, 0.35], [0, 0.35], color="0.3", lw=1)
        axes.set_xlabel("spectroscopic redshift")
        axes.set_ylabel("predicted redshift")
    else:
        axes.hist([b - a for a, b in zip(true, found, strict=True)], bins=40)
        axes.set_xlabel("error")
    axes.set_title(title)
    output = io.BytesIO()
    figure.savefig(output, format=kind)
    return output.getvalue()


def _training(epochs: int) -> list[dict[str, Any]]:
    chance = random.Random(1)
    rows = []
    for step in range(epochs):
        loss = 0.9 + 2.4 * math.exp(-step / 7) + chance.gauss(0, 0.02)
        rows.append(
            {
                "step": step,
                "loss": loss,
                "val_loss": loss + 0.06 + chance.gauss(0, 0.05),
                "sigma_mad": 0.018 + 0.03 * math.exp(-step / 6) + chance.gauss(0, 0.0006),
                "learning_rate": 1e-3 * (0.5 ** (step // 15)),
            }
        )
    return rows


def _keras_log(epochs: int) -> str:
    lines = ["\x1b[1mdfh\x1b[0m: train, attempt 1, 2 ranks on node07"]
    for epoch in range(1, epochs + 1):
        lines.append(f"Epoch {epoch}/40")
        bar = "".join(f"\r\x1b[1m{i * 59}/469\x1b[0m loss: {3 - i / 9:.4f}" for i in range(8))
        lines.append(bar + f"\r469/469 ━━━━━━━━━━━━ 9s 19ms/step - loss: {2.4 - epoch / 30:.4f}")
    return "\n".join(lines) + "\n"


def redshift(root: Path, how: str) -> Made:
    """Return the redshift pipeline: `running`, `failed`, `succeeded`, `resumed` or `waiting`."""
    made = Made(root, attempt=2 if how == "resumed" else 1)
    made.job("render", kind="array", tasks=8, attributes=[["pixels", 64], ["bands", "ugriz"]])
    made.job("render.gather", "render", kind="gather")
    made.job(
        "train",
        "render.gather",
        resources={"ntasks_per_node": 2},
        launch="horovod",
        attributes=[["batch_size", 32], ["bins", 32], ["epochs", 40], ["learning_rate", 0.001]],
    )
    made.job("predict", "render.gather", "train")
    made.job("evaluate", "predict")
    made.job("reduce", "train", "render.gather")
    made.job("embeddings", "reduce", "predict")
    made.plan()
    made.submitted()
    if how == "waiting":
        return made
    part = {"cutouts": ("outputs/cutouts.h5", "hdf5", 61_440_000)}
    tasks = range(5) if how == "rendering" else range(8)
    for task in tasks:
        made.success("render", part, task, began=620 - task, ended=590 - task)
    if how == "rendering":
        for task in (5, 6):
            made.state("render", "running", task, began=20)
            made.log("render", f"task {task}: 4,000 galaxies\n", task)
        return made
    made.success("render.gather", {"cutouts": ("outputs/cutouts", "hdf5", 491_520_166)},
                 began=585, ended=583)  # fmt: skip
    if how == "failed":
        made.metrics("train", _training(3))
        made.log("train", _keras_log(3) + "\n".join(TRACEBACK) + "\n")
        made.state(
            "train",
            "failed",
            began=580,
            ended=540,
            exit_code=1,
            reason="The operation raised ValueError: Shapes (32, 32) and (32, 16) are incompatible "
            "(operations/train.py:31).",
            error={
                "type": "ValueError",
                "message": "Shapes (32, 32) and (32, 16) are incompatible",
                "traceback": TRACEBACK,
                "rank": 1,
                "file": "operations/train.py",
                "line": 31,
            },
        )
        return made
    made.log("train", _keras_log(30))
    made.figure("train", "Loss by epoch", "Distribution of the error")
    if how == "running":
        made.metrics("train", _training(23))
        made.state("train", "running", began=580)
        return made
    made.metrics("train", _training(40))
    made.success("train", {"model": ("outputs/model.keras", "keras", 1_104_220)},
                 began=580, ended=120)  # fmt: skip
    made.success("predict", {"predictions": ("outputs/predictions.npz", "npz", 1_440_512)},
                 began=118, ended=100)  # fmt: skip
    made.metrics(
        "evaluate",
        [
            {
                "step": None,
                "sigma_mad": 0.01874,
                "bias": -0.00031,
                "outlier_fraction": 0.0092,
                "crps": 0.01163,
            }
        ],
    )
    made.figure("evaluate", "Predicted and true redshift", "Error of 5,000 test galaxies")
    made.success("evaluate", {"metrics": ("outputs/metrics.json", "json", 412)}, began=98, ended=92)
    made.log("evaluate", "sigma_mad 0.01874\n")
    made.success("reduce", {"points": ("outputs/points.npy", "npy", 120_128)},
                 began=118, ended=88, reused="redshift-0006")  # fmt: skip
    made.figure("embeddings", "Embedding in three dimensions")
    made.success("embeddings", {}, began=86, ended=80)
    return made


def many(root: Path, count: int = 1000) -> Made:
    """Return a wide execution of many operations, some of which failed."""
    made = Made(root, "survey")
    made.job("catalogue")
    for index in range(count - 1):
        made.job(f"fit_{index:04d}", "catalogue")
    made.plan()
    made.submitted()
    made.success("catalogue", {"table": ("outputs/table.h5", "hdf5", 10_000)}, began=600, ended=590)
    for index in range(count - 1):
        name = f"fit_{index:04d}"
        if index < int(count * 0.7):
            if index % 97 == 13:
                reason = "The operation ran out of memory: 4.1 GiB of 4 GiB."
                made.state(name, "failed", began=500, ended=400, exit_code=1, reason=reason)
                made.log(name, "reading\nfitting\nKilled\n" * 30)
            else:
                made.success(name, {"fit": ("outputs/fit.json", "json", 900)}, began=500, ended=420)
        elif index < int(count * 0.72):
            made.state(name, "running", began=60)
    return made
