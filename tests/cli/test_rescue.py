"""`dfh resume` takes up what a job could not save, once the pipeline names a format for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CODE = """
class Model:
    def __init__(self, score):
        self.score = score

def fit(log: str):
    with open(log, "a") as stream:
        stream.write("fit\\n")
    model, curve = Model(0.5), {"loss": [0.5, float("nan")]}
    return model, curve

def use(model, curve: dict) -> dict:
    import math
    found = {"score": model.score, "is_nan": math.isnan(curve["loss"][1])}
    return found
"""
PIPELINE = """
pipeline: fit
operations:
  fit: {{uses: 'ops.py:fit', attributes: {{log: {log}}}{types}}}
  use: {{uses: 'ops.py:use', inputs: {{model: fit.model, curve: fit.curve}}}}
outputs: {{found: use.found}}
"""


def test_a_model_without_a_format(
    dfh: Any, make_project: Callable[..., Path], status: Callable[..., dict[str, Any]]
) -> None:
    project = make_project({"ops.py": CODE}, name="fit")
    log, file = project / "log", project / "pipeline.yaml"
    file.write_text(PIPELINE.format(log=log, types=""))
    shown = dfh("run", cwd=project, expect=None)
    assert "dfh resume fit-0001" in shown.stdout + shown.stderr
    error = dfh("resume", cwd=project, expect=2).stderr
    assert "pipeline.yaml names no format for what it kept" in error
    assert "types: {model: FORMAT} under fit" in error
    file.write_text(PIPELINE.format(log=log, types=", types: {model: telepathy}"))
    assert "names no format" in dfh("resume", cwd=project, expect=2).stderr
    file.write_text(PIPELINE.format(log=log, types=", types: {model: pickle}"))
    dfh("resume", cwd=project)
    dfh("status", "--watch", cwd=project, expect=None)
    assert status(project)["state"] == "succeeded"
    assert log.read_text() == "fit\n"
    folder = project / "executions" / "fit-0001" / "jobs" / "use" / "outputs"
    assert json.loads((folder / "found.json").read_bytes()) == {"score": 0.5, "is_nan": True}
    dfh("prov", "verify", "fit-0001", cwd=project)
