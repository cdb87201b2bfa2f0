DROP INDEX incidents_by_score, incidents_by_opening, incidents_by_revision, posts_by_keyword,
    dead_letters_by_time;
