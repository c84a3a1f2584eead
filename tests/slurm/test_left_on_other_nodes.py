"""Where each node has a working folder of its own, what ranks leave on the others is kept too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.mpi]

NODE = """\
#!/bin/sh
# A node as the test cluster has none: with a name and a local disk of its own.
[ "$SLURMD_NODENAME" = n1 ] && exec "$@"
exec unshare --mount --uts sh -c '
    hostname "$SLURMD_NODENAME" && mount -t tmpfs tmpfs "$SLURM_TMPDIR" && exec "$@"' sh "$@"
"""
OPERATION = """\
import os
from pathlib import Path

def leave() -> str:
    rank = os.environ["DFH_RANK"]
    os.makedirs("deep", exist_ok=True)
    Path(f"deep/of-{rank}").write_text(rank)
    if rank == "1":
        Path("large").write_bytes(bytes(11 << 20))
        __END__
    word = "made"
    return word
"""
SITE = """\
site: lab
extends: slurm-generic
launchers: {mpi: {argv: [srun, --nodes=2, --ntasks=2, --nodelist=n1, '%s']}}
environment_sets: {local: {env: {SLURM_TMPDIR: '%s'}}}
"""
PIPELINE = """\
pipeline: small
operations:
  leave: {uses: 'operations.py:leave', launch: mpi, resources: {nodes: 2, ntasks_per_node: 1}}
"""


@pytest.fixture
def site(tmp_path: Path) -> str:
    node, disk = tmp_path / "node.sh", tmp_path / "disk"
    node.write_text(NODE)
    node.chmod(0o755)
    disk.mkdir()
    private = ["unshare", "--mount", "--uts", "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if subprocess.run(private, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody give a process a disk of its own")
    return SITE % (node, disk)


@pytest.mark.parametrize(
    ("end", "code"), [("pass", 0), ("raise ValueError('no')", 9)], ids=["well", "badly"]
)
def test_they_are_carried_to_the_job_however_it_ends(
    slurm_cluster: Any, make_project: Any, dfh: Any, site: str, tmp_path: Path, end: str, code: int
) -> None:
    files = {
        "operations.py": OPERATION.replace("__END__", end),
        "site-configs/lab.yaml": site,
        "pipeline.yaml": PIPELINE,
    }
    project = make_project(files, name="small")
    done = dfh("run", "--site", "lab", "--json", "--interval", "1", cwd=project, expect=code)
    root = project / "executions/small-0001"
    left = root / "jobs/leave/left"
    found = {path.relative_to(left).as_posix() for path in left.rglob("*") if path.is_file()}
    said = json.loads((root / "jobs/leave/state.json").read_text())["left"]
    assert "n2/deep/of-1" in found, (found, said)
    assert (left / "n2/deep/of-1").read_text() == "1"
    assert not (left / "n2/large").exists()
    for name in ("n2/deep/of-1", "n2/large"):
        assert name in said
    (log,) = (root / "jobs/leave").glob("out.1.log")
    assert said in log.read_text()
    assert "n2/large" in (root / "report.html").read_text()
    (notice,) = (w for w in json.loads(done.stdout)["warnings"] if w["kind"] == "files_left")
    assert said in notice["text"]
    assert not list((tmp_path / "disk").iterdir())
    if not code:
        assert found == {"deep/of-0", "n2/deep/of-1"}
