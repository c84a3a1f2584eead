"""The report that the jobs of a real execution leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

PIPELINE = """
pipeline: waves
operations:
  fit: {uses: ops.py:Fit}
  show: {uses: ops.py:Show, inputs: {params: fit.params}}
"""
OPERATIONS = """
class Fit:
    def execute(self) -> dict:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        import dfh_runtime
        losses = [1.0, 0.5, 0.25]
        for step, loss in enumerate(losses):
            dfh_runtime.log(step, loss=loss)
        plt.plot(losses)
        plt.title("Loss of the waves")
        plt.show()
        params = {"a": 1}
        return params

class Show:
    def execute(self, params: dict) -> dict:
        result = {"b": params["no such key"]}
        return result
"""


def test_the_jobs_leave_a_report_with_figures_numbers_and_the_reason(
    browser: Any, tmp_path: Path, shots: Path
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "waves.yaml").write_text(PIPELINE)
    (tmp_path / "ops.py").write_text(OPERATIONS)
    command = "import sys; from deepforge_hpc.cli.main import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", command, "run", "waves.yaml", "--site", "local"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    page = tmp_path / "executions" / "waves-0001" / "report.html"
    assert page.exists(), run.stdout + run.stderr
    browser.show(page, 1280, 800)
    text = browser.run("return document.querySelector('main').innerText")
    assert "show failed." in text
    line = OPERATIONS.splitlines().index('        result = {"b": params["no such key"]}') + 1
    assert f"KeyError: 'no such key' (ops.py:{line})" in text
    assert "Loss of the waves" in text
    assert "dfh logs waves-0001 show" in text
    assert "dfh submit waves.yaml --site local" in text
    assert browser.run("return [...document.images].map(i => i.naturalWidth > 0)") == [True]
    assert browser.run("return document.querySelectorAll('.curve').length") == 1
    assert browser.console() == []
    browser.picture(shots / "real.png", whole=True)
