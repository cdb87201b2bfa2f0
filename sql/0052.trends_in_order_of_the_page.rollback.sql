DROP INDEX trends_by_rank;
CREATE INDEX trends_by_growth ON trends (date, kind, growth DESC);
