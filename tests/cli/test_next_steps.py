"""What dfh says to do next is done, word for word, and gives what it promised."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAILING = """
import os
import re
def after(word: str) -> str:
    same = word
    return same
def work(flag: str) -> str:
    if not os.path.exists(flag):
        raise ValueError("no flag")
    word = "done"
    return word
"""


def folder_of(project: Path, name: str = "small-0001") -> Path:
    return project / "executions" / name


@pytest.fixture
def done(dfh: Any, project: Path) -> Path:
    """Return a project with one execution, small-0001, that has succeeded."""
    dfh("run", cwd=project)
    return project


def test_after_submit(dfh: Any, project: Path, follow: Any) -> None:
    shown = dfh("submit", cwd=project)
    watched = follow("cli/views/submission.py next_commands: dfh status", shown, cwd=project)
    assert "small-0001  succeeded" in watched.stdout
    step = "cli/views/submission.py next_commands: dfh logs"
    assert "small-0001 total" in follow(step, shown, cwd=project, fill={"JOB": "total"}).stderr
    step = "cli/views/submission.py next_commands: dfh cancel"
    assert "nothing was queued or running" in follow(step, shown, cwd=project).stdout


def test_while_it_runs(dfh: Any, gated: Path, follow: Any, until: Any, status: Any) -> None:
    project = gated
    dfh("submit", cwd=project)
    until(lambda: status(project)["jobs"][0]["state"] == "running")
    refused = dfh("executions", "rm", "gated-0001", "--yes", cwd=project, expect=2)
    resumed = dfh("resume", cwd=project, expect=2)
    shown = dfh("status", cwd=project)
    watching = dfh.start("status", "--watch", cwd=project)
    until(lambda: "running" in (watching.stdout.readline()))
    watching.send_signal(signal.SIGINT)
    told = watching.communicate(timeout=60)[1]
    step = "submit/recovery.py settle: dfh status, dfh cancel"
    assert "running" in follow(step, resumed, cwd=project, verb="status").stdout
    cancelled = follow("api/manage.py remove: dfh cancel", refused, cwd=project)
    assert "cancelled wait" in cancelled.stdout
    until(lambda: status(project)["jobs"][0]["state"] == "cancelled")
    # The queue is empty: what was printed before is still true of what comes then.
    follow(step, resumed, cwd=project, verb="cancel")
    (project / "open").touch()
    goes_on = follow("cli/commands/cancel.py command: dfh resume", cancelled, cwd=project)
    assert "gated-0001" in goes_on.stdout
    assert "succeeded" in follow("submit/inspect.py _next: dfh status", shown, cwd=project).stdout
    assert "succeeded" in follow("cli/views/watch.py watch: dfh status", told, cwd=project).stdout
    assert dfh("executions", "rm", "gated-0001", "--yes", cwd=project)


def test_looking_where_there_is_nothing(dfh: Any, project: Path, follow: Any) -> None:
    none = dfh("status", cwd=project, expect=2)
    named = dfh("status", "small-0001", cwd=project, expect=2)
    fill = {"PIPELINE": "pipeline.yaml"}
    follow("api/find.py find_execution: dfh submit", none, cwd=project, fill=fill)
    dfh("status", "--watch", cwd=project)
    shown = follow("api/find.py find_execution: dfh submit #2", named, cwd=project)
    assert "small-0002" in shown.stdout
    dfh("status", "--watch", cwd=project)
    wrong = dfh("status", "./operations.py", cwd=project, expect=2)
    listed = follow("api/find.py _by_path: dfh executions", wrong, cwd=project)
    assert "small-0001" in listed.stdout
    wrong = dfh("prov", "show", ".", cwd=project, expect=2)
    listed = follow("ledger/locate.py locate: dfh executions", wrong, cwd=project)
    assert "small-0001" in listed.stdout


def test_logs(dfh: Any, done: Path, follow: Any) -> None:
    of_job = dfh("logs", "count", cwd=done, expect=2)
    shown = follow("api/find.py find_execution: dfh logs", of_job, cwd=done)
    assert "small-0001 count" in shown.stderr
    dfh("run", cwd=done)
    refused = dfh("logs", "small-0002", "count", cwd=done, expect=2)
    shown = follow("cli/commands/logs.py _require_log: dfh logs", refused, cwd=done)
    assert "small-0001 count" in shown.stderr
    (log,) = (folder_of(done) / "jobs" / "count").glob("*.log")
    log.unlink()
    refused = dfh("logs", "small-0001", "count", cwd=done, expect=2)
    shown = follow("cli/commands/logs.py _require_log: dfh status", refused, cwd=done)
    assert "small-0001  succeeded" in shown.stdout


def test_provenance(dfh: Any, done: Path, follow: Any) -> None:
    output = folder_of(done) / "jobs" / "total" / "outputs" / "sum.json"
    shown = dfh("prov", "show", output, cwd=done)
    step = "cli/views/provenance.py explanation_lines: dfh prov #2"
    assert "#" in follow(step, shown, cwd=done).stdout
    step = "cli/views/provenance.py explanation_lines: dfh prov #3"
    assert "sound" in follow(step, shown, cwd=done).stdout
    step = "cli/views/provenance.py _packages: dfh prov"
    assert "pytest==" in follow(step, shown, cwd=done).stdout
    page = (folder_of(done) / "report.html").read_text()
    step = "runtime/report/page.py _footer: dfh prov"
    assert "sound" in follow(step, page, cwd=folder_of(done), verb="prov").stdout
    output.chmod(0o644)
    output.write_text("7")
    changed = dfh("prov", "show", output, cwd=done)
    step = "cli/views/provenance.py explanation_lines: dfh prov"
    told = follow(step, changed, cwd=done, expect=7)
    assert "total" in told.stdout + told.stderr


def test_provenance_of_what_cannot_be_read(
    dfh: Any, gated: Path, done: Path, follow: Any, at_gate: Any
) -> None:
    dfh("submit", cwd=gated)
    at_gate(gated)
    refused = dfh("prov", "show", "executions/gated-0001", cwd=gated, expect=7)
    step = "ledger/locate.py _no_record: dfh status"
    assert "running" in follow(step, refused, cwd=gated).stdout
    (folder_of(done) / "execution.json").chmod(0o644)
    (folder_of(done) / "execution.json").write_text("{")
    refused = dfh("prov", "show", folder_of(done), cwd=done, expect=7)
    step = "ledger/locate.py read_info: dfh prov"
    shown = follow(step, refused, cwd=done, fill={"JOB": "total"})
    assert "small-0001/total" in shown.stdout
    refused = dfh("resume", "small-0001", cwd=done, expect=7)
    assert f"What was made stays in {folder_of(done)}/jobs; submitting" in refused.stderr
    follow("submit/frozen.py _cancel_hint: dfh cancel", refused, cwd=done)
    ran = dfh("run", "--no-reuse", cwd=done)  # anew
    assert "small-0002" in ran.stdout
    mark = done / ".dfh" / "FORMAT"
    whole = mark.read_bytes()
    mark.chmod(0o644)
    mark.write_text("{")
    refused = dfh("prov", "show", "small-0001/total", cwd=done, expect=7)
    (command,) = re.findall(r"nothing is lost: (rm .*)", refused.stderr)
    subprocess.run(command, shell=True, check=True)  # as a person would
    assert "total" in dfh("prov", "show", "small-0001/total", cwd=done).stdout
    dfh("run", "--no-reuse", cwd=done)
    assert mark.read_bytes()[:13] == whole[:13]


def test_what_is_damaged(dfh: Any, done: Path, follow: Any) -> None:
    journal = folder_of(done) / "submitted.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(b"nothing\n" + whole)
    refused = dfh("resume", "small-0001", cwd=done, expect=7)
    follow("submit/journal.py read: dfh cancel", refused, cwd=done)
    shown = dfh("status", "small-0001", cwd=done)
    follow("runtime/state/assemble.py _problems: dfh cancel", shown, cwd=done)
    journal.write_bytes(whole)
    plan = folder_of(done) / "plan.json"
    plan.chmod(0o644)
    plan.write_text(plan.read_text() + "\n")
    refused = dfh("status", "small-0001", cwd=done, expect=7)
    shown = follow("submit/frozen.py check_plan: dfh submit", refused, cwd=done)
    assert "small-0002" in shown.stdout


def test_a_folder_that_is_no_execution_any_more(dfh: Any, done: Path, follow: Any) -> None:
    for name in ("execution.json", "submitted.jsonl"):
        (folder_of(done) / name).unlink()
    refused = dfh("status", "small-0001", cwd=done, expect=None)
    assert refused.returncode != 0


@pytest.fixture
def failed(dfh: Any, make_project: Callable[..., Path]) -> Path:
    """Return a project whose execution fails-0001 has failed; a file `flag` mends it."""
    project = make_project({"ops.py": FAILING}, name="fails")
    (project / "pipeline.yaml").write_text(
        "pipeline: fails\noperations:\n"
        f"  work: {{uses: 'ops.py:work', attributes: {{flag: {project}/flag}}}}\n"
        "  after: {uses: 'ops.py:after', inputs: {word: work.word}}\n"
        "outputs: {word: work.word}\n"
    )
    dfh("run", cwd=project, expect=9)
    return project


def test_an_operation_that_failed(dfh: Any, failed: Path, follow: Any) -> None:
    shown = dfh("status", cwd=failed)
    logs = follow("runtime/base/advice.py next_step: dfh logs", shown, cwd=failed)
    assert "no flag" in logs.stdout
    page = (folder_of(failed, "fails-0001") / "report.html").read_text()
    # To run the same code again helps neither what failed nor what stands below it.
    assert "dfh resume" not in shown.stdout + page
    logs = follow("runtime/report/failures.py _next: dfh logs", page, cwd=failed)
    assert "no flag" in logs.stdout
    (failed / "flag").touch()
    again = follow(
        "runtime/base/advice.py pipeline_command: dfh VERB", shown, cwd=failed, verb="submit"
    )
    assert "fails-0002" in again.stdout
    assert "succeeded" in dfh("status", "fails-0002", "--watch", cwd=failed).stdout


def test_names_of_sites(dfh: Any, project: Path, follow: Any) -> None:
    empty = dfh("check", "--site", "", cwd=project, expect=2)
    assert (
        "slurm-generic"
        in follow("api/pipelines.py Request.__post_init__: dfh site", empty, cwd=project).stdout
    )
    unknown = dfh("check", "--site", "zzzz", cwd=project, expect=3)
    assert (
        "slurm-generic" in follow("site/find.py load_site: dfh site", unknown, cwd=project).stdout
    )
    wrong = dfh("site", "diff", "local", cwd=project, expect=2)
    listed = follow("api/probing.py drift: dfh site", wrong, cwd=project)
    assert "slurm" in listed.stdout
    absent = dfh("site", "check", "frontier", cwd=project, expect=2)
    step = "api/site.py check_site: dfh site"
    assert "frontier" in follow(step, absent, cwd=project, fill={"NAME": "frontier"}).stdout
    for command in ("submit", "doctor"):
        text = dfh(command, "--help", cwd=project)
        step = {
            "submit": "cli/options.py : dfh site",
            "doctor": "cli/commands/doctor.py command: dfh site",
        }[command]
        assert "local" in follow(step, text, cwd=project).stdout


def test_a_pipeline_with_keys_of_another_kind(dfh: Any, project: Path, follow: Any) -> None:
    file = project / "pipeline.yaml"
    text = file.read_text()
    file.write_text(text.replace("attributes: {limit: 4}", "resources: {qos: debug}"))
    refused = dfh("check", cwd=project, expect=3)
    step = "pipeline/file.py : dfh site"
    shown = follow(step, refused, cwd=project, fill={"NAME": "slurm-generic"})
    assert "queues" in shown.stdout
    target = dfh("doctor", "--site", "local", cwd=project, expect=None)
    step = "api/target.py target_of: dfh check"
    assert "qos" in follow(step, target, cwd=project, expect=3).stderr
    file.write_text(text.replace("attributes: {limit: 4}", "resources: {mail_type: end}"))
    refused = dfh("check", cwd=project, expect=3)
    file.write_text(text)
    step = "pipeline/file.py : dfh status, dfh run"
    assert "succeeded" in follow(step, refused, cwd=project, verb="run").stdout
    assert "succeeded" in follow(step, refused, cwd=project, verb="status").stdout


def test_a_plan_that_deserves_a_look(dfh: Any, project: Path, follow: Any) -> None:
    file = project / "pipeline.yaml"
    text = file.read_text()
    file.write_text(text.replace("attributes: {limit: 4}", "resources: {nodes: 2}"))
    looked = dfh("doctor", "--site", "local", cwd=project, expect=None)
    shown = follow("api/target.py _with_pipeline: dfh plan", looked, cwd=project)
    assert "nodes" in shown.stdout


def test_a_scheduler_that_is_only_rendered(dfh: Any, project: Path, follow: Any) -> None:
    site = project / "site-configs" / "other.yaml"
    site.parent.mkdir()
    site.write_text("site: other\nscheduler: pbs\nqueues:\n  - {name: main, time: {max: 1h}}\n")
    refused = dfh("submit", "--site", "other", cwd=project, expect=None)
    step = "api/submission.py _render_command: dfh render"
    follow(step, refused, cwd=project)
    assert list((project / "scripts").rglob("*.sh"))


def test_an_execution_of_which_the_owner_is_at_work(
    dfh: Any, gated: Path, follow: Any, at_gate: Any
) -> None:
    dfh("submit", cwd=gated)
    at_gate(gated)
    lease = folder_of(gated, "gated-0001") / ".submitting"
    lease.mkdir()
    ticks = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (lease / f"{os.getpid()}.{ticks}.{os.uname().nodename}").touch()
    refused = dfh("resume", cwd=gated, expect=6)
    step = "submit/lease.py _busy: dfh status"
    assert "running" in follow(step, refused, cwd=gated).stdout


def test_a_file_system_that_refuses_the_report(dfh: Any, done: Path, follow: Any) -> None:
    report = folder_of(done) / "report.html"
    report.unlink()
    report.mkdir()
    refused = dfh("report", cwd=done, expect=6)
    shown = follow("api/manage.py report: dfh status", refused, cwd=done)
    assert "small-0001  succeeded" in shown.stdout


def test_a_bug_says_how_to_show_more(follow: Any, project: Path, dfh: Any) -> None:
    refused = dfh("nonsense", cwd=project, expect=2)
    assert "dfh --help shows the usage" in refused.stderr


def test_where_another_execution_writes_to_the_same_place(
    dfh: Any, gated: Path, follow: Any, until: Any, at_gate: Any
) -> None:
    pipeline = gated / "pipeline.yaml"
    to = "outputs: {word: {from: wait.word, to: word.txt}}\n"
    pipeline.write_text(pipeline.read_text().replace("outputs: {word: wait.word}\n", to))
    submit = ("submit", "--no-reuse")
    first = folder_of(gated, "gated-0001")

    dfh(*submit, cwd=gated)
    at_gate(gated)
    refused = dfh(*submit, cwd=gated, expect=2)
    follow("submit/destinations.py _way_out: dfh cancel", refused, cwd=gated)
    until(lambda: not (first / "local" / "engine.json").exists())
    dfh(*submit, cwd=gated)
    refused = dfh("resume", "gated-0001", cwd=gated, expect=2)
    follow("submit/destinations.py _way_out: dfh cancel", refused, cwd=gated)
    second = folder_of(gated, "gated-0002")
    until(lambda: not (second / "local" / "engine.json").exists())
    (gated / "open").touch()
    follow("submit/submitter.py Submitter._undo: dfh resume #2", refused, cwd=gated)
    until(lambda: not (first / "local" / "engine.json").exists())
    # Its queue is lost, and what it says of itself cannot be read.
    shutil.rmtree(first / "local")
    (first / "jobs" / "wait" / "success.json").write_text("{")
    (first / "jobs" / "wait" / "state.json").unlink()
    refused = dfh(*submit, cwd=gated, expect=2)
    info = (first / "execution.json").read_bytes()
    (first / "execution.json").write_text("{")
    unreadable = dfh(*submit, cwd=gated, expect=2)
    (first / "execution.json").write_bytes(info)
    removed = follow("submit/destinations.py _way_out: dfh executions", refused, cwd=gated)
    assert "removed gated-0001" in removed.stderr + removed.stdout
    (claim,) = gated.glob(".dfh/claims/*/claim.json")
    assert f"once you know that nothing of it runs: rm {claim}\n" in unreadable.stderr
    claim.unlink()
    dfh("run", "--no-reuse", cwd=gated)
    assert (gated / "word.txt").read_text() == "done"
