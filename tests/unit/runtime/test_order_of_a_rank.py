"""What a rank does first: what it is told of a network is wrong before any data is read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepforge_hpc.runtime.rank import operation


def test_a_network_is_built_before_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net_of_the_order.py").write_text("def build():\n    raise ValueError('refused')\n")
    source = SimpleNamespace(kind="function", parameters=("model",), star=())
    reference = SimpleNamespace(name="model", module="net_of_the_order.py")
    job = SimpleNamespace(source=source, seed=None, tasks=1, attributes=(), references=(reference,))
    spec: Any = SimpleNamespace(job=job, task=None, code=str(tmp_path), inputs=())

    def read(*_: object) -> dict[str, Any]:
        raise AssertionError("data was read first")

    monkeypatch.setattr(operation, "_load_inputs", read)
    with pytest.raises(ValueError, match="refused"):
        operation.run_operation(spec, print, {})
