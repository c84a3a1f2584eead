"""A valid project, as it is loaded: edges, values, types, inputs, selection and settings."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.pipeline.edges import Result
from deepforge_hpc.pipeline.interface import Edge
from deepforge_hpc.runtime.base.files import digest, digest_path
from deepforge_hpc.runtime.base.plan import Environment, OutputPort

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import ProjectFolder


def test_a_valid_project_is_loaded_in_the_order_of_its_edges(project: ProjectFolder) -> None:
    loaded = project.load()

    assert list(loaded.operations) == ["render", "train", "evaluate"]
    assert loaded.graph == {"render": [], "train": ["render"], "evaluate": ["train"]}
    assert loaded.operations["train"].inputs == (
        Edge(port="images", type="npy", operation="render", output="images"),
    )
    assert loaded.operations["render"].inputs == (
        Edge(port="table", type="hdf5", external="catalogue"),
    )
    assert loaded.outputs == (
        Result(name="score", operation="evaluate", output="score"),
        Result(
            name="summary",
            operation="train",
            output="summary",
            to=str(project.root / "results/summary.txt"),
        ),
    )
    assert loaded.warnings == ()
    assert loaded.project == project.root
    assert loaded.pipeline_bytes == (project.root / "pipeline.yaml").read_bytes()
    assert loaded.selection is None


def test_an_operation_knows_its_code(project: ProjectFolder) -> None:
    train = project.load().operations["train"]

    assert train.source.module == "project/operations/all.py"
    assert (train.source.object, train.source.kind) == ("Train", "class")
    assert train.source.search == ("project/operations", "project")
    assert train.source.returns == "tuple"
    assert train.source.parameters[:2] == ("epochs", "model")
    assert train.attributes == {"epochs": 3}
    assert train.defaults["rate"] == 0.001
    assert "epochs" not in train.defaults
    assert train.outputs == (
        OutputPort(name="history", type="json", annotation="dict", types=("dict",), optional=False),
        OutputPort(name="summary", type="text", annotation="str", types=("str",), optional=False),
    )
    assert train.place == "operations/all.py:19"


def test_inputs_of_a_function_are_what_the_pipeline_gives(project: ProjectFolder) -> None:
    evaluate = project.load().operations["evaluate"]

    assert evaluate.source.parameters == ("threshold", "plot")
    assert [edge.port for edge in evaluate.inputs] == ["history"]
    assert evaluate.source.returns == "dict"


def test_operations_written_in_any_order_are_sorted(project: ProjectFolder) -> None:
    project.edit(
        "inputs: {history: train.history}", "inputs: {history: train.history}\n    after: [extra]"
    )
    project.edit(
        "outputs:\n",
        "  extra: {uses: 'operations/all.py:evaluate', inputs: {history: train.history}}\noutputs:\n",
    )
    project.edit("from: evaluate.score}", "from: extra.score}\n  other: evaluate.score")

    loaded = project.load()

    assert list(loaded.operations) == ["render", "train", "extra", "evaluate"]
    assert loaded.operations["evaluate"].after == ("extra",)
    assert loaded.graph["evaluate"] == ["extra", "train"]


# -- external inputs


def test_a_small_input_is_hashed_and_a_large_one_is_not(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.root / "data/sdss.h5"
    (small,) = project.load().inputs
    assert small.sha256 == digest(path.read_bytes())
    assert (small.path, small.size, small.type) == (str(path), path.stat().st_size, "hdf5")
    assert small.mtime_ns == path.stat().st_mtime_ns
    assert small.origin == f"{project.root}/pipeline.yaml:3"

    monkeypatch.setattr("deepforge_hpc.pipeline.external.SMALL_BYTES", 5)
    (large,) = project.load().inputs
    assert large.sha256 is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.HDF5", "hdf5"), ("a.npy", "npy"), ("a.npz", "npz"), ("a.json", "json"), ("a.keras", "keras"),
     ("a.csv", "file"), ("a.txt", "file"), ("a", "file"), ("a b $(x) 'q'.csv", "file")],
)  # fmt: skip
def test_the_type_of_an_input_follows_its_suffix(
    project: ProjectFolder, name: str, kind: str
) -> None:
    project.write(f"data/{name}", "x")
    project.edit("{uri: data/sdss.h5}", f'{{uri: data/sdss.h5}}\n  extra: {{uri: "data/{name}"}}')

    inputs = {item.name: item for item in project.load().inputs}

    assert inputs["extra"].type == kind


def test_a_folder_is_an_input_with_the_digest_of_all_in_it(project: ProjectFolder) -> None:
    project.write("images/a.png", "1")
    project.write("images/b/c.png", "22")
    project.edit("{uri: data/sdss.h5}", "{uri: data/sdss.h5}\n  extra: images")

    extra = {item.name: item for item in project.load().inputs}["extra"]

    assert (extra.type, extra.size) == ("directory", 3)
    assert extra.sha256 == digest_path(project.root / "images")[0]


def test_a_tilde_is_the_home_of_the_user(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project.write("home/sdss.h5", "x")
    project.edit("data/sdss.h5", "~/sdss.h5")
    project.edit("results/summary.txt", "~/summary.txt")
    project.edit("outputs:\n", "executions: ~/runs\noutputs:\n")

    loaded = project.load()

    assert loaded.inputs[0].path == f"{tmp_path}/home/sdss.h5"
    assert loaded.outputs[1].to == f"{tmp_path}/home/summary.txt"
    assert loaded.executions == tmp_path / "home/runs"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to("/etc/passwd"), "a link"),
        (lambda path: path.symlink_to("/etc"), "a link"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
    ],
)
def test_a_folder_with_what_no_digest_covers_is_refused(
    project: ProjectFolder, make: Callable[[Path], object], kind: str
) -> None:
    project.write("data/deep/x", "1")
    make(project.root / "data/deep/odd")
    project.edit("{uri: data/sdss.h5}", "{uri: data, type: hdf5}")

    assert project.one_fault() == (
        f"pipeline.yaml:3:20: inputs.catalogue.uri: 'data' holds what is {kind} "
        "(replace data/deep/odd by its content, or take it away)"
    )


@pytest.mark.parametrize("make", [Path.touch, lambda path: (path.mkdir(), (path / "x").touch())])
def test_a_folder_with_a_name_that_no_record_can_hold_is_refused_with_the_name_escaped(
    project: ProjectFolder, make: Callable[[Path], object]
) -> None:
    project.write("data/deep/x", "1")
    make(project.root / "data/deep" / os.fsdecode(b"caf\xe9"))
    project.edit("{uri: data/sdss.h5}", "{uri: data, type: hdf5}")

    assert project.one_fault() == (
        "pipeline.yaml:3:20: inputs.catalogue.uri: 'data' holds what is named in bytes that are "
        r"not UTF-8 (rename data/deep/caf\xe9)"
    )


@pytest.mark.parametrize(
    "value",
    [
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "postgres://me:hunter2@db/x",
        ["a", {"deep": "hf_abcdefghijklmnopqrstuvwxyz"}],
        "run --password=hunter2",
        ["run", "--password", "hunter2"],
    ],
)
def test_a_credential_in_an_attribute_is_refused_and_not_shown(
    project: ProjectFolder, value: object
) -> None:
    text = json.dumps(value)
    project.edit("{epochs: 3}", f"{{epochs: 3, note: {text}}}")
    fault = project.one_fault()
    assert "pipeline.yaml:11" in fault
    assert "attributes.note: looks like a credential" in fault
    assert "read it in the operation" in fault
    assert not any(secret in fault for secret in ("ghp_", "hunter2", "hf_"))


TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"


def test_no_text_of_the_pipeline_is_a_credential(project: ProjectFolder) -> None:
    text = (project.root / "pipeline.yaml").read_text()
    text = text.replace("  score: {from: evaluate.score}\n", "")
    start, end = text.index("  evaluate:"), text.index("outputs:\n")
    refused = [
        f"'echo Authorization: Bearer {TOKEN} > o'",
        "--password=hunter2secret",
        "https://me:hunter2secret@host/x",
        "api_key='hunter2secret'",
        "[--db-password, hunter2secret]",
    ]
    taken = [
        "--password=$PASSWORD",
        "'export API_KEY=\"$(cat ~/.key)\"'",
        "https://me:$PASSWORD@host/x",
        "'Authorization: Bearer ${{TOKEN}}'",
        "--password-file=/home/me/.key",
        "[--password, '{inputs.x}', --api-key, --verbose, --tokens, '5']",
        "--sort_key=z",
    ]
    for key in ("command", "args"):
        for word in (*refused, *taken):
            words = word.strip("[]") if word.startswith("[") else word
            body = f"command: [sh, {words}, '{{inputs.x}}']"
            if key == "args":
                body = f"command: [sh]\n    args: [{words}, '{{inputs.x}}']"
            more = "inputs: {x: train.history}\n    outputs: {score: s.json}\n"
            program = f"  evaluate:\n    {body}\n    {more}"
            project.write("pipeline.yaml", text[:start] + program + text[end:])
            if word in taken:
                assert project.load()
                continue
            fault = project.one_fault()
            assert f"operations.evaluate.{key}[" in fault
            assert "looks like a credential" in fault
            assert "from a file that only you can read" in fault
            assert not any(secret in fault for secret in (TOKEN, "hunter2"))


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (f"description: with {TOKEN}", ":1:14: description: looks"),
        ("description: |\n  a\n  --password=hunter2", ":1:14: description: looks"),
        ("environment: {container: 'docker://me:hunter2@host/i'}", "environment.container: looks"),
        (f"environment: {{modules: [{TOKEN}]}}", "environment.modules[0]: looks"),
        (f"# {TOKEN}", "pipeline.yaml:1: looks"),
    ],
)
def test_no_other_text_is_one(project: ProjectFolder, more: str, where: str) -> None:
    project.edit("pipeline: galaxies\n", f"{more}\npipeline: galaxies\n")
    (fault,) = [one for one in map(project.words, project.faults()) if "credential" in one]
    assert where in fault
    assert not any(secret in fault for secret in (TOKEN, "hunter2"))


def test_a_credential_in_code_is_refused_because_the_ledger_keeps_code(
    project: ProjectFolder,
) -> None:
    project.write(
        "operations/all.py", '# first\nKEY = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"\n'
    )
    faults = project.faults()
    words = "operations/all.py:2: looks like a credential: the ledger keeps"
    assert any(str(fault).startswith(words) for fault in faults)


def test_an_input_may_lie_anywhere(
    project: ProjectFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.h5"
    outside.write_text("x")
    project.edit("data/sdss.h5", str(outside))

    (only,) = project.load().inputs

    assert only.path == str(outside)


# -- types


def test_types_choose_the_format_of_a_port(project: ProjectFolder) -> None:
    project.edit(
        "inputs: {history: train.history}",
        "inputs: {history: train.history}\n    types: {score: pickle}",
    )

    assert project.load().operations["evaluate"].outputs == (
        OutputPort(name="score", type="pickle"),
    )


def test_pickle_by_annotation_is_refused(project: ProjectFolder) -> None:
    project.write(
        "operations/p.py", "def f(history) -> 'pickle':\n    score = 1\n    return score\n"
    )
    project.edit("operations/all.py:evaluate", "operations/p.py:f")

    assert project.one_fault() == (
        "pipeline.yaml:12:3: operations.evaluate: output 'score' is pickle, which only types: can "
        "choose (write types: {score: pickle})"
    )


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ("dict[int, str]", "keys of a JSON object are texts, not int"),
        ("list[dict[float, str]]", "keys of a JSON object are texts, not float"),
        ("set", "JSON has no set"),
        ("'dict[str, bytes]'", "JSON has no bytes"),
        ("list[torch.Tensor]", "JSON has no torch.Tensor"),
        ("dict[str, torch.Tensor]", ""),
        ("dict[str, int]", ""),
        ("dict[Key, np.ndarray]", ""),
        ("torch.Tensor", ""),
        ("set | None", ""),
    ],
)
def test_an_output_that_could_never_be_saved_is_a_fault_before_the_run(
    project: ProjectFolder, annotation: str, why: str
) -> None:
    code = (
        f"import torch\nimport numpy as np\ndef make() -> {annotation}:\n    x = 1\n    return x\n"
    )
    project.write("operations/odd.py", code)
    text = 'pipeline: odd\noperations:\n  make: {uses: "operations/odd.py:make"%s}\noutputs: {x: make.x}\n'
    project.write("pipeline.yaml", text % "")
    if not why:
        project.load()
        return
    (fault,) = project.faults()
    assert f"output 'x' cannot be saved: {why} (write types: {{x: pickle}}" in project.words(fault)
    project.write("pipeline.yaml", text % ", types: {x: json}")
    assert len(project.faults()) == 1
    project.write("pipeline.yaml", text % ", types: {x: pickle}")
    assert project.load().operations["make"].outputs[0].type == "pickle"


def test_an_untyped_edge_and_an_unknown_annotation_are_warned_of_once(
    project: ProjectFolder,
) -> None:
    project.write(
        "operations/loose.py",
        "import torch\ndef make():\n    x = 1\n    return x\ndef use(x, y: torch.Generator): ...\n",
    )
    project.write(
        "pipeline.yaml",
        """\
        pipeline: loose
        inputs: {spare: data/sdss.h5}
        operations:
          make: {uses: "operations/loose.py:make"}
          one: {uses: "operations/loose.py:use", inputs: {x: make.x, y: make.x}}
          two: {uses: "operations/loose.py:use", inputs: {x: make.x, y: make.x}}
          idle: {uses: "operations/loose.py:make"}
        """,
    )

    told = [project.words(warning) for warning in project.load().warnings]

    assert told == [
        (
            "pipeline.yaml:5:15: use: input 'y' is annotated torch.Generator, which stands for no format: "
            "it is not checked (write types: {y: FORMAT})"
        ),
        (
            "pipeline.yaml:5:54: types are not compared along make.x -> one.x, make.x -> one.y "
            "(annotate both ends, or use types:)"
        ),
        (
            "pipeline.yaml:7:3: operations.idle: output 'x' is not used (list it under outputs: if it "
            "is a result)"
        ),
        "pipeline.yaml:2:10: inputs.spare: not used",
    ]


def test_outputs_that_are_not_used_are_told_once_for_each_code_and_ten_times_at_most(
    project: ProjectFolder,
) -> None:
    project.write(
        "operations/many.py",
        "".join(f"def make{i}():\n    x = 1\n    return x\n" for i in ["", *range(12)]),
    )
    project.write(
        "pipeline.yaml",
        "pipeline: many\noperations:\n"
        + "".join(f"  same{i}: {{uses: 'operations/many.py:make'}}\n" for i in range(100))
        + "".join(f"  other{i}: {{uses: 'operations/many.py:make{i}'}}\n" for i in range(12)),
    )

    told = [project.words(warning) for warning in project.load().warnings]

    assert len(told) == 11
    assert told[0].startswith(
        "pipeline.yaml:3:3: operations.same0 and 99 more of the same code: output 'x' is not used"
    )
    assert told[1].startswith("pipeline.yaml:103:3: operations.other0: output 'x' is not used")
    assert (
        told[10]
        == "pipeline.yaml:112:3: operations.other9: 3 more outputs are not used, from here on"
    )


def test_an_array_over_a_splittable_input_is_accepted(project: ProjectFolder) -> None:
    project.edit(
        "inputs: {table: catalogue}",
        "inputs: {table: catalogue}\n    map: {over: table, shards: 8}",
    )

    loaded = project.load()

    assert loaded.pipeline.operations["render"].map is not None
    assert loaded.pipeline.operations["render"].map.shards == 8
    assert loaded.operations["render"].source.parameters == ("size", "shard", "shards")


def test_an_array_may_get_its_type_from_the_producer(project: ProjectFolder) -> None:
    project.write("operations/m.py", "def f(x) -> 'npy':\n    y = x\n    return y\n")
    project.edit("operations/all.py:evaluate", "operations/m.py:f")
    project.edit(
        "inputs: {history: train.history}",
        "inputs: {x: render.images}\n    map: {over: x, shards: 2}",
    )
    project.edit("from: evaluate.score}", "from: evaluate.y}")

    assert project.load().operations["evaluate"].inputs[0].type == "any"


# -- seeds


@pytest.mark.parametrize(
    ("pipeline_seed", "operation_seed", "attribute", "expected"),
    [
        ("", "", "", None),
        ("seed: 5", "", "", 5),
        ("seed: 5", "seed: 6", "", 6),
        ("seed: 5", "seed: 6", ", seed: 7", 7),
    ],
)
def test_the_nearest_seed_reaches_the_code(
    project: ProjectFolder,
    pipeline_seed: str,
    operation_seed: str,
    attribute: str,
    expected: int | None,
) -> None:
    project.edit("pipeline: galaxies\n", f"pipeline: galaxies\n{pipeline_seed}\n")
    project.edit(
        "attributes: {epochs: 3}", f"attributes: {{epochs: 3{attribute}}}\n    {operation_seed}"
    )

    assert project.load().operations["train"].attributes.get("seed") == expected


# -- settings


def test_set_overrides_an_attribute_with_a_yaml_value(project: ProjectFolder) -> None:
    loaded = project.load(
        overrides=(
            "train.epochs=7",
            "train.layers=[3, 4]",
            "train.note=12:30",
            "evaluate.threshold=1e-3",
        )
    )

    assert loaded.operations["train"].attributes == {"epochs": 7, "layers": [3, 4], "note": "12:30"}
    assert loaded.operations["evaluate"].attributes == {"threshold": 0.001}
    assert loaded.overrides["train"]["epochs"] == 7


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs", "--set: 'train.epochs' is not operation.attribute=value"),
        ("epochs=3", "--set: 'epochs=3' is not operation.attribute=value"),
        ("tr ain.epochs=3", "--set: 'tr ain.epochs=3' is not operation.attribute=value"),
        ("trian.epochs=3", "--set trian.epochs: no operation 'trian' (did you mean 'train'?)"),
        ("train.epoch=3", "--set train.epoch: Train.__init__ (operations/all.py:19) has no attribute 'epoch' (did you mean 'epochs'?)"),
        ("train.epochs=three", "--set train.epochs: must be int, not 'three' (operations/all.py:22)"),
        ("train.epochs=[1", "--set train.epochs: not valid YAML: "),
        ("train.note=\x1b[1m", "--set train.note: control character U+001B (remove it)"),
        ("train.note=a\n---\nb", "--set train.note: not valid YAML: a second document begins here (keep one document a file; remove ---)"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_told_like_a_wrong_file(
    project: ProjectFolder, override: str, expected: str
) -> None:
    assert project.one_fault(overrides=(override,)).startswith(expected)


def test_an_override_cannot_be_given_twice(project: ProjectFolder) -> None:
    assert (
        project.one_fault(overrides=("train.epochs=1", "train.epochs=2"))
        == "--set train.epochs: given twice"
    )


@pytest.mark.parametrize(
    ("asked", "selected"),
    [
        ({"only": ("train",)}, {"train"}),
        ({"only": ("train", "render")}, {"train", "render"}),
        ({"from_": ("train",)}, {"train", "evaluate"}),
        ({"until": ("train",)}, {"render", "train"}),
        ({"from_": ("train",), "until": ("train",)}, {"train"}),
    ],
)
def test_a_part_of_the_pipeline_can_be_asked_for(
    project: ProjectFolder, asked: dict[str, tuple[str, ...]], selected: set[str]
) -> None:
    assert project.load(**asked).selection == selected


def test_a_selection_of_nothing_or_of_the_unknown_is_refused(project: ProjectFolder) -> None:
    assert (
        project.one_fault(only=("tran",)) == "--only: no operation 'tran' (did you mean 'train'?)"
    )
    assert (
        project.one_fault(only=("render",), from_=("train",))
        == "--only, --from and --until together leave no operation"
    )


def test_accounts_and_executions_follow_the_precedence(
    project: ProjectFolder, tmp_path: Path
) -> None:
    user = tmp_path / "user"
    project.write("user/settings.yaml", "account: of-user\nexecutions: /scratch/user\nsite: mine\n")
    project.write(
        "user/sites/mine.yaml",
        "site: mine\nscheduler: slurm\naccount: {value: of-site}\nexecutions: /scratch/site\n",
    )

    def told(**settings: object) -> tuple[str, str]:
        loaded = project.load(None, **settings)
        return loaded.account, str(loaded.executions)

    assert project.load(None).site is None
    assert told() == ("", str(project.root / "executions"))
    assert told(user_dir=user) == ("of-user", "/scratch/user")
    project.write(
        "site-configs/mine.yaml", "site: mine\nscheduler: slurm\naccount: {value: of-project}\n"
    )
    assert told(user_dir=user) == ("of-project", "/scratch/user")
    project.edit("pipeline: galaxies", "pipeline: galaxies\nexecutions: runs")
    assert told(user_dir=user) == ("of-project", str(project.root / "runs"))
    environ = {
        "DEEPFORGE_HPC_ACCOUNT": "of-environ",
        "DEEPFORGE_HPC_EXECUTIONS": "/e",
        "DEEPFORGE_HPC_SITE": "local",
    }
    assert told(user_dir=user, environ=environ) == ("of-environ", "/e")
    assert told(user_dir=user, environ=environ, account="of-line") == ("of-line", "/e")
    loaded = project.load(None, user_dir=user, environ=environ)
    assert loaded.site is not None
    assert loaded.site.name == "local"
    assert (loaded.account_origin, loaded.executions_origin) == (
        "DEEPFORGE_HPC_ACCOUNT",
        "DEEPFORGE_HPC_EXECUTIONS",
    )


def test_a_broken_settings_file_of_the_user_is_a_fault(
    project: ProjectFolder, tmp_path: Path
) -> None:
    project.write("user/settings.yaml", "acount: x\n")

    assert project.one_fault(user_dir=tmp_path / "user").startswith(
        "user/settings.yaml:1:1: unknown key 'acount' (did you mean 'account'?)"
    )


# -- environment


@pytest.mark.parametrize(
    ("pipeline", "operation", "expected"),
    [
        ("", "", Environment(python=sys.executable)),
        ("environment: {modules: [a/1]}", "", Environment(python=sys.executable, modules=("a/1",))),
        ("environment: {conda: deep, modules: [a/1]}", "", Environment(conda="deep", modules=("a/1",))),
        ("environment: {conda: deep, modules: [a/1]}", "environment: {python: python3.12}", Environment(python="python3.12", modules=("a/1",))),
        ("environment: {modules: [a/1]}", "environment: {modules: []}", Environment(python=sys.executable)),
        ("", "environment: {venv: env}", Environment(python="ROOT/env/bin/python")),
        ("", "environment: {venv: /opt/env}", Environment(python="/opt/env/bin/python")),
        ("", "environment: {venv: ~/env}", Environment(python="HOME/env/bin/python")),
        ("", "environment: {python: ~/bin/py}", Environment(python="HOME/bin/py")),
        ("", "environment: {conda: ~/deep}", Environment(conda="HOME/deep")),
        ("", "environment: {container: ~/image.sif}", Environment(container="HOME/image.sif")),
        ("", "environment: {python: ./bin/py}", Environment(python="ROOT/bin/py")),
        ("", "environment: {conda: envs/deep}", Environment(conda="ROOT/envs/deep")),
        ("", "environment: {container: image.sif}", Environment(container="ROOT/image.sif")),
        ("", "environment: {container: 'docker://x/y:1'}", Environment(container="docker://x/y:1")),
    ],
)  # fmt: skip
def test_the_nearest_environment_wins(
    project: ProjectFolder, pipeline: str, operation: str, expected: Environment
) -> None:
    project.edit("pipeline: galaxies\n", f"pipeline: galaxies\n{pipeline}\n")
    project.edit("attributes: {epochs: 3}", f"attributes: {{epochs: 3}}\n    {operation}")

    found = project.load().operations["train"].environment

    def placed(text: str) -> str:
        home = os.path.expanduser("~")  # noqa: PTH111 - as a text
        return text.replace("ROOT", str(project.root)).replace("HOME", home)

    assert (found.python, found.conda, found.container, found.modules) == (
        placed(expected.python),
        placed(expected.conda),
        placed(expected.container),
        expected.modules,
    )


def test_the_submitter_is_the_interpreter_that_was_named(project: ProjectFolder) -> None:
    assert project.load(python="/opt/py").operations["train"].environment.python == "/opt/py"


def test_without_a_site_and_an_environment_it_is_python3(project: ProjectFolder) -> None:
    assert project.load(None).operations["train"].environment.python == "python3"


# -- size


def test_a_chain_of_thousands_of_operations_is_loaded(project: ProjectFolder) -> None:
    project.write("operations/pass.py", "def same(x: dict) -> dict:\n    y = x\n    return y\n")
    lines = ["pipeline: long", "inputs: {start: {uri: data/s.json}}", "operations:"]
    source = "start"
    for number in range(3_000):
        lines.append(f"  n{number}: {{uses: 'operations/pass.py:same', inputs: {{x: {source}}}}}")
        source = f"n{number}.y"
    project.write("data/s.json", "{}")
    project.write("pipeline.yaml", "\n".join([*lines, f"outputs: {{end: {source}}}"]))

    loaded = project.load()

    assert list(loaded.operations) == [f"n{number}" for number in range(3_000)]
    assert loaded.warnings == ()
