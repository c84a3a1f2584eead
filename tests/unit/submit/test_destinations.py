"""Who gets an `outputs.to` that several executions want at the same moment."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepforge_hpc.api import submission
from deepforge_hpc.api.pipelines import Request
from deepforge_hpc.errors import StorageError, UsageError
from deepforge_hpc.runtime.base.codec import encode
from deepforge_hpc.runtime.base.files import canonical_json
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.state.closure import ClosureData
from deepforge_hpc.runtime.state.journal import Intent
from deepforge_hpc.submit import chain, destinations, journal
from deepforge_hpc.submit.frozen import read_info, read_plan
from deepforge_hpc.submit.lease import SUBMITTING, lease

MANY = 6


def outputs(*names: str) -> dict[str, Any]:
    """Return outputs of the chain that go to those files."""
    return {f"r{n}": {"from": "c.value", "to": f"results/{n}.json"} for n in names}


def at_once(acts: list[Any]) -> list[str]:
    """Run each in a process of its own, at the same moment; return what each was refused with."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(acts))
    reader, writer = os.pipe()

    def run(number: int) -> None:
        barrier.wait()
        try:
            acts[number]()
            said = ""
        except UsageError as error:
            said = error.message
        os.write(writer, json.dumps([number, said]).encode() + b"\n")

    processes = [context.Process(target=run, args=(number,)) for number in range(len(acts))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = dict(json.loads(line) for line in stream)
    return [said[number] for number in range(len(acts))]


def submitting(lab: Any, *layouts: ExecutionLayout) -> list[Any]:
    return [lambda one=one: chain.submit(one, lab.scheduler) for one in layouts]


def only_winner(said: list[str]) -> int:
    """Return who got it; all others were refused because of them."""
    (winner,) = [number for number, words in enumerate(said) if not words]
    assert all("which is not over" in words for words in said if words), said
    return winner


def test_one_of_many_gets_it_and_when_that_is_over_one_of_the_others(lab: Any) -> None:
    lab.write(outputs=outputs("one", "two"))
    lab.flag("wait-a")
    layouts = [lab.create() for _ in range(MANY)]
    first = layouts.pop(only_winner(at_once(submitting(lab, *layouts))))
    for refused in layouts:
        status = lab.status(refused)
        assert {job.state for job in status.jobs} == {"planned"}
        assert status.next == f"dfh resume {refused.root.name}"
    lab.cancel(first)
    lab.wait(first)
    layouts.append(first)  # who had it last has no right to it
    acts = [lambda one=one: lab.resume(one) for one in layouts]
    second = layouts[only_winner(at_once(acts))]
    lab.flag("wait-a", is_set=False)
    lab.wait(second)
    assert sum(path.is_dir() for path in (lab.project / ".dfh/claims").iterdir()) == 2
    assert sorted(lab.ran()) in (["a", "a", "b", "c"], ["a", "b", "c"])


def test_nobody_is_refused_who_wants_another_one(lab: Any) -> None:
    lab.flag("wait-a")
    layouts = []
    for number in range(MANY):
        lab.write(outputs=outputs(str(number)))
        layouts.append(lab.create())
    assert at_once(submitting(lab, *layouts)) == [""] * MANY


def test_those_who_want_several_in_another_order_do_not_all_fail(lab: Any) -> None:
    lab.flag("wait-a")
    layouts = []
    for names in (("1", "2", "3"), ("3", "2", "1"), ("2", "3", "1")):
        lab.write(outputs=outputs(*names))
        layouts.append(lab.create())
    only_winner(at_once(submitting(lab, *layouts)))


def test_what_was_seen_of_a_claim_long_ago_gets_nobody_in(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a folder is listed from the cache of another node."""
    lab.write(outputs=outputs("one"))
    lab.flag("wait-a")
    late = lab.create()
    for _ in range(3):
        layout = lab.create()
        chain.submit(layout, lab.scheduler)
        lab.cancel(layout)
        lab.wait(layout)
    live = lab.create()
    chain.submit(live, lab.scheduler)
    listed = destinations._DestinationLock._numbers
    seen: list[list[int]] = [[]]
    monkeypatch.setattr(
        destinations._DestinationLock,
        "_numbers",
        lambda place: seen.pop() if seen else listed(place),
    )
    info = read_info(late)
    with pytest.raises(UsageError, match=live.root.name):
        destinations.lock(info, read_plan(late, info), 1)


def test_each_attempt_takes_it_anew_and_keeps_it(lab: Any) -> None:
    """Or else one who found the attempt before over would get it as well."""
    lab.write(outputs=outputs("one"))
    lab.flag("wait-a")
    layout = lab.create()
    info = read_info(layout)
    for attempt in (1, 2):
        (chain.resume if attempt > 1 else chain.submit)(layout, lab.scheduler)
        destinations.lock(info, read_plan(layout, info), attempt)
        (claim,) = (lab.project / ".dfh/claims").iterdir()
        assert claim.suffix == f".{attempt}"
        assert json.loads((claim / "claim.json").read_bytes())["attempt"] == attempt
        lab.cancel(layout)
        lab.wait(layout)


def test_who_is_about_to_take_it_has_not_got_it(lab: Any) -> None:
    """Or two that begin another attempt, each with a claim of old, would refuse one another."""
    lab.write(outputs=outputs("one"))
    before = lab.create()
    chain.submit(before, lab.scheduler)
    lab.wait(before)
    late = lab.create()
    jobs = read_plan(before, read_info(before)).jobs
    intent = Intent(2, tuple(job.name for job in jobs), {}, token=lab.token(before))
    journal.append(before, intent)
    info = read_info(late)
    destinations.lock(info, read_plan(late, info), 1)


def test_one_place_is_one_by_whatever_path(lab: Any) -> None:
    (lab.project / "results").mkdir()
    (lab.project / "link").symlink_to("results")
    lab.flag("wait-a")
    lab.write(outputs=outputs("one"))
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    lab.write(outputs={"r": {"from": "c.value", "to": "link/one.json"}})
    with pytest.raises(UsageError, match=layout.root.name):
        lab.create()
    # In the folder of the holder lies another execution: that one has it not.
    (claim,) = (lab.project / ".dfh/claims").glob("*/claim.json")
    claim.write_text(claim.read_text().replace('"uuid":"', '"uuid":"0'))
    lab.create()


@pytest.mark.parametrize(
    ("other", "is_refused"),
    [
        ({"word": {"from": "c.value", "to": "results/"}}, True),
        ({"word": {"from": "c.value", "to": "results"}}, True),
        ({"value": {"from": "c.value", "to": "results/word.json/"}}, True),
        ({"words": {"from": "c.value", "to": "results/"}}, False),
    ],
)
def test_one_place_is_one_however_it_is_named(lab: Any, other: Any, is_refused: bool) -> None:
    lab.flag("wait-a")
    both = [{"word": {"from": "c.value", "to": "results/word.json"}}, other]
    for first, second in (both, both[::-1]):
        lab.write(outputs=first)
        layout = lab.create()
        lab.write(outputs=second)
        late = lab.create()  # when nobody has it
        chain.submit(layout, lab.scheduler)
        if is_refused:
            told = rf"by {layout.root.name}( \(as .*results.*\))?, which is not over"
            with pytest.raises(UsageError, match=told):
                lab.create()
            with pytest.raises(UsageError, match=told):
                chain.submit(late, lab.scheduler)
        else:
            chain.submit(late, lab.scheduler)
            lab.cancel(late)
        lab.cancel(layout)
        lab.wait(layout)


def test_a_result_of_another_project_is_not_written_over(lab: Any, tmp_path: Path) -> None:
    lab.write(outputs=outputs("one"))
    first = lab.create()
    results = lab.project / "results"
    results.mkdir()
    (results / "one.json").write_text("1")
    other = tmp_path / "other" / ".dfh"
    other.mkdir(parents=True)
    closure = ClosureData("sha256:1", "sha256:2", {}, str(other))
    (results / "one.json.prov").write_bytes(canonical_json(encode(closure)))
    told = f"outputs.rone.to .*results/one.json holds a result of another project: {other.parent}"
    with pytest.raises(UsageError, match=told) as refused:
        lab.create()
    assert "one.json.prov" in refused.value.hint
    with pytest.raises(UsageError, match="of another project"):
        chain.submit(first, lab.scheduler)
    (results / "one.json.prov").write_bytes(
        canonical_json(encode(closure._replace(ledger=str(lab.project / ".dfh"))))
    )
    lab.create()


def test_claim_of_an_earlier_version_holds_while_its_execution_is_live(lab: Any) -> None:
    lab.write(outputs=outputs("one"))
    lab.flag("wait-a")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    (claim,) = (lab.project / ".dfh/claims").iterdir()
    old = claim.with_name(f"{claim.name.partition('.')[0]}.json")
    (claim / "claim.json").rename(old)
    claim.rmdir()
    with pytest.raises(UsageError, match=r"lab-0001, which is not over") as caught:
        lab.create()
    assert caught.value.hint == "Wait for it, or end it: dfh cancel lab-0001"
    lab.cancel(layout)
    lab.wait(layout)
    chain.submit(lab.create(), lab.scheduler)
    assert not old.exists()


def test_dry_run_is_refused_where_submit_would_be(lab: Any) -> None:
    lab.write(outputs=outputs("one"))
    lab.flag("wait-a")
    layout = lab.create()
    chain.submit(layout, lab.scheduler)
    request = Request(pipeline=lab.project / "pipeline.yaml", site=lab.site)
    refused = []
    for act in (submission.dry_run, submission.submit):
        with pytest.raises(UsageError, match=r"lab-0001, which is not over") as caught:
            act(request)
        refused.append((caught.value.message, caught.value.hint))
    assert refused[0] == refused[1]
    assert not (lab.project / "executions/lab-0002").exists()
    lab.cancel(layout)
    lab.wait(layout)
    assert submission.dry_run(request).execution == "lab-0002"


def test_who_has_it_and_is_being_submitted_is_waited_for(lab: Any) -> None:
    """No job of it has an id yet: to remove it by force would be the worst to say."""
    lab.write(outputs=outputs("one"))
    first, late = lab.create(), lab.create()
    info, other = read_info(first), read_info(late)
    plan = read_plan(first, info)
    names = tuple(job.name for job in plan.jobs)
    journal.append(first, Intent(1, names, {}, token=lab.token(first)))
    with lease(first.root / SUBMITTING, "being submitted"):
        destinations.lock(info, plan, 1)
        with pytest.raises(UsageError, match="is being written by") as refused:
            destinations.lock(other, read_plan(late, other), 1)
    wait = f"Wait for it, or end it: dfh cancel {first.root.name}"
    assert refused.value.hint == wait
    with pytest.raises(UsageError) as refused:  # its submitter has died
        destinations.lock(other, read_plan(late, other), 1)
    assert "rm --force" in refused.value.hint


def test_a_claim_that_others_may_not_read_stops_its_own_place_alone(
    lab: Any, fixture_module: Callable[[str], Any]
) -> None:
    lab.write(outputs=outputs("one"))
    chain.submit(first := lab.create(), lab.scheduler)
    lab.wait(first)
    (claim,) = (lab.project / ".dfh/claims").iterdir()
    elsewhere, same = {"outputs": outputs("two")}, {"outputs": outputs("one")}
    with fixture_module("closed").closed(claim / "claim.json"):
        lab.write(**elsewhere)
        other = lab.create()
        destinations.lock(read_info(other), read_plan(other, read_info(other)), 1)
        lab.write(**same)
        with pytest.raises(StorageError) as caught:
            lab.create()
    told = (
        f"{claim}/claim.json: Permission denied, so it cannot be told who writes to outputs.rone.to"
    )
    assert caught.value.message.startswith(told)
    assert caught.value.hint.startswith("Change its permissions, then: ")
