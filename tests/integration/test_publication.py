"""Baselines on a real server: published whole or not at all, loaded as they were fitted, readable with SQL."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import psycopg2
import pytest

from beam_pipelines import publication
from beam_pipelines.publication import publish
from detection.baselines import keyword_hashes
from detection.counts import CountHistory, WindowCounts
from detection.detector import Detector
from detection.keyword_detector import KeywordDetector
from detection.threshold import ThresholdDetector
from programs.errors import UserError
from transforms.baselines import PostgresBaselines, load_baselines, newest_version

pytestmark = pytest.mark.integration

DAYS = 15
WORDS = ("rare", "back\\slash", "tab\there", "dance", "ramen")
YOUNG = "since an hour"


def history(seed: int = 0, days: int = DAYS) -> CountHistory:
    """Counts of so many days from the epoch on."""
    rng = np.random.default_rng(seed)
    tide = 1 + 0.8 * np.sin(2 * np.pi * np.arange(days * 96) / 96)
    counts = rng.poisson(np.array([0.01, 1, 2, 10, 30])[:, None] * tide)
    counts = np.vstack([counts, np.zeros((1, days * 96), int)])
    counts[-1, -4:] = 9
    keyword, window = np.nonzero(counts)
    return CountHistory(
        (*WORDS, YOUNG), keyword.astype(np.int32), window * 900, counts[keyword, window], 0, days * 86_400,
        np.full(days * 96, 1000.0),
    )  # fmt: skip


@pytest.mark.parametrize("detector", [KeywordDetector(), ThresholdDetector()])
def test_a_version_is_loaded_as_it_was_fitted(connection: Any, detector: Detector) -> None:
    version = publish(connection, detector, history())
    table, fitted = load_baselines(connection, detector.name, version), detector.fit(history(), version)
    assert (table.version, table.detector) == (version, detector.name)
    window = WindowCounts(DAYS * 86_400, 900.0, ("dance", "ramen", "unheard"), np.array([80, 20, 9]))
    for stored in (fitted, table):
        scores = detector.score(window, stored, detector.new_state())
        assert scores.is_outlier[0]
    expected = detector.score(window, fitted, detector.new_state())
    np.testing.assert_array_equal(scores.score, expected.score)


def test_rows_are_for_people(connection: Any) -> None:
    version = publish(connection, KeywordDetector(), history())
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT keyword, level, dispersion, season, tail FROM baselines WHERE version = %s", (version,))
        rows = {keyword: values for keyword, *values in cursor.fetchall()}
        cursor.execute("SELECT keywords, pooled FROM baseline_versions WHERE version = %s", (version,))
        keywords, pooled = cursor.fetchone()
    assert set(rows) == set(WORDS)  # a keyword that is too young has no baseline
    assert keywords == len(WORDS)
    level, deviation, season, tail = rows["ramen"]
    assert level == pytest.approx(30, rel=0.1)
    assert deviation > np.sqrt(30) * 0.9
    assert len(season) == 168
    assert int(np.argmax(season)) % 24 in (5, 6)  # the sine's top
    assert len(tail) == 3
    assert rows["rare"][2] is None
    assert len(pooled["season"]) == 168
    assert pooled["usual_posts"] == pytest.approx(1000)


@pytest.mark.parametrize(
    ("detector", "learnt"), [(KeywordDetector(history_days=10), (4, 14)), (ThresholdDetector(), (8, 15))]
)
def test_the_days_of_a_version_are_those_it_was_learnt_from(
    connection: Any, detector: Detector, learnt: tuple[int, int]
) -> None:
    whole = history()
    short = dataclasses.replace(whole, start=3_600, end=DAYS * 86_400 - 3_600, totals=whole.totals[4:-4])
    publish(connection, detector, short if isinstance(detector, KeywordDetector) else whole)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM history_from) / 86400, extract(epoch FROM history_to) / 86400 FROM baseline_versions"
        )
        assert cursor.fetchone() == learnt


def test_workers_take_up_a_new_version(connection: Any) -> None:
    source = PostgresBaselines("threshold", every_seconds=0)
    assert source.current().version == 0
    versions = [publish(connection, ThresholdDetector(), history(seed)) for seed in (1, 2)]
    publish(connection, KeywordDetector(), history())  # another detector's versions are none of its business
    assert newest_version(connection, "threshold") == versions[-1]
    table = source.current()
    assert table.version == versions[-1]
    rows = table.find(keyword_hashes(["dance", "unheard"]))
    assert rows[1] == -1
    assert table.columns["level"][rows[0]] == pytest.approx(10, rel=0.1)
    assert load_baselines(connection, "threshold", versions[0]).version == versions[0]


def test_a_day_of_the_past_that_is_learnt_from_again_replaces_nothing_newer(connection: Any) -> None:
    source = PostgresBaselines("threshold", every_seconds=0)
    newest = publish(connection, ThresholdDetector(), history(days=DAYS))
    publish(connection, ThresholdDetector(), history(days=DAYS - 5))
    assert newest_version(connection, "threshold") == source.current().version == newest
    again = publish(connection, ThresholdDetector(), history(seed=1, days=DAYS))
    assert source.current().version == again


def test_large_tables_are_stored_in_parts(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "PART_BYTES", 100)
    version = publish(connection, KeywordDetector(), history())
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM baseline_tables WHERE version = %s", (version,))
        assert cursor.fetchone()[0] > 5
    assert len(load_baselines(connection, "return_period", version)) == len(WORDS)


def test_old_versions_go(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "KEPT_VERSIONS", 2)
    other = publish(connection, ThresholdDetector(), history())
    versions = [publish(connection, KeywordDetector(), history()) for _ in range(3)]
    with connection, connection.cursor() as cursor:
        for table in ("baseline_versions", "baseline_tables", "baselines"):
            cursor.execute(f"SELECT DISTINCT version FROM {table} ORDER BY version")
            assert [version for (version,) in cursor] == [other, *versions[1:]], table


def test_versions_of_the_past_push_out_nothing_newer(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "KEPT_VERSIONS", 2)
    newest = [publish(connection, ThresholdDetector(), history(days=days)) for days in (8, 9)]
    for days in (5, 6, 7):
        publish(connection, ThresholdDetector(), history(days=days))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT version FROM baseline_versions ORDER BY version")
        assert [version for (version,) in cursor] == newest


def test_a_history_without_a_whole_day_replaces_nothing(connection: Any) -> None:
    version = publish(connection, KeywordDetector(), history())
    short = history()
    short = CountHistory(short.keywords, short.keyword, short.window, short.mentions, 3600, 80_000, np.full(84, 1000.0))
    with pytest.raises(UserError, match="whole day"):
        publish(connection, KeywordDetector(), short)
    assert newest_version(connection, "return_period") == version


def test_a_publication_that_fails_leaves_no_trace(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_rows", lambda *_: iter(["not a line for COPY\n"]))
    with pytest.raises(psycopg2.Error):
        publish(connection, KeywordDetector(), history())
    assert newest_version(connection, "return_period") == 0
