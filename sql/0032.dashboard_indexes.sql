-- What keeps the dashboard's views fast with a million windows: each index serves one order of paging or one look-up.
-- depends: 0031.watchlist_and_feedback

CREATE INDEX incidents_by_score ON incidents (peak_score DESC, incident_id DESC);
CREATE INDEX incidents_by_opening ON incidents (opened_at DESC, incident_id DESC);
CREATE INDEX incidents_by_revision ON incidents (updated_at, incident_id);
CREATE INDEX posts_by_keyword ON posts USING gin (keywords);
CREATE INDEX dead_letters_by_time ON dead_letters (seen_at);
