"""The command that writes a simulated day."""

from __future__ import annotations

import msgspec
import pytest

from feed.files import read_lines
from feed.simulate import main, parse_arguments


def test_posts_truth_and_history_are_written(tmp_path):
    names = {name: str(tmp_path / file) for name, file in (
        ("output", "posts.ndjson.zst"), ("truth", "truth.ndjson"), ("counts", "c.csv.gz"), ("totals", "t.csv.gz"),
    )}  # fmt: skip
    arguments = ["--date", "2024-06-05", "--posts", "300", "--events", "5", "--silences", "1", "--history", "2"]
    for name, file in names.items():
        arguments += [f"--{name}", file]
    assert main(arguments) == 0
    assert len(list(read_lines([names["output"]]))) > 300
    truth = [msgspec.json.decode(line) for line in read_lines([names["truth"]])]
    assert len(truth) == 6
    assert set(truth[0]) == {"keyword", "shape", "cause", "start", "end", "expected_excess", "windows"}
    assert len(list(read_lines([names["totals"]]))) == 2 * 96 + 1


def test_what_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert main(["--posts", "10", "--output", str(tmp_path / "file" / "x.ndjson")]) == 2
    assert capsys.readouterr().err.startswith("feed.simulate: cannot write")


def test_a_share_above_one_is_one_line(capsys, tmp_path):
    assert main(["--share_late", "2", "--output", str(tmp_path / "x")]) == 2
    assert "share_late" in capsys.readouterr().err


def test_a_bad_day_is_told_what_is_expected(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--output", "-", "--date", "June"])
    assert "'June' is no day: expected YYYY-MM-DD" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--history", "3"], ["--counts", "x"], ["--output", "-", "--date", "June"]])
def test_senseless_options_are_refused(arguments):
    with pytest.raises(SystemExit) as exit_:
        parse_arguments(arguments)
    assert exit_.value.code == 2
