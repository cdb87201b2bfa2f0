"""Files of counts."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import numpy as np
import pytest

from beam_pipelines.counts_files import read_history
from detection.hourly import covered_days
from detection.keyword_detector import KeywordDetector
from programs.errors import UserError

NOON = 1_600_000_200  # 2020-09-13T12:30:00Z
HEAD = "keyword,window_start,mentions\n"


def test_counts_and_totals(tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + "dance,2020-09-13T13:15:00Z,7\nramen,2020-09-13T12:30:00Z,2\n")
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write(HEAD + 'dance,2020-09-13T12:30:00Z,5\n"東京,😂",2020-09-13T12:45:00Z,1\n')
    (tmp_path / "t.csv").write_text(
        "window_start,total_posts\n2020-09-13T12:15:00Z,1\n2020-09-13T12:30:00Z,100\n2020-09-13T13:15:00Z,300\n"
        "2020-09-13T13:30:00Z,9\n"
    )
    history = read_history([tmp_path / "a.csv", tmp_path / "b.csv.gz"], tmp_path / "t.csv")
    rows = {
        (history.keywords[k], w - NOON, m)
        for k, w, m in zip(history.keyword, history.window.tolist(), history.mentions.tolist(), strict=True)
    }
    assert rows == {("dance", 2700, 7), ("ramen", 0, 2), ("dance", 0, 5), ("東京,😂", 900, 1)}
    assert history.window.tolist() == sorted(history.window.tolist())
    assert sorted(history.keywords) == ["dance", "ramen", "東京,😂"]
    assert (history.start, history.end, history.windows) == (NOON - 900, NOON + 4500, 6)
    np.testing.assert_array_equal(history.totals, [1, 100, np.nan, np.nan, 300, 9])


def test_days_with_totals_are_whole_even_if_nobody_is_mentioned_at_night(tmp_path):
    midnight = 1_600_041_600  # 2020-09-14
    times = [datetime.fromtimestamp(midnight + i * 900, UTC).isoformat() for i in range(2 * 96)]
    (tmp_path / "a.csv").write_text(HEAD + "".join(f"dance,{time},3\n" for time in times[4:-8]))
    (tmp_path / "t.csv").write_text("window_start,total_posts\n" + "".join(f"{time},100\n" for time in times))
    history = read_history([tmp_path / "a.csv"], tmp_path / "t.csv")
    assert covered_days(history) == (midnight, midnight + 2 * 86_400)
    assert len(KeywordDetector().fit(history, 1)) == 1


def test_without_totals_the_volume_is_unknown(tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + "dance,2020-09-13T12:30:00Z,7\n")
    history = read_history([tmp_path / "a.csv"])
    assert np.isnan(history.totals).tolist() == [True]


def test_columns_are_found_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("mentions,extra,window_start,keyword\n7,x,2020-09-13T12:30:00Z,dance\n")
    history = read_history([tmp_path / "a.csv"])
    assert (history.keywords, history.mentions.tolist(), history.start) == (("dance",), [7], NOON)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "with the columns keyword,window_start,mentions"),
        ("keyword,mentions\ndance,1\n", "expected a header line"),
        (HEAD + "dance,yesterday,1\n", "ISO 8601"),
        (HEAD + "dance,2020-09-13T12:30:00Z,many\n", "expected CSV with the columns"),
        (HEAD + "dance,2020-09-13T12:31:00Z,1\n", "starts no 15-minute window"),
        (HEAD + "dance,2020-09-13T12:30:00Z,-1\n", "whole numbers"),
        (HEAD + "dance\n", "expected CSV with the columns"),
        (HEAD, "no row with mentions"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        read_history([path])
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv: no such file"):
        read_history([tmp_path / "gone.csv"])
