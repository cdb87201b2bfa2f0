-- What people write through the dashboard, and the one role that may write it.
-- depends: 0012.day-partitions

ALTER TABLE watchlist ADD COLUMN watch_id   bigint GENERATED ALWAYS AS IDENTITY UNIQUE;
ALTER TABLE watchlist ADD COLUMN list       text        NOT NULL DEFAULT 'General';
ALTER TABLE watchlist ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- Keyed by what an incident is, not by its number: a replay that numbers incidents anew loses no verdict.
CREATE TABLE feedback (
    keyword   text        NOT NULL,
    opened_at timestamptz NOT NULL,
    verdict   text        NOT NULL CHECK (verdict IN ('useful', 'not_useful')),
    note      text,
    given_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (keyword, opened_at)
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tiktok_editor_role') THEN
        CREATE ROLE tiktok_editor_role NOLOGIN;
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO tiktok_editor_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON watchlist, feedback TO tiktok_editor_role;
GRANT SELECT ON incidents TO tiktok_editor_role;
GRANT SELECT ON feedback TO tiktok_reader_role;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON feedback TO tiktok_writer_role;
