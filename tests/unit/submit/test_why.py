"""Which jobs of an earlier execution count as done when it is asked why they run again."""

from pathlib import Path

from deepforge_hpc.runtime.base.files import digest
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.base.plan import Job, JobKind
from deepforge_hpc.runtime.state import marker
from deepforge_hpc.submit import why


def test_an_array_has_succeeded_when_all_its_tasks_have(tmp_path: Path) -> None:
    key, layout = digest(b"key"), ExecutionLayout(tmp_path)
    job = Job(name="a", operation="a", kind=JobKind.ARRAY, tasks=2, plan_key=key)
    for task in (0, 1):
        folder = layout.job("a", task)
        folder.root.mkdir(parents=True)
        marker.write(folder, marker.Marker("a", task, 1, key, "sha256:0", {}, None))
        assert why._succeeded(layout, job) is (task == 1)
