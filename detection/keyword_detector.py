"""The detector: expectation × tail × the keyword's own record, at the scales of a window and an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detection import budget
from detection.baselines import BaselineTable, keyword_hashes
from detection.counts import WINDOW_SECONDS, WINDOWS_PER_DAY, CountHistory, WindowCounts
from detection.detector import Scores, Summary
from detection.fit import SEASON_STEP, Fitted, fit
from detection.hourly import DAY_SECONDS, HOURS_PER_DAY, HourlyCounts, covered_days
from detection.incidents import NEVER
from detection.level import CLIP_SDS, PRIOR_MENTIONS, RATIO_RANGE, hour_keep
from detection.online import LAST_HOUR, NEW_PRIOR, Known, ShardState
from detection.record import DEFAULT_TAIL, Tail
from detection.replay import DEFAULT_DISPERSION
from detection.tails import lower_surprise, surprise, usual_range

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

LEAST_MENTIONS: Final = 3
"""Fewer mentions are never an outlier: two people are not a wave."""

USUAL_TAIL: Final = 0.005
"""Tail probability beyond either end of the usual range."""

SCALE_COST: Final = float(np.log(2))
"""Two scales are looked at, so each must be twice as rare (Bonferroni), nats."""

STILL_HIGH: Final = 1.0
"""Surprise of the window alone from which the hour that it ends counts in full, nats (a tail of 0.37)."""

STEADY_LEVEL: Final = 1.0
"""Mentions per window from which a keyword's silence can be told: its name is kept beside its hash."""

DROP_EXPECTED: Final = 5.0
"""Usual mentions of the last windows below which silence says nothing."""

DROP_SHARE: Final = 0.25
"""A keyword with this share of what is usual, or more, has not fallen silent."""

NEW_SURPRISE: Final = 13.0
"""New keywords come in all sizes: their first hour has a Pareto tail of index 1 beyond this surprise, nats."""

CHUNK: Final = 16_384
"""Keywords fitted at a time; also the sample from which the shared parameters are learnt."""

LEAST_POSTS: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Prediction:
    """What was expected of some keywords, arrays of length n."""

    base: Floats  # level × volume × season
    mean: Floats  # base × online ratio
    unsure: Floats  # variance of the ratio relative to its square
    shape: Floats  # negative-binomial shape at the scale of a window
    fresh: npt.NDArray[np.bool_]  # in no baseline and never mentioned before


@dataclass(frozen=True)
class KeywordDetector:
    """Scores by return period, within a budget of alerts.

    Attributes:
        alerts_per_day: incidents a day, over all keywords, that the threshold aims at; baselines serve any budget.
        history_days: days of history used by a fit.
    """

    alerts_per_day: float = 100.0
    history_days: int = 28
    name: str = "return_period"

    def span(self, history: CountHistory) -> tuple[int, int]:
        """Return the last ``history_days`` whole days (UTC) of a history, or all that it has."""
        start, end = covered_days(history)
        return max(start, end - self.history_days * DAY_SECONDS), end

    def fit(self, history: CountHistory, version: int) -> BaselineTable:
        """Learn from the ``span`` of a history."""
        start, end = self.span(history)
        if end <= start or not history.keywords:
            return BaselineTable.empty(self.name)
        usual, volume = hourly_volume(
            history.totals[(start - history.start) // WINDOW_SECONDS :], (end - start) // 3600
        )
        inside = (history.window >= start) & (history.window < end)
        order = np.argsort(history.keyword[inside], kind="stable")
        column, window, mentions = (
            part[inside][order].astype(np.int64) for part in (history.keyword, history.window, history.mentions)
        )
        hashes = keyword_hashes(history.keywords)
        # The shared parameters come from the first chunk; by hash, so that it is a fair sample.
        rank = np.empty(len(hashes), np.int64)
        by_hash = np.argsort(hashes)
        rank[by_hash] = np.arange(len(hashes))
        position = rank[column]
        order = np.argsort(position // CHUNK, kind="stable")
        position, window, mentions = position[order], window[order], mentions[order]
        parts: list[Fitted] = []
        for first in range(0, len(hashes), CHUNK):
            rows = slice(*np.searchsorted(position // CHUNK, (first // CHUNK, first // CHUNK + 1)))
            size = min(CHUNK, len(hashes) - first)
            hourly = HourlyCounts.from_rows(position[rows] - first, window[rows], mentions[rows], size, start, volume)
            parts.append(fit(hourly, parts[0].shared if parts else None, len(hashes)))
        table = self.table(hashes[by_hash], parts, usual, version)
        return replace(table, names=_steady_names(history.keywords, hashes, table))

    def fit_hourly(self, hourly: HourlyCounts, order: Rows) -> list[Fitted]:
        """Fit a history that is summarised already, its keywords in this order of columns, in chunks."""
        parts: list[Fitted] = []
        for first in range(0, len(order), CHUNK):
            part = hourly.take(order[first : first + CHUNK])
            parts.append(fit(part, parts[0].shared if parts else None, len(order)))
        return parts

    def table(
        self, hashes: npt.NDArray[np.uint64], parts: list[Fitted], usual_posts: float, version: int
    ) -> BaselineTable:
        """Return the baseline table of fitted chunks, whose keywords are in the order of ``hashes``."""
        shared = parts[0].shared
        offset = 0
        seasons, columns = [], []
        for part in parts:
            rows = part.columns["season"]
            columns.append({**part.columns, "season": np.where(rows < 0, -1, rows + offset).astype(np.float32)})
            seasons.append(part.seasons)
            offset += len(part.seasons)
        known = np.concatenate([part.known for part in parts])
        return BaselineTable.build(
            version,
            self.name,
            hashes[known],
            {name: np.concatenate([c[name] for c in columns])[known] for name in columns[0]},
            {
                "usual_posts": np.array(usual_posts),
                "dispersion": np.array(shared.dispersion),
                "tail": np.array([shared.tail.location, shared.tail.scale]),
                "record_scores": shared.record.scores.astype(np.float32),
                "record": np.array([shared.record.days, shared.record.keywords, shared.record.share]),
                "shape": shared.shape,
                "seasons": np.concatenate(seasons),
            },
        )

    def summary(self, baselines: BaselineTable) -> Summary:
        """Return what people can read of a table."""
        if not len(baselines):
            return Summary.empty()
        column, pooled = baselines.columns, baselines.pooled
        level = column["level"].astype(float)
        usual = float(pooled["usual_posts"])
        return Summary(
            level,
            np.sqrt(level + column["dispersion"] * np.square(level)),
            np.stack([column["dispersion"], column["hour_dispersion"], column["calibration"]], axis=1),
            column["season"].astype(np.int64),
            _from_monday(pooled["seasons"].astype(np.int8)),
            SEASON_STEP,
            {
                "usual_posts": usual if np.isfinite(usual) else None,
                "season": _from_monday(np.exp(pooled["shape"])).round(4).tolist(),
                "tail": pooled["tail"].tolist(),
            },
        )

    def new_state(self) -> ShardState:
        """Return the state of a shard before its first window."""
        return ShardState.empty()

    def state_from_bytes(self, data: bytes) -> ShardState:
        """Read what ``ShardState.to_bytes`` wrote."""
        return ShardState.from_bytes(data)

    def score(
        self, window: WindowCounts, baselines: BaselineTable, state: ShardState, *, partial: bool = False
    ) -> Scores:
        """Score every keyword of one window; pure, and as dear as the window, not as the state.

        Args:
            window: the window; keywords may have 0 mentions.
            baselines: the current baselines; may be empty.
            state: the shard's state after the window before. With a new one the baselines alone speak: no online
                level, no hour, and every keyword without a baseline is new.
            partial: whether the window is still open. Its expectation is then that of a whole window of usual volume
                at least, so that what holds now holds when it closes.
        """
        hashes, taken_in = keyword_hashes(window.keywords), state.windows_before(window.window_start)
        state, known = _joined(state.only(hashes), baselines, hashes)
        rows = np.searchsorted(state.hashes, hashes)
        return self._scores(window, baselines, state, known, rows, taken_in, partial=partial)

    def step(self, window: WindowCounts, baselines: BaselineTable, state: ShardState) -> tuple[Scores, ShardState]:
        """Score a closed window and take it in: keywords of the state that are not in the window had no mention.

        Windows must come in their order. One that is left out is unknown, not silent.
        """
        hashes = keyword_hashes(window.keywords)
        if window.window_start // DAY_SECONDS != state.window_start // DAY_SECONDS:
            state = state.without_idle(window.window_start // WINDOW_SECONDS)
        state, known = _joined(state, baselines, hashes)
        rows = np.searchsorted(state.hashes, hashes)
        taken_in = state.windows_before(window.window_start)
        scores = self._scores(window, baselines, state, known, rows, taken_in)
        return scores, self._advance(window, baselines, state, known, rows)

    def drops(self, window: WindowCounts, baselines: BaselineTable, state: ShardState) -> tuple[WindowCounts, Scores]:
        """Return the keywords that have fallen silent where mentions were certain.

        Of the last ``LAST_HOUR`` windows, this one among them, neither all together nor this one hold ``DROP_SHARE`` of
        what is usual, which is ``DROP_EXPECTED`` mentions or more. What is usual is no more than the baseline says:
        the end of a wave is no drop. Keywords that the baselines name, alone.

        Args:
            window: a closed window.
            baselines: the current baselines.
            state: the state after the window; keywords in it that the window lacks had no mention.
        """
        state, known = _joined(state, baselines, state.hashes)
        ratio = state.ratio_mentions.astype(float) / state.ratio_exposure
        means, counts = state.means.astype(float) / np.maximum(ratio, 1.0), state.counts.astype(float)
        mean, count = means.sum(axis=0), counts.sum(axis=0)
        silent = (mean >= DROP_EXPECTED) & (count < DROP_SHARE * mean) & (counts[0] < DROP_SHARE * means[0])
        rows = np.flatnonzero(known.present & silent)
        rows = rows[[hash_ in baselines.names for hash_ in state.hashes[rows].tolist()]] if len(rows) else rows
        unsure = 1 / np.maximum(state.ratio_mentions[rows].astype(float), 0.1)
        found = lower_surprise(count[rows], mean[rows], 1 / (known.hour_dispersion[rows] + unsure))
        # No heavy tail reaches below zero, so the probability itself is the return period, of any window of a day.
        score = np.logaddexp(0.0, found - np.log(WINDOWS_PER_DAY)) / np.log(10)
        severity = budget.severity(score, budget.least_drop_score(len(baselines.names), self.alerts_per_day))
        told = severity > 0
        rows, expected, mentions = rows[told], means[0][rows[told]], counts[0][rows[told]]
        lower, upper = usual_range(expected, 1 / (known.dispersion[rows] + unsure[told]), USUAL_TAIL)
        names = tuple(baselines.names[hash_] for hash_ in state.hashes[rows].tolist())
        scores = Scores(
            expected=expected,
            lower=lower,
            upper=upper,
            p_value=np.exp(-found[told]),
            score=score[told],
            severity=severity[told],
            tide=np.zeros(len(rows)),
            excess=mentions - expected,
        )
        return replace(window, keywords=names, mentions=mentions.astype(np.int64)), scores

    def least_score(self, baselines: BaselineTable) -> float:
        """Return the score from which a keyword is an outlier: what the alert budget allows by these baselines."""
        pooled, record = baselines.pooled, budget.NO_RECORD
        if "record" in pooled:
            days, keywords, share = pooled["record"].tolist()
            record = budget.Record(pooled["record_scores"], int(days), keywords, share)
        return budget.threshold(record, self.alerts_per_day)

    def _predict(
        self, window: WindowCounts, volume: float, state: ShardState, known: Known, rows: Rows | slice
    ) -> _Prediction:
        present, seen = known.present[rows], state.seen_at[rows] > NEVER
        base = np.maximum(known.rate[rows] * volume * known.shape(window.window_start)[rows], 1e-9)
        mentions, exposure = state.ratio_mentions[rows].astype(float), state.ratio_exposure[rows].astype(float)
        ratio = mentions / exposure
        ratio = np.where(present, np.clip(ratio, *RATIO_RANGE), ratio)
        unsure = 1 / mentions
        return _Prediction(base, base * ratio, unsure, 1 / (known.dispersion[rows] + unsure), ~present & ~seen)

    def _scores(
        self,
        window: WindowCounts,
        baselines: BaselineTable,
        state: ShardState,
        known: Known,
        rows: Rows,
        taken_in: int,
        *,
        partial: bool = False,
    ) -> Scores:
        volume = _volume(window, baselines, partial=partial)
        at = self._predict(window, volume, state, known, rows)
        count = window.mentions.astype(float)
        single = surprise(count, at.mean, at.shape)
        before, expected_before, all_known = state.hour_before(window.window_start)
        windows_before = all_known[rows]
        whole = windows_before == LAST_HOUR
        hour_count, hour_mean = count + before[rows], at.mean + expected_before[rows]
        # Less than an hour fluctuates more than an hour does.
        dispersion = np.where(whole, known.hour_dispersion[rows], known.dispersion[rows])
        hour = surprise(hour_count, hour_mean, 1 / (dispersion + at.unsure))
        # A keyword that came up within the hour: all its mentions since, beside those of one that was never heard of.
        # It lacks windows that the shard has taken in; one that is older lacks only those that the shard lacks, too.
        young = np.flatnonzero(~known.present[rows] & (at.fresh | (windows_before < taken_in)))
        fresh, shape = at.fresh[young], 1 / (dispersion[young] + 1 / PRIOR_MENTIONS)
        new = _first_heard(hour_count[young], at.base[young] * (1 + windows_before[young]), shape)
        new *= len(baselines) > 0  # without any baseline every keyword is new, which is no news
        hour[young] = np.where(fresh, new, np.maximum(hour[young], new))
        single = np.where(at.fresh, hour, single)
        # The hour speaks only as far as the window itself is high: what is over is not an outlier any more.
        hour = hour * np.clip(single / STILL_HIGH, 0, 1)
        found = np.maximum(np.maximum(single, hour) - SCALE_COST, 0)
        score = _tail(baselines).log_return_days(found / known.calibration[rows])
        score = np.where(count < LEAST_MENTIONS, np.minimum(score, 0.5), score)
        lower, upper = usual_range(at.mean, at.shape, USUAL_TAIL)
        alone = at.mean / max(volume, 1e-9)
        outlier = budget.severity(score, self.least_score(baselines)) * (count > at.mean)
        return Scores(
            expected=at.mean,
            lower=lower,
            upper=upper,
            p_value=np.exp(-found),
            score=score,
            severity=outlier.astype(np.int8),
            tide=np.clip(at.mean - alone, 0, np.maximum(count - alone, 0)),
            excess=count - at.mean,
        )

    def _advance(
        self,
        window: WindowCounts,
        baselines: BaselineTable,
        state: ShardState,
        known: Known,
        rows: Rows,
    ) -> ShardState:
        at = self._predict(window, _volume(window, baselines, partial=False), state, known, slice(None))
        count = np.zeros(len(state))
        count[rows] = window.mentions
        deviation = np.sqrt(at.mean + at.mean**2 / at.shape)
        taught = np.where(
            known.present, np.clip(count, at.mean - CLIP_SDS * deviation, at.mean + CLIP_SDS * deviation), count
        )
        born = at.fresh & (count > 0)
        seen_at = np.where(count > 0, np.int32(window.window_start // WINDOW_SECONDS), state.seen_at)
        mentions = np.where(born, NEW_PRIOR[0], state.ratio_mentions)
        exposure = np.where(born, NEW_PRIOR[1] * at.base, state.ratio_exposure)
        weight = np.where(known.present | (seen_at > NEVER), 1 / (1 + known.dispersion * at.mean), 0.0)
        keep = hour_keep() ** (WINDOW_SECONDS / 3600)
        mentions = keep * mentions + (1 - keep) * known.mass + weight * taught
        exposure = keep * exposure + (1 - keep) * known.mass + weight * at.base
        follows = window.window_start - state.window_start == WINDOW_SECONDS
        hour_counts, hour_means = (part[: LAST_HOUR - 1] * np.float32(follows) for part in (state.counts, state.means))
        # What a new keyword was expected to have before it appeared says nothing; its hour begins with itself.
        expected = np.where(born, count, at.mean).astype(np.float32)
        return replace(
            state,
            window_start=window.window_start,
            ratio_mentions=mentions.astype(np.float32),
            ratio_exposure=exposure.astype(np.float32),
            seen_at=seen_at,
            counts=np.concatenate([count.astype(np.float32)[None], hour_counts]),
            means=np.concatenate([expected[None], hour_means]),
        )


def _first_heard(count: Floats, mean: Floats, shape: Floats) -> Floats:
    """Return how surprising so many mentions of a keyword are that is in no baseline, nats."""
    # It is seen only when it is mentioned: condition on that.
    appearing = -np.log1p(-np.exp(-np.log1p(mean / shape) * shape))
    return np.asarray(np.clip(surprise(count, mean, shape) - appearing, 0, NEW_SURPRISE + np.log1p(count)))


def _joined(state: ShardState, baselines: BaselineTable, hashes: npt.NDArray[np.uint64]) -> tuple[ShardState, Known]:
    """Return the state with these keywords, joined with the current baselines, and the join."""
    grown = state.with_keywords(hashes)
    known = grown.joined
    if known is not None and known.version == baselines.version:
        return grown, known
    known = Known.join(grown.hashes, baselines, DEFAULT_DISPERSION, SEASON_STEP)
    # A keyword that gets a baseline, or loses it, starts "as usual".
    new = known.present != grown.learnt
    mass = known.mass.astype(np.float32)
    return replace(
        grown,
        version=baselines.version,
        ratio_mentions=np.where(new, mass, grown.ratio_mentions),
        ratio_exposure=np.where(new, mass, grown.ratio_exposure),
        seen_at=np.where(new & ~known.present, np.int32(NEVER), grown.seen_at),
        learnt=known.present,
        joined=known,
    ), known


def _steady_names(keywords: Sequence[str], hashes: npt.NDArray[np.uint64], table: BaselineTable) -> Mapping[int, str]:
    """Return hash → keyword of those with a level of at least ``STEADY_LEVEL``."""
    if not len(table):
        return {}
    rows = table.find(hashes)
    steady = np.flatnonzero(np.where(rows < 0, 0.0, table.columns["level"][rows]) >= STEADY_LEVEL)
    return {int(hashes[i]): keywords[i] for i in steady.tolist()}


def _from_monday(weeks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn weeks that begin as the epoch's does, on a Thursday, so that they begin on Monday 00:00 UTC."""
    return np.roll(weeks, -4 * HOURS_PER_DAY, axis=-1)


def hourly_volume(totals: Floats, hours: int) -> tuple[float, Floats]:
    """Return the usual posts per window and the relative volume of each hour (NaN and 1 where unknown)."""
    windows = totals[: hours * 4].astype(float)
    if not np.isfinite(windows).any():
        return float("nan"), np.ones(hours)
    usual = max(float(np.nanmean(windows)), LEAST_POSTS)
    relative = np.where(np.isfinite(windows), windows / usual, 1.0)
    return usual, relative.reshape(hours, 4).mean(axis=1)


def _volume(window: WindowCounts, baselines: BaselineTable, *, partial: bool) -> float:
    usual = float(baselines.pooled["usual_posts"]) if "usual_posts" in baselines.pooled else float("nan")
    if not (np.isfinite(usual) and np.isfinite(window.posts)):
        return 1.0
    volume = float(window.posts) / usual
    return max(volume, 1.0) if partial else volume


def _tail(baselines: BaselineTable) -> Tail:
    if "tail" in baselines.pooled:
        location, scale = baselines.pooled["tail"]
        return Tail(float(location), float(scale))
    return Tail(DEFAULT_TAIL[0] - float(np.log(2)) * DEFAULT_TAIL[1], DEFAULT_TAIL[1])
