"""The outbox on a real Postgres."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from alerts import outbox
from alerts.incidents import Driver, SamplePost, Stage
from alerts.outbox import Digest, Message
from tests.alerts.conftest import Database

pytestmark = pytest.mark.integration

CHANNELS = ("webhook", "email")
SEVERITIES = ("high", "critical")
QUIET = ("low", "medium", "high")  # held in quiet hours that let critical ones pass
LEASE = 60.0


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    connection = database.connect()
    outbox.open_channels(connection, CHANNELS)
    yield connection
    connection.close()


def enqueue(connection: Any) -> int:
    return outbox.enqueue(connection, CHANNELS, SEVERITIES)


def claim(
    connection: Any, channel: str = "webhook", held: tuple[str, ...] = (), lease: float = LEASE
) -> Message | Digest | None:
    return outbox.claim(connection, channel, held, lease)


def claimed(connection: Any, **options: Any) -> Message:
    message = claim(connection, **options)
    assert isinstance(message, Message)
    return message


def flood(database: Database, connection: Any, count: int) -> list[int]:
    """Open so many incidents, the later the more unusual, and bundle what is more than two."""
    numbers = [database.incident(f"keyword{i}", peak_score=1.0 + i) for i in range(count)]
    enqueue(connection)
    outbox.bundle(connection, "webhook", (), above=2)
    return numbers


def claimed_digest(connection: Any, **options: Any) -> Digest:
    digest = claim(connection, **options)
    assert isinstance(digest, Digest)
    return digest


def told(digest: Digest) -> list[str]:
    return [message.incident.keyword for message in digest.messages]


def test_an_incident_is_told_once_per_channel(database: Database, connection: Any) -> None:
    database.incident()
    database.incident("quiet", severity="low")
    assert enqueue(connection) == 2
    assert enqueue(connection) == 0
    message = claimed(connection)
    assert (message.event, message.incident.keyword, message.attempt) == (Stage.OPENED, "dance", 1)
    assert claim(connection) is None
    outbox.sent(connection, message)
    assert enqueue(connection) == 0
    assert database.messages() == [("webhook", "opened", "sent", 1), ("email", "opened", "pending", 0)]


def test_updates_follow_in_order_and_as_a_thread(database: Database, connection: Any) -> None:
    incident = database.incident()
    enqueue(connection)
    first = claimed(connection)
    database.change(incident, status="confirmed")
    enqueue(connection)
    assert claim(connection) is None  # while the first is under way
    outbox.failed(connection, first, "HTTP 500", 3600)
    assert claim(connection) is None  # and while it is tried again
    outbox.sent(connection, first)
    second = claimed(connection)
    outbox.sent(connection, second)
    database.change(incident, state="closed", closed_at=datetime.now(UTC))
    enqueue(connection)
    third = claimed(connection)
    assert [m.event for m in (first, second, third)] == [Stage.OPENED, Stage.CONFIRMED, Stage.CLOSED]
    assert len({m.message_id for m in (first, second, third)}) == 3
    assert {m.thread_id for m in (first, second, third)} == {first.message_id}


def outlier(
    database: Database, keyword: str, start: datetime, score: float, posts: list[int], status: str = "confirmed"
) -> None:
    database.run(
        """
        INSERT INTO outliers (keyword, window_start, mentions, expected, lower, upper, p_value, score, severity, status,
            tide, excess, sample_posts, baseline_version, detector, pane, posts)
        VALUES (%s, %s, 50, 5, 2, 9, 0, %s, 'high', %s, 0, 45, %s, 1, 'return_period', 1, 900)
        """,
        keyword,
        start,
        score,
        status,
        posts,
    )


def test_a_message_tells_what_is_known_of_the_incident(database: Database, connection: Any) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    database.run("SELECT ensure_day_partition('posts', %s)", now.date())
    database.run("INSERT INTO posts (post_id, seen_at, text) VALUES (7, %s, 'look')", now)
    before = now - timedelta(minutes=15)
    outlier(database, "dance", now, 3.0, [7, 8, 9, 10])
    outlier(database, "dance", before, 9.0, [1, 2])
    outlier(database, "summer", now, 3.0, [8, 20])
    outlier(database, "beach", now, 3.0, [7, 8, 2])
    outlier(database, "beach", before, 3.0, [7, 2])
    outlier(database, "apart", now, 3.0, [20, 21])
    outlier(database, "gone", now, 3.0, [7, 8], status="retracted")
    outlier(database, "earlier", now - timedelta(hours=2), 3.0, [7, 8])
    database.incident(
        opened_at=now - timedelta(hours=1),
        last_at=now,
        peak_at=now,
        shape="ramp_up",
    )
    database.run("INSERT INTO watchlist (keyword) VALUES ('dance')")
    enqueue(connection)
    incident = claimed(connection).incident
    assert (incident.opened_at, incident.shape, incident.watched) == (now - timedelta(hours=1), "ramp_up", True)
    assert incident.detector == "return_period"
    assert incident.drivers == (Driver("beach", 3), Driver("summer", 1))
    assert incident.posts == (SamplePost(7, "look"), SamplePost(8), SamplePost(9))


def test_a_score_may_be_beyond_all_numbers(database: Database, connection: Any) -> None:
    database.incident(peak_score=float("inf"))
    enqueue(connection)
    assert claimed(connection).incident.peak_score == 300


def test_the_watchlist_is_told_whatever_the_severity(database: Database, connection: Any) -> None:
    database.run("INSERT INTO watchlist (keyword) VALUES ('ramen')")
    database.incident("ramen", severity="low")
    assert enqueue(connection) == 2


def test_a_new_channel_gets_no_backlog(database: Database, connection: Any) -> None:
    database.incident()
    outbox.open_channels(connection, [*CHANNELS, "slack"])
    outbox.enqueue(connection, [*CHANNELS, "slack"], SEVERITIES)
    assert [channel for channel, *_ in database.messages()] == ["webhook", "email"]


def test_what_nobody_touched_for_a_day_is_no_news(database: Database, connection: Any) -> None:
    database.run("UPDATE alert_channels SET since = since - interval '9 days'")
    database.incident(updated_at=datetime.now(UTC) - timedelta(hours=25))
    assert enqueue(connection) == 0
    database.incident("ramen", updated_at=datetime.now(UTC) - timedelta(hours=23))
    assert enqueue(connection) == 2


def test_held_messages_are_not_lost_and_come_as_things_are_then(database: Database, connection: Any) -> None:
    incident = database.incident()
    gone = database.incident("ramen")
    enqueue(connection)
    assert claim(connection, held=("high",)) is None
    database.change(incident, status="confirmed", peak_mentions=500)
    database.change(gone, state="retracted")
    enqueue(connection)
    message = claimed(connection)
    assert (message.event, message.incident.status, message.incident.peak_mentions) == (Stage.OPENED, "confirmed", 500)
    assert claim(connection) is None
    outbox.sent(connection, message)
    assert enqueue(connection) == 0  # nobody heard of the one that is gone, nor needs to hear of the confirmation again


def test_critical_may_pass_when_others_are_held(database: Database, connection: Any) -> None:
    database.incident("ramen")
    database.incident("dance", severity="critical")
    enqueue(connection)
    assert claimed(connection, held=QUIET).incident.keyword == "dance"
    assert claim(connection, held=QUIET) is None


def test_what_was_tried_passes_once_its_incident_is_critical(database: Database, connection: Any) -> None:
    incident = database.incident()
    enqueue(connection)
    first = claimed(connection)
    outbox.failed(connection, first, "HTTP 500", 0)
    assert claim(connection, held=QUIET) is None
    database.change(incident, severity="critical")
    enqueue(connection)
    again = claimed(connection, held=QUIET)
    assert (again.message_id, again.incident) == (first.message_id, first.incident)


def test_news_of_a_critical_incident_do_not_wait_behind_what_is_held(database: Database, connection: Any) -> None:
    incident = database.incident()
    enqueue(connection)
    outbox.failed(connection, claimed(connection), "HTTP 500", 0)
    database.change(incident, severity="critical", status="confirmed")
    enqueue(connection)
    events = []
    for _ in range(2):
        message = claimed(connection, held=QUIET)
        outbox.sent(connection, message)
        events.append(message.event)
    assert events == [Stage.OPENED, Stage.CONFIRMED]


def test_what_was_tried_does_not_change(database: Database, connection: Any) -> None:
    incident = database.incident()
    enqueue(connection)
    first = claimed(connection)
    outbox.failed(connection, first, "HTTP 500", 0)
    database.change(incident, peak_mentions=999)
    enqueue(connection)
    again = claimed(connection)
    assert (again.message_id, again.incident, again.created_at) == (first.message_id, first.incident, first.created_at)
    assert again.attempt == 2


def test_a_message_whose_service_died_is_due_again(database: Database, connection: Any) -> None:
    database.incident()
    enqueue(connection)
    first = claimed(connection, lease=0.0)
    again = claimed(connection)
    assert (again.id, again.message_id, again.attempt) == (first.id, first.message_id, 2)
    outbox.sent(connection, again)
    outbox.failed(connection, first, "late", None)  # the first was not dead after all: too late to matter
    assert database.messages()[0] == ("webhook", "opened", "sent", 2)


def test_giving_up_is_visible_and_can_be_undone(database: Database, connection: Any) -> None:
    incident = database.incident()
    enqueue(connection)
    outbox.failed(connection, claimed(connection), "HTTP 410", None)
    assert claim(connection) is None
    assert database.messages()[0] == ("webhook", "opened", "failed", 1)
    assert outbox.retry_failed(connection) == 1
    database.change(incident, peak_mentions=999)
    enqueue(connection)
    assert claimed(connection).incident.peak_mentions == 120


def test_a_message_that_nobody_can_read_holds_up_no_other(database: Database, connection: Any) -> None:
    database.incident("dance")
    database.incident("ramen")
    enqueue(connection)
    database.run("UPDATE alert_outbox SET incident = incident - 'severity' WHERE keyword = 'dance'")
    assert claimed(connection).incident.keyword == "ramen"
    assert database.messages()[0] == ("webhook", "opened", "failed", 1)


def test_muted_keywords_are_silent_from_beginning_to_end(database: Database, connection: Any) -> None:
    known = database.incident()
    enqueue(connection)
    outbox.sent(connection, claimed(connection))
    outbox.mute(connection, "dance", None, "a campaign of our own")
    database.change(known, status="confirmed")
    database.incident("ramen")
    later = database.incident("dance", opened_at=datetime.now(UTC) + timedelta(days=2))
    enqueue(connection)
    assert claimed(connection).incident.keyword == "ramen"
    assert claim(connection) is None
    assert outbox.unmute(connection, "dance")
    assert not outbox.unmute(connection, "dance")
    database.change(known, state="closed")
    database.change(later, status="confirmed")
    enqueue(connection)
    assert claim(connection) is None
    database.incident("dance", opened_at=datetime.now(UTC) + timedelta(days=4))
    enqueue(connection)
    assert claimed(connection).incident.keyword == "dance"


def test_a_mute_ends_by_itself(database: Database, connection: Any) -> None:
    outbox.mute(connection, "dance", 3600, None)
    database.run("UPDATE alert_mutes SET until = now() - interval '1 second'")
    database.incident()
    enqueue(connection)
    assert claimed(connection).incident.keyword == "dance"


def test_what_was_given_up_and_is_muted_since_is_not_tried_again(database: Database, connection: Any) -> None:
    database.incident("dance")
    database.incident("ramen")
    enqueue(connection)
    for _ in range(2):
        outbox.failed(connection, claimed(connection), "HTTP 410", None)
    outbox.mute(connection, "dance", None, None)
    assert outbox.retry_failed(connection) == 1
    assert [row[2] for row in database.messages() if row[0] == "webhook"] == ["muted", "pending"]
    assert claimed(connection).incident.keyword == "ramen"
    assert claim(connection) is None


def test_a_mute_while_messages_are_put_in_silences_them_at_once(
    database: Database, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.incident()
    other = database.connect()
    real = outbox._apply

    def mute_first(*arguments: Any) -> None:
        outbox.mute(other, "dance", None, None)  # it cannot see what is not committed
        real(*arguments)

    monkeypatch.setattr(outbox, "_apply", mute_first)
    assert enqueue(connection) == 2
    other.close()
    assert claim(connection) is None
    outbox.bundle(connection, "webhook", (), above=0)
    assert claim(connection) is None
    monkeypatch.undo()
    enqueue(connection)
    assert {state for _, _, state, _ in database.messages()} == {"muted"}


def test_a_mute_while_a_digest_is_made_due_again_takes_its_own_out(database: Database, connection: Any) -> None:
    flood(database, connection, 4)
    outbox.failed(connection, claimed_digest(connection), "HTTP 410", None)
    outbox.retry_failed(connection)
    database.run("INSERT INTO alert_mutes (keyword) VALUES ('keyword2')")  # it did not see what was not committed
    assert told(claimed_digest(connection)) == ["keyword3", "keyword1", "keyword0"]


def test_what_few_are_due_is_told_one_by_one(database: Database, connection: Any) -> None:
    flood(database, connection, 2)
    assert [claimed(connection).incident.keyword for _ in range(2)] == ["keyword0", "keyword1"]
    assert claim(connection) is None


def test_a_flood_is_one_message_the_most_severe_first(database: Database, connection: Any) -> None:
    database.incident("ramen", severity="critical", peak_score=0.5)
    flood(database, connection, 3)
    digest = claimed_digest(connection)
    assert told(digest) == ["ramen", "keyword2", "keyword1", "keyword0"]
    assert claim(connection) is None
    outbox.sent(connection, digest)
    assert claimed(connection, channel="email").incident.keyword == "ramen"  # each channel for itself
    states = database.run("SELECT DISTINCT state, attempts FROM alert_outbox WHERE channel = 'webhook'")
    assert states == [("sent", 1)]


def test_a_flood_of_more_than_one_digest_takes_is_several(
    database: Database, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_IN_DIGEST", 5)
    flood(database, connection, 14)
    sizes = [len(told(claimed_digest(connection))) for _ in range(3)]
    assert sizes == [5, 5, 4]
    assert claim(connection) is None


def test_a_digest_is_tried_again_as_it_was_but_for_what_is_muted_since(database: Database, connection: Any) -> None:
    numbers = flood(database, connection, 4)
    first = claimed_digest(connection)
    outbox.failed(connection, first, "HTTP 500", 0)
    database.change(numbers[0], peak_mentions=999)
    database.incident("later")
    enqueue(connection)
    outbox.bundle(connection, "webhook", (), above=0)
    outbox.mute(connection, "keyword1", None, None)
    again = {digest.message_id: digest for digest in (claimed_digest(connection), claimed_digest(connection))}
    assert told(again.pop(first.message_id)) == ["keyword3", "keyword2", "keyword0"]
    (other,) = again.values()
    assert told(other) == ["later"]
    assert {message.incident.peak_mentions for message in first.messages} == {120}


def test_what_follows_a_digest_answers_to_it(database: Database, connection: Any) -> None:
    number = flood(database, connection, 3)[1]
    digest = claimed_digest(connection)
    database.change(number, status="confirmed")
    enqueue(connection)
    assert claim(connection) is None  # while the digest is under way
    outbox.sent(connection, digest)
    update = claimed(connection)
    assert (update.event, update.thread_id) == (Stage.CONFIRMED, digest.message_id)


def test_a_digest_is_never_shared_by_two_services(database: Database, connection: Any) -> None:
    flood(database, connection, 3)
    other = database.connect()
    with other.cursor() as cursor:
        cursor.execute("SELECT id FROM alert_outbox WHERE channel = 'webhook' ORDER BY id LIMIT 1 FOR UPDATE")
        assert claim(connection) is None
    other.rollback()
    other.close()
    assert len(claimed_digest(connection).messages) == 3


def test_what_is_held_is_in_no_digest(database: Database, connection: Any) -> None:
    for keyword in ("a", "b", "c"):
        database.incident(keyword, severity="critical")
        database.incident(f"{keyword}{keyword}", severity="high")
    enqueue(connection)
    outbox.bundle(connection, "webhook", ("high",), above=2)
    assert sorted(told(claimed_digest(connection, held=("high",)))) == ["a", "b", "c"]
    assert claim(connection, held=("high",)) is None


def test_a_digest_of_what_passes_the_quiet_hours_and_one_of_what_does_not(database: Database, connection: Any) -> None:
    for keyword in ("a", "b", "c"):
        database.incident(keyword, severity="critical")
        database.incident(f"{keyword}{keyword}", severity="high")
    enqueue(connection)
    outbox.bundle(connection, "webhook", (), above=2, apart=("critical",))
    before = [claimed_digest(connection), claimed_digest(connection)]
    for digest in before:
        outbox.failed(connection, digest, "HTTP 500", 0)
    digest = claimed_digest(connection, held=QUIET)
    assert sorted(told(digest)) == ["a", "b", "c"]
    assert claim(connection, held=QUIET) is None
    assert sorted(told(claimed_digest(connection))) == ["aa", "bb", "cc"]
    assert {digest.message_id for digest in before} >= {digest.message_id}


@pytest.mark.parametrize("critical", [0, 1, 2])
def test_a_digest_that_was_tried_passes_whole_once_an_incident_of_it_is_critical(
    database: Database, connection: Any, critical: int
) -> None:
    numbers = flood(database, connection, 3)
    first = claimed_digest(connection)
    outbox.failed(connection, first, "HTTP 500", 0)
    assert claim(connection, held=QUIET) is None
    database.change(numbers[critical], severity="critical")
    enqueue(connection)
    again = claimed_digest(connection, held=QUIET)
    assert again.message_id == first.message_id
    assert [message.incident for message in again.messages] == [message.incident for message in first.messages]


@pytest.mark.parametrize("critical", [0, 1])
def test_a_digest_that_was_not_tried_stays_behind_when_an_incident_of_it_turns_critical(
    database: Database, connection: Any, critical: int
) -> None:
    numbers = flood(database, connection, 3)
    database.change(numbers[critical], severity="critical")
    enqueue(connection)
    message = claimed(connection, held=QUIET)
    assert (message.incident.incident_id, message.incident.severity) == (numbers[critical], "critical")
    assert claim(connection, held=QUIET) is None
    assert len(told(claimed_digest(connection))) == 2


def test_a_message_that_nobody_can_read_spoils_no_digest(database: Database, connection: Any) -> None:
    flood(database, connection, 4)
    database.run("UPDATE alert_outbox SET incident = incident - 'severity' WHERE keyword = 'keyword0'")
    assert told(claimed_digest(connection)) == ["keyword3", "keyword2", "keyword1"]
    assert database.messages()[0] == ("webhook", "opened", "failed", 1)


def test_only_one_service_at_a_time_puts_messages_in(database: Database, connection: Any) -> None:
    database.incident()
    other = database.connect()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (outbox._LOCK,))
        assert enqueue(connection) == 0
    other.rollback()
    other.close()
    assert enqueue(connection) == 2


def test_a_transaction_that_fails_leaves_nothing_behind(
    database: Database, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.incident("a")
    database.incident("b")
    real, calls = outbox._apply, []

    def fail_at_the_third(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyError
        real(*arguments)

    monkeypatch.setattr(outbox, "_apply", fail_at_the_third)
    with pytest.raises(KeyError):
        enqueue(connection)
    assert database.messages() == []


def test_old_messages_are_forgotten(database: Database, connection: Any) -> None:
    database.incident()
    enqueue(connection)
    outbox.sent(connection, claimed(connection))
    database.run("UPDATE alert_outbox SET finished_at = finished_at - interval '91 days'")
    outbox.open_channels(connection, CHANNELS)
    assert database.messages() == [("email", "opened", "pending", 0)]


def test_a_flood_that_two_services_meet_is_one_digest(database: Database, connection: Any) -> None:
    """It is put in at any moment of theirs: nothing escapes it, and no id is used for two messages."""
    for flood in range(40):
        database.run("TRUNCATE alert_outbox, incidents")
        numbers = [database.incident(f"keyword{flood}") for _ in range(12)]
        taken: list[Message | Digest] = []
        done = threading.Event()
        with ThreadPoolExecutor() as pool, closing(database.connect()) as one, closing(database.connect()) as other:
            services = [pool.submit(_serve, service, taken, done) for service in (one, other)]
            assert outbox.enqueue(connection, ["webhook"], SEVERITIES) == len(numbers)
            deadline = time.monotonic() + 60
            while sum(len(message.ids) for message in taken) < len(numbers) and time.monotonic() < deadline:
                time.sleep(0.005)
            done.set()
            for service in services:
                service.result()
        assert [len(message.ids) for message in taken] == [len(numbers)]


def _serve(connection: Any, taken: list[Message | Digest], done: threading.Event) -> None:
    while not done.is_set():
        up_to = outbox.bundle(connection, "webhook", (), above=5)
        message = outbox.claim(connection, "webhook", (), LEASE, up_to)
        if message is not None:
            taken.append(message)
            outbox.sent(connection, message)


def test_what_waited_for_a_week_is_no_alert_any_more(database: Database, connection: Any) -> None:
    database.incident("dance")
    database.incident("ramen")
    enqueue(connection)
    database.run("UPDATE alert_outbox SET due_at = now() - interval '8 days' WHERE keyword = 'dance'")
    outbox.open_channels(connection, CHANNELS)
    assert claimed(connection).incident.keyword == "ramen"
    assert claim(connection) is None
    assert outbox.retry_failed(connection) == 2  # unless somebody wants it all the same, on both channels
    outbox.open_channels(connection, CHANNELS)
    assert claimed(connection).incident.keyword == "dance"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE incidents SET severity = 'low'",
        "INSERT INTO watchlist (keyword) VALUES ('a')",
        "DELETE FROM outliers",
        "SELECT * FROM baselines",
        "CREATE TABLE mine (a int)",
        "DELETE FROM alert_channels",
    ],
)
def test_the_login_of_the_alerts_may_do_nothing_else(connection: Any, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection.cursor().execute(statement)
    connection.rollback()
