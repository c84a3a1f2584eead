"""Weights to begin with: of keras.applications from the cache, and of a simulated hub.

The client of the hub is the real one; what answers it is a server on the loopback, by the same
paths and headers. The hub itself is never asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def network(units: int = 3, name: str = "out") -> Any:
    """Return a network with another in it."""
    import keras

    given = keras.Input((4,), name="x")
    inner = keras.Input((4,))
    encoder = keras.Model(inner, keras.layers.Dense(5, name="dense")(inner), name="encoder")
    return keras.Model(given, keras.layers.Dense(units, name=name)(encoder(given)))


def filled(value: float, **more: Any) -> Any:
    model = network(**more)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, value))
    return model


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.random.default_rng(0).normal(size=(40, 4)).astype("f4")
        file["y"] = np.arange(40) % 3
    return path


def train(dataset: Path, model: Any = None, **settings: Any) -> Any:
    from deepforge_hpc.operations.train import Train

    loss = {"SparseCategoricalCrossentropy": {"from_logits": True}}
    given = {"loss": loss, "target": "y", "epochs": 1, "batch_size": 8, "learning_rate": 0.0}
    with h5py.File(dataset) as file:
        return Train(model or network(), **{**given, **settings}).execute(file)


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's wire format that a download needs."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/models/lab/nets/revision/"):
            siblings = [{"rfilename": item} for item in self.files]
            about = {"id": "lab/nets", "modelId": "lab/nets", "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(about).encode(), "application/json", body=body)
        elif path == f"/api/models/lab/nets/tree/{COMMIT}":
            items = self.files.items()
            tree = [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in items]
            self._send(json.dumps(tree).encode(), "application/json", body=body)
        elif path == f"/lab/nets/resolve/{COMMIT}/{name}" and name in self.files:
            self._send(self.files[name], "application/octet-stream", body=body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, data: bytes, kind: str, *, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(data) & 0xFFFFFFFF:08x}{len(data):032x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    found = type("Served", (Hub,), {"files": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), found)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield found
    server.shutdown()
    server.server_close()


@pytest.mark.extras
def test_a_network_of_the_hub(dataset: Path, hub: type[Hub], tmp_path: Path) -> None:
    filled(2.0, units=4).save(tmp_path / "net.keras")
    hub.files = {
        "net.keras": (tmp_path / "net.keras").read_bytes(),
        "README.md": b"-",
        "x.bin": b"-",
    }
    model, _, report = train(
        dataset, init_from="hf://lab/nets@main", freeze=["encoder/dense"], learning_rate=0.1
    )
    found = report["initial"]
    assert found["from"] == f"hf://lab/nets@{COMMIT} (net.keras)"
    assert found["loaded"] == ["encoder/dense/kernel", "encoder/dense/bias"]
    assert found["reshaped"] == [
        "out/kernel: (5, 4) there, (5, 3) here",
        "out/bias: (4,) there, (3,) here",
    ]
    assert report["frozen"] == ["encoder/dense"]
    assert all((item == 2.0).all() for item in model.get_weights()[:2])
    assert not any("README" in line or "x.bin" in line for line in hub.asked)  # what is of no use
    # It is kept: without the hub the same revision is there by its commit.
    asked = len(hub.asked)
    train(dataset, init_from=f"hf://lab/nets@{COMMIT}")
    assert not any(line.startswith("GET /lab/nets/resolve") for line in hub.asked[asked:])


@pytest.mark.extras
def test_tensors_of_the_hub_by_their_places(dataset: Path, hub: type[Hub], tmp_path: Path) -> None:
    from safetensors.numpy import save

    tensors = {"encoder/dense/kernel": np.ones((4, 5), "f4"), "other": np.ones(1, "f4")}
    hub.files = {"model.safetensors": save(tensors)}
    _, _, report = train(dataset, init_from="hf://lab/nets@v1")
    found = report["initial"]
    assert (found["loaded"], found["unused"]) == (["encoder/dense/kernel"], ["other"])
    assert found["missing"] == ["encoder/dense/bias", "out/kernel", "out/bias"]


@pytest.mark.extras
@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({"a.txt": b""}, "lab/nets@v1", "no network of Keras and no single .safetensors file"),
        ({"a.keras": b"no zip"}, "lab/nets@v1", "hf://lab/nets@v1 cannot be loaded"),
        ({}, "lab/gone@v1", "lab/gone at v1 is not in the cache of the hub, and cannot be fetched"),
    ],
)
def test_what_the_hub_has_not(
    files: dict[str, bytes], source: str, message: str, dataset: Path, hub: type[Hub]
) -> None:
    from deepforge_hpc.training import TrainingError

    hub.files = files
    with pytest.raises(TrainingError) as told:
        train(dataset, init_from=f"hf://{source}")
    assert message in str(told.value)


def test_a_network_of_keras_applications_from_its_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keras

    from deepforge_hpc.operations.pretrained import pretrained
    from deepforge_hpc.operations.weights import begin_with
    from deepforge_hpc.training import TrainingError

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # Keras has read it when it was imported: another process would have to import TensorFlow again.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("urllib.request._opener", None)  # it keeps the proxies of its first use
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # a node without a network
    with pytest.raises(TrainingError) as told:
        pretrained("keras-app:MobileNet")
    assert f"the weights of MobileNet are not in {tmp_path}/models, and cannot be fetched" in str(
        told.value
    )
    assert "keras.applications.MobileNet(weights='imagenet')" in str(told.value)
    with pytest.raises(TrainingError, match=r"no MobilNet; did you mean MobileNet\?"):
        pretrained("keras-app:MobilNet")

    there = keras.applications.MobileNet(weights=None)
    (tmp_path / "models").mkdir(exist_ok=True)
    there.save(tmp_path / "models" / "mobilenet_1_0_224_tf.h5")
    weights, source = pretrained("keras-app:MobileNet")
    model = keras.applications.MobileNet(weights=None, classes=7, input_shape=(64, 64, 3))
    found = begin_with(model, weights, source)
    assert found["from"] == "keras-app:MobileNet (imagenet)"
    assert len(found["loaded"]) == len(model.weights) - 2
    assert [item.partition(":")[0] for item in found["reshaped"]] == [
        "conv_preds/kernel",
        "conv_preds/bias",
    ]
    assert np.array_equal(model.layers[1].get_weights()[0], there.layers[1].get_weights()[0])
