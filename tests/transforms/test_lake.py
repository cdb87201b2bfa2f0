"""The lake as a folder."""

from __future__ import annotations

from pathlib import Path

from transforms import lake
from transforms.dead_letters import DeadLetter, Reason
from transforms.sinks import put_dead_letters


def test_one_object_is_removed_as_all_below_a_prefix_are(tmp_path: Path) -> None:
    urls = [str(tmp_path / name) for name in ("a/1", "a/2", "b")]
    for url in urls:
        lake.put(url, b"x")
    lake.remove(urls[0])
    assert list(lake.find(str(tmp_path))) == urls[1:]
    lake.remove(str(tmp_path / "a"))
    assert list(lake.find(str(tmp_path))) == urls[2:]


def test_dead_letters_of_two_topics_do_not_share_an_object(tmp_path: Path) -> None:
    for topic in ("posts", "posts2", "some/file.ndjson"):
        put_dead_letters([DeadLetter(Reason.EMPTY, "", topic, 0, 1, 0, b"")], str(tmp_path))
    names = {Path(url).name for url in lake.find(str(tmp_path))}
    assert names == {f"dead-{topic}-0-{1:020d}.ndjson" for topic in ("posts", "posts2", "file.ndjson")}
