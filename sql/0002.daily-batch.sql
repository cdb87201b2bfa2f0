-- The daily batch: staging, the swap of a day, the stream's own figures for parity, trends, retention.
-- depends: 0001.schema

-- A day that the batch has parsed. Its rows in posts, keyword_windows, the *_daily tables, dead_letters, uncounted and
-- common_hashtags came in the transaction that wrote this one.
CREATE TABLE parsed_days (
    date           date        PRIMARY KEY,
    posts          bigint      NOT NULL, -- readable and distinct
    duplicates     bigint      NOT NULL, -- left out: the same id came again
    late_posts     bigint      NOT NULL, -- behind the stream's watermark by more than its allowed lateness
    dead_letters   bigint      NOT NULL,
    objects        integer     NOT NULL,
    broken_objects text[]      NOT NULL DEFAULT '{}',
    seconds        real        NOT NULL,
    parsed_at      timestamptz NOT NULL DEFAULT now()
);

-- The run that may write a day's staging tables; a worker of an older one finds that it has been superseded.
CREATE TABLE parse_runs (
    date       date        PRIMARY KEY,
    run        text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- What has been staged, so that a bundle that is tried again stages nothing twice.
CREATE UNLOGGED TABLE staged_chunks (
    date  date   NOT NULL,
    chunk text   NOT NULL,
    posts bigint NOT NULL,
    PRIMARY KEY (date, chunk)
);
CREATE UNLOGGED TABLE staged_challenges (
    date date NOT NULL, challenge text NOT NULL, posts bigint NOT NULL, engagement bigint NOT NULL
);
CREATE UNLOGGED TABLE staged_music (
    date date NOT NULL, music_id text NOT NULL, music text, artist text, newest double precision NOT NULL,
    posts bigint NOT NULL, engagement bigint NOT NULL
);
CREATE UNLOGGED TABLE staged_dead_letters (
    date date NOT NULL, topic text NOT NULL, partition integer NOT NULL, "offset" bigint NOT NULL,
    seen_at timestamptz NOT NULL, reason text NOT NULL, detail text NOT NULL, raw bytea NOT NULL
);
CREATE UNLOGGED TABLE staged_totals (
    date date NOT NULL, window_start timestamptz NOT NULL, posts bigint NOT NULL
);
CREATE UNLOGGED TABLE staged_uncounted (
    date date NOT NULL, keyword text NOT NULL, window_start timestamptz NOT NULL, late bigint NOT NULL, duplicates bigint NOT NULL
);

-- Where stream and batch may differ: mentions in posts that came too late for the stream, and in posts that came again
-- and that the stream counted again. The keyword '' stands for the window's posts.
CREATE TABLE uncounted (
    date         date        NOT NULL,
    keyword      text        NOT NULL,
    window_start timestamptz NOT NULL,
    late         bigint      NOT NULL,
    duplicates   bigint      NOT NULL,
    PRIMARY KEY (date, keyword, window_start)
);

-- Hashtags on a large share of a day's posts; boilerplate are those that are so day after day, and so say nothing.
CREATE TABLE common_hashtags (
    date        date    NOT NULL,
    hashtag     text    NOT NULL,
    share       real    NOT NULL, -- of the day's posts, from a sample
    boilerplate boolean NOT NULL,
    PRIMARY KEY (date, hashtag)
);

-- The stream's own counts of a day that the batch has completed since: what keyword_windows held before.
CREATE TABLE streamed_windows (
    keyword      text        NOT NULL,
    window_start timestamptz NOT NULL,
    mentions     bigint      NOT NULL,
    pane         smallint    NOT NULL,
    PRIMARY KEY (keyword, window_start)
) PARTITION BY RANGE (window_start);
ALTER TABLE window_totals ADD COLUMN streamed bigint; -- posts that the stream had counted when the batch completed the window

CREATE TABLE parity_days (
    date            date        PRIMARY KEY,
    keyword_windows bigint      NOT NULL, -- compared
    equal           bigint      NOT NULL,
    late            bigint      NOT NULL,
    duplicate       bigint      NOT NULL,
    missing         bigint      NOT NULL,
    unexplained     bigint      NOT NULL,
    checked_at      timestamptz NOT NULL DEFAULT now()
);

-- What grew against its own past, by share of the platform's posts.
CREATE TABLE trends (
    date   date   NOT NULL,
    kind   text   NOT NULL CHECK (kind IN ('keyword', 'challenge', 'music', 'musician')),
    name   text   NOT NULL, -- the keyword, the challenge, the sound's id, the artist
    title  text,            -- of a sound: its name
    artist text,            -- of a sound
    posts  bigint NOT NULL,
    usual  double precision NOT NULL, -- posts that its share of the days before makes of this day's volume
    days   integer NOT NULL, -- that "usual" is the mean of
    growth double precision, -- posts / usual, both raised by a constant; NULL without a day to compare with
    PRIMARY KEY (date, kind, name)
);
CREATE INDEX trends_by_growth ON trends (date, kind, growth DESC);

CREATE VIEW trending_keywords AS
    SELECT date, name AS keyword, posts AS mentions, usual, growth FROM trends WHERE kind = 'keyword';
CREATE VIEW trending_challenges AS
    SELECT date, name AS challenge, posts, usual, growth FROM trends WHERE kind = 'challenge';
CREATE VIEW trending_music AS
    SELECT date, name AS music_id, title AS music, artist, posts, usual, growth FROM trends WHERE kind = 'music';
CREATE VIEW trending_musicians AS
    SELECT date, name AS artist, posts, usual, growth FROM trends WHERE kind = 'musician';

CREATE INDEX keyword_daily_by_keyword ON keyword_daily (keyword, date);

-- Writers may not create or drop tables: these functions do it for them, as their owner, for two tables and no other.

-- Make empty tables beside the day's partitions, with their constraints and indexes.
CREATE FUNCTION stage_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    stage text;
    key text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['posts', 'keyword_windows'] LOOP
        stage := format('%s_%s_staged', parent, to_char(day, 'YYYYMMDD'));
        key := CASE parent WHEN 'posts' THEN 'seen_at' ELSE 'window_start' END;
        EXECUTE format('DROP TABLE IF EXISTS %I', stage);
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING ALL, CHECK (%I >= %L AND %I < %L))', stage, parent,
            key, day::timestamp AT TIME ZONE 'UTC', key, (day + 1)::timestamp AT TIME ZONE 'UTC'
        );
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tiktok_writer_role', stage);
    END LOOP;
END $$;

-- Put the staged tables in the place of the day's partitions. What the stream had counted moves to streamed_windows.
CREATE FUNCTION swap_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    suffix text := to_char(day, 'YYYYMMDD');
    bounds text := format(
        'FOR VALUES FROM (%L) TO (%L)', day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
    parent text;
    part text;
    streamed text := 'streamed_windows_' || suffix;
BEGIN
    FOREACH parent IN ARRAY ARRAY['posts', 'keyword_windows'] LOOP
        part := format('%s_%s', parent, suffix);
        IF to_regclass(part) IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
            IF parent = 'keyword_windows' AND NOT EXISTS (SELECT FROM parsed_days WHERE date = day) THEN
                EXECUTE format('DROP TABLE IF EXISTS %I', streamed);
                EXECUTE format('ALTER TABLE %I RENAME TO %I', part, streamed);
                EXECUTE format('ALTER TABLE streamed_windows ATTACH PARTITION %I %s', streamed, bounds);
            ELSE
                EXECUTE format('DROP TABLE %I', part);
            END IF;
        END IF;
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part || '_staged', part);
        EXECUTE format('REVOKE ALL ON %I FROM tiktok_writer_role', part);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I %s', parent, part, bounds);
    END LOOP;
END $$;

-- Remove what an interrupted run has staged.
CREATE FUNCTION unstage_day(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS %I', format('posts_%s_staged', to_char(day, 'YYYYMMDD')));
    EXECUTE format('DROP TABLE IF EXISTS %I', format('keyword_windows_%s_staged', to_char(day, 'YYYYMMDD')));
END $$;

-- Drop the day partitions before a date; returns their names.
CREATE FUNCTION drop_days_before(day date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text;
BEGIN
    FOR part IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent IN ('posts'::regclass, 'keyword_windows'::regclass, 'streamed_windows'::regclass)
        AND child.relname ~ '_[0-9]{8}$' AND to_date(right(child.relname, 8), 'YYYYMMDD') < day
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', part);
        RETURN NEXT part;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION stage_day, swap_day, unstage_day, drop_days_before FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stage_day, swap_day, unstage_day, drop_days_before TO tiktok_writer_role;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO tiktok_writer_role;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO tiktok_reader_role;
