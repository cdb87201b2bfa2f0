"""The demo: a simulated day through the real stack, then an account of every post.

    python -m local.demo            # what `make demo` runs

The stack starts (or goes on), baselines are learnt from fourteen simulated days, the posts of yesterday go into Kafka,
the stream runs on Flink. Every post is accounted for. Then the daily batch parses the day from the archive, compares its
counts with the stream's and publishes new baselines; posts sent now are judged by these. The dashboard starts. Facts are
in build/demo.json; the exit code says whether a post was lost, stream and batch differ without a cause, or no event was
found. Stack, job and dashboard stay up: `make down` ends them. A second run starts from empty tables, topics and lake
again; while the first one runs, it refuses.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from rich.console import Console
from rich.table import Table

from beam_pipelines.flink import TERMINAL_STATES, Cluster
from feed.files import read_lines
from local import accounting, reset, signals, stack, web
from local import settings as configuration
from local.demo_data import JOB, NOTHING, Notes, strangers
from local.settings import ROOT, Settings, StackError
from programs.errors import UserError
from transforms.posts import NEVER_AHEAD_MS, Rejected, decode_counted

FOLDER = ROOT / "build" / "demo"
REPORT = ROOT / "build" / "demo.json"
HISTORY_DAYS = 14
PATIENCE_SECONDS = 90
_IN_FORCE = "FROM baseline_versions ORDER BY history_to DESC, version DESC LIMIT 1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if every post is accounted for and an event was found."""
    parser = argparse.ArgumentParser(
        prog="python -m local.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posts", type=int, default=150_000, help="posts of the simulated day; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation; default: %(default)s")
    parser.add_argument("--reset", action="store_true", help="also remove data that are not an earlier demo's")
    options = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for number in signals.ending():  # `kill` and a closed terminal also end the step under way, and are noted
        signal.signal(number, signal.default_int_handler)
    try:
        settings = configuration.load(create=True)
        os.environ.update(settings.environment)
        with _only_demo(settings):
            stack.up(settings, console.print)
            notes = Notes(settings)
            _start_afresh(settings, notes, options.reset, console)
            try:
                return _run(settings, notes, options, console)
            finally:
                notes.end()
    except (StackError, UserError, subprocess.CalledProcessError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the stack keeps running: `make down` stops it")
        return 130


def _only_demo(settings: Settings) -> AbstractContextManager[None]:
    """Keep a second demo from emptying what this one fills, and its `up` from being in the way of this one's."""
    stack.claim(settings)
    return stack.held(settings.run_dir / "demo.lock", "a demo runs on this stack already: wait for it to end")


def _run(settings: Settings, notes: Notes, options: argparse.Namespace, console: Console) -> int:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    notes.begin(yesterday)
    FOLDER.mkdir(parents=True, exist_ok=True)
    day, truth = FOLDER / "day.ndjson.zst", FOLDER / "truth.ndjson"
    counts, totals = FOLDER / "counts.csv.gz", FOLDER / "totals.csv.gz"
    began = time.monotonic()
    _step(console, f"simulating {yesterday} (UTC) and the {HISTORY_DAYS} days before it")
    _python(
        "feed.simulate", "--date", str(yesterday), "--posts", str(options.posts), "--seed", str(options.seed),
        "--output", str(day), "--truth", str(truth),
        "--history", str(HISTORY_DAYS), "--counts", str(counts), "--totals", str(totals),
    )  # fmt: skip
    _step(console, "learning baselines from the history")
    _python("beam_pipelines.stats", "--counts", str(counts), "--totals", str(totals))
    # The topic is filled before the job starts: the watermark of an idle topic follows the clock, and would leave the
    # rest of a day that is long over behind.
    _step(console, "sending the day's posts to Kafka")
    notes.expect(sum(1 for _ in read_lines([str(day)])))
    _python("feed.produce", str(day), "--send_unreadable")
    _step(console, "starting the stream on Flink")
    _python(
        "beam_pipelines.stream", "--runner=FlinkRunner", "--detach", "--early_firing_seconds=10",
        "--baselines_every_seconds=10",
    )  # fmt: skip
    expected = accounting.Recount.of(read_lines([str(day)]))
    connection = psycopg2.connect("")
    found = _watch(connection, expected, settings, console)
    report = _account(connection, expected, truth, found, settings)
    _step(console, "the daily batch: the day's archive into Postgres")
    _python("beam_pipelines.parse", "--date", str(yesterday))
    _step(console, "trends, and new baselines with the day in them")
    _python("beam_pipelines.stats", "--date", str(yesterday), "--counts", str(counts), "--totals", str(totals))
    _step(console, "comparing the stream's counts with the batch's")
    report["parity"] = _parity(connection, yesterday)
    _step(console, "sending posts as if posted now: the running stream judges them by the new baselines")
    report["judged_by_new_baselines"] = _live(connection, notes, day, console)
    report["dashboard"] = _dashboard(settings, console)
    report["seconds"] = round(time.monotonic() - began, 1)
    REPORT.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    _show(report, settings)
    good = not report["lost"] and report["events_found"] and not report["parity"]["unexplained"]
    return 0 if good and report["judged_by_new_baselines"] else 1


def _parity(connection: Any, day: date) -> dict[str, int]:
    # Its exit code says what the report says too.
    subprocess.run([sys.executable, "-m", "beam_pipelines.parity", "--date", str(day)], cwd=ROOT, check=False)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT keyword_windows, equal, late, duplicate, missing, unexplained FROM parity_days WHERE date = %s",
            (day,),
        )
        return dict(zip((column.name for column in cursor.description), cursor.fetchone(), strict=True))


def _live(connection: Any, notes: Notes, day: Path, console: Console) -> list[dict[str, Any]]:
    """Send the posts of the day's strongest window again, as if posted now, and wait for what the stream says of them.

    Returns:
        Outliers of now, with the version of the baselines they were judged by, which is the newest.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM window_start)::bigint FROM outliers WHERE status <> 'retracted' "
            "ORDER BY excess DESC LIMIT 1"
        )
        strongest = cursor.fetchone()
        cursor.execute(f"SELECT version {_IN_FORCE}")
        (version,) = cursor.fetchone()
    if strongest is None:
        return []
    live = FOLDER / "live.ndjson"
    posts = 0
    with live.open("wb") as file:
        for line in read_lines([str(day)]):
            with suppress(Rejected):
                if decode_counted(line, NEVER_AHEAD_MS).window_start == strongest[0]:
                    file.write(line + b"\n")
                    posts += 1
    notes.expect(posts)
    began = datetime.now(UTC) - timedelta(minutes=15)
    _python("feed.produce", str(live), "--time", "now")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT keyword, mentions, expected, severity, status, baseline_version FROM outliers "
                "WHERE window_start > %s AND baseline_version = %s ORDER BY score DESC LIMIT 5",
                (began, version),
            )
            found = [dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor]
        if found:
            for outlier in found:
                console.print(
                    f"  {outlier['keyword']}: {outlier['mentions']} mentions, {outlier['expected']:.1f} expected, "
                    f"{outlier['status']}, baselines version {outlier['baseline_version']}",
                    markup=False,
                )
            return found
        time.sleep(1)
    return []


def _dashboard(settings: Settings, console: Console) -> str:
    """Start the dashboard, anew if it runs: its address or token may be others now.

    Returns:
        Its address, or why it does not run: the account of the posts does not hang on it.
    """
    try:
        web.down(settings)
        return web.up(settings, console.print)
    except StackError as error:
        console.print(str(error), style="red", markup=False)
        return f"not started: {str(error).splitlines()[0]}"


def _step(console: Console, what: str) -> None:
    console.print(f"[bold]▸ {what}[/bold]")


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)


def _start_afresh(settings: Settings, notes: Notes, force: bool, console: Console) -> None:
    """Empty tables, topics and lake, if all that is there came from a demo.

    Raises:
        StackError: other data are there.
    """
    note = notes.read()
    found = strangers(settings, note)
    if found and not force:
        message = (
            f"the stack holds data that no demo put there ({'; '.join(found)}): "
            "keep them, or remove them with `python -m local.demo --reset`"
        )
        raise StackError(message)
    if note == NOTHING and not found:
        return
    # The note stays as it is until all is gone: it also tells the rest of a removal that was interrupted.
    _step(console, "removing what is there" if found else "removing what an earlier demo left")
    reset.cancel_jobs(settings, JOB)
    reset.empty(settings)


def _watch(connection: Any, expected: accounting.Recount, settings: Settings, console: Console) -> dict[int, int]:
    """Show progress until every readable post is counted, or nothing has happened for a while."""
    goal, seen, moved = expected.posts.total(), 0, time.monotonic()
    cluster = Cluster(str(settings.flink))
    while True:
        found = accounting.counted(connection)
        total = sum(found.values())
        if total != seen:
            seen, moved = total, time.monotonic()
            # On a terminal the line is drawn anew; in a log each step is a line.
            end = "\r" if console.is_terminal else "\n"
            console.print(f"  counted {total:,} of {goal:,} posts in {len(found)} windows", end=end)
        if total >= goal or time.monotonic() - moved > PATIENCE_SECONDS:
            if console.is_terminal:
                console.print()
            return found
        if not any(job["name"] == JOB and job["state"] not in TERMINAL_STATES for job in cluster.jobs()):
            message = f"the job {JOB} has ended: see {cluster.url} and `make logs`"
            raise StackError(message)
        time.sleep(2)


def _account(
    connection: Any, expected: accounting.Recount, truth: Path, found: dict[int, int], settings: Settings
) -> dict[str, Any]:
    prefix = settings.environment["LAKE"].rstrip("/")
    archive = accounting.digests_of(accounting.archived(prefix))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT keyword, window_start, mentions, expected, excess, score, severity, status FROM outliers "
            "WHERE status <> 'retracted' ORDER BY score DESC"
        )
        outliers = [dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor]
        cursor.execute(f"SELECT version, detector, keywords {_IN_FORCE}")
        version, detector, keywords = cursor.fetchone()
    events = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]
    for event in events:
        start, end = (datetime.fromisoformat(event[edge]) for edge in ("start", "end"))
        event["found"] = any(
            outlier["keyword"] == event["keyword"]
            and start - timedelta(minutes=15) < outlier["window_start"] < end
            and (outlier["excess"] < 0) == (event["expected_excess"] < 0)
            for outlier in outliers
        )
    dead = accounting.dead_letters(prefix)
    counted = sum(found.values())
    return {
        "sent": expected.lines,
        "archived": archive.total(),
        "archive_identical": archive == expected.digests,
        "counted": counted,
        "dead_letters": dead,
        "windows": len(found),
        "windows_equal_to_a_recount": sum(found.get(start) == posts for start, posts in expected.posts.items()),
        "lost": archive != expected.digests or expected.lines != counted + dead,
        "baselines": {"version": version, "detector": detector, "keywords": keywords},
        "outliers": len(outliers),
        "top_outliers": outliers[:10],
        "events": events,
        "events_found": sum(event["found"] for event in events),
    }


def _show(report: dict[str, Any], settings: Settings) -> None:
    console = Console(highlight=False, soft_wrap=True)
    facts = Table(title="Every post accounted for" if not report["lost"] else "POSTS WERE LOST", show_header=False)
    for name in ("sent", "archived", "counted", "dead_letters", "windows", "windows_equal_to_a_recount", "outliers"):
        facts.add_row(name.replace("_", " "), f"{report[name]:,}")
    facts.add_row("archive byte for byte what was sent", "yes" if report["archive_identical"] else "NO")
    facts.add_row("events found", f"{report['events_found']} of {len(report['events'])}")
    parity = report["parity"]
    facts.add_row(
        "counts of stream and batch",
        f"{parity['equal']:,} of {parity['keyword_windows']:,} equal; {parity['late']:,} late, "
        f"{parity['duplicate']:,} duplicate, {parity['missing']:,} missing, {parity['unexplained']:,} unexplained",
    )
    facts.add_row("judged by the new baselines", f"{len(report['judged_by_new_baselines'])} outliers of now")
    facts.add_row("took", f"{report['seconds']} s")
    console.print(facts)
    top = Table("keyword", "window (UTC)", "mentions", "expected", "score", "severity", title="Most unusual")
    for outlier in report["top_outliers"]:
        top.add_row(
            outlier["keyword"],
            f"{outlier['window_start'].astimezone(UTC):%H:%M}",
            str(outlier["mentions"]),
            f"{outlier['expected']:.1f}",
            f"{outlier['score']:.1f}",
            outlier["severity"],
        )
    console.print(top)
    injected = Table("keyword", "shape", "cause", "from (UTC)", "found", title="Injected events")
    for event in report["events"]:
        mark = "yes" if event["found"] else "no"
        injected.add_row(event["keyword"], event["shape"], event["cause"], event["start"][11:16], mark)
    console.print(injected)
    console.print(
        f"dashboard: {report['dashboard']}\nFlink's web UI: http://{settings.flink}    "
        f"facts: {REPORT.relative_to(ROOT)}    to stop: make down"
    )
    console.print(
        "SQL to try, in (set -a; . ./.env; psql):\n"
        "  SELECT keyword, window_start, mentions, expected, severity FROM outliers ORDER BY score DESC LIMIT 20;\n"
        "  SELECT keyword, mentions, usual, growth FROM trending_keywords ORDER BY growth DESC NULLS LAST LIMIT 20;\n"
        "  SELECT challenge, posts, engagement FROM challenge_daily ORDER BY posts DESC LIMIT 20;"
    )


if __name__ == "__main__":
    sys.exit(main())
