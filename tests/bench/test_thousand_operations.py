"""What check, plan and render of a large pipeline cost: processor time of a fresh process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bench

FILES = 20
THOUSAND_S = 0.6
TEN_TIMES = 13
"""How much more ten times as many operations may cost; 10 is linear."""
FAN_IN_TIMES = 5.5
"""How much more a join of 1,100 results may cost than one of 275; 4 is linear."""

_OPERATION = '''\
"""Operations of layer {number}."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

SCALE = {number}


class Step:
    """Mixes two tables."""

    def __init__(
        self,
        rate: Annotated[float, {{"min": 0.0}}] = 0.1,
        mode: Literal["mean", "sum"] = "mean",
        label: str = "",
    ) -> None:
        self.rate = rate
        self.mode = mode
        self.label = label

    def execute(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the mix."""
        table = self.rate * first + SCALE * second
        if self.mode == "sum":
            table = table * 2
        return table


def start(table: np.ndarray, offset: int = 0) -> np.ndarray:
    """Return the first table."""
    moved = table + offset
    return moved
'''

_RUN = """\
import sys
from pathlib import Path
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts
from deepforge_hpc.pipeline.load import load_pipeline
plan = resolve(load_pipeline(Path(sys.argv[1]), site=sys.argv[2]), origins=False)
assert len(render_scripts(plan)) == int(sys.argv[3]) + 1
"""


def write_pipeline(folder: Path, count: int) -> Path:
    """Write a layered pipeline of `count` operations over FILES files of code; return its path."""
    (folder / "operations").mkdir(parents=True)
    (folder / "table.npy").write_bytes(b"not read")
    for number in range(FILES):
        code = _OPERATION.format(number=number)
        (folder / "operations" / f"layer{number:02}.py").write_text(code, encoding="utf-8")
    width = count // 10
    lines = ["pipeline: large", "inputs:", "  table: {uri: table.npy}", "operations:"]
    for index in range(count):
        file = f"operations/layer{index % FILES:02}.py"
        lines.append(f"  step{index}:")
        if index < width:
            lines += [f"    uses: {file}:start", "    inputs: {table: table}"]
            lines.append(f"    attributes: {{offset: {index}}}")
        else:
            first, second = index - width, index - width + (1 if (index + 1) % width else 0)
            lines.append(f"    uses: {file}:Step")
            lines.append(
                f"    inputs: {{first: step{first}.moved, second: step{second}.moved}}"
                if index < 2 * width
                else f"    inputs: {{first: step{first}.table, second: step{second}.table}}"
            )
            lines.append(f"    attributes: {{rate: 0.{index % 9 + 1}, label: 'step {index}'}}")
            lines.append('    resources: {cpus_per_task: 2, time: "00:30:00"}')
    path = folder / "pipeline.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def planned_s(processor_seconds: Any, tmp_path: Path) -> Callable[..., float]:
    """Return a function that gives the processor seconds of check + plan + render."""

    def measure(count: int, site: str, runs: int) -> float:
        path = write_pipeline(tmp_path / f"{site}-{count}", count)
        argv = (sys.executable, "-c", _RUN, path, site, count)
        return processor_seconds(argv, cwd=tmp_path, runs=runs)

    return measure


@pytest.mark.parametrize("site", ["local", "slurm-generic"])
def test_a_thousand_operations_are_planned_and_rendered_at_once(
    site: str, planned_s: Any, judge_processor_time: Any
) -> None:
    judge_processor_time(f"1,000 operations, {site}", planned_s(1_000, site, 5), THOUSAND_S)


def test_ten_thousand_operations_cost_ten_times_as_much(planned_s: Any, judge: Any) -> None:
    small = planned_s(10, "slurm-generic", 3)
    thousand = planned_s(1_000, "slurm-generic", 3) - small
    ten_thousand = planned_s(10_000, "slurm-generic", 3) - small
    judge("10,000 operations against 1,000", ten_thousand / thousand, TEN_TIMES)


def write_join(folder: Path, count: int) -> Path:
    """Write a pipeline of `count` operations and one that joins them; return its path."""
    folder.mkdir(parents=True)
    code = "def make(n: int) -> int:\n    value = n\n    return value\n\n\n"
    code += "def merge(*parts: int) -> list:\n    joined = list(parts)\n    return joined\n"
    (folder / "ops.py").write_text(code, encoding="utf-8")
    lines = ["pipeline: join", "operations:"]
    lines += [f"  a{n}: {{uses: ops.py:make, attributes: {{n: {n}}}}}" for n in range(count)]
    given = ", ".join(f"a{n}.value" for n in range(count))
    lines += [f"  merge: {{uses: ops.py:merge, inputs: {{parts: [{given}]}}}}"]
    path = folder / "pipeline.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_join_of_1100_results_costs_four_times_one_of_275(
    processor_seconds: Any, tmp_path: Path, judge: Any
) -> None:
    def measure(count: int) -> float:
        path = write_join(tmp_path / f"join-{count}", count)
        argv = (sys.executable, "-c", _RUN, path, "slurm-generic", count + 1)
        seconds: float = processor_seconds(argv, cwd=tmp_path, runs=5)
        return seconds

    small = measure(1)
    ratio = (measure(1100) - small) / (measure(275) - small)
    judge("join of 1,100 against 275", ratio, FAN_IN_TIMES)
