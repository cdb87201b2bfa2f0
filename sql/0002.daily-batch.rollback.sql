DROP FUNCTION stage_day, swap_day, unstage_day, drop_days_before;
DROP VIEW trending_keywords, trending_challenges, trending_music, trending_musicians;
DROP INDEX keyword_daily_by_keyword;
ALTER TABLE window_totals DROP COLUMN streamed;
DROP TABLE trends, parity_days, streamed_windows, common_hashtags, uncounted, parse_runs, parsed_days,
    staged_chunks, staged_challenges, staged_music, staged_dead_letters, staged_totals, staged_uncounted;
