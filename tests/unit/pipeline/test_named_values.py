"""Attributes that name something of a library: all faults at once, before a job is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from deepforge_hpc.api.examination import examine
from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.pipeline.load import Settings, load_pipeline

PIPELINE = """\
pipeline: learn
inputs:
  images: {uri: images.h5, type: hdf5}
operations:
  train:
    uses: USES
    inputs: {dataset: images}
    references: {model: net.yaml}
    resources: {ntasks_per_node: 2}
    launch: mpi
    attributes:
      ATTRIBUTES
outputs:
  model: {from: train.model}
"""
NETWORK = """\
library: keras
architecture: small
inputs: {pixels: [8]}
layers:
  - norm: {BatchNormalization: {}}
  - out: {Dense: {units: 3, activation: softmax}}
"""
OWN = """\
from typing import Annotated
import h5py
import numpy as np
import keras

class Learn:
    def __init__(self, model: keras.Model, how: Annotated[str, {"names": "NAMES"}] = "Adam"):
        self.model = model

    def execute(self, dataset: h5py.File):
        model = self.model
        return model
"""
TRAIN = "deepforge_hpc.operations:Train"


def load(
    folder: Path,
    attributes: str = "loss: mse",
    uses: str = TRAIN,
    network: str = NETWORK,
    *sets: str,
) -> Any:
    text = PIPELINE.replace("USES", uses).replace("ATTRIBUTES", attributes)
    (folder / "pipeline.yaml").write_text(text)
    (folder / "net.yaml").write_text(network)
    (folder / "images.h5").touch()  # what is there stays
    return load_pipeline(folder / "pipeline.yaml", settings=Settings(overrides=sets))


def faults(*args: Any, **more: Any) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        load(*args, **more)
    return [f"{one.line}:{one.column} {one.message} ({one.hint})" for one in caught.value.faults]


def test_each_name_and_argument_is_told_at_its_place(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "loss: {SparseCategoricalCrossentropy: {from_logit: true}}\n"
        "      optimizer: Adamm\n"
        "      metrics: [accuracy, mse, {AUCC: {}}, {mse: {axis: 1}}]\n"
        "      callbacks: [{ReduceLROnPlateau: {patience: two}}, 'os:It', {BackupAndRestore: {}}]\n"
        "      schedule: {PiecewiseConstantDecay: {}}\n"
        "      early_stopping: {patince: 3}",
    )
    lines = """\
12:46 AT.loss.SparseCategoricalCrossentropy: SparseCategoricalCrossentropy has no argument 'from_logit' (did you mean 'from_logits'?)
13:18 AT.optimizer: Keras has no optimizer 'Adamm' (did you mean 'Adam'?)
14:33 AT.metrics[2]: Keras has no metric 'AUCC' (did you mean 'AUC'?)
14:50 AT.metrics[3].mse: mse takes no arguments (write {MeanSquaredError: ...})
15:50 AT.callbacks[0].ReduceLROnPlateau.patience: patience of ReduceLROnPlateau must be a whole number, not 'two' ()
15:57 AT.callbacks[1]: Keras has no callback 'os:It' (for code of your own, write an operation with deepforge_hpc.training)
15:67 AT.callbacks[2]: BackupAndRestore goes on from copies of its own, which Train does from its checkpoints (leave it out; checkpoint_s says how often one is kept within an epoch)
16:42 AT.schedule.PiecewiseConstantDecay: PiecewiseConstantDecay needs boundaries and values ()
17:24 AT.early_stopping: EarlyStopping has no argument 'patince' (did you mean 'patience'?)
"""
    assert found == lines.replace("AT", "operations.train.attributes").splitlines()


@pytest.mark.parametrize(
    "attributes",
    [
        "loss: mse\n      schedule: CosineDecay",  # Train gives the rate and the steps
        "loss: {Huber: {delta: 2.0}}\n      metrics: [MSE, binary_accuracy]",
        "loss: mse\n      init_from: hf://gpt2@refs/pr/1",
        "loss: {main: mse, aux: {Huber: {}}}\n      metrics: {main: [accuracy, {AUC: {}}], aux: mse}",
        "loss: {out: {Huber: {delta: 2}}}\n      metrics: {out: [mse]}",
    ],
)
def test_what_is_right_has_no_fault(attributes: str, tmp_path: Path) -> None:
    assert load(tmp_path, attributes).operations


@pytest.mark.parametrize("source", ["hf://gpt2", "hf://gpt2@../main", "hf://a/b/c@main"])
def test_weights_come_from_a_revision_of_a_repository(source: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"loss: mse\n      init_from: {source}")
    assert "init_from" in found


def test_the_outputs_of_a_network_each_have_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, "loss: {main: msee, aux: {Huber: {delt: 1}}}")
    assert [line.split(" (")[0] for line in found] == [
        "12:20 operations.train.attributes.loss.main: Keras has no loss 'msee'",
        "12:40 operations.train.attributes.loss.aux.Huber: Huber has no argument 'delt'",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{Adam: 3}", "must be Name or {Name: {argument: value}}, not a mapping"),
        ("{Adam: {}, SGD: {}}", "must be Name or"),
        ("Optimizer", "Optimizer is made of code, which no file can name"),
        ("{LossScaleOptimizer: {inner_optimizer: 'a:b'}}", "'a:b' is code of the project"),
    ],
)
def test_forms_that_stand_for_nothing_are_refused(value: str, message: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"loss: mse\n      optimizer: {value}")
    assert message in found


def test_an_option_of_the_command_line_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load(tmp_path, "loss: mse", TRAIN, NETWORK, 'train.optimizer={"Adm": {}}')
    (found,) = caught.value.faults
    assert (found.file, found.message) == ("--set train.optimizer", "Keras has no optimizer 'Adm'")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("keras:optimizer", "has no optimizer 'Adem' (did you mean 'Adam'?)"),
        ("keras:optimiser", "Keras has no 'optimiser': did you mean 'optimizer'?"),
        ("kera:loss", "'kera:loss' is of no library (did you mean 'keras'?)"),
        ("keras:callback.Stop", "Keras has no callback 'Stop'"),
    ],
)
def test_code_of_ones_own_says_what_its_attributes_name(
    names: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("NAMES", names))
    (found,) = faults(tmp_path, "how: Adem", "own.py:Learn")
    assert message in found


TORCH = """\
library: torch
architecture: small
inputs: {pixels: [8]}
layers:
  - norm: {BatchNorm1d: {num_features: 8}}
  - out: {Linear: {in_features: 8, out_features: 3}}
"""


def test_train_takes_the_names_of_the_networks_library(tmp_path: Path) -> None:
    attributes = (
        "loss: {CrossEntropyLoss: {label_smoothing: 0.1}}\n      schedule: CosineAnnealingLR\n"
        "      schedule_every: epoch\n      optimizer: {SGD: {lr: 0.1}}\n      metrics: [accuracy]"
    )
    loaded = load(tmp_path, attributes, network=TORCH)
    assert [port.type for port in loaded.operations["train"].outputs] == [
        "safetensors", "json", "json",
    ]  # fmt: skip
    assert load(tmp_path).operations["train"].outputs[0].type == "keras"
    found = faults(tmp_path, attributes)  # of Keras
    assert [line.partition(" (")[0].partition(": ")[2] for line in found] == [
        "Keras has no loss 'CrossEntropyLoss'",
        "Keras has no schedule 'CosineAnnealingLR'",
        "schedules of Keras go on with each step",
        "SGD has no argument 'lr'",
    ]


def test_what_a_pytorch_network_begins_with_is_compared_along_its_edge(tmp_path: Path) -> None:
    load(tmp_path, network=TORCH, attributes="loss: MSELoss")
    text = (tmp_path / "pipeline.yaml").read_text()
    text = text.replace("{dataset: images}", "{dataset: images, initial: first.model}")
    first = "  first:\n    uses: deepforge_hpc.operations:Train\n    inputs: {dataset: images}\n"
    first += "    references: {model: FILE}\n    attributes: {loss: LOSS}\noutputs:"
    (tmp_path / "other.yaml").write_text(NETWORK)
    for file, loss, count in (("net.yaml", "MSELoss", 0), ("other.yaml", "mse", 1)):
        given = text.replace("outputs:", first.replace("FILE", file).replace("LOSS", loss))
        (tmp_path / "pipeline.yaml").write_text(given)
        if not count:
            load_pipeline(tmp_path / "pipeline.yaml")
            continue
        with pytest.raises(InvalidInputError) as caught:
            load_pipeline(tmp_path / "pipeline.yaml")
        (found,) = caught.value.faults
        assert "first.model" in found.message
        assert "keras" in found.message
        assert "safetensors" in found.message


@pytest.mark.parametrize(
    ("references", "names", "count"),
    [
        ("{model: net.yaml}", "@model:optimizer", 1),
        ("{model: none.yaml}", "@model:optimizer", 1),  # the file alone, not the names of nobody
        ("{model: net.yaml}", "@how:optimizer", 0),  # no file is given as that
    ],
)
def test_names_of_no_library_are_not_checked(
    references: str, names: str, count: int, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("NAMES", names))
    load(tmp_path)
    text = PIPELINE.replace("USES", "own.py:Learn").replace("ATTRIBUTES", "how: Adem")
    text = text.replace("{model: net.yaml}", references)
    (tmp_path / "pipeline.yaml").write_text(text)
    try:
        load_pipeline(tmp_path / "pipeline.yaml")
        found = 0
    except InvalidInputError as error:
        found = len(error.faults)
    assert found == count


def test_an_operation_that_is_not_there_has_a_nearest(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, uses="deepforge_hpc.operations:Trian")
    assert "no class or function 'Trian' at its top (did you mean 'Train'?)" in found


@pytest.mark.parametrize(
    ("layer", "ranks", "count"),
    [
        ("norm: {BatchNormalization: {synchronized: true}}", 2, 1),
        ("norm: {TimeDistributed: {layer: {BatchNormalization: {synchronized: true}}}}", 2, 1),
        ("norm: {BatchNormalization: {synchronized: true}}", 1, 0),
        ("norm: {BatchNormalization: {synchronized: false}}", 2, 0),
    ],
)
def test_statistics_that_stay_with_one_rank_are_refused(
    layer: str, ranks: int, count: int, tmp_path: Path
) -> None:
    network = NETWORK.replace("norm: {BatchNormalization: {}}", layer).replace("[8]", "[4, 8]")
    loaded = load(tmp_path, network=network)
    if ranks == 1:
        text = (tmp_path / "pipeline.yaml").read_text().replace("ntasks_per_node: 2", "nodes: 1")
        (tmp_path / "pipeline.yaml").write_text(text)
        loaded = load_pipeline(tmp_path / "pipeline.yaml")
    if not count:
        examine(loaded)
        return
    with pytest.raises(InvalidInputError) as caught:
        examine(loaded)
    (found,) = caught.value.faults
    assert (found.file, found.line) == ("net.yaml", 5)
    assert "synchronized: true does nothing between the ranks of a job" in found.message
    assert "synchronize: true for deepforge_hpc.operations:Train" in found.hint


def test_outputs_that_may_be_left_are_not_told(tmp_path: Path) -> None:
    """Of Train the model is what one wants; a history and a report come along."""
    assert [one.text for one in load(tmp_path).warnings if one.kind == "unused"] == []
    (tmp_path / "own.py").write_text(OWN.replace("NAMES", "keras:optimizer"))
    text = (
        (tmp_path / "own.py")
        .read_text()
        .replace("return model", "notes = {}\n        return model, notes")
    )
    (tmp_path / "own.py").write_text(text)
    assert "'notes' is not used" in load(tmp_path, "how: Adam", "own.py:Learn").warnings[0].text
    text = text.replace(
        "h5py.File):", 'h5py.File) -> tuple[keras.Model, Annotated[dict, "extra"]]:'
    )
    (tmp_path / "own.py").write_text(text)
    assert not load(tmp_path, "how: Adam", "own.py:Learn").warnings


@pytest.mark.parametrize(
    ("classes", "target", "told"),
    [
        (5, "kind", ["the data set kind records 5 classes, and this output has 3"]),
        (["a", "b", "c", "d"], "kind", ["records 4 classes"]),
        (3, "kind", []),
        (5, "{out: kind}", ["records 5 classes"]),
        (5, "other", []),
    ],
)
def test_an_output_with_fewer_classes_than_the_data_record(
    classes: Any, target: str, told: list[str], tmp_path: Path
) -> None:
    load(tmp_path)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["kind"] = [0, 1]
        file["kind"].attrs["classes"] = classes
    attributes = f"loss: SparseCategoricalCrossentropy\n      target: {target}"
    found = [one.text for one in examine(load(tmp_path, attributes)) if one.kind == "loss"]
    assert [one in text for one, text in zip(told, found, strict=True)] == [True] * len(told)


def test_a_loss_that_does_not_fit_is_told_without_keras(tmp_path: Path) -> None:
    attributes = "loss: {SparseCategoricalCrossentropy: {from_logits: true}}"
    told = [one.text for one in examine(load(tmp_path, attributes)) if one.kind == "loss"]
    assert ["applies softmax itself" in one for one in told] == [True]
    told = [one.text for one in examine(load(tmp_path, "loss: {out: mse, aux: mse}"))]
    assert "'aux', which is no output of the network" in told[1]


AXES = {"stars": (3,), "pictures": (3, 8, 8)}


@pytest.mark.parametrize(
    ("library", "inputs", "given", "told"),
    [
        ("torch", "{x: [1]}", "stars", "input x is [1], and a row of the data set stars []"),
        ("torch", "{x: [8, 8]}", "pictures", ""),
        ("torch", "{stars: [1]}", "", "and a row of the data set stars []"),
        ("torch", "{x: [1]}", "absent", ""),
        ("keras", "{x: [8, 8, 1]}", "pictures", ""),
        ("keras", "{x: [64]}", "pictures", "input x is [64], and a row of the data set"),
    ],
)
def test_an_input_of_other_axes_than_its_data_set_is_told(
    library: str, inputs: str, given: str, told: str, tmp_path: Path
) -> None:
    layer = {"torch": "Identity: {}", "keras": "Activation: {activation: relu}"}[library]
    network = (
        f"library: {library}\narchitecture: small\ninputs: {inputs}\nlayers: [{{y: {{{layer}}}}}]\n"
    )
    loss = {"torch": "MSELoss", "keras": "mse"}[library]
    attributes = f"loss: {loss}" + (f"\n      inputs: {{x: {given}}}" if given else "")
    with h5py.File(tmp_path / "images.h5", "w") as file:
        for name, shape in AXES.items():
            file[name] = np.zeros(shape)
    found = []
    try:
        examine(load(tmp_path, attributes, network=network))
    except InvalidInputError as error:
        found = [f"{one.file}:{one.line} {one.message}" for one in error.faults]
    assert [one for one in found if "data set" in one] == found
    assert [told in one and "net.yaml:3" in one for one in found] == [True] * bool(told)


@pytest.mark.parametrize(("weight", "told"), [("0", True), ("1", False)])
def test_outputs_that_all_count_nothing_are_told(weight: str, told: bool, tmp_path: Path) -> None:
    attributes = f"loss: mse\n      loss_weights: {{out: {weight}, norm: 0}}"
    found = ""
    try:
        examine(load(tmp_path, attributes))
    except InvalidInputError as error:
        found = f"{error.faults[0].file}:{error.faults[0].line} {error.faults[0].message}"
    assert ("net.yaml:6 loss_weights of the training gives every output 0" in found) == told


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", ["pipeline.yaml:11:21 operations.say.inputs.model: learn.model is weights"]),
        (", references: {network: net.yaml}", []),
    ],
)
def test_weights_of_pytorch_are_predicted_with_their_network_alone(
    more: str, told: list[str], tmp_path: Path
) -> None:
    found = chain(tmp_path, more, "say.predictions", "said.h5")
    assert [one in text for one, text in zip(told, found, strict=True)] == [True] * len(told)


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("model.keras", "'model.keras' says keras, and learn.model is safetensors"),
        ("model.safetensors", ""),
        ("model.v2", ""),
    ],
)
def test_a_result_is_not_named_as_another_format(to: str, told: str, tmp_path: Path) -> None:
    found = chain(tmp_path, ", references: {network: net.yaml}", "learn.model", to)
    assert [told in one for one in found] == [True] * bool(told)


CHAIN = """\
pipeline: learn
inputs: {stars: stars.h5}
operations:
  learn:
    uses: deepforge_hpc.operations:Train
    inputs: {dataset: stars}
    references: {model: net.yaml}
    attributes: {loss: MSELoss}
  say:
    uses: deepforge_hpc.operations:Predict
    inputs: {model: learn.model, dataset: stars}MORE
outputs: {result: {from: FROM, to: TO}}
"""


def chain(folder: Path, more: str, output: str, to: str) -> list[str]:
    """Return what is wrong with a training by PyTorch and a prediction."""
    text = CHAIN.replace("MORE", more.replace(", ", "\n    "))
    (folder / "pipeline.yaml").write_text(text.replace("FROM", output).replace("TO", to))
    layer = "{Linear: {in_features: 2, out_features: 1}}"
    (folder / "net.yaml").write_text(
        f"library: torch\narchitecture: net\ninputs: {{x: [2]}}\nlayers: [{{y: {layer}}}]\n"
    )
    (folder / "stars.h5").touch()
    try:
        load_pipeline(folder / "pipeline.yaml", settings=Settings())
    except InvalidInputError as error:
        return [
            f"{Path(one.file).name}:{one.line}:{one.column} {one.message}" for one in error.faults
        ]
    return []


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ("loss: {MeanSquaredError: {reduction: summ}}", "summ' (did you mean 'sum'?)"),
        ('loss: {SparseCategoricalCrossentropy: {ignore_class: "9"}}', "a whole number, not '9'"),
        ('loss: mse\n      optimizer: {Adam: {loss_scale_factor: "2"}}', "a number, not '2'"),
        ('loss: mse\n      schedule: {CosineDecay: {decay_steps: "9"}}', "a number, not '9'"),
        ("loss: MSELoss", "Keras has no loss 'MSELoss' (Keras calls it MeanSquaredError)"),
    ],
)
def test_what_keras_would_refuse_in_the_job_is_told(
    attributes: str, told: str, tmp_path: Path
) -> None:
    (found,) = faults(tmp_path, attributes)
    assert told in found
