"""Why a keyword was mentioned more than expected: which challenges, sounds, authors and other words came with it.

Exact, from the day's posts, once the daily batch has parsed them. A driver's *contribution* is the number of posts that
carry it beyond what its usual share of the expected mentions explains:

    contribution = posts with it − (its share of the keyword's posts on the days before) × mentions expected

and its share of the excess is that over (posts − mentions expected). A post may carry several drivers, so shares
need not add up to one. Of very many posts a sample is looked at, and its figures are scaled up to all. Before the day is parsed only the stream's samples are known: the keywords that were unusual in the
same windows and share sample posts with this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from dashboard.database import Database, Row
from dashboard.parameters import Keyword, Moment, PostId
from dashboard.posts import COLUMNS, Basis, Post, check_span, is_parsed, parsed_days, samples
from dashboard.problems import documented
from dashboard.series import Span, points, span_of
from dashboard.services import Reader
from transforms.readable import hashtag

router = APIRouter(tags=["keywords"])

MOST_POSTS = 20_000
"""Posts that are looked at, of the span and of the days before it each, give or take what a sample varies by: a bound on
the time of the query."""
LEAST_SHARE_BY_INDEX = 0.1
"""If a smaller share of a keyword's posts is enough, blocks of the table are sampled: the index would find them all."""
DAYS_BEFORE = 7
OF_EACH_KIND = 8
TO_CHOOSE_FROM = OF_EACH_KIND + 8
"""Drivers of each kind that are read: some of them are the keyword itself, or one another, in another spelling."""
SAMPLE_POSTS = 6
LEAST_USUAL_POSTS = 20
"""Posts of the days before that are needed to tell a driver's usual share."""

DriverKind = Literal["challenge", "sound", "author", "word"]


class Driver(BaseModel):
    """Something that came with the keyword."""

    kind: DriverKind
    id: str
    name: str
    keyword: str | None = Field(description="What posts with it are counted as; null for sounds and authors.")
    posts: int = Field(description="Posts of the keyword that carry it.")
    usual_share: float | None = Field(
        description="Its share of the keyword's posts on the days before; null if unknown."
    )
    contribution: float | None = Field(description="Posts beyond what the usual share explains; null if sampled.")
    share_of_excess: float | None = Field(description="Contribution over the keyword's excess; null if there is none.")
    example_posts: list[PostId] = Field(description="Up to three posts that carry it, most engagement first.")


class Breadth(BaseModel):
    """Whether many people are behind it or few."""

    posts: int = Field(description="Posts that were looked at.")
    authors: int = Field(description="Distinct authors.")
    top_author: str | None
    top_author_share: float | None = Field(description="Share of the posts that the busiest author wrote.")
    usual_top_author_share: float | None = Field(description="The same on the days before.")


class Drivers(BaseModel):
    """Why a keyword was mentioned more than expected in some windows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "basis": "exact",
                    "estimated": False,
                    "explanation": "From all 412 posts, compared with 1,204 posts of the 7 days before.",
                    "mentions": 412,
                    "expected": 61.4,
                    "excess": 350.6,
                    "compared_days": 7,
                    "drivers": [
                        {
                            "kind": "challenge",
                            "id": "slowmotion",
                            "name": "slowmotion",
                            "keyword": "slowmotion",
                            "posts": 260,
                            "usual_share": 0.04,
                            "contribution": 257.5,
                            "share_of_excess": 0.73,
                            "example_posts": ["7341234567890123456"],
                        }
                    ],
                    "breadth": {
                        "posts": 412,
                        "authors": 377,
                        "top_author": "ana.dances",
                        "top_author_share": 0.02,
                        "usual_top_author_share": 0.03,
                    },
                    "posts": [],
                }
            ]
        }
    )

    basis: Basis
    estimated: bool = Field(description="The posts are too many to look at each: a sample of them was scaled up.")
    explanation: str = Field(description="What the figures are taken from, in a sentence.")
    mentions: int
    expected: float | None = Field(description="Sum over the windows; null for a keyword without a baseline.")
    excess: float | None
    compared_days: int = Field(description="Days before the span whose posts are compared.")
    drivers: list[Driver]
    breadth: Breadth | None = Field(description="Null if sampled.")
    posts: list[Post] = Field(description="Examples, most engagement first.")


@router.get("/drivers", responses=documented(422, 503))
def get_drivers(
    reader: Reader,
    keyword: Keyword,
    start: Annotated[
        Moment, Query(alias="from", description="ISO 8601 with a zone.", examples=["2026-03-01T17:45:00Z"])
    ],
    end: Annotated[Moment, Query(alias="to", description="ISO 8601 with a zone.", examples=["2026-03-01T18:45:00Z"])],
) -> Drivers:
    """Return what came with a keyword in some windows, and how much of the excess it carries."""
    check_span(start, end)
    span = span_of(start, end)
    windows = points(reader, keyword, span)
    mentions = sum(point.mentions or 0 for point in windows)
    known = [point.expected for point in windows if point.expected is not None]
    expected = sum(known) if len(known) == len(windows) else None
    if not is_parsed(reader, span.start, span.end):
        return _sampled(reader, keyword, span, mentions, expected, _NOT_PARSED)
    # Hashtags that say nothing, as #fyp, are counted by the stream; the batch leaves them out of the posts' keywords.
    return _exact(reader, keyword, span, mentions, expected) or _sampled(
        reader, keyword, span, mentions, expected, _LEFT_OUT
    )


_NOT_PARSED = "The day has not been parsed yet: {}. Exact drivers follow with the daily batch."
_LEFT_OUT = "No parsed post names it, as with hashtags that the daily batch leaves out because they say nothing: {}."


def _exact(reader: Database, keyword: str, span: Span, mentions: int, expected: float | None) -> Drivers | None:
    """Compare the posts with those of the days before; None if there are mentions, but no posts."""
    start, end = span
    before = start - timedelta(days=DAYS_BEFORE)
    days = parsed_days(reader, before.date(), (start - timedelta(days=1)).date())
    row = reader.row(_MENTIONS_BEFORE, {"keyword": keyword, "before": before, "start": start})
    shares = _share(mentions), _share(row["mentions"] if row else 0)
    values = {
        "keyword": keyword,
        "start": start,
        "end": end,
        "before": before,
        "now_share": shares[0],
        "usual_share": shares[1],
        "expected": expected or 0.0,
        "each": TO_CHOOSE_FROM,
    }
    posts = _posts(*shares)
    sizes = reader.row(f"WITH {posts}, {_BREADTH}", values) or {}
    now, usual = sizes["posts"], sizes["usual_posts"]
    if not now and mentions:
        return None
    estimated = shares[0] < 1
    total = max(mentions, now) if estimated else now
    excess = None if expected is None else total - expected
    compared = usual >= LEAST_USUAL_POSTS
    values |= {"compared": compared, "scale": total / now if now else 1.0}
    rows = reader.rows(f"WITH {posts}, {_DRIVERS}", values) if now else []
    return Drivers(
        basis="exact",
        estimated=estimated,
        explanation=_explain(now, total, usual if compared else 0, len(days), shares),
        mentions=max(mentions, total),
        expected=expected,
        excess=excess,
        compared_days=len(days) if compared else 0,
        drivers=[_driver(row, excess, compared=compared) for row in _chosen(rows, keyword)],
        breadth=Breadth(
            posts=now,
            authors=sizes["authors"],
            top_author=sizes["top_author"],
            top_author_share=sizes["top_author_posts"] / now if now else None,
            usual_top_author_share=sizes["usual_top_author_posts"] / usual if compared else None,
        ),
        posts=[Post.model_validate(row) for row in reader.rows(_EXAMPLES, {**values, "limit": SAMPLE_POSTS})],
    )


def _share(posts: int) -> float:
    """Return the share of so many posts that is looked at."""
    return min(1.0, MOST_POSTS / max(posts, 1))


def _sampled(
    reader: Database, keyword: str, span: Span, mentions: int, expected: float | None, explanation: str
) -> Drivers:
    start, end = span
    own = samples(reader, keyword, start, end)
    rows = reader.rows(
        """
        SELECT keyword, array_agg(DISTINCT post::text) AS shared
        FROM outliers, unnest(sample_posts) AS post
        WHERE window_start >= %(start)s AND window_start < %(end)s AND status <> 'retracted'
            AND keyword <> %(keyword)s AND post = ANY(%(own)s::bigint[])
        GROUP BY keyword ORDER BY count(DISTINCT post) DESC, keyword LIMIT %(each)s
        """,
        {"keyword": keyword, "start": start, "end": end, "own": own, "each": OF_EACH_KIND},
    )
    return Drivers(
        basis="sampled",
        estimated=False,
        explanation=explanation.format(f"from {len(own)} sample posts that the stream kept"),
        mentions=mentions,
        expected=expected,
        excess=None if expected is None else mentions - expected,
        compared_days=0,
        drivers=[
            Driver(
                kind="word",
                id=row["keyword"],
                name=row["keyword"],
                keyword=row["keyword"],
                posts=len(row["shared"]),
                usual_share=None,
                contribution=None,
                share_of_excess=None,
                example_posts=row["shared"][:3],
            )
            for row in rows
        ],
        breadth=None,
        posts=[Post(post_id=post) for post in own[:SAMPLE_POSTS]],
    )


def _chosen(rows: Sequence[Row], keyword: str) -> list[Row]:
    """Return the first of each kind without the keyword's own hashtags, and without words that are a hashtag among them.

    The query leaves out what differs in case alone; how hashtags are folded SQL cannot tell.
    """
    tags = {row["id"]: hashtag(row["id"]) for row in rows if row["kind"] == "challenge"}
    of_kind: Counter[DriverKind] = Counter()
    chosen = []
    for row in rows:
        kind, name = row["kind"], row["id"]
        if (kind == "challenge" and tags[name] == keyword) or (kind == "word" and name in tags.values()):
            continue
        of_kind[kind] += 1
        if of_kind[kind] <= OF_EACH_KIND:
            chosen.append(row)
    return chosen


def _driver(row: Row, excess: float | None, *, compared: bool) -> Driver:
    """Without days to compare with, the expected mentions are taken to carry the driver as often as the others."""
    posts = row["posts"]
    share: float | None = None
    contribution: float | None = None
    if compared:
        contribution = row["contribution"]
        share = contribution / excess if excess is not None and excess > 0 else None
    elif excess is not None and excess > 0:
        share = row["share"]
        contribution = share * excess
    return Driver(
        kind=row["kind"],
        id=row["id"],
        name=row["name"] or row["id"],
        keyword=row["id"] if row["kind"] == "word" else hashtag(row["id"]) if row["kind"] == "challenge" else None,
        posts=posts,
        usual_share=row["usual_share"] if compared else None,
        contribution=contribution,
        share_of_excess=share,
        example_posts=row["example_posts"],
    )


def _explain(now: int, total: int, usual: int, days: int, shares: tuple[float, float]) -> str:
    looked = f"a sample of {now:,} of {total:,}" if shares[0] < 1 else f"all {now:,}"
    if not usual:
        return f"From {looked} posts. No earlier days are there to compare with, so shares are shares of the posts."
    compared = f"{'a sample of ' * (shares[1] < 1)}{usual:,} posts"
    before = f"the {days} day{'s' * (days != 1)} before" if days else "the same day, earlier"
    return f"From {looked} posts, compared with {compared} of {before}."


def _posts(now_share: float, usual_share: float) -> str:
    """Return the queries of the posts that are looked at, the same ones each time, given which share that is.

    Windows that were outliers themselves say nothing about what is usual.
    """
    now, now_condition = _sample("now_share", now_share)
    usual, usual_condition = _sample("usual_share", usual_share)
    return f"""
        now AS MATERIALIZED (
            SELECT post_id, author_id, author_name, keywords, challenges, music_id, engagement
            FROM {now}
            WHERE keywords @> ARRAY[%(keyword)s] AND seen_at >= %(start)s AND seen_at < %(end)s {now_condition}
        ),
        usual AS MATERIALIZED (
            SELECT post_id, author_id, author_name, keywords, challenges, music_id, engagement
            FROM {usual}
            WHERE keywords @> ARRAY[%(keyword)s] AND seen_at >= %(before)s AND seen_at < %(start)s {usual_condition}
                AND NOT EXISTS (
                    SELECT FROM outliers o
                    WHERE o.keyword = %(keyword)s AND o.status <> 'retracted'
                        AND o.window_start = date_bin('15 minutes', posts.seen_at, 'epoch')
                )
        )
    """  # noqa: S608 - text of our own


def _sample(name: str, share: float) -> tuple[str, str]:
    """Return what to read, and a condition, so that a share of the posts is found whatever order they lie in."""
    if share >= 1:
        return "posts", ""
    if share < LEAST_SHARE_BY_INDEX:
        return f"posts TABLESAMPLE SYSTEM (100 * %({name})s) REPEATABLE (1)", ""
    return "posts", f"AND abs(hashint8(post_id)::float) < %({name})s * 2147483648"


_MENTIONS_BEFORE = """
    SELECT coalesce(sum(mentions), 0)::bigint AS mentions FROM keyword_windows
    WHERE keyword = %(keyword)s AND window_start >= %(before)s AND window_start < %(start)s
"""

_BREADTH = """
    busiest AS (
        SELECT max(author_name) AS name, count(*) AS posts FROM now WHERE author_id IS NOT NULL
        GROUP BY author_id ORDER BY count(*) DESC, author_id LIMIT 1
    )
    SELECT (SELECT count(*) FROM now) AS posts,
           (SELECT count(DISTINCT author_id) FROM now) AS authors,
           (SELECT name FROM busiest) AS top_author,
           coalesce((SELECT posts FROM busiest), 0) AS top_author_posts,
           (SELECT count(*) FROM usual) AS usual_posts,
           coalesce((SELECT max(n) FROM (SELECT count(*) AS n FROM usual WHERE author_id IS NOT NULL GROUP BY author_id) _), 0)
               AS usual_top_author_posts
"""


def _carried(source: str) -> str:
    """Each driver of each post; a hashtag is a challenge rather than one more word."""
    return f"""
        SELECT 'challenge' AS kind, lower(value) AS id, value AS name, post_id, engagement
        FROM {source}, unnest(challenges) AS value WHERE lower(value) <> %(keyword)s
        UNION ALL
        SELECT 'sound', music_id, NULL, post_id, engagement FROM {source} WHERE music_id IS NOT NULL
        UNION ALL
        SELECT 'author', author_id, author_name, post_id, engagement FROM {source} WHERE author_id IS NOT NULL
        UNION ALL
        SELECT 'word', value, NULL, post_id, engagement FROM {source}, unnest(keywords) AS value
        WHERE value <> %(keyword)s AND value <> ALL (SELECT lower(name) FROM unnest(challenges) AS name)
    """  # noqa: S608 - one of two names of our own


_DRIVERS = f"""
    size AS (SELECT (SELECT count(*) FROM now)::float AS now, (SELECT count(*) FROM usual)::float AS usual),
    found AS (
        SELECT kind, id, max(name) AS name, count(DISTINCT post_id) AS posts,
               (array_agg(post_id::text ORDER BY engagement DESC, post_id))[1:3] AS example_posts
        FROM ({_carried("now")}) carried GROUP BY kind, id HAVING count(DISTINCT post_id) > 1
    ),
    before AS (
        SELECT kind, id, count(DISTINCT post_id) AS posts FROM ({_carried("usual")}) carried GROUP BY kind, id
    ),
    weighed AS (
        SELECT found.*, size.now AS all_posts, coalesce(before.posts, 0) / greatest(size.usual, 1) AS usual_share,
               %(scale)s * found.posts - coalesce(before.posts, 0) / greatest(size.usual, 1) * %(expected)s AS contribution
        FROM found CROSS JOIN size LEFT JOIN before USING (kind, id)
    ),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY kind ORDER BY contribution DESC, id) AS place FROM weighed
        WHERE contribution > 0
            -- What is as frequent as usual grows with the keyword and drives nothing; 2.5 is in standard deviations.
            AND (NOT %(compared)s OR posts - usual_share * all_posts > 2.5 * sqrt(usual_share * all_posts + 1))
    )
    SELECT kind, id, round(%(scale)s * posts)::bigint AS posts, posts / all_posts AS share, usual_share, contribution, example_posts,
           CASE kind WHEN 'sound' THEN (
               SELECT concat_ws(' – ', music, artist) FROM music_daily
               WHERE music_id = ranked.id AND date BETWEEN %(start)s::date AND %(end)s::date LIMIT 1
           ) ELSE name END AS name
    FROM ranked WHERE place <= %(each)s ORDER BY contribution DESC, kind, id
"""  # noqa: S608 - text of our own

_EXAMPLES = f"""
    SELECT {COLUMNS} FROM posts p
    WHERE p.keywords @> ARRAY[%(keyword)s] AND p.seen_at >= %(start)s AND p.seen_at < %(end)s
    ORDER BY p.engagement DESC, p.post_id DESC LIMIT %(limit)s
"""  # noqa: S608 - text of our own
