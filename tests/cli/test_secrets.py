"""What goes by the name of a secret does not become part of an execution."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("password", "hunter2"), ("api_key", "hunter2"), ("Authorization", "hunter2")),
        ("password", "123456"),
    ],
)
def test_an_attribute_with_a_secrets_name_is_refused(
    dfh: Any, make_project: Any, name: str, value: str
) -> None:
    code = f"def show({name}: str | int) -> str:\n    text = 'x'\n    return text\n"
    pipeline = (
        "pipeline: p\noperations:\n"
        f"  show: {{uses: 'operations.py:show', attributes: {{{name}: {value}}}}}\n"
        "outputs: {text: show.text}\n"
    )
    project = make_project({"pipeline.yaml": pipeline, "operations.py": code})
    assert "looks like a credential" in dfh("check", cwd=project, expect=3).stderr


def test_a_default_with_a_secrets_name_is_in_no_plan(dfh: Any, make_project: Any) -> None:
    code = (
        "def show(n: int = 7, password: str = 'hunter2') -> str:\n    text = 'x'\n    return text\n"
    )
    pipeline = "pipeline: p\noperations:\n  show: {uses: 'operations.py:show'}\n"
    project = make_project({"pipeline.yaml": pipeline, "operations.py": code})
    told = dfh("plan", "--json", cwd=project).stdout
    assert "hunter2" not in told
    assert '"n"' in told


@pytest.mark.parametrize("option", ["--note", "--tag", "--name"])
def test_what_describes_an_execution_is_no_secret(dfh: Any, make_project: Any, option: str) -> None:
    project = make_project({"pipeline.yaml": ""})  # nothing else of it is looked at
    told = dfh("submit", option, "api_key=hunter2", cwd=project, expect=3).stderr
    assert f"{option}: looks like a credential: the execution keeps it (remove it)" in told
    assert "hunter2" not in told
