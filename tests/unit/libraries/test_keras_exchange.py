"""Networks to other forms and back, without Keras: what was exported is what is imported."""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepforge_hpc.api.arch_exchange import import_model
from deepforge_hpc.errors import InvalidInputError, UsageError
from deepforge_hpc.libraries.keras.catalogue import dialect
from deepforge_hpc.libraries.keras.export.document import to_json
from deepforge_hpc.libraries.keras.export.python import to_python
from deepforge_hpc.libraries.keras.imports.model import saved_model
from deepforge_hpc.libraries.keras.imports.write import to_yaml
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.networks.compare import compare
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.plot.dot import to_dot
from deepforge_hpc.libraries.torch.library import TorchLibrary

EXAMPLES = KerasLibrary().examples()
SMALL = """\
library: keras
architecture: small
inputs: {x: [8]}
layers:
  - a: {Dense: {units: 2, kernel_initializer: he_normal}}
"""


def graph(text: str) -> Graph:
    return KerasLibrary().graph(text, "net.yaml")


def again(network: Graph) -> Graph:
    document = json.loads(to_json(network))
    return graph(to_yaml(saved_model(document, "net.json", lambda _: ""), "x"))


def differences(one: Graph, two: Graph) -> tuple[object, ...]:
    return compare(one, two, dialect())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_is_exported_as_json_is_imported_as_the_same_network(name: str) -> None:
    network = graph(EXAMPLES[name])
    assert differences(network, again(network)) == ()


@pytest.mark.parametrize("kind", ["network", "forms"])
def test_a_random_network_is_the_same_after_export_and_import(
    fixture_module: Callable[[str], Any], kind: str
) -> None:
    make = getattr(fixture_module("random_networks"), kind)
    for seed in range(60):
        network = graph(make(seed))
        assert differences(network, again(network)) == (), seed
        ast.parse(to_python(network))


def test_python_has_functions_for_blocks_loops_for_repetitions_and_no_defaults() -> None:
    source = to_python(graph(EXAMPLES["deepforge-resnet"]))
    functions = [item for item in ast.parse(source).body if isinstance(item, ast.FunctionDef)]
    assert [item.name for item in functions] == ["branch", "same", "smaller", "build"]
    assert '    for i in range(1, 7):\n        x = same(x, 16, name=f"stage1_r{i}")\n' in source
    assert '    y = branch(x, filters, 2, name=f"{name}_y")\n' in source
    assert 'return layers.ReLU(name=f"{name}_sum")(x)\n' in source
    assert max(map(len, source.splitlines())) <= 100
    assert len(source.splitlines()) < 65
    given = graph(SMALL.replace("he_normal", "glorot_uniform, use_bias: true"))
    assert 'layers.Dense(2, name="a")(x)' in to_python(given)


OPTIONS = {
    "batch: 4": "batch_size=4",
    "sparse: true": "sparse=True",
    "ragged: true": "ragged=True",
    "optional: true": "optional=True",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_what_an_input_says_besides_its_shape_is_kept_in_every_form(option: str) -> None:
    text = SMALL.replace("[8]", f"{{shape: [8], {option}}}")
    network = graph(text)
    assert differences(network, again(network)) == ()
    (change,) = differences(graph(SMALL), network)
    assert str(change).count(OPTIONS[option]) == 1
    code = KerasLibrary().compile(text, "net.yaml").code
    assert f"keras.Input(shape=(8,), dtype='float32', {OPTIONS[option]}, name='x')" in code
    assert f'keras.Input((8,), {OPTIONS[option]}, name="x")' in to_python(network)
    (config,) = [one["config"] for one in json.loads(to_json(network))["config"]["layers"][:1]]
    word, value = OPTIONS[option].split("=")
    assert str({**config, "batch_size": config["batch_shape"][0]}[word]) == value
    torch = text.replace("keras", "torch").replace("Dense", "Linear")
    (fault,) = [one for one in TorchLibrary().check(torch, "net.yaml") if "input" in one.message]
    assert fault.message.endswith(f"an input of PyTorch has no {option.partition(':')[0]}")


def test_the_batch_that_a_sequential_model_was_built_on_means_nothing() -> None:
    dense = json.loads(to_json(graph(SMALL)))["config"]["layers"][1]
    config = {"name": "s", "layers": [dense], "build_input_shape": [32, 8]}
    found = saved_model({"class_name": "Sequential", "config": config}, "s.json")
    assert list(found.inputs.values()) == [{"shape": [8]}]


LOOPS = """\
library: keras
architecture: loops
inputs: {images: [32, 32, 3]}
blocks:
  conv:
    parameters: [width, {size: 3}, {pace: 1}]
    layers:
      - c: {Conv2D: {filters: $width, kernel_size: $size, strides: $pace, padding: same}}
      - d: {Conv2D: {filters: $width, kernel_size: 3, padding: same}}
layers:
  - s: {conv: [8, 5]}
  - b: {conv: [$w, $k, $p], repeat: {w: [8, 16, 32], k: [3, 5, 7], p: [1, 2, 1]}}
  - u: {Dense: {units: $u}, repeat: {u: [8, 4, 2]}}
  - i: {Dense: {units: $index}, repeat: 4}
  - v: {Dense: {units: $v}, repeat: {v: [%s]}}
"""


def test_repetitions_that_differ_are_loops_and_blocks_have_the_parameters_of_the_file() -> None:
    network = graph(LOOPS % ", ".join(map(str, range(1000, 1030))))
    source = to_python(network)
    assert "def conv(x, width, size, pace, *, name):\n" in source
    assert '    x = layers.Conv2D(width, size, strides=pace, padding="same", name=' in source
    rows = "[(8, 3, 1), (16, 5, 2), (32, 7, 1)]"
    assert (
        f"    for i, (width, size, pace) in enumerate({rows}, 1):\n"
        '        x = conv(x, width, size, pace, name=f"b_r{i}")\n'
    ) in source
    assert "    for i, units in enumerate([8, 4, 2], 1):\n" in source
    assert '    for i in range(1, 5):\n        x = layers.Dense(i, name=f"i_r{i}")(x)\n' in source
    assert "        1029,\n" in source
    assert max(map(len, source.splitlines())) <= 100
    namespace: dict[str, Any] = {"__name__": "x"}
    keras = SimpleNamespace(layers=_Calls(), Input=_Calls().Input, Model=lambda *_, **__: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "keras", keras)
        exec(compile(source, "x", "exec"), namespace)
        namespace["build"]()
    made = dict(keras.layers.made)
    assert list(made) == [call.name for call in network.calls]
    for call in network.calls:
        assert made[call.name][0] == next(iter(call.arguments.values())).data


class _Calls:
    """Notes the layers that are made: their name, and the arguments before it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, kind: str) -> Any:
        def make(*arguments: object, name: str, **_: object) -> Any:
            self.made.append((name, arguments))
            return lambda tensor: tensor

        return make


def test_dot_has_a_node_for_each_layer_and_an_edge_for_each_tensor() -> None:
    network = graph(EXAMPLES["pasquet"])
    lines = to_dot(network).splitlines()
    edges = [line for line in lines if "->" in line]
    assert len(edges) == sum(len(call.reads) for call in network.calls)
    assert '  "reddening" -> "cat" [label="2"];' in edges
    assert lines[0] == 'digraph "pasquet" {'


def test_equal_layers_that_are_repeated_are_folded() -> None:
    text = SMALL + "  - b: {Dense: {units: 2}, repeat: 5}\n"
    found = to_yaml(saved_model(json.loads(to_json(graph(text))), "net.json"), "x")
    assert "  - b: {Dense: {}, repeat: 5}\n" in found
    assert "  Dense: {units: 2}\n" in found


MASKED = """\
library: keras
architecture: masked
inputs: {words: {shape: [6], dtype: int32}, flags: {shape: [6], dtype: bool}, x: [6, 4]}
layers:
  - vectors: {Embedding: {input_dim: 9, output_dim: 4, mask_zero: true}, from: words}
  - read: {LSTM: {units: 3}}
  - other: {LSTM: {units: 3}, from: x, call: {mask: flags}}
  - sum: {Add: {}, from: [read, other]}
"""


def tensor(layer: str) -> dict[str, Any]:
    config = {"shape": [None, 3], "dtype": "bool", "keras_history": [layer, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


def operation(kind: str, *args: object) -> dict[str, Any]:
    """An operation as Keras saves it: there is a layer for each."""
    node = {"args": list(args), "kwargs": {}}
    found = {"module": "keras.src.ops.numpy", "class_name": kind, "registered_name": kind}
    return {**found, "config": {"name": kind}, "name": kind, "inbound_nodes": [node]}


def with_operations(mask_of: str, mask: str, *operations: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_json(graph(MASKED)))
    layers = document["config"]["layers"]
    layers += operations
    (reads,) = [one for one in layers if one["name"] == mask_of]
    reads["inbound_nodes"][0]["kwargs"]["mask"] = tensor(mask)
    return document


NOT_EQUAL = operation("NotEqual", tensor("words"), 0)


def test_masks_that_keras_adds_are_left_out_for_it_makes_them_again() -> None:
    sized = operation("OnesLike", tensor("x"))
    both = operation("LogicalOr", tensor("NotEqual"), tensor("OnesLike"))
    for operations in ((NOT_EQUAL,), (NOT_EQUAL, sized, both)):
        document = with_operations("read", operations[-1]["name"], *operations)
        found = graph(to_yaml(saved_model(document, "net.json"), "x"))
        assert differences(graph(MASKED), found) == ()


@pytest.mark.parametrize(
    ("mask_of", "operations"),
    [
        ("other", [NOT_EQUAL]),  # no layer makes it for a call on x
        ("read", [operation("NotEqual", tensor("words"), 1)]),
        ("read", [operation("NotEqual", tensor("flags"), 0)]),
        ("read", [NOT_EQUAL, operation("LogicalAnd", tensor("NotEqual"), tensor("flags"))]),
        ("read", [operation("Cast", tensor("flags"))]),
        ("read", [NOT_EQUAL, operation("Exp", tensor("NotEqual"))]),
    ],
)
def test_a_mask_of_a_users_own_and_other_operations_are_refused(
    mask_of: str, operations: list[dict[str, Any]]
) -> None:
    document = with_operations(mask_of, operations[-1]["name"], *operations)
    if operations[-1]["name"] == "Exp":  # it is read by a layer
        document["config"]["output_layers"] = ["Exp", 0, 0]
    with pytest.raises(InvalidInputError, match="is an operation, not a layer"):
        saved_model(document, "net.json")


def test_a_sum_of_two_equal_tensors_is_the_layer_that_does_it() -> None:
    document = json.loads(to_json(graph(MASKED)))
    document["config"]["layers"][-1] = operation("Add", tensor("read"), tensor("other"))
    document["config"]["output_layers"] = ["Add", 0, 0]
    assert "  - Add: {Add: {}, from: [read, other]}\n" in to_yaml(
        saved_model(document, "net.json"), "x"
    )


OWN = """\
library: keras
architecture: own
inputs: {x: [8]}
layers:
  - a: {Dense: {units: 2, activation: 'mine:cube', kernel_initializer: {'mine:Half': {of: 3}}}}
  - b: {'mine:Scale': {factor: 2.0}}
  - c: {Lambda: {function: 'mine:cube'}}
"""


def test_what_the_project_has_is_imported_by_its_name_and_nothing_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "nets"
    folder.mkdir()
    path = folder / "own.json"
    path.write_text(to_json(graph(OWN)))
    with pytest.raises(InvalidInputError) as caught:
        import_model(path, None)
    assert "'mine:Scale' is nothing of this project: the project has no module" in str(caught.value)
    (folder / "mine.py").write_text("raise SystemExit\nclass Scale: pass\nclass Half: pass\n")
    with pytest.raises(InvalidInputError) as caught:
        import_model(path, None)
    assert "Scale" not in str(caught.value)
    assert "'mine:cube' is nothing of this project: 'mine' has no class or function" in str(
        caught.value
    )
    (folder / "mine.py").write_text(
        "raise SystemExit\nclass Scale: pass\nclass Half: pass\ndef cube(x): pass\n"
    )
    assert differences(graph(OWN), graph(import_model(path, None).text)) == ()


def test_a_function_that_was_saved_without_its_module_is_told() -> None:
    text = to_json(graph(OWN)).replace("mine>cube", "cube")
    with pytest.raises(InvalidInputError, match="'cube' was saved without its module"):
        saved_model(json.loads(text), "net.json", lambda _: "")


@pytest.mark.parametrize("module", ["layers", "name", "x", "i", "range", "a", "models", "one"])
def test_python_has_no_name_that_a_module_of_the_project_has(module: str) -> None:
    text = f"""\
library: keras
architecture: net
inputs: {{x: [8]}}
blocks:
  one:
    parameters: [units]
    layers:
      - a: {{Dense: {{units: $units, activation: '{module}:act'}}}}
      - y: {{Add: {{}}, from: [a, a]}}
layers:
  - a: {{'{module}:Own': {{text: "keras.layers.X isn't 'a' name"}}}}
  - b: {{one: [8]}}
  - c: {{one: [4]}}
  - d: {{Dense: {{units: 4}}, repeat: 4}}
"""
    tree = ast.parse(to_python(graph(text)))
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)
             and isinstance(node.ctx, ast.Store)}  # fmt: skip
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert module not in bound
    alone = [node.names[0].name for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert alone == ([] if module == "layers" else ["layers"])
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name)]  # fmt: skip
    assert ("range" in calls) == (module != "range")
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert "keras.layers.X isn't 'a' name" in texts


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(InvalidInputError) as caught:
        import_model(path, None)
    return str(caught.value)


Edit = Callable[[dict[str, Any]], None]


def layer(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["config"]["layers"][1]
    return found


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: layer(d).update(class_name="Lambda"), "holds code (Lambda)"),
        (lambda d: layer(d).update(module="os", class_name="system"), "'os:system' is nothing of this project"),
        (lambda d: layer(d).update(module="evil"), "'evil:Dense' is nothing of this project"),
        (lambda d: layer(d).update(registered_name="me>Dense"), "is no layer"),
        (lambda d: layer(d).update(class_name=["Dense"]), "is no layer"),
        (
            lambda d: layer(d)["config"].update(
                kernel_initializer={"class_name": "__lambda__", "config": {"value": "4wEA"}}
            ),
            "'__lambda__' is no initializer",
        ),
        (
            lambda d: layer(d)["config"].update(units={"class_name": "x", "config": {}}),
            "nothing that a file can say",
        ),
        (lambda d: layer(d)["config"].update(units=-1), "units of Dense must be"),
        (lambda d: layer(d)["config"].update(odd=1), "Dense takes no 'odd'"),
        (lambda d: layer(d)["inbound_nodes"].clear(), "no model that Keras saved"),
        (
            lambda d: layer(d)["inbound_nodes"][0]["args"][0]["config"].update(
                keras_history=["a", 0, 0]
            ),
            "in a circle",
        ),
        (
            lambda d: d["config"]["layers"][0]["config"].update(batch_shape=[None, "$(id)"]),
            "no parameter $(id)",
        ),
        (lambda d: d["config"]["layers"][0]["config"].update(batch_shape=7), "no model that"),
        (lambda d: d.update(class_name="Subclassed"), "no functional or sequential model"),
        (lambda d: d["config"].update(layers={}), "no model that Keras saved"),
        (
            lambda d: layer(d)["config"].pop("name"),
            "no model that Keras saved: a part of it has no 'name'",
        ),
        (lambda d: d["config"].update(input_layers={"x": ["x", 0, 0]}), "are a mapping"),
    ],
)  # fmt: skip
def test_a_model_that_no_file_can_say_is_refused_and_nothing_is_run(
    tmp_path: Path, edit: Edit, told: str
) -> None:
    document = json.loads(to_json(graph(SMALL)))
    edit(document)
    assert told in refused(tmp_path / "net.json", json.dumps(document).encode())


def archive(path: Path, data: bytes, name: str = "config.json") -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return path.read_bytes()


def test_a_bomb_a_torn_archive_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    whole = archive(path, b"\0" * (30 << 20))
    assert len(whole) < 1 << 16
    assert "larger than 20 MiB" in refused(path, whole)
    assert "damaged" in refused(path, whole[: len(whole) // 2])
    lying = whole.replace((30 << 20).to_bytes(4, "little"), (1 << 10).to_bytes(4, "little"))
    assert "damaged" in refused(path, lying) or "no JSON" in refused(path, lying)
    assert "no .keras file" in refused(path, archive(path, b"{}", "../config.json"))
    assert "it is of PyTorch" in refused(path, archive(path, b"\x80\x02}", "net/data.pkl"))
    assert "no JSON" in refused(path, archive(path, b"[" * 100_000))
    assert "no model of Keras" in refused(path, archive(path, b"[]"))
    assert "no JSON" in refused(path, b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        import_model(tmp_path / "none.keras", None)


def test_a_keras_file_is_read_and_a_strange_name_stays_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "net\nlayers: [].keras"
    path.write_bytes(archive(path, to_json(graph(SMALL)).encode()))
    found = import_model(path, None).text
    assert differences(graph(SMALL), graph(found)) == ()
    assert found.count("\nlayers:") == 1


def test_a_module_is_run_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(UsageError, match="is code"):
        import_model(tmp_path / "net.py", None)
    assert not (tmp_path / "ran").exists()
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(InvalidInputError, match="has no Keras"):
        import_model(tmp_path / "net.py", None, run=True, python=str(bare))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UsageError, match="cannot be started"):
        import_model(tmp_path / "net.py", None, run=True, python="./none")
