"""What surrounds a trial by Keras: its process, its cache, its words and its sums; Keras itself is not needed."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import arch_check
from deepforge_hpc.api.arch_memory import fit
from deepforge_hpc.cli.main import main
from deepforge_hpc.cli.views.arch_check import checked_lines
from deepforge_hpc.libraries.keras.library import KerasLibrary
from deepforge_hpc.libraries.keras.trial.costs import inside, operations
from deepforge_hpc.libraries.keras.trial.findings import findings, of_loss
from deepforge_hpc.libraries.keras.trial.judge import JUDGE
from deepforge_hpc.libraries.keras.trial.words import core
from deepforge_hpc.libraries.networks.graph import Graph
from deepforge_hpc.libraries.networks.trial import cache, costs, run
from deepforge_hpc.libraries.networks.trial.notices import notices
from deepforge_hpc.libraries.networks.trial.request import BuildRequest
from deepforge_hpc.libraries.networks.trial.result import BuiltLayer, NoTrial, Objection, Trial
from deepforge_hpc.libraries.networks.trial.setting import TrialSetting
from deepforge_hpc.libraries.networks.trial.tried import Tried, try_out
from deepforge_hpc.plugins.library import Use

CLASSES = "sparse_categorical_crossentropy"
DENSE = "{Dense: {units: %d}}"
HEAD = "library: keras\narchitecture: net\ninputs: {x: [8]}\nlayers:\n"
SOFTWARE = (("keras", "3.15.1"),)
TRIAL = Trial("3.15.1", "jax", (BuiltLayer(), BuiltLayer(kind="Dense", outputs=((None, 2),))))


def graph(*layers: str) -> Graph:
    return KerasLibrary().graph(HEAD + "".join(f"  - {layer}\n" for layer in layers), "net.yaml")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


FAKE = """
import json, os, sys, time
told, networks = json.loads(sys.stdin.readline()), json.loads(sys.stdin.readline())
def say(**message):
    print(json.dumps(message), flush=True)
say(ready=True, version="3", backend="fake")
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Return a function that asks a process which does what it is told, in place of Keras."""

    def ask(body: str, network: Graph | None = None, **words: float) -> object:
        script = tmp_path / "fake.py"
        script.write_text(FAKE + body)
        judge = replace(JUDGE, child=script)
        setting = TrialSetting(judge=judge, python=sys.executable, **words)  # type: ignore[arg-type]
        network = network or graph("a: {Dense: {units: 2}}")
        return run.ask([BuildRequest(network).network], setting)

    return ask


FIRST = "say(begin=[0, 0]); say(item=[0, 0]); say(begin=[0, 1])\n"


@pytest.mark.parametrize(
    ("body", "stage", "text"),
    [
        ("time.sleep(600)", "time", "0.5 s"),
        ("os.write(2, b'first\\nout of memory\\n'); os._exit(9)", "end", "out of memory"),
        ("print('no json', flush=True); time.sleep(600)", "end", ""),
        ("say(item=[0, 1], outputs='none'); time.sleep(600)", "end", ""),
        ("say(item=[7, 1]); time.sleep(600)", "end", ""),
        ("sys.stdout.write('x' * (2 << 20)); time.sleep(600)", "end", ""),
    ],
)
def test_a_trial_that_does_not_end_well_is_told_at_the_layer_it_was_at(
    asked: Callable[..., object], body: str, stage: str, text: str
) -> None:
    found = asked(FIRST + body, layer_s=0.5)
    assert isinstance(found, tuple)
    first, second = found[0].layers
    assert first.error is None
    assert second.error == Objection(stage, "", text)


ENDS = """
layers = networks[0]["items"]
for number, item in enumerate(layers):
    say(begin=[0, number])
    if item["name"] in {bad} and "code" in item:
        os._exit(9)
    say(item=[0, number], outputs=[[None, 2]])
say(begin=[0, len(layers)])
say(network=0)
say(end=True)
"""


@pytest.mark.parametrize(("bad", "seen"), [("ab", 4), ("abc", 3)])
def test_what_stands_behind_a_layer_that_ends_the_trial_is_looked_at_or_told_as_not(
    asked: Callable[..., object], bad: str, seen: int
) -> None:
    network = graph(*(f"{name}: {DENSE % 2}" for name in "abcd"))
    found = asked(ENDS.replace("{bad}", repr(bad)), network=network)
    assert isinstance(found, tuple)
    (trial,) = found
    ended = [layer.error.stage if layer.error else "" for layer in trial.layers[1:]]
    assert ended == ["end" if name in bad else "" for name in "abcd"[:seen]]
    outputs = [layer.outputs for layer in trial.layers[1:]]
    assert outputs == [() if name in bad else ((None, 2),) for name in "abcd"[:seen]]
    told = [one.text for one in notices(tried(network, *trial.layers[1:]))]
    unseen = ["the check ended too often, so 1 layer was not checked"]
    assert told == ([] if seen == 4 else unseen)


@pytest.mark.parametrize("text", ["MemoryError", "Unable to allocate 8.00 GiB for an array"])
def test_a_layer_that_finds_no_memory_is_told_so(text: str) -> None:
    error = BuiltLayer(error=Objection("call", "MemoryError", text))
    (refused,) = tried(graph("a: {Dense: {units: 2}}"), error).refused()
    assert "it takes more memory than a check may have" in str(refused.fault)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Inputs have incompatible shapes", "give them one shape first"),
        ("requires inputs with matching shapes except for the concatenation axis", "padding: same"),
    ],
)
def test_what_is_merged_is_brought_to_one_number_of_dimensions_first(text: str, hint: str) -> None:
    network = graph("a: {Add: {}, from: [x, x]}")
    error = BuiltLayer(error=Objection("call", "ValueError", text))
    image, vector = (None, 8, 8, 3), (None, 7)
    for shapes, told in (((image, vector), "one number of dimensions"), ((image, image), hint)):
        (refused,) = tried(network, error._replace(inputs=shapes)).refused()
        assert told in refused.fault.hint


def test_an_input_that_is_refused_is_told_at_its_place() -> None:
    network, why = graph("a: {Dense: {units: 2}}"), Objection("make", "ValueError", "no such thing")
    one = tried(network)
    one = replace(one, trial=one.trial._replace(layers=(BuiltLayer(error=why), BuiltLayer())))
    (refused,) = one.refused()
    assert str(refused.fault) == "net.yaml:3:10: input x: it is refused: no such thing"
    other = why._replace(by="backend")
    one = replace(one, trial=one.trial._replace(layers=(BuiltLayer(error=other), BuiltLayer())))
    assert list(one.refused()) == []
    assert [notice.kind for notice in notices(one)] == ["other_backend"]


def test_what_a_trial_has_started_ends_with_it(
    asked: Callable[..., object], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    start = "import subprocess; p = subprocess.Popen(['sleep', '600'])\n"
    body = f"{start}open({str(pid)!r}, 'w').write(str(p.pid))\n"
    asked(body + FIRST + "time.sleep(600)", layer_s=0.5)
    try:
        handle = os.pidfd_open(int(pid.read_text()))
    except ProcessLookupError:
        return
    ended, _, _ = select.select([handle], [], [], 60)
    os.close(handle)
    assert ended


@pytest.mark.parametrize(
    ("body", "why"),
    [("time.sleep(600)", "time"), ("sys.exit('broken')", "end"), ("print('[]')", "end")],
)
def test_a_keras_that_does_not_come_up_is_no_trial(
    asked: Callable[..., object], monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    monkeypatch.setitem(globals(), "FAKE", "import sys, time\n")
    found = asked(body, start_s=0.5)
    assert isinstance(found, NoTrial)
    assert found.why == why
    assert found.text == ("broken" if "broken" in body else "")


def test_a_python_without_keras_is_told_as_such() -> None:
    network = BuildRequest(graph("a: {Dense: {units: 2}}")).network
    bare = Path(sys.base_prefix, "bin", "python3")  # what the tests need lies elsewhere
    found = run.ask([network], TrialSetting(judge=JUDGE, python=str(bare)))
    assert found == NoTrial("none")
    found = run.ask([network], TrialSetting(judge=JUDGE, python="/no/such/python"))
    assert found == NoTrial("start", "/no/such/python: No such file or directory")


def test_a_trial_is_remembered_by_network_keras_and_how_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    one, other = (BuildRequest(graph(f"a: {{Dense: {{units: {n}}}}}")).network for n in (2, 3))
    setting = TrialSetting(judge=JUDGE, python="python3")
    names = {
        cache.key(one, setting, SOFTWARE),
        cache.key(other, setting, SOFTWARE),
        cache.key(one, setting, (("keras", "3.16"),)),
        cache.key(one, TrialSetting(judge=JUDGE, python="python3", backend="jax"), SOFTWARE),
    }
    # Keras writes its defaults there when it is imported first.
    (tmp_path / "keras.json").write_text('{"floatx": "float32", "backend": "tensorflow"}')
    assert cache.key(one, setting, SOFTWARE) in names
    (tmp_path / "keras.json").write_text('{"floatx": "float16"}')
    names.add(cache.key(one, setting, SOFTWARE))
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    names.add(cache.key(one, setting, SOFTWARE))
    for name in ("TF_USE_LEGACY_KERAS", "PYTHONPATH", "JAX_ENABLE_X64"):
        monkeypatch.setenv(name, "1")
        names.add(cache.key(one, setting, SOFTWARE))
    assert len(names) == 9
    monkeypatch.setenv("OLDPWD", "/")
    assert cache.key(one, setting, SOFTWARE) in names
    cache.put("a", TRIAL)
    assert cache.get("a", 2) == TRIAL
    assert cache.get("b", 2) is None
    assert cache.get("a", 3) is None  # it is of another network
    assert (cache.folder() / "a.json").stat().st_mode & 0o777 == 0o600
    assert cache.folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{" * 100_000, b'{"schema": "dfh/keras-trial/2"}', b"\xff", b"x" * (9 << 20)],
)
def test_a_damaged_or_large_file_of_the_cache_is_not_believed(content: bytes) -> None:
    cache.put("a", TRIAL)
    (cache.folder() / "a.json").write_bytes(content)
    assert cache.get("a", 2) is None


def test_a_file_of_the_cache_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("a", TRIAL)
    monkeypatch.setattr(cache, "_MAX_BYTES", 100)
    assert cache.get("a", 2) is None
    cache.put("b", TRIAL)
    assert not (cache.folder() / "b.json").exists()


def test_a_link_a_pipe_and_what_others_wrote_or_may_write_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache.put("a", TRIAL)
    here = cache.folder()
    (here / "link.json").symlink_to(here / "a.json")
    os.mkfifo(here / "pipe.json")
    assert cache.get("link", 2) is None
    assert cache.get("pipe", 2) is None
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert cache.get("a", 2) is None
    assert cache.get("a", 2) == TRIAL
    here.chmod(0o777)
    assert cache.get("a", 2) is None


def test_the_cache_is_bounded_and_one_that_cannot_be_written_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache, "_MAX_FILES", 3)
    for index in range(5):
        cache.put(f"n{index}", TRIAL)
        os.utime(cache.folder() / f"n{index}.json", (index, index))
    assert sorted(path.name for path in cache.folder().iterdir()) == [
        "n2.json",
        "n3.json",
        "n4.json",
    ]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.put("a", TRIAL)
    assert cache.get("a", 2) is None


def test_only_a_trial_that_came_to_its_end_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    network, setting = graph("a: {Dense: {units: 2}}"), TrialSetting(judge=JUDGE, python="python3")
    asked: list[object] = []
    late = TRIAL._replace(layers=(BuiltLayer(), BuiltLayer(error=Objection("time", "", "60 s"))))
    answers = iter([late, TRIAL])

    def ask(networks: object, setting: object) -> tuple[Trial, ...]:
        asked.append(networks)
        return (next(answers),)

    monkeypatch.setattr(run, "ask", ask)
    first = try_out(network, setting, SOFTWARE)
    assert isinstance(first, Tried)
    (refused,) = first.refused()
    assert str(refused.fault).startswith("net.yaml:5:9: a: it was not ready after 60 s, so the")
    assert try_out(network, setting, SOFTWARE, may_start=False) == NoTrial("not asked")
    assert [try_out(network, setting, SOFTWARE).is_cached for _ in range(3)] == [False, True, True]  # type: ignore[union-attr]
    assert len(asked) == 2


def tried(network: Graph, *layers: BuiltLayer, backend: str = "jax") -> Tried:
    return Tried(
        judge=JUDGE,
        graph=network,
        request=BuildRequest(network),
        trial=Trial("3.15.1", backend, (BuiltLayer(), *layers)),
        is_cached=False,
        job_backend="tensorflow",
    )


def test_errors_stand_alone_where_nothing_could_be_built() -> None:
    layers, bad = ("a: {Dense: {units: 2}}", "b: {Flatten: {}}"), Objection("call", "E", "no")
    refused = BuiltLayer(error=bad)
    for first, has_table in ((refused, False), (built("Dense", 2), True)):
        one = tried(graph(*layers), first, refused, backend="tensorflow")
        shown = checked_lines(arch_check.tried_network(one, Path("net.yaml"), batch=1))
        assert any("LAYER" in line for line in shown) is has_table


def test_code_of_the_project_is_left_out_and_the_way_to_run_it_is_told(
    tmp_path: Path, follow: Any
) -> None:
    layer = "a: {Dense: {units: 2, activation: mine:act}}"
    (tmp_path / "net.yaml").write_text(f"{HEAD}  - {layer}\n")
    (tmp_path / "mine.py").write_text("def act(x):\n    return x\n")
    (notice,) = notices(tried(graph(layer), BuiltLayer()))
    assert notice.kind == "user_code"
    step = "libraries/networks/trial/notices.py notices: dfh arch"
    follow(step, notice.next, cwd=tmp_path, fill={"FILE": "net.yaml"})


def test_a_objection_by_another_backend_than_the_jobs_is_no_error() -> None:
    objection = Objection("call", "TypeError", "no dynamic shapes", "backend")
    unmade = Objection("make", "ImportError", "Layer A requires TensorFlow", "backend")
    for refusal in (objection, unmade, objection._replace(by="code")):
        one = tried(graph("a: {Dense: {units: 2}}"), BuiltLayer(error=refusal))
        assert list(one.refused()) == []
        assert [call.name for call in one.doubtful()] == ["a"]
        (told,) = notices(one)
        assert "jax refuses it, and tensorflow may not" in told.text
    own = tried(one.graph, BuiltLayer(error=objection), backend="tensorflow")
    assert [one.call.name for one in own.refused() if one.call] == ["a"]
    for refusal in (objection._replace(by="framework"), unmade._replace(by="code")):
        assert len(list(tried(one.graph, BuiltLayer(error=refusal)).refused())) == 1


def test_the_core_of_what_keras_says_is_found_within_what_it_wraps_around_it() -> None:
    wrapped = (
        "Exception encountered when calling Reshape.call().\n\nThe total size.\n\n"
        "Arguments received by Reshape.call():\n  args=()"
    )
    inferred = f"Could not automatically infer the shape of 'b'. Error encountered:\n\n{wrapped}"
    assert core(wrapped) == core(inferred) == "The total size."


def built(kind: str, *outputs: int, weights: bool = False) -> BuiltLayer:
    kernel = (("a/kernel", (8, outputs[-1]), True),) if weights else ()
    return BuiltLayer(kind=kind, outputs=((None, *outputs),), dtype="float32", weights=kernel)


@pytest.mark.parametrize(
    ("layers", "sizes", "kinds"),
    [
        (["a: {Dense: {units: 1, activation: softmax}}"], [1], ["one_class"]),
        (["a: {Dense: {units: 1}}", "b: {Softmax: {}}"], [1, 1], ["one_class"]),
        (
            ["a: {TimeDistributed: {layer: {Dense: {units: 1, activation: softmax}}}}"],
            [1],
            ["one_class"],
        ),
        (["a: {Dense: {units: 1, activation: sigmoid}}"], [1], []),
        (["a: {Dense: {units: 1}}", "b: {Dense: {units: 4}}"], [1, 4], ["bottleneck"]),
        # A gate is one number too, and the rest goes around it.
        (
            ["a: {Dense: {units: 1}}", "b: {Multiply: {}, from: [a, x]}", "c: {Dense: {units: 2}}"],
            [1, 8, 2],
            [],
        ),
        (["a: {Dense: {units: 4}}", "b: {Dense: {units: 1}}", "c: {ReLU: {}}"], [4, 1, 1], []),
        (["a: {BatchNormalization: {}, call: {training: false}}"], [8], ["overridden"]),
    ],
)
def test_what_keras_accepts_in_silence(
    layers: list[str], sizes: list[int], kinds: list[str]
) -> None:
    network = graph(*layers)
    outcome = {
        call.name: built(call.kind, size, weights=call.kind == "Dense")
        for call, size in zip(network.calls, sizes, strict=True)
    }
    assert [finding.kind for finding in findings(network, outcome)] == kinds


def test_a_bottleneck_is_told_once_wherever_its_one_number_stands() -> None:
    network = graph(
        "a: {Conv2D: {filters: 1, kernel_size: 8}, from: x}",
        "b: {BatchNormalization: {}}",
        "c: {Flatten: {}}",
        "d: {Dense: {units: 4}}",
    )
    one = built("Conv2D", 1, 1, 1, weights=True)
    outcome = {
        "a": one._replace(inputs=((None, 8, 8, 3),)),
        "b": one._replace(inputs=one.outputs),
        "c": built("Flatten", 1)._replace(inputs=one.outputs),
        "d": built("Dense", 4, weights=True)._replace(inputs=((None, 1),)),
    }
    found = [(finding.kind, finding.call.name) for finding in findings(network, outcome)]
    assert found == [("bottleneck", "a")]


MAP = (8, 8, 3)


@pytest.mark.parametrize(
    ("layers", "shapes", "kinds"),
    [
        (["a: {Conv2D: {filters: 1, kernel_size: 1}}", "b: {Conv2D: {filters: 4, kernel_size: 3}}"],
         [(8, 8, 1), (6, 6, 4)], ["bottleneck"]),
        (["a: {Conv2D: {filters: 4, kernel_size: 1}}", "b: {Conv2D: {filters: 1, kernel_size: 1}}"],
         [(8, 8, 4), (8, 8, 1)], []),  # the last layer is none
        (["a: {Conv2D: {filters: 1, kernel_size: 1}}", "b: {Flatten: {}}", "c: {Dense: {units: 4}}"],
         [(8, 8, 1), (64,), (4,)], []),  # many numbers, each of a pixel
        (["a: {Conv2D: {filters: 1, kernel_size: 1}}", "b: {Multiply: {}, from: [a, x]}",
          "c: {Conv2D: {filters: 4, kernel_size: 1}}"],
         [(8, 8, 1), MAP, (8, 8, 4)], []),  # a map of what to look at
        (["a: {Dense: {units: 1}}", "b: {GlobalAveragePooling2D: {}}", "c: {Dense: {units: 4}}"],
         [(8, 8, 1), (1,), (4,)], ["bottleneck"]),
    ],
)  # fmt: skip
def test_one_number_for_each_pixel_is_a_bottleneck_where_others_learn_from_it_alone(
    layers: list[str], shapes: list[tuple[int, ...]], kinds: list[str]
) -> None:
    network = graph(*layers)
    outcome: dict[str, BuiltLayer] = {}
    for call, shape in zip(network.calls, shapes, strict=True):
        before = tuple(
            (None, *MAP) if one.name == "x" else outcome[one.name].outputs[0] for one in call.reads
        )
        is_weighted = call.kind in {"Conv2D", "Dense"}
        outcome[call.name] = built(call.kind, *shape, weights=is_weighted)._replace(inputs=before)
    assert [finding.kind for finding in findings(network, outcome)] == kinds


def test_what_was_one_number_before_is_no_bottleneck() -> None:
    network = graph("a: {Conv2D: {filters: 1, kernel_size: 1}}", "b: {Dense: {units: 4}}")
    grey = ((None, 8, 8, 1),)
    outcome = {
        "a": built("Conv2D", 8, 8, 1, weights=True)._replace(inputs=grey),
        "b": built("Dense", 8, 8, 4, weights=True)._replace(inputs=grey),
    }
    assert list(findings(network, outcome)) == []


@pytest.mark.parametrize(
    ("layers", "loss", "is_told"),
    [
        (["s: {Softmax: {axis: 1}}"], CLASSES, True),
        (["s: {Softmax: {axis: 1}}"], "categorical_crossentropy", True),
        (["s: {Softmax: {axis: 1}}"], {"CategoricalCrossentropy": {"axis": 1}}, False),
        (["s: {Softmax: {axis: -1}}"], {"CategoricalCrossentropy": {"axis": 1}}, True),
        (["s: {Softmax: {axis: 2}}"], CLASSES, False),
        (["s: {Softmax: {}}"], CLASSES, False),
        (["s: {Softmax: {axis: 1}}", "p: {Permute: {dims: [2, 1]}}"], CLASSES, False),
    ],
)
def test_a_softmax_over_another_axis_than_the_classes_is_told(
    layers: list[str], loss: object, is_told: bool
) -> None:
    network = graph(*layers)
    outcome = {call.name: built(call.kind, 8, 10) for call in network.calls}
    found = [one.said.message for one in of_loss(network, outcome, loss)]
    assert ["for the classes, and the softmax adds up over" in one for one in found] == [
        True
    ] * is_told


NESTED = """\
library: keras
architecture: net
inputs: {x: [4]}
blocks:
  head:
    nested: true
    inputs: {y: [4]}
    layers:
      - d: {Dense: {units: 1}}
      - s: {Softmax: {}}
layers:
  - a: {Dense: {units: 4}}
  - h: {head: []}
"""


def test_a_model_within_another_is_looked_into() -> None:
    network = KerasLibrary().graph(NESTED, "net.yaml")
    outcome = {"a": built("Dense", 4, weights=True)}
    outcome |= {name: built("Softmax", 1) for name in ("h", "h.d", "h.s")}
    (one,) = findings(network, outcome)
    assert (one.kind, one.call.name, one.call.place.line) == ("one_class", "s", 10)
    loss = {"BinaryCrossentropy": {"from_logits": True}}
    (other,) = of_loss(network, outcome, loss)
    assert "applies softmax itself" in other.said.message


def test_a_model_that_is_called_again_works_again_and_has_its_weights_once() -> None:
    again = f"{NESTED}  - g: {{reuse: h, from: a}}\noutputs: [h, g]\n"
    network = KerasLibrary().graph(again, "net.yaml")
    softmax = built("Softmax", 1)._replace(family="keras.src.layers.activations.softmax")
    dense = [built("Dense", size, weights=True) for size in (4, 1)]

    def checked(inner: BuiltLayer) -> arch_check.CheckedArchitecture:
        layers = (dense[0], BuiltLayer(), inner, softmax, softmax, softmax)
        return arch_check.tried_network(tried(network, *layers), Path("net.yaml"), batch=1)

    found = checked(dense[1])
    told = {one.name: (one.parameters, one.operations, one.activations) for one in found.layers}
    assert told["h.d"] == (8, 8, 4)
    assert (told["h"], told["g"]) == ((0, 0, 0), (0, 8, 8))
    assert found.operations == arch_check.Total(32 + 8 + 8, False)
    unknown = {one.name: one.operations for one in checked(built("Mine", 1)).layers}
    assert unknown["g"] is None


@pytest.mark.parametrize(
    ("activation", "units", "loss", "words"),
    [
        (
            "softmax",
            3,
            {"CategoricalCrossentropy": {"from_logits": True}},
            "applies softmax itself",
        ),
        ("linear", 3, "sparse_categorical_crossentropy", "wants probabilities"),
        ("linear", 3, {"SparseCategoricalCrossentropy": {"from_logits": True}}, ""),
        ("softmax", 3, "SparseCategoricalCrossentropy", ""),
        ("sigmoid", 1, "categorical_crossentropy", "the output is one number"),
        ("sigmoid", 3, "categorical_crossentropy", "add up to 1"),
        ("softmax", 3, "binary_crossentropy", "ties them together"),
        ("sigmoid", 3, "binary_crossentropy", ""),
        ("softmax", 3, "mean_squared_error", "compares numbers"),
        ("softmax", 3, "mse", "compares numbers"),
        ("relu", 3, "sparse_categorical_crossentropy", "relu gives other numbers"),
        ("log_softmax", 3, "CategoricalFocalCrossentropy", "log_softmax gives other numbers"),
        ("linear", 1, "BinaryFocalCrossentropy", "nothing makes the output such"),
        ("linear", 3, "kl_divergence", "nothing makes the output such"),
        ("softmax", 3, {"CategoricalFocalCrossentropy": {"from_logits": True}}, "itself"),
        ("hard_sigmoid", 1, "binary_crossentropy", ""),
        ("softmax", 3, "Dice", ""),
        ("linear", 1, "poisson", "wants numbers above 0"),
        ("softplus", 1, "poisson", ""),
        ("sigmoid", 1, "hinge", "gives none below"),
        ("tanh", 1, "squared_hinge", ""),
        ("softmax", 3, "loss.py:own", ""),
        ("softmax", 3, 7, ""),
    ],
)
def test_an_output_fits_the_loss_or_a_warning_says_why_not(
    activation: str, units: int, loss: object, words: str
) -> None:
    network = graph(f"a: {{Dense: {{units: {units}, activation: {activation}}}}}")
    found = [one.said.message for one in of_loss(network, {"a": built("Dense", units)}, loss)]
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_what_no_rule_counts_is_unknown_and_what_has_no_kernel_is_free() -> None:
    free = BuiltLayer("ReLU", "keras.src.layers.activations.relu", outputs=((None, 4),))
    users = free._replace(kind="Own", family="layers")
    unknown = free._replace(kind="Dense", outputs=((None, None, 4),))
    assert operations(free) == 0
    assert operations(users) is None
    assert operations(unknown) is None
    assert costs.activations(unknown, 2) is None
    assert costs.activations(free._replace(dtype="bfloat16"), 3) == 4 * 2 * 3
    assert costs.activations(free._replace(kind="Flatten"), 3) == 0
    assert costs.activations(free, 2, 6) == 2 * (4 + 6) * 4
    assert costs.activations(free, 2, None) is None


def test_attention_and_recurrence_keep_more_than_their_output() -> None:
    kernels = {
        "query": (8, 2, 3),
        "key": (8, 2, 3),
        "value": (8, 2, 5),
        "attention_output": (2, 5, 8),
    }
    look = BuiltLayer(
        kind="MultiHeadAttention",
        inputs=((None, 7, 8), (None, 9, 8)),
        outputs=((None, 7, 8),),
        weights=tuple((f"a/{name}/kernel", shape, True) for name, shape in kernels.items()),
    )
    scores = 2 * 7 * 9
    assert inside(look) == 7 * 6 + 9 * 6 + 9 * 10 + 7 * 10 + 2 * scores
    assert inside(look._replace(kind="Attention", weights=())) == 2 * 7 * 9
    lstm = (("b/forward/kernel", (8, 12), True), ("b/backward/kernel", (8, 12), True))
    both = look._replace(kind="Bidirectional", wraps="LSTM", weights=lstm)
    assert inside(both) == 7 * 24
    assert inside(both._replace(inputs=((None, None, 8),))) is None
    assert inside(built("Dense", 4)) == 0
    every = both._replace(kind="TimeDistributed", wraps="LSTM", inputs=((None, 3, 7, 8),))
    assert inside(every._replace(outputs=((None, 3, 7, 4),))) == 3 * 7 * 24
    assert inside(every._replace(wraps="Dense")) == 0


@pytest.mark.parametrize(
    ("kind", "wraps", "family"),
    [
        ("GroupQueryAttention", "", "keras.src.layers.attention.grouped_query_attention"),
        ("RNN", "", "keras.src.layers.rnn.rnn"),
        ("ConvLSTM2D", "", "keras.src.layers.rnn.conv_lstm2d"),
        ("Bidirectional", "RNN", "keras.src.layers.rnn.bidirectional"),
        ("TimeDistributed", "ConvLSTM1D", "keras.src.layers.rnn.time_distributed"),
        ("Dense", "", "layers"),  # the project's own
    ],
)
def test_what_a_layer_keeps_besides_its_output_is_no_zero_where_nobody_knows(
    kind: str, wraps: str, family: str
) -> None:
    layer = built(kind, 5, 4)._replace(wraps=wraps, family=family, inputs=((None, 5, 8),))
    assert inside(layer) is None
    network = graph("a: {Dense: {units: 4}}")
    found = arch_check.tried_network(tried(network, layer), Path("net.yaml"), batch=2)
    assert found.activations == arch_check.Total(2 * 8 * 4, True)
    fitted = fit(JUDGE, "adam", "")(found).memory
    assert fitted is not None
    assert fitted.is_least


def test_without_keras_the_command_says_what_it_did_not_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, follow: Any
) -> None:
    monkeypatch.setattr("deepforge_hpc.api.arch_check.software", lambda *_: ())
    file = tmp_path / "net.yaml"
    file.write_text(f"{HEAD}  - a: {{Dense: {{units: 2}}}}\n")
    assert main(["arch", "check", str(file)]) == 0
    said = capsys.readouterr()
    assert said.out == "net: 1 layer\n"
    assert "net.yaml: shapes and costs were not checked: there is no Keras beside dfh" in said.err
    assert "pip install 'deepforge-hpc[keras]'" in said.err
    bare = Path(sys.base_prefix) / "bin" / "python3"  # the tests' own has Keras in a whole run
    step, given = "libraries/networks/trial/notices.py not_tried: dfh arch", {"PATH": str(bare)}
    words = {"FILE": "net.yaml", **given}
    assert "it has no Keras" in follow(step, said.err, cwd=tmp_path, fill=words, expect=2).stderr
    assert main(["arch", "check", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == ""
    assert document["layers"][0]["output"] == []
    assert main(["arch", "check", str(file), "--python", "/no/python"]) == 2
    assert "there is no such program" in capsys.readouterr().err
    bare = str(Path(sys.base_prefix, "bin", "python3"))
    assert main(["arch", "check", str(file), "--python", bare]) == 2
    assert (
        f"--python {bare}: it has no Keras\nhint: install Keras 3 with" in capsys.readouterr().err
    )
    for loss, words in {"foo": "leave it out", "Mse_": "'MSE'", "Adam": "no such loss"}.items():
        assert main(["arch", "check", str(file), "--loss", loss]) == 2
        said = capsys.readouterr().err
        assert f"--loss {loss!r}: Keras has no such loss\nhint: " in said
        assert words in said
    assert main(["arch", "check", str(file), "--loss", "{mse: 1, mae: 2}"]) == 2
    assert "write Name or {Name: {argument: value}}" in capsys.readouterr().err
    file.write_text(f"{HEAD}  - a: {{Dense: {{units: 2}}}}\n".replace("keras", "tensorflow"))
    assert main(["arch", "check", str(file)]) == 3
    assert (
        "1:10: library: expected one of keras, torch, not 'tensorflow'" in capsys.readouterr().err
    )
    file.write_text(f"{HEAD}  - a: {{Dens: {{units: 2}}}}\n")
    assert main(["arch", "check", str(file)]) == 3
    assert "did you mean 'Dense'?" in capsys.readouterr().err


def test_code_that_the_project_has_not_is_told_without_keras(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepforge_hpc.api.arch_check.software", lambda *_: ())
    file = tmp_path / "net.yaml"
    file.write_text(f"{HEAD}  - a: {{'own.layers:Blur': {{}}}}\n")
    assert main(["arch", "check", str(file)]) == 3
    assert "net.yaml:5:9: the project has no module 'own.layers'" in capsys.readouterr().err
    (tmp_path / "own").mkdir()
    (tmp_path / "own/layers.py").write_text("class Blurs:\n    pass\n")
    assert main(["arch", "check", str(file)]) == 3
    assert "has no class or function 'Blur' at its top" in capsys.readouterr().err
    (tmp_path / "own/layers.py").write_text("raise SystemExit\nclass Blur:\n    pass\n")
    assert main(["arch", "check", str(file)]) == 0


def use(software: dict[str, tuple[tuple[str, str], ...]], **attributes: object) -> Use:
    return Use(attributes, "own", "jobs", lambda python, _: software.get(python, ()))


def test_a_pipeline_uses_what_keras_has_said_and_never_starts_that_of_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = f"{HEAD}  - a: {{Dense: {{units: 2, activation: softmax}}}}\n"
    examine = KerasLibrary().examine
    monkeypatch.setattr(run, "ask", None)

    (notice,) = examine(text, "net.yaml", use({})).notices
    assert (notice.kind, notice.level) == ("not_tried", "info")
    (notice,) = examine(text, "net.yaml", use({"jobs": SOFTWARE})).notices
    assert notice.kind == "not_tried"

    network = BuildRequest(KerasLibrary().graph(text, "net.yaml")).network
    setting = TrialSetting.of(JUDGE, "jobs", is_jobs=True)
    cache.put(cache.key(network, setting, SOFTWARE), TRIAL)
    found = examine(text, "net.yaml", use({"jobs": SOFTWARE}, loss="mean_squared_error"))
    assert [notice.kind for notice in found.notices] == ["loss"]
    refused = BuiltLayer(error=Objection("make", "ValueError", "units are odd"))
    cache.put(cache.key(network, setting, SOFTWARE), TRIAL._replace(layers=(BuiltLayer(), refused)))
    (fault,) = examine(text, "net.yaml", use({"jobs": SOFTWARE})).faults
    assert str(fault) == "net.yaml:5:9: a: Dense refuses it: units are odd"

    asked = []
    monkeypatch.setattr(run, "ask", lambda *words: asked.append(words) or (TRIAL,))
    assert examine(text, "net.yaml", use({"own": SOFTWARE})).notices == ()
    assert asked[0][1].python == "own"


LAST = "a: {Dense: {units: 3, activation: softmax}}"


@pytest.mark.parametrize(
    ("layers", "loss", "words"),
    [
        ([LAST, "b: {Dropout: {rate: 0.1}}"], CLASSES, ""),
        ([LAST, "b: {Reshape: {target_shape: [3]}}", "c: {Activation: {activation: linear}}"], CLASSES, ""),
        ([LAST, "b: {Dropout: {rate: 0.1}}"], "mse", "compares numbers"),
        (["a: {Dense: {units: 3}}", "b: {Dropout: {rate: 0.1}}"], CLASSES, "wants probabilities"),
        (["a: {Dense: {units: 3}}", "b: {Activation: {activation: softmax}}"], CLASSES, ""),
        ([LAST, "b: {Dense: {units: 3}}"], CLASSES, "wants probabilities"),
        ([LAST, "b: {ReLU: {}}"], CLASSES, "relu gives other numbers"),
        (["a: {Dense: {units: 3}}", "b: {ReLU: {}}"], "poisson", ""),
    ],
)  # fmt: skip
def test_what_keeps_the_meaning_of_numbers_is_looked_through(
    layers: list[str], loss: str, words: str
) -> None:
    network = graph(*layers)
    last = network.outputs[0].name
    found = [one.said.message for one in of_loss(network, {last: built("Dense", 3)}, loss)]
    assert len(found) == bool(words)
    assert words in "".join(found)
