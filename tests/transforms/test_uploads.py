"""Writes in the background: their order, their number, and what becomes of one that fails."""

from __future__ import annotations

import threading

import pytest

from transforms import lake
from transforms.uploads import Uploads

PATIENCE_SECONDS = 10


class Lake:
    """A lake whose writes wait for leave; those of some addresses fail so many times."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.begun: list[tuple[str, bytes]] = []
        self.written: list[tuple[str, bytes]] = []
        self.failures: dict[str, int] = {}

    def put(self, url: str, data: bytes) -> None:
        self.begun.append((url, data))
        assert self.leave.wait(PATIENCE_SECONDS)
        if self.failures.get(url, 0):
            self.failures[url] -= 1
            raise OSError(url)
        self.written.append((url, data))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake in place of the real one."""
    slow = Lake()
    monkeypatch.setattr(lake, "put", slow.put)
    return slow


def test_start_does_not_wait_and_finish_does(slow: Lake) -> None:
    uploads = Uploads()
    uploads.start("a", b"1")
    uploads.start("b", b"2")
    assert slow.written == []
    threading.Timer(0.05, slow.leave.set).start()
    uploads.finish()
    assert sorted(slow.written) == [("a", b"1"), ("b", b"2")]


def test_no_more_than_so_many_are_under_way(slow: Lake) -> None:
    uploads = Uploads(at_once=2)
    uploads.start("a", b"")
    uploads.start("b", b"")
    third = threading.Thread(target=uploads.start, args=("c", b""))
    third.start()
    third.join(0.2)
    assert third.is_alive()
    assert "c" not in dict(slow.begun)
    slow.leave.set()
    third.join(PATIENCE_SECONDS)
    uploads.finish()
    assert set(dict(slow.written)) == {"a", "b", "c"}


def test_of_two_writes_of_one_address_the_later_stays(slow: Lake) -> None:
    uploads = Uploads()
    uploads.start("a", b"1")
    threading.Timer(0.05, slow.leave.set).start()
    uploads.start("a", b"2")
    uploads.finish()
    assert slow.written == [("a", b"1"), ("a", b"2")]


def test_what_failed_is_tried_again(slow: Lake) -> None:
    slow.leave.set()
    slow.failures["a"] = 1
    uploads = Uploads()
    uploads.start("a", b"1")
    uploads.finish()
    assert slow.written == [("a", b"1")]


def test_what_fails_again_fails_every_bundle_until_it_is_written(slow: Lake) -> None:
    """Another bundle of the process may wait for the same object, and must not be told that all is well."""
    slow.leave.set()
    slow.failures["a"] = 3
    uploads = Uploads(at_once=1)
    uploads.start("a", b"1")
    with pytest.raises(OSError, match="a"):
        uploads.finish()
    uploads.start("b", b"2")
    with pytest.raises(OSError, match="a"):
        uploads.finish()
    uploads.finish()
    assert sorted(slow.written) == [("a", b"1"), ("b", b"2")]
    begun = len(slow.begun)
    uploads.finish()
    assert len(slow.begun) == begun
