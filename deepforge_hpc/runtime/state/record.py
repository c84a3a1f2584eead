"""Records of the ledger: how one is built, written for good, named and read."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.context import hostname
from ..base.files import canonical_json, digest, publish_bytes
from .statefile import native_id

if TYPE_CHECKING:
    from ..base.context import Clock, Context

SCHEMA = "dfh/record/1"
RESULT_KEY_SCHEMA = "dfh/result-key/1"
_ID = re.compile(r"sha256:[0-9a-f]{64}")
_MODE = 0o444


class StagedInput(NamedTuple):
    """One input port, and the data that it gets."""

    port: str
    format: str
    path: Path
    """Absolute."""
    parts: bool
    """True for a folder of parts that is read as one value."""
    mapped: bool
    """True if this task gets its own block of rows."""
    sha256: str
    size: int
    trust: str
    """content: the digest was checked. stat: size and time were."""
    by: dict[str, Any] | None
    """The record that produced it; None for external data."""
    uri: str


class Published(NamedTuple):
    """An output under its final name."""

    name: str
    entry: dict[str, Any]
    """Its entry of the success marker."""
    path: Path


def is_record_id(text: str) -> bool:
    """Tell whether text can be the id of a record."""
    return _ID.fullmatch(text) is not None


def write_record(ledger: Path, data: dict[str, Any], *, user: str, plan_key: str = "") -> str:
    """Write a record durably and return its id; OSError if the ledger cannot take it."""
    content = canonical_json(data)
    identity = digest(content)
    key = plan_key.removeprefix("sha256:")[:8] or "0" * 8
    day = time.strftime("%Y%m%d", time.gmtime())
    folder = ledger / "loose" / _folder_name(user) / day
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{identity.removeprefix('sha256:')}.{key}.json"
    publish_bytes(path, content, mode=_MODE)
    return identity


def write_blob(ledger: Path, content: bytes) -> str:
    """Keep bytes under their digest, once, and return it."""
    identity = digest(content)
    name = identity.removeprefix("sha256:")
    path = ledger / "blobs" / name[:2] / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        publish_bytes(path, content, mode=_MODE)
    return identity


def _folder_name(user: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", user).lstrip(".") or "_"


def index_records(ledger: Path) -> dict[str, Path]:
    """Return the file of every loose record by its id, from the names alone."""
    found = {}
    for folder, _, names in os.walk(ledger / "loose"):
        for name in names:
            if name.endswith(".json") and not name.startswith("."):
                found["sha256:" + name.partition(".")[0]] = Path(folder, name)
    return found


def end_record(
    context: Context,
    *,
    status: str,
    reason: str,
    clock: Clock,
    inputs: list[StagedInput] | list[dict[str, Any]],
    outputs: list[Published],
    packages: str | None = None,
) -> dict[str, Any]:
    """Return the record of one attempt of a job, however it ended."""
    from ..base.redact import filter_text

    info, job = context.info, context.job
    described = [_input_entry(context, item) for item in inputs]
    return {
        "schema": SCHEMA,
        "kind": "end",
        "execution": info["id"],
        "uuid": info["uuid"],
        "job": context.name,
        "task": context.task,
        "attempt": context.attempt,
        "operation": _operation(job),
        "plan_key": job["plan_key"],
        "result_key": result_key(context, described) if status == "succeeded" else None,
        "plan": info["plan_sha256"],
        "code": info["code_sha256"],
        "pipeline": info["pipeline_sha256"],
        "script": _script_digest(context),
        "site": info["site"],
        "site_file": info["site_sha256"],
        "inputs": described,
        "outputs": [_output_entry(context, item) for item in outputs],
        "status": status,
        "reason": filter_text(reason),
        "seed": job["seed"],
        "world_size": job["launch"]["world_size"],
        "environment": _environment(job, packages),
        "scheduler": {
            "name": context.plan["scheduler"],
            "native_id": native_id(),
            "host": hostname(),
            "nodes": os.environ.get("SLURM_JOB_NODELIST", ""),
        },
        "time": clock.since(),
        "user": info["user"],
        "tags": list(info.get("tags", [])),
        "dfh": info["version"],
        "reused_from": None,
    }


def _environment(job: dict[str, Any], packages: str | None) -> dict[str, Any]:
    from ..base.redact import describe_environment

    return {
        "python": sys.executable,
        "version": sys.version.split()[0],
        "modules": [name for name in os.environ.get("LOADEDMODULES", "").split(":") if name],
        "packages": packages,
        "declared": job["environment"],
        "vars": describe_environment(os.environ),
    }


def _operation(job: dict[str, Any]) -> dict[str, Any]:
    from ..base.redact import filter_value

    source = job["source"] or {}
    return {
        "name": job["operation"],
        "object": source.get("object", job["kind"]),
        "source": source.get("sha256", ""),
        "module": source.get("module", ""),
        "attributes": filter_value(dict(job["attributes"])),
        "references": [
            {"name": item["name"], "sha256": item["sha256"], "source": item["source"]}
            for item in job["references"]
        ],
    }


def _input_entry(context: Context, item: StagedInput | dict[str, Any]) -> dict[str, Any]:
    if isinstance(item, dict):
        return item
    from ..base.redact import filter_uri

    return {
        "port": item.port,
        "sha256": item.sha256,
        "size": item.size,
        "path": shown_path(context, item.path),
        "format": item.format,
        "trust": item.trust,
        "by": item.by,
        "uri": filter_uri(item.uri),
    }


def _output_entry(context: Context, item: Published) -> dict[str, Any]:
    return {
        "name": item.name,
        "sha256": item.entry["sha256"],
        "size": item.entry["size"],
        "path": shown_path(context, item.path),
        "format": item.entry["format"],
        "trust": "content",
    }


def shown_path(context: Context, path: Path) -> str:
    """Return a path relative to the project if it lies inside, else absolute."""
    with suppress(ValueError):
        return path.relative_to(context.info["project"]).as_posix()
    return str(path)


def result_key(context: Context, inputs: list[dict[str, Any]]) -> str:
    """Return the key under which equal code on equal data gives equal results.

    Like the plan key, with the content of the inputs in place of the keys of their producers.
    """
    job = context.job
    source = job["source"] or {}
    content = {
        "schema": RESULT_KEY_SCHEMA,
        "kind": job["kind"],
        "source": source.get("sha256", ""),
        "object": source.get("object", ""),
        "attributes": job["attributes"],
        "references": sorted((item["name"], item["sha256"]) for item in job["references"]),
        "inputs": sorted((item["port"], item["sha256"]) for item in inputs),
        "outputs": [(item["name"], item["type"]) for item in job["outputs"]],
        "seed": job["seed"],
        "environment": job["environment"],
        "task": context.task,
        "tasks": job["tasks"],
    }
    launch = job["launch"]
    if launch["world_size"] > 1:
        content["ranks"] = [launch["name"], launch["world_size"]]
    return digest(canonical_json(content))


def _script_digest(context: Context) -> str:
    try:
        return digest(context.layout.script(context.name).read_bytes())
    except OSError:
        return ""
