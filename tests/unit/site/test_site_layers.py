"""Several files as one site: whose value counts, where it stands, and circles."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc import paths
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.site.find import ANY, known_sites, load_site, site_folders

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import SiteFolder

BASE = """\
site: base
scheduler: slurm
account: {value: abc, env: PROJECT}
queues: [{name: a}, {name: b}]
modules: {init: purge}
"""
VARIED = """\
site: x
extends: base
account: {value: mine}
queues: [{name: c}]
variants:
  gpu: {request: {gpu: gpus}, modules: {init: reset}}
  cpu: {request: {gpu: none}}
"""


def test_mappings_are_merged_and_lists_replaced(files: SiteFolder) -> None:
    files.write("base", BASE)
    files.write("x", VARIED)

    gpu, cpu = files.load("x/gpu"), files.load("x/cpu")

    assert (gpu.spec.account.value, gpu.spec.account.env) == ("mine", "PROJECT")
    assert [queue.name for queue in gpu.spec.queues] == ["c"]
    assert (gpu.spec.modules.init, cpu.spec.modules.init) == ("reset", "purge")
    assert (gpu.spec.request.gpu.style, cpu.spec.request.gpu.style) == ("gpus", "none")
    assert (gpu.spec.name, gpu.spec.variants) == ("x/gpu", ("cpu", "gpu"))
    assert gpu.extends == ("base",)


def test_each_value_keeps_the_place_that_it_comes_from(files: SiteFolder) -> None:
    files.write("base", BASE)
    files.write("x", VARIED)

    found = files.load("x/gpu")

    assert found.origin("account", "value") == "site x/gpu (project):3"
    assert found.origin("account", "env") == "site x/gpu (project) base.yaml:3"
    assert found.origin("modules", "init") == "site x/gpu (project):6"
    assert found.origin("scheduler") == "site x/gpu (project) base.yaml:2"


def test_the_frozen_bytes_say_all_that_the_files_said_together(files: SiteFolder) -> None:
    files.write("base", BASE)
    files.write("x", VARIED)
    found = files.load("x/gpu")

    alone = files.root / "x.yaml"
    alone.write_bytes(found.data)
    again = load_site(str(alone), [])

    assert load(found.data, "x").value()["site"] == "x"
    assert again.spec.request == found.spec.request
    assert again.spec.queues == found.spec.queues
    assert again.spec.account == found.spec.account


def test_a_variant_must_be_named_unless_one_is_the_default(files: SiteFolder) -> None:
    files.write("base", BASE)
    files.write("x", VARIED)
    assert files.told("x") == [
        "x.yaml:6: the site has variants: say which one (--site x/cpu, x/gpu)"
    ]
    assert files.told("x/gpus") == ["x.yaml:6: no variant 'gpus' (did you mean 'gpu'?)"]
    assert files.told("base/gpu") == ["base.yaml:1: no variant 'gpu' (the site has no variants)"]
    assert files.load(f"x/{ANY}").spec.name == "x/cpu"
    files.write("x", VARIED + "default_variant: gpu\n")
    assert files.load("x").spec.name == "x/gpu"
    files.write("x", VARIED + "default_variant: gpo\n")
    assert files.told("x") == ["x.yaml:8: default_variant: no variant 'gpo' (did you mean 'gpu'?)"]


def test_variants_are_inherited(files: SiteFolder) -> None:
    files.write("base", BASE)
    files.write("x", VARIED + "default_variant: gpu\n")
    files.write("ours", "site: ours\nextends: x\nvariants: {gpu: {account: {value: other}}}\n")

    ours = files.load("ours").spec

    assert (ours.name, ours.account.value, ours.request.gpu.style) == ("ours/gpu", "other", "gpus")
    assert files.load("ours/cpu").spec.account.value == "mine"


@pytest.mark.parametrize("variants", ["[gpu]", "{gpu: 1}", "gpu"])
def test_variants_of_another_shape_are_refused(files: SiteFolder, variants: str) -> None:
    assert files.faults(f"variants: {variants}") == [
        "x.yaml:1: variants: expected a mapping of names to parts of a site"
    ]


def test_a_fault_names_the_file_that_holds_it(files: SiteFolder) -> None:
    files.write("base", BASE.replace("purge", "prge"))
    files.write("x", "site: x\nextends: base\nrequest: {gpu: gps}\n")
    assert files.told() == [
        (
            "base.yaml:5: modules.init: expected one of none, purge, force-purge, reset, not 'prge' "
            "(did you mean 'purge'?)"
        ),
        (
            "x.yaml:3: request.gpu.style: expected one of gres, gpus, gpus-per-node, gpus-per-task, "
            "none, not 'gps' (did you mean 'gpus'?)"
        ),
    ]


def test_a_circle_is_named_in_full(files: SiteFolder) -> None:
    for name, base in (("x", "b"), ("b", "c"), ("c", "b")):
        files.write(name, f"site: {name}\nscheduler: slurm\nextends: {base}\n")
    assert files.told() == ["c.yaml:3: extends: a circle: b -> c -> b"]


def test_a_file_that_extends_itself_or_nothing_is_refused(files: SiteFolder) -> None:
    assert files.faults("extends: x") == [
        "x.yaml:1: extends: 'x' is this file, and there is no other of that name"
    ]
    assert files.faults("extends: slurm-genric") == [
        "x.yaml:1: extends: no site 'slurm-genric' (did you mean 'slurm-generic'?)"
    ]
    assert files.faults("extends: [a]")[0].startswith("x.yaml:1: extends: no site a list")
    assert files.faults("extends: ../x")[0].startswith("x.yaml:1: extends: no site '../x'")


def test_a_project_corrects_the_shipped_site_that_it_hides(files: SiteFolder) -> None:
    files.write("local", "site: local\nextends: local\ndefaults: {cpus_per_task: 3}\n")

    found = files.load("local")

    assert found.where == "project"
    assert found.spec.scheduler == "local"
    assert found.spec.defaults.cpus_per_task == 3
    assert found.extends == ("local",)


def test_the_order_of_the_layers(tmp_path: Path) -> None:
    project, user = tmp_path / "project", tmp_path / "user"
    extra = [tmp_path / "one", tmp_path / "two"]
    environ = {"DEEPFORGE_HPC_PATH": f"{extra[0]}::{extra[1]}:{tmp_path}/none"}
    places = [
        ("project", project / "site-configs"),
        ("user", user / "sites"),
        ("$DEEPFORGE_HPC_PATH", extra[0] / "site-configs"),
        ("$DEEPFORGE_HPC_PATH", extra[1] / "site-configs"),
    ]
    for number, (_, folder) in enumerate(places):
        folder.mkdir(parents=True)
        (folder / "local.yaml").write_text(f"site: local\nscheduler: local\ntitle: '{number}'\n")

    for number, (where, folder) in enumerate(places):
        found = load_site("local", site_folders(project, user, environ))
        assert (found.where, found.spec.title) == (where, str(number))
        (folder / "local.yaml").unlink()
    assert load_site("local", site_folders(project, user, environ)).where == "shipped"


@pytest.mark.parametrize(("mode", "is_taken"), [(0o755, True), (0o2775, True), (0o1777, False)])
def test_files_of_several_owners_are_taken_from_a_folder_of_a_centre(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_taken: bool
) -> None:
    folder = tmp_path / "centre" / "site-configs"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("site: own\nextends: local\n")
    uid = os.getuid()
    monkeypatch.setattr(paths, "_owners", lambda path: {uid + (path.name == "own.yaml")})
    for place in (folder, folder.parent):
        place.chmod(mode)
        folders = site_folders(tmp_path, None, {"DEEPFORGE_HPC_PATH": str(folder.parent)})
        assert ("own" in known_sites(folders)) is is_taken
        place.chmod(0o755)
    (tmp_path / "site-configs").symlink_to(folder)  # of a project each file is asked for
    assert "own" not in known_sites(site_folders(tmp_path, None, {}))


def test_an_unknown_site_names_the_nearest(files: SiteFolder) -> None:
    with pytest.raises(InvalidInputError) as caught:
        files.load("frontir")
    assert caught.value.faults[0].hint == "did you mean 'frontier'?"


def test_what_others_extend_is_not_offered_as_a_site(files: SiteFolder) -> None:
    with pytest.raises(InvalidInputError) as caught:
        files.load("alp")
    assert caught.value.faults[0].hint == "dfh site list shows the known"


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a\x1b[2J", ""])
def test_what_is_no_name_of_a_site_is_told_whole(files: SiteFolder, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        files.load(name)
    (fault,) = caught.value.faults
    assert fault.message == f"no site {name!a}"
    assert fault.hint == "dfh site list shows the known"


def test_a_file_that_ends_in_yml_is_not_overlooked_in_silence(files: SiteFolder) -> None:
    (files.folder / "mine.yml").write_text("site: mine\nscheduler: slurm\n")
    with pytest.raises(InvalidInputError) as caught:
        files.load("mine")
    assert caught.value.faults[0].hint == f"rename {files.folder}/mine.yml to mine.yaml"


SOURCE = "{source: SOURCE, date: 2026-01-01, confidence: O}"


def facts(section: str, source: str) -> str:
    return f"facts: {{{section}: {SOURCE.replace('SOURCE', source)}}}\n"


def test_a_merged_section_has_the_sources_of_all_files(files: SiteFolder) -> None:
    files.write("base", BASE + facts("modules", "below"))
    files.write("x", "site: x\nextends: base\nmodules: {load: [a]}\n" + facts("modules", "above"))

    found = files.load()

    assert [fact.source for fact in found.spec.facts["modules"]] == ["above", "below"]
    places = [found.document.layer(("facts", "modules", index)).document for index in (0, 1)]
    assert [place.file.rpartition("/")[2] for place in places] == ["x.yaml", "base.yaml"]
    assert found.document.mark(("facts", "modules", 1, "source")).line == 6


def test_a_section_that_is_replaced_loses_the_sources_of_what_it_was(files: SiteFolder) -> None:
    files.write("base", BASE + facts("queues", "below"))
    files.write("x", "site: x\nextends: base\nqueues: []\n")
    assert "queues" not in files.load().spec.facts
    files.write("x", "site: x\nextends: base\nqueues: []\n" + facts("queues", "above"))
    assert [fact.source for fact in files.load().spec.facts["queues"]] == ["above"]


def test_a_variant_has_the_sources_of_its_file(files: SiteFolder) -> None:
    files.write("base", BASE)
    text = "site: x\nextends: base\nvariants: {gpu: {queues: [{name: g}]}}\n"
    files.write("x", text + facts("queues", "page"))
    assert [fact.source for fact in files.load("x/gpu").spec.facts["queues"]] == ["page"]


def test_a_wrong_source_is_told_in_the_file_that_names_it(files: SiteFolder) -> None:
    files.write("base", BASE + facts("modules", "below").replace("2026-01-01", "once"))
    files.write("x", "site: x\nextends: base\nmodules: {load: [a]}\n" + facts("modules", "above"))
    (told,) = files.told()
    assert told.startswith("base.yaml:6: facts.modules[1].date: expected a date")


def test_files_that_name_no_source_are_known(files: SiteFolder) -> None:
    files.write("base", BASE + facts("modules", "below"))
    files.write("x", "site: x\nextends: base\nmodules: {load: [a]}\nlogin: {cron: unknown}\n")
    assert files.load().unsourced == {
        "account": ("base.yaml",),
        "modules": ("x.yaml",),
        "queues": ("base.yaml",),
    }
