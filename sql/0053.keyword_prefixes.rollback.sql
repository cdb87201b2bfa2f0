DROP INDEX IF EXISTS baselines_by_prefix;
