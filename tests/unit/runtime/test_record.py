"""Records: named by their bytes, written for good, and free of secrets."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deepforge_hpc.runtime.base.failure import Raised
from deepforge_hpc.runtime.base.files import digest, digest_file, remove
from deepforge_hpc.runtime.base.layout import JobLayout
from deepforge_hpc.runtime.base.redact import (
    REDACTED,
    describe_environment,
    filter_text,
    filter_uri,
    filter_value,
    filter_variable,
    holds_credential,
)
from deepforge_hpc.runtime.base.secrets import secret_values
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.rank.packages import list_packages
from deepforge_hpc.runtime.state import statefile
from deepforge_hpc.runtime.state.closure import build_closure
from deepforge_hpc.runtime.state.record import index_records, write_blob, write_record
from deepforge_hpc.runtime.state.record_data import SCHEMA

if TYPE_CHECKING:
    from conftest import Execution


def test_a_record_is_found_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = {"a": 1, "user": "al/../ice $(x)", "plan_key": "sha256:12345678ff"}
    identity = write_record(tmp_path, data)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", identity)
    (path,) = tmp_path.rglob("*.json")
    assert path.relative_to(tmp_path).parts[:2] == ("loose", "al_.._ice___x_")
    assert path.name == identity.removeprefix("sha256:") + ".12345678.json"
    assert digest(path.read_bytes()) == identity
    assert index_records(tmp_path) == {identity: path}
    assert write_record(tmp_path, data) == identity


def test_a_blob_is_kept_once(tmp_path: Path) -> None:
    identity = write_blob(tmp_path, b"x")
    path = tmp_path / "blobs" / identity[7:9] / identity[7:]
    before = path.stat()
    assert write_blob(tmp_path, b"x") == identity
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize("damage", [b"", b"y", b"x" * 9])
def test_a_damaged_blob_is_mended_as_it_is_written_again(tmp_path: Path, damage: bytes) -> None:
    """Later executions rest on it too."""
    identity = write_blob(tmp_path, b"x")
    path = tmp_path / "blobs" / identity[7:9] / identity[7:]
    path.chmod(0o644)
    path.write_bytes(damage)
    assert write_blob(tmp_path, b"x") == identity
    assert path.read_bytes() == b"x"


def test_the_names_of_new_folders_of_the_ledger_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = set(), os.fsync

    def note(handle: int) -> None:
        fsync(handle)
        synced.add(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", note)
    ledger = tmp_path / ".dfh"
    write_record(ledger, {"user": "ada"})
    identity = write_blob(ledger, b"x")
    (day,) = ledger.glob("loose/ada/*")
    blobs = ledger / "blobs"
    assert {tmp_path, ledger, day.parent.parent, day.parent, day} <= synced
    assert {blobs, blobs / identity[7:9]} <= synced


def test_a_closure_leaves_out_what_is_missing_or_damaged(tmp_path: Path) -> None:
    def record(*parents: str) -> str:
        inputs = [{"by": {"record": parent}} for parent in parents] + [{"by": None}]
        return write_record(
            tmp_path, {"schema": SCHEMA, "inputs": inputs, "n": time.monotonic_ns(), "user": "u"}
        )

    first, second = record(), record()
    third = record(first, second, "sha256:" + "0" * 64)
    fourth = record(third, first)
    closure = build_closure(tmp_path, "sha256:a", fourth)
    assert set(closure.records) == {first, second, third, fourth}
    damaged = index_records(tmp_path)[second]
    damaged.chmod(0o644)
    damaged.write_text("{}")
    assert set(build_closure(tmp_path, "sha256:a", fourth).records) == {first, third, fourth}


def test_a_closure_holds_what_a_result_was_taken_over_from(tmp_path: Path) -> None:
    made = write_record(tmp_path, {"schema": SCHEMA, "inputs": [], "n": 1, "user": "u"})
    reused = {"execution": "a-0001", "job": "j", "task": None, "record": made}
    taken = write_record(
        tmp_path, {"schema": SCHEMA, "inputs": [], "reused_from": reused, "user": "u"}
    )
    assert set(build_closure(tmp_path, "sha256:a", taken).records) == {made, taken}


HASH = "0123456789abcdef0123456789abcdef01234567"
SECRETS = {
    "SLURM_JWT": "short",
    "HOROVOD_API_KEY": "k",
    "TF_TOKEN": "t",
    "OMP_NOTE": "ghp_0123456789abcdefghijklmnopqrstuvwxyzABCD",
    "CUDA_CACHE": "https://user:pa55@host/x",
    "SLURM_COMMENT": "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4cZx",
    "TORCH_X": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "TORCH_HEX": HASH,
    "TORCH_ROOT": f"/{HASH}",
    "TORCH_PAIR": f"me:{HASH}",
    "TORCH_HOOK": f"https://host.example/api/{HASH}",
    "TORCH_BASE64": "/opt/x/eFgH5678iJkL9012mNoP3456qRsT7890uVwX+/=",
    "TORCH_LIST": f"/opt/lib:{HASH}",
    "TORCH_SMALL": "/api/v1/k3j9x0q8w7e6r5t4y3u2i1o0p9a8s7d6f5/x",
}


def test_what_the_user_keeps_as_a_secret_is_cut_out_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deepforge-hpc/secrets"
    folder.mkdir(parents=True)
    (folder / "hub").write_text("correct horse\n")
    (folder / "a part of it").write_text("correct")
    (folder / "short").write_text("is")
    (folder / "folder").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    secret_values.cache_clear()
    try:
        assert filter_text("it is correct horse!") == "it is [redacted]!"
        assert filter_value({"a": ["my correct horse", "is"]}) == {"a": [REDACTED, "is"]}
        assert describe_environment({"NCCL_X": "correct horse"}) == {"NCCL_X": REDACTED}
    finally:
        secret_values.cache_clear()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_an_allowed_variable_is_redacted(name: str) -> None:
    assert describe_environment({name: SECRETS[name]}) == {name: REDACTED}


def test_what_is_harmless_is_kept_and_the_rest_never_enters() -> None:
    kept = {
        "PATH": "/opt/spack/gcc-12.2.0-abcdefghij0123456789klmnopqrstuv/bin:/usr/bin",
        "SLURM_JOB_ID": "123",
        "SLURM_JOB_NODELIST": "n[1-4]",
        "OMP_NUM_THREADS": "8",
        "LOADEDMODULES": "gcc/12.2.0:openmpi/4.1",
        "TORCH_HOME": f"/home/ada/.conda/envs/{HASH}/lib:$HOME/{HASH}",
        "TF_LIB": "/opt/spack/linux-x86_64/gcc-12.3.0-h3tlbsknf7gnbqhkgrcmpzkx5n4p4l6q/lib",
        "XLA_NIX": "~/nix/store/0c1bz3dkgr0f3b4y5j2z1n1q8x2v7a9h-openmpi",
        "XLA_CACHE": "/cache/sha256-0a1b2c3d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff/x",
        "NCCL_JOB": "/scratch/job-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/experiment_of_today2026andmore",
        "KERAS_HOME": "/sw/python3.11/lib/site-packages/tensorflow/include/v2",
        "TF_DATA": "/scratch/ada/ExperimentResNet50CamelCaseFolderName2024v3",
        "TF_RUN": "experiment_resnet50_baseline_seed42_v2,GalaxyZooDecalsRelease5Morphology2021",
        "SLURM_SUBMIT_DIR": "/lustre/projects/astro/2026/redshift-of-many-galaxies",
    }
    assert describe_environment({**kept, "HOME": "/home/x", "AWS_SECRET_ACCESS_KEY": "x"}) == kept


def test_credentials_in_values_uris_and_sentences_are_cut_out() -> None:
    value: dict[str, Any] = {
        "url": "postgres://me:pw@db/x",
        "n": 1,
        "list": ["hf_" + "a" * 30, "ok"],
    }
    assert filter_value(value) == {"url": REDACTED, "n": 1, "list": [REDACTED, "ok"]}
    assert filter_uri("https://me:pw@host/x") == "https://host/x"
    assert filter_text("cannot open https://me:pw@host/x") == "cannot open https://…@host/x"


@pytest.mark.parametrize(
    "ends", ["raise ValueError('cannot reach ' + url)", "return {'cannot reach ' + url: object()}"]
)
def test_planted_secrets_stand_in_no_byte_of_the_ledger(execution: Execution, ends: str) -> None:
    url = "https://me:hunter2@db/x"
    job = execution.operation(
        "job", f"def operation(url, x): {ends}", attributes={"url": url}, inputs={"x": "given"}
    )
    more = {"password": "hunter4"}
    execution.jobs[0] = job._replace(defaults=tuple(more.items()), computed=tuple(more.items()))
    (execution.project / "given.json").write_text("1")
    execution.external("given", execution.project / "given.json", "json")
    execution.inputs[0] = execution.inputs[0]._replace(uri=url)
    assert execution.run("job", **SECRETS, MY_PASSWORD="hunter3").returncode == 1
    text = b"".join(path.read_bytes() for path in execution.ledger.rglob("*") if path.is_file())
    for secret in ("hunter2", "hunter3", "hunter4", *list(SECRETS.values())[3:]):
        assert secret.encode() not in text
    assert b"cannot reach" in text


def test_packages_are_read_from_the_names_of_their_folders(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    names = ("tensorflow_cpu-2.18.1.dist-info", "Zope.Interface-5.0-py3.11.egg-info", "numpy",
             "scikit-learn-1.9.1.dist-info", "local-1!2.0rc1+cu121.dist-info",
             "$(touch x)-1.0.dist-info", "~umpy-1.0.dist-info", "broken.dist-info")  # fmt: skip
    for name in names:
        (first / name).mkdir(parents=True)
    for name in ("numpy-2.0.2.dist-info", "scikit_learn-0.1.dist-info"):
        (second / name).mkdir(parents=True)
    (tmp_path / "archive.zip").touch()
    search = ["", str(first), str(tmp_path / "archive.zip"), str(tmp_path / "no"), str(second)]
    assert list_packages(search) == [
        "local==1!2.0rc1+cu121",
        "numpy==2.0.2",
        "scikit-learn==1.9.1",
        "tensorflow-cpu==2.18.1",
        "zope-interface==5.0",
    ]


def test_records_name_the_packages_that_the_operation_could_import(
    execution: Execution, tmp_path: Path
) -> None:
    (tmp_path / "late" / "late_package-3.2.1.dist-info").mkdir(parents=True)
    path = str(tmp_path / "late")
    execution.operation("one", "def operation(): return 1")
    execution.operation("two", "def operation(): return 1")
    execution.operation("bad", f"import sys\nsys.path.append({path!r})\nraise ValueError")
    execution.operation("gone", "import os\ndef operation(): os._exit(3)")
    execution.run_all("one", "two")
    assert execution.run("bad").returncode == 1
    assert execution.run("gone").returncode == 1
    kept = {item["job"]: item["environment"]["packages"] for item in execution.records()}
    assert kept["gone"] is None
    assert kept["one"] == kept["two"] != kept["bad"]

    def lines(digest: str) -> list[str]:
        blob = execution.ledger / "blobs" / digest[7:9] / digest[7:]
        assert digest_file(blob) == digest
        return blob.read_text().splitlines()

    assert f"pytest=={pytest.__version__}" in lines(kept["one"])
    assert set(lines(kept["bad"])) - set(lines(kept["one"])) == {"late-package==3.2.1"}
    assert execution.leftovers() == []


def test_removing_never_follows_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").touch()
    (folder / "link").symlink_to(outside)
    (tmp_path / "alias").symlink_to(outside)
    for path in (folder, tmp_path / "alias", tmp_path / "nothing"):
        remove(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]
    assert (outside / "keep").exists()


@pytest.mark.parametrize(
    "name", ["password", "db_password", "api_key", "Authorization", "auth-token", "session_token"]
)
def test_a_name_tells_a_secret_wherever_it_stands(name: str) -> None:
    assert filter_value({name: "hunter2", "x": 1}) == {name: REDACTED, "x": 1}
    for config in ({"cluster": [{name: "hunter2"}]}, {name: ["hunter2"]}, {name: {"of": "me"}}):
        environ = {"TF_CONFIG": json.dumps(config)}
        assert describe_environment(environ) == {"TF_CONFIG": REDACTED}
    for text in (f"{name}=hunter2", f'{{"{name}": "hunter2"', f"x {name}='hunter2'"):
        assert describe_environment({"TF_CONFIG": text}) == {"TF_CONFIG": REDACTED}
        assert "hunter2" not in filter_text(text)
    for text in (f"{name}=hunter2", f'{{"{name}": ["hunter2"]', "Authorization: Bearer hunter2"):
        told = filter_text(text)
        assert "hunter2" not in told
        assert filter_text(told) == told


@pytest.mark.parametrize(
    "value",
    [
        "run --password=hunter2 --n 3",
        "run --db-password hunter2",
        "run --api-key 'hunter2'",
        ["run", "--db-password", "hunter2"],
        {"deep": ["password='hunter2'"]},
    ],
)
def test_what_a_command_line_gives_away_is_no_value_of_a_record(value: object) -> None:
    assert filter_value({"x": value}) != {"x": value}
    assert "hunter2" not in json.dumps(filter_value({"x": value}))


def test_what_only_says_where_a_secret_is_may_be_told() -> None:
    data = {
        "words": ["run", "--password", "$DB_PASSWORD", "--api-key", "{inputs.key}", "--secret"],
        "text": "run --password=$DB_PASSWORD --password-file /x --api-key /home/me/key",
        "of": "curl -H 'Authorization: Bearer ${TOKEN}' https://me:$PASSWORD@host/x",
        "page": "usage: --password <word> [--api-key [KEY]]",
    }
    assert filter_value(data) == data


@pytest.mark.parametrize("name", ["MYSQL_PWD", "SMTP_PASS", "OPENAI_KEY", "HF_TOKEN", "PGPASSWORD"])
def test_a_variable_is_a_secret_by_its_name(name: str) -> None:
    assert filter_variable(name, "hunter2") == REDACTED


def test_names_of_other_things_are_no_secrets() -> None:
    assert filter_variable("PWD", "/x") == "/x"
    data = {"pad_token": "<pad>", "sort_key": "z", "password": "", "secretary": "x", "api_key": 3}
    data |= {"low_pass": "butter", "passes": "2"}
    assert filter_value(data) == data
    assert describe_environment({"TF_CONFIG": '{"task": {"index": 0}}'})["TF_CONFIG"]
    for text in ("password: it is missing", "sort_key=z", "the secret of it", "use api_key"):
        assert filter_text(text) == text


def test_a_state_says_no_secret(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 8
    said = statefile.Said(
        State.FAILED,
        1,
        reason=f"no access with {token}",
        hint=f"use another than {token}",
        error=Raised("Error", f"https://me:pw@host {token}", (f"x = {token!r}",)),
    )
    statefile.publish(JobLayout(tmp_path), said)
    text = JobLayout(tmp_path).state.read_text()
    assert token not in text
    assert "pw@" not in text
    assert "no access with" in text


@pytest.mark.parametrize(
    "text",
    [
        *("PASSWORD=x", "passwd=x", "my_passphrase=x", "secret=x", "CREDENTIAL=x", "credentials=x"),
        *("api_key=x", "api-key=x", "accesskey=x", "private_key=x", "secret_key=x", "apitoken=x"),
        *("access_token=x", "auth-token=x", "bearer_token=x", "session_token=x", "--api-key x"),
        *(
            "refresh_token=x",
            "Authorization: Basic x",
            '{"password" : "x"}',
            "p\u0430th ftp://a:b@c",
        ),
        *("pa\u017f\u017fword=x", "api_\u212aey=x", "cred\u0131t --secret x", "hf_" + 20 * "a"),
        *(
            f"{first}{20 * 'a'}"
            for first in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "sk-", "xoxb-")
        ),
        *(f"{first}{30 * 'a'}" for first in ("github_pat_", "glpat-", "pypi-", "npm_", "AIza")),
        *("AKIA" + 16 * "A", "ASIA" + 16 * "7", "eyJ" + 8 * "a" + "." + 8 * "b" + "."),
        "-----BEGIN EC PRIVATE KEY",
    ],
)
def test_what_is_cut_out_of_a_text_is_a_credential(text: str) -> None:
    assert holds_credential(text)
    assert holds_credential(f"first\n{text}\nlast")
    assert holds_credential(100 * "first " + f"\n{text}\n" + 100 * "last ")
    assert filter_text(text) != text
    assert not holds_credential(filter_text(text))
