"""What a watch tells late, twice, or of ourselves."""

from __future__ import annotations

from typing import Any

from netdevice_plugin.dra.cluster.api import Event
from netdevice_plugin.dra.cluster.mirror import Mirror


def slice_(version: str, name: str = "a", uid: str = "") -> dict[str, Any]:
    metadata = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"devices": [{"name": "x"}]}}


def event(kind: str, version: str, name: str = "a", uid: str = "") -> Event:
    return Event(kind, slice_(version, name, uid), version)


def versions(mirror: Mirror) -> dict[str, str]:
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in mirror.slices}


def test_others_are_noticed() -> None:
    mirror = Mirror()
    mirror.replace([slice_("1")])
    assert mirror.devices == 1
    assert mirror.apply(event("MODIFIED", "2"))
    assert mirror.apply(event("ADDED", "3", "b"))
    assert versions(mirror) == {"a": "2", "b": "3"}
    assert mirror.apply(event("DELETED", "4"))
    assert not mirror.apply(event("DELETED", "4"))
    assert versions(mirror) == {"b": "3"}


def test_a_bookmark_is_nobodys() -> None:
    assert not Mirror().apply(Event("BOOKMARK", None, "9"))


def test_what_comes_late_changes_nothing() -> None:
    mirror = Mirror()
    mirror.replace([slice_("10")])
    assert not mirror.apply(event("MODIFIED", "9"))
    assert not mirror.apply(event("ADDED", "10"))
    assert versions(mirror) == {"a": "10"}


def test_versions_that_are_no_numbers_are_newer_if_they_differ() -> None:
    mirror = Mirror()
    mirror.replace([slice_("x")])
    assert not mirror.apply(event("MODIFIED", "x"))
    assert mirror.apply(event("MODIFIED", "y"))


def test_our_write_is_ours_if_the_answer_comes_first() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.wrote(slice_("5"))
    assert mirror.settle() == ()
    assert not mirror.apply(event("ADDED", "5"))


def test_our_write_is_ours_if_the_watch_comes_first() -> None:
    mirror = Mirror()
    mirror.begin()
    assert not mirror.apply(event("ADDED", "5"))
    mirror.wrote(slice_("5"))
    assert mirror.settle() == ()
    assert versions(mirror) == {"a": "5"}


def test_others_are_noticed_while_we_write() -> None:
    mirror = Mirror()
    mirror.begin()
    assert not mirror.apply(event("ADDED", "5"))
    assert not mirror.apply(event("MODIFIED", "6"))
    mirror.wrote(slice_("5"))
    assert [one.position for one in mirror.settle()] == ["6"]
    assert versions(mirror) == {"a": "6"}


def test_our_delete_is_ours_whichever_comes_first() -> None:
    for watch_first in (True, False):
        mirror = Mirror()
        mirror.replace([slice_("5")])
        mirror.begin()
        if watch_first:
            assert not mirror.apply(event("DELETED", "6"))
        mirror.deleted(slice_("5"))
        assert mirror.settle() == ()
        if not watch_first:
            assert not mirror.apply(event("MODIFIED", "5"))
            assert not mirror.apply(event("DELETED", "6"))
        assert mirror.slices == ()
        assert mirror.apply(event("ADDED", "7"))


def test_what_is_deleted_before_we_hear_that_we_made_it_stays_deleted() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.apply(event("ADDED", "5"))
    mirror.apply(event("DELETED", "6"))
    mirror.wrote(slice_("5"))
    assert [one.kind for one in mirror.settle()] == ["DELETED"]
    assert mirror.slices == ()


def test_another_slice_of_the_same_name_is_another() -> None:
    mirror = Mirror()
    mirror.replace([slice_("5", uid="old")])
    assert mirror.apply(event("ADDED", "9", uid="new"))
    assert not mirror.apply(event("DELETED", "8", uid="old"))
    assert versions(mirror) == {"a": "9"}
