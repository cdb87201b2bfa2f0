"""A world to look at: what the pipelines would have written of two weeks, generated, with known events.

    python -m tests.dashboard.world        # a dashboard over it, on a Postgres of its own, until Ctrl-C

Each event has one cause — a challenge, a sound, an author or a word — so that a test can ask for it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psycopg2
from psycopg2.extras import Json, execute_values

from beam_pipelines.trends import write_trends
from local import signals
from tests.conftest import running

WINDOW = timedelta(minutes=15)
DAYS = 14
POST_DAYS = 8
"""Days, up to yesterday, whose posts are parsed."""

WORDS = (
    "dance fashion recipe workout skincare football kpop anime makeup travel puppy guitar thrift lofi gardening "
    "chess painting sneakers ramen pilates booktok cosplay vintage marathon ceramics astrology camping drone espresso "
    "knitting parkour sushi tattoo unboxing vegan yoga karaoke retro sunset skate"
).split()
SEVERITIES = ("low", "medium", "high", "critical")
TABLES = (
    "outliers incidents keyword_windows window_totals baselines baseline_versions posts keyword_daily challenge_daily "
    "music_daily trends parsed_days parity_days dead_letters watchlist feedback"
).split()
MUSIC = {
    "6900000000000000001": ("Slow Motion", "Ana Rivers"),
    "6900000000000000002": ("Midnight Tram", "The Night Buses"),
    "6900000000000000003": ("Kitchen Floor", "Mo & Lea"),
    "6900000000000000004": ("Original sound", "kicks.daily"),
    "6900000000000000005": ("Paper Planes II", "Okto"),
}


@dataclass(frozen=True)
class Event:
    """A surge or drop of a keyword, its cause, and how it ended.

    Attributes:
        keyword: the keyword.
        ago: windows from its opening to the newest window.
        windows: how many windows it lasted.
        factor: mentions over expected at its peak.
        shape: pulse, ramp_up or mean_shift.
        severity: of its peak.
        state: open, closed or retracted.
        cause: what its posts carry: kind and name.
    """

    keyword: str
    ago: int
    windows: int
    factor: float
    shape: str
    severity: str
    state: str = "closed"
    cause: tuple[str, str] = ("word", "tutorial")

    @property
    def kind(self) -> str:
        return "drop" if self.factor < 1 else "surge"

    @property
    def score(self) -> float:
        return {"low": 1.1, "medium": 1.9, "high": 2.8, "critical": 4.2}[self.severity] + len(self.keyword) / 40

    def at(self, window: int) -> float:
        """Mentions over expected in the event's n-th window."""
        if self.shape == "mean_shift":
            return self.factor
        if self.shape == "ramp_up":
            return 1 + (self.factor - 1) * (window + 1) / self.windows
        middle = (self.windows - 1) / 2
        return 1 + (self.factor - 1) * float(np.exp(-(((window - middle) / max(self.windows / 4, 0.8)) ** 2)))


EVENTS = (
    Event("dance", 5, 6, 7.4, "ramp_up", "critical", "open", ("challenge", "slowmotionchallenge")),
    Event("ramen", 9, 10, 5.2, "pulse", "critical", "open", ("sound", "6900000000000000003")),
    Event("sneakers", 3, 4, 4.1, "ramp_up", "high", "open", ("author", "kicks.daily")),
    Event("marathon", 14, 15, 2.6, "mean_shift", "high", "open", ("word", "finish")),
    Event("lofi", 2, 3, 2.4, "pulse", "medium", "open", ("sound", "6900000000000000002")),
    Event("booktok", 7, 8, 2.1, "mean_shift", "medium", "open", ("word", "release")),
    Event("astrology", 1, 2, 2.2, "pulse", "low", "open", ("word", "retrograde")),
    Event("football", 4, 5, 0.12, "mean_shift", "medium", "open"),
    Event("kpop", 130, 9, 6.3, "pulse", "critical", "closed", ("challenge", "comeback")),
    Event("puppy", 150, 5, 3.4, "pulse", "high", "closed", ("author", "two.corgis")),
    Event("espresso", 170, 12, 2.8, "ramp_up", "medium", "closed", ("challenge", "latteart")),
    Event("sushi", 210, 4, 2.3, "pulse", "low", "closed"),
    Event("drone", 60, 1, 2.0, "pulse", "low", "retracted"),
)


@dataclass(frozen=True)
class World:
    """What was generated.

    Attributes:
        newest: start of the newest window, which is open.
        incidents: ids by keyword.
        days: parsed days.
    """

    newest: datetime
    incidents: dict[str, int] = field(default_factory=dict)
    days: list[date] = field(default_factory=list)


def floor(moment: datetime) -> datetime:
    return moment - timedelta(minutes=moment.minute % 15, seconds=moment.second, microseconds=moment.microsecond)


def empty(connection: Any) -> None:
    """Remove everything that the dashboard shows."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")


def fill(connection: Any, now: datetime | None = None, seed: int = 3) -> World:
    """Generate the world into empty tables."""
    rng = np.random.default_rng(seed)
    newest = floor(now or datetime.now(UTC))
    starts = [newest - i * WINDOW for i in range(DAYS * 96 - 1, -1, -1)]
    volume = np.array([_rhythm(start) for start in starts])
    volume /= volume.mean()
    levels = {word: float(level) for word, level in zip(WORDS, rng.lognormal(2.6, 0.8, len(WORDS)), strict=True)}
    levels |= {event.keyword: max(levels[event.keyword], 14.0) for event in EVENTS}
    counts = {
        word: rng.negative_binomial(12, 12 / (12 + level * volume * rng.uniform(0.9, 1.1)))
        for word, level in levels.items()
    }
    outliers, incidents = [], []
    for event in EVENTS:
        outliers += _outliers(event, starts, counts[event.keyword], levels[event.keyword] * volume, rng)
    for event in EVENTS:
        own = [row for row in outliers if row[0] == event.keyword]
        peak = max(own, key=lambda row: row[7])
        incidents.append(
            (
                event.keyword, own[0][1], None if event.state == "open" else own[-1][1] + timedelta(hours=2), peak[1],
                peak[7], event.state, event.shape, own[-1][1], event.severity,
                "provisional" if event.ago < 2 else "confirmed",
                event.kind, peak[2], peak[3],
            )
        )  # fmt: skip
    with connection, connection.cursor() as cursor:
        _windows(cursor, starts, volume, counts, levels, rng)
        execute_values(
            cursor,
            "INSERT INTO outliers (keyword, window_start, mentions, expected, lower, upper, p_value, score, severity, status,"
            " tide, excess, sample_posts, baseline_version, detector, pane, posts) VALUES %s",
            outliers,
        )
        rows = execute_values(
            cursor,
            "INSERT INTO incidents (keyword, opened_at, closed_at, peak_at, peak_score, state, shape, last_at, severity,"
            " status, kind, peak_mentions, peak_expected) VALUES %s RETURNING keyword, incident_id",
            incidents,
            fetch=True,
        )
        days = _posts(cursor, starts, levels, rng)
        _around(cursor, newest)
    for day in days:
        write_trends(connection, day)
    with connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return World(newest, dict(rows), days)


def _rhythm(start: datetime) -> float:
    hour = start.hour + start.minute / 60
    evening = np.exp(-(((hour - 19.5) % 24 - 24 * ((hour - 19.5) % 24 > 12)) ** 2) / 18)
    return float(0.45 + evening + 0.3 * np.exp(-((hour - 12) ** 2) / 8)) * (1.15 if start.weekday() > 4 else 1.0)


def _outliers(event: Event, starts: list[datetime], counts: Any, expected: Any, rng: Any) -> list[tuple[Any, ...]]:
    first = len(starts) - 1 - event.ago
    rows = []
    for i in range(event.windows):
        at = first + i
        usual, ratio = float(expected[at]), event.at(i)
        mentions = int(rng.poisson(usual * ratio))
        if event.state != "retracted":
            counts[at] = mentions
        strength = float(min(abs(np.log(max(ratio, 0.05))) / abs(np.log(event.factor)), 1.0))
        score = event.score * (0.6 + 0.4 * strength)
        severity = event.severity if strength > 0.8 else SEVERITIES[max(SEVERITIES.index(event.severity) - 1, 0)]
        open_window = at == len(starts) - 1
        status = "retracted" if event.state == "retracted" else "provisional" if open_window else "confirmed"
        samples = [int(7_300_000_000_000_000_000 + rng.integers(10**15)) for _ in range(3)]
        if event.cause[0] == "word" and open_window:
            samples[0] = 7_399_999_999_999_999_999
        rows.append(
            (
                event.keyword, starts[at], mentions, usual, max(usual * 0.3, 0), usual * 2, 10 ** (-score * 3 - 1), score,
                severity, status, min(usual * 0.08, max(mentions - usual, 0)), mentions - usual, samples, 1, "return_period",
                0 if open_window else 1, int(1800 * usual),
            )
        )  # fmt: skip
    return rows


def _windows(cursor: Any, starts: Any, volume: Any, counts: Any, levels: Any, rng: Any) -> None:
    for day in sorted({start.date() for start in starts}):
        cursor.execute("SELECT ensure_day_partition('keyword_windows', %s)", (day,))
    closed = len(starts) - 1
    rows = [(word, starts[i], int(counts[word][i]), 1) for word in levels for i in range(closed) if counts[word][i] > 1]
    execute_values(
        cursor, "INSERT INTO keyword_windows (keyword, window_start, mentions, pane) VALUES %s", rows, page_size=5_000
    )
    totals = [(starts[i], int(rng.poisson(1600 * volume[i])), int(i < closed)) for i in range(closed)]
    totals.append((starts[closed], int(rng.poisson(700 * volume[closed])), 0))
    execute_values(cursor, "INSERT INTO window_totals (window_start, posts, pane) VALUES %s", totals)
    mean = np.mean([_rhythm(start) for start in starts])
    week = sorted(starts[:672], key=lambda start: (start.weekday(), start.hour, start.minute))
    season = [float(np.mean([_rhythm(start) for start in week[i * 4 : i * 4 + 4]]) / mean) for i in range(168)]
    cursor.execute(
        "INSERT INTO baseline_versions (detector, history_from, history_to, keywords, published_at, pooled) VALUES"
        " ('return_period', %s, %s, %s, %s, %s) RETURNING version",
        (
            starts[0],
            starts[-1].replace(hour=0, minute=0),
            len(levels),
            starts[-1] - timedelta(hours=7),
            Json({"season": season}),
        ),
    )
    version = cursor.fetchone()[0]
    execute_values(
        cursor,
        "INSERT INTO baselines (version, keyword, level, dispersion) VALUES %s",
        [(version, word, level, float(np.sqrt(level + level**2 / 12))) for word, level in levels.items()],
    )


def _posts(cursor: Any, starts: list[datetime], levels: dict[str, float], rng: Any) -> list[date]:
    """Posts of the keywords with events, on the parsed days, and the daily sums."""
    last = starts[-1].date()
    days = [last - timedelta(days=i) for i in range(POST_DAYS, 0, -1)]
    rows: list[tuple[Any, ...]] = []
    for day in days:
        cursor.execute("SELECT ensure_day_partition('posts', %s)", (day,))
    number = 7_310_000_000_000_000_000
    for event in EVENTS:
        for i, start in enumerate(starts):
            if start.date() not in days:
                continue
            window = i - (len(starts) - 1 - event.ago)
            surging = 0 <= window < event.windows and event.state == "closed"
            usual = levels[event.keyword] * _rhythm(start) / 6
            for surplus in [False] * int(rng.poisson(usual)) + [True] * (
                int(rng.poisson(usual * 6 * (event.at(window) - 1))) if surging else 0
            ):
                number += int(rng.integers(10**9))
                rows.append(_post(number, start, event, surplus, rng))
    columns = "post_id, posted_at, seen_at, author_id, author_name, text, keywords, challenges, music_id, comment_count, digg_count, share_count"
    execute_values(cursor, f"INSERT INTO posts ({columns}) VALUES %s", rows, page_size=2_000)
    cursor.execute(
        "INSERT INTO keyword_daily SELECT (seen_at AT TIME ZONE 'UTC')::date, keyword, count(*) FROM posts, unnest(keywords) AS keyword GROUP BY 1, 2"
    )
    cursor.execute(
        "INSERT INTO challenge_daily SELECT (seen_at AT TIME ZONE 'UTC')::date, challenge, count(*), sum(engagement)"
        " FROM posts, unnest(challenges) AS challenge GROUP BY 1, 2"
    )
    execute_values(
        cursor,
        "INSERT INTO music_daily SELECT date, music.id, music.title, music.artist, posts, engagement FROM (VALUES %s) AS"
        " music (id, title, artist) JOIN (SELECT (seen_at AT TIME ZONE 'UTC')::date AS date, music_id, count(*) AS posts,"
        " sum(engagement) AS engagement FROM posts GROUP BY 1, 2) daily ON daily.music_id = music.id",
        [(identity, *names) for identity, names in MUSIC.items()],
    )
    cursor.execute(
        "INSERT INTO parsed_days (date, posts, duplicates, late_posts, dead_letters, objects, seconds)"
        " SELECT (seen_at AT TIME ZONE 'UTC')::date, count(*), 12, 3, 2, 24, 1.5 FROM posts GROUP BY 1"
    )
    cursor.execute(
        "INSERT INTO parity_days (date, keyword_windows, equal, late, duplicate, missing, unexplained)"
        " SELECT date, 3840, 3831, 5, 4, 0, 0 FROM parsed_days"
    )
    return days


def _post(number: int, start: datetime, event: Event, surplus: bool, rng: Any) -> tuple[Any, ...]:
    keywords, challenges = {event.keyword, str(rng.choice(["love", "daily", "video", "friends"]))}, [event.keyword]
    music = str(rng.choice(list(MUSIC)))
    author = int(rng.integers(1, 4_000))
    author_id, author_name = f"u{author}", f"user.{author}"
    kind, name = event.cause
    carries = surplus and rng.random() < 0.85
    if carries and kind == "challenge":
        challenges.append(name)
        keywords.add(name)
    elif carries and kind == "sound":
        music = name
    elif carries and kind == "author":
        author_id, author_name = f"author-{name}", name
    elif carries:
        keywords.add(name)
    text = f"{' '.join(sorted(keywords - set(challenges)))} with friends " + " ".join(f"#{c}" for c in challenges)
    seen = start + timedelta(seconds=float(rng.uniform(0, 900)))
    likes = int(rng.pareto(1.2) * 40)
    return (
        number, seen - timedelta(seconds=30), seen, author_id, author_name, text, sorted(keywords), challenges, music,
        likes // 30, likes, likes // 12,
    )  # fmt: skip


def _around(cursor: Any, newest: datetime) -> None:
    """Dead letters, a watchlist, a verdict; what the batch says of its days."""
    letters = [
        ("not_json", "JSON is malformed: invalid character (byte 17)", 9),
        ("bad_id", "itemInfos.id is missing", 4),
        ("not_utf8", "invalid start byte", 2),
    ]
    offset = 0
    for reason, detail, count in letters:
        for i in range(count):
            offset += 1
            at = newest - timedelta(hours=i * 5, minutes=offset)
            cursor.execute(
                "INSERT INTO dead_letters VALUES ('posts', 0, %s, %s, %s, %s, %s)", (offset, at, reason, detail, b"{")
            )
    for keyword, name, note in (
        ("dance", "Campaign", "Spring launch, until April."), ("sneakers", "Campaign", None), ("ramen", "Competitors", None),
        ("espresso", "Competitors", "Latte art push."), ("yoga", "Campaign", None),
    ):  # fmt: skip
        cursor.execute("INSERT INTO watchlist (keyword, list, note) VALUES (%s, %s, %s)", (keyword, name, note))
    cursor.execute(
        "INSERT INTO feedback (keyword, kind, opened_at, verdict) SELECT keyword, kind, opened_at, 'useful' FROM incidents WHERE keyword = 'kpop'"
    )


def show(*fills: Callable[[Any], object]) -> int:
    """Serve a dashboard over a Postgres of its own, which ``fills`` fill, until Ctrl-C; then delete it."""
    signals.interrupt_once()
    with suppress(KeyboardInterrupt), running("world", {"postgres"}) as settings:
        print("filling its tables …", flush=True)
        connection = psycopg2.connect(
            host=settings.postgres.host, port=settings.postgres.port, dbname=settings.database,
            user=settings.admin.user, password=settings.admin.password,
        )  # fmt: skip
        for each in fills:
            each(connection)
        connection.close()
        token = secrets.token_hex(16)
        print(f"to sign in: {token}", flush=True)
        environment = {**os.environ, **settings.environment, "DASHBOARD_TOKEN": token}
        return subprocess.run([sys.executable, "-m", "dashboard"], env=environment, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(show(fill))
