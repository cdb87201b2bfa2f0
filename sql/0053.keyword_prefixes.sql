-- Suggestions look for keywords that begin with a text. Where texts are sorted by code points the primary key finds them; a
-- database of another locale needs an index for it.
-- depends: 0052.trends_in_order_of_the_page

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_database
        WHERE datname = current_database() AND (datlocprovider = 'b' OR datlocprovider = 'c' AND datcollate IN ('C', 'POSIX'))
    ) THEN
        CREATE INDEX baselines_by_prefix ON baselines (version, keyword text_pattern_ops);
    END IF;
END $$;
