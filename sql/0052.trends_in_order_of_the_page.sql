-- The page of trends sorts by growth, or by posts where there is nothing to compare with; the index of growth alone
-- served nobody.
-- depends: 0051.alert_digests

DROP INDEX trends_by_growth;
CREATE INDEX trends_by_rank ON trends (date, kind, coalesce(growth, posts) DESC, name);
