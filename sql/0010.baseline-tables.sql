-- A version of the baselines as workers load it, beside the rows of `baselines`, which are for people.
-- depends: 0002.daily-batch

CREATE TABLE baseline_tables (
    version bigint   NOT NULL REFERENCES baseline_versions ON DELETE CASCADE,
    part    smallint NOT NULL, -- one field of Postgres holds at most 1 GB
    data    bytea    NOT NULL, -- all parts together: the table's bytes, compressed with zstandard
    PRIMARY KEY (version, part)
);
ALTER TABLE baseline_tables ALTER COLUMN data SET STORAGE EXTERNAL;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON baseline_tables TO tiktok_writer_role;
GRANT SELECT ON baseline_tables TO tiktok_reader_role;

COMMENT ON COLUMN baselines.level IS 'mean mentions per window, at the usual volume of the platform';
COMMENT ON COLUMN baselines.dispersion IS 'standard deviation of the mentions of a window';
COMMENT ON COLUMN baselines.season IS
    'the keyword''s own factors by hour of the week, 168 from Monday 00:00 UTC; NULL: the shared ones, in baseline_versions.pooled';
COMMENT ON COLUMN baselines.tail IS
    'detector return_period: over-dispersion of a window, of an hour, and what its surprises are divided by';
