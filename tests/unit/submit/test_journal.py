from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepforge_hpc.errors import LedgerError, StorageError
from deepforge_hpc.runtime.base.jsonl import append_line
from deepforge_hpc.runtime.base.layout import ExecutionLayout
from deepforge_hpc.runtime.state.journal import Cancelled, Intent, Queued, Released
from deepforge_hpc.submit import journal


@pytest.fixture
def layout(tmp_path: Path) -> ExecutionLayout:
    return ExecutionLayout(tmp_path)


def intend(layout: ExecutionLayout, number: int = 1, **tasks: tuple[int, ...]) -> None:
    intent = Intent(number, ("a", "b"), tasks, at="now")
    journal.append(layout, intent, durable=True)


def test_no_journal_is_an_empty_one(layout: ExecutionLayout) -> None:
    assert journal.read(layout).last is None


def test_attempts_tell_how_far_they_came(layout: ExecutionLayout) -> None:
    intend(layout, a=(3, 5))
    journal.append(layout, Queued(1, "a", "12"))
    last = journal.read(layout).last
    assert last is not None
    assert (last.ids, last.tasks, last.is_held) == ({"a": "12"}, {"a": (3, 5)}, True)
    journal.append(layout, Queued(1, "b", "13"))
    journal.append(layout, Released(1), durable=True)
    assert not journal.read(layout).last.is_held
    intend(layout, 2)
    assert [attempt.number for attempt in journal.read(layout).attempts] == [1, 2]
    assert journal.read(layout).last.is_held
    journal.append(layout, Cancelled(2, refused="limit"))
    last = journal.read(layout).last
    assert (last.is_held, last.is_cancelled, last.refused) == (False, True, "limit")


def test_torn_last_line_is_none_and_the_next_writer_drops_it(layout: ExecutionLayout) -> None:
    intend(layout)
    whole = layout.submitted.read_bytes()
    layout.submitted.write_bytes(whole + b'{"event":"job","attempt":1,"jo')
    assert journal.read(layout).last.ids == {}
    journal.append(layout, Queued(1, "a", "7"))
    assert journal.read(layout).last.ids == {"a": "7"}
    assert layout.submitted.read_bytes().count(b"\n") == 2


def test_every_prefix_of_a_journal_can_be_read(layout: ExecutionLayout) -> None:
    intend(layout)
    journal.append(layout, Queued(1, "a", "7"))
    journal.append(layout, Released(1))
    whole = layout.submitted.read_bytes()
    for end in range(len(whole)):
        layout.submitted.write_bytes(whole[:end])
        last = journal.read(layout).last
        assert (last is None) == (whole[:end].count(b"\n") == 0)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"event":"job","attempt":1}',
        b'{"event":1}',
        b'{"event":"job","attempt":1,"job":"a","native_id":7}',
    ],
)
def test_damage_within_is_named_with_its_line(layout: ExecutionLayout, line: bytes) -> None:
    intend(layout)
    layout.submitted.write_bytes(layout.submitted.read_bytes() + line + b"\n")
    with pytest.raises(LedgerError, match=r"submitted\.jsonl:2: a damaged line") as caught:
        journal.read(layout)
    assert "dfh cancel" in caught.value.hint


def test_event_of_a_later_version_is_a_fault_but_not_its_field(layout: ExecutionLayout) -> None:
    intend(layout)
    append_line(layout.submitted, {"event": "released", "attempt": 1, "wave": 9})
    assert journal.read(layout).last.is_released
    # It may have submitted something.
    append_line(layout.submitted, {"event": "wave", "attempt": 1, "size": 9})
    with pytest.raises(LedgerError, match=r"submitted\.jsonl:3: .*knows no event 'wave'"):
        journal.read(layout)


def test_journal_behind_a_planted_link_is_not_written(layout: ExecutionLayout) -> None:
    victim = layout.root / "victim"
    victim.write_text("mine\n")
    layout.submitted.symlink_to(victim)
    with pytest.raises(StorageError):
        intend(layout)
    assert victim.read_text() == "mine\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk_leaves_no_part_of_a_line(small_disk: Path) -> None:
    layout = ExecutionLayout(small_disk)
    intend(layout)
    whole = layout.submitted.read_bytes()
    with pytest.raises(StorageError, match="No space left") as caught:
        journal.append(layout, Queued(1, "a" * 200_000, "1"))
    assert "space" in caught.value.hint
    assert layout.submitted.read_bytes() == whole
