"""A simulated day of posts, its truth, and the counts of the days before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from feed.breakage import malform, ruin
from feed.composition import Composer
from feed.events import Event, Truth, plan_events
from feed.history import DayCounts, History
from feed.rendering import Renderer
from feed.rhythm import WINDOW_SECONDS, WINDOWS_PER_DAY, class_noise, day_number, expected_posts, surge
from feed.vocabulary import CLASSES, FloatArray, Vocabulary

MAX_LATENESS_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to simulate.

    Attributes:
        date: the UTC day.
        posts: organic posts of the day; events, the surge and duplicates come on top.
        seed: equal seeds give equal bytes.
        events: number of injected events.
        surge: height of the one rise of the whole platform; 1: none.
        share_malformed: posts with broken optional fields.
        share_unreadable: posts that no reader can use.
        share_duplicates: posts that come again, the same bytes, up to some minutes later.
        share_late: posts that come up to ``MAX_LATENESS_SECONDS`` after their time; others are seconds out of order.
    """

    date: date
    posts: int = 150_000
    seed: int = 1
    events: int = 12
    surge: float = 1.5
    share_malformed: float = 0.01
    share_unreadable: float = 0.001
    share_duplicates: float = 0.005
    share_late: float = 0.01

    def __post_init__(self) -> None:
        if self.posts < 1:
            msg = f"posts must be at least 1, not {self.posts}"
            raise ValueError(msg)
        if self.seed < 0 or self.events < 0:
            msg = "seed and events must not be negative"
            raise ValueError(msg)
        if self.surge < 1:
            msg = f"surge must be at least 1, not {self.surge}"
            raise ValueError(msg)
        if not date(2005, 1, 1) <= self.date <= date(2037, 12, 31):  # post ids hold 31 bits of seconds
            msg = f"date must lie in 2005 to 2037, not {self.date}"
            raise ValueError(msg)
        for name in ("share_malformed", "share_unreadable", "share_duplicates", "share_late"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} must lie between 0 and 1, not {getattr(self, name)}"
                raise ValueError(msg)


class Simulation:
    """One simulated day; everything follows from the configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.vocabulary = Vocabulary(config.seed)
        self._day = day_number(config.date)
        self._trend = self.vocabulary.trend(self._day)
        self._inclusion = self.vocabulary.inclusion(self._trend)
        self._expected = expected_posts(config.date, config.posts, config.date)
        self.events: list[Event] = plan_events(
            config.events, self.vocabulary, self._expected @ self._inclusion, self._inclusion, self._seed(1)
        )

    def truth(self) -> list[Truth]:
        """Return what was injected, in the order of time."""
        return sorted((event.truth(self.config.date) for event in self.events), key=lambda truth: truth.start)

    def history(self, days: int) -> Iterator[DayCounts]:
        """Yield the counts of the ``days`` days before, oldest first, from the rates that posts are drawn from."""
        config = self.config
        history = History(self.vocabulary, self._inclusion, config.date, config.posts, config.seed)
        return history.days(days)

    def lines(self) -> Iterator[bytes]:
        """Yield the posts as JSON in the order of their arrival, without newlines."""
        midnight = int(
            datetime(self.config.date.year, self.config.date.month, self.config.date.day, tzinfo=UTC).timestamp()
        )
        rng = np.random.default_rng(self._seed(2))
        weights = self._expected * class_noise(rng, WINDOWS_PER_DAY, CLASSES)
        per_window = weights.sum(axis=1)
        counts = rng.multinomial(self.config.posts, per_window / per_window.sum())
        counts += rng.poisson(counts * (surge(rng, self.config.surge) - 1))
        composer = Composer(self.vocabulary, self.config.posts)
        renderer = Renderer(self.config.seed, midnight)
        pending: list[tuple[float, int, bytes]] = []
        serial = 0
        for window in range(WINDOWS_PER_DAY):
            end = (window + 1) * WINDOW_SECONDS
            rng = np.random.default_rng(self._seed(3, window))
            for arrival, line in self._window(window, weights[window], int(counts[window]), composer, renderer, rng):
                pending.append((arrival, serial, line))
                serial += 1
            pending.sort()
            ready = next((i for i, entry in enumerate(pending) if entry[0] >= end), len(pending))
            for entry in pending[:ready]:
                yield entry[2]
            del pending[:ready]
        for entry in pending:
            yield entry[2]

    def _window(
        self, window: int, weights: FloatArray, count: int, composer: Composer, renderer: Renderer,
        rng: np.random.Generator,
    ) -> Iterator[tuple[float, bytes]]:  # fmt: skip
        config = self.config
        volatility = self.vocabulary.volatility
        popularity = self._trend * rng.gamma(volatility) / volatility
        drafts = composer.organic(weights, count, popularity, rng)
        for event in self.events:
            if event.first <= window <= event.last:
                drafts += composer.of_event(event, window, rng)
        start = window * WINDOW_SECONDS
        drafts = [draft._replace(second=start + draft.second) for draft in drafts]
        chances = rng.random((len(drafts), 3))
        delays = rng.exponential(1.0, len(drafts))
        late = rng.random(len(drafts)) < config.share_late
        delays[late] = rng.uniform(10, MAX_LATENESS_SECONDS, int(late.sum()))
        delays = np.minimum(delays, MAX_LATENESS_SECONDS)
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
                yield second + min(delay + repeat, MAX_LATENESS_SECONDS), line

    def _seed(self, *purpose: int) -> list[int]:
        return [self.config.seed, self._day, self.config.posts, *purpose]
