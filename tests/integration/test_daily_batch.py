"""The daily batch on real S3 and Postgres: from the archive to rows, again and again, also when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, timedelta

import psycopg2
import pytest

from beam_pipelines import day_tables, parity, retention, stats, trends
from beam_pipelines.days import today
from dashboard.trends import _RANKS
from feed.simulation import Config, Simulation
from local import accounting
from local.settings import ROOT
from programs.errors import UserError
from tests.integration.daily import archive, lake_of, query, raw_post, run_parse, snapshot, start_of
from transforms import lake
from transforms.posts import Rejected, decode_post

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("stack")]

HOUR = 3600


def on_flink(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program on the cluster."""
    command = [sys.executable, "-m", f"beam_pipelines.{program}", "--runner=FlinkRunner", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


def test_a_day_becomes_rows():
    day, prefix = date(2005, 1, 1), lake_of("rows")
    t = start_of(day)
    odd = 'tab\there "quoted" back\\slash \\N {curly,} nul\0 😂 #Dance\r\nnew https://x.y/z'
    lines = [
        (t + 1, raw_post(1, t + 1, odd, item={"createTime": str(t), "diggCount": 3, "musicId": "m1"},
                         authorInfos={"userId": "u", "uniqueId": "ann"}, musicInfos={"musicName": "Song", "authorName": "Bo"},
                         challengeInfoList=[{"challengeName": 'a"b\\c'}, {"challengeName": "salsa"}])),
        (t + 2, b"{broken \xff\\x00"),
        (t + 950, raw_post(2, t + 950, "dance again", item={"musicId": "m1", "shareCount": 4})),
        (t + 960, raw_post(1, t + 960, "edited #dance", item={"diggCount": 9})),
    ]  # fmt: skip
    archive(prefix, "rows", lines)
    assert run_parse(prefix, f"--date={day}") == 0
    held = snapshot(day)
    columns = "post_id, text, keywords, challenges, music_id, engagement, author_id, author_name, extract(epoch FROM posted_at)"
    found = query(f"SELECT {columns} FROM posts WHERE seen_at::date = %s ORDER BY post_id", day)
    assert found == [
        (1, "edited #dance", ["dance", "edited"], [], None, 9, None, None, None),
        (2, "dance again", ["dance"], [], "m1", 4, None, None, None),
    ]
    assert query(
        "SELECT keyword, mentions, pane FROM keyword_windows WHERE window_start::date = %s ORDER BY 1", day
    ) == [
        ("dance", 2, 3),
        ("edited", 1, 3),
    ]
    assert [row[1:] for row in held["keyword_daily"]] == [("dance", 2), ("edited", 1)]
    assert held["challenge_daily"] == []
    assert [row[1:] for row in held["music_daily"]] == [("m1", None, None, 1, 4)]
    ((topic, partition, offset, _, reason, _, raw),) = held["dead_letters"]
    assert (topic, partition, offset, reason, bytes(raw)) == ("rows", 0, 1, "not_utf8", lines[1][1])
    assert held["parsed_days"] == [(2, 1, 0, 1, 1, [])]
    assert Counter(posts for _, posts, pane, _ in held["window_totals"] if pane == 3) == {0: 95, 2: 1}


def test_any_text_comes_through_copy():
    day, prefix = date(2005, 1, 2), lake_of("texts")
    t = start_of(day)
    texts = ['tab\there "q" b\\s \\N {c,} 😂', "\\", '"', "NULL", "{}", "\\x41", "a\0b", "نص عربي", "東京 と 大阪"]
    names = ['a"b', "c\\d", "{e,f}", "NULL", "", "日本\t語"]
    archive(
        prefix, "texts",
        [(t, raw_post(i + 1, t, text, challengeInfoList=[{"challengeName": n} for n in names])) for i, text in enumerate(texts)],
    )  # fmt: skip
    assert run_parse(prefix, f"--date={day}") == 0
    rows = query("SELECT text, challenges FROM posts WHERE seen_at::date = %s ORDER BY post_id", day)
    assert [text for text, _ in rows] == [" ".join(text.replace("\0", "").split()) for text in texts]
    assert all(challenges == [name for name in names if name] for _, challenges in rows)


def test_a_simulated_day_equals_a_recount_and_a_second_run_changes_nothing(capsys):
    day, prefix = date(2005, 2, 1), lake_of("simulated")
    lines = list(Simulation(Config(date=day, posts=6_000, seed=5, share_unreadable=0.003, share_late=0.02)).lines())
    at = float(start_of(day))
    records = []
    newest: dict[int, bytes] = {}
    stamps: dict[int, float] = {}
    for line in lines:
        try:
            post = decode_post(line, 2**52)
        except Rejected:
            records.append((at, line))
            continue
        at = max(at, post.time_stamp)
        records.append((at, line))
        if post.time_stamp >= stamps.get(post.post_id, 0):
            newest[post.post_id], stamps[post.post_id] = line, post.time_stamp
    expected = accounting.Recount.of(newest.values())
    for partition in (0, 1):
        archive(prefix, "simulated", records[partition::2], partition)
    assert run_parse(prefix, f"--date={day}", "--slice_posts=2000") == 0  # several slices
    held = snapshot(day)
    start = start_of(day)
    windows = {(k, int(w.timestamp())): n for k, w, n, _ in held["keyword_windows"]}
    in_day = {key: n for key, n in expected.mentions.items() if start <= key[1] < start + 86_400}
    assert windows == in_day
    assert {int(w.timestamp()): n for w, n, _, _ in held["window_totals"] if n} == {
        w: n for w, n in expected.posts.items() if start <= w < start + 86_400
    }
    daily = Counter()
    for (keyword, _), mentions in in_day.items():
        daily[keyword] += mentions
    boilerplate = {tag for _, tag, _, dropped in held["common_hashtags"] if dropped}
    assert {k: n for _, k, n in held["keyword_daily"]} == {k: n for k, n in daily.items() if k not in boilerplate}
    assert run_parse(prefix, f"--date={day}", "--slice_posts=100000") == 0  # and one slice
    assert snapshot(day) == held
    assert "posts/s" in capsys.readouterr().out
    done = on_flink("parse", f"--lake={prefix}", f"--date={day}")
    assert done.returncode == 0, done.stderr
    assert snapshot(day) == held


def test_late_posts_are_found_in_the_next_hours_and_the_day_ends_at_midnight_utc():
    day, prefix = date(2005, 1, 3), lake_of("late")
    t, after = start_of(day), start_of(day + timedelta(days=1))
    archive(prefix, "late", [(t, raw_post(1, t, "alpha")), (after - 0.001, raw_post(2, after - 0.001, "omega"))])
    archive(
        prefix,
        "late",
        [(after, raw_post(3, after, "gamma")), (after + 2 * HOUR, raw_post(4, t + HOUR, "tardy"))],
        first=2,
    )
    archive(prefix, "late", [(after + 5 * HOUR, raw_post(5, t + HOUR, "tardier"))], first=4)
    assert run_parse(prefix, f"--date={day}", "--late_hours=3") == 0
    keywords = [row[0] for row in query("SELECT keyword FROM keyword_daily WHERE date = %s ORDER BY 1", day)]
    assert keywords == ["alpha", "omega", "tardy"]
    assert query("SELECT late_posts FROM parsed_days WHERE date = %s", day) == [(1,)]
    assert query("SELECT keyword, late FROM uncounted WHERE date = %s ORDER BY 1", day) == [("", 1), ("tardy", 1)]
    assert run_parse(prefix, f"--date={day + timedelta(days=1)}") == 0
    assert query("SELECT keyword FROM keyword_daily WHERE date = %s", day + timedelta(days=1)) == [("gamma",)]


def test_posts_that_ran_ahead_over_midnight_are_found_in_the_hour_before_and_are_of_one_day():
    day, prefix = date(2005, 1, 14), lake_of("ahead")
    midnight = start_of(day)
    lines = [
        (midnight - 300, raw_post(1, midnight - 300, "alpha")),
        (midnight - 2, b"{"),
        (midnight - 1, raw_post(2, midnight + 600, "omega")),
    ]
    archive(prefix, "ahead", lines)
    archive(prefix, "ahead", [(midnight + 1, raw_post(3, midnight + 1, "gamma"))], first=3)
    assert run_parse(prefix, f"--from={day - timedelta(days=1)}", f"--to={day}") == 0
    counted = query(
        "SELECT date, keyword FROM keyword_daily WHERE date IN (%s, %s) ORDER BY 1, 2", day - timedelta(days=1), day
    )
    assert counted == [(day - timedelta(days=1), "alpha"), (day, "gamma"), (day, "omega")]
    assert [snapshot(day + timedelta(days=i))["parsed_days"] for i in (-1, 0)] == [
        [(1, 0, 0, 1, 1, [])],
        [(2, 0, 0, 0, 2, [])],
    ]


def test_a_post_that_came_again_in_another_hour_counts_once_where_it_is_newest():
    day, prefix = date(2005, 1, 6), lake_of("again")
    t = start_of(day)
    archive(prefix, "again", [(t, raw_post(1, t, "amber")), (t, raw_post(2, t, "violet"))])
    archive(prefix, "again", [(t + 9 * HOUR, raw_post(1, t + 9 * HOUR, "cobalt"))], partition=1)
    assert run_parse(prefix, f"--date={day}") == 0
    windows = query("SELECT keyword, extract(hour FROM window_start AT TIME ZONE 'UTC')::int FROM keyword_windows "
                    "WHERE window_start::date = %s ORDER BY 1", day)  # fmt: skip
    assert windows == [("cobalt", 9), ("violet", 0)]
    assert query("SELECT keyword, duplicates FROM uncounted WHERE date = %s ORDER BY 1", day) == [("", 1), ("amber", 1)]


def test_an_empty_day_is_a_day_of_zeros():
    day, prefix = date(2005, 1, 8), lake_of("empty")
    assert run_parse(prefix, f"--date={day}") == 0
    held = snapshot(day)
    assert held["parsed_days"] == [(0, 0, 0, 0, 0, [])]
    assert [posts for _, posts, _, _ in held["window_totals"]] == [0] * 96
    assert held["posts"] == held["keyword_windows"] == []


def test_broken_objects_stop_a_day_and_are_named_unless_they_are_to_be_skipped():
    day, prefix = date(2005, 1, 9), lake_of("broken")
    t = start_of(day)
    archive(prefix, "broken", [(t, raw_post(1, t, "good"))])
    bad = f"{prefix}/raw/dt={day}/hh=04/broken-0-{7:020d}.ndjson.zst"
    lake.put(bad, b"rubbish")
    with pytest.raises(UserError, match="--skip_broken") as caught:
        run_parse(prefix, f"--date={day}")
    assert bad in str(caught.value)
    assert snapshot(day)["parsed_days"] == []
    assert run_parse(prefix, f"--date={day}", "--skip_broken") == 0
    assert snapshot(day)["parsed_days"] == [(1, 0, 0, 0, 1, [bad])]


def test_a_failure_while_publishing_leaves_the_old_day(monkeypatch):
    day, prefix = date(2005, 1, 10), lake_of("failure")
    t = start_of(day)
    archive(prefix, "failure", [(t, raw_post(1, t, "amber"))])
    run_parse(prefix, f"--date={day}")
    old = snapshot(day)
    archive(prefix, "failure", [(t, raw_post(2, t, "cobalt"))], partition=1)
    with monkeypatch.context() as patched:
        patched.setattr(day_tables, "_SWAP", day_tables._SWAP + "SELECT 1 / 0")
        with pytest.raises(psycopg2.errors.DivisionByZero):
            run_parse(prefix, f"--date={day}")
    assert snapshot(day) == old
    run_parse(prefix, f"--date={day}")
    assert [row[1] for row in snapshot(day)["keyword_daily"]] == ["amber", "cobalt"]


@pytest.mark.timeout(300)
def test_a_parse_that_is_killed_leaves_the_old_day_and_the_next_one_goes_through():
    day, prefix = date(2005, 1, 11), lake_of("killed")
    t = start_of(day)
    archive(prefix, "killed", [(t, raw_post(1, t, "amber"))])
    run_parse(prefix, f"--date={day}")
    old = snapshot(day)
    for hour in range(24):
        lines = [
            (t + hour * HOUR + i, raw_post(hour * HOUR + i + 2, t + hour * HOUR + i, "many words of a post"))
            for i in range(2_000)
        ]
        archive(prefix, "killed", lines, partition=1, first=hour * 2_000)
    command = [sys.executable, "-m", "beam_pipelines.parse", f"--date={day}", f"--lake={prefix}", "--slice_posts=4000"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not query("SELECT 1 FROM staged_chunks WHERE date = %s LIMIT 1", day):
            assert process.poll() is None, "the parse ended before it staged anything"
            assert time.monotonic() < deadline, "nothing was staged within two minutes"
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert snapshot(day) == old
    assert run_parse(prefix, f"--date={day}") == 0
    assert snapshot(day)["parsed_days"] == [(48_001, 0, 0, 0, 25, [])]
    assert query("SELECT count(*) FROM staged_chunks WHERE date = %s", day) == [(0,)]


def test_one_process_at_a_time_parses_a_day():
    day, prefix = date(2005, 1, 12), lake_of("locked")
    other = psycopg2.connect("")
    day_tables.begin(other, day)
    with pytest.raises(UserError, match="being parsed by another process, since"):
        run_parse(prefix, f"--date={day}")
    day_tables.end(other, day)
    other.close()
    assert run_parse(prefix, f"--date={day}") == 0


def test_a_backfill_goes_in_order_and_on_where_it_was_stopped(capsys):
    first, prefix = date(2005, 3, 1), lake_of("backfill")
    for i in range(3):
        at = start_of(first + timedelta(days=i))
        archive(prefix, "backfill", [(at, raw_post(i + 1, at, "salsa"))], first=i)
    run_parse(prefix, f"--date={first + timedelta(days=1)}")
    capsys.readouterr()
    assert run_parse(prefix, f"--from={first}", f"--to={first + timedelta(days=2)}") == 0
    told = capsys.readouterr()
    assert [line.partition(":")[0] for line in told.out.splitlines()] == ["2005-03-01", "2005-03-03"]
    assert "day 2 of 3: 2005-03-02\n2005-03-02: parsed already; --force parses it again" in told.err


def test_stats_learn_from_the_parsed_days_and_tell_what_grew(capsys):
    first, prefix = date(2005, 4, 1), lake_of("stats")
    for i in range(3):
        at = start_of(first + timedelta(days=i)) + 12 * HOUR
        many = 60 if i == 2 else 20
        posts = [
            (at + j, raw_post(1000 * i + j + 1, at + j, "steady surge" if j < many else "steady",
                              item={"musicId": "m"}, musicInfos={"musicName": "Song", "authorName": "Bo"},
                              challengeInfoList=[{"challengeName": "Salsa"}]))
            for j in range(100)
        ]  # fmt: skip
        archive(prefix, "stats", posts, first=100 * i)
    last = first + timedelta(days=2)
    with pytest.raises(UserError, match=f"beam_pipelines.parse --date {last}"):
        stats.run([f"--date={last}"])
    run_parse(prefix, f"--from={first}", f"--to={last}")
    assert stats.run([f"--date={last}", "--direct_running_mode=in_memory", "--direct_num_workers=1"]) == 0
    assert "3 days of history" in capsys.readouterr().out
    version, start, end = query(
        "SELECT version, history_from, history_to FROM baseline_versions ORDER BY version DESC LIMIT 1"
    )[0]
    assert (int(start.timestamp()), int(end.timestamp())) == (start_of(first), start_of(last + timedelta(days=1)))
    keywords = {row[0] for row in query("SELECT keyword FROM baselines WHERE version = %s", version)}
    assert {"steady", "surge"} <= keywords
    grown = query(
        "SELECT keyword, mentions, usual, round(growth::numeric, 2) FROM trending_keywords WHERE date = %s ORDER BY growth DESC",
        last,
    )
    assert [(k, n, u) for k, n, u, _ in grown] == [("surge", 60, 20.0), ("steady", 100, 100.0)]
    assert float(grown[0][3]) == pytest.approx(70 / 30, abs=0.01)
    assert query("SELECT challenge, posts, usual, growth FROM trending_challenges WHERE date = %s", last) == [
        ("Salsa", 100, 100.0, 1.0)
    ]
    assert query("SELECT artist, posts FROM trending_musicians WHERE date = %s", last) == [("Bo", 100)]
    assert query("SELECT music, artist, posts FROM trending_music WHERE date = %s", last) == [("Song", "Bo", 100)]
    written = "SELECT * FROM trends WHERE date = %s ORDER BY kind, name"
    before = query(written, last)
    query("DELETE FROM trends WHERE date = %s RETURNING 1", last)
    assert trends.run([f"--date={last}"]) == 0
    assert query(written, last) == before
    assert query("SELECT max(version) FROM baseline_versions") == [(version,)]
    with pytest.raises(UserError, match="2005-04-09 has not been parsed"):
        trends.run(["--date=2005-04-09"])


def test_a_batch_that_fails_on_flink_ends_and_says_why():
    day, prefix = date(2005, 6, 1), lake_of("wordless")
    archive(prefix, "wordless", [(start_of(day), raw_post(1, start_of(day)))])
    run_parse(prefix, f"--date={day}")
    done = on_flink("stats", f"--date={day}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: nothing could be learnt from the counts")
    assert done.stderr.count("\n") == 1


def test_an_index_has_the_order_of_the_page_of_trends():
    plan = query(
        "SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off;"
        f"EXPLAIN SELECT *, {_RANKS['growth']} AS rank FROM trends WHERE date = %s AND kind = 'keyword' "
        "ORDER BY rank DESC, name LIMIT 50",
        date(2005, 4, 3),
    )
    told = "\n".join(line for (line,) in plan)
    assert "Index Scan using trends_by_rank" in told
    assert "Sort" not in told


def test_days_on_which_a_hashtag_was_boilerplate_are_not_zeros_of_its_trend():
    days = [date(2005, 5, 1) + timedelta(days=i) for i in range(8)]
    last = days[-1]
    # Steady at 1,950 of 100,000 posts, near the limit.
    boilerplate = {"Often": days[:6], "Always": days[:7], "Never": []}
    for day in days:
        query("INSERT INTO parsed_days (date, posts, duplicates, late_posts, dead_letters, objects, seconds)"
              " VALUES (%s, 100000, 0, 0, 0, 1, 1) RETURNING 1", day)  # fmt: skip
        for tag, hidden in boilerplate.items():
            if day in hidden:
                query("INSERT INTO common_hashtags VALUES (%s, %s, 0.02, true) RETURNING 1", day, tag.lower())
            else:
                query("INSERT INTO keyword_daily VALUES (%s, %s, 1950) RETURNING 1", day, tag.lower())
                query("INSERT INTO challenge_daily VALUES (%s, %s, 1950, 0) RETURNING 1", day, tag)
    trends.write_trends(psycopg2.connect(""), last)
    found = query("SELECT kind, name, usual, days, growth FROM trends WHERE date = %s ORDER BY 1, 2", last)
    assert found == [
        ("challenge", "Never", 1950.0, 7, 1.0), ("challenge", "Often", 1950.0, 1, 1.0),
        ("keyword", "never", 1950.0, 7, 1.0), ("keyword", "often", 1950.0, 1, 1.0),
    ]  # fmt: skip


def test_the_stream_and_the_batch_are_compared_and_each_difference_has_a_cause(capsys):
    day, prefix = date(2005, 1, 20), lake_of("parity")
    t = start_of(day)
    posts = [(t + i, raw_post(i + 1, t + i, "salsa tango")) for i in range(3)]
    posts += [(t + 10 + i, raw_post(10, t + 10 + i, "rumba")) for i in range(3)]
    posts += [
        (t + 4 * HOUR, raw_post(20, t + 4 * HOUR, "mambo")),
        (t + 4 * HOUR + 1, raw_post(21, t + 4 * HOUR, "mambo")),
    ]
    posts += [(t + 4 * HOUR + 2, raw_post(30, t + 20, "tango"))]  # its window has long been closed
    archive(prefix, "parity", posts)
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT ensure_day_partition('keyword_windows', %s)", (day,))
        for keyword, mentions in (("salsa", 3), ("tango", 3), ("rumba", 3)):
            cursor.execute("INSERT INTO keyword_windows VALUES (%s, to_timestamp(%s), %s, 1)", (keyword, t, mentions))
        cursor.execute("INSERT INTO window_totals (window_start, posts, pane) VALUES (to_timestamp(%s), 6, 1)", (t,))
    run_parse(prefix, f"--date={day}")
    capsys.readouterr()
    assert parity.run([f"--date={day}"]) == 0
    told = capsys.readouterr().out
    assert "1 late" in told
    found = query("SELECT equal, late, duplicate, missing, unexplained FROM parity_days WHERE date = %s", day)
    # equal: "salsa"; late: "tango"; duplicate: "rumba" and the window's posts (6 sent, 5 distinct and one late);
    # missing: "mambo" and the posts of a window that the stream never closed.
    assert found == [(1, 1, 2, 2, 0)]
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM uncounted WHERE date = %s AND keyword = 'tango'", (day,))
    assert parity.run([f"--date={day}"]) == 1
    assert "1 unexplained" in capsys.readouterr().out
    run_parse(prefix, f"--date={day}")  # once more: what the stream had counted stays known
    assert parity.run([f"--date={day}"]) == 0
    connection.close()


def test_a_window_that_the_stream_told_only_early_is_missing():
    day, prefix = date(2005, 1, 22), lake_of("early")
    t = start_of(day)
    archive(prefix, "early", [(t + i, raw_post(i + 1, t + i, "salsa")) for i in range(3)])
    insert = "INSERT INTO window_totals (window_start, posts, pane) VALUES (to_timestamp(%s), 2, 0) RETURNING 1"
    query(insert, t)
    run_parse(prefix, f"--date={day}")
    assert parity.run([f"--date={day}"]) == 0
    assert query("SELECT missing, unexplained FROM parity_days WHERE date = %s", day) == [(2, 0)]


def test_parity_of_a_day_that_was_not_parsed_says_what_to_do():
    with pytest.raises(UserError, match=r"beam_pipelines\.parse --date 2005-01-30"):
        parity.run(["--date=2005-01-30"])


def test_retention_drops_old_days_and_no_others(capsys):
    days, prefix = [date(1999, 1, 1), date(1999, 1, 2)], lake_of("retention")
    for i, day in enumerate(days):
        at = start_of(day)
        archive(prefix, "retention", [(at, raw_post(i + 1, at, "salsa")), (at, b"{")], first=2 * i)
        run_parse(prefix, f"--date={day}")
    assert retention.run(["--date=1999-01-03", "--keep_days=2"]) == 0
    told = capsys.readouterr().out
    assert "1 partitions of posts" in told
    old, new = (snapshot(day) for day in days)
    assert not any(old.values())
    assert all(new[table] for table in ("posts", "keyword_windows", "window_totals", "keyword_daily", "dead_letters"))
    retention.run(["--date=1999-01-03", "--keep_days=2"])
    assert "nothing" in capsys.readouterr().out


def test_retention_drops_incidents_that_are_over_the_retracted_among_them():
    insert = (
        "INSERT INTO incidents (keyword, opened_at, last_at, peak_at, closed_at, state, peak_score, severity, status, peak_mentions,"
        " peak_expected, shape) VALUES (%s, %s, %s, now(), %s, %s, 3, 'low', 'confirmed', 9, 1, 'pulse') RETURNING 1"
    )
    old, new = date(1998, 1, 1), date(1998, 1, 9)
    for keyword, at, closed_at, state in (
        ("closed", old, old, "closed"), ("retracted", old, None, "retracted"), ("open", old, None, "open"),
        ("new", new, None, "retracted"),
    ):  # fmt: skip
        query(insert, f"kept {keyword}", at, at, closed_at, state)
    retention.run(["--date=1998-01-09", "--keep_days=2"])
    assert query("SELECT keyword FROM incidents WHERE keyword LIKE 'kept %%' AND %s ORDER BY 1", True) == [
        ("kept new",), ("kept open",),
    ]  # fmt: skip


def test_the_statements_of_the_readme_return_what_they_promise():
    first, prefix = today() - timedelta(days=2), lake_of("readme")  # the newest day that has been parsed
    for i in range(2):
        at = start_of(first + timedelta(days=i))
        posts = [
            (at + j, raw_post(100 * i + j + 1, at + j, "dance #salsa", item={"musicId": "m", "diggCount": 10**9},
                              musicInfos={"musicName": "Song", "authorName": "Bo"}, challengeInfoList=[{"challengeName": "Salsa"}]))
            for j in range(30)
        ]  # fmt: skip
        archive(prefix, "readme", posts, first=30 * i)
    last = first + timedelta(days=1)
    run_parse(prefix, f"--from={first}", f"--to={last}")
    stats.run([f"--date={last}", "--direct_running_mode=in_memory", "--direct_num_workers=1"])
    reader = psycopg2.connect("", user=os.environ["PGREADER_USER"], password=os.environ["PGREADER_PASSWORD"])
    found = {}
    for block in re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL):
        for statement in filter(str.strip, re.sub(r"--[^\n]*", "", block).split(";")):
            with reader, reader.cursor() as cursor:
                cursor.execute(statement)
                found[re.search(r"FROM (\w+)", statement)[1]] = cursor.fetchall()
    reader.close()
    assert {"outliers", "incidents", "keyword_windows"} <= found.keys()
    assert {(word, posts) for word, posts, _, _ in found["trending_keywords"]} == {("dance", 30), ("salsa", 30)}
    assert found["trending_challenges"] == [("Salsa", 30, 1.0)]
    assert found["trending_musicians"] == [("Bo", 30, 1.0)]
    assert {row[2] for row in found["posts"]} >= {"dance #salsa"}
    assert found["window_totals"]
    assert found["baseline_versions"]
