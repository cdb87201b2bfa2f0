"""The simulated day: bytes, schema, truth, and its agreement with the history."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import replace
from datetime import date, datetime

import msgspec
import numpy as np
import pytest

from feed.composition import Composer
from feed.events import Cause, Shape
from feed.history import write_history
from feed.lexicon import LANGUAGES
from feed.rates import Rates
from feed.rhythm import WINDOW_SECONDS, WINDOWS_PER_DAY, expected_posts
from feed.simulation import TOO_LATE_SECONDS, Config, Simulation
from transforms.posts import Rejected, decode_post
from transforms.text import tokenise

DAY = date(2024, 6, 5)
MIDNIGHT = datetime.fromisoformat("2024-06-05T00:00:00+00:00").timestamp()
CLEAN = Config(
    date=DAY, posts=40_000, events=0, silences=0, surge=1,
    share_malformed=0, share_unreadable=0, share_duplicates=0, share_late=0,
)  # fmt: skip
NO_LIMIT = 1 << 60

AUTHOR = {"covers", "coversLarger", "coversMedium", "nickName", "secUid", "signature", "uniqueId", "userId"}
CHALLENGE = {"challengeId", "challengeName", "covers", "coversLarger", "coversMedium", "isCommerce", "text"}
ITEM = {
    "authorId", "commentCount", "covers", "coversDynamic", "coversOrigin", "createTime", "diggCount", "id",
    "isActivityItem", "musicId", "shareCount", "text", "video",
}  # fmt: skip
MUSIC = {"authorName", "covers", "coversLarger", "coversMedium", "musicId", "musicName", "original", "playUrl"}


@pytest.fixture(scope="module")
def clean():
    simulation = Simulation(CLEAN)
    return simulation, list(simulation.lines())


def mentions(lines):
    counts = Counter()
    for line in lines:
        counts.update(tokenise(decode_post(line, NO_LIMIT).item.text or ""))
    return counts


def windows_of(lines, keywords):
    counts = Counter()
    for line in lines:
        post = decode_post(line, NO_LIMIT)
        start = post.time_stamp // WINDOW_SECONDS * WINDOW_SECONDS
        counts.update((keyword, start) for keyword in tokenise(post.item.text or "") & keywords.keys())
    return counts


def test_the_same_configuration_gives_the_same_bytes():
    config = Config(date=DAY, posts=1_000)
    first, second = Simulation(config), Simulation(config)
    assert list(first.lines()) == list(second.lines())
    assert list(first.lines()) == list(first.lines())
    assert first.truth() == second.truth()
    assert list(Simulation(replace(config, seed=2)).lines()) != list(first.lines())


def test_posts_have_all_fields_of_the_dump(clean):
    _, lines = clean
    for line in lines[:500]:
        post = msgspec.json.decode(line)
        assert set(post) == {"authorInfos", "challengeInfoList", "itemInfos", "musicInfos", "time_stamp"}
        assert set(post["authorInfos"]) == AUTHOR
        assert all(set(challenge) == CHALLENGE for challenge in post["challengeInfoList"])
        item = post["itemInfos"]
        assert set(item) == ITEM
        assert set(post["musicInfos"]) == MUSIC
        assert set(item["video"]) == {"url", "videoMeta"}
        assert set(item["video"]["videoMeta"]) == {"Duration", "height", "ratio", "width"}
        assert item["authorId"] == post["authorInfos"]["userId"]
        assert item["musicId"] == post["musicInfos"]["musicId"]
        assert int(item["createTime"]) <= post["time_stamp"]
        assert 0 < int(item["id"]) < 2**63
        assert all(f"#{challenge['challengeName']}" in item["text"] for challenge in post["challengeInfoList"])


def test_posts_are_many_distinct_and_of_the_usual_size(clean):
    _, lines = clean
    assert len(lines) == CLEAN.posts
    assert len({decode_post(line, NO_LIMIT).item.id for line in lines}) == CLEAN.posts
    assert 2_900 < sum(map(len, lines)) / len(lines) < 3_500
    assert not any(b"\n" in line for line in lines)


def test_activity_of_authors_is_heavy_tailed(clean):
    _, lines = clean
    posts = Counter(decode_post(line, NO_LIMIT).author.user_id for line in lines)
    top = sum(count for _, count in posts.most_common(len(posts) // 20))
    assert top > 0.3 * len(lines)
    assert len(posts) > 0.1 * len(lines)


def test_keywords_of_the_history_are_those_of_the_posts(clean):
    simulation, lines = clean
    assert set(mentions(lines)) <= set(simulation.vocabulary.keywords)


def test_history_agrees_with_a_simulated_day(clean):
    simulation, lines = clean
    counted = mentions(lines)
    days = list(simulation.history(14))
    mean = sum(day.per_keyword() for day in days) / len(days)
    totals = np.array([day.totals.sum() for day in days])
    # A week's days differ by 20 %, and the reference is one of them.
    assert 0.85 * CLEAN.posts < totals.mean() < 1.25 * CLEAN.posts
    scale = CLEAN.posts / totals.mean()
    keywords = simulation.vocabulary.keywords
    expected = mean * scale
    actual = np.array([counted[keyword] for keyword in keywords])
    common = expected > 100
    assert common.sum() > 100
    ratio = actual[common] / expected[common]
    assert abs(np.median(ratio) - 1) < 0.05
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.5
    for low, high in ((0.1, 1), (1, 10), (10, 100), (100, 1e9)):
        group = (expected >= low) & (expected < high)
        assert actual[group].sum() == pytest.approx(expected[group].sum(), rel=0.1)


def test_history_follows_the_hours_of_the_day(clean):
    simulation, lines = clean
    posts = np.zeros(24)
    for line in lines:
        posts[int((decode_post(line, NO_LIMIT).time_stamp - MIDNIGHT) // 3600)] += 1
    past = sum(day.totals.reshape(24, 4).sum(axis=1) for day in simulation.history(7))
    assert posts.max() > 1.3 * posts.min()
    assert np.corrcoef(posts, past)[0, 1] > 0.9


def test_keywords_have_seasons_of_their_own(clean):
    """What the history says of the hour in which a keyword peaks, the posts of many days show too."""
    simulation, _ = clean
    rates = Rates(simulation.vocabulary, DAY, CLEAN.seed)
    season = rates.popularity(DAY)
    swing = season.max(axis=0) / season.min(axis=0)
    expected = rates.expected(DAY, expected_posts(DAY, CLEAN.posts, DAY)).varying
    busy = expected.sum(axis=0) > 20
    assert 0.05 < (swing[busy] > 1.5).mean() < 0.6
    chosen = np.flatnonzero(busy & (swing > 2.5) & (simulation.vocabulary.volatility > 5))
    assert len(chosen) >= 5
    high = season[:, chosen] > np.median(season[:, chosen], axis=0)
    posted = np.zeros((WINDOWS_PER_DAY, len(simulation.vocabulary.keywords)))
    for line in Simulation(replace(CLEAN, days=3)).lines():
        post = decode_post(line, NO_LIMIT)
        window = int((post.time_stamp - MIDNIGHT) // WINDOW_SECONDS) % WINDOWS_PER_DAY
        for keyword in tokenise(post.item.text or ""):
            posted[window, simulation.vocabulary.keyword_number[keyword]] += 1
    past = np.zeros_like(posted)
    for day in simulation.history(3):
        for window, (numbers, mentions) in enumerate(zip(day.numbers, day.mentions, strict=True)):
            past[window, numbers] += mentions
    in_season = [(counts[:, chosen] * high).sum() / counts[:, chosen].sum() for counts in (posted, past, expected)]
    assert min(in_season) > 0.6
    assert max(in_season) - min(in_season) < 0.05


def test_weekend_words_are_weekend_words_in_posts_and_history():
    monday = replace(CLEAN, date=date(2024, 6, 10), posts=30_000)
    simulation = Simulation(monday)
    days = list(simulation.history(7))  # Monday to Sunday
    week = sum(day.per_keyword() for day in days[:4])
    weekend = 2 * sum(day.per_keyword() for day in days[5:])
    rates = Rates(simulation.vocabulary, monday.date, monday.seed)
    ratio = rates.popularity(date(2024, 6, 8)).mean(axis=0) / rates.popularity(date(2024, 6, 5)).mean(axis=0)
    for chosen, low, high in ((ratio > 2, 2.0, 5.0), (ratio < 0.5, 0.1, 0.6), (abs(ratio - 1) < 0.2, 0.9, 1.5)):
        assert low < weekend[chosen].sum() / week[chosen].sum() < high


def test_the_history_has_surges_if_the_day_has():
    peaks = []
    for surge in (1, 5):
        totals = [day.totals for day in Simulation(replace(CLEAN, posts=20_000, surge=surge)).history(20)]
        usual = np.median(totals, axis=0)
        peaks.append([(day / usual).max() > 2.5 for day in totals])
    assert not any(peaks[0])
    assert 1 <= sum(peaks[1]) <= 12


def test_several_days_follow_each_other():
    config = replace(CLEAN, posts=2_000, days=3, events=5, share_late=0.05)
    simulation = Simulation(config)
    lines = list(simulation.lines())
    posts = [decode_post(line, NO_LIMIT) for line in lines]
    per_day = Counter(int((post.time_stamp - MIDNIGHT) // 86_400) for post in posts)
    assert sorted(per_day) == [0, 1, 2]
    assert min(per_day.values()) > 1_700
    assert len({post.item.id for post in posts}) == len(posts)
    truth = simulation.truth()
    assert Counter(event.start[:10] for event in truth) == {"2024-06-05": 5, "2024-06-06": 5, "2024-06-07": 5}
    assert list(Simulation(config).lines()) == lines


def test_ids_of_neighbouring_days_differ():
    ids = [
        {decode_post(line, NO_LIMIT).item.id for line in Simulation(replace(CLEAN, date=day, posts=3_000)).lines()}
        for day in (DAY, date(2024, 6, 6))
    ]
    assert not ids[0] & ids[1]


def test_counts_are_over_dispersed(clean):
    simulation, _ = clean
    fyp = simulation.vocabulary.keyword_number["fyp"]
    noon = []
    for day in simulation.history(28):
        if day.day.weekday() < 4:
            for window in range(48, 52):
                place = np.searchsorted(day.numbers[window], fyp)
                noon.append(day.mentions[window][place] if day.numbers[window][place] == fyp else 0)
    assert np.var(noon) > 1.5 * np.mean(noon)


def test_history_files(tmp_path):
    simulation = Simulation(replace(CLEAN, posts=2_000))
    days = list(simulation.history(2))
    rows = write_history(days, tmp_path / "counts.csv.gz", tmp_path / "totals.csv.gz")
    with gzip.open(tmp_path / "counts.csv.gz", "rt", encoding="utf-8") as file:
        counts = file.read().splitlines()
    with gzip.open(tmp_path / "totals.csv.gz", "rt", encoding="utf-8") as file:
        totals = file.read().splitlines()
    assert counts[0] == "keyword,window_start,mentions"
    assert totals[0] == "window_start,total_posts"
    assert len(counts) == rows + 1
    assert [line.split(",")[0] for line in totals[1::96]] == ["2024-06-03T00:00:00Z", "2024-06-04T00:00:00Z"]
    assert sum(int(line.rsplit(",", 1)[1]) for line in counts[1:]) == sum(day.per_keyword().sum() for day in days)
    assert all(tokenise(f"#{line.split(',')[0]}") for line in counts[1:200])


def test_events_add_what_their_truth_says(clean):
    simulation, quiet = clean
    eventful = Simulation(replace(CLEAN, events=20))
    truth = eventful.truth()
    assert {event.shape for event in truth} == set(Shape) - {Shape.SILENCE}
    assert {event.cause for event in truth} == set(Cause) - {Cause.HIDDEN}
    assert [event.start for event in truth] == sorted(event.start for event in truth)
    before, after = mentions(quiet), mentions(eventful.lines())
    excess = sum(after[event.keyword] - before[event.keyword] for event in truth)
    expected = sum(event.expected_excess for event in truth)
    noise = sum(before[event.keyword] + event.expected_excess for event in truth) ** 0.5
    assert abs(excess - expected) < 6 * noise
    for event in truth:
        assert sum(window.expected_excess for window in event.windows) == pytest.approx(event.expected_excess, abs=0.2)
        assert event.windows[0].window_start == event.start
        assert datetime.fromisoformat(event.windows[-1].window_start).timestamp() + 900 == (
            datetime.fromisoformat(event.end).timestamp()
        )
        if event.shape is Shape.NEW_KEYWORD:
            assert all(window.expected == 0 for window in event.windows)
            assert event.keyword not in simulation.vocabulary.keyword_number


def test_the_cause_of_an_event_shows_in_its_posts():
    simulation = Simulation(replace(CLEAN, posts=2_000, events=20))
    composer = Composer(simulation.vocabulary, 2_000)
    checked = set()
    for event in simulation.events:
        rng = np.random.default_rng(event.number)
        drafts = [
            draft for window in range(event.first, event.last + 1) for draft in composer.of_event(event, window, rng)
        ]
        assert all(event.keyword in tokenise(draft.text) for draft in drafts)
        authors, texts, sounds = ({getattr(draft, name) for draft in drafts} for name in ("author", "text", "sound"))
        checked.add(event.cause)
        match event.cause:
            case Cause.ONE_AUTHOR:
                assert len(authors) == 1
            case Cause.SPAM:
                assert len(texts) == 1
                assert 1 < len(authors) <= 15
            case Cause.SOUND | Cause.CHALLENGE:
                assert len(sounds) == 1
                assert len(authors) > 1
    assert checked == set(Cause) - {Cause.HIDDEN}


def test_a_silence_takes_away_what_its_truth_says_and_nothing_else(clean):
    _, loud = clean
    simulation = Simulation(replace(CLEAN, silences=2))
    silences = {event.keyword: event for event in simulation.truth()}
    assert len(silences) == 2
    for event in silences.values():
        assert (event.shape, event.cause) == (Shape.SILENCE, Cause.HIDDEN)
        assert event.expected_excess == pytest.approx(
            -0.98 * sum(window.expected for window in event.windows), rel=0.01
        )
    before, after = windows_of(loud, silences), windows_of(simulation.lines(), silences)
    for keyword, event in silences.items():
        inside = [datetime.fromisoformat(window.window_start).timestamp() for window in event.windows]
        expected = sum(window.expected for window in event.windows)
        assert sum(before[keyword, start] for start in inside) > 0.6 * expected
        assert sum(after[keyword, start] for start in inside) < 0.1 * expected
        outside = {key: n for key, n in before.items() if key[0] == keyword and key[1] not in inside}
        assert sum(after[key] for key in outside) == pytest.approx(sum(outside.values()), rel=0.2)


def test_broken_duplicate_and_late_posts():
    config = replace(
        CLEAN, posts=5_000, share_malformed=0.2, share_unreadable=0.1, share_duplicates=0.1, share_late=0.2
    )
    lines = list(Simulation(config).lines())
    unreadable = Counter()
    seen = set()
    duplicates = late = 0
    latest = 0.0
    for line in lines:
        try:
            post = decode_post(line, NO_LIMIT)
        except Rejected as rejected:
            unreadable[rejected.reason] += 1
            continue
        assert latest - post.time_stamp < config.max_lateness
        late += latest - post.time_stamp > 60
        latest = max(latest, post.time_stamp)
        duplicates += line in seen
        seen.add(line)
    assert {str(reason) for reason in unreadable} >= {"bad_id", "bad_time_stamp", "not_json", "not_utf8"}
    assert 350 < unreadable.total() < 750
    assert 350 < duplicates < 650
    assert 600 < late < 1_300
    malformed = sum(set(msgspec.json.decode(line)["itemInfos"] or ()) != ITEM for line in seen)
    assert malformed > 100


def test_posts_that_are_too_late_are_later_than_any_window_waits():
    config = replace(CLEAN, posts=5_000, share_too_late=0.05)
    latest, lateness = 0.0, []
    for line in Simulation(config).lines():
        seconds = decode_post(line, NO_LIMIT).time_stamp
        # At the end no younger posts come, so nothing shows how late the last ones are.
        if seconds < MIDNIGHT + 22 * 3600:
            lateness.append(latest - seconds)
        latest = max(latest, seconds)
    lateness = np.array(lateness)
    too_late = lateness > 900
    assert 160 < too_late.sum() < 320
    assert lateness[~too_late].max() < 60
    assert lateness[too_late].min() > TOO_LATE_SECONDS[0] - 300  # the youngest post before may be some minutes old
    assert lateness.max() <= TOO_LATE_SECONDS[1]


def test_a_surge_raises_the_whole_platform():
    flat, surged = (len(list(Simulation(replace(CLEAN, posts=3_000, surge=surge)).lines())) for surge in (1, 4))
    assert flat == 3_000
    assert surged > 3_200


def test_all_languages_have_words_for_all_subjects():
    assert sum(language.share for language in LANGUAGES) == pytest.approx(1)
    assert {len(language.words) for language in LANGUAGES} == {12}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("posts", 0),
        ("seed", -1),
        ("silences", -1),
        ("surge", 0.5),
        ("share_late", 1.5),
        ("date", date(2040, 1, 1)),
        ("days", 0),
        ("max_lateness", -1),
        ("max_lateness", 2_000),
    ],
)
def test_impossible_configurations_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        replace(CLEAN, **{field: value})
