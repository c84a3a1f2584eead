"""Which site a machine is: by variables, names and files that are given, not read here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepforge_hpc.site.identify import KnownSite, Seen, candidates, look
from deepforge_hpc.site.place import Identify

if TYPE_CHECKING:
    from pathlib import Path


def names(machine: Seen, *sites: KnownSite) -> list[str]:
    return [one.name for one in candidates(sites, machine)]


def site(name: str, *entries: Identify, extends: tuple[str, ...] = ()) -> KnownSite:
    return KnownSite(name=name, identify=entries, extends=extends)


def test_entries_are_alternatives_and_their_keys_conditions() -> None:
    one = site(
        "one",
        Identify(env={"A": "1", "B": "2"}),
        Identify(hostname=r"^login\d", cluster_name="lab"),
    )

    assert names(Seen(env={"A": "1", "B": "2"}), one) == ["one"]
    assert names(Seen(env={"A": "1"}), one) == []
    assert names(Seen(env={"A": "1", "B": "3"}), one) == []
    assert names(Seen(hostname="login1.x.org", cluster_name="lab"), one) == ["one"]
    assert names(Seen(hostname="login1.x.org", cluster_name="Lab"), one) == []
    assert names(Seen(hostname="mylogin1.x.org", cluster_name="lab"), one) == []


def test_a_file_must_be_there_and_hold_the_text() -> None:
    juwels = site("juwels", Identify(file="/etc/name", content="booster"))
    any_text = site("any", Identify(file="/etc/name"))

    there = Seen(files={"/etc/name": "juwelsbooster\n"})
    assert names(there, juwels, any_text) == ["any", "juwels"]
    assert names(Seen(files={"/etc/name": ""}), juwels, any_text) == ["any"]
    assert names(Seen(), juwels, any_text) == []


def test_an_entry_that_asks_for_nothing_fits_nothing() -> None:
    assert names(Seen(hostname="x"), site("x", Identify()), site("y")) == []


def test_what_others_that_fit_are_laid_over_gives_way_to_them() -> None:
    entry = Identify(hostname="cscs")
    base = site("alps", entry)
    daint = site("daint", entry, extends=("alps", "slurm-base"))
    assert names(Seen(hostname="daint.cscs.ch"), base, daint) == ["daint"]


def test_more_than_one_answer_says_what_would_tell_them_apart() -> None:
    shared = Identify(env={"HOST": "x"})
    own = Identify(hostname="gpu")
    first, second = candidates(
        [site("b", shared), site("a", shared, own)], Seen(env={"HOST": "x"}, hostname="h")
    )
    assert (first.name, first.evidence, first.further) == (
        "a",
        ("HOST=x",),
        ("host name like gpu",),
    )
    assert (second.name, second.further) == ("b", ())


def test_a_machine_is_looked_at_only_as_far_as_is_asked(tmp_path: Path) -> None:
    there, conf = tmp_path / "there", tmp_path / "slurm.conf"
    there.write_text("name\n")
    conf.write_text("# ClusterName=no\n  clustername = lab # yes\n")
    environ = {"A": "1", "B": "2", "SLURM_CONF": str(conf)}

    seen = look([Identify(env={"A": "1"}, file=str(there)), Identify(file="/nowhere")], environ)
    assert seen == Seen(env={"A": "1"}, files={str(there): "name\n"})

    seen = look([Identify(cluster_name="lab", hostname="x")], environ)
    assert seen.cluster_name == "lab"
    assert seen.hostname

    environ["SLURM_CLUSTER_NAME"] = "other"
    assert look([Identify(cluster_name="lab")], environ).cluster_name == "other"
