"""`plan_key`: equal keys promise equal results; `value_key`: in whatever formats. Pure.

A key covers what the result depends on: code, interface, attributes, references, seed, the
environment that the pipeline declares, of the one that it gets the packages that the code imports
(as far as they can be seen from here), the keys of the producers, the external data, and the ranks
if there is more than one: their number is part of what distributed code computes. It does not cover
where and how large the job runs else (site, nodes, cores, GPUs, account), nor any name: a renamed
operation keeps its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepforge_hpc.model.environment import EnvironmentSpec
from deepforge_hpc.pipeline.file import MapSpec
from deepforge_hpc.pipeline.interface import Edge, OperationInterface
from deepforge_hpc.runtime.base.files import canonical_json, digest
from deepforge_hpc.runtime.base.plan import ExternalInput, LaunchCommand

KEY_VERSION = "dfh/plan-key/3"
"""Part of each key: a change of what is covered makes new keys, never equal ones by chance."""


def operation_keys(
    interface: OperationInterface,
    *,
    inputs: Mapping[str, object],
    environment: Mapping[str, object],
    launch: LaunchCommand,
    mapped: MapSpec | None,
    code: str,
) -> tuple[str, str]:
    """Return plan key and value key of the job (or job array) that runs an operation.

    `inputs`: port -> `external_source` or `produced_source`; `environment`: `declared_environment`;
    `code`: digest of the files that `code:` names, for any operation may open them.
    """
    source, ports = interface.source, interface.outputs
    made = {
        "source": source.sha256,
        "object": source.object,
        "kind": source.kind,
        "returns": source.returns,
        "parameters": source.parameters,
        "attributes": {**interface.defaults, **interface.attributes},
        "references": [[item.name, item.library, item.sha256] for item in interface.references],
        "seed": interface.seed,
        "environment": environment,
        "inputs": {edge.port: [edge.type, inputs[edge.port]] for edge in interface.inputs},
        "map": [mapped.over, mapped.shards] if mapped else None,
        **({"code": code} if code else {}),
        **({"software": interface.software} if interface.software else {}),
        **({"ranks": [launch.name, launch.world_size]} if launch.world_size > 1 else {}),
        "outputs": [port.name for port in ports],
    }
    value_key = _key(made)
    return _key({"values": value_key, "formats": [port.type for port in ports]}), value_key


def gather_key(array_key: str) -> str:
    """Return the key of the job that publishes the parts of an array as one value."""
    return _key({"gather": array_key})


def external_source(data: ExternalInput) -> dict[str, Any]:
    """Return what a key holds of external data: its digest where it is known."""
    if data.sha256 is not None:
        return {"type": data.type, "sha256": data.sha256}
    found = {"type": data.type, "uri": data.uri, "size": data.size, "mtime_ns": data.mtime_ns}
    return {**found, "listing": data.listing} if data.listing else found


def produced_source(edge: Edge, producer_key: str) -> dict[str, Any]:
    """Return what a key holds of another operation's output."""
    return {"output": edge.output, "key": producer_key}


def declared_environment(*specs: EnvironmentSpec | None) -> dict[str, Any]:
    """Return what operation and pipeline, in this order, say of the environment.

    As they wrote it: what the site adds, and where `submitter` is, belongs to the place.
    """
    given = [spec for spec in specs if spec is not None]
    kinds = ("python", "venv", "conda", "container")
    declared: dict[str, Any] = next(
        ({kind: getattr(spec, kind)} for spec in given for kind in kinds if getattr(spec, kind)), {}
    )
    modules = next((spec.modules for spec in given if spec.modules is not None), None)
    return declared if modules is None else {**declared, "modules": modules}


def _key(content: dict[str, Any]) -> str:
    return digest(canonical_json({"version": KEY_VERSION, **content}))
