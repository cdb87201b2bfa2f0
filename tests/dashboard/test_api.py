"""The API over a real Postgres: what it finds, how it pages, and what its errors look like."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from psycopg2.extras import execute_values

from beam_pipelines.trends import write_trends
from dashboard import drivers, health
from dashboard.expectations import Baseline
from tests.dashboard.world import EVENTS, MUSIC, WINDOW, World

pytestmark = pytest.mark.integration

API = "/api/v1"


def get(client: TestClient, path: str, **parameters: Any) -> Any:
    response = client.get(f"{API}{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def test_open_incidents_come_most_unusual_first(client: TestClient) -> None:
    found = get(client, "/incidents", state="open")["items"]
    assert {item["keyword"] for item in found} == {event.keyword for event in EVENTS if event.state == "open"}
    scores = [item["peak_score"] for item in found]
    assert scores == sorted(scores, reverse=True)
    dance = next(item for item in found if item["keyword"] == "dance")
    assert dance["severity"] == "critical"
    assert dance["watched"]
    assert dance["peak_mentions"] > 5 * dance["peak_expected"]
    assert dance["return_period_days"] == pytest.approx(10 ** dance["peak_score"] - 1)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kind": "drop"}, {"football"}),
        ({"severity": "low"}, {"astrology", "sushi"}),
        ({"state": "retracted"}, {"drone"}),
        ({"search": "DANC"}, {"dance"}),
        ({"search": " #Ｄanc"}, {"dance"}),
        ({"keyword": "kpop"}, {"kpop"}),
        ({"watched": True}, {"dance", "ramen", "sneakers", "espresso"}),
        ({"status": "provisional"}, {"astrology"}),
    ],
)
def test_filters_of_incidents(client: TestClient, filters: dict[str, Any], expected: set[str]) -> None:
    assert {item["keyword"] for item in get(client, "/incidents", **filters)["items"]} == expected


def test_incidents_of_a_time_are_those_going_on_in_it(client: TestClient, world: World) -> None:
    kpop = get(client, f"/incidents/{world.incidents['kpop']}")
    inside = get(client, "/incidents", **{"from": kpop["peak_at"], "to": kpop["last_at"]})["items"]
    assert "kpop" in {item["keyword"] for item in inside}
    assert "dance" not in {item["keyword"] for item in inside}


@pytest.mark.parametrize(
    ("path", "parameters", "key"),
    [
        ("/incidents", {"state": ["open", "closed", "retracted"]}, "incident_id"),
        ("/incidents", {"order": "newest"}, "incident_id"),
        ("/outliers", {"status": ["confirmed", "provisional", "retracted"]}, None),
        ("/trends/keywords", {"min_posts": 12}, "id"),
        ("/trends/sounds", {"order": "volume"}, "id"),
    ],
)
def test_pages_together_are_the_whole_list(
    client: TestClient, path: str, parameters: dict[str, Any], key: str | None
) -> None:
    def name(item: Any) -> Any:
        return item[key] if key else (item["keyword"], item["window_start"])

    whole = [name(item) for item in get(client, path, **parameters, limit=500)["items"]]
    paged, cursor = [], None
    while True:
        page = get(client, path, **parameters, limit=2, **({"cursor": cursor} if cursor else {}))
        paged += [name(item) for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole
    assert len(set(whole)) == len(whole) > 2


def test_a_row_that_comes_between_two_pages_shifts_nothing(client: TestClient, admin: Any) -> None:
    first = get(client, "/outliers", limit=3)
    newer = datetime.now(UTC) + timedelta(days=1)
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outliers SELECT 'newcomer', %s, mentions, expected, lower, upper, p_value, score, severity, status,"
            " tide, excess, sample_posts, baseline_version, detector, pane, posts FROM outliers LIMIT 1",
            (newer,),
        )
    try:
        second = get(client, "/outliers", limit=3, cursor=first["next_cursor"])
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM outliers WHERE keyword = 'newcomer'")
    whole = get(client, "/outliers", limit=6)["items"]
    assert first["items"] + second["items"] == whole


@pytest.mark.parametrize("cursor", ["x", "WyJpbmNpZGVudHMiXQ", "WyJvdXRsaWVycyIsWzEsMl1d", "=", "\u00e9"])
def test_a_foreign_cursor_is_a_problem(client: TestClient, cursor: str) -> None:
    response = client.get(f"{API}/outliers", params={"cursor": cursor})
    assert response.status_code == 400
    assert response.json()["type"] == "urn:tiktok-anomalies:problem:bad-cursor"


def test_a_series_has_every_window_and_the_outliers_own_expectation(client: TestClient, world: World) -> None:
    points = get(client, "/series", keyword="dance")["points"]
    starts = [datetime.fromisoformat(point["window_start"]) for point in points]
    assert len(points) == 96
    assert starts[-1] == world.newest
    assert {b - a for a, b in itertools.pairwise(starts)} == {timedelta(minutes=15)}
    assert points[-1]["open"]
    outliers = {item["window_start"]: item for item in get(client, "/outliers", keyword="dance")["items"]}
    marked = [point for point in points if point["outlier"]]
    assert {point["window_start"] for point in marked} == set(outliers)
    for point in marked:
        judged = outliers[point["window_start"]]
        assert [point[name] for name in ("mentions", "expected", "lower", "upper")] == [
            judged[name] for name in ("mentions", "expected", "lower", "upper")
        ]
    assert all(point["lower"] <= point["expected"] <= point["upper"] for point in points)


def test_a_text_is_resolved_as_it_is_counted(client: TestClient) -> None:
    for text, keyword in (
        ("#Großglockner", "grossglockner"),
        ("the", "the"),
        ("McDonald's", "mcdonald"),
        ("big_dance", "big_dance"),
        ("👍🏽", "👍"),
    ):
        assert get(client, "/keyword", text=text) == {"keyword": keyword}
    assert client.get(f"{API}/keyword", params={"text": "ramen noodles"}).status_code == 422


def test_challenges_say_what_they_are_counted_as(client: TestClient, admin: Any, world: World) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO trends (date, kind, name, posts, usual, days, growth) SELECT %s, 'challenge', name, 5000, 0, 7, 501"
            " FROM unnest(ARRAY['Großglockner', 'two words']) AS name",
            (world.days[-1],),
        )
    try:
        found = {item["id"]: item["keyword"] for item in get(client, "/trends/challenges", limit=500)["items"]}
        assert (found["Großglockner"], found["two words"]) == ("grossglockner", None)
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM trends WHERE posts = 5000")


def test_sparklines_are_the_last_two_days_of_the_series(client: TestClient, world: World) -> None:
    dance, ramen = get(client, "/sparklines", keyword=["dance", "ramen"])["items"]
    assert (dance["keyword"], ramen["keyword"]) == ("dance", "ramen")
    start = world.newest + WINDOW - timedelta(days=2)
    assert datetime.fromisoformat(dance["start"]) == datetime.fromisoformat(ramen["start"]) == start
    asked = {"from": start.isoformat(), "to": (world.newest + WINDOW).isoformat()}
    points = get(client, "/series", keyword="dance", **asked)["points"]
    assert len(points) == 192
    for name in ("mentions", "lower", "upper"):
        assert dance[name] == [point[name] for point in points]
    assert dance["outlier"] == [point["outlier"] is not None for point in points]
    assert any(dance["outlier"])


def test_an_unknown_keyword_has_a_series_of_zeros_and_no_expectation(client: TestClient) -> None:
    points = get(client, "/series", keyword="neverheardof")["points"]
    assert {point["mentions"] for point in points if not point["open"]} == {0}
    assert {point["expected"] for point in points} == {None}


def test_expectation_follows_season_and_volume() -> None:
    season = np.ones(168)
    season[8:10] = 3.0  # Monday from 8 to 10
    baseline = Baseline(level=10.0, deviation=5.0, season=season, usual_posts=1000.0)
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    starts = [monday + timedelta(hours=5), monday + timedelta(hours=9), monday + timedelta(hours=9)]
    night, morning, crowded = baseline.expect(starts, np.array([1000.0, np.nan, 2000.0]))
    assert night.expected == pytest.approx(10.0)
    assert morning.expected == pytest.approx(30.0, rel=0.2)
    assert crowded.expected == pytest.approx(2 * morning.expected)
    assert night.lower < 10 < night.upper < morning.upper


def test_csv_holds_the_series_and_no_formula(client: TestClient) -> None:
    response = client.get(f"{API}/series.csv", params={"keyword": "=cmd|' /C calc'!A1"})
    rows = list(csv.DictReader(io.StringIO(response.text.removeprefix("\ufeff"))))
    assert response.headers["content-type"].startswith("text/csv")
    assert len(rows) == 96
    assert {row["keyword"][0] for row in rows} == {"'"}
    dance = csv.DictReader(io.StringIO(client.get(f"{API}/series.csv", params={"keyword": "dance"}).text[1:]))
    assert "critical" in {row["severity"] for row in dance}


@pytest.mark.parametrize("keyword", ["kpop", "puppy", "espresso"])
def test_drivers_of_a_parsed_day_name_the_cause(client: TestClient, world: World, keyword: str) -> None:
    event = next(event for event in EVENTS if event.keyword == keyword)
    incident = get(client, f"/incidents/{world.incidents[keyword]}")
    end = datetime.fromisoformat(incident["last_at"]) + timedelta(minutes=15)
    found = get(client, "/drivers", keyword=keyword, **{"from": incident["opened_at"], "to": end.isoformat()})
    assert found["basis"] == "exact"
    kind, name = event.cause
    cause = next(driver for driver in found["drivers"] if driver["kind"] == kind)
    assert name in {cause["id"], cause["name"]}
    assert cause["contribution"] == max(driver["contribution"] for driver in found["drivers"])
    assert cause["posts"] > cause["usual_share"] * found["breadth"]["posts"]
    posts = get(client, "/posts", keyword=keyword, **{"from": incident["opened_at"], "to": end.isoformat()}, limit=500)
    assert posts["basis"] == "exact"
    assert len(posts["items"]) == found["breadth"]["posts"]
    assert set(cause["example_posts"]) <= {post["post_id"] for post in posts["items"]}
    if kind == "author":
        assert found["breadth"]["top_author"] == name
        assert found["breadth"]["top_author_share"] > 0.3


@pytest.fixture
def flood(admin: Any, world: World) -> Iterator[datetime]:
    """3,000 posts of a keyword in one window and 400 on each of the seven days before; the start of the window.

    The second half of the window carries a challenge. The word "late" is in every post of it, and of the three days before.
    """
    start = datetime.combine(world.days[-1], datetime.min.time(), UTC) + timedelta(hours=12)
    rows = []
    for day in range(8):
        count = 3_000 if day == 0 else 400
        for i in range(count):
            keywords = ["flood", "late"] if day < 4 else ["flood"]
            challenges = ["wave"] if day == 0 and i >= count / 2 else []
            seen = start - timedelta(days=day) + timedelta(seconds=900 * i / count)
            rows.append((10_000 * (day + 1) + i, seen, f"u{i % 1000}", keywords, challenges))
    with admin, admin.cursor() as cursor:
        for day in range(8):
            for parent in ("posts", "keyword_windows"):
                cursor.execute("SELECT ensure_day_partition(%s, %s)", (parent, (start - timedelta(days=day)).date()))
        execute_values(cursor, "INSERT INTO posts (post_id, seen_at, author_id, keywords, challenges) VALUES %s", rows)
        cursor.execute(
            "INSERT INTO keyword_windows SELECT 'flood', date_bin('15 minutes', seen_at, 'epoch'), count(*), 3 FROM posts"
            " WHERE keywords @> ARRAY['flood'] GROUP BY 2"
        )
        cursor.execute("INSERT INTO baselines SELECT max(version), 'flood', 800, 100 FROM baseline_versions")
    yield start
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM posts WHERE keywords @> ARRAY['flood']")
        cursor.execute("DELETE FROM keyword_windows WHERE keyword = 'flood'")
        cursor.execute("DELETE FROM baselines WHERE keyword = 'flood'")


@pytest.mark.parametrize("by_index_above", [0.0, 1.0], ids=["posts", "blocks"])
def test_drivers_of_very_many_posts_are_a_sample_scaled_up(
    client: TestClient, flood: datetime, monkeypatch: pytest.MonkeyPatch, by_index_above: float
) -> None:
    span = {"from": flood.isoformat(), "to": (flood + timedelta(minutes=15)).isoformat()}
    exact = get(client, "/drivers", keyword="flood", **span)
    monkeypatch.setattr(drivers, "MOST_POSTS", 1_000)
    monkeypatch.setattr(drivers, "LEAST_SHARE_BY_INDEX", by_index_above)
    found = get(client, "/drivers", keyword="flood", **span)
    assert (exact["estimated"], found["estimated"]) == (False, True)
    assert "a sample of" in found["explanation"]
    assert "of 3,000 posts" in found["explanation"]
    assert 500 < found["breadth"]["posts"] < 1_500
    assert found["mentions"] == exact["mentions"] == 3_000
    assert found["excess"] == pytest.approx(exact["excess"])
    assert found["excess"] > 0
    for identity, usual in (("wave", 0.0), ("late", 3 / 7)):
        whole, part = (next(d for d in each["drivers"] if d["id"] == identity) for each in (exact, found))
        assert whole["usual_share"] == pytest.approx(usual)
        assert part["usual_share"] == pytest.approx(usual, abs=0.15)
        for figure in ("posts", "contribution", "share_of_excess"):
            assert part[figure] == pytest.approx(whole[figure], rel=0.35), figure


@pytest.fixture
def spelt(admin: Any, world: World) -> Iterator[datetime]:
    """30 posts of a keyword in one window, with its hashtag and another in spellings of which SQL knows nothing, 20 of
    them by authors that are not known, and 21 posts before that, 20 by such; the start of the window."""
    start = datetime.combine(world.days[-1], datetime.min.time(), UTC) + timedelta(hours=12)
    rows = [
        (
            50_000 + i,
            start,
            f"u{i}" if i >= 20 else None,
            ["strasse", "grossartig"],
            ["Straße", "ＳＴＲＡＳＳＥ", "Großartig"],
        )
        for i in range(30)
    ]
    rows += [(60_000 + i, start - timedelta(days=1), "u1" if i == 20 else None, ["strasse"], []) for i in range(21)]
    with admin, admin.cursor() as cursor:
        execute_values(cursor, "INSERT INTO posts (post_id, seen_at, author_id, keywords, challenges) VALUES %s", rows)
    yield start
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM posts WHERE keywords @> ARRAY['strasse']")


def test_a_keyword_does_not_drive_itself_in_another_spelling(client: TestClient, spelt: datetime) -> None:
    span = {"from": spelt.isoformat(), "to": (spelt + timedelta(minutes=15)).isoformat()}
    found = get(client, "/drivers", keyword="strasse", **span)
    named = [(driver["kind"], driver["keyword"]) for driver in found["drivers"] if driver["keyword"]]
    assert named == [("challenge", "grossartig")]
    assert found["breadth"]["usual_top_author_share"] == pytest.approx(1 / 21), "who is not known is no author"


def test_a_hashtag_that_the_batch_leaves_out_has_its_samples(client: TestClient, admin: Any, world: World) -> None:
    start = datetime.combine(world.days[-1], datetime.min.time(), UTC) + timedelta(hours=12)
    columns = "keyword, window_start, mentions, expected, lower, upper, p_value, score, severity, status, tide, excess"
    with admin, admin.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO outliers ({columns}, sample_posts, baseline_version, detector, pane, posts) VALUES"
            " ('fyp', %s, 500, 100, 80, 120, 1e-9, 3, 'high', 'confirmed', 0, 400, '{11,12}', 1, 'return_period', 1, 900)",
            (start,),
        )
    try:
        span = {"from": start.isoformat(), "to": (start + timedelta(minutes=15)).isoformat()}
        found = get(client, "/drivers", keyword="fyp", **span)
        assert (found["basis"], found["mentions"], found["excess"]) == ("sampled", 500, 400)
        assert "No parsed post names it" in found["explanation"]
        assert [post["post_id"] for post in found["posts"]] == ["11", "12"]
        posts = get(client, "/posts", keyword="fyp", **span)
        assert (posts["basis"], [post["post_id"] for post in posts["items"]]) == ("sampled", ["11", "12"])
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM outliers WHERE keyword = 'fyp'")


def test_drivers_of_today_are_sampled_and_say_so(client: TestClient, world: World) -> None:
    span = {
        "from": (world.newest - timedelta(minutes=75)).isoformat(),
        "to": (world.newest + timedelta(minutes=15)).isoformat(),
    }
    found = get(client, "/drivers", keyword="marathon", **span)
    assert found["basis"] == "sampled"
    assert "has not been parsed yet" in found["explanation"]
    assert found["posts"]
    assert found["breadth"] is None
    assert all(driver["contribution"] is None for driver in found["drivers"])
    # The newest windows of these share a sample post with marathon's.
    assert {driver["id"] for driver in found["drivers"]} == {"booktok", "astrology", "football"}


def test_trends_are_those_that_the_batch_wrote(client: TestClient, admin: Any, world: World) -> None:
    found = get(client, "/trends/keywords", limit=500)
    with admin, admin.cursor() as cursor:
        cursor.execute("SELECT mentions FROM keyword_daily WHERE keyword = 'kpop' ORDER BY date")
        mentions = [row[0] for row in cursor]
        cursor.execute("SELECT posts FROM parsed_days ORDER BY date")
        posts = [row[0] for row in cursor]
        cursor.execute(
            "SELECT name FROM trends WHERE date = %s AND kind = 'keyword' ORDER BY growth DESC, name COLLATE \"C\"",
            (world.days[-1],),
        )
        names = [row[0] for row in cursor]
    assert [item["id"] for item in found["items"]] == names
    assert (found["state"], found["advice"], found["compared_days"]) == ("ready", None, 7)
    kpop = next(item for item in found["items"] if item["id"] == "kpop")
    assert kpop["daily"] == mentions[-8:]
    usual = sum(mentions[-8:-1]) / sum(posts[-8:-1]) * posts[-1]
    assert kpop["usual"] == pytest.approx(usual)
    assert kpop["growth"] == pytest.approx((mentions[-1] + 10) / (usual + 10))


def test_a_day_that_is_not_known_is_no_zero_in_trends(client: TestClient, admin: Any, world: World) -> None:
    unparsed, unsaid = world.days[-4], world.days[-3]
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE parsed_days SET date = date - 9000 WHERE date = %s", (unparsed,))
        cursor.execute("UPDATE keyword_daily SET date = date - 9000 WHERE date IN (%s, %s)", (unparsed, unsaid))
        cursor.execute("INSERT INTO common_hashtags VALUES (%s, 'kpop', 0.1, true)", (unsaid,))
    try:
        found = {item["id"]: item["daily"] for item in get(client, "/trends/keywords", limit=500)["items"]}
    finally:
        with admin, admin.cursor() as cursor:
            for table in ("parsed_days", "keyword_daily"):
                cursor.execute(f"UPDATE {table} SET date = date + 9000 WHERE date < '2015-01-01'")
            cursor.execute("DELETE FROM common_hashtags WHERE date = %s", (unsaid,))
    assert [day is None for day in found["kpop"]] == [False] * 4 + [True] * 2 + [False] * 2
    assert [day is None for day in found["puppy"]] == [False] * 4 + [True] + [False] * 3
    assert found["puppy"][5] == 0


def test_trends_of_musicians_add_up_their_sounds(client: TestClient, admin: Any, world: World) -> None:
    found = get(client, "/trends/musicians")["items"]
    assert {item["id"] for item in found} == {artist for _, artist in MUSIC.values()}
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT sum(posts), sum(engagement) FROM music_daily WHERE artist = %s AND date = %s",
            (found[0]["id"], world.days[-1]),
        )
        assert (found[0]["daily"][-1], found[0]["engagement"]) == cursor.fetchone()
    sound = get(client, "/trends/sounds")["items"][0]
    assert (sound["name"], sound["artist"]) == MUSIC[sound["id"]]


def test_a_first_day_has_trends_without_growth_the_largest_first(client: TestClient, world: World) -> None:
    found = get(client, "/trends/challenges", date=str(world.days[0]))
    assert (found["state"], found["compared_days"]) == ("ready", 0)
    assert {(item["usual"], item["growth"]) for item in found["items"]} == {(None, None)}
    posts = [item["posts"] for item in found["items"]]
    assert posts == sorted(posts, reverse=True)


def test_a_day_without_trends_says_what_to_run(client: TestClient, admin: Any, world: World) -> None:
    day = world.days[-1]
    unparsed = get(client, "/trends/challenges", date="1999-01-01")
    assert (unparsed["state"], unparsed["items"]) == ("not_parsed", [])
    assert "python -m beam_pipelines.parse --date 1999-01-01" in unparsed["advice"]
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM trends WHERE date = %s", (day,))
    try:
        asked, newest = get(client, "/trends/keywords", date=str(day)), get(client, "/trends/keywords")
    finally:
        write_trends(admin, day)
    assert (asked["state"], asked["items"]) == ("no_trends", [])
    assert f"python -m beam_pipelines.trends --date {day}" in asked["advice"]
    assert (newest["state"], newest["date"]) == ("ready", str(world.days[-2]))
    assert newest["dates"][0] == str(day)


def test_health_tells_of_stream_letters_and_baselines(client: TestClient, world: World) -> None:
    found = get(client, "/health")
    assert datetime.fromisoformat(found["stream"]["last_window_start"]) == world.newest
    assert found["stream"]["watermark_delay_seconds"] >= found["stream"]["lag_seconds"]
    assert [(entry["reason"], entry["count"]) for entry in found["dead_letters"]] == [
        ("not_json", 9),
        ("bad_id", 4),
        ("not_utf8", 2),
    ]
    assert found["baselines"]["detector"] == "return_period"
    assert found["level"] == "ok"


def test_advice_on_baselines_can_be_followed() -> None:
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    (finding,) = health._baseline_findings(None, now)
    assert "only what is extreme beside the hours before" in finding.what
    assert "`python -m beam_pipelines.stats --date 2026-03-01`" in finding.advice
    assert "`python -m beam_pipelines.stats --counts …`" in finding.advice
    old = health.BaselineVersion(
        version=1,
        detector="return_period",
        keywords=1,
        history_from=now,
        history_to=now,
        published_at=now,
        age_seconds=3 * 86_400,
    )
    (finding,) = health._baseline_findings(old, now)
    assert finding.what == "The baselines know nothing of the last 3 days."
    assert "--date 2026-03-01" in finding.advice


def test_a_watermark_that_stands_still_is_a_finding_although_windows_arrive(
    client: TestClient, admin: Any, world: World
) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE window_totals SET pane = 0 WHERE window_start > %s", (world.newest - timedelta(hours=9),)
        )
    try:
        found = get(client, "/health")
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE window_totals SET pane = 1 WHERE window_start < %s", (world.newest,))
    assert found["stream"]["lag_seconds"] == 0
    assert found["stream"]["watermark_delay_seconds"] >= 8.75 * 3600
    (finding,) = found["findings"]
    assert re.fullmatch(r"A window that ended 8 hours ago has not closed, .*", finding["what"])


# As the batch leaves a day: every window has its posts, and of those that the stream had closed what it had counted.
COMPLETED = """
    UPDATE window_totals SET pane = 3, streamed = CASE WHEN window_start <= %s THEN posts - 1 END WHERE window_start <= %s
"""


def test_windows_of_the_batch_do_not_hide_that_the_stream_is_dead(
    client: TestClient, totals: Callable[..., None], world: World
) -> None:
    died = world.newest - timedelta(hours=30)
    totals(COMPLETED, died, world.newest)
    found = get(client, "/health")
    stream = found["stream"]
    assert datetime.fromisoformat(stream["last_window_start"]) == died
    assert datetime.fromisoformat(stream["last_closed_window_start"]) == died
    assert stream["lag_seconds"] == stream["watermark_delay_seconds"] >= 29.75 * 3600
    start, posts = stream["windows"][-1]
    assert (datetime.fromisoformat(start), posts) == (died, stream["last_window_posts"])
    assert found["level"] == "warning"
    assert re.fullmatch(r"The newest window ended (29|30) hours ago\.", found["findings"][0]["what"])


def test_a_system_of_the_batch_alone_has_no_stream(
    client: TestClient, totals: Callable[..., None], world: World
) -> None:
    totals(COMPLETED, world.newest - timedelta(days=900), world.newest)
    found = get(client, "/health")
    assert (found["level"], found["stream"]["lag_seconds"], found["stream"]["windows"]) == ("down", None, [])


def test_a_watermark_that_has_stood_still_for_days_has_its_delay(
    client: TestClient, totals: Callable[..., None], world: World
) -> None:
    closed = world.newest - timedelta(hours=50)
    totals("UPDATE window_totals SET pane = 0 WHERE window_start > %s", closed)
    stream = get(client, "/health")["stream"]
    assert datetime.fromisoformat(stream["last_closed_window_start"]) == closed
    assert stream["watermark_delay_seconds"] >= 49.75 * 3600


def test_windows_are_every_step_of_a_day_and_a_gap_has_no_figures(
    client: TestClient, totals: Callable[..., None], world: World
) -> None:
    begun, over = world.newest - timedelta(hours=9), world.newest - timedelta(hours=3)
    totals("DELETE FROM window_totals WHERE window_start >= %s AND window_start < %s", begun, over)
    windows = [(datetime.fromisoformat(start), posts) for start, posts in get(client, "/health")["stream"]["windows"]]
    assert [start for start, _ in windows] == [world.newest - i * timedelta(minutes=15) for i in reversed(range(96))]
    assert {start for start, posts in windows if posts is None} == {
        begun + i * timedelta(minutes=15) for i in range(24)
    }


@pytest.mark.parametrize(
    ("ago", "end"),
    [
        pytest.param(timedelta(minutes=19), timedelta(minutes=19), id="no early results"),
        pytest.param(timedelta(hours=5, minutes=4), timedelta(minutes=-11), id="dead since five hours"),
        pytest.param(timedelta(days=3), timedelta(days=3), id="dead since three days"),
    ],
)
def test_the_windows_of_a_stream_that_is_behind_go_on_to_now(ago: timedelta, end: timedelta) -> None:
    """``ago`` is since the end of the newest window, ``end`` since that of the span."""
    now = datetime(2026, 3, 2, 9, 4, tzinfo=UTC)
    span = health._shown(now - ago - health.WINDOW, now)
    assert (now - span.end, span.end - span.start) == (end, timedelta(days=1))


@pytest.mark.parametrize(
    ("panes", "stuck"),
    [
        pytest.param({0: 0}, False, id="new"),
        pytest.param({0: 0, 1: 0, 2: 0}, False, id="the first is to close just now"),
        pytest.param({0: 0, 1: 0, 2: 0, 3: 0}, True, id="none closes"),
        pytest.param({0: 0, 40: 1}, False, id="posts are rare"),
        pytest.param({0: 0, 1: 0, 2: 1, 3: 0}, False, id="one before the closed ones was left"),
    ],
)
def test_a_window_has_a_quarter_of_an_hour_to_close(panes: dict[int, int], stuck: bool) -> None:
    """``panes`` by how many windows ago; the newest begins now."""
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    closed = [ago for ago, pane in panes.items() if pane]
    stream = health.Stream(
        last_window_start=now,
        last_window_posts=9,
        last_closed_window_start=now - min(closed) * timedelta(minutes=15) if closed else None,
        lag_seconds=0,
        watermark_delay_seconds=None,
        windows=[(now - ago * timedelta(minutes=15), 9 if ago in panes else None) for ago in range(95, -1, -1)],
    )
    assert bool(health._stream_findings(stream, now)) == stuck


def test_baselines_are_as_old_as_their_history_whenever_they_were_published(client: TestClient, admin: Any) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE baseline_versions SET history_to = history_to - interval '30 days', published_at = now()"
        )
    try:
        found = get(client, "/health")
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE baseline_versions SET history_to = history_to + interval '30 days'")
    assert found["baselines"]["age_seconds"] > 30 * 86_400
    assert found["findings"][0]["what"] == "The baselines know nothing of the last 30 days."


def test_dead_letters_are_those_of_the_last_seven_days(client: TestClient, admin: Any) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE dead_letters SET seen_at = seen_at - interval '8 days'")
    try:
        assert get(client, "/health")["dead_letters"] == []
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE dead_letters SET seen_at = seen_at + interval '8 days'")


def test_the_example_of_dead_letters_is_the_newest_of_its_reason(client: TestClient, admin: Any) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO dead_letters SELECT 'posts', 9, n, now() - n * interval '1 hour', CASE n % 2 WHEN 0 THEN 'even' ELSE"
            " 'odd' END, n || repeat('.', 400), '' FROM generate_series(1, 9) n"
        )
    try:
        found = {entry["reason"]: entry for entry in get(client, "/health")["dead_letters"]}
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM dead_letters WHERE partition = 9")
    assert [(found[name]["count"], found[name]["example"][0]) for name in ("odd", "even")] == [(5, "1"), (4, "2")]
    assert {len(found[name]["example"]) for name in ("odd", "even")} == {300}


def test_dead_letters_are_counted_without_reading_them(admin: Any, world: World) -> None:
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute("VACUUM dead_letters")
            cursor.execute(
                "SET enable_seqscan = off; SET enable_bitmapscan = off"
            )  # so few rows are read faster as they lie
            cursor.execute(f"EXPLAIN {health._DEAD_LETTERS}", {"days": 7})
            plan = "\n".join(row[0] for row in cursor)
            cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan")
    finally:
        admin.autocommit = False
    assert "Index Only Scan using dead_letters_by_time_and_reason" in plan
    assert plan.count("Sort Key") <= 2, "only the handful of groups is sorted"


def test_baselines_of_an_old_day_that_came_later_are_not_in_force(client: TestClient, admin: Any, world: World) -> None:
    before = get(client, "/health")["baselines"]["version"]
    expected = get(client, "/series", keyword="dance")["points"][0]["expected"]
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO baseline_versions (detector, history_from, history_to, keywords, pooled) SELECT detector,"
            " history_from, history_to - interval '9 days', 2, pooled FROM baseline_versions RETURNING version"
        )
        version = cursor.fetchone()[0]
        cursor.execute("INSERT INTO baselines VALUES (%s, 'dance', 9999, 1), (%s, 'zzzold', 1, 1)", (version, version))
    try:
        assert get(client, "/health")["baselines"]["version"] == before
        assert get(client, "/series", keyword="dance")["points"][0]["expected"] == expected
        assert get(client, "/keywords", prefix="zzz")["items"] == []
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM baseline_versions WHERE version = %s", (version,))


def test_parsed_days_and_parity_are_shown_and_a_difference_is_a_finding(
    client: TestClient, admin: Any, world: World
) -> None:
    found = get(client, "/health")
    assert [day["date"] for day in found["parsed_days"]] == [str(day) for day in reversed(world.days)]
    assert found["parsed_days"][0]["late_posts"] == 3
    assert found["parity_days"][0]["equal"] == 3831
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE parity_days SET unexplained = 7 WHERE date = %s", (world.days[-1],))
    try:
        found = get(client, "/health")
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE parity_days SET unexplained = 0")
    assert found["level"] == "warning"
    assert "7 keyword windows" in found["findings"][0]["what"]


def test_health_does_not_wait_for_a_kafka_that_is_away(make_client: Callable[..., TestClient], world: World) -> None:
    fresh = make_client()
    assert get(fresh, "/health")["consumer"] is None  # Kafka alone would take seconds to be found away
    told = get(fresh, "/kafka")
    assert (told["basis"], told["posts_behind"]) == ("unknown", None)
    assert "make up" in told["detail"]
    assert get(fresh, "/health")["consumer"]["detail"] == told["detail"]


def test_flink_away_is_told_not_raised(client: TestClient) -> None:
    found = get(client, "/flink")
    assert not found["reachable"]
    assert "FLINK_MASTER" in found["detail"]


def test_season_is_the_mean_week(client: TestClient) -> None:
    found = get(client, "/season", keyword="dance")
    assert len(found["mean"]) == 168
    assert found["days"] >= 14
    evening, night = found["mean"][19], found["mean"][4]
    assert evening > night


def test_suggestions_begin_with_the_text_and_take_it_literally(client: TestClient) -> None:
    assert get(client, "/keywords", prefix="#Da")["items"] == ["dance"]
    assert get(client, "/keywords", prefix="%")["items"] == []
    assert get(client, "/keywords", prefix="d_nce")["items"] == []


def test_watchlist_entries_are_made_changed_and_removed(writer: TestClient) -> None:
    made = writer.post(f"{API}/watchlist", json={"keyword": "#Gardening", "list": "Hobby"})
    assert made.status_code == 201
    entry = made.json()
    assert (entry["keyword"], entry["list"], entry["note"]) == ("gardening", "Hobby", None)
    address = made.headers["location"]
    assert writer.get(address).json() == entry
    assert writer.post(f"{API}/watchlist", json={"keyword": "gardening"}).status_code == 409
    assert writer.patch(address, json={"note": "spring"}).json()["note"] == "spring"
    moved = writer.patch(address, json={"list": "Other"}).json()
    assert (moved["list"], moved["note"]) == ("Other", "spring")
    assert writer.patch(address, json={"note": None}).json()["note"] is None
    assert {item["keyword"] for item in get(writer, "/watchlist", list="Other")["items"]} == {"gardening"}
    assert writer.delete(address).status_code == 204
    assert writer.delete(address).status_code == 404


@pytest.mark.parametrize("text", ["two words here", "https://example.org", "!!!"])
def test_what_is_no_keyword_is_not_watched(writer: TestClient, text: str) -> None:
    response = writer.post(f"{API}/watchlist", json={"keyword": text})
    assert response.status_code == 422
    assert response.json()["type"].endswith(":not-a-keyword")


def test_feedback_is_given_replaced_and_withdrawn(writer: TestClient, world: World) -> None:
    incident = f"/incidents/{world.incidents['sushi']}"
    for verdict in ("useful", "not_useful"):
        assert writer.put(f"{API}{incident}/feedback", json={"verdict": verdict}).json()["verdict"] == verdict
        assert get(writer, incident)["verdict"] == verdict
    assert writer.delete(f"{API}{incident}/feedback").status_code == 204
    assert get(writer, incident)["verdict"] is None
    assert writer.put(f"{API}/incidents/999999/feedback", json={"verdict": "useful"}).status_code == 404


def test_feedback_stays_with_an_incident_whose_beginning_changes(writer: TestClient, admin: Any, world: World) -> None:
    incident = f"/incidents/{world.incidents['sushi']}"
    move = "UPDATE incidents SET opened_at = opened_at + %s WHERE keyword = 'sushi'"
    writer.put(f"{API}{incident}/feedback", json={"verdict": "useful"})
    try:
        for by in (timedelta(minutes=15), timedelta(minutes=-45)):
            with admin, admin.cursor() as cursor:
                cursor.execute(move, (by,))
            assert get(writer, incident)["verdict"] == "useful"
        writer.put(f"{API}{incident}/feedback", json={"verdict": "not_useful"})
        assert get(writer, incident)["verdict"] == "not_useful"
        with admin, admin.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM feedback WHERE keyword = 'sushi'")
            assert cursor.fetchone() == (1,), "what was said before is left as an orphan"
            cursor.execute(move, (timedelta(minutes=30),))
        assert writer.delete(f"{API}{incident}/feedback").status_code == 204
        assert get(writer, incident)["verdict"] is None
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM feedback WHERE keyword = 'sushi'")


def test_a_surge_and_a_drop_at_the_same_time_are_judged_apart(writer: TestClient, admin: Any, world: World) -> None:
    surge = world.incidents["sushi"]
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity, status, kind,"
            " peak_mentions, peak_expected) SELECT keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity,"
            " status, 'drop', 0, peak_expected FROM incidents WHERE incident_id = %s RETURNING incident_id",
            (surge,),
        )
        drop = cursor.fetchone()[0]
    try:
        writer.put(f"{API}/incidents/{surge}/feedback", json={"verdict": "useful"})
        assert get(writer, f"/incidents/{drop}")["verdict"] is None
        writer.put(f"{API}/incidents/{drop}/feedback", json={"verdict": "not_useful"})
        assert get(writer, f"/incidents/{surge}")["verdict"] == "useful"
        writer.delete(f"{API}/incidents/{drop}/feedback")
        assert get(writer, f"/incidents/{surge}")["verdict"] == "useful"
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM incidents WHERE incident_id = %s", (drop,))
            cursor.execute("DELETE FROM feedback WHERE keyword = 'sushi'")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/incidents/0", 422),
        ("/incidents/999999", 404),
        ("/incidents?limit=100000", 422),
        ("/outliers?severity=worst", 422),
        ("/outliers?from=2026-03-01T00:00:00", 422),
        ("/outliers?from=1772323200", 422),
        ("/series?keyword=a&from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 422),
        ("/series", 422),
        ("/series?keyword=a%00b", 422),
        ("/nothing", 404),
    ],
)
def test_errors_are_problem_documents(client: TestClient, path: str, status: int) -> None:
    response = client.get(f"{API}{path}")
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"].startswith("urn:tiktok-anomalies:problem:")
    assert problem["detail"]
    assert problem["instance"] == f"{API}{path.partition('?')[0]}"
