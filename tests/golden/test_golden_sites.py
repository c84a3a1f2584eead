"""What each shipped site is asked for, and how: the part of a script that differs between sites.

A file of `sites/` holds, for each of five jobs, the account, the launch line, the header of the
script and its lines between guard and start; the rest is the same everywhere and stands in the
golden scripts of `local` and `slurm-generic`. To accept a change: DFH_UPDATE_GOLDEN=1 pytest
tests/golden, then read `git diff tests/golden`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from deepforge_hpc.paths import data_folder
from deepforge_hpc.pipeline.load import Settings, load_text
from deepforge_hpc.plan.resolve import resolve
from deepforge_hpc.render.script import render_scripts

HERE = Path(__file__).parent
UPDATE = bool(os.environ.get("DFH_UPDATE_GOLDEN"))
# site: (GPUs a node, nodes of the large job, transfer queue, account); 16 nodes unless no queue with
# GPUs takes so many.
SITES = {
    "anvil": (4, 16, "", "abc123456"),
    "bridges-2": (8, 16, "", "abc123"),
    "clariden": (4, 16, "", "a-g123"),
    "daint": (4, 16, "xfer", "g123"),
    "della": (4, 16, "", ""),
    "delta": (4, 16, "", "abcd"),
    "expanse": (4, 4, "", "abc123"),
    "expanse-nairr": (4, 16, "", "abc123"),
    "frontier": (8, 16, "", "abc123"),
    "juwels-booster": (4, 16, "", "abc"),
    "leonardo": (4, 16, "", "IscrX_abc"),
    "lumi-g": (8, 16, "", "project_123"),
    "narval": (4, 16, "", "rrg-abc-ad"),
    "perlmutter": (4, 16, "xfer", "m1234"),
    "stampede3": (4, 4, "", "ABC12345"),
    "vista": (1, 16, "", "ABC12345"),
    # Other nodes of a machine, and no centre's rules.
    "perlmutter/cpu": (0, 16, "xfer", "m1234"),
    "perlmutter/gpu80": (4, 16, "xfer", "m1234"),
    "slurm-generic": (4, 16, "", ""),
    "slurm-pyxis": (4, 16, "", ""),
    "lab": (2, 2, "", ""),
    # Rendered, not run.
    "polaris": (4, 16, "", "abc123"),
    "aurora": (12, 16, "", "abc123"),
    "flux-like": (4, 16, "", "abc123"),
}
WANT_MEMORY = ("delta", "expanse", "expanse-nairr", "narval")
"""They refuse a job that does not say how much."""
IMAGES = {"slurm-pyxis": "nvcr.io#nvidia/tensorflow:25.02-tf2-py3"}
"""What jobs run inside where that is the point of the site."""
JOBS = ("cpu", "node", "large", "array", "transfer")
PIPELINE = """\
pipeline: sites
inputs: {{table: table.npy}}
environment: {{{where}, modules: [my/1.0]}}
operations:
  cpu:
    uses: operations.py:Render
    inputs: {{table: table}}
    attributes: {{width: 1}}
    resources: {{cpus_per_task: 4, {memory}time: 30m}}
  node:
    uses: operations.py:Render
    inputs: {{table: table}}
    attributes: {{width: 2}}
    launch: srun
    resources: {{ntasks_per_node: 8, {node_gpus}{memory}time: 30m}}
  large:
    uses: operations.py:Render
    inputs: {{table: table}}
    attributes: {{width: 3}}
    launch: horovod
    resources: {{nodes: {nodes}, gpus_per_node: {gpus}, {memory}time: 2h}}
  array:
    uses: operations.py:Render
    inputs: {{table: table}}
    attributes: {{width: 4}}
    map: {{over: table, shards: 8}}
    resources: {{{memory}time: 30m}}
  transfer:
    uses: operations.py:Render
    inputs: {{table: table}}
    attributes: {{width: 5}}
    resources: {{{memory}time: 30m{queue}}}
outputs: {{{outputs}}}
"""


def _stem(site):
    return site.replace("/", "-")


def planned(site):
    gpus, nodes, transfer, account = SITES[site]
    queue = f", queue: {transfer}" if transfer else ""
    outputs = ", ".join(f"{name}_images: {name}.images" for name in JOBS)
    image = IMAGES.get(site)
    text = PIPELINE.format(
        where=f'container: "{image}"' if image else "python: /opt/python/bin/python3",
        gpus=gpus,
        nodes=nodes,
        queue=queue,
        outputs=outputs,
        # A rank a GPU where there are eight, else the eight ranks of a program without GPUs.
        node_gpus="gpus_per_node: 8, " if gpus == 8 else "",
        memory="mem_per_node: 64GiB, " if site in WANT_MEMORY else "",
    )
    path = HERE / "project" / f"{_stem(site)}.yaml"
    settings = Settings(account=account, python="/opt/python/bin/python3")
    own = HERE / "sites" / f"{_stem(site)}.yaml"
    return resolve(
        load_text(text.encode(), path, site=str(own) if own.exists() else site, settings=settings)
    )


@pytest.fixture(scope="module")
def sites():
    plans = {site: planned(site) for site in SITES}
    return {site: (plan, render_scripts(plan)) for site, plan in plans.items()}


def summary(plan, scripts):
    parts = [] if plan.scheduler == "slurm" else ["Rendered, not run.", ""]
    for name in JOBS:
        job, text = plan.job(name), scripts[name]
        end = re.search(r"^(unset SLURM_EXPORT_ENV|set -euo pipefail)$", text, re.MULTILINE)
        header = text[text.index("work-0.") + 8 : end.start()].rstrip()
        body = text[text.index("trap 'forward TERM'") : text.index("command+=(-m")]
        parts += [
            f"=== {name}: queue {job.queue}, account {job.account or '-'}",
            "launch: " + shlex.join(job.launch.argv),
            *(f"launch env: {key}={value}" for key, value in job.launch.env),
            header,
            "\n".join(line for line in body.splitlines()[1:] if line.strip()),
            "",
        ]
    text = "\n".join([*parts, *(f"warning: {text}" for text in plan.warnings), ""])
    return text.replace(str(HERE / "project"), "/PROJECT")  # a container is given its folders


@pytest.mark.parametrize("site", SITES)
def test_a_site_is_asked_as_it_was_accepted(sites, site):
    golden = HERE / "sites" / f"{_stem(site)}.txt"
    text = summary(*sites[site])
    if UPDATE:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), (
        "if that is right: DFH_UPDATE_GOLDEN=1 pytest tests/golden, and read the git diff"
    )


def test_every_shipped_site_has_its_golden_file():
    bases = {"alps", "tacc", "slurm-base"}
    shipped = {path.stem for path in data_folder("site-configs").glob("*.yaml")}
    assert shipped - bases - {"local"} <= set(SITES)  # of local there are whole scripts


def test_shellcheck_has_nothing_to_say_of_any_site(sites, tmp_path, shellcheck):
    paths = []
    for site, (_, scripts) in sites.items():
        for job in ("cpu", "large"):
            path = tmp_path / f"{_stem(site)}-{job}.sh"
            path.write_text(scripts[job], encoding="utf-8")
            paths.append(path)
    shellcheck(*paths)


def test_the_shell_of_a_launch_line_is_clean(sites):
    seen = set()
    for plan, _ in sites.values():
        for job in plan.jobs:
            if "-c" in job.launch.argv:
                seen.add(job.launch.argv[job.launch.argv.index("-c") + 1])
    assert seen
    for text in seen:
        subprocess.run(["bash", "-n", "-c", text], check=True)
