from __future__ import annotations

import subprocess

import pytest

from deepforge_hpc.errors import InvalidInputError
from deepforge_hpc.render.script import exports


def test_values_reach_the_job_and_unset_variables_are_empty():
    text = exports(
        [
            ("A", "two words * ;"),
            ("P", "$LD_LIBRARY_PATH:${TMPDIR}x"),
            ("Q", "/tmp/$USER-$SLURM_JOB_ID"),
        ]
    )
    script = f'set -eu\n{text}\nprintf "%s\\n" "$A" "$P" "$Q"'
    done = subprocess.run(
        ["bash", "-c", script], env={"TMPDIR": "/t", "USER": "$(id)"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["two words * ;", ":/tx", "/tmp/$(id)-"]


@pytest.mark.parametrize(
    "value",
    [
        "$(id)",
        "`id`",
        'a"; id; "',
        "a\\",
        "${USER:-$(id)}",
        "$HOSTNAME",
        "line\nid",
        "$",
        "a$1",
        "!x",
    ],
)
def test_what_could_run_is_refused(value):
    with pytest.raises(InvalidInputError):
        exports([("A", value)])


@pytest.mark.parametrize("name", ["A=1;id", "", "1A", "a b", "A\n"])
def test_a_strange_name_is_refused(name):
    with pytest.raises(InvalidInputError):
        exports([(name, "1")])
