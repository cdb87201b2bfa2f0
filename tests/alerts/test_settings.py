"""Settings: what is understood, what is refused, and that secrets are not shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerts.settings import load
from programs.errors import UserError

SECRET = "whsec_" + "c2VjcmV0" * 4
HOOK = {"ALERTS_WEBHOOK_URL": "https://example.org/hook/TOKEN?key=TOKEN", "ALERTS_WEBHOOK_SECRET": SECRET}
MAIL = {"ALERTS_SMTP_HOST": "mail.example.org", "ALERTS_EMAIL_FROM": "a@x.org", "ALERTS_EMAIL_TO": "b@y.org, c@z.org"}


def test_every_channel_that_is_set_up_is_used() -> None:
    everything = {**HOOK, **MAIL, "ALERTS_SLACK_URL": "https://hooks.slack.com/services/TOKEN"}
    assert [channel.name for channel in load(everything).channels] == ["webhook", "slack", "email"]
    assert [channel.name for channel in load({**MAIL, "ALERTS_SLACK_URL": ""}).channels] == ["email"]


def test_defaults() -> None:
    settings = load(HOOK)
    assert settings.severities == ("high", "critical")
    assert settings.quiet is None
    assert settings.held(datetime.now(UTC)) == ()
    assert settings.passing == ()
    assert settings.phrasing.dashboard_url is None
    assert settings.digest_above == 10


@pytest.mark.parametrize(("passes", "held"), [("no", True), ("yes", False)])
def test_critical_incidents_may_pass_the_quiet_hours(passes: str, held: bool) -> None:
    hours = {"ALERTS_QUIET_HOURS": "22:00-07:00", "ALERTS_TIMEZONE": "Europe/Berlin"}
    settings = load({**HOOK, **hours, "ALERTS_QUIET_CRITICAL_PASSES": passes})
    night, day = datetime(2026, 5, 4, 21, tzinfo=UTC), datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert ("critical" in settings.held(night)) is held
    assert "high" in settings.held(night)
    assert settings.held(day) == ()
    assert settings.passing == (() if held else ("critical",))


def test_the_usual_port_follows_from_the_protection() -> None:
    ports = {mode: load({**MAIL, "ALERTS_SMTP_SECURITY": mode}).channels[0].where for mode in ("offered", "tls")}
    assert ports["offered"].endswith("mail.example.org:25")
    assert ports["tls"].endswith("mail.example.org:465")


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_URL": "ftp://example.org/TOKEN"}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_URL": "file:///etc/TOKEN"}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_URL": "https://user:TOKEN@example.org/"}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_URL": "https:///TOKEN"}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_URL": "https://[TOKEN/"}, "ALERTS_WEBHOOK_URL"),
        ({**HOOK, "ALERTS_WEBHOOK_SECRET": "TOKEN"}, "ALERTS_WEBHOOK_SECRET"),
        ({**HOOK, "ALERTS_WEBHOOK_SECRET": ""}, "ALERTS_WEBHOOK_SECRET"),
        ({"ALERTS_SLACK_URL": "hooks.slack.com/TOKEN"}, "ALERTS_SLACK_URL"),
        ({**HOOK, "ALERTS_SEVERITY": "none"}, "ALERTS_SEVERITY"),
        ({**HOOK, "ALERTS_DIGEST_ABOVE": "-1"}, "ALERTS_DIGEST_ABOVE"),
        ({**HOOK, "ALERTS_TIMEZONE": "Mars/Base"}, "ALERTS_TIMEZONE"),
        ({**HOOK, "ALERTS_TIMEZONE": "/etc/passwd"}, "ALERTS_TIMEZONE"),
        ({**HOOK, "ALERTS_QUIET_HOURS": "night"}, "ALERTS_QUIET_HOURS"),
        ({**HOOK, "ALERTS_QUIET_CRITICAL_PASSES": "maybe"}, "ALERTS_QUIET_CRITICAL_PASSES"),
        ({**HOOK, "ALERTS_ATTEMPTS": "0"}, "ALERTS_ATTEMPTS"),
        ({**HOOK, "ALERTS_POLL_SECONDS": "nan"}, "ALERTS_POLL_SECONDS"),
        ({**HOOK, "DASHBOARD_URL": "javascript:alert(1)"}, "DASHBOARD_URL"),
        ({**MAIL, "ALERTS_EMAIL_FROM": "nobody"}, "ALERTS_EMAIL_FROM"),
        ({**MAIL, "ALERTS_EMAIL_FROM": ""}, "ALERTS_EMAIL_FROM"),
        ({**MAIL, "ALERTS_EMAIL_TO": "b@y.org\r\nBcc: c@z.org"}, "ALERTS_EMAIL_TO"),
        ({**MAIL, "ALERTS_EMAIL_TO": "b@y.org,"}, "ALERTS_EMAIL_TO"),
        ({**MAIL, "ALERTS_SMTP_USER": "me"}, "ALERTS_SMTP_PASSWORD"),
        ({**MAIL, "ALERTS_SMTP_SECURITY": "none"}, "ALERTS_SMTP_SECURITY"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_its_secret_is_not(environment: dict[str, str], name: str) -> None:
    with pytest.raises(UserError) as refusal:
        load(environment)
    message = str(refusal.value)
    assert name in message
    assert "TOKEN" not in message
    assert "\n" not in message


def test_settings_can_be_printed() -> None:
    secrets = {"ALERTS_SLACK_URL": "https://h.example/TOKEN", "ALERTS_SMTP_USER": "me", "ALERTS_SMTP_PASSWORD": "TOKEN"}
    settings = load({**HOOK, **MAIL, **secrets})
    assert "TOKEN" not in repr(settings)
    assert SECRET not in repr(settings)
    assert not any("TOKEN" in channel.where for channel in settings.channels)
