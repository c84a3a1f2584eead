"""Whether two destinations of results can be one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepforge_hpc.pipeline.places import ending_of, overlap, places


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("/p/word.txt", "/p/word.txt", True),
        ("/p/word.txt", "/p/word.json", False),
        ("/p/word.*", "/p/word.txt", True),
        ("/p/word.*", "/p/word", True),
        ("/p/word.*", "/p/word.*", True),
        ("/p/word.*", "/p/words.txt", False),
        ("/p/word.*", "/p/word/x.txt", True),
        ("/p/word", "/p/word/x.*", True),
        ("/p", "/p/word.txt", True),
        ("/p/v1.0", "/p/v1.1", False),
        ("/pp/word.*", "/p/word.*", False),
    ],
)
def test_places_overlap_where_one_may_replace_the_other(one: str, other: str, is_one: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is is_one


def test_a_folder_or_a_name_that_may_be_one(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert places(f"{root}/r/", "word", ".txt") == (f"{root}/r/word.txt",)
    assert places(f"{root}/r.txt", "word", ".txt") == (f"{root}/r.txt",)
    assert places(f"{root}/r", "word", ".*") == (f"{root}/r", f"{root}/r/word.*")
    (tmp_path / "r").mkdir()
    assert places(f"{root}/r", "word", ".txt") == (f"{root}/r/word.txt",)
    assert places(f"{root}/r", "word", ".*") == (f"{root}/r/word.*", f"{root}/r")
    (tmp_path / "r" / "other").touch()  # then a folder goes into it, too
    assert places(f"{root}/r", "word", ".*") == (f"{root}/r/word.*",)
    (tmp_path / "link").symlink_to("r")
    assert places(f"{root}/link", "word", ".*") == (f"{root}/r/word.*",)
    (tmp_path / "gone.txt").symlink_to("nowhere")
    assert places(f"{root}/link/../gone.txt", "word", ".txt") == (f"{root}/gone.txt",)
    (tmp_path / "link.prov").touch()  # a result was there, and a link to a folder is now
    assert places(f"{root}/link", "word", ".*") == (f"{root}/link", f"{root}/r/word.*")
    (tmp_path / "r.prov").touch()  # it is an earlier result itself
    assert places(f"{root}/r", "word", ".*") == (f"{root}/r", f"{root}/r/word.*")


def test_the_format_tells_the_ending_of_one_value() -> None:
    assert [ending_of(kind, is_one=True) for kind in ("json", "text", "any", "directory")] == [
        ".json", ".txt", ".*", ".*",
    ]  # fmt: skip
    assert ending_of("npy", is_one=False) == ".*"
