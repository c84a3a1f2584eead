"""The networks that come along, built by the real Keras: parameters against what is published."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.libraries.keras.catalogue import dialect
from deepforge_hpc.libraries.keras.emit import emit
from deepforge_hpc.libraries.keras.export.document import to_json
from deepforge_hpc.libraries.keras.export.python import to_python
from deepforge_hpc.libraries.keras.imports.model import saved_model
from deepforge_hpc.libraries.keras.imports.write import to_yaml
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.compare import compare
from deepforge_hpc.libraries.networks.graph import Graph

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

EXAMPLES = KerasLibrary().examples()


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """Return each network as its exported Python builds it, without its weights."""
    import keras

    built = {}
    for name, text in EXAMPLES.items():
        with keras.StatelessScope(initialize_variables=False):
            built[name] = run(to_python(KerasLibrary().graph(text, f"{name}.yaml")))
    return built


def conv(size: int, before: int, after: int, *, bias: bool = True, slopes: int = 0) -> int:
    """Parameters of a convolution, with a slope for each of `slopes` pixels and channel."""
    return size * size * before * after + after * (bias + slopes)


def dense(before: int, after: int) -> int:
    return before * after + after


def inception_v1() -> int:
    """Table 1 of Szegedy et al. 2015: channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pooled."""
    rows = (
        (192, 64, 96, 128, 16, 32, 32),
        (256, 128, 128, 192, 32, 96, 64),
        (480, 192, 96, 208, 16, 48, 64),
        (512, 160, 112, 224, 24, 64, 64),
        (512, 128, 128, 256, 24, 64, 64),
        (512, 112, 144, 288, 32, 64, 64),
        (528, 256, 160, 320, 32, 128, 128),
        (832, 256, 160, 320, 32, 128, 128),
        (832, 384, 192, 384, 48, 128, 128),
    )
    blocks = sum(
        conv(1, c, a) + conv(1, c, r3) + conv(3, r3, n3) + conv(1, c, r5) + conv(5, r5, n5)
        + conv(1, c, p)
        for c, a, r3, n3, r5, n5, p in rows
    )  # fmt: skip
    return conv(7, 3, 64) + conv(1, 64, 64) + conv(3, 64, 192) + blocks + dense(1024, 1000)


def unet() -> int:
    sizes = (1, 64, 128, 256, 512, 1024)
    down = sum(conv(3, a, b) + conv(3, b, b) for a, b in pairwise(sizes))
    up = sum(conv(2, 2 * n, n) + conv(3, 2 * n, n) + conv(3, n, n) for n in (512, 256, 128, 64))
    return down + up + conv(1, 64, 2)


def deepforge_c() -> int:
    """Conv and PReLU with a slope for each pixel and channel; the last pooled branch has none."""
    total, channels = conv(5, 5, 64, slopes=64 * 64), 64
    for side, n1, n2 in ((32, 48, 64), (32, 64, 92), (16, 92, 128), (16, 92, 128)):
        total += 3 * conv(1, channels, n1, slopes=side**2) + conv(1, channels, n2, slopes=side**2)
        total += conv(3, n1, n2, slopes=side**2) + conv(5, n1, n2, slopes=side**2)
        channels = n1 + 3 * n2
    total += conv(1, channels, 92, slopes=64) + conv(1, channels, 92)
    total += conv(1, channels, 128, slopes=64) + conv(3, 92, 128, slopes=64)
    return total + dense(8 * 8 * (128 + 128 + 92), 1096) + dense(1096, 180)


def deepforge_resnet() -> int:
    total, before = conv(3, 5, 16) + 4 * 16, 16
    for filters in (16, 32, 64, 128):
        total += 4 * before + conv(3, before, filters) + 4 * filters + conv(3, filters, filters)
        total += conv(1, before, filters) if before != filters else 0
        total += 5 * 2 * (4 * filters + conv(3, filters, filters))
        before = filters
    return total + dense(128, 1024) + dense(1024, 180)


def encoder(width: int, hidden: int) -> int:
    """Attention, two dense layers, and two normalisations."""
    return 4 * dense(width, width) + dense(width, hidden) + dense(hidden, width) + 4 * width


def dcgan(channels: tuple[int, ...], ends: int) -> int:
    """Convolutions of 5 x 5 without a bias, each but the last of the generator normalised."""
    pairs = pairwise(channels)
    return sum(conv(5, a, b, bias=False) + 4 * b for a, b in pairs) + ends


PARAMETERS = {
    "mlp": dense(784, 512) + dense(512, 512) + dense(512, 10),
    "lenet": 61_706,
    "alexnet": 62_378_344,
    "vgg16": 138_357_544,
    "resnet50": 25_636_712,
    "unet": unet(),
    "inception-v1": inception_v1(),
    "xception": 22_910_480,
    "dcgan": dcgan((1024, 512, 256, 128), 100 * 16_384 + 4 * 1024 + conv(5, 128, 3)),
    "dcgan-discriminator": dcgan((128, 256, 512, 1024), conv(5, 3, 128) + dense(16_384, 1)),
    "transformer-encoder": 6 * encoder(512, 2048) + (30_522 + 128) * 512,
    "pasquet": 27_596_372,
    "deepforge-a": 29_047_456,
    "deepforge-b": 22_322_432,
    "deepforge-c": deepforge_c(),
    "deepforge-d": 29_047_456,
    "deepforge-resnet": deepforge_resnet(),
}


def test_every_network_has_the_parameters_that_are_published(models: dict[str, Any]) -> None:
    assert {name: model.count_params() for name, model in models.items()} == PARAMETERS
    assert encoder(512, 2048) == 3_152_384


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_first_line_of_a_file_says_its_parameters(name: str) -> None:
    assert EXAMPLES[name].partition("\n")[0].endswith(f", {PARAMETERS[name]:,} parameters.")


@pytest.mark.parametrize(
    ("name", "application"),
    [("vgg16", "VGG16"), ("resnet50", "ResNet50"), ("xception", "Xception")],
)
def test_a_network_of_keras_applications_has_its_layers(
    models: dict[str, Any], name: str, application: str
) -> None:
    import keras

    with keras.StatelessScope(initialize_variables=False):
        theirs = getattr(keras.applications, application)(weights=None)

    def layers(model: Any) -> Counter[tuple[str, str]]:
        found = ((type(item).__name__, item.output.shape) for item in model.layers)
        words = {"Activation": "ReLU"}  # all of theirs are
        return Counter((words.get(kind, kind), str(shape)) for kind, shape in found)

    assert layers(models[name]) == layers(theirs)


def test_deepforge_has_as_many_layers_as_its_project(models: dict[str, Any]) -> None:
    """Less the layers `Output` that DeepForge adds to what Keras has."""
    counts = {"deepforge-a": 80, "deepforge-b": 47 - 1, "deepforge-resnet": 179 - 1}
    assert {name: len(models[name].layers) for name in counts} == counts


@pytest.mark.parametrize(
    ("block", "parameters", "shape"),
    [
        ("conv0", 8_128, (64, 64, 64)),
        ("I0", 118_432, (32, 32, 240)),
        ("I1", 269_288, (32, 32, 340)),
        ("I2", 539_064, (16, 16, 476)),
        ("I3", 594_008, (16, 16, 476)),
        ("I4", 255_376, (8, 8, 348)),
        ("cat", 0, (22_273,)),
        ("fc0", 24_412_304, (1096,)),
        ("fc0b", 1_202_312, (1096,)),
        ("out", 197_460, (180,)),
    ],
)
def test_each_block_of_pasquet_et_al_has_its_parameters(
    models: dict[str, Any], block: str, parameters: int, shape: tuple[int, ...]
) -> None:
    layers = [item for item in models["pasquet"].layers if item.name.split("_")[0] == block]
    assert sum(layer.count_params() for layer in layers) == parameters
    assert layers[-1].output.shape[1:] == shape


_COUNTED = re.compile(r'("name": "(?:forward_|backward_)?(?:dense|gru))_\d+"')
"""Names of layers within layers, which Keras counts through."""


def built(make: Callable[[], Any]) -> Any:
    """Return what Keras saves of a model that is built without weights."""
    import keras

    keras.utils.clear_session()  # it counts operations, which have no name otherwise
    with keras.StatelessScope(initialize_variables=False):
        text = make().to_json()
    return json.loads(_COUNTED.sub(r'\1"', text))["config"]


def run(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["build"]()


GENERATED = [(kind, seed) for kind in ("network", "forms") for seed in range(6)]


@pytest.fixture
def own_layers(
    fixture_module: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return the maker of random networks, of which some name what a project has."""
    makers = fixture_module("random_networks")
    (tmp_path / "layers.py").write_text(makers.OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "layers", raising=False)
    return makers


def imported(document: Any) -> Graph:
    """Return the network of what Keras has saved."""
    saved = saved_model({"class_name": "Functional", "config": document}, "net.json", lambda _: "")
    return KerasLibrary().graph(to_yaml(saved, "x"), "net.yaml")


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_network_whose_python_is_run_and_imported_is_the_same(
    models: dict[str, Any], name: str
) -> None:
    graph = KerasLibrary().graph(EXAMPLES[name], "net.yaml")
    document = json.loads(models[name].to_json())["config"]
    assert compare(graph, imported(document), dialect()) == ()


@pytest.mark.parametrize("name", ["pasquet", *GENERATED], ids=str)
def test_a_network_that_is_exported_run_and_imported_is_the_same(
    name: str | tuple[str, int], own_layers: Any
) -> None:
    """Keras says so itself: what it saves of the networks is compared."""
    import keras

    text = EXAMPLES[name] if isinstance(name, str) else getattr(own_layers, name[0])(name[1])
    graph = KerasLibrary().graph(text, "net.yaml")
    expected = built(lambda: run(emit(graph)))
    assert built(lambda: run(to_python(graph))) == expected
    assert built(lambda: keras.models.model_from_json(to_json(graph))) == expected
    assert compare(graph, imported(expected), dialect()) == ()


def test_a_saved_file_and_a_module_that_builds_are_imported(tmp_path: Path) -> None:
    import keras

    from deepforge_hpc.api.arch_exchange import import_model

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)],
        name="chain",
    )
    model.save(tmp_path / "net.keras")
    text = import_model(tmp_path / "net.keras", None).text
    assert [call.kind for call in KerasLibrary().graph(text, "net.yaml").calls] == ["Dense"] * 2

    (tmp_path / "helper.py").write_text("UNITS = 7\ndef cube(x):\n    return x**3\n")
    (tmp_path / "net.py").write_text(
        "import keras\nfrom helper import UNITS, cube\nclass Own(keras.layers.Layer):\n    pass\n"
        "def build():\n    layers = [keras.layers.Dense(UNITS, cube, name='d'), Own(name='o')]\n"
        "    return keras.Sequential([keras.Input((4,)), *layers])\n"
    )
    import_model(tmp_path / "net.py", tmp_path / "net.yaml", run=True)
    text = (tmp_path / "net.yaml").read_text()
    assert '- d: {Dense: {units: 7, activation: "helper:cube"}}\n  - o: {"net:Own": {}}' in text


def test_summary_and_plot_tell_what_keras_says(tmp_path: Path, dfh: Any) -> None:
    dfh("arch", "new", "--from", "lenet", "-o", "net.yaml", cwd=tmp_path)
    told = dfh("arch", "summary", "net.yaml", cwd=tmp_path).stdout
    assert "8 layers, 1 output: out; 8 deep, 61,706 parameters\n" in told
    assert ">10 x 10 x 16</text>" in dfh("arch", "plot", "net.yaml", cwd=tmp_path).stdout
