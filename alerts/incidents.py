"""Incidents as an alert tells of them, and how they are read from Postgres."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

LOOKBACK_HOURS = 24
"""What nobody touched for so long is no news, also to a service that was down meanwhile."""

SAMPLE_POSTS = 3

DRIVERS = 5

EVIDENCE_WINDOWS = 4
"""The strongest windows of an incident, whose sample posts are looked at: a bound for incidents that last days."""


class Stage(StrEnum):
    """How far an incident has come."""

    OPENED = "opened"  # going on, its last window not yet closed
    CONFIRMED = "confirmed"  # going on, and a closed window says so
    CLOSED = "closed"  # over
    RETRACTED = "retracted"  # a later count no longer supports it


class SamplePost(msgspec.Struct, frozen=True):
    """A post of the incident.

    Attributes:
        post_id: TikTok's id.
        text: its text, if the post is in the table of posts already.
    """

    post_id: int
    text: str | None = None


class Driver(msgspec.Struct, frozen=True):
    """A keyword that was unusual at the same time, and in the same posts.

    What the stream knows within minutes: sampled, for it keeps a few posts of each outlier. What exactly was behind a rise
    is known once the day is parsed.

    Attributes:
        keyword: the other keyword.
        posts: sample posts that they share.
    """

    keyword: str
    posts: int


class Incident(msgspec.Struct, frozen=True):
    """A row of ``incidents`` at one moment, with posts and drivers where they are known.

    Attributes:
        incident_id: identity.
        keyword: the keyword.
        kind: ``surge`` or ``drop``.
        severity: one of ``SEVERITIES``.
        state: ``open``, ``closed`` or ``retracted``.
        status: ``provisional`` or ``confirmed``.
        opened_at: start of its first window.
        last_at: start of its last window so far.
        closed_at: when it was over.
        peak_at: start of its most unusual window.
        peak_score: score of that window.
        peak_mentions: mentions in that window.
        peak_expected: mentions that were expected in it.
        shape: what its course looks like.
        updated_at: when the row last changed.
        watched: whether the keyword is on the watchlist.
        muted: whether the keyword is muted.
        detector: the detector that judged, which says what a score means.
        drivers: what it came with, in falling order of shared posts.
        posts: the most engaging posts of its most unusual window.
    """

    incident_id: int
    keyword: str
    kind: str
    severity: str
    state: str
    status: str
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    peak_at: datetime
    peak_score: float
    peak_mentions: int
    peak_expected: float
    shape: str
    updated_at: datetime
    watched: bool
    muted: bool
    detector: str | None = None
    drivers: tuple[Driver, ...] = ()
    posts: tuple[SamplePost, ...] = ()

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        if self.state == "retracted":
            return Stage.RETRACTED
        if self.state == "closed":
            return Stage.CLOSED
        return Stage.CONFIRMED if self.status == "confirmed" else Stage.OPENED


# JSON has no infinity, which a score may reach.
_CANDIDATES = """
    SELECT i.incident_id, i.keyword, i.kind, i.severity, i.state, i.status, i.opened_at,
        i.last_at, i.closed_at, i.peak_at, least(i.peak_score, 300),
        i.peak_mentions, i.peak_expected, i.shape, i.updated_at,
        EXISTS (SELECT FROM watchlist w WHERE w.keyword = i.keyword),
        EXISTS (SELECT FROM alert_mutes m WHERE m.keyword = i.keyword AND (m.until IS NULL OR m.until > now()))
    FROM incidents i
    WHERE i.updated_at > now() - make_interval(hours => %(hours)s)
        AND (i.severity = ANY(%(severities)s)
            OR EXISTS (SELECT FROM watchlist w WHERE w.keyword = i.keyword)
            OR EXISTS (SELECT FROM alert_outbox o WHERE o.incident_id = i.incident_id))
    ORDER BY i.incident_id
"""

_EVIDENCE = """
    SELECT detector, window_start, sample_posts FROM outliers
    WHERE keyword = %(keyword)s AND status <> 'retracted' AND window_start BETWEEN %(since)s AND %(until)s
    ORDER BY window_start = %(peak)s DESC, score DESC LIMIT %(most)s
"""

_DRIVERS = """
    SELECT o.keyword, count(DISTINCT post) FROM outliers o, unnest(o.sample_posts) AS post
    WHERE o.window_start = ANY(%(windows)s) AND o.status <> 'retracted'
        AND o.keyword <> %(keyword)s AND post = ANY(%(posts)s::bigint[])
    GROUP BY o.keyword ORDER BY count(DISTINCT post) DESC, o.keyword LIMIT %(most)s
"""

# The times only keep other days' partitions out of the search.
_POSTS = """
    SELECT DISTINCT ON (post_id) post_id, text FROM posts
    WHERE post_id = ANY(%(posts)s::bigint[]) AND seen_at BETWEEN %(since)s AND %(until)s + interval '1 day'
    ORDER BY post_id, seen_at DESC
"""


def candidates(cursor: Any, severities: Collection[str]) -> list[Incident]:
    """Read the incidents that changed lately and are of these severities, on the watchlist, or told of already."""
    cursor.execute(_CANDIDATES, {"hours": LOOKBACK_HOURS, "severities": list(severities)})
    return [Incident(*row) for row in cursor.fetchall()]


def with_evidence(cursor: Any, incident: Incident) -> Incident:
    """Add detector, sample posts and drivers, as far as they are known."""
    values: dict[str, Any] = {
        "keyword": incident.keyword,
        "since": incident.opened_at,
        "until": incident.last_at,
        "peak": incident.peak_at,
    }
    cursor.execute(_EVIDENCE, {**values, "most": EVIDENCE_WINDOWS})
    outliers = cursor.fetchall()  # the peak first
    if not outliers:
        return incident
    detector, _, best = outliers[0]
    windows = [start for _, start, _ in outliers]
    sampled = [post for _, _, posts in outliers for post in posts]
    cursor.execute(_DRIVERS, {"keyword": incident.keyword, "windows": windows, "posts": sampled, "most": DRIVERS})
    drivers = tuple(Driver(keyword, posts) for keyword, posts in cursor.fetchall())
    cursor.execute(_POSTS, {**values, "posts": best[:SAMPLE_POSTS]})
    texts = dict(cursor.fetchall())
    posts = tuple(SamplePost(post, texts.get(post)) for post in best[:SAMPLE_POSTS])
    return msgspec.structs.replace(incident, detector=detector, drivers=drivers, posts=posts)
