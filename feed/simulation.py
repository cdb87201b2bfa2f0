"""Simulated days of posts, their truth, and the counts of the days before."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from feed.breakage import malform, ruin
from feed.composition import Composer
from feed.events import Event, Shape, Truth, plan_events
from feed.history import DayCounts, History
from feed.rates import Rates
from feed.rendering import Renderer
from feed.rhythm import (
    SECONDS_PER_DAY,
    WINDOW_SECONDS,
    WINDOWS_PER_DAY,
    class_noise,
    day_number,
    expected_posts,
    surge,
    window_start,
)
from feed.silences import plan_silences, silenced
from feed.vocabulary import CLASSES, FloatArray, Vocabulary

TOO_LATE_SECONDS = (1_860.0, 3_600.0)
"""Delay of posts that are too late: more than a window and the fifteen minutes that the stream allows after its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to simulate.

    Attributes:
        date: the first UTC day.
        days: number of days.
        posts: organic posts of the first day; others follow growth and weekday. Events, surges and duplicates come on
            top.
        seed: equal configurations give equal bytes.
        events: number of injected events of each day that add posts.
        silences: number of keywords of each day that are silent for some hours.
        surge: height of the one rise of the whole platform on each day; 1: none. In the history, some days have one.
        share_malformed: posts with broken optional fields.
        share_unreadable: posts that no reader can use.
        share_duplicates: posts that come again, the same bytes, up to some minutes later.
        share_late: posts that come up to ``max_lateness`` after their time; others are seconds out of order.
        max_lateness: seconds.
        share_too_late: posts that come when the stream has closed their window for good.
    """

    date: date
    days: int = 1
    posts: int = 150_000
    seed: int = 1
    events: int = 12
    silences: int = 1
    surge: float = 1.5
    share_malformed: float = 0.01
    share_unreadable: float = 0.001
    share_duplicates: float = 0.005
    share_late: float = 0.01
    max_lateness: float = 600.0
    share_too_late: float = 0.0

    def __post_init__(self) -> None:
        for name in ("posts", "days"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, not {getattr(self, name)}"
                raise ValueError(msg)
        if self.seed < 0 or self.events < 0 or self.silences < 0:
            msg = "seed, events and silences must not be negative"
            raise ValueError(msg)
        if self.surge < 1:
            msg = f"surge must be at least 1, not {self.surge}"
            raise ValueError(msg)
        if not 0 <= self.max_lateness < TOO_LATE_SECONDS[0]:
            msg = f"max_lateness must lie between 0 and {TOO_LATE_SECONDS[0]:.0f} seconds, not {self.max_lateness}"
            raise ValueError(msg)
        if not date(2005, 1, 1) <= self.date <= date(2037, 12, 31):  # post ids hold 31 bits of seconds
            msg = f"date must lie in 2005 to 2037, not {self.date}"
            raise ValueError(msg)
        for name in ("share_malformed", "share_unreadable", "share_duplicates", "share_late", "share_too_late"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} must lie between 0 and 1, not {getattr(self, name)}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class _Day:
    """What is planned for a day.

    Attributes:
        number: days since the first.
        date: UTC.
        expected: organic posts of each window and class.
        popularity: of each keyword in each window.
        events: what is injected.
    """

    number: int
    date: date
    expected: FloatArray
    popularity: FloatArray
    events: list[Event]


class Simulation:
    """Simulated days; everything follows from the configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.vocabulary = Vocabulary(config.seed)
        self._rates = Rates(self.vocabulary, config.date, config.seed)
        self._days = [self._plan(number) for number in range(config.days)]

    @property
    def events(self) -> list[Event]:
        """The events of all days."""
        return [event for day in self._days for event in day.events]

    def truth(self) -> list[Truth]:
        """Return what was injected, in the order of time."""
        truths = [event.truth(day.date) for day in self._days for event in day.events]
        return sorted(truths, key=lambda truth: truth.start)

    def history(self, days: int) -> Iterator[DayCounts]:
        """Yield the counts of the ``days`` days before, oldest first, from the rates that posts are drawn from."""
        config = self.config
        return History(self._rates, config.date, config.posts, config.surge, config.seed).days(days)

    def lines(self) -> Iterator[bytes]:
        """Yield the posts as JSON in the order of their arrival, without newlines."""
        midnight = int(window_start(self.config.date, 0).timestamp())
        composer = Composer(self.vocabulary, self.config.posts)
        renderer = Renderer(self.config.seed, midnight)
        pending: list[tuple[float, int, bytes]] = []
        serial = 0
        for day in self._days:
            rng = np.random.default_rng(self._seed(day.number, 2))
            weights = day.expected * class_noise(rng, WINDOWS_PER_DAY, CLASSES)
            per_window = weights.sum(axis=1)
            counts = rng.multinomial(round(day.expected.sum()), per_window / per_window.sum())
            counts += rng.poisson(counts * (surge(rng, self.config.surge) - 1))
            for window in range(WINDOWS_PER_DAY):
                for arrival, line in self._window(
                    day, window, weights[window], int(counts[window]), composer, renderer
                ):
                    pending.append((arrival, serial, line))
                    serial += 1
                pending.sort()
                end = day.number * SECONDS_PER_DAY + (window + 1) * WINDOW_SECONDS
                ready = bisect_left(pending, (end,))
                for entry in pending[:ready]:
                    yield entry[2]
                del pending[:ready]
        for entry in pending:
            yield entry[2]

    def _plan(self, number: int) -> _Day:
        config = self.config
        day = config.date + timedelta(days=number)
        expected = expected_posts(day, config.posts, config.date)
        rates = self._rates.expected(day, expected)
        events = plan_events(
            config.events,
            self.vocabulary,
            rates.varying + rates.steady,
            self._rates.inclusion.total,
            self._seed(number, 1),
        )
        events += plan_silences(
            config.silences, events, self.vocabulary, rates, self._rates.inclusion.total, self._seed(number, 4)
        )
        return _Day(number, day, expected, self._rates.popularity(day), events)

    def _window(
        self, day: _Day, window: int, weights: FloatArray, count: int, composer: Composer, renderer: Renderer
    ) -> Iterator[tuple[float, bytes]]:
        """Yield arrival, in seconds from the first day's midnight, and JSON of all posts of a window, in any order."""
        config = self.config
        rng = np.random.default_rng(self._seed(day.number, 3, window))
        volatility = self.vocabulary.volatility
        popularity = silenced(day.popularity[window], day.events, window, self.vocabulary)
        popularity *= rng.gamma(volatility) / volatility
        drafts = composer.organic(weights, count, popularity, rng)
        for event in day.events:
            if event.shape is not Shape.SILENCE and event.first <= window <= event.last:
                drafts += composer.of_event(event, window, rng)
        start = day.number * SECONDS_PER_DAY + window * WINDOW_SECONDS
        drafts = [draft._replace(second=start + draft.second) for draft in drafts]
        chances = rng.random((len(drafts), 3))
        delays = self._delays(len(drafts), rng)
        again = rng.uniform(1, 300, len(drafts))
        chooser = random.Random(int(rng.integers(1 << 62)))
        rendered = renderer.render(drafts, rng)
        for (second, line, of_event), (ill, bad, twice), delay, repeat in zip(
            rendered, chances.tolist(), delays.tolist(), again.tolist(), strict=True
        ):
            # An event's posts stay whole, or its truth would not be true.
            if not of_event and bad < config.share_unreadable:
                line = ruin(line, chooser)  # noqa: PLW2901
            elif not of_event and ill < config.share_malformed:
                line = malform(line, chooser)  # noqa: PLW2901
            yield second + delay, line
            if twice < config.share_duplicates:
                yield second + max(delay, min(delay + repeat, config.max_lateness)), line

    def _delays(self, count: int, rng: np.random.Generator) -> FloatArray:
        config = self.config
        delays = np.minimum(rng.exponential(1.0, count), config.max_lateness)
        kind = rng.random(count)
        late = kind < config.share_late
        delays[late] = rng.uniform(min(10.0, config.max_lateness), config.max_lateness, int(late.sum()))
        too_late = kind >= 1 - config.share_too_late
        delays[too_late] = rng.uniform(*TOO_LATE_SECONDS, int(too_late.sum()))
        return delays

    def _seed(self, day: int, *purpose: int) -> list[int]:
        return [self.config.seed, day_number(self.config.date) + day, self.config.posts, *purpose]
