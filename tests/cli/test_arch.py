"""`dfh arch`, as one types it; without Keras."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "redshift" / "architectures"
Run = Callable[..., str]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Return a function that gives what `dfh arch ...` prints, or says on stderr if it refuses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "keras-says"))

    def call(*words: object, code: int = 0) -> str:
        found = main(["arch", *map(str, words)])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.err or said.out

    return call


def test_show_expands_blocks_to_a_line_for_each_layer(run: Run) -> None:
    lines = run("show", EXAMPLES / "pasquet.yaml").splitlines()
    assert lines[0] == "pasquet: 2 inputs, 77 layers, 1 output: out"
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert len(lines) == 2 + 2 + 77
    assert rows["pixels"] == ["Input", "-", "64", "x", "64", "x", "5", "float32"]
    assert rows["cat"] == ["Concatenate", "flat,", "reddening"]
    assert rows["conv0_y_1"][-1] == "bias_initializer=Constant(value=0.1)"


def test_show_marks_what_is_shared_and_what_is_a_model_of_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "library: keras\narchitecture: a\ninputs: {x: [4], y: [4]}\nblocks:\n  inner:\n"
        "    nested: true\n    inputs: {z: [4]}\n    layers:\n      - d: {Dense: {units: 4}}\n"
        "layers:\n  - one: {inner: {}, from: x}\n  - two: {reuse: one, from: y}\n"
        "  - out: {Add: {}, from: [one, two]}\n"
    )
    lines = [line.split() for line in run("show", "net.yaml").splitlines()]
    assert lines[0][:5] == ["a:", "2", "inputs,", "3", "layers,"]
    assert lines[4:] == [
        ["one.d", "Dense", "one.z", "units=4"],
        ["one", "inner", "x", "a", "model", "of", "its", "own:", "one.*"],
        ["two", "inner", "y", "shared", "with", "one"],
        ["out", "Add", "one,", "two"],
    ]


def test_show_and_summary_tell_all_that_an_input_says(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "library: keras\narchitecture: a\ninputs: {x: {shape: [4], batch: 3, sparse: true}}\n"
        "layers: [out: {Dense: {units: 4}}]\n"
    )
    for command in ("show", "summary"):
        assert "4 float32 batch_size=3 sparse=True" in run(command, "net.yaml")


def test_show_gives_the_same_as_json(run: Run) -> None:
    found = json.loads(run("show", EXAMPLES / "inception.yaml", "--json"))
    assert found["schema"] == "dfh/architecture/1"
    assert found["inputs"] == [
        {"name": "pixels", "shape": [64, 64, 5], "dtype": "float32", "options": []}
    ]
    small = next(item for item in found["layers"] if item["name"] == "small")
    assert small["sources"] == ["scaled"]
    assert "pool_size=4" in small["arguments"]


def test_every_fault_of_a_file_is_told_with_its_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "library: keras\narchitecture: a\ninputs: {x: [4]}\nlayers:\n"
        "  - y: {Dens: {units: 2}}\n  - z: {Dense: {unit: 2}}\n"
    )
    told = run("show", "net.yaml", code=3)
    assert "net.yaml:5" in told
    assert "did you mean 'Dense'?" in told
    assert "net.yaml:6" in told


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"- 1"])
def test_what_is_no_architecture_is_refused(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.yaml").write_bytes(content)
    assert run("show", "net.yaml", code=3).startswith("error: net.yaml")
    assert "cannot be read" in run("show", "none.yaml", code=3)


def test_new_lists_the_networks_that_come_along_and_writes_one(
    run: Run, tmp_path: Path, follow: Any
) -> None:
    listed = run("new").splitlines()
    assert {line.split()[0] for line in listed[1:]} >= {"mlp", "unet", "deepforge-a", "xception"}
    assert "138,357,544 parameters" in next(line for line in listed if line.startswith("vgg16"))

    assert run("new", "--from", "vgg16", "-o", "nets/vgg16.yaml") == "nets/vgg16.yaml\n"
    assert (tmp_path / "nets/vgg16.yaml").read_text() == run("new", "--from", "vgg16")
    assert "fc2" in run("show", "nets/vgg16.yaml")
    assert "there already" in run("new", "--from", "mlp", "-o", "nets/vgg16.yaml", code=2)
    assert "did you mean 'resnet50'?" in run("new", "--from", "resnet", code=2)
    unknown = run("new", "--from", "zzzzzz", code=2)
    assert "vgg16" in follow("api/arch.py : dfh arch", unknown, cwd=tmp_path).stdout


def test_summary_counts_layers_by_kind(run: Run) -> None:
    lines = run("summary", EXAMPLES / "inception.yaml").splitlines()
    head = "inception: 1 input, 39 layers, 1 output: out; 21 deep"
    assert lines[0] in {head, f"{head}, 76,088 parameters"}  # if Keras is beside dfh
    assert [line.split() for line in lines if line.startswith("Conv2D")] == [["Conv2D", "13"]]


def test_diff_says_what_a_person_would_and_ends_with_8(run: Run, tmp_path: Path) -> None:
    run("new", "--from", "pasquet", "-o", "pasquet.yaml")
    told = run("diff", "pasquet.yaml", EXAMPLES / "pasquet.yaml", code=8).splitlines()
    assert [line.split() for line in told[1:]] == [
        ["added", "scaled", "-", "Rescaling"],
        ["rewired", "conv0_y_1", "pixels", "scaled"],
    ]
    assert run("diff", "pasquet.yaml", "pasquet.yaml") == "no difference\n"


def test_plot_writes_an_svg_and_replaces_one_only_by_force(run: Run, tmp_path: Path) -> None:
    source = EXAMPLES / "inception.yaml"
    assert run("plot", source, "-o", "net.svg") == "net.svg\n"
    assert (tmp_path / "net.svg").read_text() == run("plot", source)
    assert "--force" in run("plot", source, "-o", "net.svg", code=2)
    assert run("plot", source, "-o", "net.svg", "--force") == "net.svg\n"
    assert "NAME.svg" in run("plot", source, "-o", "net.png", code=2)


def test_export_and_import_write_files(run: Run, tmp_path: Path) -> None:
    source = EXAMPLES / "inception.yaml"
    assert run("export", source, "--to", "json", "-o", "net.json") == "net.json\n"
    assert run("import", "net.json", "-o", "net.yaml") == "net.yaml\n"
    assert run("diff", source, "net.yaml") == "no difference\n"
    assert "def inception(x, " in run("export", source, "--to", "python")
    assert run("export", source, "--to", "dot").startswith("digraph")
    (tmp_path / "net.py").write_text("1 / 0")
    assert "--run" in run("import", "net.py", code=2)


def test_doc_explains_what_keras_has(run: Run) -> None:
    told = run("doc", "Conv2D")
    assert told.startswith("Conv2D: layer of Keras 3")
    assert "  filters: count, needed\n" in told
    assert '  padding: valid|same, default "valid"\n' in told
    assert "did you mean 'LSTM'?" in run("doc", "LSTMM", code=2)
    found = json.loads(run("doc", "glorot_uniform", "--json"))["found"]
    assert [(item["family"], item["name"]) for item in found] == [("initializer", "GlorotUniform")]
