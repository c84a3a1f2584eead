"""`dfh site` and `dfh schema`, as one types them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(make_project: Callable[..., Path]) -> Path:
    return make_project(
        {"site-configs/mine.yaml": "site: mine\nextends: slurm-base\ntitle: Mine\n"}
    )


def test_the_list_marks_where_a_site_is_from_and_its_variants(folder: Path, dfh: Any) -> None:
    (folder / "site-configs/bad.yaml").write_text("site: bad\nscheduler: slurm\nqueus: []\n")

    lines = dfh("site", "list", cwd=folder).stdout.splitlines()

    rows = {line.split()[0]: line for line in lines}
    assert rows["mine"].split()[1:] == ["slurm", "project", "-", "Mine"]
    assert "shipped" in rows["frontier"]
    assert "cpu gpu gpu80" in rows["perlmutter"]
    assert "broken: unknown key 'queus'" in rows["bad"]
    found = json.loads(dfh("site", "list", "--json", cwd=folder).stdout)["sites"]
    assert {"mine", "bad", "local"} <= {site["name"] for site in found}


def test_what_sites_have_in_common_is_not_listed_and_gets_no_jobs(project: Path, dfh: Any) -> None:
    assert not re.search(r"(?m)^(alps|tacc|slurm-base) ", dfh("site", "list", cwd=project).stdout)
    for verb in ("plan", "doctor"):
        told = dfh(verb, "--site", "alps", cwd=project, expect=3).stderr
        assert "site alps is no machine, but what others extend" in told
        assert "which are daint and clariden" in told
    assert "Alps" in dfh("site", "show", "alps", cwd=project).stdout
    folder = project / "site-configs"
    folder.mkdir()
    (folder / "tacc.yaml").write_text("site: tacc\nextends: tacc\ndefaults: {time: 2h}\n")
    assert not re.search(r"(?m)^tacc ", dfh("site", "list", cwd=project).stdout)
    file = project / "mine.yaml"
    file.write_text("- a list\n")
    told = dfh("site", "check", file, cwd=project, expect=3).stderr
    assert "mine.yaml" in told
    file.write_text("site: mine\nextends: tacc\nbase: maybe\n")
    told = dfh("site", "check", file, cwd=project, expect=3).stderr
    assert "mine.yaml:3:7: base: expected true or false, not 'maybe'" in told


def test_show_names_sources_and_marks_what_is_unknown(folder: Path, dfh: Any) -> None:
    text = dfh("site", "show", "perlmutter/cpu", cwd=folder).stdout

    assert text.startswith("perlmutter/cpu  (shipped: ")
    assert "extends: slurm-base" in text
    assert "    source: " in text
    assert "[slurm-base]" in text
    assert any(line.startswith("? ") and "unknown" in line for line in text.splitlines())
    document = json.loads(dfh("site", "show", "perlmutter/cpu", "--json", cwd=folder).stdout)
    assert document["site"]["slurm"]["version"] == "unknown"
    assert "slurm.version" in document["site"]["unknowns"]
    assert document["site"]["facts"]["queues"][0]["confidence"] in "OTLM"


def test_show_begins_with_what_the_file_says_and_counts_what_all_sites_inherit(
    folder: Path, dfh: Any
) -> None:
    text = dfh("site", "show", "lumi-g", cwd=folder).stdout
    heads = re.findall(r"(?m)^[ ?] ([a-z_]+):", text)
    assert heads[:5] == ["identify", "slurm", "account", "routing", "queues"]
    assert heads.index("accounting") < heads.index("launchers")
    assert re.search(r"(?m)^  errors: \d+ inherited hints, shown with --all$", text)
    assert "AssocGrp" not in text
    assert "[srun, --nodes={nodes}, --ntasks={world_size}," in text
    assert "AssocGrp" in dfh("site", "show", "lumi-g", "--all", cwd=folder).stdout
    file = folder / "site-configs/mine.yaml"
    file.write_text("site: mine\nextends: lumi-g\nerrors: [{match: oops, hint: Call us}]\n")
    own = dfh("site", "show", "mine", cwd=folder).stdout
    assert re.findall(r"(?m)^[ ?] ([a-z_]+):", own)[0] == "errors"
    assert "Call us" in own
    assert "AssocGrp" not in own


def test_what_no_source_is_named_for_is_told(folder: Path, dfh: Any) -> None:
    file = folder / "site-configs/mine.yaml"
    file.write_text("site: mine\nextends: frontier\nqueues: [{name: a, partition: b}]\n")
    shown = dfh("site", "show", "mine", cwd=folder).stdout.splitlines()
    queues = shown.index("  queues: [{name: a, partition: b}]")
    assert shown[queues + 1 : queues + 3] == ["    source: none is named in mine.yaml", ""]
    checked = dfh("site", "check", file, cwd=folder).stdout
    assert checked.endswith("no source is named under facts for: queues\n")
    document = json.loads(dfh("site", "show", "mine", "--json", cwd=folder).stdout)
    assert document["unsourced"] == {"queues": ["mine.yaml"]}


def test_check_tells_all_faults_of_a_file_and_its_variants(folder: Path, dfh: Any) -> None:
    file = folder / "site-configs/mine.yaml"
    assert "site mine, 0 queues: no faults" in dfh("site", "check", file, cwd=folder).stdout
    file.write_text(
        "site: mine\nextends: slurm-base\n"
        "variants: {a: {queues: [{nme: x}]}, b: {request: {gpu: gps}}}\ndefault_variant: a\n"
    )
    failed = dfh("site", "check", file, cwd=folder, expect=3)
    assert "mine.yaml:3:" in failed.stderr
    file.write_text(file.read_text().replace("nme", "name"))
    failed = dfh("site", "check", file, cwd=folder, expect=3)
    assert "request.gpu.style: expected one of gres" in failed.stderr
    other = folder / "site-configs/other.yaml"
    other.write_text("site: mine\nextends: slurm-base\n")
    failed = dfh("site", "check", other, cwd=folder, expect=3)
    assert "other.yaml:1:7: site: 'mine', but the file is other.yaml" in failed.stderr
    missing = dfh("site", "check", "none.yaml", cwd=folder, expect=2)
    assert "there is no such file" in missing.stderr


def test_detect_names_the_machine_or_says_what_to_do(folder: Path, dfh: Any, follow: Any) -> None:
    found = dfh("site", "detect", cwd=folder, env={"NERSC_HOST": "perlmutter"})
    assert found.stdout == "perlmutter\n"
    assert found.stderr == "by NERSC_HOST=perlmutter\n"
    (folder / "site-configs/bad.yaml").write_text("site: bad\nqueus: []\n")
    beside = dfh("site", "detect", cwd=folder, env={"NERSC_HOST": "perlmutter"})
    step = "cli/commands/site.py detect: dfh site"
    assert "unknown key 'queus'" in follow(step, beside, cwd=folder, expect=3).stderr

    nothing = dfh("site", "detect", cwd=folder, expect=4, env={"SLURM_CONF": os.devnull})
    assert "is this machine" in nothing.stderr
    assert "dfh site probe" in nothing.stderr

    file = folder / "site-configs/mine.yaml"
    file.write_text(
        "site: mine\nscheduler: slurm\n"
        "identify: [{env: {NERSC_HOST: perlmutter}}, {env: {MINE: '1'}}]\n"
    )
    both = dfh("site", "detect", cwd=folder, expect=4, env={"NERSC_HOST": "perlmutter"})
    assert "more than one site" in both.stderr
    assert "--site mine or --site perlmutter" in both.stderr
    assert "mine by MINE=1" in both.stderr


def test_detect_asks_the_controller_where_there_is_no_slurm_conf(folder: Path, dfh: Any) -> None:
    programs = folder / "programs"
    programs.mkdir()
    scontrol = programs / "scontrol"
    scontrol.write_text('#!/bin/bash\n[[ $* == "show config" ]] && echo "ClusterName = ours"\n')
    scontrol.chmod(0o755)
    file = folder / "site-configs/mine.yaml"
    file.write_text("site: mine\nscheduler: slurm\nidentify: [{cluster_name: ours}]\n")
    environment = {"SLURM_CONF": os.devnull, "PATH": f"{programs}:{os.environ['PATH']}"}
    found = dfh("site", "detect", cwd=folder, env=environment)
    assert (found.stdout, found.stderr) == ("mine\n", "by ClusterName=ours\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("probe", "-o", "x.txt"), "x.txt: a site file ends in .yaml"),
        (("probe", "-o", "x.yaml", "--name", "y"), "--name y is not the name of x.yaml"),
        (("probe", "-o", "my site.yaml"), "'my site' cannot be the name of a site"),
        (("probe", "--name", "a\nqueues: []"), "cannot be the name of a site"),
        (("diff", "local"), "site local is of local, and only Slurm can be asked"),
    ],
)
def test_what_no_site_can_be_is_refused_before_slurm_is_asked(
    folder: Path, dfh: Any, argv: tuple[str, ...], said: str
) -> None:
    done = dfh("site", *argv, cwd=folder, expect=2, env={"PATH": os.defpath})
    assert said in done.stderr


@pytest.mark.parametrize("kind", ["site", "pipeline", "architecture"])
def test_a_schema_is_printed(tmp_path: Path, dfh: Any, kind: str) -> None:
    document = json.loads(dfh("schema", kind, cwd=tmp_path).stdout)
    assert document["title"].lower().startswith(("a ", "an "))
    assert document["type"] == "object"


def test_layers_reach_the_command(folder: Path, dfh: Any, tmp_path: Path) -> None:
    group, user = tmp_path / "group/site-configs", tmp_path / "config/deepforge-hpc/sites"
    for layer in (group, user):
        layer.mkdir(parents=True)
        (layer / "mine.yaml").write_text("site: mine\nscheduler: local\n")
        (layer / "ours.yaml").write_text("site: ours\nscheduler: local\n")
    (group / "theirs.yaml").write_text("site: theirs\nscheduler: local\n")
    environment = {
        "DEEPFORGE_HPC_PATH": str(group.parent),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    text = dfh("site", "list", cwd=folder, env=environment).stdout

    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines()}
    assert rows["mine"] == ["slurm", "project"]
    assert rows["ours"] == ["local", "user"]
    assert rows["theirs"] == ["local", "$DEEPFORGE_HPC_PATH"]
    assert rows["frontier"] == ["slurm", "shipped"]


def test_doctor_without_a_pipeline_takes_account_and_folder_as_a_pipeline_would(
    folder: Path, dfh: Any, tmp_path: Path
) -> None:
    home = Path(dfh.environ["XDG_CONFIG_HOME"]) / "deepforge-hpc"
    home.mkdir(parents=True)
    user = tmp_path / "user"
    (home / "settings.yaml").write_text(f"executions: {user}\n")
    site = tmp_path / "site"
    file = folder / "site-configs/mine.yaml"
    file.write_text(f"site: mine\nextends: local\nexecutions: {site}\n")

    def executions(**environment: str) -> str:
        done = dfh("doctor", "--site", "mine", "--json", cwd=folder, env=environment)
        findings = json.loads(done.stdout)["findings"]
        return next(
            item["text"].partition(":")[0]
            for item in findings
            if (item["kind"], item["subject"]) == ("folder", "executions")
        )

    assert executions(DEEPFORGE_HPC_EXECUTIONS=str(tmp_path / "set")) == str(tmp_path / "set")
    assert executions() == str(site)
    file.write_text("site: mine\nextends: local\n")
    assert executions() == str(user)


def test_doctor_looks_at_what_the_jobs_of_a_pipeline_run_in(folder: Path, dfh: Any) -> None:
    (folder / "operations.py").write_text("def draw() -> int:\n    n = 3\n    return n\n")
    (folder / "pipeline.yaml").write_text(
        "pipeline: p\nenvironment: {venv: gone}\noperations:\n"
        "  a: {uses: 'operations.py:draw'}\n"
        "  b: {uses: 'operations.py:draw', environment: {container: gone.sif}}\n"
    )
    done = dfh("doctor", "--site", "mine", "--json", cwd=folder, expect=5)
    found = json.loads(done.stdout)["findings"]
    errors = {item["kind"]: item["text"] for item in found if item["level"] == "error"}
    assert errors["python"] == f"{folder}/gone/bin/python: no such program, for a, _final"
    assert errors["container"] == f"{folder}/gone.sif: no such image, for b"


def test_doctor_names_the_keys_of_what_a_plan_could_not_check(folder: Path, dfh: Any) -> None:
    (folder / "operations.py").write_text("def draw() -> int:\n    n = 3\n    return n\n")
    (folder / "pipeline.yaml").write_text(
        "pipeline: p\noperations: {a: {uses: 'operations.py:draw'}}\n"
    )
    (folder / "site-configs/mine.yaml").write_text(
        "site: mine\nextends: slurm-base\nmodules: {init: unknown}\n"
        "queues: [{name: q, partition: q, chaining: unknown}]\n"
    )
    done = dfh("doctor", "--site", "mine", "--json", cwd=folder, expect=5)
    steps = [item["next"] for item in json.loads(done.stdout)["findings"]]
    start = "look it up, and write it into the file of site mine: "
    assert f"{start}queues.q.chaining" in steps
    assert f"{start}modules.init" in steps


def test_what_a_site_does_not_tell_is_told_once(dfh: Any, project: Path) -> None:
    folder = project / "site-configs"
    folder.mkdir()
    (folder / "mine.yaml").write_text("site: mine\nextends: local\nbinding: unknown\n")
    words = ("submit", "--site", "mine")
    first = dfh(*words, cwd=project).stderr
    warning = "left out of the scripts: binding"
    assert warning in first
    again = dfh(*words, cwd=project).stderr
    assert warning not in again
    assert (
        "info: 1 warning(s) of what the file of site mine leaves open are those of small-0001"
        in again
    )
    document = json.loads(dfh(*words, "--json", cwd=project).stdout)
    assert [one for one in document["warnings"] if warning in one["text"]]
    # Another site between them has warnings of its own, once, and changes nothing.
    (folder / "other.yaml").write_text("site: other\nextends: local\nbinding: unknown\n")
    others = ("submit", "--site", "other")
    assert warning in dfh(*others, cwd=project).stderr
    (project / "executions" / "small-0004" / "execution.json").unlink()  # nor does a damaged one
    assert warning in dfh(*others, cwd=project).stderr
    for said in (words, others, words):
        assert warning not in dfh(*said, cwd=project).stderr
    (folder / "mine.yaml").write_text(
        "site: mine\nextends: local\nbinding: unknown\nqueues: unknown\n"
    )
    assert "no queue is chosen" in dfh(*words, cwd=project).stderr
    assert warning in dfh("plan", "--site", "mine", cwd=project).stderr


def test_what_a_part_of_a_pipeline_does_not_meet_is_not_told_again(dfh: Any, project: Path) -> None:
    """Between two submissions of the whole, one of a part has fewer warnings."""
    (project / "site-configs").mkdir()
    (project / "site-configs/mine.yaml").write_text(
        "site: mine\nextends: local\nqueues: [{name: q, mem_per_node: {max: unknown}}]\n"
    )
    text = (project / "pipeline.yaml").read_text()
    sized = text.replace("  total:\n", "  total:\n    resources: {mem_per_node: 64MiB}\n")
    assert sized != text
    (project / "pipeline.yaml").write_text(sized)
    words, warning = ("submit", "--site", "mine"), "unknown and not checked: mem_per_node"
    assert warning in dfh(*words, cwd=project).stderr
    part = dfh(*words, "--only", "count", cwd=project).stderr
    assert (warning in part, "were told with" in part) == (False, False)
    told = dfh(*words, cwd=project).stderr
    assert warning not in told
    assert "leaves open are those of small-0001" in told


def test_that_an_array_may_count_as_many_jobs_is_told_once(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project(
        {
            "site-configs/mine.yaml": (
                "site: mine\nextends: local\nsubmit: {array_counts_as: unknown, max_queued: 5}\n"
            ),
            "operations.py": (
                "def make() -> list:\n    words = ['a'] * 9\n    return words\n\n\n"
                "def twice(words: list) -> list:\n    more = words * 2\n    return more\n"
            ),
            "pipeline.yaml": (
                "pipeline: p\noperations:\n  make: {uses: 'operations.py:make'}\n"
                "  twice: {uses: 'operations.py:twice', inputs: {words: make.words}, "
                "map: {over: words, shards: 9}}\noutputs: {more: twice.more}\n"
            ),
        }
    )
    words, doubt = ("submit", "--site", "mine", "--no-reuse"), "if each task of an array counts"
    assert doubt in dfh(*words, cwd=project).stderr
    told = dfh(*words, cwd=project).stderr
    assert doubt not in told
    assert "leaves open are those of p-0001" in told
