"""Writes simulated days of posts: ``python -m feed.simulate --output day.ndjson.zst --truth truth.ndjson``.

Also the counts of the days before it: ``--history 14 --counts counts.csv.gz --totals totals.csv.gz``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from feed.files import SourceError, open_output
from feed.history import write_history
from feed.progress import Progress
from feed.simulation import Config, Simulation


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ends the program with one line for what makes no sense."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    defaults = Config(date=yesterday)
    parser = argparse.ArgumentParser(
        prog="python -m feed.simulate",
        description="Simulate days of TikTok posts (ndjson, about 3.2 KB each), with injected events, broken "
        "posts, duplicates and late arrivals; and, quickly, the keyword counts of the days before. The same options "
        "give the same bytes. Send the posts with `python -m feed.produce FILE`.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", metavar="FILE", help="posts: .ndjson, .ndjson.gz, .ndjson.zst, or - for stdout")
    parser.add_argument("--date", type=_day, default=yesterday, help="first UTC day, YYYY-MM-DD")
    parser.add_argument("--days", type=int, default=defaults.days, help="number of days, from --date on")
    parser.add_argument(
        "--posts",
        type=int,
        default=defaults.posts,
        help="ordinary posts a day; events, surge and duplicates come on top",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of everything random")
    parser.add_argument(
        "--events", type=int, default=defaults.events, help="injected events a day: spikes, ramps, bursts, …"
    )
    parser.add_argument(
        "--silences", type=int, default=defaults.silences, help="usual keywords that are silent for some hours of a day"
    )
    parser.add_argument("--truth", metavar="FILE", help="where to write what was injected, as ndjson")
    parser.add_argument(
        "--surge", type=float, default=defaults.surge, help="height of one rise of the whole platform a day; 1: none"
    )
    for name, meaning in (
        ("share_malformed", "posts with optional fields missing, null or of the wrong type"),
        ("share_unreadable", "posts that cannot be read: cut off, no id, no time_stamp, not UTF-8"),
        ("share_duplicates", "posts that come twice"),
        ("share_late", "posts that come up to --max_lateness late; all others come seconds late"),
        ("share_too_late", "posts that come when the stream has closed their window for good"),
    ):
        parser.add_argument(f"--{name}", type=float, metavar="SHARE", default=getattr(defaults, name), help=meaning)
    parser.add_argument(
        "--max_lateness", type=float, metavar="SECONDS", default=defaults.max_lateness, help="the stream allows 900"
    )
    history = parser.add_argument_group("history", "counts of the days before --date, from the rates of the posts")
    history.add_argument("--history", type=int, metavar="DAYS", default=0, help="number of days; 0: none")
    history.add_argument("--counts", metavar="FILE.csv.gz", help="keyword,window_start,mentions (absent: 0)")
    history.add_argument("--totals", metavar="FILE.csv.gz", help="window_start,total_posts")
    options = parser.parse_args(arguments)
    if options.history < 0:
        parser.error("--history must not be negative")
    if options.history and not (options.counts and options.totals):
        parser.error("--history needs --counts FILE.csv.gz and --totals FILE.csv.gz")
    if not options.history and (options.counts or options.totals):
        parser.error("--counts and --totals need --history DAYS")
    if not (options.output or options.truth or options.history):
        parser.error("nothing to do: give --output FILE, --truth FILE or --history DAYS")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = parse_arguments(arguments)
    fields = {name: getattr(options, name) for name in Config.__dataclass_fields__}
    try:
        simulation = Simulation(Config(**fields))
        if options.history:
            _write_history(simulation, options)
        if options.truth:
            _write_truth(simulation, options.truth)
        if options.output:
            _write_posts(simulation, options.output)
    except (ValueError, SourceError) as error:
        _say(f"feed.simulate: {error}")
        return 2
    except BrokenPipeError:
        # The reader of our output has seen enough; Python must not try to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _say("feed.simulate: interrupted; the output is incomplete")
        return 130
    return 0


def _write_history(simulation: Simulation, options: argparse.Namespace) -> None:
    began = time.monotonic()
    try:
        for name in (options.counts, options.totals):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        rows = write_history(simulation.history(options.history), Path(options.counts), Path(options.totals))
    except OSError as error:
        msg = f"cannot write the history: {error.filename}: {error.strerror}"
        raise SourceError(msg) from None
    _say(f"{options.history} days of history, {rows:,} rows in {time.monotonic() - began:.1f} s: {options.counts}")


def _write_truth(simulation: Simulation, name: str) -> None:
    with open_output(name) as output:
        for truth in simulation.truth():
            output.write(msgspec.json.encode(truth) + b"\n")


def _write_posts(simulation: Simulation, name: str) -> None:
    lines = size = 0
    expected = simulation.config.posts * simulation.config.days
    progress = Progress(lambda seconds: f"{lines:,} of about {expected:,} posts, {lines / max(seconds, 1e-3):,.0f}/s")
    with open_output(name) as output:
        for line in simulation.lines():
            output.write(line)
            output.write(b"\n")
            lines += 1
            size += len(line) + 1
            progress.step()
    progress.say(f"{lines:,} posts, {size / 1e6:,.0f} MB in {progress.seconds:.1f} s: {name}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no day: expected YYYY-MM-DD"
        raise argparse.ArgumentTypeError(msg) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
