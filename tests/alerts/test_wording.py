"""What alerts say, and that other people's texts stay texts in every markup."""

from __future__ import annotations

import json
from email.headerregistry import Address
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from alerts import http as web
from alerts import slack, webhook, wording
from alerts.incidents import Driver, SamplePost, Stage
from alerts.mail import Mail, Security
from alerts.wording import Phrasing
from tests.alerts.incident import NOON, digest, incident, message

BERLIN = Phrasing(ZoneInfo("Europe/Berlin"), "https://dash.example")
MAIL = Mail("127.0.0.1", 25, Security.OFFERED, Address(addr_spec="a@x.org"), (Address(addr_spec="b@y.org"),), BERLIN)
HOSTILE = (
    "<script>alert(1)</script> <!channel> <https://evil.example|bank> @all @channel [bank](https://evil.example) & *b*\r\n"
    "Bcc: everybody@example.org\r\n\r\n\u202egnp.exe"
)


def test_an_alert_says_what_how_unusual_since_when_why_and_where_to_look() -> None:
    alert = BERLIN.alert(message())
    assert alert.title == "New: dance – 1,234 mentions in 15 minutes, 14 expected (high)"
    assert dict(alert.facts) == {
        "What": "1,234 mentions in 15 minutes, 14 expected, at its peak of 4 May 2026, 13:30 CEST",
        "How unusual": "about once in 1,300 days; severity high",
        "Since": "4 May 2026, 12:15 CEST",
        "State": "going on, provisional: the latest window is still open",
        "Shape": "pulse",
        "Drivers": "came with summer (from sample posts)",
    }
    assert alert.posts == (wording.PostLine("https://www.tiktok.com/@/video/7234567890123456789", "look at this"),)
    assert alert.link == "https://dash.example/keyword?q=dance&incident=7"


def test_a_digest_lists_the_most_severe_and_counts_the_others() -> None:
    alert = BERLIN.alert(digest(23))
    assert alert.title == "23 alerts in one: 11 critical, 12 high"
    assert len(alert.facts) == wording.LISTED + 1
    assert alert.facts[0] == (
        "dance (critical)",
        "new: 1,234 mentions in 15 minutes, 14 expected, about once in 1,300 days",
    )
    assert [name for name, _ in alert.facts[:-1]] == ["dance (critical)"] * 11 + ["dance (high)"] * 9
    assert alert.facts[-1] == ("And", "3 more, less unusual")
    assert alert.link == "https://dash.example"
    assert len(BERLIN.alert(digest(wording.LISTED)).facts) == wording.LISTED


def test_a_digest_fits_into_slack_and_its_keywords_stay_texts() -> None:
    keyword = ("&" * 40 + HOSTILE)[:200]
    blocks = slack.render(BERLIN.alert(digest(60, keyword=keyword)))["blocks"]
    assert len(blocks) < 50
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks)
    mail = MAIL.render(digest(60, keyword=keyword))
    assert mail["Bcc"] is None
    assert mail["In-Reply-To"] is None
    assert "<script>" not in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_a_program_is_given_the_whole_digest() -> None:
    hook = webhook.Webhook(web.Address("https://example.org"), webhook.SigningKeys((b"k" * 32,)), BERLIN)
    body = hook.body(digest(23))
    assert body["type"] == "digest"
    assert [one["incident_id"] for one in body["data"]["incidents"][:3]] == [21, 19, 17]
    single = hook.body(message(incident_id=21, severity="critical", peak_score=3.1))
    assert body["data"]["incidents"][0] == {"event": "opened", **single["data"]}
    assert len(body["data"]["incidents"]) == 23


@pytest.mark.parametrize(
    ("event", "changes", "begins", "state"),
    [
        (Stage.CONFIRMED, {"status": "confirmed"}, "Confirmed: dance", "going on, confirmed"),
        (Stage.CLOSED, {"state": "closed", "closed_at": NOON}, "Over: dance", "over since 4 May 2026, 14:00 CEST"),
        (Stage.CLOSED, {"state": "closed"}, "Over: dance", "over"),
        (
            Stage.RETRACTED,
            {"state": "retracted"},
            "Retracted: dance",
            "retracted: later counts no longer support it, or it is part of another incident",
        ),
        (Stage.OPENED, {"state": "closed"}, "New: dance", "over"),  # it waited in the quiet hours
    ],
)
def test_updates_say_what_has_changed(event: Stage, changes: dict[str, object], begins: str, state: str) -> None:
    alert = BERLIN.alert(message(event, **changes))
    assert alert.title.startswith(begins)
    assert dict(alert.facts)["State"] == state


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (0.2, "more often than once a day"),
        (0.3011, "about once in 1 day"),
        (1.0, "about once in 9 days"),
        (2.0, "about once in 99 days"),
        (3.1, "about once in 1,300 days"),
        (5.0, "less than once in 100 years"),
        (300.0, "less than once in 100 years"),
    ],
)
def test_a_score_is_told_as_a_return_period(score: float, says: str) -> None:
    assert wording.rarity(incident(peak_score=score)) == says


def test_another_detectors_score_is_no_return_period() -> None:
    plain = incident(detector="threshold", peak_score=7.25)
    assert wording.rarity(plain) == "score 7.2 of the threshold rule"
    assert wording.return_days(plain) is None


def test_a_drop_is_told_as_one() -> None:
    assert wording.mentions(incident(kind="drop", peak_mentions=2)) == "only 2 mentions in 15 minutes, 14 expected"


def test_a_keyword_is_escaped_in_the_link() -> None:
    assert BERLIN.link(incident(keyword="a/b?c#d e")) == "https://dash.example/keyword?q=a%2Fb%3Fc%23d+e&incident=7"
    assert Phrasing(ZoneInfo("UTC")).link(incident()) is None


def test_long_texts_are_cut() -> None:
    alert = BERLIN.alert(message(posts=(SamplePost(1, "x" * 5000),), keyword="k" * 5000))
    assert len(alert.posts[0].text) == wording.POST_CHARACTERS
    assert len(alert.title) < 150


hostile = message(keyword=HOSTILE, shape=HOSTILE, drivers=(Driver(HOSTILE, 2),), posts=(SamplePost(1, HOSTILE),))  # fmt: skip


def test_slack_sees_no_markup_in_texts() -> None:
    rendered = slack.render(BERLIN.alert(hostile))
    texts = [rendered["text"], *(block["text"]["text"] for block in rendered["blocks"])]
    link = BERLIN.link(hostile.incident)
    assert link is not None
    ours = [f"<{slack.escape(link)}|Open the dashboard>", "<https://www.tiktok.com/@/video/1|post>"]
    said = "\n".join(texts)
    for link in ours:
        assert link in said
        said = said.replace(link, "")
    for markup in ("<", ">", "@all", "@channel", "](", "\r"):
        assert markup not in said
    assert all(len(text) <= 3000 for text in texts)
    assert all(block["text"]["verbatim"] for block in rendered["blocks"])


def test_mail_headers_cannot_be_injected() -> None:
    mail = MAIL.render(hostile)
    raw = mail.as_bytes()
    assert set(mail.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"
    }  # fmt: skip
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc" not in head
    assert "\r" not in mail["Subject"]
    assert "\n" not in mail["Subject"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses |= {value for name, value in attrs if name in {"href", "src"}}


def test_html_mail_has_our_tags_and_links_only() -> None:
    part = MAIL.render(hostile).get_body(("html",))
    assert part is not None
    tags = Tags()
    tags.feed(part.get_content())
    assert tags.tags == {"html", "body", "h2", "table", "tr", "th", "td", "ul", "li", "a", "p"}
    assert tags.addresses == {"https://www.tiktok.com/@/video/1", BERLIN.link(hostile.incident)}


def test_mails_of_one_incident_are_a_thread() -> None:
    first = MAIL.render(message())
    later = MAIL.render(message(Stage.CLOSED, thread_id="11111111-2222-3333-4444-555555555555", state="closed"))
    assert first["Message-ID"] == "<0c6b2f6e-6a43-4c0e-8f0f-2f2d9f0b3c11@x.org>"
    assert first["In-Reply-To"] is None
    assert later["In-Reply-To"] == later["References"] == "<11111111-2222-3333-4444-555555555555@x.org>"


def test_a_webhook_carries_everything_as_data() -> None:
    keys = webhook.SigningKeys((bytes(32),))
    hook = webhook.Webhook(web.Address("https://example.org/hook"), keys, BERLIN)
    body = hook.body(message())
    assert body["type"] == "incident.opened"
    data = body["data"]
    assert data["keyword"] == "dance"
    assert data["return_period_days"] == pytest.approx(10**3.1 - 1)
    assert data["rarity"] == "about once in 1,300 days"
    assert data["posts"][0]["post_id"] == "7234567890123456789"
    assert data["url"] == "https://dash.example/keyword?q=dance&incident=7"
    assert hook.body(hostile)["data"]["keyword"] == HOSTILE  # JSON needs no other escape
    json.dumps(body, default=str)
