-- The days of a page of musicians are looked up by name; without this each look-up reads the sounds of eight days.
-- depends: 0040.alerts

CREATE INDEX music_daily_by_artist ON music_daily (artist, date);
