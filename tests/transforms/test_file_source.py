"""Posts from a file."""

from __future__ import annotations

from pathlib import Path

from transforms.records import RawBatch
from transforms.sources.file import read_lines


def test_an_unreadable_time_stamp_is_that_of_the_line_before(tmp_path: Path):
    path = tmp_path / "x.ndjson"
    stamps = [b"5.25", b'"x"', b"1e300", b"-1e300", b"1" + b"0" * 400, b"0", b"[" * 10_000, b'"nan"', b'"6"']
    path.write_bytes(b"".join(b'{"time_stamp":%s}\n' % stamp for stamp in stamps) + b"\xff\n\n[]")
    (batch,) = read_lines(str(path))
    assert batch.timestamps_ms == [5250] * 8 + [6000] * 4
    assert batch.values[-3:] == [b"\xff", b"", b"[]"]


def test_batches_have_at_most_so_many_lines(tmp_path: Path):
    path = tmp_path / "x.ndjson"
    for lines in range(7):
        path.write_bytes(b"".join(b"%d\n" % line for line in range(lines)))
        batches = list(read_lines(str(path), 3))
        assert [value for batch in batches for value in batch.values] == [b"%d" % line for line in range(lines)]
        assert [batch.first_offset for batch in batches] == list(range(0, lines, 3))
        assert all(batch == RawBatch(str(path), 0, batch.first_offset, [0] * len(batch.values), batch.values)
                   for batch in batches)  # fmt: skip
