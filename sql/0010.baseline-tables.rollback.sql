COMMENT ON COLUMN baselines.level IS NULL;
COMMENT ON COLUMN baselines.dispersion IS NULL;
COMMENT ON COLUMN baselines.season IS NULL;
COMMENT ON COLUMN baselines.tail IS NULL;
DROP TABLE baseline_tables;
