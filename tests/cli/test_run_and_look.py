"""The everyday commands on a real pipeline, on this machine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api.logs import tail

PIPELINE_NAME = "small"


def test_check_plan_and_render_say_what_would_run(dfh: Any, project: Path) -> None:
    assert "2 operations" in dfh("check", cwd=project).stdout
    plan = json.loads(dfh("plan", "--json", "--origins", cwd=project).stdout)
    assert [job["name"] for job in plan["jobs"]] == ["count", "total", "_final"]
    assert any(origin["key"] == "jobs.count.launch" for origin in plan["origins"])
    text = dfh("plan", cwd=project).stdout
    assert "small on local" in text
    paths = dfh("render", "-o", "scripts", cwd=project).stdout.split()
    assert [Path(path).parent.name for path in paths] == ["count", "total", "_final"]
    assert Path(project, paths[0]).read_text().startswith("#!/bin/bash\n")
    assert not (project / ".dfh").exists()
    assert not (project / "executions").exists()


def test_run_follows_to_the_end_and_results_explain_themselves(dfh: Any, project: Path) -> None:
    done = dfh("run", "--name", "first", "--note", "why", cwd=project)
    for part in (
        "small-0001: 3 jobs submitted to local",
        "dfh status small-0001 --watch",
        "dfh cancel small-0001",
        "count  succeeded",
        "small-0001  succeeded  2/2 operations done",
        "executions/small-0001/report.html",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout
    output = project / "executions" / "small-0001" / "jobs" / "total" / "outputs" / "sum.json"
    assert json.loads(output.read_text()) == 6
    shown = dfh("prov", "show", output, cwd=project).stdout
    assert "small-0001/total" in shown
    assert "unchanged" in shown
    assert f"dfh prov show {output} --packages" in shown
    listed = dfh("prov", "show", output, "--packages", cwd=project).stdout
    assert f"pytest=={pytest.__version__}\n" in listed
    assert dfh("prov", "trace", output, cwd=project).stdout.count("#") == 2
    assert dfh("prov", "verify", "1", cwd=project).stdout.startswith("sound: 3 records")
    refused = dfh("prov", "verify", ".", cwd=project, expect=2)
    assert "a project, not a result" in refused.stderr


def test_parameters_that_are_left_to_the_code_are_recorded_and_shown(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    code = (
        "LIMIT = 9\n"
        "def fit(epochs: int, rate: float = 0.5, limit: int = LIMIT) -> int:\n"
        "    score = epochs\n"
        "    return score\n"
    )
    text = "pipeline: fit\noperations:\n  fit: {uses: 'ops.py:fit', attributes: {epochs: 3}}\noutputs: {s: fit.score}\n"
    project = make_project({"ops.py": code, "pipeline.yaml": text}, name="fit")
    dfh("run", cwd=project)
    output = project / "executions" / "fit-0001" / "jobs" / "fit" / "outputs" / "score.json"
    shown = dfh("prov", "show", output, cwd=project).stdout
    for part in ("epochs=3\n", "rate=0.5  (default)", "limit=LIMIT  (default)"):
        assert part in shown
    report = (project / "executions" / "fit-0001" / "report.html").read_text()
    assert '<th scope="row">rate</th><td>0.5</td><td>default</td>' in report
    assert '<th scope="row">epochs</th><td>3</td><td>given</td>' in report
    origins = json.loads(dfh("plan", "--json", "--origins", cwd=project).stdout)["origins"]
    found = {item["key"]: item["source"] for item in origins}
    assert found["jobs.fit.attributes.rate"] == "default (ops.py:2)"
    assert found["jobs.fit.attributes.epochs"].startswith("pipeline.yaml:")
    # The default said aloud is the same work.
    (project / "pipeline.yaml").write_text(text.replace("epochs: 3", "epochs: 3, rate: 0.5"))
    assert "reused" in dfh("run", cwd=project).stdout


def test_run_as_json_is_the_status_at_the_end(dfh: Any, project: Path) -> None:
    done = dfh("run", "--json", cwd=project)
    document = json.loads(done.stdout)
    assert (document["schema"], document["state"]) == ("dfh/status/2", "succeeded")
    assert "small-0001: 3 jobs submitted to local" in done.stderr
    again = json.loads(dfh("status", "--watch", "--json", cwd=project).stdout)
    assert [job["state"] for job in again["jobs"]] == ["succeeded"] * 3


def test_a_line_break_in_an_attribute_does_not_break_the_table_of_origins(
    dfh: Any, gated: Path
) -> None:
    pipeline = gated / "pipeline.yaml"
    text = re.sub(r"gate: [^}]+", r'gate: "one\\\\ntwo"', pipeline.read_text())
    pipeline.write_text(text)
    lines = dfh("plan", "--origins", cwd=gated).stdout.splitlines()
    (row,) = (line for line in lines if line.startswith("jobs.wait.attributes.gate "))
    assert row.split()[1] == "one\\ntwo"


def test_success_says_where_the_copies_are(dfh: Any, project: Path) -> None:
    file = project / "pipeline.yaml"
    words = "  sum: {from: total.sum, to: results/}\\n  words: {from: count.numbers, to: w.json}"
    file.write_text(re.sub(r"  sum: .*", words, file.read_text()))
    for _ in ("made", "reused"):
        done = dfh("run", cwd=project)
        assert (
            f"copy    sum: {project}/results/\ncopy    words: {project}/w.json\nreport"
            in done.stdout
        )
        found = json.loads(dfh("status", "--json", cwd=project).stdout)["copies"]
        assert found == {"sum": f"{project}/results/", "words": f"{project}/w.json"}
        assert all(Path(path).exists() for path in found.values())


def test_second_run_takes_over_what_still_holds(dfh: Any, project: Path) -> None:
    dfh("run", cwd=project)
    again = json.loads(dfh("submit", "--json", cwd=project).stdout)
    assert set(again["reused"]) == {"count", "total"}
    assert again["reused"]["total"]["execution"] == "small-0001"
    assert list(again["submitted"]) == ["_final"]
    refused = dfh("logs", "2", "total", cwd=project, expect=2).stderr
    assert "total did not run here, its results are those of small-0001" in refused
    command = refused.partition("Its log: dfh ")[2].split()
    assert "small-0001 total, attempt 1" in dfh(*command, cwd=project).stderr
    assert set(json.loads(dfh("submit", "--json", cwd=project).stdout)["reused"]) == set(
        again["reused"]
    )
    dfh("status", "3", "--watch", cwd=project)
    refused = dfh("logs", "3", "total", cwd=project, expect=2).stderr
    assert f"Its log: dfh {' '.join(command)}" in refused, "through the one in between"
    (project / "executions" / "small-0001").rename(project / "away")
    refused = dfh("logs", "3", "total", cwd=project, expect=2).stderr
    assert "Its log was removed with small-0001." in refused
    (project / "away").rename(project / "executions" / "small-0001")
    fresh = json.loads(dfh("submit", "--json", "--no-reuse", cwd=project).stdout)
    assert list(fresh["submitted"]) == ["count", "total", "_final"]
    assert dfh("status", "4", "--watch", cwd=project).returncode == 0


def test_edited_results_are_named_with_exit_code_7(dfh: Any, project: Path, tmp_path: Path) -> None:
    dfh("run", cwd=project)
    output = project / "executions" / "small-0001" / "jobs" / "count" / "outputs" / "numbers.json"
    copy = tmp_path / "copy.json"
    shutil.copy(output, copy)
    output.chmod(0o644)
    output.write_text("[1, 2, 3, 400]")
    found = json.loads(
        dfh(
            "prov", "verify", "executions/small-0001/jobs/total", "--json", cwd=project, expect=7
        ).stdout
    )
    assert [finding["kind"] for finding in found["findings"]] == ["output_modified"]
    assert "modified" in dfh("prov", "show", output, cwd=project).stdout
    assert "small-0001/count made this content" in dfh("prov", "show", copy, cwd=project).stdout
    copy.write_text("[1]")
    assert "no record" in dfh("prov", "show", copy, cwd=project, expect=7).stderr


def test_failure_says_why_and_resume_needs_nothing_else(
    dfh: Any, project: Path, status: Any
) -> None:
    (project / "operations.py").write_text(
        "import os\n"
        "def count(limit: int = 3) -> list:\n"
        "    numbers = list(range(limit))\n"
        "    return numbers\n"
        "class Total:\n"
        "    def execute(self, numbers: list) -> int:\n"
        "        print('\\x1b[31mI was here\\x1b[0m \\x07')\n"
        f"        if not os.path.exists({str(project / 'fixed')!r}):\n"
        "            raise ValueError('no luck \\x1b[2J today')\n"
        "        sum = 6\n"
        "        return sum\n"
    )
    done = dfh("run", "--set", "count.limit=4", cwd=project, expect=9)
    assert "no luck" in done.stdout
    assert "\x1b" not in done.stdout
    logs = dfh("logs", cwd=project).stdout
    assert "I was here" in logs
    assert "\x1b" not in logs
    document = status(project)
    total = next(job for job in document["jobs"] if job["name"] == "total")
    assert total["state"] == "failed"
    again = "dfh submit pipeline.yaml --site local --set count.limit=4"
    assert (
        document["next"]
        == f"dfh logs small-0001 total; edit, or give --set another value; then {again}"
    )
    assert again in total["hint"]
    assert f"next    {document['next']}\n" in done.stdout
    report = (project / "executions/small-0001/report.html").read_text()
    assert f"<code>{again}</code>" in report
    assert "dfh resume" not in done.stdout + report
    (project / "fixed").touch()
    resumed = dfh("resume", "--json", cwd=project)
    report = json.loads(resumed.stdout)
    assert report["attempt"] == 2
    assert [item["kind"] for item in report["warnings"]] == ["repeated"]
    said = "total failed by its own code, which is frozen: most likely it fails again (edit"
    assert said in resumed.stderr
    assert "count" not in report["submitted"]
    assert dfh("status", "--watch", cwd=project).returncode == 0
    assert "attempt 2" in dfh("logs", "latest", "total", "--attempt", "2", cwd=project).stderr


def test_a_missing_package_is_no_fault_of_the_code(dfh: Any, project: Path) -> None:
    code = project / "operations.py"
    code.write_text(
        code.read_text()
        + "\nimport os\nif 'DFH_EXECUTION' in os.environ:\n    import no_such_one\n"
    )
    told = dfh("run", cwd=project, expect=9).stdout
    assert "install what it misses; then dfh submit pipeline.yaml" in told
    assert "Install no_such_one for " in told
    (warning,) = json.loads(dfh("resume", "--json", cwd=project).stdout)["warnings"]
    assert warning["kind"] == "repeated"
    assert "missed a package" in warning["text"]
    assert warning["next"].startswith("install what it misses; then dfh submit pipeline.yaml")


def test_resume_says_that_it_does_not_take_up_an_edit(dfh: Any, project: Path) -> None:
    code = project / "operations.py"
    good = code.read_text()
    bad = good + "\nimport os\nif 'DFH_EXECUTION' in os.environ:\n    raise OSError(5, 'again')\n"
    code.write_text(bad)
    dfh("run", cwd=project, expect=9)
    code.write_text(good)
    resumed = dfh("resume", "--json", cwd=project)
    report = json.loads(resumed.stdout)
    assert report["message"] == f"Submitted {len(report['submitted'])} jobs."
    (warning,) = report["warnings"]
    assert warning["kind"] == "code_edited"
    assert "operations.py was edited since: what is resumed is the code as it was frozen" in (
        resumed.stderr
    )
    assert warning["next"] == "dfh submit pipeline.yaml --site local takes it up"
    dfh("status", "--watch", cwd=project, expect=9)
    code.write_text(bad)
    (warning,) = json.loads(dfh("resume", "--json", cwd=project).stdout)["warnings"]
    assert warning["kind"] == "repeated"


def test_logs_of_what_is_not_there_name_what_is(dfh: Any, project: Path) -> None:
    dfh("run", cwd=project)
    assert "Its jobs: count, total" in dfh("logs", "1", "tota", cwd=project, expect=2).stderr
    assert (
        "There is attempt 1"
        in dfh("logs", "1", "total", "--attempt", "4", cwd=project, expect=2).stderr
    )
    assert (
        "not a job array" in dfh("logs", "1", "total", "--task", "0", cwd=project, expect=2).stderr
    )
    document = json.loads(dfh("logs", "1", "total", "--lines", "1", "--json", cwd=project).stdout)
    assert (document["job"], document["attempt"]) == ("total", 1)


def test_report_is_written_anew(dfh: Any, project: Path) -> None:
    dfh("run", cwd=project)
    report = project / "executions" / "small-0001" / "report.html"
    report.unlink()
    assert dfh("report", cwd=project).stdout == f"{report}\n"
    assert b"small-0001" in report.read_bytes()


def test_dry_run_shows_the_commands_and_writes_nothing(dfh: Any, project: Path) -> None:
    document = json.loads(
        dfh("submit", "--dry-run", "--site", "slurm-generic", "--json", cwd=project).stdout
    )
    words = {job["job"]: job["argv"] for job in document["jobs"]}
    assert words["count"][0] == "sbatch"
    assert "--hold" in words["count"]
    assert any("<count>" in word for word in words["total"])
    assert document["plan"] in words["total"]
    assert not (project / "executions").exists()
    text = dfh("submit", "--dry-run", "--site", "slurm-generic", cwd=project).stdout
    assert "# small-0001 would be created" in text
    assert "jobs/total/job.sh" in text


def sent_as_shown(dfh: Any, project: Path, *options: str) -> list[str]:
    """Submit, compare with the dry run before, and return the jobs that were sent."""
    dry = json.loads(dfh("submit", "--dry-run", "--json", *options, cwd=project).stdout)
    sent = json.loads(dfh("submit", "--json", *options, cwd=project).stdout)
    execution = Path(sent["path"])
    info = json.loads((execution / "execution.json").read_text())
    assert dry["execution"] == info["id"]
    assert (dry["plan"], dry["code"]) == (info["plan_sha256"], info["code_sha256"])
    assert dry["reused"] == sent["reused"]
    queued = [
        json.loads(line) for line in (execution / "local/jobs.jsonl").read_text().splitlines()
    ]
    for job, entry in zip(dry["jobs"], queued, strict=True):
        argv = [word.replace("0" * 32, info["uuid"]) for word in job["argv"]]
        assert argv == ["bash", entry["script"], *entry["arguments"]]
    dfh("status", "--watch", cwd=project)
    return [job["job"] for job in dry["jobs"]]


def test_dry_run_is_what_submit_sends(dfh: Any, project: Path) -> None:
    assert sent_as_shown(dfh, project) == ["count", "total", "_final"]
    assert sent_as_shown(dfh, project) == ["_final"]
    text = dfh("submit", "--dry-run", cwd=project).stdout
    assert "# total: not sent, reused from small-0002/total" in text
    # The number of an execution that is gone does not come back, here or there.
    dfh("executions", "rm", "small-0002", "--yes", cwd=project)
    (project / "executions" / "small-0003").mkdir()
    assert sent_as_shown(dfh, project, "--no-reuse") == ["count", "total", "_final"]
    assert (project / "executions" / "small-0004").is_dir()


def test_log_that_never_breaks_its_line_is_not_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "out.1.log"
    log.write_bytes(b"begin\n" + b"\r 1/9" * (2 << 20) + b"\r 9/9")
    lines, offset, is_whole = tail(log, 100)
    assert (len(lines), is_whole, offset) == (1, False, log.stat().st_size)
    assert lines[0].endswith("\r 9/9")
    assert len(lines[0]) < log.stat().st_size


def test_an_operation_may_print_where_it_stands(dfh: Any, make_project: Any) -> None:
    code = "import traceback\n\ndef where() -> list:\n    stack = traceback.format_stack()\n    return stack\n"
    pipeline = "pipeline: where\noperations: {where: {uses: 'ops.py:where'}}\noutputs: {stack: where.stack}\n"
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline})
    dfh("run", cwd=project)  # as `import torch` does, of the frames below it too
    stack = json.loads(
        (project / "executions/where-0001/jobs/where/outputs/stack.json").read_bytes()
    )
    assert "sys.exit(main(sys.argv[1:]))" in "".join(stack)
    assert "traceback.format_stack()" in stack[-1]


def test_published_copies_are_told_apart_from_the_execution(dfh: Any, project: Path) -> None:
    pipeline = project / "pipeline.yaml"
    text = pipeline.read_text().replace(
        "{from: total.sum}", "{from: total.sum, to: results/sum.json}"
    )
    pipeline.write_text(text)
    copy = project / "results" / "sum.json"

    def told(execution: str) -> list[tuple[str, str]]:
        found = json.loads(dfh("prov", "verify", execution, "--json", cwd=project).stdout)
        assert found["ok"]
        return [(item["kind"], item["subject"]) for item in found["findings"]]

    dfh("run", cwd=project)
    assert told("small-0001") == []
    pipeline.write_text(text.replace("limit: 4", "limit: 5"))
    dfh("run", cwd=project)
    assert told("small-0001") == [("copy_replaced", str(copy))]
    assert told("small-0002") == []
    pipeline.write_text(text)
    assert "reused" in dfh("run", cwd=project).stdout  # which lays its copy there again
    assert (json.loads(copy.read_text()), told("small-0001"), told("small-0003")) == (6, [], [])
    copy.write_text("7")
    assert told("small-0003") == [("copy_modified", str(copy))]
    copy.unlink()
    warned = dfh("prov", "verify", "small-0003", cwd=project).stdout
    assert "warning: copy_gone: the copy of output sum of small-0003/total is not there" in warned
    assert "\nsound: " in warned


def test_a_result_replaces_nothing_that_no_execution_wrote(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    code = (
        "from pathlib import Path\n"
        "def work() -> tuple[Path, str]:\n"
        "    made, said = Path('made'), 'hello'\n"
        "    made.mkdir()\n"
        "    Path(made, 'a').touch()\n"
        "    return made, said\n"
    )
    pipeline = (
        "pipeline: laid\noperations: {work: {uses: 'ops.py:work', types: {made: directory}}}\n"
        "outputs:\n  made: {from: work.made, to: data}\n  said: {from: work.said, to: notes.txt}\n"
    )
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline, "notes.txt": "mine"})
    (project / "data").mkdir()
    (project / "data" / "raw.csv").write_text("precious")
    said = dfh("run", cwd=project, expect=3).stderr
    for name, place in (("made", "data"), ("said", "notes.txt")):
        reason = f"is there, and no {place}.prov says that an execution wrote it (move it away"
        assert f"outputs.{name}.to: '{place}' {reason}" in said
    assert (project / "data" / "raw.csv").read_text() == "precious"
    for name in ("data", "notes.txt"):
        (project / name).rename(project / f"{name}.mine")
    dfh("run", cwd=project)
    dfh("run", "--no-reuse", cwd=project)  # its own are replaced
    assert [path.name for path in (project / "data").iterdir()] == ["a"]
    assert (project / "notes.txt").read_text() == "hello"


def test_what_lies_in_the_folder_of_a_result_is_seen_before_hours_are_spent(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    code = "def work() -> str:\n    said = 'hello'\n    return said\n"
    pipeline = (
        "pipeline: laid\noperations: {work: {uses: 'ops.py:work'}}\n"
        "outputs: {said: {from: work.said, to: %s}}\n"
    )
    files = {"ops.py": code, "pipeline.yaml": "", "notes/said.txt": "mine", "notes/other": "mine"}
    project = make_project(files)
    for to in ("notes/", "notes"):
        (project / "pipeline.yaml").write_text(pipeline % to)
        told = dfh("check", cwd=project, expect=3).stderr
        assert "outputs.said.to: 'notes/said.txt' is there, and no said.txt.prov says" in told
    (project / "notes" / "said.txt").rename(project / "notes" / "mine.txt")
    assert dfh("check", cwd=project).returncode == 0


def test_nothing_is_laid_into_the_folder_that_another_result_is(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    """The next one of that other replaces it, with all that lies in it."""
    code = "def work() -> str:\n    said = 'hello'\n    return said\n"
    pipeline = (
        "pipeline: laid\noperations: {work: {uses: 'ops.py:work'}}\n"
        "outputs: {said: {from: work.said, to: results/deep/said.txt}}\n"
    )
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline, "results/a": ""})
    assert dfh("check", cwd=project).returncode == 0
    (project / "results.prov").touch()
    told = dfh("check", cwd=project, expect=3).stderr
    assert f"'results/deep/said.txt' lies in {project}/results, a result that the next one" in told


def test_a_destination_with_a_slash_is_a_folder_for_all_that_is_sent_there(
    dfh: Any, make_project: Callable[..., Path]
) -> None:
    code = "def work() -> tuple:\n    one, two = 1, 2\n    return one, two\n"
    pipeline = (
        "pipeline: laid\noperations: {work: {uses: 'ops.py:work'}}\n"
        "outputs:\n  one: {from: work.one, to: results/}\n  other: {from: work.two, to: %s}\n"
    )
    project = make_project({"ops.py": code, "pipeline.yaml": pipeline % "results/one"})
    assert "outputs.other.to: output 'one' goes to the same place" in dfh(
        "check", cwd=project, expect=3
    ).stderr  # fmt: skip
    (project / "pipeline.yaml").write_text(pipeline % "results/one.json")
    assert "output 'one' goes to the same place" in dfh("check", cwd=project, expect=3).stderr
    (project / "pipeline.yaml").write_text(pipeline % "results/")
    dfh("run", cwd=project)
    made = {path.name: path for path in (project / "results").iterdir()}
    assert sorted(made) == ["one.json", "one.json.prov", "other.json", "other.json.prov"]
    assert (made["one.json"].read_text().strip(), made["other.json"].read_text().strip()) == (
        "1",
        "2",
    )
