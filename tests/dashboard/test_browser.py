"""The page in a real browser: what each view shows and does, that it is accessible, and that text stays text."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error

from beam_pipelines.trends import write_trends
from dashboard.app import FIRST_ANSWER, create_app
from tests.dashboard.conftest import PATIENCE_SECONDS, TOKEN, screenshot, until
from tests.dashboard.world import EVENTS, WINDOW, World

pytestmark = [pytest.mark.integration, pytest.mark.browser]

Open = Callable[..., Any]

VIEWS = {
    "now": ("/", ".incident .spark .line"),
    "keyword": ("/keyword?q=puppy", ".driver"),
    "trends": ("/trends", "tbody tr"),
    "watchlist": ("/watchlist", "tbody tr"),
    "pipeline": ("/pipeline", "tbody tr"),
}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


class Held:
    """Answers that a test gives out itself, in the order that it likes."""

    def __init__(self, page: Any, pattern: str) -> None:
        self.routes: list[Any] = []
        self._page = page

        def hold(route: Any) -> None:  # Playwright marks its handlers, so a list's method will not do
            self.routes.append(route)

        page.route(pattern, hold)

    def wait(self, count: int) -> None:
        """Wait until so many requests have come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.routes) < count:
            assert time.monotonic() < deadline, f"{len(self.routes)} of {count} requests came"
            self._page.wait_for_timeout(20)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_whole_fits_and_is_accessible(open_page: Open, view: str, look: str) -> None:
    path, ready = VIEWS[view]
    page = open_page(path, **LOOKS[look])
    page.wait_for_selector(ready)
    until(page, "!document.querySelector('.skeleton')")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    assert page.query_selector(".failure") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    screenshot(page, f"{view}-{look}")
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    assert found.violations_count == 0, found.generate_report()


def test_nothing_comes_from_a_foreign_host(open_page: Open, server: str) -> None:
    page = open_page("/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path, ready in VIEWS.values():
        page.goto(server + path)
        page.wait_for_selector(ready)
    assert len(asked) > 20
    assert {url for url in asked if not url.startswith(server)} == set()


def test_the_first_view_asks_once_and_while_its_script_still_loads(chromium: Any, server: str) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.route("**/api/v1/events", lambda route: route.abort())  # else what came meanwhile is read as well
        scripts = Held(page, "**/now.js")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(server)))
        page.goto(server, wait_until="commit")
        scripts.wait(1)
        until(page, "performance.getEntriesByType('resource').some((entry) => entry.name.includes('/incidents'))")
        for route in scripts.routes:
            route.continue_()
        page.wait_for_selector(".incident .spark .line")
        assert [address for address in asked if "/incidents" in address] == [FIRST_ANSWER]
    finally:
        context.close()


def test_now_shows_open_incidents_by_severity(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident svg.spark .band")
    names = page.locator(".incident .keyword").all_inner_texts()
    assert set(names) == {event.keyword for event in EVENTS if event.state == "open"}
    assert page.locator("h2.group .severity").all_inner_texts() == ["Critical", "High", "Medium", "Low"]
    dance = page.locator(".incident", has_text="dance").inner_text()
    assert re.search(r"\d+ vs \d+ expected", dance)
    assert "×" in dance
    assert "once in" in dance
    assert "own wave" in dance
    assert "since" in dance


def test_filters_are_in_the_address_and_keep_the_focus(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    page.get_by_role("button", name="Drops").click()
    until(page, "document.querySelectorAll('.incident').length === 1")
    assert page.url.endswith("/?kind=drop")
    assert page.evaluate("document.activeElement.textContent") == "Drops"
    assert page.locator(".incident .keyword").inner_text() == "football"
    page.reload()
    page.wait_for_selector(".incident")
    assert page.locator(".incident").count() == 1
    page.get_by_role("button", name="critical").click()
    page.get_by_text("Nothing matches these filters").wait_for()
    page.get_by_role("button", name="Clear filters").click()
    until(page, "document.querySelectorAll('.incident').length > 5")


def test_a_new_incident_appears_by_itself_and_is_announced(open_page: Open, admin: Any) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity, status, kind,"
            " peak_mentions, peak_expected) VALUES ('breaking', now(), now(), 9.5, 'open', 'pulse', now(), 'critical',"
            " 'provisional', 'surge', 900, 3)"
        )
    try:
        page.locator(".incident", has_text="breaking").wait_for()
        until(page, "document.getElementById('announce').textContent.includes('breaking, critical')")
        assert page.locator(".incident .keyword").first.inner_text() == "breaking"
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE incidents SET state = 'retracted', updated_at = now() WHERE keyword = 'breaking'")
        page.locator(".incident", has_text="breaking").wait_for(state="detached")
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM incidents WHERE keyword = 'breaking'")


def test_the_first_incident_of_an_empty_list_is_announced(open_page: Open, admin: Any) -> None:
    answers: list[Any] = []
    page = open_page("/trends")
    until(page, "document.getElementById('live').dataset.state === 'on'")

    def answer(route: Any) -> None:
        response = route.fetch()
        answers.append(response.json())
        route.fulfill(response=response, json=answers[-1] if len(answers) > 1 else {"items": [], "next_cursor": None})

    page.route("**/api/v1/incidents?*", answer)
    page.get_by_role("link", name="Now", exact=True).click()
    page.get_by_text("Nothing unusual right now").wait_for()
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE incidents SET updated_at = clock_timestamp() WHERE keyword = 'dance'")
    until(page, "document.getElementById('announce').textContent.includes('new incidents: ')")
    assert page.locator(".incident").count() == len(answers[-1]["items"])


def test_feedback_asks_for_the_token_once(open_page: Open, admin: Any) -> None:
    page = open_page("/", expect_errors=True)
    page.get_by_role("button", name="Useful: ramen", exact=True).click()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.get_by_text("That is not the token").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    page.wait_for_selector(".incident")
    until(page, "document.getElementById('announce').textContent.includes('marked as useful')")
    with admin, admin.cursor() as cursor:
        cursor.execute("SELECT verdict FROM feedback WHERE keyword = 'ramen'")
        assert cursor.fetchone() == ("useful",)
        cursor.execute("DELETE FROM feedback WHERE keyword = 'ramen'")
    assert TOKEN not in json.dumps(page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]"))


def _refuse(route: Any) -> None:
    problem = {"title": "Service Unavailable", "status": 503, "detail": "Busy. See `make status`."}
    route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))


def test_what_could_not_be_written_is_said_where_it_is_seen(open_page: Open) -> None:
    page = open_page("/", expect_errors=True)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    complaint = page.locator("#complaint")
    assert complaint.is_hidden()
    page.route("**/feedback", _refuse)
    button = page.locator(".incident [data-verdict=useful]").last
    button.click()
    complaint.get_by_text("Busy. See make status.").wait_for()
    assert complaint.evaluate("(element) => element.getBoundingClientRect().bottom < innerHeight")
    screenshot(page, "complaint-light")
    assert Axe().run(page).violations_count == 0
    page.unroute("**/feedback")
    for _ in range(2):  # said, and taken back
        with page.expect_response(lambda response: "/feedback" in response.url):
            button.click()
        complaint.wait_for(state="hidden")
    page.goto(f"{page.url}keyword?q=yoga")
    page.route("**/api/v1/watchlist/*", _refuse)
    page.get_by_role("button", name="Watched").click()
    complaint.get_by_text("Busy").wait_for()
    page.route(
        "**/api/v1/session", lambda route: _refuse(route) if route.request.method == "DELETE" else route.continue_()
    )
    page.get_by_role("link", name="Trends").click()
    complaint.wait_for(state="hidden")
    page.get_by_role("button", name="Sign out").click()
    complaint.get_by_text("Busy").wait_for()


def test_keyword_explains_the_spike(open_page: Open) -> None:
    page = open_page("/keyword?q=puppy")
    page.wait_for_selector(".driver")
    why = page.locator("#why").inner_text()
    assert "exact" in why
    assert "two.corgis" in why
    assert "compared with" in why
    assert "Distinct authors" in why
    link = page.locator(".post-link").first.get_attribute("href")
    assert re.fullmatch(r"https://www\.tiktok\.com/@[\w.]+/video/\d+", link)
    before = page.locator(".post").count()
    page.get_by_role("button", name="Show all posts").click()
    until(page, f"document.querySelectorAll('.post').length > {before}")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text(encoding="utf-8-sig").startswith("keyword,window_start,mentions")


def test_keyword_of_today_says_that_it_is_sampled(open_page: Open) -> None:
    page = open_page("/keyword?q=marathon")
    page.wait_for_selector(".driver")
    why = page.locator("#why").inner_text()
    assert "sampled" in why
    assert "has not been parsed yet" in why
    assert page.locator(".post").count() > 0


def _asked_until(page: Any, act: Callable[[], Any]) -> datetime:
    """Do something that has the chart drawn; return the end of what the page asks for."""
    with page.expect_response(lambda response: "/api/v1/series?" in response.url) as answered:
        act()
    return datetime.fromisoformat(parse_qs(urlsplit(answered.value.url).query)["to"][0])


def test_keyword_shows_the_present_unless_an_old_incident_is_asked_for(open_page: Open, world: World) -> None:
    page = open_page("/trends")
    now = world.newest + WINDOW
    address = f"{page.url.partition('/trends')[0]}/keyword?q=sushi"
    assert _asked_until(page, lambda: page.goto(address)) == now
    page.locator(".tile", has_text="Lasted").wait_for()  # the newest incident is told of nevertheless, with its time
    last = page.locator(".tile", has_text="Last closed window")
    assert datetime.fromisoformat(last.locator("time").get_attribute("datetime")) == world.newest - WINDOW
    said = page.locator("#why .panel-head time")
    sushi = next(event for event in EVENTS if event.keyword == "sushi")
    began = world.newest - sushi.ago * WINDOW
    assert datetime.fromisoformat(said.first.get_attribute("datetime")) == began
    assert datetime.fromisoformat(said.nth(1).get_attribute("datetime")) == began + sushi.windows * WINDOW
    end = _asked_until(page, lambda: page.goto(f"{address}&incident={world.incidents['sushi']}"))
    assert end == began + (sushi.windows - 1) * WINDOW + timedelta(hours=12)
    page.locator("tr.current").wait_for()
    page.locator(".tile", has_text="Lasted").wait_for()
    assert last.count() == 0, "figures of half a day after the incident are not the last ones"
    screenshot(page, "old-incident-light")


def test_keyword_does_without_the_health_of_the_system(open_page: Open) -> None:
    page = open_page("/trends", expect_errors=True)
    page.route("**/api/v1/health", _refuse)
    page.locator("#search-text").fill("puppy")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="puppy").wait_for()
    page.get_by_role("slider").or_(page.locator(".failure")).first.wait_for()
    assert page.locator(".failure").count() == 0


def test_keyword_follows_its_incident_and_the_newest_window(open_page: Open, admin: Any, world: World) -> None:
    page = open_page("/keyword?q=booktok")
    page.wait_for_selector(".driver")
    until(page, "document.getElementById('live').dataset.state === 'on'")

    def later(route: Any) -> None:
        response = route.fetch()
        found = response.json()
        found["items"][0]["start"] = (datetime.fromisoformat(found["items"][0]["start"]) + WINDOW).isoformat()
        route.fulfill(response=response, json=found)

    def revise(mentions: int, by: timedelta) -> None:
        with admin, admin.cursor() as cursor:
            cursor.execute(
                "UPDATE incidents SET peak_mentions = peak_mentions + %s, opened_at = opened_at + %s,"
                " updated_at = clock_timestamp() WHERE keyword = 'booktok'",
                (mentions, by),
            )

    page.route("**/api/v1/sparklines?*", later)
    before = page.locator("#why .panel-head time").get_attribute("datetime")
    try:
        assert _asked_until(page, lambda: revise(12_345, -WINDOW)) == world.newest + 2 * WINDOW
        page.locator(".tile", has_text="Peak").get_by_text(re.compile(r"12,\d{3}")).wait_for()
        page.locator("tr.current", has_text=re.compile(r"12,\d{3}")).wait_for()
        until(page, f"document.querySelector('#why .panel-head time').getAttribute('datetime') < {json.dumps(before)}")
    finally:
        revise(-12_345, WINDOW)


def test_a_link_to_an_incident_that_is_gone_is_told(open_page: Open) -> None:
    page = open_page("/keyword?q=dance&incident=999999", expect_errors=True)
    page.get_by_role("alert").get_by_text("There is no incident 999999").wait_for()
    page.get_by_role("slider").wait_for()
    page.get_by_role("link", name="Trends").click()
    page.locator("#complaint").wait_for(state="hidden")


def test_a_page_that_is_not_seen_does_not_listen(open_page: Open) -> None:
    page = open_page("/")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    state = "Object.defineProperty(document, 'visibilityState', {{value: '{}', configurable: true}});"
    event = "document.dispatchEvent(new Event('visibilitychange'))"

    def is_stream(request: Any) -> bool:
        return str(request.url).endswith("/api/v1/events")

    with page.expect_event("requestfailed", is_stream):
        page.evaluate(state.format("hidden") + event)
    with page.expect_request(is_stream), page.expect_response(lambda response: "/incidents?" in response.url):
        page.evaluate(state.format("visible") + event)


def test_the_chart_is_walked_with_the_keyboard(open_page: Open) -> None:
    page = open_page("/keyword?q=dance")
    chart = page.get_by_role("slider")
    chart.wait_for()
    chart.focus()
    page.keyboard.press("Home")
    first = chart.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    second = chart.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    last = chart.get_attribute("aria-valuetext")
    assert len({first, second, last}) == 3
    assert "outlier" in last
    assert page.locator(".tip").is_visible()


def _refreshed(page: Any, admin: Any, keyword: str, path: str) -> None:
    """Have the view renew itself by itself, as it does when an incident is revised."""
    with page.expect_response(lambda response: path in response.url), admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents SET updated_at = clock_timestamp(), peak_mentions = peak_mentions + 1 WHERE keyword = %s",
            (keyword,),
        )
    page.wait_for_timeout(300)


def test_a_refresh_keeps_the_focus_in_the_list(open_page: Open, admin: Any) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident .spark .line")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    link = page.locator(".incident .keyword", has_text="sneakers")
    link.focus()
    before = link.element_handle()
    _refreshed(page, admin, "ramen", "/api/v1/incidents?")
    until(page, "document.querySelector('.incident.fresh')")
    assert not before.evaluate("(element) => element.isConnected"), "the list was not drawn anew"
    assert page.evaluate("document.activeElement.textContent") == "sneakers"
    page.get_by_role("button", name="Not useful: lofi").focus()
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE incidents SET peak_score = peak_score + 50 WHERE keyword = 'lofi'")  # moves up
    _refreshed(page, admin, "lofi", "/api/v1/incidents?")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Not useful: lofi"
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "UPDATE incidents SET peak_score = peak_score - 50, state = 'closed', updated_at = clock_timestamp()"
            " WHERE keyword = 'lofi'"
        )
    try:
        page.locator(".incident", has_text="lofi").wait_for(state="detached")
        assert page.evaluate("document.activeElement.closest('.incident') !== null"), "the focus is lost"
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("UPDATE incidents SET state = 'open' WHERE keyword = 'lofi'")


def test_a_refresh_keeps_the_chart_and_the_table_as_they_are(open_page: Open, admin: Any) -> None:
    page = open_page("/keyword?q=dance")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    chart = page.get_by_role("slider")
    page.get_by_text("as a table").click()
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    text, before = chart.get_attribute("aria-valuetext"), chart.element_handle()
    _refreshed(page, admin, "dance", "/api/v1/series?")
    until(page, "document.querySelector('.chart svg')")
    assert not before.evaluate("(element) => element.isConnected"), "the chart was not drawn anew"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
    until(page, f"document.querySelector('.chart').getAttribute('aria-valuetext') === {json.dumps(text)}")
    assert page.locator(".chart .tip").is_visible()
    assert page.get_by_role("region", name="Outlier windows").is_visible()
    page.keyboard.press("ArrowLeft")
    assert chart.get_attribute("aria-valuenow") == "0"


def test_a_refresh_keeps_the_focus_on_the_pipeline(open_page: Open) -> None:
    page = open_page("/pipeline")
    region = page.get_by_role("region", name="Dead letters by reason")
    region.focus()
    finding = page.locator(".finding").first.element_handle()
    before = region.element_handle()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while before.evaluate("(element) => element.isConnected"):
        assert time.monotonic() < deadline, "the view was not drawn anew"
        page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Dead letters by reason"
    assert finding.evaluate("(element) => element.isConnected"), "what has not changed is read out again"


def test_what_cannot_be_renewed_stays_and_that_is_said(open_page: Open, admin: Any) -> None:
    page = open_page("/", expect_errors=True)
    page.wait_for_selector(".incident")
    until(page, "document.getElementById('live').dataset.state === 'on'")
    shown = page.locator(".incident").count()
    page.route("**/api/v1/incidents?*", _refuse)
    _refreshed(page, admin, "ramen", "/api/v1/incidents?")
    page.locator(".stale", has_text="Busy. See make status.").wait_for()
    assert page.locator(".incident").count() == shown
    _refreshed(page, admin, "ramen", "/api/v1/incidents?")
    assert page.locator(".stale").count() == 1
    page.unroute("**/api/v1/incidents?*")
    _refreshed(page, admin, "ramen", "/api/v1/incidents?")
    page.locator(".stale").wait_for(state="detached")


@pytest.mark.parametrize(
    ("view", "pattern", "path"),
    [
        ("/", "**/api/v1/incidents?*", "/api/v1/incidents?"),
        ("/watchlist", "**/api/v1/watchlist", "/api/v1/watchlist"),
    ],
    ids=["now", "watchlist"],
)
def test_what_could_not_be_renewed_says_of_when_it_is(
    open_page: Open, admin: Any, view: str, pattern: str, path: str
) -> None:
    page = open_page(view, expect_errors=True)
    page.locator(".incident, tbody tr").first.wait_for()
    until(page, "document.getElementById('live').dataset.state === 'on'")
    _refreshed(page, admin, "dance", path)
    renewed = datetime.now(UTC)
    page.route(pattern, _refuse)
    page.wait_for_timeout(500)  # for an answer that was under way: news that are told twice renew the view twice
    page.clock.set_fixed_time(renewed + timedelta(hours=30))  # the machine has slept
    _refreshed(page, admin, "dance", path)
    said = page.locator(".stale time")
    assert abs(datetime.fromisoformat(said.get_attribute("datetime")) - renewed) < timedelta(minutes=1)
    local = renewed.astimezone(ZoneInfo("Europe/Berlin"))
    assert said.inner_text().startswith(f"{local:%a} {local.day} "), "without the day it would be taken for today's"
    screenshot(page, f"stale-{'watchlist' if 'watch' in view else 'now'}-light")
    page.unroute(pattern)
    _refreshed(page, admin, "dance", path)
    page.locator(".stale").wait_for(state="detached")


def test_what_is_typed_into_the_watchlist_outlives_a_failed_renewal(open_page: Open, admin: Any) -> None:
    page = open_page("/watchlist", expect_errors=True)
    note = page.get_by_label("Note on dance")
    note.wait_for()
    until(page, "document.getElementById('live').dataset.state === 'on'")
    note.focus()
    page.keyboard.press("End")
    page.keyboard.type(" And on")
    page.route("**/api/v1/watchlist", _refuse)
    _refreshed(page, admin, "dance", "/api/v1/watchlist")
    page.locator(".stale").wait_for()
    page.keyboard.type(" and on")
    assert note.input_value().endswith(" And on and on")


JOB = {
    "id": "a",
    "name": "stream",
    "source": "kafkaio",
    "state": "RUNNING",
    "started_at": "2026-03-01T18:47:00Z",
    "restarts": 0,
    "checkpoints": {"completed": 0, "failed": 0},
    "steps": [],
}
FLINK = {"reachable": True, "url": "http://127.0.0.1:9", "slots_total": 2, "slots_free": 0, "jobs": [JOB]}


def _pipeline(open_page: Open, flink: dict[str, Any], **options: Any) -> Any:
    """The pipeline's view, to which Flink says that."""
    page = open_page("/trends", **options)
    page.route("**/api/v1/flink", lambda route: route.fulfill(json=flink))
    page.get_by_role("link", name="Pipeline").click()
    return page


@pytest.mark.parametrize(
    ("flink", "said"),
    [
        (FLINK | {"reachable": False, "detail": "Start it with `make up`.", "jobs": []}, "job runs is not known"),
        (FLINK | {"jobs": [JOB | {"source": None, "name": "batch"}]}, "No job reads posts"),
        (FLINK | {"jobs": [JOB | {"state": "RESTARTING"}]}, "job is restarting"),
    ],
)
def test_a_stream_that_does_not_run_is_not_said_to_be_well(open_page: Open, flink: dict[str, Any], said: str) -> None:
    page = _pipeline(open_page, flink)
    page.locator(".finding", has_text=said).wait_for()
    assert page.get_by_text("All is well.").count() == 0
    page.unroute("**/api/v1/flink")
    page.route("**/api/v1/flink", lambda route: route.fulfill(json=FLINK))
    page.get_by_text("All is well.").wait_for()
    assert page.locator(".finding").count() == 1


def test_a_pipeline_whose_health_is_not_known_is_not_said_to_be_well(open_page: Open) -> None:
    page = _pipeline(open_page, FLINK, expect_errors=True)
    page.get_by_text("All is well.").wait_for()
    page.locator(".tile", has_text="Stream lag").wait_for()
    page.route("**/api/v1/health", _refuse)
    page.locator(".stale", has_text="Busy").wait_for()
    assert page.locator(".finding").count() == 0
    assert page.locator(".tile", has_text="Stream lag").is_visible()
    screenshot(page, "stale-light")
    page.unroute("**/api/v1/health")
    page.get_by_text("All is well.").wait_for()
    assert page.locator(".stale").count() == 0


def test_throughput_is_the_streams_also_beside_a_batch(open_page: Open) -> None:
    page = open_page("/trends")
    step = {
        "id": "v",
        "name": "Step",
        "status": "RUNNING",
        "parallelism": 1,
        "records_in_per_second": 0,
        "records_out_per_second": 0,
    }
    read = [1_000]

    def answer(route: Any) -> None:
        jobs = [
            JOB | {"id": "b", "name": "batch", "source": None, "steps": [step | {"posts_read": None}]},
            JOB | {"steps": [step | {"posts_read": read[0]}]},
        ]
        read[0] += 1_000
        route.fulfill(json=FLINK | {"jobs": jobs})

    page.route("**/api/v1/flink", answer)
    page.get_by_role("link", name="Pipeline").click()
    tile = page.locator(".tile", has_text="Throughput")
    tile.get_by_text("posts read").wait_for()
    tile.get_by_text(re.compile(r"[1-9]\d*/s")).wait_for()


def test_filters_that_wait_for_an_answer_keep_the_focus(open_page: Open) -> None:
    page = open_page("/keyword?q=dance")
    page.get_by_role("slider").wait_for()
    page.get_by_role("button", name="3 days").press("Enter")
    page.wait_for_url("**days=3")
    page.get_by_role("slider").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "3 days"
    page.get_by_role("link", name="Trends").click()
    day = page.get_by_role("combobox", name="Day (UTC)")
    day.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**date=*")
    until(page, "document.activeElement.id === 'trends-day'")


def test_a_day_that_is_not_known_has_no_column(open_page: Open) -> None:
    page = open_page("/")

    def answer(route: Any) -> None:
        response = route.fetch()
        found = response.json()
        found["items"][0]["daily"] = [1, None, 0, 4, 5, 6, 7, 8]
        route.fulfill(response=response, json=found)

    page.route("**/api/v1/trends/**", answer)
    page.get_by_role("link", name="Trends").click()
    chart = page.locator("svg.columns").first
    chart.wait_for()
    assert chart.get_attribute("aria-label").endswith("1, not known, 0, 4, 5, 6, 7, 8")
    assert chart.locator("rect").count() == 7


def test_the_keyboard_reaches_search_and_views(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    page.keyboard.type("#Dance")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keyword?q=dance")
    page.get_by_role("link", name="Trends").press("Enter")
    page.wait_for_url("**/trends")
    page.go_back()
    page.wait_for_url("**/keyword?q=dance")
    page.locator("h1", has_text="dance").wait_for()


def test_the_search_finds_what_the_counting_makes_of_a_text(open_page: Open) -> None:
    page = open_page("/", expect_errors=True)
    for typed, keyword in (("Großglockner", "grossglockner"), ("＃Ｄａｎｃｅ", "dance"), ("#big_dance", "big_dance")):
        page.locator("#search-text").fill(typed)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/keyword?q={keyword}")
    page.locator("#search-text").fill("ramen noodles")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('search-text').validationMessage.includes('several keywords')")
    page.locator("#search-text").fill("dance")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keyword?q=dance")


def test_the_filter_takes_a_hashtag(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    page.locator("#filter-text").fill("#DANC")
    page.wait_for_url("**search=*")
    until(page, "document.querySelectorAll('.incident').length === 1")
    assert page.locator(".incident .keyword").inner_text() == "dance"


def test_a_link_to_an_old_incident_shows_that_one(open_page: Open, admin: Any, world: World) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, closed_at, severity,"
            " status, kind, peak_mentions, peak_expected) SELECT 'puppy', at, at, 1, 'closed', 'pulse', at, at, 'low', 'confirmed', 'surge',"
            " 9, 3 FROM generate_series(%s - interval '20 days', %s, interval '1 hour') AS at RETURNING incident_id",
            (world.newest - 40 * WINDOW, world.newest - 40 * WINDOW),
        )
        oldest = cursor.fetchone()[0]
    try:
        page = open_page(f"/keyword?q=puppy&incident={oldest}")
        page.locator("tr.current a[aria-current]").wait_for()
        assert page.locator("tbody tr.current a").get_attribute("href").endswith(f"incident={oldest}")
        page.locator(".tile", has_text="Lasted").wait_for()
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM incidents WHERE keyword = 'puppy' AND peak_mentions = 9 AND severity = 'low'")


def test_every_followed_keyword_has_its_chart(open_page: Open, admin: Any) -> None:
    with admin, admin.cursor() as cursor:
        cursor.execute("INSERT INTO watchlist (keyword, list) SELECT 'many' || n, 'Many' FROM generate_series(1, 60) n")
    try:
        page = open_page("/watchlist")
        page.wait_for_selector("tbody tr")
        until(page, "[...document.querySelectorAll('tbody tr')].every((row) => row.querySelector('svg.spark'))")
        assert page.locator("tbody tr").count() > 60
    finally:
        with admin, admin.cursor() as cursor:
            cursor.execute("DELETE FROM watchlist WHERE list = 'Many'")


def test_times_are_local_with_utc_on_hover(open_page: Open, world: World) -> None:
    page = open_page("/", timezone_id="Asia/Tokyo")
    shown = page.locator(".incident", has_text="dance").locator("time").first
    iso = shown.get_attribute("datetime")
    assert shown.get_attribute("title") == f"{iso[:10]} {iso[11:16]} UTC"
    assert f"{(int(iso[11:13]) + 9) % 24:02}:{iso[14:16]}" in shown.inner_text()


def test_trends_change_subject_order_and_day(open_page: Open, world: World) -> None:
    kpop = next(event for event in EVENTS if event.keyword == "kpop")
    day = (world.newest - (kpop.ago - kpop.windows // 2) * WINDOW).date()  # of the middle of the event
    page = open_page(f"/trends?date={day}")
    page.locator("tbody tr", has_text="comeback").wait_for()
    page.goto(page.url.partition("?")[0])
    page.get_by_role("button", name="Musicians").click()
    page.locator("tbody tr", has_text="The Night Buses").wait_for()
    page.get_by_role("button", name="Most posts").click()
    page.wait_for_url("**/trends?of=musicians&order=volume")
    page.locator("tbody tr").first.wait_for()
    page.get_by_role("combobox", name="Day (UTC)").select_option(index=1)
    page.wait_for_url("**date=*")


def test_watchlist_is_edited(open_page: Open) -> None:
    page = open_page("/watchlist", expect_errors=True)
    page.get_by_role("textbox", name="Keyword", exact=True).fill("#Karaoke")
    page.get_by_role("button", name="Follow", exact=True).click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    row = page.locator("tbody tr", has_text="karaoke")
    if not row.count():  # the view was drawn anew after signing in
        row.or_(page.locator("tbody tr").first).first.wait_for()
    row.wait_for()
    note = page.get_by_label("Note on karaoke")
    note.fill("Fridays")
    note.press("Enter")
    until(page, "document.getElementById('announce').textContent === 'Note saved.'")
    page.get_by_role("button", name="Stop following karaoke").click()
    row.wait_for(state="detached")


def test_pipeline_shows_health_and_says_what_to_do(open_page: Open) -> None:
    page = open_page("/pipeline")
    page.locator(".tile", has_text="Watermark delay").wait_for()
    text = page.locator("main").inner_text()
    for fact in (
        "Throughput",
        "Stream lag",
        "Dead letters",
        "Baselines",
        "not json",
        "itemInfos.id is missing",
        "Daily batch",
    ):
        assert fact in text
    assert "Flink does not answer" in text
    assert "make up" in text


def test_colours_can_be_chosen_and_stay(open_page: Open) -> None:
    page = open_page("/", color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    page.wait_for_selector("main h1")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


@pytest.fixture
def hostile(admin: Any, world: World) -> Iterator[str]:
    """An incident, an outlier, posts, a note and a dead letter made of markup."""
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outliers SELECT %s, window_start, mentions, expected, lower, upper, p_value, score, severity, status,"
            " tide, excess, sample_posts, baseline_version, detector, pane, posts FROM outliers WHERE keyword = 'kpop'",
            (HOSTILE,),
        )
        cursor.execute(
            "INSERT INTO incidents (keyword, opened_at, peak_at, peak_score, state, shape, last_at, severity, status, kind,"
            " peak_mentions, peak_expected) SELECT %s, opened_at, peak_at, peak_score, 'open', shape, last_at, severity, status,"
            " kind, peak_mentions, peak_expected FROM incidents WHERE keyword = 'kpop'",
            (HOSTILE,),
        )
        cursor.execute(
            "INSERT INTO posts (post_id, posted_at, seen_at, author_id, author_name, text, keywords, challenges, music_id)"
            " SELECT 9000000000000000000 + n, opened_at, opened_at, 'a' || n, %s, %s, ARRAY[%s, %s], ARRAY[%s], '1'"
            " FROM incidents, generate_series(1, 30) n WHERE keyword = %s",
            (HOSTILE, HOSTILE, HOSTILE, f"word {HOSTILE}", f"tag {HOSTILE}", HOSTILE),
        )
        cursor.execute("INSERT INTO watchlist (keyword, list, note) VALUES (%s, %s, %s)", (HOSTILE, HOSTILE, HOSTILE))
        cursor.execute("INSERT INTO dead_letters VALUES ('posts', 9, 9, now(), %s, %s, '')", (HOSTILE, HOSTILE))
        cursor.execute(
            "INSERT INTO trends (date, kind, name, posts, usual, days, growth) VALUES (%s, 'keyword', %s, 5000, 0, 7, 501)",
            (world.days[-1], HOSTILE),
        )
    yield HOSTILE
    with admin, admin.cursor() as cursor:
        for table in ("outliers", "incidents", "watchlist"):
            cursor.execute(f"DELETE FROM {table} WHERE keyword = %s", (HOSTILE,))
        cursor.execute("DELETE FROM trends WHERE name = %s", (HOSTILE,))
        cursor.execute("DELETE FROM posts WHERE author_name = %s", (HOSTILE,))
        cursor.execute("DELETE FROM dead_letters WHERE partition = 9")


def test_markup_in_posts_and_keywords_stays_text(open_page: Open, hostile: str, server: str) -> None:
    page = open_page("/")
    paths = ["/", f"/keyword?q={quote(hostile)}", "/trends", "/watchlist", "/pipeline"]
    for path in paths:
        page.goto(server + path)
        page.get_by_text(HOSTILE).first.wait_for()
        until(page, "!document.querySelector('.skeleton')")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script").count() == 0
        if path.startswith("/keyword"):
            assert page.locator(".post-text").first.inner_text() == HOSTILE
            assert page.locator(".post-link").first.get_attribute("href").startswith("https://www.tiktok.com/@/video/")


def test_what_a_view_asked_for_does_not_reach_the_next_one(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    held = Held(page, "**/api/v1/trends/keywords?*")
    page.get_by_role("link", name="Trends").click()
    held.wait(1)
    page.get_by_role("link", name="Watchlist", exact=True).click()
    page.locator("tbody tr").first.wait_for()
    with suppress(Error):  # the page has given the request up
        held.routes[0].fulfill(json={"date": None, "advice": "Run the daily batch."})
    page.get_by_role("link", name="Now", exact=True).click()
    page.wait_for_selector(".incident")
    assert page.get_by_text("No day has been parsed yet").count() == 0
    assert page.locator(".failure").count() == 0


def test_of_two_answers_the_one_asked_for_last_counts(open_page: Open) -> None:
    page = open_page("/")
    page.wait_for_selector(".incident")
    held = Held(page, "**/api/v1/keywords?*")
    page.locator("#search-text").press_sequentially("da")
    held.wait(1)
    page.locator("#search-text").press_sequentially("n")
    held.wait(2)
    held.routes[1].fulfill(json={"items": ["dance"]})
    until(page, "document.querySelector('#search-list option')?.value === 'dance'")
    with suppress(Error):
        held.routes[0].fulfill(json={"items": ["daft"]})
    page.wait_for_timeout(300)
    assert page.evaluate("[...document.querySelectorAll('#search-list option')].map((o) => o.value)") == ["dance"]


def test_more_is_loaded_once_however_often_it_is_pressed(open_page: Open) -> None:
    page = open_page("/keyword?q=puppy", expect_errors=True)
    page.wait_for_selector(".driver")
    held = Held(page, "**/api/v1/posts?*")
    button = page.get_by_role("button", name="Show all posts")
    button.click()
    button.click()
    held.wait(1)
    page.wait_for_timeout(300)
    assert len(held.routes) == 1
    held.routes[0].fulfill(status=503, content_type="application/problem+json",
                           body=json.dumps({"title": "Service Unavailable", "detail": "Busy. Try again."}))  # fmt: skip
    page.unroute("**/api/v1/posts?*")
    page.get_by_role("alert").get_by_role("button", name="Try again").click()
    until(page, "document.querySelectorAll('.post').length > 20")
    links = page.locator(".post-link").evaluate_all("(links) => links.map((link) => link.href)")
    assert len(links) == len(set(links))


def test_an_answer_that_breaks_off_is_told(open_page: Open) -> None:
    page = open_page("/", expect_errors=True)
    page.wait_for_selector(".incident")
    page.route("**/api/v1/trends/**", lambda route: route.fulfill(status=200, body='{"date": "2026-'))
    page.get_by_role("link", name="Trends").click()
    page.get_by_role("alert").get_by_text("does not answer").wait_for()


def test_the_pipeline_says_what_its_lag_is(open_page: Open) -> None:
    page = open_page("/pipeline")
    tile = page.locator(".tile", has_text="Kafka lag")
    tile.get_by_text("see below").wait_for()
    page.get_by_text("Kafka at 127.0.0.1:9").wait_for()
    measured = {"measured_at": "2026-03-01T18:47:00Z", "basis": "estimated", "posts_behind": 12_345,
                "detail": "Its own estimate.", "partitions": []}  # fmt: skip

    def answer(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, json=response.json() | {"consumer": measured})

    page.route("**/api/v1/health", answer)
    page.get_by_role("link", name="Trends").click()
    page.get_by_role("link", name="Pipeline").click()
    tile.get_by_text("~12.3K").wait_for()
    tile.get_by_text("posts, when last fetched").wait_for()
    page.get_by_text("Kafka lag: Its own estimate.").wait_for()


def test_an_outage_is_a_gap_in_the_chart_of_the_pipeline(
    open_page: Open, totals: Callable[..., None], world: World
) -> None:
    begun, over, alone = (world.newest - timedelta(hours=hours) for hours in (9, 3, 5))
    totals(
        "DELETE FROM window_totals WHERE window_start >= %s AND window_start < %s AND window_start <> %s",
        begun, over, alone,
    )  # fmt: skip
    page = open_page("/pipeline")
    page.get_by_text("Whole platform, last 24 hours").wait_for()
    chart = page.get_by_role("slider")
    until(page, "document.querySelector('.chart .line')")
    # Each run of windows has a beginning of its own; the one that stands alone is seen too.
    path = page.locator(".chart .line").get_attribute("d")
    assert path.count("M") == 3
    assert re.search(r"M[\d.]+ [\d.]+m-2 0h4M", path)
    screenshot(page, "outage-light")
    chart.focus()
    page.keyboard.press("Home")
    for _ in range(95 - 36):
        page.keyboard.press("ArrowRight")
    local = begun.astimezone(ZoneInfo("Europe/Berlin"))
    assert re.search(rf"{local:%H:%M}: not counted", chart.get_attribute("aria-valuetext"))


def test_the_chart_of_a_stream_that_is_long_dead_says_of_when_it_is(
    open_page: Open, totals: Callable[..., None], world: World
) -> None:
    died = world.newest - timedelta(days=3)
    totals("DELETE FROM window_totals WHERE window_start > %s", died)
    page = open_page("/pipeline")
    said = page.locator(".panel-head", has_text="24 hours up to").locator("time")
    assert datetime.fromisoformat(said.get_attribute("datetime")) == died + WINDOW
    assert page.get_by_text("last 24 hours").count() == 0


def test_an_error_says_what_to_do_and_can_be_tried_again(open_page: Open) -> None:
    page = open_page("/", expect_errors=True)
    page.wait_for_selector(".incident")
    problem = {"type": "urn:tiktok-anomalies:problem:database-away", "title": "Service Unavailable", "status": 503,
               "detail": "No connection to Postgres. Start it with `make up`.", "instance": "/"}  # fmt: skip
    page.route(
        "**/api/v1/trends/**",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem)),
    )
    page.get_by_role("link", name="Trends").click()
    page.get_by_role("alert").get_by_text("make up").wait_for()
    screenshot(page, "error-light")
    page.unroute("**/api/v1/trends/**")
    page.get_by_role("button", name="Try again").click()
    page.locator("tbody tr").first.wait_for()


def test_a_day_without_trends_says_what_to_run(open_page: Open, admin: Any, world: World) -> None:
    day = world.days[-1]
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM trends WHERE date = %s", (day,))
    try:
        page = open_page(f"/trends?date={day}")
        page.get_by_text("This day has no trends yet").wait_for()
        assert page.locator("main code").all_inner_texts() == [f"python -m beam_pipelines.trends --date {day}"]
        # The days stay to choose from.
        page.get_by_role("combobox", name="Day (UTC)").select_option(index=1)
        page.locator("tbody tr").first.wait_for()
    finally:
        write_trends(admin, day)


def test_an_empty_system_says_how_to_begin(open_page: Open) -> None:
    page = open_page("/")
    nothing = {"items": [], "next_cursor": None, "date": None, "dates": [], "lists": [],
               "state": "not_parsed", "advice": "Run the daily batch."}  # fmt: skip
    for pattern in ("**/api/v1/incidents?*", "**/api/v1/trends/**", "**/api/v1/watchlist"):
        page.route(pattern, lambda route: route.fulfill(json=nothing))
    for name, text in (
        ("Trends", "No day has been parsed yet"),
        ("Watchlist", "You follow no keywords yet"),
        ("Now", "Nothing unusual right now"),
    ):
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_text(text).wait_for()
    screenshot(page, "empty-light")


@contextmanager
def serving(config: Any) -> Iterator[str]:
    """Another server; its address on loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = create_app(replace(config, port=port))
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        app.state.newsroom.close()
        running.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def test_beyond_loopback_the_page_asks_for_the_token(chromium: Any, config: Any, world: World) -> None:
    """The page of a server that anybody could reach shows nothing until one has signed in."""
    context = chromium.new_context()
    with serving(replace(config, host="0.0.0.0")) as address:
        try:
            page = context.new_page()
            page.goto(address)
            page.get_by_label("Token").fill(TOKEN)
            assert page.locator(".incident").count() == 0
            page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
            page.wait_for_selector(".incident")
            until(page, "document.getElementById('live').dataset.state === 'on'")
        finally:
            context.close()


def test_where_nobody_may_write_that_is_said_and_no_token_asked_for(chromium: Any, config: Any, world: World) -> None:
    context = chromium.new_context()
    with serving(replace(config, editor=None)) as address:
        try:
            page = context.new_page()
            page.goto(address)
            page.get_by_role("button", name="Useful: ramen", exact=True).click()
            page.get_by_role("alert").get_by_text("without PGEDITOR_PASSWORD").wait_for()
            page.locator("#sign-in").wait_for(state="hidden")
            assert page.get_by_role("dialog").count() == 0
        finally:
            context.close()
