"""The daily parse, as far as it needs no Postgres: which objects and lines are a day's."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from beam_pipelines.parse import objects_of
from transforms import lake
from transforms.archive import NO_TIMESTAMP, ArchivedRun
from transforms.survey import DEAD, ELSEWHERE, SurveyedObject, survey_run

DAY = date(2020, 9, 14)
DAY_START = 1_600_041_600


def test_a_day_is_looked_for_in_its_own_hours_and_in_those_around_it(lake_folder: str):
    hours = ["2020-09-13/hh=22", "2020-09-13/hh=23", "2020-09-14/hh=00", "2020-09-14/hh=23", "2020-09-15/hh=00",
             "2020-09-15/hh=01", "2020-09-15/hh=02"]  # fmt: skip
    for hour in hours:
        lake.put(f"{lake_folder}/raw/dt={hour}/posts-0-{0:020d}.ndjson.zst", b"")
    found = objects_of(lake_folder, DAY, late_hours=2)
    assert [url.partition("/raw/dt=")[2].rpartition("/")[0] for url in found] == hours[1:-1]


def surveyed(folder: str, timestamp_ms: int, day_start: int) -> SurveyedObject:
    run = ArchivedRun("posts", 0, 0, [b"{"], np.array([timestamp_ms]))
    return survey_run(f"lake/raw/dt={folder}/posts-0-{0:020d}.ndjson.zst", run, day_start)[0]


def test_a_dead_letter_without_a_timestamp_is_of_the_day_of_its_folder_alone():
    for folder in ("2020-09-13/hh=23", "2020-09-14/hh=00"):
        days = []
        for i in (-1, 0):
            day, start = DAY + timedelta(days=i), DAY_START + i * 86_400
            found = surveyed(folder, NO_TIMESTAMP, start)
            days += [str(day)] if list(found.codes) == [DEAD] else []
            assert list(found.codes) in ([DEAD], [ELSEWHERE])
        assert days == [folder[:10]]


def test_a_dead_letter_with_a_timestamp_stays_where_that_is():
    ahead = surveyed("2020-09-13/hh=23", (DAY_START + 3_600) * 1000, DAY_START)
    assert list(ahead.codes) == [1 | DEAD]
