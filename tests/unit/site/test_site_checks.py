"""What parts of a site file say about each other, and what may not stand in one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from deepforge_hpc.errors import UsageError
from deepforge_hpc.files.yaml12 import load
from deepforge_hpc.plan.requests import check_account
from deepforge_hpc.site.model import SiteSpec
from deepforge_hpc.site.sourced import unsourced

if TYPE_CHECKING:
    from conftest import SiteFolder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "queues: [{name: a, node_type: fta}]\nnode_types: {fat: {}}",
            ["x.yaml:1: queues[0].node_type: no node type 'fta' (did you mean 'fat'?)"],
        ),
        (
            "queues: [{name: a}, {name: a}]",
            ["x.yaml:1: queues[1].name: a second queue named 'a'"],
        ),
        (
            "queues: [{name: a, nodes: {min: 4, max: 2}, time: {min: 2h, max: 90m}}]",
            [
                "x.yaml:1: queues[0].nodes: min 4 is above max 2",
                "x.yaml:1: queues[0].time: min '2h' is above max '90m'",
            ],
        ),
        (
            """\
            queues:
              - name: a
                nodes: {max: 8}
                time: {max: 4h}
                tiers:
                  - {nodes: {max: 4}, time: {max: 2h}}
                  - {nodes: {min: 4, max: 8}, time: {max: 3h}}
                  - {nodes: {min: 9}, time: {max: 5h}}
                  - {nodes: {min: 20, max: 30}}
            """,
            [
                (
                    "x.yaml:7: queues[0].tiers[1]: the tier before it covers up to 4 nodes (put the "
                    "smallest first)"
                ),
                "x.yaml:8: queues[0].tiers[2]: time: max 05:00:00 is above max 04:00:00 of the queue",
                (
                    "x.yaml:9: queues[0].tiers[3]: the tier before it covers all that follow nodes (put "
                    "the smallest first)"
                ),
                "x.yaml:9: queues[0].tiers[3]: nodes: max 30 is above max 8 of the queue",
            ],
        ),
        (
            "routing: {by: [partition, qos]}\nqueues: [{name: a}, {name: b, automatic: no}]",
            [
                (
                    "x.yaml:2: queues[0]: 'a' has no partition or qos, by which the site routes jobs "
                    "(give one, or write automatic: no)"
                )
            ],
        ),
        (
            "routing: {by: [qos], forbidden: [partition]}\nqueues: [{name: a, qos: q, partition: p}]",
            ["x.yaml:2: queues[0].partition: routing.forbidden names partition"],
        ),
        (
            "request: {forbidden: [{flag: qos}]}\nqueues: [{name: a, qos: q}]",
            ["x.yaml:2: queues[0].qos: request.forbidden rejects --qos"],
        ),
        (
            "routing: {by: [qos], forbidden: [qos]}",
            ["x.yaml:1: routing.forbidden[0]: routing.by asks for qos"],
        ),
        (
            """\
            routing: {by: [qos], forbidden: [partition]}
            account: {required: no}
            request:
              gpu: none
              memory: forbidden
              required: [partition, constraint, memory, gpus, account, time]
            """,
            [
                "x.yaml:6: request.required[0]: partition is required, but routing.forbidden names it",
                "x.yaml:6: request.required[1]: constraint is required, but routing.by does not",
                "x.yaml:6: request.required[2]: memory is required, but request.memory forbids it",
                (
                    "x.yaml:6: request.required[3]: gpus is required, but request.gpu has no way to ask "
                    "for them"
                ),
                "x.yaml:6: request.required[4]: account is required, but account.required is no",
            ],
        ),
        (
            """\
            request:
              gpu: gres
              memory: {policy: required, whole_node: '0'}
              forbidden: [{flag: gres}, {flag: mem}, {flag: ntasks-per-node}, {flag: constraint}]
              extra: [{directive: [constraint, nvme]}]
            """,
            [
                (
                    "x.yaml:2: request.gpu: GPUs are asked for by --gres, which request.forbidden rejects "
                    "(choose another style, or none)"
                ),
                "x.yaml:3: request.memory: memory is required, and request.forbidden rejects --mem",
                "x.yaml:1: request.tasks: request.forbidden rejects --ntasks-per-node",
                "x.yaml:5: request.extra[0]: request.forbidden rejects --constraint",
            ],
        ),
        (
            """\
            queues: [{name: a, node_type: t, gpus_per_node: {max: 8}, cpus_per_node: {max: 200}, mem_per_node: {max: 64GiB}}]
            node_types: {t: {cores: 64, smt: 2, usable_cores: 65, mem: 32GiB, mem_requestable: 33GiB, gpus: 4}}
            request: {gpu: {style: gpus, typed: yes}}
            """,
            [
                "x.yaml:1: queues[0].gpus_per_node: max 8 is more than a node 't' has: 4",
                "x.yaml:1: queues[0].cpus_per_node: max 200 is more than a node 't' has: 128",
                "x.yaml:1: queues[0].mem_per_node: max 65536 MiB is more than a node 't' has: 32768 MiB",
                (
                    "x.yaml:2: node_types.t: request.gpu is typed, but the node type has no gpu_type "
                    "(write it, or gpu_type: unknown)"
                ),
                "x.yaml:2: node_types.t.usable_cores: 65 is more than cores: 64",
                "x.yaml:2: node_types.t.mem_requestable: 33792 is more than mem: 32768",
            ],
        ),
        (
            "binding: {style: mask}",
            [
                "x.yaml:1: binding: style mask needs gpu_core_base: the first core of each GPU's region"
            ],
        ),
        (
            (
                "binding: {style: mask, gpu_core_base: [0, 4], width: 8, skip_first: 8}\n"
                "node_types: {a: {gpus: 4}, b: {gpus: 0}}"
            ),
            [
                "x.yaml:1: binding.skip_first: nothing is left of a region of 8 cores",
                "x.yaml:1: binding.gpu_core_base: the regions that begin at core 0 and 4 overlap",
                "x.yaml:1: binding.gpu_core_base: 2 regions, but the node types have 4 GPUs",
            ],
        ),
        (
            """\
            queues: [{name: batch}]
            binding: {except_queues: [btch]}
            account: {suffixes: [{suffix: _g, when: {queues: [gpu]}}]}
            transfer: {queue: xfer}
            """,
            [
                "x.yaml:2: binding.except_queues: no queue 'btch' (did you mean 'batch'?)",
                "x.yaml:3: account.suffixes[0].when.queues: no queue 'gpu' (known: batch)",
                "x.yaml:4: transfer.queue: no queue 'xfer' (known: batch)",
            ],
        ),
        (
            "account: {value: abc, pattern: '[a-z]{3}[0-9]{3}'}",
            ["x.yaml:1: account.value: 'abc' does not fit pattern '[a-z]{3}[0-9]{3}'"],
        ),
        (
            """\
            queues: [{name: a, default: yes}, {name: b, default: no}, {name: c, default: yes}]
            node_types:
              t: {cores: 8, reserved_cores: [0, 8]}
              u: {cores: 8, usable_cores: 7, reserved_cores: [0, 4]}
            binding: {gpu_order: [0, 2]}
            filesystems: [{role: scratch, not_on_queues: [d]}]
            """,
            [
                "x.yaml:1: queues[2].default: 'a' is the default already",
                "x.yaml:3: node_types.t.reserved_cores: there is no core 8: the node has 8, from 0",
                (
                    "x.yaml:4: node_types.u.reserved_cores: 2 of 8 cores are the system's, and 7 "
                    "usable"
                ),
                "x.yaml:5: binding.gpu_order: not each of the GPUs 0 to 1 once",
                "x.yaml:6: filesystems[0].not_on_queues: no queue 'd' (known: a, b, c)",
            ],
        ),
        (
            "identify: [{}]",
            ["x.yaml:1: identify[0]: an entry without a condition holds on all machines"],
        ),
    ],
)
def test_a_contradiction_is_told_where_it_stands(
    files: SiteFolder, text: str, expected: list[str]
) -> None:
    assert files.faults(text) == expected


def test_unknown_contradicts_nothing(files: SiteFolder) -> None:
    files.spec(
        """\
        queues:
          - {name: a, node_type: t, nodes: {min: unknown, max: 4}, gpus_per_node: {max: 8}, tiers: [{nodes: {max: unknown}, time: unknown}]}
        node_types: {t: {cores: unknown, gpus: unknown, mem: unknown, mem_requestable: 4GiB}}
        routing: {by: unknown}
        request: {required: unknown, gpu: unknown, memory: unknown}
        """
    )


@pytest.mark.parametrize(
    ("option", "own", "hint"),
    [
        ("time", "time", "say defaults: {time: ..}"),
        ("nodes", "nodes", "say resources: {nodes: ..} in the pipeline"),
        ("clusters", "clusters", "say submit: {cluster: ..}"),
        ("signal", "signal", ""),
        ("job-name", "job-name", ""),
        ("requeue", "requeue", ""),
        ("sig", "signal", ""),  # Slurm takes a beginning for the whole
        (
            "tasks-per-node",
            "tasks-per-node",
            "say resources: {ntasks_per_node: ..} in the pipeline",
        ),
    ],
)
def test_what_dfh_writes_itself_is_no_extra(
    files: SiteFolder, option: str, own: str, hint: str
) -> None:
    text = f"site: x\nscheduler: slurm\nrequest:\n  extra: [{{directive: [{option}, a]}}]"
    files.write("x", text)
    tail = f" ({hint})" if hint else ""
    assert files.told() == [f"x.yaml:4: request.extra[0]: --{own} is written by dfh{tail}"]


@pytest.mark.parametrize(
    ("option", "whole"), [("partitio", "partition"), ("cpus-per-t", "cpus-per-task")]
)
def test_an_option_is_named_in_full_or_it_would_replace_another(
    files: SiteFolder, option: str, whole: str
) -> None:
    text = f"site: x\nscheduler: slurm\nrequest:\n  extra: [{{directive: [{option}, a]}}]"
    files.write("x", text)
    told = f"x.yaml:4: request.extra[0]: --{option} is --{whole} to Slurm (write {whole})"
    assert files.told() == [told]
    files.write("x", text.replace(option, whole))
    assert files.load().spec.request.extra[0].directive == (whole, "a")


@pytest.mark.parametrize("scheduler", ["pbs", "flux", "local"])
def test_what_only_slurm_would_misunderstand_is_no_fault_elsewhere(
    files: SiteFolder, scheduler: str
) -> None:
    text = f"site: x\nscheduler: {scheduler}\nrequest:\n  extra: [{{directive: [partitio, a]}}]"
    files.write("x", text)
    assert files.load().spec.request.extra[0].directive == ("partitio", "a")
    files.write("x", text.replace("partitio", "partition_") + "\nqueues: [{name: a, qos: a b}]")
    told = "\n".join(files.told())
    assert "long name of an option" in told
    assert "name of the scheduler's" in told
    assert not re.search("slurm|sbatch", told, re.IGNORECASE)


HOSTILE = ["a b", "a;id", "$(id)", "`id`", "a'b", 'a"b', "a\\b", "a|b", "a>b", "a\nb", "a\tb"]
EMITTED = [
    "account: {value: @}",
    "account: {suffixes: [{suffix: @}]}",
    "account: {env: @}",
    "queues: [{name: @}]",
    "queues: [{name: a, partition: @}]",
    "queues: [{name: a, qos: @}]",
    "queues: [{name: a, account_suffix: @}]",
    "node_types: {a: {gpu_type: @}}",
    "node_types: {a: {local: {path: @}}}",
    "request: {memory: {whole_node: @}}",
    "request: {forbidden: [{flag: @}]}",
    "request: {extra: [{directive: [@, x]}]}",
    "launchers: {mpi: {argv: [@]}}",
    "launchers: {mpi: {modules: [@]}}",
    "modules: {load: [@]}",
    "modules: {unload: [@]}",
    "containers: {gpu_flag: @}",
    "containers: {bind: [@]}",
    "containers: {flags: [@]}",
    "containers: {modules: [@]}",
    "filesystems: [{role: home, path: @}]",
    "filesystems: [{role: home, env: @}]",
    "transfer: {queue: @}",
    "network: {module: @}",
    "submit: {cluster: @}",
    "environment: {modules: [@]}",
    "scheduler: @",
]
SPACED = [
    "launchers: {mpi: {env: {A: @}}}",
    "environment_sets: {a: {env: {A: @}}}",
    "network: {proxy: {A: @}}",
    "environment: {python: @}",
    "environment: {container: @}",
    "executions: @",
]
"""These may hold spaces."""
PIPED = ["queues: [{name: a, constraint: @}]", "request: {extra: [{directive: [constraint, @]}]}"]
"""In these | means or."""


@pytest.mark.parametrize("text", [*EMITTED, *SPACED, *PIPED])
def test_no_shell_comes_in_by_what_reaches_a_script(files: SiteFolder, text: str) -> None:
    allowed = {"a b"} if text in SPACED else {"a|b"} if text in PIPED else set()
    for hostile in HOSTILE:
        if hostile not in allowed:
            _refuses(files, text, hostile)


@pytest.mark.parametrize("text", ["environment: {python: @}", "executions: @"])
@pytest.mark.parametrize("path", ["/a/$USER", "/a/*", "/a/b?"])
def test_a_path_that_no_shell_reads_names_no_variable(
    files: SiteFolder, text: str, path: str
) -> None:
    _refuses(files, text, path)


def _refuses(files: SiteFolder, text: str, hostile: str) -> None:
    quoted = hostile.replace("\\", "\\\\").replace('"', '\\"')
    quoted = quoted.replace("\n", "\\n").replace("\t", "\\t")
    body = text.replace("@", f'"{quoted}"')
    head = "site: x\n" if text.startswith("scheduler") else "site: x\nscheduler: slurm\n"
    files.write("x", head + body)
    told = files.told()
    assert len(told) == 1, told
    assert text.partition(":")[0] in told[0]


def test_control_characters_are_refused_everywhere(files: SiteFolder) -> None:
    assert files.faults('description: "a\\x1b[2Jb"') == [
        "x.yaml:1: control character U+001B in a text (remove it)"
    ]


def test_a_variable_that_a_value_names_is_on_the_list(files: SiteFolder) -> None:
    told = files.faults("environment_sets: {a: {env: {A: '$SLURM_JOB_ID/$USER', B: '${IFS}x'}}}")
    assert [one.partition(" (")[0] for one in told] == [
        "x.yaml:1: environment_sets.a.env.B: $IFS may not be used here"
    ]


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("account: {value: 'secret:pay'}", "account.value", "is not read here"),
        ("launchers: {mpi: {env: {A: 'secret:a'}}}", "launchers.mpi.env.A", "is not read here"),
        ("login: {policy: 'secret:a'}", "login.policy", "is not read here"),
        ("environment_sets: {a: {env: {A: 'secret:../a'}}}", "a.env.A", "not the name of a secret"),
        ("environment_sets: {a: {env: {A: 'secret:'}}}", "a.env.A", "not the name of a secret"),
        ("network: {proxy: {https_proxy: 'http://me:pw@h:1/'}}", "network.proxy", "a password"),
        ("environment_sets: {a: {env: {HF_TOKEN: hf_x}}}", "HF_TOKEN", "a secret by its name"),
        ("environment_sets: {a: {env: {SMTP_PASS: x}}}", "SMTP_PASS", "a secret by its name"),
        ("environment_sets: {a: {env: {A: --api-key hunter2}}}", "A", "looks like a credential"),
        ("environment_sets: {a: {env: {WANDB_API_KEY: x}}}", "WANDB_API_KEY", "a secret by its"),
    ],
)
def test_no_secret_stands_in_a_site_file(
    files: SiteFolder, text: str, place: str, why: str
) -> None:
    (told,) = files.faults(text)
    assert place in told
    assert why in told


def test_a_secret_is_named_by_reference(files: SiteFolder) -> None:
    spec = files.spec(
        """\
        environment_sets: {hub: {env: {HF_TOKEN: 'secret:hub'}}}
        network: {proxy: {https_proxy: 'secret:proxy'}}
        """
    )
    assert spec.environment_sets["hub"].env == {"HF_TOKEN": "secret:hub"}
    assert spec.network.proxy == {"https_proxy": "secret:proxy"}


def test_a_shipped_file_names_the_source_of_every_section() -> None:
    text = """\
site: x
scheduler: slurm
queues: [{name: a}]
node_types: {a: {cores: 4}}
login: {cpu_minutes: unknown}
submit: {}
variants: {gpu: {request: {gpu: gres}, facts: {request: {source: a}}}, cpu: {binding: {width: 2}}}
facts: {queues.a: {source: page, date: 2026-01-01, confidence: O}}
"""
    told = [f"{fault.line}: {fault.message}" for fault in unsourced(load(text, "x.yaml"))]
    assert told == [
        "4: node_types: no source is named for it",
        "7: binding: no source is named for it",
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+", "([a-z]+_?)*x", "(a|ab)*", "(.*a){12}", "(?=(a+)+)x", "(a??)*", "(?:a?){30}a{30}",
        "a*a*a*a*a*a*b", "a?" * 30 + "a{30}", "(a|ab)" * 30 + "c",
    ],
)  # fmt: skip
def test_an_expression_that_could_hold_up_every_command_is_refused(
    files: SiteFolder, expression: str
) -> None:
    for text in (
        f"account: {{pattern: '{expression}'}}\n",
        f"identify: [{{hostname: '{expression}'}}]\n",
        f"errors: [{{match: '{expression}', hint: x}}]\n",
    ):
        (fault,) = files.faults(text)
        assert "it may take for ever" in fault
        assert "x.yaml:" in fault


@pytest.mark.parametrize(
    ("expression", "account"),
    [
        ("project_[0-9]+", "project_12"), ("([0-9]{2}-){3}x", "11-22-33-x"),
        ("(rrg|def)-[a-z]+(-[a-z]{2,3})?(_gpu|_cpu)?", "def-ada-ab_gpu"), ("(a.?)b*", "axbb"),
    ],
)  # fmt: skip
def test_what_ends_is_taken(files: SiteFolder, expression: str, account: str) -> None:
    text = f"account: {{pattern: '{expression}', value: {account}}}\n"
    assert files.spec(text).account.pattern == expression


def test_no_account_is_that_long() -> None:
    with pytest.raises(UsageError, match="it is too long"):
        check_account(SiteSpec(name="x"), "a" * 101)
    assert check_account(SiteSpec(name="x"), "a" * 100) == []
