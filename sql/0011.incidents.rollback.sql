DROP INDEX incidents_by_keyword, incidents_by_time, incidents_open;
DELETE FROM incidents;
ALTER TABLE incidents
    DROP COLUMN last_at, DROP COLUMN severity, DROP COLUMN status, DROP COLUMN kind, DROP COLUMN peak_mentions,
    DROP COLUMN peak_expected, DROP COLUMN updated_at,
    DROP CONSTRAINT incidents_state_check, DROP CONSTRAINT incidents_shape_check,
    ALTER COLUMN shape DROP NOT NULL,
    ADD CONSTRAINT incidents_keyword_opened_at_key UNIQUE (keyword, opened_at);
COMMENT ON COLUMN incidents.opened_at IS NULL;
COMMENT ON COLUMN incidents.closed_at IS NULL;
COMMENT ON COLUMN incidents.state IS NULL;
