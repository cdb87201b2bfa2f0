"""The backtest: its contract, its causality, its errors."""

import csv
import gzip
from datetime import UTC, datetime

import numpy as np
import pytest

from beam_pipelines.backtest import Past, parse, replay_counts, run
from beam_pipelines.counts_files import Counts
from detection.counts import WindowCounts
from detection.keyword_detector import KeywordDetector
from programs.errors import UserError

START = 1_614_556_800
HEADER = "keyword,window_start,mentions,expected,lower,upper,p_value,score,severity,is_outlier,incident".split(",")


def table(days: int = 4, seed: int = 0, change_from: int | None = None) -> Counts:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.geomspace(0.05, 50, 8)[:, None], (8, days * 96))
    if change_from is not None:
        counts[:, change_from:] = counts[:, change_from:] * 9 + 4
    window, keyword = np.nonzero(counts.T)
    names = tuple(f"k{i}" for i in range(8))
    return Counts(names, keyword.astype(np.int32), START + 900 * window.astype(np.int64), counts[keyword, window])


def write(path, counts: Counts) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as file:
        file.write("keyword,window_start,mentions\n")
        for k, t, n in zip(counts.keyword, counts.window, counts.mentions, strict=True):
            file.write(f"{counts.keywords[k]},{datetime.fromtimestamp(int(t), UTC):%Y-%m-%dT%H:%M:%SZ},{n}\n")


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_per_window_with_mentions(tmp_path):
    counts = table()
    write(tmp_path / "a.csv.gz", counts)
    assert run(["--counts", str(tmp_path / "a.csv.gz"), "--output", str(tmp_path / "o.csv")]) == 0
    out = rows(tmp_path / "o.csv")
    assert list(out[0]) == HEADER
    assert len(out) == len(counts.window)
    assert {row["is_outlier"] for row in out} <= {"true", "false"}
    assert all((row["incident"] != "") == (row["is_outlier"] == "true") for row in out)
    assert all(np.isfinite(float(row[c])) for row in out for c in HEADER[3:8])


def test_evaluate_from_cuts_the_output_not_the_history(tmp_path):
    write(tmp_path / "a.csv", table())
    common = ["--counts", str(tmp_path / "a.csv"), "--output"]
    run([*common, str(tmp_path / "all.csv")])
    run([*common, str(tmp_path / "late.csv"), "--evaluate_from", "2021-03-04"])
    late = [row for row in rows(tmp_path / "all.csv") if row["window_start"] >= "2021-03-04"]
    assert late == rows(tmp_path / "late.csv")


def test_all_windows_adds_the_zeros_and_changes_no_score(tmp_path):
    write(tmp_path / "a.csv", table())
    common = ["--counts", str(tmp_path / "a.csv"), "--output"]
    run([*common, str(tmp_path / "some.csv")])
    run([*common, str(tmp_path / "all.csv"), "--all_windows"])
    every = rows(tmp_path / "all.csv")
    assert [row for row in every if row["mentions"] != "0"] == rows(tmp_path / "some.csv")
    assert sum(row["keyword"] == "k7" for row in every) == 4 * 96


def test_files_in_any_number_and_order_give_the_same(tmp_path):
    counts = table()
    half = len(counts.window) // 2
    parts = [Counts(counts.keywords, counts.keyword[s], counts.window[s], counts.mentions[s])
             for s in (slice(half, None), slice(None, half))]  # fmt: skip
    write(tmp_path / "a.csv", counts)
    for i, part in enumerate(parts):
        write(tmp_path / f"p{i}.csv", part)
    run(["--counts", str(tmp_path / "a.csv"), "--output", str(tmp_path / "a_out.csv")])
    run(["--counts", str(tmp_path / "p0.csv"), str(tmp_path / "p1.csv"), "--output", str(tmp_path / "p_out.csv")])
    key = lambda row: (row["window_start"], row["keyword"])  # noqa: E731
    assert sorted(rows(tmp_path / "a_out.csv"), key=key) == sorted(rows(tmp_path / "p_out.csv"), key=key)


def test_the_future_changes_no_past_score():
    cut = 3 * 96 + 40
    scored = [list(replay_counts(t, {}, KeywordDetector())) for t in (table(), table(change_from=cut))]
    for a, b in zip(*scored, strict=True):
        if a.window_start < START + cut * 900:
            np.testing.assert_array_equal(a.scores.score, b.scores.score)


def test_scoring_a_window_without_taking_it_in_gives_the_backtests_scores():
    counts, detector = table(), KeywordDetector()
    day = 3 * 96
    past = Past(counts, {})
    state = detector.new_state()
    for i, expected in enumerate(replay_counts(counts, {}, detector)):
        table_of_day = detector.fit(past.history(0, i // 96), i // 96)
        names = tuple(counts.keywords[k] for k in expected.keyword)
        window = WindowCounts(expected.window_start, float("nan"), names, expected.mentions)
        if i >= day - 4:
            np.testing.assert_allclose(detector.score(window, table_of_day, state).score, expected.scores.score)
        _, state = detector.step(window, table_of_day, state)
        if i > day + 8:
            break


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keyword,count\na,1\n", "columns"),
        ("keyword,window_start,mentions\na,yesterday,1\n", "ISO 8601"),
        ("keyword,window_start,mentions\na,2021-03-01T00:07:00Z,1\n", "window"),
        ("keyword,window_start,mentions\na,2021-03-01T00:00:00Z,-1\n", "at least 0"),
        ("keyword,window_start,mentions\na,2021-03-01T00:00:00Z,many\n", "mentions"),
        ("keyword,window_start,mentions\n", "no row"),
        ("", "CSV"),
    ],
)
def test_malformed_input_is_told_in_one_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        run(["--counts", str(tmp_path / "a.csv"), "--output", str(tmp_path / "o.csv")])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("extra", [["--window_minutes", "5"], ["--history_days", "0"], ["--alerts_per_day", "nan"]])
def test_senseless_options_are_refused(extra, capsys):
    with pytest.raises(SystemExit):
        parse(["--counts", "a", "--output", "b", *extra])
    assert extra[0] in capsys.readouterr().err
