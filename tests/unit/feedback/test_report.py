from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepforge_hpc import runtime
from deepforge_hpc.cli.views.status import headline
from deepforge_hpc.runtime.base.advice import edit_hint
from deepforge_hpc.runtime.base.states import State
from deepforge_hpc.runtime.report.details import Budget, read_details
from deepforge_hpc.runtime.report.looks import operations
from deepforge_hpc.runtime.report.refresh import read_status, refresh, render_report
from deepforge_hpc.runtime.state.assemble import build
from deepforge_hpc.runtime.state.ends import write_ends
from deepforge_hpc.runtime.state.read import read_files

_VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are balanced, and gathers text, tags and attributes."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(data.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def made(tmp_path: Path, executions: ModuleType) -> Callable[[str], Any]:
    return lambda how: executions.redshift(tmp_path / "redshift-0007", how)


def page(made: Any) -> Page:
    return Page(render_report(made.root))


def states(made: Any) -> dict[str, str]:
    return {job.name: job.state for job in read_status(made.root).work}


def counts(made: Any, job: int) -> dict[str, int]:
    """Return how many tasks of a job are in each state."""
    return dict(Counter(unit.state.value for unit in read_status(made.root).work[job].units))


# What it says


def test_a_success_is_told_with_results_outputs_and_figures(made: Callable[[str], Any]) -> None:
    found = page(made("succeeded"))
    assert "All 6 operations succeeded in 9 min. 1 of them was taken from an earlier" in found.text
    assert "sigma_mad 0.01874" in found.text
    assert "Predicted and true redshift" in found.text
    assert "model keras 1.1 MiB" in found.text
    assert "dfh submit redshift.yaml --site local" in found.text
    assert len(found.attributes("img")) == 5
    assert "dfh resume" not in found.text


def test_a_failure_is_told_with_reason_traceback_and_next_commands(
    made: Callable[[str], Any],
) -> None:
    execution = made("failed")
    found = page(execution)
    assert "train failed. 4 operations did not run because of it." in found.text
    assert "ValueError: Shapes (32, 32) and (32, 16) are incompatible" in found.text
    assert "dfh logs redshift-0007 train" in found.text
    assert "dfh submit redshift.yaml --site local picks up your edits" in found.text
    project = json.loads((execution.root / "execution.json").read_bytes())["project"]
    assert f"Type these in {project} ." in found.text  # ids mean nothing elsewhere
    # It would run the same frozen code, and fail again.
    assert "dfh resume" not in found.text
    assert "Traceback of rank 1" in found.text
    own = b"<b>  File &quot;operations/train.py&quot;, line 48, in execute</b>"
    assert own in render_report(execution.root)
    assert found.text.index("train failed") < found.text.index("Pipeline")
    assert render_report(execution.root).count(b"<details open>") == 1  # the traceback, not the log


def test_a_hint_is_told_unless_it_is_the_next_commands(made: Callable[[str], Any]) -> None:
    execution = made("rendering")
    hint = "Free some space, then: dfh resume."
    execution.state("render", "failed", 5, began=9, ended=1, reason="Full.", hint=hint)
    execution.state(
        "render",
        "failed",
        6,
        began=9,
        ended=1,
        reason="Bad.",
        hint=edit_hint("dfh submit redshift.yaml --site local"),
    )
    text = page(execution).text
    assert hint in text
    assert "Edit it" not in text


def test_what_may_do_better_again_is_resumed(made: Callable[[str], Any]) -> None:
    execution = made("rendering")
    execution.state("render", "failed", 5, began=9, ended=1, reason="Full.", again=True)
    text = page(execution).text
    assert text.index("dfh resume redshift-0007") < text.index("dfh submit redshift.yaml")
    execution.state("render", "failed", 6, began=9, ended=1, reason="Bad.", again=False)
    assert "dfh resume" not in page(execution).text


def test_one_reason_of_many_tasks_is_told_once(made: Callable[[str], Any]) -> None:
    execution = made("rendering")
    for task in (5, 6, 7):
        execution.state("render", "failed", task, began=9, ended=1, reason="The disk is full.")
    found = page(execution)
    assert "render tasks 5, 6, 7 failed" in found.text
    assert found.text.count("The disk is full.") == 2 + 3  # above, with the operation, in its table
    assert states(execution)["render"] == "failed"
    assert "failed 3/8" in found.text  # as `dfh status`: those that failed, not those that are done
    assert "failed 5/8" not in found.text
    assert states(execution)["train"] == "never_ran"


def test_an_array_is_told_by_its_tasks(made: Callable[[str], Any]) -> None:
    execution = made("rendering")
    assert "5 of 8 tasks done: 5 succeeded, 2 running, 1 pending" in page(execution).text
    assert "Charts, figures and logs of 5 more tasks in the folder" in page(execution).text
    assert "running 5/8" in page(execution).text
    assert counts(execution, 0) == {"pending": 1, "running": 2, "succeeded": 5}


def test_pause_between_two_attempts_is_no_time_of_an_array(made: Callable[[str], Any]) -> None:
    execution = made("rendering")
    again = [{"event": "intent", "attempt": 2, "jobs": ["render"], "tasks": {"render": [5, 6, 7]}}]
    execution.submitted(*again, {"event": "job", "attempt": 2, "job": "render", "native_id": "L9"})
    for task, ended in ((5, 15), (6, 10), (7, 8)):
        state = {"reason": "Full.", "attempt": 2}
        execution.state("render", "failed", task, began=20, ended=ended, **state)
    job = read_status(execution.root).jobs[0]
    # Tasks 0 to 4 ran from 620 to 586 seconds ago, in attempt 1.
    assert job.elapsed_s == 34 + 12
    text = page(execution).text
    assert "Elapsed 46 s" in text
    assert "render 46 s failed" in text


def test_page_and_status_count_the_same_operations(made: Callable[[str], Any]) -> None:
    execution = made("failed")  # render and its gather job are one
    assert "1/6 operations done" in headline(read_status(execution.root))
    assert "Operations 1 of 6 done" in page(execution).text


def test_metrics_are_charts_with_their_twin_and_last_values(made: Callable[[str], Any]) -> None:
    found = page(made("running"))
    labels = [item.get("aria-label") or "" for item in found.attributes("svg")]
    assert any("loss, last value" in label and "val_loss" in label for label in labels)
    assert "Latest numbers train , step 22" in found.text


def test_a_timeline_tells_when_each_operation_waited_and_ran(made: Callable[[str], Any]) -> None:
    execution = made("succeeded")
    data = render_report(execution.root)
    (timeline,) = re.findall(rb'<section class="times">.*?</section>', data)
    *rows, scale = re.findall(rb"<li .*?</li>", timeline)
    assert len(rows) == 5  # the operation that was reused took no time here
    assert b"waited 1 min 20 s, ran 37 s" in rows[0]
    assert b"ran 7 min 40 s" in rows[1]
    assert b"waited" not in rows[1]  # two seconds
    bars = [
        tuple(
            float(value) for value in re.findall(rb'class="fill" x="(.*?)".*?width="(.*?)"', row)[0]
        )
        for row in rows
    ]
    for (begin, length), (following, _) in itertools.pairwise(bars[:4]):
        assert begin + length <= following + 5
    assert all(begin >= 0 and begin + length <= 1000 for begin, length in bars)
    # With its day where it ends on another one than it began: the suite runs at midnight too.
    day, begin, later, end = re.findall(
        r"Timeline <span>(\S+) (\S+) to (?:(\d\S+-\S+) )?(\S+) UTC<", timeline.decode()
    )[0]
    assert (day, begin) < (later or day, end)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", begin)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", end)
    assert re.findall(r">([^<]+)<", scale.decode()) == ["0 s", "3 min", "6 min", "9 min"]


def test_seconds_of_a_long_execution_are_left_out(made: Callable[[str], Any]) -> None:
    execution = made("succeeded")
    execution.success("train", {}, began=90_000, ended=120)
    (period,) = re.findall(r"Timeline <span>(.*?)</span>", render_report(execution.root).decode())
    assert re.fullmatch(r"(\S+) \d\d:\d\d to (?!\1)\S+ \d\d:\d\d UTC", period)


def test_what_an_earlier_attempt_waited_is_not_told(made: Callable[[str], Any]) -> None:
    execution = made("running")
    execution.attempt = 2
    execution.state("train", "running", began=30)
    assert " train ran " in page(execution).text  # not: since render ended, in attempt 1


def test_the_timeline_begins_at_the_first_attempt(made: Callable[[str], Any]) -> None:
    execution = made("running")
    execution.attempt = 2
    execution.state("train", "running", began=30)
    file = execution.root / "jobs/train/state.json"
    said = json.loads(file.read_text())
    first = datetime.fromisoformat(said["started"]) - timedelta(hours=3)
    file.write_text(json.dumps({**said, "first": first.isoformat()}))
    text = render_report(execution.root).decode()
    assert "first 3 h earlier, then ran" in text
    (period,) = re.findall(r"Timeline <span>(.*?)</span>", text)
    assert f"{first:%H:%M}" in period


def test_operations_that_have_not_run_take_a_line_each(made: Callable[[str], Any]) -> None:
    failed = render_report(made("failed").root)
    assert failed.count(b'<section class="card quiet"') == 4
    assert b"<h3>predict</h3><p>It never started, because train failed.</p>" in failed
    execution = made("running")
    execution.state("train", "cancelled", began=9, ended=1, reason="Cancelled by dfh cancel.")
    text = page(execution).text
    assert text.index("val_loss 1.024") < text.index(
        "Cancelled by dfh cancel."
    )  # it keeps its results


def test_the_page_reloads_itself_until_the_end(made: Callable[[str], Any]) -> None:
    def reloads(how: str) -> bool:
        execution = made(how)
        if how == "failed":
            assert "refresh" in str(page(execution).attributes("meta"))
            write_ends(build(read_files(execution.root), {}, now=0))  # as the final job does
        found = any(meta.get("http-equiv") == "refresh" for meta in page(execution).attributes("meta"))  # fmt: skip
        shutil.rmtree(execution.root)
        return found

    assert [reloads(how) for how in ("waiting", "running", "failed", "succeeded")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_final_job_does_not_count(made: Callable[[str], Any]) -> None:
    execution = made("succeeded")
    execution.state("_final", "running", began=1)
    assert read_status(execution.root).state == "succeeded"
    assert read_status(execution.root).is_over
    assert "_final" not in page(execution).text


# States


def test_only_a_marker_makes_a_success(made: Callable[[str], Any]) -> None:
    execution = made("waiting")
    execution.state("render.gather", "succeeded", began=2, ended=1)
    execution.state("train", "no such state")
    assert states(execution)["render.gather"] == "unknown"
    assert states(execution)["train"] == "unknown"


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(0, "planned"), (1, "planned"), (3, "held"), (99, "pending")],
)
def test_the_journal_says_how_far_a_submission_came(
    made: Callable[[str], Any], keep: int, expected: str
) -> None:
    execution = made("waiting")
    lines = (execution.root / "submitted.jsonl").read_text().splitlines(keepends=True)
    execution.write("submitted.jsonl", "".join(lines[:keep]))
    assert states(execution)["render.gather"] == expected
    assert states(execution)["render"] == expected


def test_a_new_attempt_makes_a_failure_wait_again(made: Callable[[str], Any]) -> None:
    execution = made("failed")
    execution.submitted(
        {"event": "intent", "attempt": 2, "jobs": ["train", "predict"], "tasks": {}},
        {"event": "job", "attempt": 2, "job": "train", "native_id": "L20"},
        {"event": "released", "attempt": 2},
    )
    found = states(execution)
    assert (found["render"], found["train"]) == ("succeeded", "pending")
    assert found["predict"] == "planned"


def test_a_resumed_task_of_an_array_waits_and_the_others_keep_their_state(
    made: Callable[[str], Any],
) -> None:
    execution = made("rendering")
    for task in (5, 6, 7):
        execution.state("render", "failed", task, began=9, ended=1)
    execution.submitted(
        {"event": "intent", "attempt": 2, "jobs": ["render"], "tasks": {"render": [5, 6]}},
        {"event": "job", "attempt": 2, "job": "render", "native_id": "L20"},
        {"event": "released", "attempt": 2},
    )
    assert counts(execution, 0) == {"failed": 1, "pending": 2, "succeeded": 5}


def test_what_waits_when_an_execution_is_cancelled_is_not_called_ended(
    made: Callable[[str], Any],
) -> None:
    execution = made("waiting")
    execution.submitted({"event": "cancel", "attempt": 1})
    assert set(states(execution).values()) == {"unknown"}


def test_metrics_of_an_earlier_attempt_are_not_shown(made: Callable[[str], Any]) -> None:
    execution = made("running")
    execution.attempt = 2
    execution.state("train", "running", began=-1000)
    train = read_status(execution.root).work[2]
    assert not read_details(execution.root, train, Budget(pictures=0, logs=0)).metrics


def test_every_state_has_a_word_an_icon_and_a_colour_of_the_style_sheet() -> None:
    from deepforge_hpc.runtime.report.looks import LOOKS
    from deepforge_hpc.runtime.report.page import _ICONS

    css = (Path(runtime.__file__).parent / "report/report.css").read_text()
    assert set(LOOKS) == set(State)
    assert {look.icon for look in LOOKS.values()} <= set(_ICONS)
    assert all(f".{look.css} {{ color:" in css for look in LOOKS.values())


# Hostile and damaged content


def test_everything_is_escaped_and_controls_are_gone(made: Callable[[str], Any]) -> None:
    execution = made("running")
    attack = "\"'><script>alert(1)</script>\x1b[31m\x1b]0;title\x07\x00\u202e&"
    execution.log("train", attack * 2)
    execution.metrics("train", [{"step": 1, attack: 1}, {"step": 2, attack: 2}])
    execution.state("train", "running", began=1, host=attack, reason=attack, native_id=attack)
    info = json.loads((execution.root / "execution.json").read_text())
    texts = {name: attack for name, value in info.items() if name != "schema" and value != []}
    execution.write("execution.json", {**info, **texts})
    plan = json.loads((execution.root / "plan.json").read_text())
    for job in plan["jobs"]:
        job["operation"] = attack + job["operation"]
        job["attributes"] = [[attack, {attack: attack}]]
    execution.write("plan.json", plan)
    data = render_report(execution.root)
    found = Page(data)
    assert "script" not in {tag for tag, _ in found.tags}
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)
    text = html.unescape(data.decode())
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    assert "alert(1)</script>" in text


def test_the_policy_allows_the_style_sheet_and_nothing_else(made: Callable[[str], Any]) -> None:
    data = render_report(made("succeeded").root)
    found = Page(data)
    (policy,) = (
        str(meta["content"])
        for meta in found.attributes("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    (style,) = re.findall(rb"<style>(.*?)</style>", data, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not any("style" in attrs for _, attrs in found.tags)
    for tag, attrs in found.tags:
        for name in ("src", "href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#", "jobs/")), (tag, value)


@pytest.mark.parametrize("kind", ["link", "folder link", "job link", "pipe", "folder"])
def test_only_plain_files_of_the_execution_are_read(
    made: Callable[[str], Any], tmp_path: Path, kind: str
) -> None:
    execution = made("running")
    outside = tmp_path / "outside"
    (outside / "figures").mkdir(parents=True)
    (outside / "out.1.log").write_text("TOP SECRET")
    (outside / "metrics.jsonl").write_text('{"t": 1, "step": 1, "TOP SECRET": 1}')
    (outside / "figures" / "index.json").write_text(
        '{"schema": "dfh/figures/1", "figures": [{"title": "TOP SECRET"}]}'
    )
    train = execution.root / "jobs" / "train"
    if kind == "job link":
        shutil.rmtree(train)
        train.symlink_to(outside)
    elif kind == "folder link":
        shutil.rmtree(train / "figures")
        (train / "figures").symlink_to(outside / "figures")
    else:
        for name in ("out.1.log", "metrics.jsonl"):
            (train / name).unlink()
            if kind == "link":
                (train / name).symlink_to(outside / name)
            elif kind == "pipe":
                os.mkfifo(train / name)
            else:
                (train / name).mkdir()
    assert b"TOP SECRET" not in render_report(execution.root)


def test_figures_named_outside_of_their_folder_are_not_read(made: Callable[[str], Any]) -> None:
    execution = made("running")
    (execution.root / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nTOP SECRET")
    names = ["../../../secret.png", "/etc/passwd", "..", "", "a/b.png", "-x.png\x00"]
    entries = [{"id": "x", "title": "t", "png": name, "svg": name, "data": name} for name in names]
    execution.write(
        "jobs/train/figures/index.json", {"schema": "dfh/figures/1", "figures": entries}
    )
    assert not page(execution).attributes("img")


def test_an_image_that_is_none_is_not_embedded(made: Callable[[str], Any]) -> None:
    execution = made("running")
    for name in ("1.png", "1.svg"):
        execution.write(f"jobs/train/figures/{name}", "<html><script>alert(1)</script>")
    found = page(execution)
    assert len(found.attributes("img")) == 1
    assert "not shown on this page" in found.text


def test_credentials_in_a_log_are_cut_out(made: Callable[[str], Any]) -> None:
    execution = made("running")
    token = "ghp_" + "a1B2" * 9
    execution.log("train", f"cloning https://ada:hunter2@example.org\nusing {token}\n")
    execution.state("train", "running", began=1, reason=f"uses {token}")
    data = render_report(execution.root)
    assert token.encode() not in data
    assert b"hunter2" not in data
    assert b"cloning https://" in data


def test_a_huge_log_is_read_at_its_end_only(made: Callable[[str], Any]) -> None:
    execution = made("running")
    log = execution.root / "jobs" / "train" / "out.1.log"
    with log.open("r+b") as stream:
        stream.seek(20 << 30)  # sparse
        stream.write(b"\nthe very end\n")
    begin = time.process_time()
    data = render_report(execution.root)
    assert time.process_time() - begin < 2
    assert b"the very end" in data
    assert b"20.0 GiB" in data


def test_an_empty_and_a_foreign_folder_still_give_a_page(tmp_path: Path) -> None:
    found = Page(render_report(tmp_path))
    assert "execution.json is missing or damaged." in found.text
    assert read_status(tmp_path).jobs == ()
    with pytest.raises(FileNotFoundError):
        render_report(tmp_path / "not there")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["running", "failed", "array", "gather", "train", "2026-01-01T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FILES = (
    "execution.json",
    "plan.json",
    "submitted.jsonl",
    "jobs/train/state.json",
    "jobs/train/success.json",
    "jobs/train/metrics.jsonl",
    "jobs/train/figures/index.json",
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_value_anywhere_in_a_file_still_gives_a_whole_page(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, executions: ModuleType
) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz"
    if not root.exists():
        made = executions.redshift(root, "succeeded")
        made.state("predict", "failed", began=4, ended=3, error={"traceback": ["a", "b"]})
        (root / "jobs/predict/success.json").unlink()
        shutil.copytree(root, root.with_name("whole"))
    name = data.draw(st.sampled_from(FILES))
    original = (root.with_name("whole") / name).read_text()
    rows = [json.loads(line) for line in original.splitlines()]
    target: Any = rows
    place: Any = data.draw(st.integers(0, len(rows) - 1))
    while isinstance(target[place], (dict, list)) and target[place] and data.draw(st.booleans()):
        target = target[place]
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        place = data.draw(st.sampled_from(keys))
    target[place] = data.draw(JSON)
    (root / name).write_text("\n".join(json.dumps(row) for row in rows))
    try:
        Page(render_report(root))
        json.dumps(read_status(root).to_dict())
    finally:
        (root / name).write_text(original)


# Size and time


def test_a_thousand_operations_are_quick_and_small(tmp_path: Path, executions: ModuleType) -> None:
    made = executions.many(tmp_path / "survey-0007")
    render_report(made.root)
    begin = time.process_time()
    data = render_report(made.root)
    assert time.process_time() - begin < 1.0
    assert len(data) < 1.5 * (1 << 20)
    found = Page(data)
    assert "693 succeeded 8 failed 20 running 279 pending" in found.text
    assert "fit_0013 , fit_0110 , fit_0207 and 5 more failed" in found.text
    assert found.text.count("Killed") > 10
    assert data.count(b"<details open>") == 1  # one reason, one open log
    assert data.count(b"<details>") == 7
    laptop, phone = re.findall(rb'<svg class="(?:wide fit|narrow)".*?</svg>', data)
    for drawing in (laptop, phone):
        lines = dict(re.findall(rb'<path class="(\w+)" d="([^"]+)"', drawing))
        squares = {css: sum((int(length) + 2) // 10 for length in re.findall(rb"h(\d+)", path))
                   for css, path in lines.items()}  # fmt: skip
        assert squares == {b"ok": 693, b"fail": 8, b"run": 20, b"wait": 279}


def test_figures_that_do_not_fit_are_links(made: Callable[[str], Any]) -> None:
    execution = made("running")
    entries = []
    for index in range(60):
        execution.root.joinpath(f"jobs/train/figures/f{index}.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + os.urandom(60_000)
        )
        stamp = f"2026-01-01T00:00:{index:02d}+00:00"
        entries.append({"id": str(index), "title": f"<{index}>", "updated": stamp,
                        "png": f"f{index}.png", "svg": None, "data": None})  # fmt: skip
    execution.write(
        "jobs/train/figures/index.json", {"schema": "dfh/figures/1", "figures": entries}
    )
    data = render_report(execution.root)
    assert len(data) < 1.1 * (1 << 20)
    found = Page(data)
    alts = [image["alt"] for image in found.attributes("img")]
    assert "Figure: <59>" in alts  # the newest
    assert "Figure: <40>" not in alts
    assert "jobs/train/figures/f40.png" in [link.get("href") for link in found.attributes("a")]
    assert "20 more figures in the folder" in found.text


# Refreshing


def test_a_refresh_waits_for_its_time_and_is_taken_by_one(made: Callable[[str], Any]) -> None:
    execution = made("running")
    report = execution.root / "report.html"
    assert refresh(execution.root)
    assert not refresh(execution.root)
    assert refresh(execution.root, force=True)
    os.utime(report, (time.time() - 16,) * 2)
    before = report.read_bytes()
    execution.log("train", "something new\n")
    assert refresh(execution.root)
    assert report.read_bytes() != before
    assert not refresh(execution.root)


def test_a_large_execution_is_refreshed_less_often(tmp_path: Path, executions: ModuleType) -> None:
    made = executions.many(tmp_path / "survey-0007", 300)
    assert refresh(made.root)
    os.utime(made.root / "report.html", (time.time() - 20,) * 2)
    assert not refresh(made.root)  # about 210 folders of jobs: 21 s
    os.utime(made.root / "report.html", (time.time() - 31,) * 2)
    assert refresh(made.root)


def test_a_clock_that_is_ahead_elsewhere_does_not_stop_the_report(
    made: Callable[[str], Any],
) -> None:
    execution = made("running")
    assert refresh(execution.root)
    os.utime(execution.root / "report.html", (time.time() + 3600,) * 2)
    assert refresh(execution.root)


def test_a_report_that_cannot_be_written_is_not_an_error(made: Callable[[str], Any]) -> None:
    execution = made("running")
    (execution.root / "report.html").mkdir()
    (execution.root / "report.html" / "x").touch()
    assert not refresh(execution.root, force=True)
    assert not list(execution.root.glob(".report*"))


def test_the_runtime_that_travels_renders_with_the_standard_library_alone(
    made: Callable[[str], Any], tmp_path: Path
) -> None:
    execution = made("failed")
    shutil.copytree(Path(runtime.__file__).parent, tmp_path / "code" / "dfh_runtime")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from dfh_runtime.report.refresh import refresh\n"
        "assert 'dfh_runtime.report.page' not in sys.modules\n"
        "assert refresh(Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", script]
    subprocess.run([*command, str(tmp_path / "code"), str(execution.root)], check=True)
    assert "train failed." in Page((execution.root / "report.html").read_bytes()).text


def test_time_of_an_unknown_operation_that_is_over_stands_still(made: Callable[[str], Any]) -> None:
    execution = made("running")
    execution.state("train", "succeeded", began=90, ended=30)  # and there is no marker
    current = read_status(execution.root)
    train = next(item for item in operations(current.work) if item.name == "train")
    assert train.state == "unknown"
    assert train.elapsed(current.now) == 60
