"""Compiled architectures in the real Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.libraries.keras.library import KerasLibrary

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]


def build(text: str) -> Any:
    """Return the model without allocating its weights."""
    import keras

    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(text, "net.yaml").code, namespace)
    with keras.StatelessScope(initialize_variables=False):
        return namespace["build"]()


def test_without_the_reddening_the_network_has_one_input(example: Path) -> None:
    text = (example / "architectures" / "pasquet.yaml").read_text()
    model = build(text.replace("reddening: true", "reddening: false"))
    assert [item.name for item in model.inputs] == ["pixels"]
    assert model.count_params() == 27_596_372 - 1_096


def test_the_convolutions_have_the_published_start(example: Path) -> None:
    import keras

    for layer in build((example / "architectures" / "pasquet.yaml").read_text()).layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.padding == "same"
            assert layer.bias_initializer.value == 0.1
            assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
        if isinstance(layer, keras.layers.AveragePooling2D):
            assert (layer.pool_size, layer.padding) == ((2, 2), "same")


def test_the_demo_network_is_as_small_as_the_tables_say(example: Path) -> None:
    model = build((example / "architectures" / "inception.yaml").read_text())
    assert model.count_params() == 76_088
    assert model.output_shape == (None, 32)


def test_the_catalogue_is_that_of_the_keras_that_it_was_made_for(fixture_module: Any) -> None:
    import keras

    from deepforge_hpc.libraries.keras import introspect

    fixture_module("catalogues").assert_shipped(introspect, keras.__version__)


SIAMESE = """\
library: keras
architecture: siamese
parameters: [{size: 8}]
inputs:
  left: [$size, $size, 1]
  right: [$size, $size, 1]
  words: {shape: [5], dtype: int32}
blocks:
  residual:
    parameters: [filters]
    layers:
      - a: [{Conv2D: {filters: $filters, kernel_size: 3, padding: same}, from: x}, {ReLU: {}}]
      - out: {Add: {}, from: [x, a]}
  encoder:
    nested: true
    parameters: [n]
    inputs: {image: [$n, $n, 1]}
    layers:
      - flat: {Flatten: {}}
      - code: {Dense: {units: 3}}
    outputs: [flat, code]
layers:
  - stem: [{Conv2D: {filters: 4, kernel_size: 3, padding: same}, from: left}, {residual: [4], repeat: 2}]
  - pooled: {GlobalAveragePooling2D: {}}
  - narrow: {Dense: {units: $units}, repeat: {units: [8, 2]}}
  - other: [{reuse: stem, from: right}, {GlobalAveragePooling2D: {}}]
  - one: {encoder: [$size], from: left}
  - two: {reuse: one, from: right}
  - vectors: {Embedding: {input_dim: 10, output_dim: 4, mask_zero: true}, from: words}
  - read: {LSTM: {units: 4, return_state: true}}
  - again: {LSTM: {units: 4}, from: vectors, call: {initial_state: [read.1, read.2]}}
  - look: [{MultiHeadAttention: {num_heads: 2, key_dim: 2}, from: [vectors, vectors], call: {use_causal_mask: true}}, {Flatten: {}}]
  - all: {Concatenate: {}, from: [narrow, other, one.code, two.1, two.flat, read.0, again, look]}
outputs: [all, pooled]
"""


@pytest.mark.filterwarnings("ignore:Layer .look:UserWarning")
def test_what_the_functional_api_expresses_is_built_as_written() -> None:
    import keras
    import numpy as np

    model = build(SIAMESE)
    widths = [2, 4, 3, 3, 64, 4, 4, 20]
    assert [item.shape for item in model.outputs] == [(None, sum(widths)), (None, 4)]
    conv, square = 1 * 9 * 4 + 4, 4 * 9 * 4 + 4
    dense, lstm = 4 * 8 + 8 + 8 * 2 + 2, 4 * (4 * 4 + 4 * 4 + 4)
    attention = 3 * (4 * 4 + 4) + 4 * 4 + 4
    assert (
        model.count_params() == conv + 2 * square + dense + (64 * 3 + 3) + 40 + 2 * lstm + attention
    )
    shared = model.get_layer("stem_1")
    assert len(shared._inbound_nodes) == 2
    encoder = model.get_layer("one")
    assert isinstance(encoder, keras.Model)
    assert [layer.name for layer in encoder.layers] == ["image", "flat", "code"]
    namespace: dict[str, Any] = {}
    exec(KerasLibrary().compile(SIAMESE, "net.yaml").code, namespace)
    model = namespace["build"]()
    image, words = np.ones((1, 8, 8, 1), "float32"), np.array([[1, 2, 0, 0, 0]])
    found, _ = model.predict([image, image, words], verbose=0)
    starts = np.cumsum([0, *widths])
    code, code_again = (found[0, starts[i] : starts[i + 1]] for i in (2, 3))
    assert (code == code_again).all()


OWN = """\
import keras


class Scale(keras.layers.Layer):
    def __init__(self, factor=1.0, **words):
        super().__init__(**words)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def cube(x):
    return x**3


class Far(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean((y_true - y_pred) ** 4, axis=-1)
"""


def test_a_model_with_layers_and_a_loss_of_the_project_is_saved_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import numpy as np

    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "library: keras\narchitecture: a\ninputs: {x: [3]}\ncustom: ['own_parts:Far']\nlayers:\n"
        "  - s: {'own_parts:Scale': {factor: 2.0}}\n  - d: {Dense: {units: 2, activation: 'own_parts:cube'}}\n"
    )
    compiled = KerasLibrary().compile(text, "net.yaml")
    exec(KerasLibrary().start_up(tuple(compiled.objects)), {})
    namespace: dict[str, Any] = {}
    exec(compiled.code, namespace)
    model = namespace["build"]()
    model.compile("sgd", namespace["own_parts"].Far())
    x = np.arange(6, dtype="float32").reshape(2, 3)
    model.fit(x, np.zeros((2, 2)), verbose=0)
    model.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    assert (loaded.predict(x, verbose=0) == model.predict(x, verbose=0)).all()
    assert (loaded.layers[1].factor, loaded.loss.__class__.__name__) == (2.0, "Far")


def test_what_optimizers_keep_for_each_weight_is_what_keras_makes() -> None:
    import keras
    import numpy as np

    from deepforge_hpc.libraries.keras.trial.judge import JUDGE

    weights = keras.Variable(np.zeros(200, "float32"))
    counts = {}
    for name in JUDGE.slots:
        optimizer = getattr(keras.optimizers, name)()
        optimizer.build([weights])
        kept = sum(int(np.prod(one.shape)) for one in optimizer.variables)
        counts[name] = kept // 200  # besides a number or two, such as the rate
    assert counts == dict(JUDGE.slots)
    rest = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer"}
    assert set(JUDGE.optimizers().values()) - rest == set(counts)


def test_keras_passes_over_training_in_the_call_of_a_layer() -> None:
    """Hence the warning; should this change, it goes."""
    import keras
    import numpy as np

    text = "library: keras\narchitecture: a\ninputs: {x: [2]}\nlayers:\n"
    namespace: dict[str, Any] = {}
    layer = "  - b: {BatchNormalization: {}, call: {training: false}}\n"
    exec(KerasLibrary().compile(text + layer, "net.yaml").code, namespace)
    model = namespace["build"]()
    model.compile(keras.optimizers.SGD(), "mse")
    model.fit(np.ones((2, 2)), np.zeros((2, 2)), verbose=0)
    assert (np.asarray(model.get_layer("b").moving_mean) > 0).all()
