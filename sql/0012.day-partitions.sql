-- Two writers may want the same day's first partition at once. The second waits for the lock, and after it could still
-- see the catalogue as it was before: to_regclass does not ask anew what it has looked up. CREATE TABLE IF NOT EXISTS does.
-- depends: 0011.incidents

CREATE OR REPLACE FUNCTION ensure_day_partition(parent text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
BEGIN
    IF parent NOT IN ('posts', 'keyword_windows') THEN
        RAISE EXCEPTION 'no table partitioned by day: %', parent;
    END IF;
    IF to_regclass(part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext(part));
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        part, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
END $$;
