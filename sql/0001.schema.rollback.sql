DROP FUNCTION ensure_day_partition;
DROP TABLE watchlist, dead_letters, incidents, outliers, baselines, baseline_versions, music_daily, challenge_daily,
    keyword_daily, window_totals, keyword_windows, posts;
