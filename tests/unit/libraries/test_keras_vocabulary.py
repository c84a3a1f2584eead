"""Files that an architecture names: a vocabulary of the project is read, and no other file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.api import arch
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.trial.request import BuildRequest

HEAD = """\
library: keras
architecture: words
inputs: {x: {shape: [3], dtype: string}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "nets").mkdir(parents=True)
    (folder / "dfh.yaml").write_text("")
    monkeypatch.chdir(folder)
    (tmp_path / "outside.txt").write_text("secret\n")
    return folder


def graph(project: Path, layer: str, head: str = HEAD) -> Graph:
    path = project / "nets" / "net.yaml"
    path.write_text(f"{head}layers:\n  - a: {layer}\n")
    return arch.network(path)


@pytest.mark.parametrize(
    "layer",
    [
        "{StringLookup: {vocabulary: words.txt}}",
        "{TimeDistributed: {layer: {StringLookup: {vocabulary: ../nets/words.txt}}}}",
    ],
)
def test_a_vocabulary_of_the_project_stands_in_the_code_and_in_what_is_tried(
    project: Path, layer: str
) -> None:
    (project / "nets" / "words.txt").write_text("the\r\nlast word\n")
    found = graph(project, layer)
    assert "vocabulary=('the', 'last word')" in emit(found)
    sent = str(BuildRequest(found).network)
    assert "words.txt" not in sent
    assert "last word" in sent  # so another vocabulary is another trial


def test_defaults_may_name_it_and_numbers_are_numbers(project: Path) -> None:
    (project / "nets" / "years.txt").write_text("1999\n-4")
    head = f"{HEAD}defaults: {{IntegerLookup: {{vocabulary: years.txt}}}}\n"
    assert "vocabulary=(1999, -4)" in emit(graph(project, "{IntegerLookup: {}}", head))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/etc/shadow", "is an absolute path"),
        ("../../outside.txt", "leaves the project"),
        ("link.txt", "leaves the project"),
        ("pipe.txt", "is not a file"),
        ("none.txt", "cannot be read"),
        ("latin.txt", "cannot be used"),
        ("large.txt", "larger than 4 MiB"),
    ],
)
def test_no_other_file_is_read(project: Path, name: str, told: str) -> None:
    nets = project / "nets"
    (nets / "link.txt").symlink_to("../../outside.txt")
    os.mkfifo(nets / "pipe.txt")
    (nets / "latin.txt").write_bytes(b"caf\xe9\n")
    with (nets / "large.txt").open("wb") as file:
        file.truncate((4 << 20) + 1)
    for layer in ("{%s}", "{TimeDistributed: {layer: {%s}}}"):
        inner = f"StringLookup: {{vocabulary: {name}}}"
        with pytest.raises(InvalidInputError) as caught:
            graph(project, layer % inner)
        assert f"vocabulary of StringLookup: {name!r}" in str(caught.value)
        assert told in str(caught.value)
        assert "net.yaml:5:" in str(caught.value)


def test_what_is_no_term_of_a_layer_is_told(project: Path) -> None:
    (project / "nets" / "words.txt").write_text("the\n")
    with pytest.raises(InvalidInputError, match="'the' is no whole number"):
        graph(project, "{IntegerLookup: {vocabulary: words.txt}}")
