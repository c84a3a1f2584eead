"""What an architecture file brings along: other files, and code of the project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ProjectFolder

NET = """\
library: keras
architecture: tiny
inputs: {x: [8]}
blocks: {head: {uses: parts/head.yaml}}
custom: ['parts.losses:Mine']
layers:
  - own: {'parts.own:Gate': {ratio: 2}}
  - out: {head: [3]}
"""
HEAD = "library: keras\narchitecture: head\nparameters: [n]\ninputs: {x: [2]}\nlayers: [{y: {Dense: {units: $n}}}]\n"
OWN = "import helpers.numbers\nimport keras\n\n\nclass Gate(keras.layers.Layer):\n    start = helpers.numbers.ONE\n\n\ndef act(x):\n    return x\n"
FILES = {
    "nets/tiny.yaml": NET,
    "nets/parts/head.yaml": HEAD,
    "parts/own.py": OWN,
    "parts/losses.py": "class Mine:\n    pass\n",
    "helpers/__init__.py": "",
    "helpers/numbers.py": "ONE = 1\n",
}


@pytest.fixture
def net(project: ProjectFolder) -> ProjectFolder:
    for name, text in FILES.items():
        project.write(name, text)
    project.edit(
        "attributes: {epochs: 3}",
        "attributes: {epochs: 3}\n    references: {model: nets/tiny.yaml}",
    )
    return project


def digest(project: ProjectFolder) -> str:
    (reference,) = project.load().operations["train"].references
    return reference.sha256


def test_all_that_it_names_is_frozen_and_ranks_are_told_of_it(net: ProjectFolder) -> None:
    loaded = net.load()
    files = loaded.snapshot.files
    for name, text in FILES.items():
        assert files[f"project/{name}"].data == text.encode()
    assert json.loads(files["plugins.json"].data) == {
        "start_up": {"keras": "start_up/start_up_keras.py"}
    }
    first = files["start_up/start_up_keras.py"].data.decode()
    assert "OBJECTS = ('parts.losses:Mine', 'parts.own:Gate')" in first
    assert "for _folder in ['project']:" in first
    compiled = files["compiled/nets/tiny.py"].data.decode()
    assert "import parts.own\n" in compiled
    assert "parts.losses" not in compiled.partition("# ")[0]
    assert not any("keras" in name for name, _ in loaded.operations["render"].software)


@pytest.mark.parametrize("name", ["helpers/numbers.py", "nets/parts/head.yaml", "parts/losses.py"])
def test_an_edit_of_what_it_names_makes_another_network(net: ProjectFolder, name: str) -> None:
    before = digest(net)
    assert digest(net) == before
    text = {"helpers/numbers.py": "ONE = 2\n", "parts/losses.py": "class Mine:\n    a = 1\n"}
    net.write(name, text.get(name, HEAD.replace("$n}", "$n, use_bias: false}")))
    assert digest(net) != before


def test_an_edit_beside_what_it_names_does_not(net: ProjectFolder) -> None:
    before = digest(net)
    net.write("parts/own.py", OWN.replace("return x", "return 2 * x"))
    assert digest(net) == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("os:system", "nets/tiny.yaml:7:11: the project has no module 'os' (looked for os.py in "),
        ("parts.own:Gat", "nets/tiny.yaml:7:11: 'parts.own' has no class or function 'Gat' at its top (did you mean 'Gate'?)"),
        ("parts.own:keras", "nets/tiny.yaml:7:11: 'parts.own' has no class or function 'keras' at its top (if it comes from keras, name"),
        ("parts:Gate", "nets/tiny.yaml:7:11: the project has no module 'parts' (looked for parts.py in "),
    ],
)  # fmt: skip
def test_code_that_is_not_of_the_project_is_refused_where_it_is_named(
    net: ProjectFolder, name: str, told: str
) -> None:
    net.write("nets/tiny.yaml", NET.replace("parts.own:Gate", name))
    assert told in net.one_fault()


def test_another_file_lies_in_the_project(net: ProjectFolder) -> None:
    outside = net.root.parent / "outside.yaml"
    outside.write_text(HEAD)
    for path, told in (
        ("../../outside.yaml", "leaves the project"),
        (str(outside), "is an absolute path"),
        ("parts/none.yaml", "cannot be read: No such file"),
        ("parts", "is not a file"),
        ("link.yaml", "by a link to"),
    ):
        link = net.root / "nets/link.yaml"
        link.unlink(missing_ok=True)
        link.symlink_to(outside)
        net.write("nets/tiny.yaml", NET.replace("parts/head.yaml", path))
        fault = net.one_fault()
        assert fault.startswith("nets/tiny.yaml:4:23: blocks.head.uses: "), fault
        assert told in fault


def test_a_layer_of_ours_is_frozen_too(net: ProjectFolder) -> None:
    name = "deepforge_hpc.training:SynchronizedBatchNormalization"
    net.write("nets/tiny.yaml", NET.replace("'parts.own:Gate': {ratio: 2}", f"'{name}': {{}}"))
    files = net.load().snapshot.files
    assert "library/deepforge_hpc/training/normalization.py" in files
    first = files["start_up/start_up_keras.py"].data.decode()
    assert "for _folder in ['project', 'library']:" in first
    assert name in first
