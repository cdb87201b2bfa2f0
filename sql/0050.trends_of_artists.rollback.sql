DROP INDEX music_daily_by_artist;
